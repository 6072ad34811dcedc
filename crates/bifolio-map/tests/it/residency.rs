//! Which pages are in memory: compared with what vmtouch and fincore say, and with what was done.

use std::fs::{File, FileTimes};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use bifolio_map::residency::{CachedFile, Evicted, Mappers, PageMap, Residency, WriteBack};
use bifolio_map::{ErrorKind, Flush, Read, ReadWrite, Section, Space, View};
use bifolio_testkit::mount::{Filesystem, Image};
use bifolio_testkit::privilege::need_root;
use bifolio_testkit::skip::{Skip, or_count};
use bifolio_testkit::{Random, budget, this_test};

use crate::support::disk::{on_ext4, on_tmpfs};
#[cfg(target_arch = "x86_64")]
use crate::support::process::alone;
use crate::support::process::{as_ordinary_user, succeeds};
#[cfg(target_arch = "x86_64")]
use crate::support::seccomp::forbid;
use crate::support::{directory, file_of, page, pattern, refused, says};

/// Writes a file out and drops it.
fn cold(path: &Path) -> CachedFile {
    let file = CachedFile::open(path).unwrap();
    all_gone(&file);
    file
}

/// Evicts until nothing stays: a page that the kernel is just looking at does, for a moment.
pub(crate) fn all_gone(file: &CachedFile) {
    for _ in 0..100 {
        if file.evict(.., WriteBack::First).unwrap().after.resident == Some(0) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} does not leave memory: {:?}", file.path().display(), file.residency(..));
}

/// The number after a word in what a command prints; `None` if there is no such command.
fn number_after(command: &[&str], path: &Path, word: &str) -> Option<u64> {
    let output = Command::new(command[0]).args(&command[1..]).arg(path).output().ok()?;
    let text = String::from_utf8(output.stdout).unwrap();
    let rest = &text[text.find(word).unwrap_or_else(|| panic!("{command:?}: {text}"))..];
    let rest = rest[word.len()..].trim_start();
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    Some(rest[..end].parse().unwrap())
}

/// Resident pages of a range by vmtouch, which asks mincore of a map.
pub(crate) fn by_vmtouch(path: &Path, range: Option<(u64, u64)>) -> Option<u64> {
    let range = range.map(|(start, end)| format!("{start}-{end}"));
    let mut command = vec!["vmtouch"];
    if let Some(range) = &range {
        command.extend(["-p", range]);
    }
    number_after(&command, path, "Resident Pages:")
}

/// Resident pages of a file by fincore of util-linux.
fn by_fincore(path: &Path) -> Option<u64> {
    number_after(&["fincore", "--noheadings", "--raw", "--output", "PAGES"], path, "")
}

pub(crate) fn have_rivals() -> bool {
    let both = succeeds(&["sh", "-c", "command -v vmtouch && command -v fincore"]);
    if !both {
        Skip::because("needs vmtouch and fincore (packages vmtouch, util-linux)").count();
    }
    both
}

/// A file with data, holes and a last page that is not full, of which nothing is in memory; then
/// some of its pages are read.
fn patchwork(path: &Path, random: &mut Random) -> (CachedFile, Vec<bool>) {
    let pages = random.u64(1..64);
    let file = File::options().create(true).truncate(true).write(true).read(true).open(path);
    let file = file.unwrap();
    file.set_len(pages * page() - random.u64(0..page())).unwrap();
    for _ in 0..random.u32(0..4) {
        let start = random.u64(0..pages);
        let size = random.u64(0..(pages - start) * page()).min(file.metadata().unwrap().len());
        let bytes = vec![7; size as usize];
        file.write_all_at(&bytes, start * page()).unwrap();
    }
    let pages = file.metadata().unwrap().len().div_ceil(page());
    file.sync_all().unwrap();
    let found = cold(path);
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random).unwrap();
    let mut expected = vec![false; pages as usize];
    for number in 0..pages {
        if random.bool() {
            file.read_at(&mut [0; 1], number * page()).unwrap();
            expected[number as usize] = true;
        }
    }
    (found, expected)
}

