//! Where views lie in memory: giving parts back, exact addresses, pages locked in memory. Each in
//! a process of its own, where no other test maps anything meanwhile.

use std::ops::Range;

use bifolio_map::{CopyOnWrite, ErrorKind, Read, ReadWrite, Section, View, page_size};
use bifolio_testkit::this_test;

use crate::support::fork::in_forked_child;
use crate::support::process::{alone, as_ordinary_user};
use crate::support::{file_of, page, pattern, refused, says, truncate};

/// The ranges of addresses that are mapped.
fn mapped() -> Vec<Range<usize>> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let hex = |text: &str| usize::from_str_radix(text, 16).unwrap();
    let ranges = maps.lines().map(|line| line.split_once(' ').unwrap().0.split_once('-').unwrap());
    ranges.map(|(start, end)| hex(start)..hex(end)).collect()
}

fn is_mapped(address: usize) -> bool {
    mapped().iter().any(|range| range.contains(&address))
}

/// Bytes of our own memory that are locked.
fn locked_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The system does not hand locks down; what a child locks itself is locked, and the parent's stays.
#[test]
fn a_forked_child_has_the_map_without_the_lock_and_takes_its_own() {
    alone(this_test!(), || {
        let view: View<ReadWrite> = Section::anonymous(4 * page()).unwrap().view().unwrap();
        let lock = view.lock_in_memory(..).unwrap();
        let all = 4 * page() / 1024;
        assert_eq!(locked_kib(), all);
        let seen = in_forked_child(|| {
            let before = locked_kib();
            let own = view.lock_in_memory(..).is_ok();
            i32::from(before != 0) + 2 * i32::from(!own) + 4 * i32::from(locked_kib() != all)
        });
        assert_eq!(seen, Some(0));
        assert_eq!(locked_kib(), all);
        drop(lock);
        assert_eq!(locked_kib(), 0);
    });
}

#[test]
fn shrinking_a_view_gives_whole_pages_back_and_moves_nothing() {
    alone(this_test!(), || {
        let (_dir, path) = file_of(pattern(0, 10 * page_size()));
        let section = Section::open(&path).unwrap();
        let view = section.view_of::<Read>(100..).unwrap();
        let start = view.as_ptr().addr() - 100;
        let page_at = |index: usize| start + index * page_size();
        let view = view.shrink_to(3 * page()..5 * page() + 10).unwrap();
        assert_eq!((view.len(), view.offset()), (2 * page() + 10, 3 * page() + 100));
        assert_eq!(view.as_ptr().addr(), page_at(3) + 100);
        let expected = [false, false, false, true, true, true, false, false, false, false];
        let found: Vec<bool> = (0..10).map(|index| is_mapped(page_at(index))).collect();
        assert_eq!(found, expected);
        assert!(view.read_vec(..).unwrap() == pattern(3 * page() + 100, 2 * page_size() + 10));
        refused(view.get::<u8>(view.len()), ErrorKind::OutOfBounds);
        let view = view.shrink_to(page()..page() + 1).unwrap();
        assert!(!is_mapped(page_at(3)) && is_mapped(page_at(4)) && !is_mapped(page_at(5)));
        let view = view.shrink_to(1..1).unwrap();
        assert_eq!(view.len(), 0);
        assert!(!is_mapped(page_at(4)), "a view of nothing keeps nothing");
        drop(view);
        // The same with a copy-on-write view, whose private page survives.
        let view: View<CopyOnWrite> = section.view().unwrap();
        view.put(5 * page(), &0xaau8).unwrap();
        let view = view.shrink_to(5 * page()..6 * page()).unwrap();
        assert_eq!(view.get::<u8>(0).unwrap(), 0xaa);
        assert_eq!(view.changed(), [0..page()]);
    });
}

#[test]
fn shrinking_is_refused_while_somebody_else_uses_the_view() {
    let view: View<ReadWrite> = Section::anonymous(4 * page()).unwrap().view().unwrap();
    let clone = view.clone();
    let error = refused(view.shrink_to(..page()), ErrorKind::Busy);
    says(&error, &["clones or parts"]);
    assert_eq!(clone.get::<u8>(4 * page() - 1).unwrap(), 0, "the clone keeps all of it");
    let part = clone.sub(page()..).unwrap();
    refused(clone.shrink_to(..1), ErrorKind::Busy);
    assert_eq!(part.shrink_to(..1).unwrap().len(), 1);
    let view: View<Read> = Section::anonymous(10).unwrap().view().unwrap();
    refused(view.shrink_to(..11), ErrorKind::OutOfBounds);
}

