//! Views: parts and clones, typed access, copies that overlap, advice, locks in memory.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use bifolio_map::view::{ScanPlan, Support};
use bifolio_map::{
    Advice, CopyOnWrite, ErrorKind, FileLock, Flush, Frozen, GrowableView, Read, ReadWrite,
    Scratch, Section, View, be, le, page_size, zerocopy,
};
use bifolio_testkit::{Random, budget};

use crate::support::{HAS_ATOMICS, byte_at, file_of, page, pattern, refused, says};

/// Memory of the pattern, `pages` pages long.
fn pages_of_pattern(pages: usize) -> View<ReadWrite> {
    let size = pages * page_size();
    let view: View<ReadWrite> = Section::anonymous(size as u64).unwrap().view().unwrap();
    view.write_at(0, pattern(0, size)).unwrap();
    view
}

#[test]
fn all_public_types_are_send_and_sync() {
    fn both<T: Send + Sync>() {}
    both::<Section>();
    both::<bifolio_map::SectionOptions>();
    both::<View<Read>>();
    both::<View<ReadWrite>>();
    both::<View<CopyOnWrite>>();
    both::<GrowableView<ReadWrite>>();
    both::<bifolio_map::view::Stream<ReadWrite>>();
    both::<bifolio_map::view::MemoryLock<Read>>();
    both::<bifolio_map::view::AtomicU32View<'_, ReadWrite>>();
    both::<bifolio_map::view::AtomicU64View<'_, Read>>();
    both::<Frozen>();
    both::<Scratch>();
    both::<FileLock>();
    both::<bifolio_map::LockGuard<'_>>();
    both::<bifolio_map::Error>();
    both::<bifolio_map::storage::MemoryStorage>();
    both::<bifolio_map::storage::RealStorage>();
}

#[test]
fn flush_advice_and_locks_reach_a_range_deep_inside_a_view() {
    // A file, not memory: there a flush has something to do.
    let (_dir, path) = file_of(pattern(0, 64 * page_size()));
    let view: View<ReadWrite> = Section::open_rw(&path).unwrap().view().unwrap();
    for range in
        [63 * page()..64 * page(), 5 * page() + 7..6 * page(), 40 * page()..40 * page() + 1]
    {
        view.put(range.start, &byte_at(range.start)).unwrap();
        view.flush(range.clone(), Flush::Data).unwrap();
        view.prefetch(range.clone()).unwrap();
        drop(view.lock_in_memory(range.clone()).unwrap());
        view.sub(page()..).unwrap().flush(3 * page() + 1.., Flush::Start).unwrap();
    }
    view.write_at(30 * page() + 1, pattern(30 * page() + 1, 20 * page_size())).unwrap();
    assert!(view.read_vec(..).unwrap() == pattern(0, 64 * page_size()));
}

#[test]
fn parts_see_the_bytes_of_the_whole_and_keep_them_mapped() {
    let view = pages_of_pattern(3);
    let part = view.sub(page() - 3..page() + 5).unwrap();
    assert_eq!((part.len(), part.offset()), (8, page() - 3));
    assert_eq!(part.as_ptr().addr(), view.as_ptr().addr() + page_size() - 3);
    let inner = part.sub(2..=3).unwrap();
    assert_eq!((inner.len(), inner.offset()), (2, page() - 1));
    view.put(page(), &0xabu8).unwrap();
    assert_eq!(inner.get::<u8>(1).unwrap(), 0xab);
    drop((view, part));
    assert_eq!(inner.read_vec(..).unwrap(), [byte_at(page() - 1), 0xab]);
    refused(inner.get::<u8>(2), ErrorKind::OutOfBounds);
    refused(inner.sub(1..3), ErrorKind::OutOfBounds);
    assert_eq!(inner.sub(2..).unwrap().len(), 0);
}

#[test]
fn a_view_is_split_at_any_byte_and_at_its_ends() {
    for middle in [0, 1, page() - 1, page(), 2 * page() - 1, 2 * page()] {
        let (left, right) = pages_of_pattern(2).split_at(middle).unwrap();
        assert_eq!((left.len(), right.len()), (middle, 2 * page() - middle));
        assert_eq!(right.offset(), middle);
        assert!(left.read_vec(..).unwrap() == pattern(0, left.len() as usize));
        assert!(right.read_vec(..).unwrap() == pattern(middle, right.len() as usize));
    }
    refused(pages_of_pattern(2).split_at(2 * page() + 1), ErrorKind::OutOfBounds);
}

