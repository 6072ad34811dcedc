//! What is no ordinary file: devices that can be mapped, and all that cannot.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use bifolio_map::{
    CopyOnWrite, ErrorKind, Flush, Read, ReadWrite, Section, SectionKind, Space, View,
};
use bifolio_testkit::privilege::need_root;
use bifolio_testkit::skip::{Skip, or_count};

use crate::support::disk::loop_device;
use crate::support::{directory, file_of, page, pattern, refused, says};

#[test]
fn dev_zero_is_mapped_by_an_explicit_range() {
    let section = Section::options().access(bifolio_map::Access::ReadWrite).open("/dev/zero");
    let section = section.unwrap();
    assert_eq!(section.kind(), SectionKind::Device);
    let error = refused(section.len(), ErrorKind::NotSupported);
    says(&error, &["/dev/zero", "has none", "give the range"]);
    let error = refused(section.view::<Read>(), ErrorKind::InvalidInput);
    says(&error, &["/dev/zero", "give the end of the range"]);
    refused(section.view_of::<Read>(5..), ErrorKind::InvalidInput);
    let size = 3 * page() + 13;
    let read: View<Read> = Section::open("/dev/zero").unwrap().view_of(7..7 + size).unwrap();
    assert_eq!((read.len(), read.offset()), (size, 7));
    assert!(read.read_vec(..).unwrap().iter().all(|&byte| byte == 0));
    read.read_checked(0, &mut [0; 9]).unwrap();
    let shared: View<ReadWrite> = section.view_of(..size).unwrap();
    let private: View<CopyOnWrite> = section.view_of(..=size).unwrap();
    shared.fill(.., 7).unwrap();
    private.fill(.., 8).unwrap();
    assert!(shared.read_vec(..).unwrap().iter().all(|&byte| byte == 7));
    assert!(private.read_vec(..).unwrap().iter().all(|&byte| byte == 8));
    shared.write_at(0, &vec![9; 3 * usize::try_from(page()).unwrap()]).unwrap();
    assert_eq!(shared.get::<u8>(3 * page()).unwrap(), 7);
    assert_eq!(read.get::<u8>(0).unwrap(), 0, "a device of zeros stays one");
    let error = refused(section.set_len(5, Space::Sparse), ErrorKind::NotSupported);
    says(&error, &["a device keeps its length"]);
}

/// Requires that a path is refused in words that say what it is.
#[track_caller]
fn not_mappable(path: impl AsRef<Path>, what: &str) {
    let path = path.as_ref();
    let outcome = Section::open(path).and_then(|section| section.view_of::<Read>(0..1));
    let error = refused(outcome, ErrorKind::NotMappable);
    says(&error, &["cannot", path.to_str().unwrap(), "cannot be mapped", what]);
}

#[test]
fn a_directory_is_not_mappable_and_called_so() {
    let dir = directory();
    not_mappable(dir.path(), "it is a directory");
    says(&refused(Section::open_rw(dir.path()), ErrorKind::NotMappable), &["it is a directory"]);
    let file = File::open(dir.path()).unwrap();
    refused(Section::from_file(file), ErrorKind::NotMappable);
}

#[test]
fn a_pipe_is_not_mappable_and_does_not_block_the_opener() {
    let dir = directory();
    let path = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    not_mappable(&path, "it is a pipe");
    says(&refused(Section::open_rw(&path), ErrorKind::NotMappable), &["read it as a stream"]);
    let (reader, _writer) = std::io::pipe().unwrap();
    let error = refused(Section::from_file(OwnedFd::from(reader).into()), ErrorKind::NotMappable);
    says(&error, &["it is a pipe"]);
}

#[test]
fn a_socket_is_not_mappable_by_path_and_by_handle() {
    let dir = directory();
    let path = dir.path().join("socket");
    let _listener = UnixListener::bind(&path).unwrap();
    not_mappable(&path, "socket");
    let (one, _two) = UnixStream::pair().unwrap();
    let error = refused(Section::from_file(OwnedFd::from(one).into()), ErrorKind::NotMappable);
    says(&error, &["it is a socket"]);
}

#[test]
fn files_of_proc_and_sys_are_not_mappable_and_called_so() {
    not_mappable("/proc/self/status", "a /proc file");
    not_mappable("/proc/self/maps", "a /proc file");
    not_mappable("/proc/cpuinfo", "a /proc file");
    match Path::new("/sys/kernel/mm").exists() {
        true => not_mappable("/sys/kernel/mm/transparent_hugepage/enabled", "a /sys file"),
        false => Skip::because("needs /sys").count(),
    }
}

#[test]
fn devices_without_memory_are_not_mappable() {
    not_mappable("/dev/null", "does not map it");
    not_mappable("/dev/urandom", "does not map it");
}

#[test]
fn a_block_device_is_mapped_with_the_length_that_it_has() {
    if or_count(need_root()).is_none() {
        return;
    }
    let size = 1 << 20;
    let (_dir, image) = file_of(pattern(0, size));
    let Some((path, _held)) = or_count(loop_device(&image)) else { return };
    let section = Section::open_rw(&path).unwrap();
    assert_eq!((section.kind(), section.len().unwrap()), (SectionKind::Device, size as u64));
    let view: View<ReadWrite> = section.view_of(5..).unwrap();
    assert_eq!(view.len(), size as u64 - 5);
    assert!(view.read_vec(..).unwrap() == pattern(5, size - 5));
    let error = refused(section.view_of::<Read>(..=size as u64), ErrorKind::OutOfBounds);
    says(&error, &[path.to_str().unwrap(), "it has 1048576 bytes"]);
    view.write_at(4091, b"through the device").unwrap();
    view.fill(300_000..600_000, 7).unwrap();
    view.flush(.., Flush::Full).unwrap();
    section.sync(Flush::Full).unwrap();
    let bytes = std::fs::read(&image).unwrap();
    assert_eq!(&bytes[4096..4114], b"through the device");
    assert!(bytes[300_005..600_005].iter().all(|&byte| byte == 7));
    refused(section.set_len(5, Space::Sparse), ErrorKind::NotSupported);
    refused(section.set_len(2 << 20, Space::Allocate), ErrorKind::NotSupported);
}

