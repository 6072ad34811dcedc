//! What the child calls.

use std::env;
use std::io::{self, BufRead, Write};
use std::process;
use std::sync::Mutex;

use super::{GO_ON, POINT_MARK, ROLE_VARIABLE, TELL_MARK};

/// One point at a time: the answer belongs to the thread that asked.
static TALKING: Mutex<()> = Mutex::new(());

/// The role of this process if [`Rerun`](super::Rerun) started it, `None` in an ordinary run.
#[must_use]
pub fn role() -> Option<String> {
    let role = env::var(ROLE_VARIABLE).ok()?;
    die_with_the_parent();
    Some(role)
}

/// Tells the parent that this point was reached and waits until it says to go on, or kills this
/// process. Outside of a child it does nothing.
pub fn point(name: &str) {
    if env::var_os(ROLE_VARIABLE).is_none() {
        return;
    }
    let _one_at_a_time = TALKING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    print_line(POINT_MARK, name);
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    if read.is_err() || answer.as_bytes() != GO_ON {
        // The parent is gone, and with it the reason to run.
        process::exit(1);
    }
}

/// Tells the parent something, in one line, without waiting. What was told before a kill is in
/// the parent's hands: for a child that was killed, the list of what it did for certain.
pub fn tell(text: &str) {
    if env::var_os(ROLE_VARIABLE).is_some() {
        print_line(TELL_MARK, text);
    }
}

/// Prints one marked line past the test harness, which holds back what `println!` prints.
fn print_line(mark: &str, text: &str) {
    assert!(!text.contains('\n'), "one line, not {text:?}");
    let mut out = io::stdout().lock();
    let sent = out.write_all(format!("{mark}{text}\n").as_bytes()).and_then(|()| out.flush());
    if sent.is_err() {
        process::exit(1);
    }
}

/// Asks Linux for SIGKILL when the thread that started this process ends.
#[cfg(target_os = "linux")]
fn die_with_the_parent() {
    // Where it is refused, the closed pipes and the process group are left.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}

/// Elsewhere the closed pipes must do.
#[cfg(not(target_os = "linux"))]
fn die_with_the_parent() {}
