//! A bad block is an error that says where, and no signal: whoever reads it, and by which call.
//!
//! The block is bad because the file behind a loop device was cut off: the device keeps its length,
//! and the kernel answers each request for what is gone with EIO.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bifolio_map::{CopyOnWrite, Error, ErrorKind, Flush, Read, ReadWrite, Section, View};
use bifolio_testkit::mount::Tmpfs;
use bifolio_testkit::privilege::need_root;
use bifolio_testkit::skip::{Obstacle, or_count};
use rustix::fs::Advice;

use crate::support::disk::{fill_up, loop_device, on_ext4};
use crate::support::{HAS_ATOMICS, byte_at, page, pattern, refused, says, truncate};

const SIZE: u64 = 4 << 20;
/// Blocks from here on are bad.
const GOOD: u64 = 1 << 20;
/// The size of a file on a file system that loses half of its device.
const FILE: u64 = 8 << 20;

/// A block device that holds the pattern, and whose later blocks can be made bad.
struct Device {
    path: PathBuf,
    backing: PathBuf,
    held: File,
    disk: Tmpfs,
}

impl Device {
    fn new() -> Result<Self, Obstacle> {
        need_root()?;
        let disk = Tmpfs::new(2 * SIZE)?;
        let backing = disk.path().join("backing");
        std::fs::write(&backing, pattern(0, SIZE as usize)).unwrap();
        let (path, held) = loop_device(&backing)?;
        Ok(Self { path, backing, held, disk })
    }

    /// The same, with its later blocks bad and nothing of them in memory.
    fn bad() -> Result<Self, Obstacle> {
        let device = Self::new()?;
        device.spoil();
        rustix::fs::fadvise(&device.held, 0, None, Advice::DontNeed).unwrap();
        Ok(device)
    }

    fn spoil(&self) {
        truncate(&self.backing, GOOD);
    }

    fn view(&self) -> View<Read> {
        Section::open(&self.path).unwrap().view().unwrap()
    }
}

/// Requires the storage fault at the first bad byte.
#[track_caller]
fn bad_at<T: std::fmt::Debug>(offset: u64, outcome: Result<T, Error>) {
    let error = refused(outcome, ErrorKind::StorageFault);
    assert_eq!(error.offset(), Some(offset), "{error}");
    says(&error, &["/dev/loop", &format!("at offset {offset}"), "os error 5"]);
}

#[test]
fn every_way_of_reading_a_bad_block_is_a_storage_fault_at_its_offset() {
    let Some(device) = or_count(Device::bad()) else { return };
    let view = device.view();
    let mut out = vec![0xee; 9000];
    bad_at(GOOD, view.read_at(GOOD - 5000, &mut out));
    assert_eq!(out[..5000], *pattern(GOOD - 5000, 5000), "what was good is there");
    bad_at(GOOD + 7, view.get::<u8>(GOOD + 7));
    bad_at(GOOD + 8, view.get::<u64>(GOOD + 8));
    bad_at(GOOD + 9, view.get::<[u8; 24]>(GOOD + 9));
    bad_at(GOOD, view.get::<[u8; 24]>(GOOD - 10));
    bad_at(GOOD, view.read_vec(..));
    bad_at(GOOD, view.read_some_at(GOOD, &mut [0; 5]));
    bad_at(GOOD, view.read_checked(GOOD - 1, &mut [0; 2]));
    bad_at(GOOD + 8, view.atomic_u64(GOOD + 8).unwrap().load());
    bad_at(SIZE - 1, view.sub(SIZE - 1..).unwrap().get::<u8>(0));
    let memory = Section::anonymous(SIZE).unwrap().view::<ReadWrite>().unwrap();
    bad_at(GOOD, view.copy_to(.., &memory, 0));
    let private: View<CopyOnWrite> = Section::open(&device.path).unwrap().view().unwrap();
    bad_at(GOOD, private.put(GOOD, &1u8));
    // And a good one is as good as ever.
    assert_eq!(view.get::<u8>(GOOD - 1).unwrap(), byte_at(GOOD - 1));
}

#[test]
fn a_scan_and_a_stream_give_the_bytes_before_a_bad_block_and_then_the_fault() {
    let Some(device) = or_count(Device::bad()) else { return };
    let view = device.view();
    let mut seen = 0u64;
    let outcome = view.scan(.., |piece| {
        assert_eq!(piece, pattern(seen, piece.len()));
        seen += piece.len() as u64;
        ControlFlow::<()>::Continue(())
    });
    bad_at(GOOD, outcome);
    assert!(seen <= GOOD);
    let mut bytes = Vec::new();
    let error = view.stream().read_to_end(&mut bytes).unwrap_err();
    assert_eq!(bytes, pattern(0, bytes.len()));
    let inside = error.into_inner().unwrap().downcast::<Error>().unwrap();
    bad_at(GOOD, Err::<(), _>(*inside));
}

#[test]
fn a_store_to_a_bad_block_is_a_storage_fault_and_no_want_of_space() {
    let Some(device) = or_count(Device::bad()) else { return };
    let section = Section::open_rw(&device.path).unwrap();
    let view: View<ReadWrite> = section.view().unwrap();
    bad_at(GOOD + 5, view.put(GOOD + 5, &1u8));
    bad_at(GOOD + 8, view.atomic_u64(GOOD + 8).unwrap().store(1));
    if HAS_ATOMICS {
        bad_at(GOOD + 16, view.atomic_u32(GOOD + 16).unwrap().fetch_add(1));
    }
    bad_at(GOOD, view.write_at(GOOD - 3, b"across"));
    bad_at(GOOD, view.fill(GOOD - 3..GOOD + 3, 7));
    let mut stream = view.stream();
    stream.seek(SeekFrom::Start(GOOD - 2)).unwrap();
    let error = stream.write_all(b"across").unwrap_err();
    says(&error, &["storage fault"]);
    refused(view.flush(.., Flush::Data), ErrorKind::Poisoned);
    refused(section.sync(Flush::Data), ErrorKind::Poisoned);
}