#[test]
fn a_block_device_that_was_handed_over_keeps_its_length_after_privileges_are_dropped() {
    if or_count(need_root()).is_none() {
        return;
    }
    let (_dir, image) = file_of(pattern(0, 1 << 20));
    let Some((path, _held)) = or_count(loop_device(&image)) else { return };
    let section = Section::from_file(File::open(&path).unwrap()).unwrap();
    // The user of one thread, which ends with the test.
    let nobody = std::thread::spawn(move || {
        let id = rustix::process::Uid::from_raw(65534);
        rustix::thread::set_thread_res_uid(id, id, id).unwrap();
        assert!(File::open(&path).is_err(), "the device itself is not ours to open any more");
        let view: View<Read> = section.view().unwrap();
        assert!(view.read_vec(..).unwrap() == pattern(0, 1 << 20));
    });
    nobody.join().unwrap();
}

/// Cuts a file off through one section while another one writes to it; requires that what was cut
/// off stays so until the file is made longer again.
fn judge_crossing(write: impl Fn(&View<ReadWrite>, &std::path::Path) + Sync) -> Result<(), String> {
    use std::sync::atomic::{AtomicBool, Ordering};
    const LEN: u64 = 1 << 20;
    let (_dir, path) = file_of(pattern(0, 1 << 20));
    let (cutter, writer) = (Section::open_rw(&path).unwrap(), Section::open_rw(&path).unwrap());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writes = scope.spawn(|| {
            let view: View<ReadWrite> = writer.view().unwrap();
            while !done.load(Ordering::Relaxed) {
                write(&view, &path);
            }
        });
        let outcome = (0..300).find_map(|round| {
            cutter.set_len(4096, Space::Sparse).unwrap();
            let found = (0..200).find_map(|_| Some(cutter.len().unwrap()).filter(|&n| n != 4096));
            cutter.set_len(LEN, Space::Sparse).unwrap();
            found.map(|len| format!("round {round}: cut off at 4096, it has {len} bytes again"))
        });
        done.store(true, Ordering::Relaxed);
        writes.join().unwrap();
        outcome.map_or(Ok(()), Err)
    })
}

#[test]
fn what_one_section_cut_off_is_not_brought_back_by_a_large_write_through_another() {
    judge_crossing(|view, _| {
        // Fails where the file is cut off at the moment.
        let _ = view.write_at(0, pattern(0, 1 << 20));
    })
    .unwrap();
    judge_crossing(|view, path| {
        let section = Section::open_rw(path).unwrap();
        let Ok(private) = section.view_of::<CopyOnWrite>(..view.len()) else { return };
        if private.write_at(0, pattern(0, 1 << 20)).is_ok() {
            let _ = private.write_back(&section, &[0..view.len()], Flush::Start);
        }
    })
    .unwrap();
}

#[test]
fn a_write_that_asks_for_the_length_and_holds_no_lock_is_noticed() {
    use std::os::unix::fs::FileExt;
    let why = (0..20).find_map(|_| {
        judge_crossing(|_, path| {
            let file = std::fs::File::options().write(true).open(path).unwrap();
            for (piece, at) in pattern(0, 1 << 20).chunks(1 << 18).zip((0..).step_by(1 << 18)) {
                if file.metadata().unwrap().len() >= at + piece.len() as u64 {
                    file.write_all_at(piece, at).unwrap();
                }
            }
        })
        .err()
    });
    println!("{}", why.expect("the file is brought back now and then"));
}

#[test]
fn a_handle_that_goes_past_the_cache_is_written_and_scanned_through_its_map() {
    use std::os::unix::fs::OpenOptionsExt;
    let (_dir, path) = file_of(&vec![0; (1 << 20) + 100]);
    let mut options = std::fs::File::options();
    let direct = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).unwrap();
    let Ok(file) = options.read(true).write(true).custom_flags(direct).open(&path) else {
        return Skip::because("the file system has no O_DIRECT").count();
    };
    let section = Section::from_file(file).unwrap();
    let view: View<ReadWrite> = section.view().unwrap();
    for (offset, size) in [(0, 1 << 20), (7, 300_000), (512, (1 << 20) - 412)] {
        view.drop_behind(..).unwrap();
        view.write_at(offset, pattern(offset, size)).unwrap();
        let (mut at, end) = (offset, offset + size as u64);
        let _ = view
            .scan(offset..end, |piece| {
                assert!(piece == pattern(at, piece.len()), "offset {at}");
                at += piece.len() as u64;
                std::ops::ControlFlow::<()>::Continue(())
            })
            .unwrap();
        assert_eq!(at, end);
    }
    view.flush(.., Flush::Full).unwrap();
    section.set_len(3 << 20, Space::Allocate).unwrap();
    section.sync(Flush::Full).unwrap();
    assert!(std::fs::read(&path).unwrap()[512..(1 << 20) + 100] == *pattern(512, (1 << 20) - 412));
}