#[test]
fn clones_are_the_same_window_and_outlive_the_original_and_the_section() {
    let section = Section::anonymous(100).unwrap();
    let view: View<ReadWrite> = section.view_of(3..50).unwrap();
    let clone = view.clone();
    assert_eq!((clone.as_ptr(), clone.len(), clone.offset()), (view.as_ptr(), 47, 3));
    view.put(0, &7u8).unwrap();
    drop((view, section));
    std::thread::spawn(move || assert_eq!(clone.get::<u8>(0).unwrap(), 7)).join().unwrap();
}

#[test]
fn a_read_only_window_follows_the_writable_one() {
    let view = pages_of_pattern(1);
    let reader: View<Read> = view.read_only();
    assert_eq!((reader.as_ptr(), reader.len()), (view.as_ptr(), view.len()));
    view.put(9, &1u8).unwrap();
    assert_eq!(reader.get::<u8>(9).unwrap(), 1);
}

/// A value of an odd size.
#[derive(
    Debug, PartialEq, Clone, Copy, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable,
)]
#[repr(C)]
struct Odd {
    tag: [u8; 3],
    count: le::U16,
}

#[test]
fn values_of_all_widths_are_got_as_they_were_put_at_every_alignment() {
    let view: View<ReadWrite> = Section::anonymous(2 * page()).unwrap().view().unwrap();
    let model =
        |offset: u64| u128::from(offset).wrapping_mul(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    // Across the page boundary too: a word may lie on two pages.
    for offset in (0..20).chain(page() - 20..page() + 4) {
        let value = model(offset + 1);
        let bytes = value.to_ne_bytes();
        view.fill(.., 0xcc).unwrap();
        macro_rules! check {
            ($($word:ty),*) => {$({
                let size = size_of::<$word>();
                let word = <$word>::from_ne_bytes(bytes[..size].try_into().unwrap());
                view.put(offset, &word).unwrap();
                assert_eq!(view.get::<$word>(offset).unwrap(), word);
                assert_eq!(view.read_vec(offset..offset + size as u64).unwrap(), bytes[..size]);
                assert_eq!(view.get::<u8>(offset + size as u64).unwrap(), 0xcc, "no byte more");
            })*};
        }
        check!(u8, i8, u16, i16, u32, i32, f32, u64, i64, f64, u128);
        if let Some(before) = offset.checked_sub(1) {
            assert_eq!(view.get::<u8>(before).unwrap(), 0xcc, "no byte before");
        }
    }
}

#[test]
fn byte_orders_arrays_and_structs_are_stored_as_they_say() {
    let view: View<ReadWrite> = Section::anonymous(100).unwrap().view().unwrap();
    view.put(1, &be::U32::new(0x0102_0304)).unwrap();
    assert_eq!(view.get::<[u8; 4]>(1).unwrap(), [1, 2, 3, 4]);
    assert_eq!(view.get::<le::U32>(1).unwrap(), 0x0403_0201);
    view.put(3, &le::U64::new(0x0102_0304_0506_0708)).unwrap();
    assert_eq!(view.get::<be::U64>(3).unwrap(), 0x0807_0605_0403_0201);
    let odd = Odd { tag: *b"odd", count: le::U16::new(515) };
    view.put(20, &odd).unwrap();
    assert_eq!(view.get::<Odd>(20).unwrap(), odd);
    assert_eq!(view.read_vec(20..25).unwrap(), b"odd\x03\x02");
    view.put_slice(31, &[1u32, 2, 3]).unwrap();
    assert_eq!(view.get::<[u32; 3]>(31).unwrap(), [1, 2, 3]);
    let mut out = [0u64; 2];
    view.put_slice(47, &[u64::MAX, 5]).unwrap();
    view.get_slice(47, &mut out).unwrap();
    assert_eq!(out, [u64::MAX, 5]);
    assert_eq!(view.get::<[u8; 0]>(100).unwrap(), []);
    refused(view.get_slice(85, &mut out), ErrorKind::OutOfBounds);
    refused(view.put_slice(99, &[1u16]), ErrorKind::OutOfBounds);
    refused(view.get::<Odd>(96), ErrorKind::OutOfBounds);
}

#[test]
fn nothing_is_written_if_the_range_does_not_fit() {
    let view = pages_of_pattern(64);
    let long = vec![0; 64 * page_size()];
    refused(view.write_at(1, &long), ErrorKind::OutOfBounds);
    refused(view.write_at(u64::MAX - 2, &long), ErrorKind::OutOfBounds);
    refused(view.fill(1..=view.len(), 0), ErrorKind::OutOfBounds);
    refused(view.copy_within(..view.len(), 1), ErrorKind::OutOfBounds);
    refused(view.copy_to(.., &view.sub(1..).unwrap(), 0), ErrorKind::OutOfBounds);
    refused(view.copy_to(..2, &view, u64::MAX), ErrorKind::OutOfBounds);
    assert!(view.read_vec(..).unwrap() == pattern(0, long.len()));
}

#[test]
fn atomics_do_what_the_machines_own_do() {
    let view: View<ReadWrite> = Section::anonymous(64).unwrap().view().unwrap();
    macro_rules! check {
        ($method:ident, $word:ty) => {{
            let word = view.$method(16).unwrap();
            word.store(5).unwrap();
            assert_eq!(word.load().unwrap(), 5);
            if HAS_ATOMICS {
                assert_eq!(word.swap(<$word>::MAX).unwrap(), 5);
                assert_eq!(word.fetch_add(3).unwrap(), <$word>::MAX);
                assert_eq!(word.fetch_sub(3).unwrap(), 2, "additions wrap");
                assert_eq!(word.compare_exchange(7, 8).unwrap(), Err(<$word>::MAX));
                assert_eq!(word.compare_exchange(<$word>::MAX, 6).unwrap(), Ok(<$word>::MAX));
                assert_eq!(word.fetch_or(9).unwrap(), 6);
                assert_eq!(word.fetch_and(3).unwrap(), 15);
                assert_eq!(word.fetch_update(|old| old * 7).unwrap(), 3);
                assert_eq!(view.get::<$word>(16).unwrap(), 21);
            } else {
                says(&refused(word.swap(1), ErrorKind::NotSupported), &["read-modify-write"]);
                refused(word.fetch_add(1), ErrorKind::NotSupported);
                refused(word.compare_exchange(5, 1), ErrorKind::NotSupported);
                assert_eq!(word.load().unwrap(), 5, "nothing was changed");
            }
            refused(
                view.$method(64 - size_of::<$word>() as u64 + 1).map(drop),
                ErrorKind::OutOfBounds,
            );
            refused(view.$method(u64::MAX).map(drop), ErrorKind::OutOfBounds);
        }};
    }
    check!(atomic_u32, u32);
    check!(atomic_u64, u64);
    // A misaligned part of an aligned view is noticed by its address, not by its offset.
    let part = view.sub(4..).unwrap();
    part.atomic_u32(0).unwrap();
    refused(part.atomic_u64(0).map(drop), ErrorKind::Misaligned);
    part.atomic_u64(4).unwrap();
    refused(view.sub(1..).unwrap().atomic_u32(0).map(drop), ErrorKind::Misaligned);
}

#[test]
fn additions_of_many_threads_through_two_maps_are_never_lost() {
    if !HAS_ATOMICS {
        return;
    }
    let section = Section::anonymous(16).unwrap();
    let views: [View<ReadWrite>; 2] = [section.view().unwrap(), section.view().unwrap()];
    assert_ne!(views[0].as_ptr(), views[1].as_ptr());
    std::thread::scope(|scope| {
        for index in 0..4 {
            let view = &views[index % 2];
            scope.spawn(move || {
                for _ in 0..10_000 {
                    view.atomic_u32(0).unwrap().fetch_add(1).unwrap();
                    view.atomic_u64(8).unwrap().fetch_update(|old| old + 3).unwrap();
                }
            });
        }
    });
    assert_eq!(views[0].get::<u32>(0).unwrap(), 40_000);
    assert_eq!(views[1].get::<u64>(8).unwrap(), 120_000);
}

#[test]
fn an_aligned_word_is_never_torn() {
    let section = Section::anonymous(16).unwrap();
    let (writer, reader): (View<ReadWrite>, View<Read>) =
        (section.view().unwrap(), section.view().unwrap());
    let values = [0, u64::MAX, 0x0123_4567_89ab_cdef];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..30_000 {
                writer.atomic_u64(8).unwrap().store(values[round % 3]).unwrap();
            }
        });
        for _ in 0..30_000 {
            let seen = reader.atomic_u64(8).unwrap().load().unwrap();
            assert!(values.contains(&seen), "{seen:#x} was never stored");
        }
    });
}