#[test]
fn locking_a_bad_block_in_memory_ends_with_its_fault() {
    let Some(device) = or_count(Device::bad()) else { return };
    let section = Section::open_rw(&device.path).unwrap();
    let (shared, private): (View<ReadWrite>, View<CopyOnWrite>) =
        (section.view().unwrap(), section.view().unwrap());
    let from = GOOD - page();
    for outcome in [
        device.view().lock_in_memory(from..GOOD + 1).map(drop),
        shared.lock_in_memory(from..GOOD + 1).map(drop),
        private.lock_in_memory(from..GOOD + 1).map(drop),
    ] {
        let error = refused(outcome, ErrorKind::StorageFault);
        assert_eq!(error.offset(), Some(GOOD));
        says(&error, &["cannot lock in memory", "cannot read this page", "Input/output error"]);
    }
    drop(shared.lock_in_memory(from..GOOD).unwrap());
}

#[test]
fn a_full_disk_is_one_through_a_handle_that_reads_whole_blocks_only() {
    use std::os::unix::fs::OpenOptionsExt;
    on_ext4(32 << 20, 48 << 20, |image, _| {
        let path = image.path().join("sparse");
        let mut options = File::options();
        options.read(true).write(true).create_new(true);
        let file = options.custom_flags(libc::O_DIRECT).open(&path).unwrap();
        file.set_len(1 << 20).unwrap();
        fill_up(&image.path());
        let view: View<ReadWrite> = Section::from_file(file).unwrap().view().unwrap();
        let error = refused(view.put(5 * page() + 1, &1u8), ErrorKind::StorageFull);
        says(&error, &["at offset", "the system had no space for this page"]);
    });
}

#[test]
fn a_flush_that_the_device_cannot_take_is_a_storage_fault_and_final() {
    let Some(device) = or_count(Device::new()) else { return };
    let section = Section::open_rw(&device.path).unwrap();
    let view: View<ReadWrite> = section.view().unwrap();
    // In memory, so that they can be stored to, and then without a block to go to.
    view.read_vec(..).unwrap();
    device.spoil();
    fill_up(&device.disk.path());
    view.put(GOOD + 100, &7u64).unwrap();
    let error = refused(view.flush(.., Flush::Data), ErrorKind::StorageFault);
    says(&error, &["cannot sync", "/dev/loop", "os error 5"]);
    refused(view.flush(.., Flush::Data), ErrorKind::Poisoned);
}

/// Reads a file page by page by `read`: how many pages were faults, or what was wrong.
fn faults_of(
    path: &Path,
    read: impl Fn(&View<Read>, u64, &mut [u8]) -> Result<(), Error>,
) -> Result<u32, String> {
    let view: View<Read> = Section::open(path).unwrap().view().unwrap();
    let mut faults = 0;
    for offset in (0..view.len()).step_by(page() as usize) {
        let mut out = vec![0xee; page() as usize];
        match read(&view, offset, &mut out) {
            Ok(()) if out == pattern(offset, out.len()) => {}
            Err(error) if error.kind() == ErrorKind::StorageFault => {
                assert_eq!(error.offset(), Some(offset), "{error}");
                faults += 1;
            }
            outcome => return Err(format!("offset {offset}: {outcome:?}, {:?}", &out[..8])),
        }
    }
    Ok(faults)
}

/// Runs `body` on a file on an ext4 of which the device has lost the second half.
fn on_half_an_ext4(body: impl FnOnce(&Path)) {
    on_ext4(16 << 20, 32 << 20, |image, _| {
        let path = image.path().join("file");
        std::fs::write(&path, pattern(0, FILE as usize)).unwrap();
        let file = File::open(&path).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        truncate(image.image_file(), 8 << 20);
        body(&path);
        // The file system's own blocks are zeros now, and it is not asked for them again.
        truncate(image.image_file(), 16 << 20);
    });
}

#[test]
fn every_page_of_a_file_with_bad_blocks_is_right_or_a_storage_fault() {
    on_half_an_ext4(|path| {
        let faults = faults_of(path, |view, offset, out| view.read_at(offset, out)).unwrap();
        println!("{faults} of {} pages are bad", FILE / page());
        assert!(faults > 100, "only {faults} pages were bad");
        let section = Section::open_rw(path).unwrap();
        let view: View<ReadWrite> = section.view().unwrap();
        let kinds = (0..view.len()).step_by(page() as usize).map(|offset| view.put(offset, &1u8));
        let refused: Vec<_> = kinds.filter_map(Result::err).map(|error| error.kind()).collect();
        assert_eq!(refused, vec![ErrorKind::StorageFault; faults as usize]);
    });
}

#[test]
fn readers_that_lose_the_fault_of_a_bad_block_are_noticed() {
    on_half_an_ext4(|path| {
        let careless = faults_of(path, |view, offset, out| {
            let _lost = view.read_at(offset, out);
            Ok(())
        });
        says(&careless.unwrap_err(), &["Ok(())", "238"]);
        let inventive = faults_of(path, |view, offset, out| {
            view.read_at(offset, out).or_else(|_| {
                out.fill(0);
                Ok(())
            })
        });
        says(&inventive.unwrap_err(), &["Ok(())", "[0, 0"]);
    });
}
