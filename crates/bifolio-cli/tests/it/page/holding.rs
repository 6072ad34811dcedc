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
fn a_signal_to_end_is_passed_on_and_the_command_ends_in_its_own_way() {
    let dir = directory();
    let path = file_of(dir.path(), 5000);
    for (signal, status) in [("TERM", 5), ("HUP", 5), ("USR1", 5)] {
        let script =
            format!("trap 'echo done; exit 5' {signal}; echo ready; while :; do sleep 0.05; done");
        let mut child = Command::new(program())
            .args(["page", "lock", text(&path), "--", "sh", "-c", &script])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        out.read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        let kill = format!("kill -{signal} {}", child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh").success());
        let mut rest = String::new();
        out.read_to_string(&mut rest).expect("the rest");
        let code = child.wait().expect("it ends").code();
        assert_eq!((rest.as_str(), code), ("done\n", Some(status)), "{signal}");
    }
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

/// What the program may have, set by prlimit; `None`, counted, where that is not installed.
fn limited(limit: &str, words: &[&str]) -> Option<std::process::Output> {
    let mut command = Command::new("prlimit");
    match command.arg(limit).arg(program()).args(words).output() {
        Ok(output) => Some(output),
        Err(_) => {
            Skip::because("needs prlimit (package util-linux)").count();
            None
        }
    }
}

#[test]
fn a_bad_path_does_not_keep_who_from_the_others() {
    let dir = directory();
    let path = file_of(dir.path(), 5000);
    let holder = Holder::of(&path);
    let who = records_of(&["page", "who", "no-such-file", text(dir.path()), text(&path)], 3);
    assert_eq!(who.len(), 1, "{who:?}");
    assert_eq!(number(&who[0], "pid"), u64::from(holder.child.id()));
}

#[test]
fn holes_are_not_locked() {
    let dir = directory();
    let path = file_of(dir.path(), 8192);
    fs::File::options().write(true).open(&path).expect("opened").set_len(1 << 30).expect("grown");
    let script = "grep VmLck /proc/$PPID/status";
    let output = run(&["page", "lock", text(&path), "--budget", "1M", "--", "sh", "-c", script]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stdout(&output).split_whitespace().nth(1), Some("8"), "kB");
    // The twin: as much data is refused.
    fs::write(&path, vec![7; 2 << 20]).expect("written");
    let output = run(&["page", "lock", text(&path), "--budget", "1M", "--", "echo", "ran"]);
    assert_eq!((code(&output), stdout(&output).as_str()), (6, ""));
    assert!(stderr(&output).contains("1.0 MiB"), "{}", stderr(&output));
}

#[test]
fn a_range_that_a_file_does_not_have_locks_nothing_and_runs_nothing() {
    let dir = directory();
    let path = file_of(dir.path(), 5000);
    for place in [path.as_path(), dir.path()] {
        let output = run(&["page", "lock", text(place), "--range", "1M..2M", "--", "echo", "ran"]);
        assert_eq!((code(&output), stdout(&output).as_str()), (2, ""), "{}", stderr(&output));
    }
}

#[test]
fn few_descriptors_are_enough_for_many_files() {
    let dir = directory();
    small_files(dir.path(), 300);
    for words in [
        &["page", "lock", text(dir.path()), "--threads", "16", "--", "echo", "ran"][..],
        &["page", "stat", text(dir.path()), "--threads", "200"],
        &["page", "touch", text(dir.path()), "--threads", "200"],
    ] {
        let Some(output) = limited("--nofile=40:40", words) else { return };
        assert_eq!(code(&output), 0, "{words:?}: {}", stderr(&output));
    }
    let words = ["page", "stat", text(dir.path()), "--json"];
    let Some(output) = limited("--nofile=40:40", &words) else { return };
    let told: Json = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(number(&told["records"][0], "files"), 300);
    // Too few for anything: said once, with what to do.
    let Some(output) = limited("--nofile=5:5", &words) else { return };
    let told = stderr(&output);
    assert_ne!(code(&output), 0, "{told}");
}

#[test]
fn few_threads_are_enough() {
    let dir = directory();
    small_files(dir.path(), 300);
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("set");
    if as_nobody(&["version"]).is_none() {
        return;
    }
    let chown = ["-R", "61234:61234", text(dir.path())];
    assert!(Command::new("chown").args(chown).status().expect("chown").success());
    let set = dir.path().join("set");
    record(&["page", "save", text(dir.path()), "--to", text(&set)], 0);
    // A user of this test alone: the limit counts all processes of a user.
    let user = ["--reuid=61234", "--regid=61234", "--clear-groups", "--bounding-set=-all"];
    for words in [
        &["page", "touch", text(dir.path()), "--threads", "64", "--json"][..],
        &["page", "restore", text(&set), "--threads", "100000", "--json"],
    ] {
        let output = Command::new("prlimit")
            .args(["--nproc=4:4", "setpriv"])
            .args(user)
            .arg(program())
            .args(words)
            .output()
            .expect("prlimit");
        let told = stderr(&output);
        assert!(!told.contains("panicked"), "{told}");
        let told: Json =
            serde_json::from_str(&stdout(&output)).unwrap_or_else(|_| panic!("{told}"));
        assert!(number(&told, "files") > 0, "{told}");
    }
    let output = run(&["page", "restore", text(&set), "--threads", "100000"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}