fn page_by_page(found: &CachedFile, pages: usize) -> Vec<bool> {
    let map = found.page_map(..).unwrap();
    (0..pages as u64).map(|page| map.contains(page)).collect()
}

/// Each way of asking, against each other and against the rivals.
fn agrees(found: &CachedFile, expected: &[bool], random: &mut Random) {
    let path = found.path();
    let seed = random.seed();
    // Memory may be reclaimed in between: only answers of one moment can agree.
    let mut map = page_by_page(found, expected.len());
    let (counted, vmtouch, fincore) = loop {
        let told =
            (found.residency(..).unwrap().resident, by_vmtouch(path, None), by_fincore(path));
        let again = page_by_page(found, expected.len());
        if again == map {
            break told;
        }
        map = again;
    };
    let resident = Some(map.iter().filter(|&&is_in| is_in).count() as u64);
    assert_eq!((counted, vmtouch, fincore), (resident, resident, resident), "seed {seed}");
    let length = found.len();
    let (a, b) = (random.u64(0..length + 1), random.u64(0..length + 1));
    let part = a.min(b)..a.max(b);
    let pages = if part.is_empty() { 0..0 } else { part.start / page()..part.end.div_ceil(page()) };
    let inside = map[pages.start as usize..pages.end as usize].iter().filter(|&&is_in| is_in);
    let found = found.residency(part.clone()).unwrap();
    assert_eq!(found.resident, Some(inside.count() as u64), "{part:?}, seed {seed}");
    assert_eq!(found.pages, pages.end - pages.start);
}

#[test]
fn residency_agrees_with_vmtouch_and_fincore_on_random_patterns() {
    if !have_rivals() {
        return;
    }
    let dir = directory();
    for round in 0..budget(25) {
        let mut random = Random::new();
        let path = dir.path().join(format!("patchwork-{round}"));
        let (found, expected) = patchwork(&path, &mut random);
        agrees(&found, &expected, &mut random);
        assert_eq!(page_by_page(&found, expected.len()), expected, "seed {}", random.seed());
    }
}

#[test]
fn residency_agrees_with_vmtouch_page_by_page() {
    if !have_rivals() {
        return;
    }
    let dir = directory();
    let mut random = Random::new();
    let (found, expected) = patchwork(&dir.path().join("patchwork"), &mut random);
    for (number, is_in) in page_by_page(&found, expected.len()).into_iter().enumerate() {
        let start = number as u64 * page();
        let end = (start + page()).min(found.len());
        let theirs = by_vmtouch(found.path(), Some((start, end)));
        assert_eq!(theirs, Some(u64::from(is_in)), "page {number}, seed {}", random.seed());
        let ours = found.residency(start..end).unwrap();
        assert_eq!((ours.pages, ours.resident), (1, Some(u64::from(is_in))));
    }
}

#[test]
fn residency_agrees_on_tmpfs_where_every_written_page_is_in_memory() {
    on_tmpfs(this_test!(), 8 << 20, |dir| {
        let path = dir.join("sparse");
        let file = File::create(&path).unwrap();
        // Pages are mapped to be asked about: on 32 bits up to page 2^32 of a file.
        let len: u64 = if cfg!(target_pointer_width = "32") { 1 << 44 } else { 1 << 60 };
        file.set_len(len).unwrap();
        file.write_all_at(b"one", len / 2 + 5).unwrap();
        file.write_all_at(b"2", len - 1).unwrap();
        let found = CachedFile::open(&path).unwrap();
        assert!(found.is_in_memory());
        let map = found.page_map(..).unwrap();
        let last = len / page() - 1;
        let middle = len / 2 / page();
        assert_eq!(map.runs().collect::<Vec<_>>(), [middle..middle + 1, last..last + 1]);
        assert_eq!(found.residency(..).unwrap().resident, Some(2));
        assert_eq!(found.allocated(), 2 * page());
        let evicted = found.evict(.., WriteBack::First).unwrap();
        assert_eq!((evicted.dropped(), evicted.stayed_in_use()), (Some(0), Some(2)));
        if have_rivals() {
            let small = dir.join("small");
            std::fs::write(&small, pattern(0, 10_000)).unwrap();
            let found = CachedFile::open(&small).unwrap();
            assert_eq!(found.residency(..).unwrap().resident, by_vmtouch(&small, None));
            assert_eq!(found.residency(..).unwrap().resident, by_fincore(&small));
        }
    });
}