#[test]
fn dropping_the_last_view_ends_the_map() {
    alone(this_test!(), || {
        let view: View<Read> = Section::anonymous(16 * page()).unwrap().view().unwrap();
        let address = view.as_ptr().addr();
        let part = view.sub(15 * page()..).unwrap();
        drop(view);
        assert!(is_mapped(address));
        drop(part);
        assert!(!is_mapped(address));
    });
}

#[test]
fn a_view_lies_exactly_at_the_address_asked_for_or_is_busy() {
    alone(this_test!(), || {
        let section = Section::anonymous(4 * page()).unwrap();
        let free: View<ReadWrite> = section.view().unwrap();
        let address = free.as_ptr().addr();
        let error = refused(section.view_at_address::<Read>(.., address), ErrorKind::Busy);
        says(&error, &["asked for", &format!("{address:#x}"), "something is mapped"]);
        let last = address + 3 * page_size();
        refused(section.view_at_address::<Read>(.., last), ErrorKind::Busy);
        drop(free);
        let view =
            section.view_at_address::<ReadWrite>(page() + 5..3 * page(), address + 5).unwrap();
        assert_eq!((view.as_ptr().addr(), view.len()), (address + 5, 2 * page() - 5));
        view.put(0, &7u8).unwrap();
        assert_eq!(section.view::<Read>().unwrap().get::<u8>(page() + 5).unwrap(), 7);
        let odd =
            refused(section.view_at_address::<Read>(.., address + 1), ErrorKind::InvalidInput);
        says(&odd, &["same remainder", &page().to_string()]);
        let top = usize::MAX & !(page_size() - 1);
        let beyond = section.view_at_address::<Read>(.., top).unwrap_err();
        assert!(
            matches!(beyond.kind(), ErrorKind::OutOfMemory | ErrorKind::InvalidInput),
            "{beyond:?}"
        );
    });
}

#[test]
fn the_address_of_a_view_stays_while_others_come_and_go() {
    let section = Section::anonymous(8 * page()).unwrap();
    let view: View<ReadWrite> = section.view().unwrap();
    let address = view.as_ptr();
    for _ in 0..50 {
        let others: Vec<View<Read>> = (0..8).map(|_| section.view().unwrap()).collect();
        assert_eq!(view.as_ptr(), address);
        assert!(others.iter().all(|other| other.as_ptr() != address));
    }
    section.set_len(16 * page(), bifolio_map::Space::Sparse).unwrap();
    assert_eq!((view.as_ptr(), view.len()), (address, 8 * page()), "a view keeps its length");
}

#[test]
fn pages_stay_locked_in_memory_as_long_as_the_lock_lives() {
    alone(this_test!(), || {
        let section = Section::anonymous(8 * page()).unwrap();
        let view: View<ReadWrite> = section.view().unwrap();
        assert_eq!(locked_kib(), 0);
        let lock = view.lock_in_memory(page() + 1..3 * page() - 1).unwrap();
        assert_eq!(locked_kib() * 1024, 2 * page());
        drop(view);
        assert_eq!(locked_kib() * 1024, 2 * page(), "the lock keeps the view");
        drop(lock);
        assert_eq!(locked_kib(), 0);
    });
}

#[test]
fn a_page_is_locked_until_the_last_of_its_locks_goes() {
    alone(this_test!(), || {
        let view: View<ReadWrite> = Section::anonymous(8 * page()).unwrap().view().unwrap();
        let [all, part, again] = [0..8, 2..4, 2..4]
            .map(|r| view.lock_in_memory(r.start * page()..r.end * page()).unwrap());
        drop(part);
        assert_eq!(locked_kib() * 1024, 8 * page());
        drop(all);
        assert_eq!(locked_kib() * 1024, 2 * page());
        drop(again);
        assert_eq!(locked_kib(), 0);
    });
}

