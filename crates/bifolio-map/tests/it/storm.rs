//! The storm: threads read and write by every accessor while another process cuts the file off
//! and extends it again. No signal may kill us, and no access may succeed with a wrong byte.
//!
//! What an offset may hold: below `FLOOR`, which is never cut off, its pattern byte. Above, its
//! pattern byte or zero: bytes that were cut off come back as zeros when the file grows again, and
//! read as zeros in the last live page (no system reports either; see `docs/SAFETY.md`). Writers
//! write the pattern or zeros only, so there is nothing else to find. Below `SLOTS` each thread has a
//! slot of its own, never cut off: what it writes there, by every way to write, must be in the file.
//!
//! An access is one call of one accessor on one random range; the count is printed. With
//! `BIFOLIO_BUDGET=170` each of the three storms makes ten million.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write as _};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use bifolio_map::{
    CopyOnWrite, Error, ErrorKind, GrowableView, Read, ReadWrite, Section, View, fault, page_size,
};
use bifolio_testkit::child::{self, Child, Rerun};
use bifolio_testkit::{Random, budget, this_test};

use crate::support::disk::{fill_up, on_ext4, on_tmpfs};
use crate::support::{HAS_ATOMICS, byte_at, directory, pattern, truncate};

const SIZE: u64 = 1 << 20;
const FLOOR: u64 = SLOTS + 3 * 4096 + 100;
const THREADS: u64 = 4;
const SLOT: u64 = 80 << 10;
const SLOTS: u64 = THREADS * SLOT;
const FILE: &str = "BIFOLIO_STORM_FILE";

/// The first byte that must not be there. `offset` counts in the file.
fn wrong_byte(offset: u64, bytes: &[u8]) -> Option<u64> {
    let wrong = |(at, &byte): (u64, &u8)| byte != byte_at(at) && (byte != 0 || at < FLOOR);
    (offset..).zip(bytes).find(|&pair| wrong(pair)).map(|(at, _)| at)
}

#[track_caller]
fn require_right(offset: u64, bytes: &[u8]) {
    if let Some(at) = wrong_byte(offset, bytes) {
        let found = bytes[usize::try_from(at - offset).unwrap()];
        panic!("offset {at} holds {found:#x}, its byte is {:#x}", byte_at(at));
    }
}

/// The other process: cuts the file off anywhere above the floor and brings it back, for ever.
fn truncate_for_ever() -> ! {
    let mut random = Random::new();
    let file = File::options().write(true).open(std::env::var(FILE).unwrap()).unwrap();
    child::tell("at work");
    loop {
        let len = FLOOR + random.u64(0..SIZE - FLOOR);
        file.set_len(len).unwrap();
        if random.bool() {
            std::thread::yield_now();
        }
        file.set_len(SIZE).unwrap();
        // On a full disk this fails, and the hole stays one.
        let from = FLOOR + random.u64(0..SIZE - FLOOR);
        let size = usize::try_from((SIZE - from).min(200_000)).unwrap();
        let _ = file.write_all_at(pattern(from, size), from);
    }
}

fn truncator(test: &str, path: &Path) -> Child {
    let rerun = Rerun::of(test, "truncator").with_variable(FILE, path);
    rerun.within(std::time::Duration::from_secs(3600)).spawn().unwrap()
}

/// What became of the accesses.
#[derive(Debug, Default)]
struct Tally {
    done: AtomicU64,
    refused: AtomicU64,
}

impl Tally {
    /// Counts an access; what it read, if it succeeded.
    fn count<T>(&self, outcome: Result<T, Error>) -> Option<T> {
        self.done.fetch_add(1, Ordering::Relaxed);
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                // A file that was whole again when the length was asked for makes the fault look
                // like the device's.
                let expected =
                    [ErrorKind::UnexpectedEof, ErrorKind::StorageFull, ErrorKind::StorageFault];
                assert!(expected.contains(&error.kind()), "{error}");
                self.refused.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }
}

