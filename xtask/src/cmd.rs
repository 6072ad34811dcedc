//! Running other programs: shown, bounded in time, never reading the terminal.

use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than any single command may take on two cores; shorter than a night.
const DEFAULT_LIMIT: Duration = Duration::from_mins(20);

/// A command line to run, with its environment and its time limit.
#[derive(Clone)]
pub(crate) struct Cmd {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    dir: Option<PathBuf>,
    limit: Duration,
}

impl Cmd {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            dir: None,
            limit: DEFAULT_LIMIT,
        }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.to_owned());
        self
    }

    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The command as a person would type it, with the variables that were set for it.
    pub(crate) fn shown(&self) -> String {
        let mut line = String::new();
        for (name, value) in &self.env {
            line += &format!("{}={} ", name.display(), quoted(value));
        }
        line += &quoted(&self.program);
        for arg in &self.args {
            line += " ";
            line += &quoted(arg);
        }
        line
    }

    /// Program and arguments, without the environment: short enough for a table.
    pub(crate) fn short(&self) -> String {
        Self { env: Vec::new(), ..self.clone() }.shown()
    }

    /// Runs it with its output going where ours goes.
    ///
    /// # Errors
    /// It could not be started, did not succeed, or outlived its limit (then it and all its
    /// descendants have been killed).
    pub(crate) fn run(&self) -> Result<(), String> {
        println!("$ {}", self.shown());
        let status = self.finish(self.spawn(self.command())?)?;
        self.judge(status)
    }

    /// Runs it as [`run`](Self::run) does, and reads its stdout on the way.
    ///
    /// # Errors
    /// As [`run`](Self::run); after the first line follows what `digest` makes of its stdout.
    pub(crate) fn run_digesting(&self, digest: impl FnOnce(&str) -> String) -> Result<(), String> {
        println!("$ {}", self.shown());
        let mut command = self.command();
        command.stdout(Stdio::piped());
        let mut child = self.spawn(command)?;
        let pieces = shown(collect(child.stdout.take()));
        let ended = self.finish(child).and_then(|status| self.judge(status));
        // A program that was killed has said something too.
        let stdout = gather(&pieces, Instant::now() + AFTERWARDS);
        ended.map_err(|why| format!("{why}\n{}", digest(&String::from_utf8_lossy(&stdout))))
    }

    /// Runs it silently and returns what it wrote to stdout.
    ///
    /// # Errors
    /// As [`run`](Self::run); the message ends with what it wrote.
    pub(crate) fn output(&self) -> Result<String, String> {
        self.captured().map(|(stdout, _)| stdout)
    }

    /// As [`output`](Self::output), with what it wrote to stderr behind it.
    pub(crate) fn output_and_messages(&self) -> Result<String, String> {
        self.captured().map(|(stdout, stderr)| stdout + &stderr)
    }

    fn captured(&self) -> Result<(String, String), String> {
        let mut command = self.command();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.spawn(command)?;
        let stdout = collect(child.stdout.take());
        let stderr = collect(child.stderr.take());
        let status = self.finish(child)?;
        let patience = Instant::now() + AFTERWARDS;
        let text = |pieces| String::from_utf8_lossy(&gather(&pieces, patience)).into_owned();
        let (stdout, stderr) = (text(stdout), text(stderr));
        match self.judge(status) {
            Ok(()) => Ok((stdout, stderr)),
            Err(why) => Err(format!("{why}\n{stdout}{}", stderr.trim_end())),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
    }

    fn spawn(&self, mut command: Command) -> Result<Child, String> {
        command.spawn().map_err(|why| format!("cannot start {}: {why}", self.program.display()))
    }

    fn finish(&self, mut child: Child) -> Result<ExitStatus, String> {
        let begun = Instant::now();
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if begun.elapsed() < self.limit => {
                    thread::sleep(Duration::from_millis(20));
                }
                Ok(None) => {
                    kill_with_descendants(&mut child);
                    return Err(format!(
                        "`{}` was killed: it took more than {} s",
                        self.short(),
                        self.limit.as_secs()
                    ));
                }
                Err(why) => {
                    kill_with_descendants(&mut child);
                    return Err(format!("cannot wait for `{}`: {why}", self.short()));
                }
            }
        }
    }

    fn judge(&self, status: ExitStatus) -> Result<(), String> {
        if status.success() {
            Ok(())
        } else {
            Err(format!("`{}` ended with {status}", self.short()))
        }
    }
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    if word.is_empty() || word.contains([' ', '\'', '"', '$', '\\', ';']) {
        format!("'{}'", word.replace('\'', r"'\''"))
    } else {
        word.into_owned()
    }
}

