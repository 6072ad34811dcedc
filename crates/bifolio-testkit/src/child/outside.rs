//! What the parent does.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Write};
use std::process::{self, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::{GO_ON, POINT_MARK, ROLE_VARIABLE, TELL_MARK};

/// How long a child may take altogether unless [`Rerun::within`] says otherwise.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// How often a child that must be dead by now is asked.
const POLL: Duration = Duration::from_millis(1);

/// A test that is to run again as a child process, in a role.
#[derive(Clone, Debug)]
pub struct Rerun {
    program: OsString,
    before: Vec<OsString>,
    test: String,
    role: String,
    variables: Vec<(OsString, OsString)>,
    limit: Duration,
}

impl Rerun {
    /// The test with this full name (see [`this_test!`](crate::this_test)) of this very binary.
    #[must_use]
    pub fn of(test: &str, role: &str) -> Self {
        let program = env::current_exe().map_or_else(
            |_| env::args_os().next().unwrap_or_default(),
            |path| path.into_os_string(),
        );
        Self {
            program,
            before: Vec::new(),
            test: test.to_owned(),
            role: role.to_owned(),
            variables: Vec::new(),
            limit: TIME_LIMIT,
        }
    }

    /// With this variable in the child's environment.
    #[must_use]
    pub fn with_variable(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.as_ref().into(), value.as_ref().into()));
        self
    }

    /// Run by another program, such as `["unshare", "-Ur", "-m"]`, which gets the command appended.
    #[must_use]
    pub fn under<S: AsRef<OsStr>>(mut self, command: impl IntoIterator<Item = S>) -> Self {
        let before = command.into_iter().map(|part| part.as_ref().to_owned());
        self.before = before.collect();
        self
    }

    /// With this much time from start to end.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Starts the child.
    ///
    /// # Errors
    /// What the system says.
    pub fn spawn(&self) -> io::Result<Child> {
        let mut parts = self.before.iter().chain([&self.program]);
        let mut command = Command::new(parts.next().unwrap_or(&self.program));
        command
            .args(parts)
            .args(["--exact", &self.test, "--nocapture", "--include-ignored", "--test-threads=1"])
            .env(ROLE_VARIABLE, &self.role)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut process = command.spawn()?;
        let (sender, events) = channel();
        let (input, output) = (process.stdin.take(), process.stdout.take());
        // The thread ends with the child's output, that is, with the child's group.
        let output = output.ok_or_else(|| io::Error::other("the child has no output"))?;
        thread::Builder::new()
            .name(format!("output of {}", self.role))
            .spawn(move || listen(output, &sender))?;
        Ok(Child {
            process,
            input,
            events,
            deadline: Instant::now() + self.limit,
            told: Vec::new(),
            output: Vec::new(),
            collected: Collected::No,
        })
    }

    /// Runs the child to its end and returns the points it came by, in order.
    ///
    /// # Errors
    /// If the child fails or takes too long.
    pub fn points(&self) -> io::Result<Vec<String>> {
        let mut child = self.spawn()?;
        let mut points = Vec::new();
        while let Some(point) = child.next_point()? {
            points.push(point);
            child.go_on()?;
        }
        child.require_success()?;
        Ok(points)
    }

    /// Runs the child to its end and returns what it told.
    ///
    /// # Errors
    /// If the child fails or takes too long.
    pub fn finish(&self) -> io::Result<Vec<String>> {
        self.spawn()?.finish()
    }

    /// Kills the child when it reaches this point for the first time; returns what it told before.
    ///
    /// # Errors
    /// If it ends without reaching the point, or takes too long.
    pub fn kill_at(&self, point: &str) -> io::Result<Vec<String>> {
        self.kill_at_nth(point, 1)
    }

    /// Kills the child when it reaches this point for the `nth` time, counted from 1; returns
    /// what it told before.
    ///
    /// # Errors
    /// If it ends without reaching the point so often, or takes too long.
    pub fn kill_at_nth(&self, point: &str, nth: usize) -> io::Result<Vec<String>> {
        let mut child = self.spawn()?;
        child.run_to(point, nth)?;
        child.kill()
    }

    /// Lets the child run for this long, wherever that is, kills it, and returns what it told.
    ///
    /// # Errors
    /// If the child fails before, or the system says something.
    pub fn kill_after(&self, time: Duration) -> io::Result<Vec<String>> {
        let mut child = self.spawn()?;
        child.deadline = Instant::now() + time;
        loop {
            match child.next_point() {
                Ok(Some(_)) => child.go_on()?,
                Ok(None) => {
                    child.require_success()?;
                    return Ok(child.told.clone());
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return child.kill(),
                Err(error) => return Err(error),
            }
        }
    }
}

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub struct Child {
    process: process::Child,
    input: Option<ChildStdin>,
    events: Receiver<Event>,
    deadline: Instant,
    told: Vec<String>,
    output: Vec<String>,
    collected: Collected,
}