#[test]
fn copies_that_overlap_either_way_are_those_of_a_vector() {
    let mut random = Random::new();
    let size = 9 * 16 * 1024; // more than the pieces in which copies are made
    let section = Section::anonymous(size as u64).unwrap();
    let (view, twin): (View<ReadWrite>, View<ReadWrite>) =
        (section.view().unwrap(), section.view().unwrap());
    let mut model = random.bytes(size);
    view.write_at(0, &model).unwrap();
    for round in 0..budget(300) {
        let from = random.usize(0..=size);
        let length =
            random.usize(0..=if round % 3 == 0 { size - from } else { (size - from).min(40_000) });
        let to = random.usize(0..=size - length);
        let range = from as u64..(from + length) as u64;
        match round % 4 {
            // Within one map; to the same memory mapped twice; between parts of either.
            0 => view.copy_within(range, to as u64).unwrap(),
            1 => view.copy_to(range, &twin, to as u64).unwrap(),
            2 => view.sub(range).unwrap().copy_to(.., &twin.sub(to as u64..).unwrap(), 0).unwrap(),
            _ => twin.read_only().copy_to(range, &view, to as u64).unwrap(),
        }
        model.copy_within(from..from + length, to);
        assert!(view.read_vec(..).unwrap() == model, "{from}+{length} to {to}");
    }
}