#[test]
fn dirty_pages_are_counted_until_they_are_flushed() {
    on_ext4(64 << 20, 96 << 20, |image, _| {
        let path = image.path().join("data");
        let section = Section::create(&path, 64 * page()).unwrap();
        section.sync(Flush::Full).unwrap();
        let view: View<ReadWrite> = section.view().unwrap();
        let file = CachedFile::open(&path).unwrap();
        let dirty = |range: std::ops::Range<u64>| section.residency(range).unwrap().dirty.unwrap();
        assert_eq!(dirty(0..64 * page()), 0);
        view.write_at(5 * page() + 7, b"changed").unwrap();
        assert_eq!(dirty(5 * page()..5 * page() + 1), 1);
        assert!(file.residency(..).unwrap().dirty.unwrap() >= 1);
        view.flush(.., Flush::Data).unwrap();
        assert_eq!(dirty(0..64 * page()), 0);
        assert_eq!(file.residency(..).unwrap().write_back, Some(0));
    });
}

#[test]
fn evicting_drops_what_is_clean_and_says_what_stayed() {
    let (_dir, path) = file_of(pattern(0, 1 << 20));
    let file = CachedFile::open(&path).unwrap();
    let pages = (1 << 20) / page();
    // Not written back before: some of it is dirty or on its way, and none of it is lost.
    let first = file.evict(.., WriteBack::No).unwrap();
    assert_eq!(first.before.resident, Some(pages));
    let stayed = first.after.resident.unwrap();
    assert_eq!(stayed, first.stayed_dirty().unwrap() + first.stayed_in_use().unwrap());
    let second = file.evict(.., WriteBack::First).unwrap();
    assert_eq!(second.stayed_dirty(), Some(0), "{second:?}");
    all_gone(&file);
    assert_eq!(std::fs::read(&path).unwrap(), pattern(0, 1 << 20));
}

#[test]
fn pages_that_a_process_maps_or_locks_stay_and_are_said_to_be_in_use() {
    let (_dir, path) = file_of(pattern(0, 1 << 20));
    let file = cold(&path);
    let section = Section::open(&path).unwrap();
    let view: View<Read> = section.view().unwrap();
    let whole = view.read_vec(..).unwrap();
    let evicted = section.evict(.., WriteBack::First).unwrap();
    let in_use = evicted.stayed_in_use().unwrap();
    assert!(in_use > 0 && evicted.stayed_dirty() == Some(0), "{evicted:?}");
    let lock = view.lock_in_memory(..).unwrap();
    let evicted = file.evict(.., WriteBack::First).unwrap();
    assert_eq!(evicted.stayed_in_use(), Some(whole.len() as u64 / page()));
    drop((lock, view));
    all_gone(&file);
}

#[test]
fn asking_reads_nothing_in_and_leaves_the_access_time_alone() {
    let (_dir, path) = file_of(pattern(0, 300_000));
    let file = cold(&path);
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let handle = File::options().write(true).open(&path).unwrap();
    handle.set_times(FileTimes::new().set_accessed(long_ago)).unwrap();
    let accessed = || path.metadata().unwrap().accessed().unwrap();
    for _ in 0..3 {
        assert_eq!(file.residency(..).unwrap().resident, Some(0));
        assert_eq!(file.page_map(..).unwrap().resident(), 0);
        assert_eq!(file.page_map(5..70_000).unwrap().resident(), 0);
        assert_eq!(Section::open(&path).unwrap().page_map(..).unwrap().resident(), 0);
    }
    assert_eq!(accessed(), long_ago);
    // The twin: this file's access time does change when it is read.
    std::fs::read(&path).unwrap();
    if accessed() == long_ago {
        Skip::because("the directory for temporary files is mounted without access times").count();
    }
}

