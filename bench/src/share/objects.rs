//! Objects against files by hand.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use bifolio_share::{Objects, Removal};
use tempfile::TempDir;

use crate::Result;
use crate::goal::{Bound, Goal};
use crate::harness::{Bench, Outcome, Work};
use crate::kernel;
use crate::report::Report;
use crate::suite::Scale;

const SIZE: usize = 4096;

const OURS: &str = "bifolio objects";
const BY_HAND: &str = "files by hand";
const PLASMA: &str = "Plasma";
const PYTHON: &str = "Python shared_memory";

pub(super) fn run(scale: Scale, report: &mut Report) -> Result<()> {
    report.outcome(&put_and_get(scale)?)?;
    report.outcome(&put(scale)?)?;
    report.outcome(&get(scale)?)
}

pub(super) fn goals(scale: Scale, report: &mut Report) -> Result<()> {
    let outcome = put_and_get(scale)?;
    report.outcome_aside(&outcome)?;
    if python().is_some() {
        report.goal(Goal {
            figure: "object put + get + remove 4 KiB / Plasma".into(),
            ratio: outcome.speed(&[OURS], &[PLASMA]),
            bound: Bound::AtLeast(3.0),
        })?;
    }
    Ok(())
}

/// The Python that has Plasma, if the user says which one.
fn python() -> Option<OsString> {
    std::env::var_os("BIFOLIO_PLASMA_PYTHON")
}

/// 4 KiB put, read and removed, in `/dev/shm`; by hand as careful people do it, without pins.
fn put_and_get(scale: Scale) -> Result<Outcome> {
    let count: u64 = scale.pick(2_000, 10_000);
    let places = Places::new()?;
    let (dir, by_hand) = (&places.dir, &places.by_hand);
    let objects = Objects::open(&places.ours)?;
    let bytes = vec![3_u8; SIZE];
    let digest = |found: &[u8]| found.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    let mut bench = Bench::new("put + get + remove 4 KiB", Work::Operations(count), BY_HAND)
        .expect(count * 3 * SIZE as u64)
        .with(OURS, "pinned while read", || {
            let mut sum = 0;
            for _ in 0..count {
                objects.put("object", &bytes)?;
                let object = objects.get("object")?.ok_or("it is not there")?;
                sum += digest(&object.to_vec()?);
                drop(object);
                if objects.remove("object")? != Removal::Done {
                    return Err("it was not there".into());
                }
            }
            Ok(sum)
        })
        .with(BY_HAND, "write, rename, read, unlink", || {
            let (aside, path) = (by_hand.join("aside"), by_hand.join("object"));
            let mut sum = 0;
            for _ in 0..count {
                std::fs::write(&aside, &bytes)?;
                std::fs::rename(&aside, &path)?;
                sum += digest(&std::fs::read(&path)?);
                std::fs::remove_file(&path)?;
            }
            Ok(sum)
        });
    if let Some(python) = python() {
        let script = dir.path().join("plasma.py");
        std::fs::write(&script, include_str!("plasma.py"))?;
        bench = bench.with_parts(
            PLASMA,
            "a server, from Python",
            || Ok(()),
            move || super::timed_by(Command::new(&python).arg(&script).arg(count.to_string())),
        );
    } else {
        eprintln!("without Plasma: BIFOLIO_PLASMA_PYTHON names no Python with pyarrow 11");
    }
    if has_shared_memory() {
        let script = dir.path().join("shared_memory.py");
        std::fs::write(&script, include_str!("shared_memory.py"))?;
        bench = bench.with_parts(
            PYTHON,
            "segments, from Python",
            || Ok(()),
            move || super::timed_by(Command::new("python3").arg(&script).arg(count.to_string())),
        );
    } else {
        eprintln!("without Python's shared_memory: no python3 of 3.8 or later is here");
    }
    bench.measure(scale.pick(9, 21))
}

/// Whether there is a Python with `multiprocessing.shared_memory`.
fn has_shared_memory() -> bool {
    Command::new("python3")
        .args(["-c", "import multiprocessing.shared_memory"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// 4 KiB put in the place of others, whole or not at all for whoever reads.
fn put(scale: Scale) -> Result<Outcome> {
    let count: u64 = scale.pick(2_000, 10_000);
    let places = Places::new()?;
    let objects = Objects::open(&places.ours)?;
    let (aside, path) = (places.by_hand.join("aside"), places.by_hand.join("object"));
    let numbered = |number: u64| [number.to_ne_bytes(); SIZE / 8];
    Bench::new("put 4 KiB in place of others", Work::Operations(count), BY_HAND)
        .expect(count)
        .with(OURS, "replace", || {
            for number in 1..=count {
                objects.replace("object", numbered(number).as_flattened())?;
            }
            word_of(&objects.get("object")?.ok_or("it is not there")?.to_vec()?)
        })
        .with(BY_HAND, "write, rename", || {
            for number in 1..=count {
                std::fs::write(&aside, numbered(number).as_flattened())?;
                std::fs::rename(&aside, &path)?;
            }
            word_of(&std::fs::read(&path)?)
        })
        .measure(scale.pick(9, 21))
}

/// 4 KiB that are there, copied to one's own memory.
fn get(scale: Scale) -> Result<Outcome> {
    let count: u64 = scale.pick(5_000, 20_000);
    let places = Places::new()?;
    let objects = Objects::open(&places.ours)?;
    let path = places.by_hand.join("object");
    let bytes = [5_u64.to_ne_bytes(); SIZE / 8];
    objects.put("object", bytes.as_flattened())?;
    std::fs::write(&path, bytes.as_flattened())?;
    Bench::new("get 4 KiB and copy them", Work::Operations(count), BY_HAND)
        .expect(5 * count)
        .with(OURS, "pinned while read", || {
            let (mut out, mut sum) = ([0; SIZE], 0);
            for _ in 0..count {
                objects.get("object")?.ok_or("it is not there")?.read_at(0, &mut out)?;
                sum += word_of(&out)?;
            }
            Ok(sum)
        })
        .with(BY_HAND, "open, read, close", || {
            let (mut out, mut sum) = ([0; SIZE], 0);
            for _ in 0..count {
                File::open(&path)?.read_exact(&mut out)?;
                sum += word_of(&out)?;
            }
            Ok(sum)
        })
        .measure(scale.pick(9, 21))
}

/// The last word of what was read.
fn word_of(bytes: &[u8]) -> Result<u64> {
    if bytes.len() != SIZE {
        return Err(format!("{} bytes", bytes.len()).into());
    }
    Ok(kernel::word(bytes, SIZE as u64 - 8))
}

/// A directory for objects and one for files, both in memory.
struct Places {
    ours: PathBuf,
    by_hand: PathBuf,
    /// Removes them at the end.
    dir: TempDir,
}

impl Places {
    fn new() -> Result<Self> {
        let dir = tempfile::tempdir_in("/dev/shm")?;
        let (ours, by_hand) = (dir.path().join("ours"), dir.path().join("by hand"));
        std::fs::create_dir(&ours)?;
        std::fs::create_dir(&by_hand)?;
        Ok(Self { ours, by_hand, dir })
    }
}