#[test]
fn copying_between_sections_copies_exactly_the_range() {
    let from = pages_of_pattern(40);
    let to: View<ReadWrite> = Section::anonymous(50 * page()).unwrap().view().unwrap();
    from.copy_to(7..39 * page() + 3, &to, 11).unwrap();
    let length = 39 * page() + 3 - 7;
    assert_eq!(to.read_vec(..11).unwrap(), [0; 11]);
    assert!(to.read_vec(11..11 + length).unwrap() == pattern(7, usize::try_from(length).unwrap()));
    assert!(to.read_vec(11 + length..).unwrap().iter().all(|&byte| byte == 0));
}

#[test]
fn comparing_orders_as_slices_do() {
    let view = pages_of_pattern(20);
    let bytes = pattern(0, 20 * page_size());
    for (offset, length) in
        [(0, 0), (0, 1), (5, 20_000), (1, 16 * 1024), (16 * 1024, 16 * 1024 + 1)]
    {
        let same = bytes[offset..offset + length].to_vec();
        assert_eq!(view.compare(offset as u64, &same).unwrap(), Ordering::Equal);
        for place in [0, length / 2, length.saturating_sub(1)] {
            let mut other = same.clone();
            let Some(byte) = other.get_mut(place) else { continue };
            *byte = byte.wrapping_add(1);
            let expected = bytes[offset..offset + length].cmp(&other);
            assert_eq!(view.compare(offset as u64, &other).unwrap(), expected);
        }
    }
    refused(view.compare(view.len() - 3, &[0; 4]), ErrorKind::OutOfBounds);
}

#[test]
fn a_scan_covers_exactly_its_range_in_order() {
    let (_dir, path) = file_of(pattern(0, 5 << 20));
    let file: View<Read> = Section::open(&path).unwrap().view().unwrap();
    let memory = pages_of_pattern(1280).read_only();
    let plans = [
        ScanPlan::Auto,
        ScanPlan::Cold { ahead: 0 },
        ScanPlan::Cold { ahead: 8 << 20 },
        ScanPlan::Cold { ahead: u64::MAX },
    ];
    for view in [file, memory] {
        for range in [0..0, 0..1, 7..16 * 1024 + 9, 4095..3 << 20, 1 << 20..5 << 20, 0..5 << 20] {
            for plan in plans {
                let mut seen = Vec::new();
                let flow = view.scan_by::<()>(plan, range.clone(), |piece| {
                    assert!(!piece.is_empty());
                    seen.extend_from_slice(piece);
                    ControlFlow::Continue(())
                });
                assert_eq!(flow.unwrap(), ControlFlow::Continue(()));
                let length = usize::try_from(range.end - range.start).unwrap();
                assert!(seen == pattern(range.start, length), "{range:?} {plan:?}");
            }
        }
        refused(view.scan(..=5 << 20, |_| ControlFlow::<()>::Continue(())), ErrorKind::OutOfBounds);
    }
}