#[test]
fn reading_a_range_in_brings_in_that_range_and_nothing_else() {
    let (_dir, path) = file_of(pattern(0, 1 << 20));
    let file = cold(&path);
    let range = 10 * page() + 5..20 * page() - 5;
    let mut scratch = vec![0; 5000];
    let read = file.read_in(range.clone(), &mut scratch).unwrap();
    assert_eq!(read, range.end - range.start);
    assert_eq!(file.page_map(..).unwrap().runs().collect::<Vec<_>>(), [10..20]);
    assert_eq!(file.read_in(.., &mut scratch).unwrap(), 1 << 20);
    assert_eq!(file.residency(..).unwrap().share(), Some(1.0));
    refused(file.read_in(.., &mut []), ErrorKind::InvalidInput);
    refused(file.read_through(.., &mut []), ErrorKind::InvalidInput);
}

#[test]
fn reading_through_brings_in_the_range_and_perhaps_what_follows() {
    let (_dir, path) = file_of(pattern(0, 1 << 20));
    let file = cold(&path);
    assert_eq!(file.read_through(5..100_000, &mut [0; 5000]).unwrap(), 99_995);
    let map = file.page_map(..).unwrap();
    let asked = 100_000_u64.div_ceil(page());
    assert_eq!(map.resident_in(0..asked), asked);
}

#[test]
fn a_prefetched_range_is_in_memory_soon() {
    let (_dir, path) = file_of(pattern(0, 1 << 20));
    let file = cold(&path);
    file.prefetch(0..64 * page()).unwrap();
    file.prefetch(5..5).unwrap();
    for _ in 0..2000 {
        if file.residency(0..64 * page()).unwrap().resident == Some(64) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("{:?}", file.residency(..));
}

#[test]
fn a_file_that_became_shorter_is_read_in_as_far_as_it_goes() {
    let (_dir, path) = file_of(pattern(0, 100_000));
    let file = CachedFile::open(&path).unwrap();
    crate::support::truncate(&path, 60_000);
    assert_eq!(file.read_in(.., &mut [0; 4096]).unwrap(), 60_000);
    let now = CachedFile::open(&path).unwrap().residency(..).unwrap();
    assert_eq!((now.resident, now.share()), (Some(60_000_u64.div_ceil(page())), Some(1.0)));
}

#[test]
fn ranges_outside_the_file_are_refused_with_the_numbers() {
    let (_dir, path) = file_of(pattern(0, 100));
    let (file, section) = (CachedFile::open(&path).unwrap(), Section::open(&path).unwrap());
    for error in [
        refused(file.residency(..101), ErrorKind::OutOfBounds),
        refused(file.page_map(50..=100), ErrorKind::OutOfBounds),
        refused(file.evict(101.., WriteBack::No), ErrorKind::OutOfBounds),
        refused(file.prefetch(..200), ErrorKind::OutOfBounds),
        refused(section.residency(..101), ErrorKind::OutOfBounds),
        refused(section.page_map(..101), ErrorKind::OutOfBounds),
    ] {
        says(&error, &[path.to_str().unwrap(), "100 bytes"]);
    }
    assert_eq!(file.residency(7..7).unwrap(), Residency::none());
    assert_eq!(file.page_map(100..).unwrap().pages(), 0..0);
}

#[test]
fn what_is_no_file_has_no_pages() {
    let dir = directory();
    let pipe = dir.path().join("pipe");
    assert!(succeeds(&["mkfifo", pipe.to_str().unwrap()]));
    for (path, what) in [
        (dir.path(), "it is a directory"),
        (pipe.as_path(), "it is a pipe"),
        (Path::new("/dev/null"), "it is a character device"),
    ] {
        says(&refused(CachedFile::open(path), ErrorKind::NotMappable), &[what]);
    }
    refused(CachedFile::open(dir.path().join("none")), ErrorKind::NotFound);
    let empty = dir.path().join("empty");
    File::create(&empty).unwrap();
    let file = CachedFile::open(&empty).unwrap();
    assert_eq!(file.residency(..).unwrap(), Residency::none());
    assert_eq!(file.mappers().unwrap().processes, []);
}

/// A file of root's that everybody may read.
fn foreign_file(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("foreign");
    std::fs::write(&path, pattern(0, 100_000)).unwrap();
    path
}

#[test]
fn who_may_not_know_is_told_so() {
    as_ordinary_user(this_test!(), |_| {
        let file = CachedFile::open("/etc/passwd").unwrap();
        let error = refused(file.page_map(..), ErrorKind::PermissionDenied);
        says(&error, &["/etc/passwd", "only to its owner"]);
        // Kernels before 6.14 tell everybody the counts.
        if let Err(error) = file.residency(..) {
            says(&error, &["/etc/passwd", "only to its owner"]);
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        }
        let (_dir, own) = file_of(pattern(0, 100_000));
        assert_eq!(cold(&own).page_map(..).unwrap().resident(), 0);
    });
}

#[test]
fn mincore_alone_would_have_told_a_stranger_that_all_is_resident() {
    if or_count(need_root()).is_none() || !have_rivals() {
        return;
    }
    let dir = directory();
    assert!(succeeds(&["chmod", "755", dir.path().to_str().unwrap()]));
    let path = foreign_file(dir.path());
    cold(&path);
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "vmtouch"];
    let told = number_after(&nobody, &path, "Resident Pages:");
    assert_eq!(told, Some(100_000_u64.div_ceil(page())), "the lie that we do not repeat");
    assert_eq!(CachedFile::open(&path).unwrap().residency(..).unwrap().resident, Some(0));
}