/// How long the output of a program is waited for after its end: a daemon that it started (Wine's
/// server is one) may keep the pipe open for ever.
const AFTERWARDS: Duration = Duration::from_secs(5);

/// Reads a pipe in a thread of its own, piece by piece.
fn collect(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (pieces, received) = mpsc::channel();
    thread::spawn(move || {
        let Some(mut pipe) = pipe else { return };
        let mut piece = vec![0; 1 << 16];
        loop {
            match pipe.read(&mut piece) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A pipe that breaks ends the text early; the exit status still tells the truth.
                Ok(0) | Err(_) => return,
                Ok(size) => {
                    if pieces.send(piece[..size].to_vec()).is_err() {
                        return; // nobody waits any more
                    }
                }
            }
        }
    });
    received
}

/// Writes the pieces to our stdout on their way.
fn shown(pieces: Receiver<Vec<u8>>) -> Receiver<Vec<u8>> {
    let (passed_on, received) = mpsc::channel();
    thread::spawn(move || {
        for piece in pieces {
            // Nobody to show it to is no reason to stop: the outcome counts.
            let _ = std::io::stdout().lock().write_all(&piece);
            if passed_on.send(piece).is_err() {
                return; // nobody waits any more
            }
        }
    });
    received
}

/// What was read until the pipe was closed, or until `patience` ended.
fn gather(pieces: &Receiver<Vec<u8>>, patience: Instant) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Ok(piece) = pieces.recv_timeout(patience.saturating_duration_since(Instant::now())) {
        bytes.extend(piece);
    }
    bytes
}

/// Kills `child` and whatever it started. A process group would be simpler, but then Ctrl-C on
/// the terminal would no longer reach the child.
fn kill_with_descendants(child: &mut Child) {
    let mut doomed = vec![child.id()];
    let parents = parents_of_all();
    let mut next = 0;
    while let Some(&parent) = doomed.get(next) {
        doomed.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    for pid in &doomed[1..] {
        // One that ended by itself meanwhile makes `kill` complain, which is no concern of ours.
        let _ = Cmd::new("kill").args(["-KILL", &pid.to_string()]).output();
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// (process, its parent) for every process, from `/proc`; empty where there is none.
fn parents_of_all() -> Vec<(u32, u32)> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // "pid (name) state ppid ...", where the name may itself hold blanks and brackets.
            let (_, rest) = stat.rsplit_once(')')?;
            Some((pid, rest.split_whitespace().nth(1)?.parse().ok()?))
        })
        .collect()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named_with_its_status() {
        let why = Cmd::new("sh").args(["-c", "exit 3"]).run().unwrap_err();
        assert_eq!(why, "`sh -c 'exit 3'` ended with exit status: 3");
    }

    #[test]
    fn captured_output_is_stdout_and_errors_carry_stderr() {
        assert_eq!(Cmd::new("echo").arg("one").output().unwrap(), "one\n");
        let why = Cmd::new("sh").args(["-c", "echo lost >&2; exit 1"]).output().unwrap_err();
        assert!(why.ends_with("lost"), "{why}");
    }

    #[test]
    fn what_a_failing_command_wrote_is_digested() {
        let last = |text: &str| text.lines().last().unwrap_or_default().to_owned();
        let cmd = |script| Cmd::new("sh").args(["-c", script]);
        let why = cmd("echo one; echo two; exit 1").run_digesting(last).unwrap_err();
        assert!(why.ends_with("exit status: 1\ntwo"), "{why}");
        cmd("echo three").run_digesting(|_| unreachable!("it succeeded")).unwrap();
    }

    #[test]
    fn a_command_that_outlives_its_limit_is_killed_with_its_descendants() {
        let begun = Instant::now();
        let script = "sleep 97 & echo $!; wait";
        let slow = Cmd::new("sh").args(["-c", script]).limit(Duration::from_millis(300));
        // The pipe closes only when the grandchild is gone too, so this returns only then.
        let why = slow.output().unwrap_err();
        assert!(why.contains("killed"), "{why}");
        assert!(begun.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn a_daemon_that_keeps_the_pipe_is_not_waited_for() {
        let script = "sleep 53 & echo $!";
        let pid = Cmd::new("sh").args(["-c", script]).output().unwrap();
        // It is there still, so what was waited for was not its end.
        Cmd::new("kill").arg(pid.trim()).output().unwrap();
    }

    #[test]
    fn words_with_blanks_are_shown_quoted() {
        let cmd = Cmd::new("a").arg("b c").env("V", "d'e");
        assert_eq!(cmd.shown(), r"V='d'\''e' a 'b c'");
        assert_eq!(cmd.short(), "a 'b c'");
    }
}