/// One random access; what it read must be right.
fn access(random: &mut Random, view: &View<ReadWrite>, tally: &Tally) {
    let start = view.offset();
    let large = if random.one_in(20) { 150_000 } else { 700 };
    let size = random.usize(1..large);
    let offset = random.u64(SLOTS - start..view.len() - size.max(24) as u64);
    let at = start + offset;
    let word = offset & !7;
    match random.u32(0..if HAS_ATOMICS { 16 } else { 12 }) {
        0 => {
            let mut out = vec![0xee; size];
            if tally.count(view.read_at(offset, &mut out)).is_some() {
                require_right(at, &out);
            }
        }
        1 => {
            let from = offset.max(FLOOR - start);
            tally.count(view.fill(from..(from + size as u64).min(view.len()), 0));
        }
        2 => drop(
            tally
                .count(view.read_vec(offset..offset + size as u64))
                .map(|bytes| require_right(at, &bytes)),
        ),
        3 => drop(tally.count(view.get::<u8>(offset)).map(|byte| require_right(at, &[byte]))),
        4 => drop(
            tally.count(view.get::<u32>(offset)).map(|word| require_right(at, &word.to_ne_bytes())),
        ),
        5 => drop(
            tally.count(view.get::<u64>(offset)).map(|word| require_right(at, &word.to_ne_bytes())),
        ),
        6 => drop(tally.count(view.get::<[u8; 24]>(offset)).map(|bytes| require_right(at, &bytes))),
        7 => drop(tally.count(view.write_at(offset, pattern(at, size)))),
        8 => drop(tally.count(view.put(offset, &byte_at(at)))),
        9 => {
            let bytes: [u8; 8] = pattern(at, 8).try_into().unwrap();
            tally.count(view.put(offset, &u64::from_ne_bytes(bytes)));
        }
        10 => {
            let mut position = at;
            let flow = view.scan(offset..offset + size as u64, |piece| {
                require_right(position, piece);
                position += piece.len() as u64;
                std::ops::ControlFlow::<()>::Continue(())
            });
            tally.count(flow);
        }
        11 => drop(
            tally
                .count(view.atomic_u64(word).unwrap().load())
                .map(|value| require_right(start + word, &value.to_ne_bytes())),
        ),
        12 => drop(
            tally
                .count(view.atomic_u32(word).unwrap().fetch_add(0))
                .map(|value| require_right(start + word, &value.to_ne_bytes())),
        ),
        kind => {
            let bytes: [u8; 8] = pattern(start + word, 8).try_into().unwrap();
            let (word, right) = (view.atomic_u64(word).unwrap(), u64::from_ne_bytes(bytes));
            let found = match kind {
                13 => tally.count(word.swap(right)),
                14 => tally.count(word.fetch_or(0)),
                _ => tally
                    .count(word.compare_exchange(0, right))
                    .map(|found| found.unwrap_or_else(|other| other)),
            };
            if let Some(found) = found {
                require_right(at & !7, &found.to_ne_bytes());
            }
        }
    }
}

/// The ways to write bytes.
#[derive(Clone, Copy, Debug)]
enum Writer {
    WriteAt,
    Put,
    Fill,
    Swap,
    CopyTo,
    Stream,
}

const WRITERS: [Writer; 6] = [
    Writer::WriteAt,
    Writer::Put,
    Writer::Fill,
    Writer::CopyTo,
    Writer::Stream,
    Writer::Swap, // the last: not everywhere to be had
];

/// Whether there is space for a write into a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    Roomy,
    Full,
}

type Write = fn(Writer, &View<ReadWrite>, u64, &[u8]) -> Result<(), Error>;

/// Writes by our calls. `Put` and `Swap` get eight bytes, `Fill` gets equal ones.
fn write(writer: Writer, view: &View<ReadWrite>, offset: u64, bytes: &[u8]) -> Result<(), Error> {
    let word = || u64::from_ne_bytes(bytes.try_into().unwrap());
    match writer {
        Writer::WriteAt => view.write_at(offset, bytes),
        Writer::Put => view.put(offset, &word()),
        Writer::Fill => view.fill(offset..offset + bytes.len() as u64, bytes[0]),
        Writer::Swap => view.atomic_u64(offset)?.swap(word()).map(drop),
        Writer::CopyTo => {
            let from: View<ReadWrite> = Section::anonymous(bytes.len() as u64)?.view()?;
            from.write_at(0, bytes)?;
            from.copy_to(.., view, offset)
        }
        Writer::Stream => {
            let mut stream = view.stream();
            stream.seek(SeekFrom::Start(offset)).unwrap();
            let written = stream.write_all(bytes);
            written.map_err(|error| Error::os("write to a stream", error))
        }
    }
}