/// Whether the system gave the child's exit status, and took back its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Collected {
    Yes,
    No,
}

/// What a line of the child's output means.
#[derive(Debug)]
enum Event {
    Point(String),
    Told(String),
    Output(String),
}

impl Child {
    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What the child has told so far.
    #[must_use]
    pub fn told(&self) -> &[String] {
        &self.told
    }

    /// Waits for the next point, where the child then stands; `None` if its output ended.
    ///
    /// # Errors
    /// `TimedOut` after the child's time.
    pub fn next_point(&mut self) -> io::Result<Option<String>> {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(Event::Point(name)) => return Ok(Some(name)),
                Ok(Event::Told(text)) => self.told.push(text),
                Ok(Event::Output(line)) => self.output.push(line),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the child took too long"));
                }
            }
        }
    }

    /// Lets the child go on from the point where it stands.
    ///
    /// # Errors
    /// If the child is gone.
    pub fn go_on(&mut self) -> io::Result<()> {
        let input = self.input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        input.write_all(GO_ON)?;
        input.flush()
    }

    /// Lets the child run until it stands at this point for the `nth` time, counted from 1.
    ///
    /// # Errors
    /// If it ends without reaching the point so often, or takes too long.
    pub fn run_to(&mut self, point: &str, nth: usize) -> io::Result<()> {
        let mut visits = 0;
        while let Some(name) = self.next_point()? {
            visits += usize::from(name == point);
            if visits == nth.max(1) {
                return Ok(());
            }
            self.go_on()?;
        }
        let output = self.output.join("\n");
        let error = format!("the child ended before the point {point:?} (visit {nth}):\n{output}");
        Err(io::Error::other(error))
    }

    /// Lets the child run to its end; returns what it told.
    ///
    /// # Errors
    /// If the child fails or takes too long.
    pub fn finish(mut self) -> io::Result<Vec<String>> {
        while self.next_point()?.is_some() {
            self.go_on()?;
        }
        self.require_success()?;
        Ok(std::mem::take(&mut self.told))
    }

    /// Kills the child where it stands, waits until it is gone, and returns what it told.
    ///
    /// # Errors
    /// What the system says.
    pub fn kill(mut self) -> io::Result<Vec<String>> {
        self.end()?;
        // What it told before its death is still in the pipe.
        self.deadline = Instant::now() + TIME_LIMIT;
        while self.next_point()?.is_some() {}
        Ok(std::mem::take(&mut self.told))
    }

    /// Waits for the end of a child whose output has ended.
    fn require_success(&mut self) -> io::Result<()> {
        let status = loop {
            if let Some(status) = self.process.try_wait()? {
                self.collected = Collected::Yes;
                break status;
            }
            if Instant::now() > self.deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(POLL);
        };
        if status.success() {
            return Ok(());
        }
        let output = self.output.join("\n");
        Err(io::Error::other(format!("the child failed ({status}):\n{output}")))
    }

    /// Kills the child and everything in its process group, and collects it.
    fn end(&mut self) -> io::Result<()> {
        self.input = None;
        // Only while it was not collected is the id its own, and that of its group.
        if self.collected == Collected::No {
            #[cfg(unix)]
            kill_group(&self.process);
            self.process.kill()?;
            self.process.wait()?;
            self.collected = Collected::Yes;
        }
        Ok(())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("cannot end child {}: {error}", self.process.id());
        }
    }
}

/// Sends SIGKILL to the group that the child leads.
#[cfg(unix)]
fn kill_group(process: &process::Child) {
    use rustix::process::{Pid, Signal, kill_process_group};
    let group = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
    if let Some(group) = group {
        // It fails only if the group is gone; the child itself is killed by its handle as well.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Sorts the lines of the child's output until it ends or nobody listens.
fn listen(output: ChildStdout, events: &Sender<Event>) {
    for line in BufReader::new(output).split(b'\n') {
        let Ok(line) = line else { return };
        let line = String::from_utf8_lossy(&line).into_owned();
        let event = if let Some((_, name)) = line.split_once(POINT_MARK) {
            Event::Point(name.to_owned())
        } else if let Some((_, text)) = line.split_once(TELL_MARK) {
            Event::Told(text.to_owned())
        } else {
            Event::Output(line)
        };
        if events.send(event).is_err() {
            return;
        }
    }
}