#[test]
fn the_processes_that_map_a_file_are_found_with_their_bytes_and_rights() {
    let (_dir, path) = file_of(pattern(0, 1 << 20));
    let file = CachedFile::open(&path).unwrap();
    let mine = |found: &Mappers| {
        found.processes.iter().find(|process| process.pid == std::process::id()).cloned()
    };
    assert_eq!(mine(&file.mappers().unwrap()), None);
    let section = Section::open_rw(&path).unwrap();
    let view: View<ReadWrite> = section.view_of(page()..9 * page()).unwrap();
    view.write_at(0, &[1]).unwrap();
    let found = mine(&file.mappers().unwrap()).unwrap();
    assert_eq!((found.mapped, found.rights.as_str()), (8 * page(), "rws"));
    assert!(found.resident.unwrap() >= page() && found.locked == Some(0), "{found:?}");
    let lock = view.lock_in_memory(..).unwrap();
    let found = mine(&file.mappers().unwrap()).unwrap();
    assert_eq!((found.resident, found.locked), (Some(8 * page()), Some(8 * page())));
    drop((lock, view));
    assert_eq!(mine(&file.mappers().unwrap()), None);
    // A running program maps itself.
    let program = CachedFile::open(std::env::current_exe().unwrap()).unwrap();
    assert!(mine(&program.mappers().unwrap()).unwrap().rights.contains('x'));
}

#[test]
fn a_mapping_whose_path_is_not_utf8_hides_no_process() {
    use std::os::unix::ffi::OsStrExt;
    let dir = directory();
    let odd = dir.path().join(std::ffi::OsStr::from_bytes(b"odd-\xff\xfe"));
    std::fs::write(&odd, pattern(0, 4 * page() as usize)).unwrap();
    let view: View<Read> = Section::open(&odd).unwrap().view().unwrap();
    let (_dir, plain) = file_of(pattern(0, 2 * page() as usize));
    let other: View<Read> = Section::open(&plain).unwrap().view().unwrap();
    for (path, pages) in [(&odd, 4), (&plain, 2)] {
        let found = CachedFile::open(path).unwrap().mappers().unwrap();
        let mine = found.processes.iter().find(|process| process.pid == std::process::id());
        let mine = mine.expect("this process maps it");
        assert_eq!((mine.mapped, mine.locked), (pages * page(), Some(0)), "{mine:?}");
    }
    drop((view, other));
}