#[test]
fn a_scan_stops_where_it_is_told_to() {
    let view = pages_of_pattern(256);
    for stop in [0, 1, 5] {
        let mut pieces = 0;
        let flow = view.scan(.., |_| {
            pieces += 1;
            if pieces > stop { ControlFlow::Break(pieces) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(flow.unwrap(), ControlFlow::Break(stop + 1));
        assert_eq!(pieces, stop + 1);
    }
}

#[test]
fn each_advice_is_a_call_or_not_supported_and_never_changes_a_byte() {
    let (_dir, path) = file_of(pattern(0, 8 * page_size()));
    let views: [View<ReadWrite>; 2] =
        [Section::open_rw(&path).unwrap().view().unwrap(), pages_of_pattern(8)];
    for view in views {
        for advice in Advice::ALL {
            for range in [0..8 * page(), 1..2, 3 * page() + 1..8 * page() - 1, 5..5] {
                match (view.advise(range.clone(), advice), advice.support()) {
                    (Ok(()), Support::Call(_)) => {}
                    (Err(error), support) => {
                        // A kernel may know the call and not for this mapping.
                        assert_eq!(error.kind(), ErrorKind::NotSupported, "{support:?} {error}");
                        says(&error, &["cannot advise", &format!("{advice:?}")]);
                    }
                    (Ok(()), support) => panic!("{advice:?} succeeded with {support:?}"),
                }
            }
            refused(view.advise(..=view.len(), advice), ErrorKind::OutOfBounds);
        }
        assert!(view.read_vec(..).unwrap() == pattern(0, 8 * page_size()));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_usual_advice_is_taken_on_linux() {
    let view = pages_of_pattern(8);
    for advice in [
        Advice::Normal,
        Advice::Sequential,
        Advice::Random,
        Advice::WillNeed,
        Advice::PopulateRead,
        Advice::PopulateWrite,
        Advice::ExcludeFromCoreDump,
    ] {
        view.advise(.., advice).unwrap();
    }
    assert!(Advice::ALL.iter().all(|advice| matches!(advice.support(), Support::Call(_))));
}

#[test]
fn dropping_pages_behind_leaves_every_byte() {
    let (_dir, path) = file_of(pattern(0, 8 * page_size()));
    let file: View<ReadWrite> = Section::open_rw(&path).unwrap().view().unwrap();
    for view in [file, pages_of_pattern(8)] {
        view.put(3 * page(), &0xffu8).unwrap();
        for range in [0..8 * page(), 1..8 * page() - 1, 5..6, 0..0, 2 * page()..4 * page()] {
            view.drop_behind(range).unwrap();
        }
        assert_eq!(view.get::<u8>(3 * page()).unwrap(), 0xff, "not even a dirty one is lost");
        view.put(3 * page(), &byte_at(3 * page())).unwrap();
        assert!(view.read_vec(..).unwrap() == pattern(0, 8 * page_size()));
        refused(view.drop_behind(8 * page() + 1..), ErrorKind::OutOfBounds);
    }
}

#[test]
fn the_offset_of_an_error_is_that_in_the_section_wherever_the_view_starts() {
    let section = Section::anonymous(4 * page()).unwrap();
    let start = page() + 4;
    let view = section.view_of::<ReadWrite>(start..3 * page()).unwrap();
    let (end, size) = (view.len(), view.len());
    for error in [
        refused(view.get::<u64>(end - 7), ErrorKind::OutOfBounds),
        refused(view.sub(4..).unwrap().put(end - 11, &0u64), ErrorKind::OutOfBounds),
    ] {
        assert_eq!(error.offset(), Some(start + end - 7), "{error}");
        says(
            &error,
            &[&format!("at offset {}", start + end - 7), "8 bytes asked for, the view has"],
        );
    }
    let error = refused(view.get::<u64>(end), ErrorKind::OutOfBounds);
    says(&error, &[&format!("the view has {size}, from offset {start} on")]);
    let error = refused(view.atomic_u64(8).map(drop), ErrorKind::Misaligned);
    assert_eq!(error.offset(), Some(start + 8));
    assert_eq!(refused(view.get::<u8>(u64::MAX), ErrorKind::OutOfBounds).offset(), Some(u64::MAX));
}

#[test]
fn pages_that_are_locked_in_memory_are_not_dropped_and_the_error_says_why() {
    let section = Section::anonymous(8 * page()).unwrap();
    let (view, other): (View<ReadWrite>, View<Read>) =
        (section.view().unwrap(), section.view().unwrap());
    let lock = view.lock_in_memory(3 * page()..4 * page()).unwrap();
    let error = refused(view.drop_behind(2 * page()..6 * page()), ErrorKind::Busy);
    says(&error, &["cannot drop pages of", "busy", "pages of it are locked in memory"]);
    assert_eq!(error.offset(), Some(2 * page()));
    refused(view.sub(3 * page()..).unwrap().drop_behind(..), ErrorKind::Busy);
    view.drop_behind(..3 * page()).unwrap();
    view.drop_behind(4 * page()..).unwrap();
    other.drop_behind(..).expect("another map is not locked");
    drop(lock);
    view.drop_behind(..).unwrap();
}

#[test]
fn every_operation_takes_a_view_of_nothing() {
    for section in [Section::anonymous(0).unwrap(), Section::anonymous(5).unwrap()] {
        let view: View<ReadWrite> = section.view_of(0..0).unwrap();
        assert!(view.is_empty());
        assert!(view.read_vec(..).unwrap().is_empty());
        view.read_at(0, &mut []).unwrap();
        view.read_checked(0, &mut []).unwrap();
        view.write_at(0, &[]).unwrap();
        view.fill(.., 1).unwrap();
        view.copy_within(.., 0).unwrap();
        assert_eq!(view.compare(0, &[]).unwrap(), Ordering::Equal);
        assert_eq!(view.scan(.., |_| ControlFlow::Break(())).unwrap(), ControlFlow::Continue(()));
        view.flush(.., Flush::Full).unwrap();
        view.prefetch(..).unwrap();
        view.drop_behind(..).unwrap();
        drop(view.lock_in_memory(..).unwrap());
        let (left, right) = view.clone().split_at(0).unwrap();
        assert_eq!((left.len(), right.len()), (0, 0));
        drop((left, right));
        refused(view.atomic_u32(0).map(drop), ErrorKind::OutOfBounds);
        refused(view.put(0, &1u8), ErrorKind::OutOfBounds);
        assert!(!view.as_ptr().is_null());
    }
}

#[test]
fn views_of_one_section_see_each_others_bytes_at_once() {
    let (_dir, path) = file_of(pattern(0, 4 * page_size()));
    let section = Section::open_rw(&path).unwrap();
    let (one, two): (View<ReadWrite>, View<Read>) =
        (section.view().unwrap(), Section::open(&path).unwrap().view_of(3..).unwrap());
    let private: View<CopyOnWrite> = section.view().unwrap();
    one.write_at(page() - 1, b"abc").unwrap();
    assert_eq!(two.read_vec(page() - 4..page() - 1).unwrap(), b"abc");
    assert_eq!(private.read_vec(page() - 1..page() + 2).unwrap(), b"abc", "until its first write");
}

#[cfg(unix)]
#[test]
fn a_view_and_the_files_own_reads_and_writes_are_one_memory() {
    use std::os::unix::fs::FileExt;
    let (_dir, path) = file_of(pattern(0, 64 * page_size()));
    let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let view: View<ReadWrite> = Section::open_rw(&path).unwrap().view().unwrap();
    let mut random = Random::new();
    let mut model = pattern(0, 64 * page_size()).to_vec();
    for _ in 0..budget(200) {
        let from = random.usize(0..model.len());
        let length = random.usize(0..=(model.len() - from).min(100_000));
        let bytes = random.bytes(length);
        if random.bool() {
            file.write_all_at(&bytes, from as u64).unwrap();
        } else {
            view.write_at(from as u64, &bytes).unwrap();
        }
        model[from..from + length].copy_from_slice(&bytes);
        let mut out = vec![0; length];
        file.read_exact_at(&mut out, from as u64).unwrap();
        assert!(out == bytes, "the file reads what was written");
        assert!(view.read_vec(from as u64..(from + length) as u64).unwrap() == bytes);
    }
    assert!(view.read_vec(..).unwrap() == model && std::fs::read(&path).unwrap() == model);
}
