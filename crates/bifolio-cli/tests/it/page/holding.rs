//! `lock` and `who`.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use super::*;
use crate::support::program;

/// A running `page lock` that holds a file until Ctrl-C.
struct Holder {
    child: Child,
}

impl Holder {
    fn of(path: &Path) -> Self {
        let mut child = Command::new("env")
            .arg("--default-signal=INT")
            .arg(program())
            .args(["page", "lock", text(path), "--format", "jsonl"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        out.read_line(&mut line).expect("its record");
        let told: Json = serde_json::from_str(&line).expect("JSON");
        assert_eq!((&told["schema"], &told["files"]), (&"bifolio.page-lock".into(), &1.into()));
        Self { child }
    }

    /// Ctrl-C: how it ended.
    fn end(mut self) -> Option<i32> {
        let kill = format!("kill -INT {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh").success());
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn file_of(dir: &Path, size: usize) -> std::path::PathBuf {
    let path = dir.join("held");
    fs::write(&path, vec![7; size]).expect("written");
    path
}

#[test]
fn a_locked_file_stays_and_who_names_its_holder_until_ctrl_c() {
    let dir = directory();
    let path = file_of(dir.path(), 500_000);
    chill(&path);
    let holder = Holder::of(&path);
    assert_eq!(resident(&path), in_pages(500_000), "locking reads in");
    let output = run(&["page", "evict", text(&path), "--json"]);
    let told: Json = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(number(&told["records"][0], "stayed_in_use"), in_pages(500_000), "{told}");
    assert!(stderr(&output).contains("bifolio page who FILE"), "{}", stderr(&output));
    let who = records(&["page", "who", text(&path)]);
    assert_eq!(who.len(), 1, "{who:?}");
    assert_eq!(number(&who[0], "pid"), u64::from(holder.child.id()));
    assert_eq!(who[0]["command"], "bifolio");
    for field in ["mapped", "resident", "locked"] {
        assert_eq!(number(&who[0], field), in_pages(500_000), "{field}");
    }
    assert_eq!(who[0]["rights"], "rs");
    assert_eq!(holder.end(), Some(0));
    assert_eq!(records(&["page", "who", text(&path)]), Vec::<Json>::new());
    chill(&path);
}

#[test]
fn a_running_program_is_mapped_by_itself() {
    let who = records(&["page", "who", text(&program())]);
    let me = who.iter().find(|process| process["command"] == "bifolio").expect("the program");
    assert!(me["rights"].as_str().expect("rights").contains('x'), "{me}");
}

#[test]
fn processes_that_may_not_be_looked_into_are_counted() {
    let Some(output) = as_nobody(&["page", "who", "/bin/sh", "--json"]) else { return };
    assert_eq!(code(&output), 0);
    let told = stderr(&output);
    assert!(told.contains("may not be looked into"), "{told}");
    let count: u64 =
        told.split(' ').next().expect("a number").replace(',', "").parse().expect("one");
    assert!(count > 0, "the parent of this test is root's");
}

#[test]
fn the_command_runs_while_all_is_locked_and_its_exit_code_is_ours() {
    let dir = directory();
    let path = file_of(dir.path(), 500_000);
    let words = ["page", "lock", text(&path), "--", "sh", "-c"];
    let with = |script: &str| run(&[&words[..], &[script]].concat());
    let output = with("grep VmLck /proc/$PPID/status");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let locked: u64 = stdout(&output).split_whitespace().nth(1).expect("kB").parse().expect("kB");
    assert_eq!(locked * 1024, in_pages(500_000));
    assert_eq!(code(&with("exit 7")), 7);
    assert_eq!(code(&with("kill -9 $$")), 128 + 9);
    let output = run(&["page", "lock", text(&path), "--", "/no/such/program"]);
    assert_eq!(code(&output), 3);
    let output = run(&["page", "lock", "no-such-file", "--", "sh", "-c", "echo ran"]);
    assert_eq!((code(&output), stdout(&output).as_str()), (3, ""), "nothing is run");
}

#[test]
fn ctrl_c_is_the_commands_own() {
    let dir = directory();
    let path = file_of(dir.path(), 5000);
    // The whole group gets it, as from a terminal; the command ends in its own time.
    let script = "trap 'sleep 1; echo done; exit 5' INT; echo ready; while :; do sleep 0.1; done";
    let mut child = Command::new("setsid")
        .args(["--wait", "env", "--default-signal=INT"])
        .arg(program())
        .args(["page", "lock", text(&path), "--", "sh", "-c", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    out.read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n");
    let who = records(&["page", "who", text(&path)]);
    let kill = format!("kill -INT -{}", number(&who[0], "pid"));
    // setsid does not fork if it leads no group; the program then leads the new one.
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh").success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("the rest");
    assert_eq!((rest.as_str(), child.wait().expect("it ends").code()), ("done\n", Some(5)));
}

#[test]
fn a_limit_is_named_when_it_is_reached() {
    let dir = directory();
    let path = file_of(dir.path(), 1 << 20);
    for place in [dir.path(), &path] {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(place, fs::Permissions::from_mode(0o755)).expect("set");
    }
    let probe = as_nobody(&["version"]);
    if probe.is_none() {
        return;
    }
    let line = format!(
        "ulimit -l 64 && exec setpriv --reuid=65534 --regid=65534 --clear-groups \
         --bounding-set=-all '{}' page lock '{}' -- echo ran",
        program().display(),
        path.display()
    );
    let output = Command::new("sh").args(["-c", &line]).output().expect("sh");
    assert_eq!((code(&output), stdout(&output).as_str()), (1, ""), "{}", stderr(&output));
    let told = stderr(&output);
    assert!(told.contains("RLIMIT_MEMLOCK is 65536 bytes"), "{told}");
}
