//! How long it takes to get a lock whose owner was killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bifolio_share::{Lock, Mutex, Region};

use crate::Result;
use crate::child::MARK;
use crate::goal::{Bound, Goal};
use crate::harness::{Bench, Sample, Work};
use crate::report::Report;
use crate::suite::Scale;

/// The task of the child that is killed.
pub(crate) const HOLD: &str = "hold";

/// Takes the lock, says so, and keeps it until it is killed.
pub(crate) fn hold(path: &Path) -> Result<()> {
    let region = Region::open(path)?;
    let lock = region.mutex("lock", 0_u64)?;
    let _guard = lock.lock()?.or_repair(|_| Ok(()))?;
    println!("held");
    std::thread::sleep(Duration::from_secs(60));
    Ok(())
}

pub(super) fn run(scale: Scale, report: &mut Report) -> Result<()> {
    let (_dir, path, lock) = lock()?;
    let work = || Ok(Sample { took: one(&path, &lock)?, digest: 1 });
    let bench = Bench::new("lock of a killed owner", Work::Operations(1), "bifolio");
    let outcome = bench
        .expect(1)
        .with_parts("bifolio", "from the kill to the lock", || Ok(()), work)
        .measure(scale.pick(50, 500))?;
    report.outcome(&outcome)
}

pub(super) fn goals(scale: Scale, report: &mut Report) -> Result<()> {
    let (_dir, path, lock) = lock()?;
    let mut all: Vec<Duration> =
        (0..scale.pick(100, 1000)).map(|_| one(&path, &lock)).collect::<Result<_>>()?;
    all.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    report.goal(Goal {
        figure: format!("take-over after SIGKILL, median of {} in ms", all.len()),
        ratio: ms(all[all.len() / 2]),
        bound: Bound::AtMost(10.0),
    })?;
    report.goal(Goal {
        figure: format!("take-over after SIGKILL, longest of {} in ms", all.len()),
        ratio: ms(all[all.len() - 1]),
        bound: Bound::AtMost(50.0),
    })
}

fn lock() -> Result<(tempfile::TempDir, std::path::PathBuf, Mutex<u64>)> {
    let dir = tempfile::tempdir_in("/dev/shm")?;
    let path = dir.path().join("region");
    let lock = Region::create(&path)?.mutex("lock", 0_u64)?;
    Ok((dir, path, lock))
}

/// Lets a process take the lock, waits for it, and kills that process meanwhile.
fn one(path: &Path, lock: &Mutex<u64>) -> Result<Duration> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([MARK, HOLD])
        .arg(path)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let waited = std::thread::scope(|threads| {
        let waiting = threads.spawn(|| -> Result<Instant> {
            let got = lock.lock_within(Duration::from_secs(10))?;
            let when = Instant::now();
            match got {
                Lock::Sound(_) => Err("the death was not told".into()),
                Lock::Unsound(left) => left.repaired().map(|_| when).map_err(Into::into),
            }
        });
        // Somewhere within the naps of whoever waits.
        std::thread::sleep(Duration::from_micros(u64::from(child.id() % 40) * 500));
        let killed = Instant::now();
        child.kill()?;
        let got = waiting.join().map_err(|_| "a thread panicked")??;
        Ok(got.saturating_duration_since(killed))
    });
    child.wait()?;
    waited
}