/// Filters of containers that have not heard of `cachestat` refuse it with `EPERM`.
#[cfg(target_arch = "x86_64")]
#[test]
fn where_counting_is_forbidden_each_page_is_asked_for() {
    alone(this_test!(), || {
        let (_dir, path) = file_of(pattern(0, 8 * page() as usize));
        let file = cold(&path);
        let reader = File::open(&path).unwrap();
        rustix::fs::fadvise(&reader, 0, None, rustix::fs::Advice::Random).unwrap();
        reader.read_exact_at(&mut [0; 1], 5 * page()).unwrap();
        forbid(451, libc::EPERM);
        let map = file.page_map(..).unwrap();
        assert!(map.contains(5) && map.resident() < 8, "{map:?}");
        let found = file.residency(..).unwrap();
        assert_eq!((found.pages, found.resident), (8, Some(map.resident())), "{found:?}");
        assert_eq!((found.dirty, found.evicted), (None, None));
    });
}

#[test]
fn mappers_are_found_on_btrfs_where_maps_and_stat_name_other_devices() {
    if or_count(need_root()).is_none() {
        return;
    }
    let image = Image::new(Filesystem::Btrfs, Filesystem::Btrfs.least_size());
    let Some(image) = or_count(image) else { return };
    let path = image.path().join("data");
    let section = Section::create(&path, 16 * page()).unwrap();
    let _view: View<ReadWrite> = section.view().unwrap();
    let found = CachedFile::open(&path).unwrap().mappers().unwrap();
    let pids: Vec<u32> = found.processes.iter().map(|process| process.pid).collect();
    assert_eq!(pids, [std::process::id()]);
}

#[test]
fn a_compressed_file_takes_less_on_the_device_than_its_pages_in_memory() {
    if or_count(need_root()).is_none() {
        return;
    }
    let image = Image::new(Filesystem::Btrfs, Filesystem::Btrfs.least_size());
    let Some(image) = or_count(image) else { return };
    let path = image.path().join("data");
    File::create(&path).unwrap();
    if !succeeds(&["btrfs", "property", "set", path.to_str().unwrap(), "compression", "zstd"]) {
        return Skip::because("needs btrfs (package btrfs-progs) with compression").count();
    }
    let free = || {
        let found = rustix::fs::statvfs(image.path()).unwrap();
        found.f_bfree * found.f_frsize
    };
    let (size, before) = (32 << 20, free());
    std::fs::write(&path, vec![b'a'; size]).unwrap();
    File::open(&path).unwrap().sync_all().unwrap();
    rustix::fs::syncfs(File::open(&path).unwrap()).unwrap();
    assert!(before - free() < size as u64 / 4, "{} bytes of {size}", before - free());
    let file = CachedFile::open(&path).unwrap();
    assert_eq!((file.len(), file.is_compressed()), (size as u64, true));
    all_gone(&file);
    assert_eq!(file.read_in(.., &mut vec![0; 1 << 16]).unwrap(), size as u64);
    assert_eq!(file.residency(..).unwrap().resident, Some(size as u64 / page()));
    let view: View<Read> = Section::open(&path).unwrap().view().unwrap();
    assert!(view.read_vec(..).unwrap().iter().all(|&byte| byte == b'a'));
}

#[test]
fn a_section_without_a_name_has_residency_too() {
    let section = Section::anonymous(16 * page()).unwrap();
    assert_eq!(section.page_map(..).unwrap(), PageMap::of_none(0..16));
    section.view::<ReadWrite>().unwrap().write_at(3 * page(), &[1]).unwrap();
    section.set_len(20 * page(), Space::Sparse).unwrap();
    let map = section.page_map(..).unwrap();
    assert_eq!((map.contains(3), map.pages()), (true, 0..20));
    assert_eq!(section.residency(..).unwrap().resident, Some(map.resident()));
}

#[test]
fn residency_types_go_between_threads() {
    fn both<T: Send + Sync>() {}
    both::<CachedFile>();
    both::<PageMap>();
    both::<Residency>();
    both::<Evicted>();
    both::<Mappers>();
}
