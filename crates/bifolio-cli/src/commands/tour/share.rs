//! Stop: two processes share a table of counters; one is killed with the lock, the other goes on.

use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use bifolio::map::Create;
use bifolio::share::{ErrorKind, Life, Lock, Mutex, Region, Why};

use super::child::{answer_each, one_path};
use super::{Outcome, Stop, Tour};
use crate::failure::CliError;
use crate::output::Value;

/// The stop.
pub(super) struct Share;

/// Two rows of counters that every update moves together.
type Table = [[u64; 8]; 2];

const TABLE: &str = "counters";
/// Updates that each process makes at the same time.
const UPDATES: u64 = 2000;
/// Far longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(20);

impl Stop for Share {
    fn name(&self) -> &'static str {
        "share"
    }

    fn title(&self) -> &'static str {
        "Locks that survive their owners"
    }

    fn run(&self, tour: &mut Tour<'_>) -> Result<(), CliError> {
        tour.say(
            "Two processes join a region and count in a shared table, under a lock that is a word \
             in that memory. Then one is killed with the lock in its hand and half of an update \
             done. Whoever waits finds that out, gets the lock, is told, and repairs.",
        )?;
        let path = tour.path("region");
        let region = Region::options().capacity(64 << 20).create(Create::New).open(&path)?;
        let table = region.mutex(TABLE, Table::default())?;
        let mut partner = tour.partner("share", &[&path])?;
        let first = partner.ask("join")?;
        tour.fact("another process joins the region as", first.clone())?;
        let alive = region.members()?.iter().filter(|one| one.life == Life::Alive).count();
        tour.check_eq("both are in the list of the living", alive, 2)?;

        partner.tell("count")?;
        for _ in 0..UPDATES {
            count(&table)?;
        }
        partner.hear()?;
        let found = table.lock()?.sound()?.get()?;
        tour.check_eq("both have counted, and no update is lost", found[0][0], 2 * UPDATES)?;

        let before = region.committed()?;
        partner.ask("grow")?;
        let (after, capacity) = (region.committed()?, region.capacity());
        tour.fact("the region may grow to", Value::Bytes(capacity))?;
        tour.check(
            "it grows the region, and we see that with no call of ours",
            Outcome::when(after > before, after, format!("more than {before}")),
        )?;

        tour.check_eq("it takes the only permit", partner.ask("permit")?, "taken".into())?;
        let permit = region.semaphore("permit", 1)?;
        let refused = permit.try_acquire().err().map(|error| error.kind());
        tour.check(
            "and there is none for us",
            Outcome::when(
                refused == Some(ErrorKind::Busy),
                format!("{refused:?}"),
                format!("{:?}", Some(ErrorKind::Busy)),
            ),
        )?;

        partner.ask("half")?;
        let started = Instant::now();
        // Dropping a partner kills it.
        drop(partner);
        let lock = table.lock_within(PATIENCE)?;
        let took = started.elapsed();
        let Lock::Unsound(mut left) = lock else {
            return tour.check(
                "it is killed with the lock, and we are told",
                Outcome::failed("a sound value", "the word that its owner died"),
            );
        };
        tour.check(
            "it is killed with the lock, and we are told",
            Outcome::when(
                left.why() == Why::OwnerDied,
                format!("{:?}", left.why()),
                format!("{:?}", Why::OwnerDied),
            ),
        )?;
        tour.fact("from the kill to the lock", Value::Duration(took))?;
        let [above, below] = left.get()?;
        tour.check_eq("half of its update is there", above[0], below[0] + 1)?;
        left.set(&[below; 2])?;
        drop(left.repaired()?);
        count(&table)?;
        let found = table.lock()?.sound()?.get()?;
        tour.check_eq("we repair it and count on", found[1][0], 2 * UPDATES + 1)?;
        drop(permit.acquire_within(PATIENCE)?);
        tour.check_eq("its permit has come back", permit.available()?, 1)?;
        tour.check_eq("its death is counted once", region.deaths()?, 1)?;
        let next = tour.partner("share", &[&path])?.ask("join")?;
        let expected = format!("not {first}");
        tour.check(
            "another one joins, and nobody takes it for the dead one",
            Outcome::when(next != first, next, expected),
        )
    }
}

/// Moves both rows, in two stores.
fn count(table: &Mutex<Table>) -> Result<(), CliError> {
    let mut guard = table.lock()?.sound()?;
    let [mut above, mut below] = guard.get()?;
    above[0] += 1;
    guard.set(&[above, below])?;
    below[0] += 1;
    Ok(guard.set(&[above, below])?)
}

/// The role of the other process.
pub(super) fn play(
    arguments: &[OsString],
    questions: &mut dyn BufRead,
    answers: &mut dyn Write,
) -> Result<(), CliError> {
    let region = Region::open(one_path(arguments)?)?;
    let table = region.mutex(TABLE, Table::default())?;
    let only = region.semaphore("permit", 1)?;
    let mut permits = Vec::new();
    let mut guards = Vec::new();
    answer_each(questions, answers, |question| {
        Ok(match question {
            "join" => region.me().to_string(),
            "count" => {
                for _ in 0..UPDATES {
                    count(&table)?;
                }
                "counted".into()
            }
            "grow" => {
                region.grow_to(region.committed()? + (1 << 20))?;
                "grown".into()
            }
            "permit" => {
                permits.push(only.acquire()?);
                "taken".into()
            }
            _ => {
                let mut guard = table.lock()?.sound()?;
                let [mut above, below] = guard.get()?;
                above[0] += 1;
                guard.set(&[above, below])?;
                guards.push(guard);
                "half".into()
            }
        })
    })
}
