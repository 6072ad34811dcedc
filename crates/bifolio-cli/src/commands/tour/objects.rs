//! Stop: objects under a budget of bytes, while another process reads some.

use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use bifolio::share::Objects as Store;

use super::child::{answer_each, one_path};
use super::{Outcome, Stop, Tour};
use crate::exit::Exit;
use crate::failure::CliError;
use crate::output::Value;

/// The stop.
pub(super) struct Objects;

const BUDGET: u64 = 1 << 20;
const SIZE: usize = 64 << 10;
/// Far longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(20);

impl Stop for Objects {
    fn name(&self) -> &'static str {
        "objects"
    }

    fn title(&self) -> &'static str {
        "Objects under a budget"
    }

    fn run(&self, tour: &mut Tour<'_>) -> Result<(), CliError> {
        tour.say(
            "One file for each object, put whole or not at all. What somebody reads is pinned by a \
             lock that the kernel keeps: it is not evicted, and the pin of a killed reader is gone. \
             There is no index to rebuild, and no reference count to leak.",
        )?;
        let path = tour.path("objects");
        std::fs::create_dir(&path)?;
        let objects = Store::options().budget(BUDGET).open(&path)?;
        objects.put("pinned", &[7; SIZE])?;
        let mut partner = tour.partner("objects", &[&path])?;
        let found = partner.ask("pin")?;
        tour.check_eq("another process reads an object", found, SIZE.to_string())?;
        let puts = 4 * BUDGET / SIZE as u64;
        for number in 0..puts {
            objects.put(&format!("object {number}"), &[1; SIZE])?;
        }
        let size = objects.list()?.iter().map(|object| object.size).sum::<u64>();
        tour.fact("bytes that were put", Value::Bytes((puts + 1) * SIZE as u64))?;
        tour.fact("bytes that are there", Value::Bytes(size))?;
        tour.check(
            "what was read least recently made room",
            Outcome::when(size <= BUDGET, size, format!("at most {BUDGET}")),
        )?;
        let last = objects.get(&format!("object {}", puts - 1))?.is_some();
        tour.check_eq("the newest is there", last, true)?;
        tour.check_eq("the oldest is, since it is read", objects.get("pinned")?.is_some(), true)?;
        let evicted = objects.evict_to(0)?;
        tour.check_eq("nothing else stays when all has to go", evicted.pinned, SIZE as u64)?;
        // Dropping a partner kills it.
        drop(partner);
        let started = Instant::now();
        while objects.evict_to(0)?.objects == 0 && started.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
        tour.check_eq("its reader was killed, and so it goes", objects.list()?.len(), 0)
    }
}

/// The role of the other process.
pub(super) fn play(
    arguments: &[OsString],
    questions: &mut dyn BufRead,
    answers: &mut dyn Write,
) -> Result<(), CliError> {
    let objects = Store::open(one_path(arguments)?)?;
    let mut pins = Vec::new();
    answer_each(questions, answers, |_| {
        let object = objects.get("pinned")?;
        let object = object.ok_or_else(|| CliError::new(Exit::NotFound, "it is not there"))?;
        let size = object.len().to_string();
        pins.push(object);
        Ok(size)
    })
}
