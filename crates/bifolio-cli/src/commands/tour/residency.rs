//! Stop: what of a file is in memory, before and after it is read in, mapped and evicted.

use std::path::Path;

use bifolio::map::machine::{self, Kind};
use bifolio::map::residency::{self, CachedFile, WriteBack};
use bifolio::map::{Flush, Read, ReadWrite, Section, View, page_size};

use super::{Outcome, Stop, Tour};
use crate::commands::page;
use crate::failure::CliError;
use crate::output::Value;

/// The stop.
pub(super) struct Residency;

const SIZE: u64 = 8 << 20;
const WHY_NOT: &str = "this system does not tell which pages of a file are in memory";
const NOTHING_GOES: &str =
    "the directory for temporary files is on overlayfs, and its layers seem to live in memory";
const IN_MEMORY: &str = "the directory for temporary files lives in memory";

impl Stop for Residency {
    fn name(&self) -> &'static str {
        "residency"
    }

    fn title(&self) -> &'static str {
        "What is in memory"
    }

    fn run(&self, tour: &mut Tour<'_>) -> Result<(), CliError> {
        tour.say(
            "A file of 8 MiB is written, made durable, and then evicted, read in part by part, and \
             evicted again while a view of it is in use. Asking reads nothing in. In the pictures \
             a letter stands for 128 KiB, full for what is in memory; `bifolio page map FILE` draws \
             them for any file.",
        )?;
        let path = tour.path("residency");
        let section = Section::create(&path, SIZE)?;
        let view: View<ReadWrite> = section.view()?;
        view.fill(.., 7)?;
        view.flush(.., Flush::Data)?;
        drop((view, section));
        let file = CachedFile::open(&path)?;
        let counted = "after it was evicted no page is in memory";
        if !residency::is_told() {
            return tour.skip(counted, WHY_NOT);
        }
        draw(tour, "written and flushed", &file)?;
        let page = page_size() as u64;
        // Who counts nothing at all would find that all of it is gone, too.
        let found = file.residency(..)?.resident.unwrap_or(0);
        tour.check(
            "what was just written is in memory",
            Outcome::when(found > 0, "no page of it", format!("most of {} pages", SIZE / page)),
        )?;
        if file.is_in_memory() {
            return tour.skip(counted, IN_MEMORY);
        }
        let evicted = gone(&file)?;
        if evicted == SIZE / page && is_overlay(tour.directory()) {
            return tour.skip(counted, NOTHING_GOES);
        }
        draw(tour, "evicted", &file)?;
        tour.check_eq(counted, evicted, 0)?;

        let (from, to) = (SIZE / 4, SIZE / 2);
        let before = residency::bytes_from_disk();
        file.read_in(from..to, &mut vec![0; 1 << 16])?;
        draw(tour, "a quarter read in", &file)?;
        let map = file.page_map(..)?;
        tour.check_eq(
            "a quarter that was read in is in memory, and nothing beside it",
            format!("{:?}", map.runs().collect::<Vec<_>>()),
            format!("[{}..{}]", from / page, to / page),
        )?;
        let disk = before.zip(residency::bytes_from_disk()).map(|(before, now)| now - before);
        match disk {
            Some(disk) => tour.check(
                "the kernel has counted at least as many bytes from the device",
                Outcome::when(disk >= to - from, disk, format!("{} or more", to - from)),
            )?,
            None => tour.skip(
                "the kernel has counted at least as many bytes from the device",
                "this system does not count them",
            )?,
        }

        let view: View<Read> = Section::open(&path)?.view()?;
        tour.check_eq(
            "mapping the file reads nothing in",
            file.residency(..)?.resident.unwrap_or(0),
            (to - from) / page,
        )?;
        view.get::<u8>(SIZE - 1)?;
        draw(tour, "the last byte accessed", &file)?;
        let stays = file.evict(.., WriteBack::First)?;
        tour.fact(
            "stays when it is evicted under the view",
            stays.stayed_in_use().map_or(Value::Missing, |pages| Value::Bytes(pages * page)),
        )?;
        tour.check(
            "a page that a view has mapped is not evicted",
            Outcome::when(
                file.residency(SIZE - 1..)?.resident == Some(1),
                "it is gone",
                "it stays",
            ),
        )?;
        drop(view);
        let evicted = gone(&file)?;
        tour.check_eq("without the view everything goes", evicted, 0)
    }
}

/// Evicts, again if the kernel is just looking at a page, and says how many pages stayed.
fn gone(file: &CachedFile) -> Result<u64, CliError> {
    let mut stayed = 0;
    for _ in 0..50 {
        stayed = file.evict(.., WriteBack::First)?.after.resident.unwrap_or(0);
        if stayed == 0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Ok(stayed)
}

/// An overlay does not say what its layers are.
fn is_overlay(directory: &Path) -> bool {
    machine::file_system(directory).is_ok_and(|found| found.kind.value() == Some(&Kind::Overlay))
}

fn draw(tour: &mut Tour<'_>, when: &str, file: &CachedFile) -> Result<(), CliError> {
    let picture = page::strip_of(file, SIZE / (128 << 10))?;
    tour.fact(when, picture)
}
