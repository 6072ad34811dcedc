//! Work that has to happen in a process of its own: the program starts itself with a task instead
//! of a suite, and the child answers with one line of numbers.

use std::process::Command;
use std::time::Duration;

use crate::Result;

/// The first argument of a child.
pub(crate) const MARK: &str = "--child-task";

/// What a child found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) took: Duration,
    pub(crate) digest: u64,
    /// Bytes that the child had read from devices.
    pub(crate) from_disk: u64,
}

/// Starts the program again to do `task` with `argument`, and waits for its answer.
pub(crate) fn ask(task: &str, argument: &std::path::Path) -> Result<Answer> {
    let output = Command::new(std::env::current_exe()?)
        .args([MARK, task])
        .arg(argument)
        .stderr(std::process::Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("the child for {task} ended with {}", output.status).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let numbers: Vec<u64> =
        text.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?;
    match numbers[..] {
        [nanos, digest, from_disk] => {
            Ok(Answer { took: Duration::from_nanos(nanos), digest, from_disk })
        }
        _ => Err(format!("the child for {task} answered {text:?}").into()),
    }
}

/// Does the task that the command line of a child names; `None` if this is no child.
pub(crate) fn task() -> Option<Result<()>> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != MARK {
        return None;
    }
    let (task, argument) = (arguments.next()?, arguments.next()?);
    Some(answer(&task.to_string_lossy(), argument.as_ref()))
}

fn answer(task: &str, argument: &std::path::Path) -> Result<()> {
    if task == crate::share::HOLD {
        return crate::share::hold(argument);
    }
    if task == crate::share::COUNT {
        return crate::share::count(argument);
    }
    let sample = crate::map::child_task(task, argument)?;
    let from_disk = crate::cache::bytes_from_disk()?;
    println!("{} {} {from_disk}", sample.took.as_nanos(), sample.digest);
    Ok(())
}