#[test]
fn locking_what_was_cut_off_says_so_and_locks_nothing() {
    alone(this_test!(), || {
        let (_dir, path) = file_of(pattern(0, 8 * page_size()));
        let view = Section::open(&path).unwrap().view_of::<Read>(page()..).unwrap();
        let held = view.lock_in_memory(..page()).unwrap();
        truncate(&path, 3 * page() + 5);
        let error = refused(view.lock_in_memory(7..), ErrorKind::UnexpectedEof);
        assert_eq!(error.offset(), Some(4 * page()), "the first byte of the first page");
        says(
            &error,
            &["cannot lock in memory", "data", &format!("ends at {} now", 3 * page() + 5)],
        );
        assert_eq!(locked_kib() * 1024, page(), "what was locked before stays locked");
        drop(view.lock_in_memory(..3 * page()).unwrap());
        drop(held);
        assert_eq!(locked_kib(), 0);
    });
}

#[test]
fn a_copy_on_write_view_that_is_locked_still_follows_the_section() {
    alone(this_test!(), || {
        let section = Section::anonymous(4 * page()).unwrap();
        let view: View<CopyOnWrite> = section.view().unwrap();
        let lock = view.lock_in_memory(page()..3 * page()).unwrap();
        assert_eq!(locked_kib() * 1024, 2 * page());
        section.view::<ReadWrite>().unwrap().fill(.., 5).unwrap();
        assert!(view.read_vec(..).unwrap().iter().all(|&byte| byte == 5));
        assert_eq!((view.private(), view.changed()), (vec![], vec![]));
        drop(lock);
    });
}

#[test]
fn a_lock_beyond_the_limit_names_the_limit() {
    as_ordinary_user(this_test!(), |_| {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let before = getrlimit(Resource::Memlock);
        // A soft limit of 64 KiB is below every default, so an ordinary user can set it.
        let limit = Rlimit { current: Some(64 << 10), maximum: before.maximum };
        setrlimit(Resource::Memlock, limit).unwrap();
        let view: View<ReadWrite> = Section::anonymous(1 << 20).unwrap().view().unwrap();
        let error = refused(view.lock_in_memory(..), ErrorKind::LimitReached);
        says(&error, &["cannot lock in memory", "1048576 bytes", "RLIMIT_MEMLOCK is 65536 bytes"]);
        drop(view.lock_in_memory(..page()).unwrap());
        setrlimit(Resource::Memlock, before).unwrap();
    });
}

/// Write calls of this process so far.
fn write_calls() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/io").ok()?;
    text.lines().find_map(|line| line.strip_prefix("syscw: ")?.parse().ok())
}

#[test]
fn fresh_pages_are_written_by_calls_whoever_writes_many_of_them() {
    use std::io::Write;
    const SIZE: usize = 2 << 20;
    alone(this_test!(), || {
        if write_calls().is_none() {
            return bifolio_testkit::skip::Skip::because("the kernel counts no calls").count();
        }
        let from: View<ReadWrite> = Section::anonymous(SIZE as u64).unwrap().view().unwrap();
        from.write_at(0, pattern(0, SIZE)).unwrap();
        let calls_of = |write: &dyn Fn(&View<ReadWrite>), expected: &[u8]| {
            let (_dir, path) = file_of(&[]);
            let section = Section::open_rw(&path).unwrap();
            section.set_len(SIZE as u64, bifolio_map::Space::Sparse).unwrap();
            let view: View<ReadWrite> = section.view().unwrap();
            let before = write_calls().unwrap();
            write(&view);
            let calls = write_calls().unwrap() - before;
            assert!(view.read_vec(..).unwrap() == expected);
            calls
        };
        let bytes = pattern(0, SIZE);
        let copied = calls_of(&|view| from.copy_to(.., view, 0).unwrap(), bytes);
        let filled = calls_of(&|view| view.fill(.., 7).unwrap(), &vec![7; SIZE]);
        let streamed = calls_of(
            &|view| {
                let mut stream = view.stream();
                bytes.chunks(8192).for_each(|piece| stream.write_all(piece).unwrap());
            },
            bytes,
        );
        let expected = [SIZE as u64 >> 18, SIZE as u64 >> 18, SIZE as u64 >> 13];
        for (calls, expected) in [copied, filled, streamed].into_iter().zip(expected) {
            assert!((expected..=expected + 2).contains(&calls), "{copied} {filled} {streamed}");
        }
        // The twin: what writes in small pieces does it by stores.
        let stored = calls_of(
            &|view| {
                for (piece, at) in bytes.chunks(1000).zip((0..).step_by(1000)) {
                    view.write_at(at, piece).unwrap();
                }
            },
            bytes,
        );
        assert_eq!(stored, 0);
    });
}