/// Writes fresh bytes somewhere in a slot that nobody else writes and nobody cuts off; requires
/// that exactly they are in the file, as a call reads it. On a full disk the write may be refused:
/// the slots have their blocks, but a large folio may reach from them over a hole, and the kernel
/// wants blocks for all of it (ext4 since Linux 6.16). Then each byte is the old or the new one.
fn judge_write(
    random: &mut Random,
    view: &View<ReadWrite>,
    file: &File,
    slot: u64,
    write: Write,
    disk: Disk,
) -> Result<(), String> {
    let writer = WRITERS[random.usize(0..if HAS_ATOMICS { 6 } else { 5 })];
    let (first, end) = ((slot * SLOT).max(view.offset()), (slot + 1) * SLOT);
    let large = if random.one_in(10) { 70_000 } else { 3000 };
    let size =
        if matches!(writer, Writer::Put | Writer::Swap) { 8 } else { random.usize(1..large) };
    let mut at = random.u64(first..end - size as u64);
    if matches!(writer, Writer::Swap) {
        at = at.next_multiple_of(8).min(end - 8);
    }
    let mut bytes: Vec<u8> = (0..size).map(|_| random.u32(0..256) as u8).collect();
    if matches!(writer, Writer::Fill) {
        let byte = bytes[0];
        bytes.fill(byte);
    }
    let mut found = vec![0; usize::try_from(SLOT).unwrap()];
    let start = usize::try_from(at - slot * SLOT).unwrap();
    file.read_exact_at(&mut found, slot * SLOT).unwrap();
    let before = found.clone();
    let mut expected = found.clone();
    expected[start..start + size].copy_from_slice(&bytes);
    let outcome = write(writer, view, at - view.offset(), &bytes);
    file.read_exact_at(&mut found, slot * SLOT).unwrap();
    match outcome {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::StorageFull && disk == Disk::Full => {
            for (at, byte) in found.iter().enumerate() {
                if *byte == before[at] {
                    expected[at] = *byte;
                }
            }
        }
        Err(error) => return Err(format!("{writer:?}: {error}")),
    }
    match found.iter().zip(&expected).position(|(found, expected)| found != expected) {
        Some(wrong) => Err(format!(
            "{writer:?} of {size} bytes at {at} said it had worked; wrong at {}",
            slot * SLOT + wrong as u64
        )),
        None => Ok(()),
    }
}

/// Threads of random accesses while the file is cut off and extended.
fn storm(test: &str, path: &Path, disk: Disk) {
    let section = Section::open_rw(path).unwrap();
    let growable: GrowableView<ReadWrite> = section.growable(2 * SIZE).unwrap();
    // Windows of several kinds on the same bytes.
    let views = [
        section.view::<ReadWrite>().unwrap(),
        section.view_of(8..).unwrap(),
        growable.view().unwrap(),
        section.view::<ReadWrite>().unwrap().sub(4096..).unwrap(),
    ];
    let tally = Tally::default();
    let accesses = budget(60_000) / THREADS;
    let truncator = truncator(test, path);
    let file = File::open(path).unwrap();
    std::thread::scope(|scope| {
        for (slot, view) in (0..).zip(&views) {
            let (tally, file) = (&tally, &file);
            scope.spawn(move || {
                let mut random = Random::new();
                let mut count = 0;
                // On a quiet machine the threads could be done before the first cut.
                while count < accesses || tally.refused.load(Ordering::Relaxed) == 0 {
                    access(&mut random, view, tally);
                    if count % 16 == 0 {
                        judge_write(&mut random, view, file, slot, write, disk).unwrap();
                    }
                    count += 1;
                    assert!(count < accesses + 50_000_000, "nothing was ever refused");
                }
            });
        }
    });
    drop(truncator);
    let (done, refused) = (tally.done.into_inner(), tally.refused.into_inner());
    println!("{done} accesses on {THREADS} threads, {refused} of them refused");
    assert!(done >= accesses * THREADS && refused > 0);
    fault::check().unwrap();
}

/// The file of the storm, all of it there.
fn file_in(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("storm");
    std::fs::write(&path, pattern(0, usize::try_from(SIZE).unwrap())).unwrap();
    path
}

/// A file of which half has space, while for the other half there is none.
fn full_file_in(dir: &Path) -> std::path::PathBuf {
    let path = file_in(dir);
    truncate(&path, SIZE / 2);
    // ext4 gives a file its blocks when it is written out; they are to be there before the disk is full.
    File::open(&path).unwrap().sync_all().unwrap();
    fill_up(dir);
    truncate(&path, SIZE);
    path
}

#[test]
fn truncation_under_readers_and_writers_is_an_error_and_never_a_wrong_byte() {
    if child::role().as_deref() == Some("truncator") {
        truncate_for_ever();
    }
    let dir = directory();
    storm(this_test!(), &file_in(dir.path()), Disk::Roomy);
}

