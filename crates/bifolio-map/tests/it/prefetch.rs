//! Prefetching lists of ranges: their pages come, in few calls, whatever the list is like.

use bifolio_map::{ErrorKind, Read, ReadWrite, Section, View};

use crate::support::{page, refused};

#[test]
fn lists_are_merged_by_pages_and_checked_before_anything_is_asked() {
    let section = Section::temporary(100 * page()).unwrap();
    let view: View<ReadWrite> = section.view_of(page() / 2..).unwrap();
    let half = page() / 2;
    let prefetched = view
        .prefetch_list(&[
            90 * page()..90 * page() + 1,
            half + 5 * page()..half + 6 * page(),
            half + 6 * page()..half + 7 * page(),
            half + 5 * page()..half + 9 * page(),
            3..3,
            0..1,
        ])
        .unwrap();
    assert_eq!(prefetched.ranges, 3);
    assert!(prefetched.calls <= 3);
    let nothing = view.prefetch_list(&[]).unwrap();
    assert_eq!((nothing.ranges, nothing.calls), (0, 0));
    refused(view.prefetch_list(&[0..1, 0..view.len() + 1]), ErrorKind::OutOfBounds);
    let memory: View<Read> = Section::anonymous(10 * page()).unwrap().view().unwrap();
    let prefetched = memory.prefetch_list(&[0..1]).unwrap();
    assert_eq!(prefetched.ranges, 1);
}

#[cfg(target_os = "linux")]
mod cold {
    use std::time::{Duration, Instant};

    use bifolio_map::{Prefetched, TryRead};
    #[cfg(target_arch = "x86_64")]
    use bifolio_testkit::this_test;

    use super::*;
    #[cfg(target_arch = "x86_64")]
    use crate::support::process::alone;
    #[cfg(target_arch = "x86_64")]
    use crate::support::seccomp::forbid;
    use crate::support::{file_of, pattern};
    use crate::try_read_cold::{can_be_cold, evict};

    type Prefetch = fn(&View<Read>, &[std::ops::Range<u64>]) -> Prefetched;

    /// Every fourth page of a cold file is asked for; whether those come and no others.
    fn brings_what_was_asked(prefetch: Prefetch) -> Result<Prefetched, String> {
        let pages = 2000;
        let (_dir, path) = file_of(pattern(0, (pages * page()) as usize));
        if !can_be_cold(&path) {
            return Err("skipped".to_owned());
        }
        evict(&path);
        let section = Section::open(&path).unwrap();
        let view: View<Read> = section.view().unwrap();
        let wanted: Vec<_> =
            (0..pages).step_by(4).map(|n| n * page() + 7..n * page() + 8).collect();
        let prefetched = prefetch(&view, &wanted);
        let resident = |n: u64| {
            // The file's own answer: it starts no reading.
            resident_pages(&path, n)
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !(0..pages).step_by(4).all(resident) {
            if Instant::now() > deadline {
                return Err("what was asked for has not come".to_owned());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let others = (0..pages).filter(|n| n % 4 != 0).filter(|&n| resident(n)).count();
        if others > 0 {
            return Err(format!("{others} other pages came"));
        }
        let mut out = [0; 100];
        match view.try_read_at(400 * page(), &mut out).unwrap() {
            TryRead::Read if out == *pattern(400 * page(), 100) => Ok(prefetched),
            other => Err(format!("{other:?}")),
        }
    }

    /// Whether a page is in memory, by a map of its own.
    fn resident_pages(path: &std::path::Path, number: u64) -> bool {
        let view: View<bifolio_map::CopyOnWrite> =
            Section::open(path).unwrap().view_of(number * page()..number * page() + 1).unwrap();
        view.try_read_at(0, &mut [0]).unwrap() == TryRead::Read
    }

    #[test]
    fn the_pages_of_a_list_come_and_no_others_and_the_calls_are_few() {
        match brings_what_was_asked(|view, list| view.prefetch_list(list).unwrap()) {
            Ok(prefetched) => {
                assert_eq!(prefetched.ranges, 500);
                assert!(prefetched.calls <= 5, "{prefetched:?}");
            }
            Err(error) => assert_eq!(error, "skipped"),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn where_one_call_for_all_is_forbidden_each_range_has_its_own() {
        alone(this_test!(), || {
            forbid(libc::SYS_process_madvise, libc::EPERM);
            match brings_what_was_asked(|view, list| view.prefetch_list(list).unwrap()) {
                Ok(prefetched) => assert!(prefetched.calls >= 500, "{prefetched:?}"),
                Err(error) => assert_eq!(error, "skipped"),
            }
        });
    }

    #[test]
    fn a_prefetch_of_everything_between_would_be_noticed() {
        let all = brings_what_was_asked(|view, list| {
            let whole = list[0].start..list[list.len() - 1].end;
            view.prefetch_list(&[whole]).unwrap()
        });
        assert!(all.is_err());
    }
}
