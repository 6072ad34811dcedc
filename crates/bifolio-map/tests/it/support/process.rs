//! Tests that need a process of their own: limits, signal handlers, other users, other mounts.

use std::io::Read;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use bifolio_testkit::child::{self, Rerun};
use bifolio_testkit::skip::Skip;

/// The longest that a child of ours may take.
const LIMIT: Duration = Duration::from_secs(120);

/// How a child ended, and what it wrote to standard error.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) status: ExitStatus,
    pub(crate) stderr: String,
}

impl End {
    /// The signal that ended the child, if one did.
    pub(crate) fn signal(&self) -> Option<i32> {
        std::os::unix::process::ExitStatusExt::signal(&self.status)
    }

    /// Requires that the child's test passed.
    #[track_caller]
    pub(crate) fn passed(&self) {
        assert!(self.status.success(), "{}:\n{}", self.status, self.stderr);
    }

    /// Requires that the child died by this signal.
    #[track_caller]
    pub(crate) fn died_by(&self, signal: i32) {
        assert_eq!(self.signal(), Some(signal), "{}:\n{}", self.status, self.stderr);
    }
}

/// Whether this process is the child that plays `role`.
pub(crate) fn plays(role: &str) -> bool {
    child::role().as_deref() == Some(role)
}

/// Runs this test again in a role, and waits for however it ends: also by a signal.
pub(crate) fn end_of(test: &str, role: &str) -> End {
    let program = std::env::current_exe().expect("the path of this program");
    let mut running = Command::new(program)
        .args(["--exact", test, "--nocapture", "--include-ignored", "--test-threads=1"])
        .env("BIFOLIO_CHILD_ROLE", role)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut pipe = running.stderr.take().expect("a pipe");
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).map(|_| String::from_utf8_lossy(&bytes).into_owned())
    });
    let deadline = Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = running.try_wait().expect("wait for the child") {
            break status;
        }
        if Instant::now() > deadline {
            running.kill().expect("kill the child");
            panic!("{test} in the role {role} took longer than {LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    End { status, stderr: reader.join().expect("the reader").expect("standard error") }
}

/// Runs `body` in a process of its own: for limits, handlers and whatever else is the process's.
#[track_caller]
pub(crate) fn alone(test: &str, body: impl FnOnce()) {
    if plays("alone") {
        return body();
    }
    end_of(test, "alone").passed();
}

/// The command that makes a program run as nobody.
pub(crate) const NOBODY: [&str; 4] =
    ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// Runs `body` as an ordinary user, with a directory of that user's: in this process if its user
/// is one, as nobody if it is root.
#[track_caller]
pub(crate) fn as_ordinary_user(test: &str, body: impl FnOnce(&Path)) {
    if !rustix::process::geteuid().is_root() {
        let dir = super::directory();
        return body(dir.path());
    }
    if !succeeds(&[&NOBODY[..], &["test", "-x", &this_program()]].concat()) {
        return Skip::because("nobody cannot run the test program (or setpriv is missing)").count();
    }
    let dir = super::directory();
    open_to_all(dir.path());
    Rerun::of(test, "nobody")
        .under(NOBODY)
        .with_variable("TMPDIR", dir.path())
        .within(LIMIT)
        .finish()
        .expect("the test as nobody");
}

fn this_program() -> String {
    let path = std::env::current_exe().expect("the path of this program");
    path.to_str().expect("a program with a name in UTF-8").to_owned()
}

/// Whether a command can be run and says yes.
pub(crate) fn succeeds(command: &[&str]) -> bool {
    let (program, args) = (command[0], &command[1..]);
    let mut command = Command::new(program);
    let quiet = command.args(args).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Lets every user create files in a directory.
fn open_to_all(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o777)).expect("chmod");
}