#[test]
fn the_same_storm_on_a_full_tmpfs_is_an_error_and_never_a_wrong_byte() {
    if child::role().as_deref() == Some("truncator") {
        truncate_for_ever();
    }
    on_tmpfs(this_test!(), 4 << 20, |dir| storm(this_test!(), &full_file_in(dir), Disk::Full));
}

#[test]
fn the_same_storm_on_a_full_ext4_is_an_error_and_never_a_wrong_byte() {
    if child::role().as_deref() == Some("truncator") {
        truncate_for_ever();
    }
    on_ext4(16 << 20, 64 << 20, |image, _| {
        storm(this_test!(), &full_file_in(&image.path()), Disk::Full);
    });
}

/// The seeded bug: a reader that does not look at the outcome. How many of its reads the checker
/// of the storm notices.
fn noticed_of_a_careless_reader(view: &View<Read>) -> u32 {
    let reads = (0..SIZE - 5000).step_by(4096).map(|offset| {
        let mut out = vec![0xee; 5000];
        let _ = view.read_at(offset, &mut out);
        u32::from(wrong_byte(offset, &out).is_some())
    });
    reads.sum()
}

#[test]
fn the_checker_of_the_storm_notices_a_reader_that_ignores_errors() {
    let dir = directory();
    let path = file_in(dir.path());
    let view: View<Read> = Section::open(&path).unwrap().view().unwrap();
    truncate(&path, FLOOR);
    let noticed = noticed_of_a_careless_reader(&view);
    assert!(noticed > 150, "only {noticed} reads were noticed");
    // And one that takes the zeros of a cut-off file for bytes that were never cut off.
    assert_eq!(wrong_byte(FLOOR - 1, &[0; 2]), Some(FLOOR - 1));
    assert_eq!(wrong_byte(FLOOR, &[0; 2]), None);
}

#[test]
fn writes_that_say_they_worked_and_did_not_are_noticed() {
    let twins: [(&str, Write); 4] = [
        ("does nothing", |_, _, _, _| Ok(())),
        ("leaves the last byte out of a fill", |writer, view, offset, bytes| match writer {
            Writer::Fill => write(writer, view, offset, &bytes[..bytes.len() - 1]),
            _ => write(writer, view, offset, bytes),
        }),
        ("swaps nothing", |writer, view, offset, bytes| match writer {
            Writer::Swap => Ok(()),
            _ => write(writer, view, offset, bytes),
        }),
        ("writes a byte too many", |writer, view, offset, bytes| match writer {
            Writer::WriteAt => write(writer, view, offset, &[bytes, &[bytes[0] ^ 1]].concat()),
            _ => write(writer, view, offset, bytes),
        }),
    ];
    let dir = directory();
    let path = file_in(dir.path());
    let view: View<ReadWrite> = Section::open_rw(&path).unwrap().view().unwrap();
    let (file, mut random) = (File::open(&path).unwrap(), Random::new());
    for (name, twin) in twins {
        if name == "swaps nothing" && !HAS_ATOMICS {
            continue;
        }
        let why = (0..500)
            .find_map(|_| judge_write(&mut random, &view, &file, 1, twin, Disk::Roomy).err());
        println!(
            "{name}: {}",
            why.unwrap_or_else(|| panic!("the twin that {name} was not noticed"))
        );
    }
    for _ in 0..200 {
        judge_write(&mut random, &view, &file, 1, write, Disk::Roomy).unwrap();
    }
}

#[test]
fn the_checker_notices_it_on_a_full_disk_too() {
    on_tmpfs(this_test!(), 4 << 20, |dir| {
        let path = full_file_in(dir);
        let view: View<Read> = Section::open(&path).unwrap().view().unwrap();
        let noticed = noticed_of_a_careless_reader(&view);
        assert!(noticed > 100, "only {noticed} reads were noticed");
    });
}

#[test]
fn a_private_view_of_a_file_that_is_cut_off_faults_even_in_pages_it_has_copied() {
    let dir = directory();
    let path = file_in(dir.path());
    let view: View<CopyOnWrite> = Section::open(&path).unwrap().view().unwrap();
    let at = (SIZE - 1).next_multiple_of(page_size() as u64) - page_size() as u64;
    view.put(at, &7u8).unwrap();
    truncate(&path, FLOOR);
    assert_eq!(view.get::<u8>(at).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(view.put(at, &7u8).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(view.get::<u8>(5).unwrap(), byte_at(5));
}
