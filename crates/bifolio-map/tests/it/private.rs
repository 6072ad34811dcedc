//! Copy-on-write views: the section keeps its bytes, the view knows what it changed, and writes
//! it back in the order that it is told.

use std::ops::Range;

use bifolio_map::{CopyOnWrite, ErrorKind, Flush, Read, ReadWrite, Section, View, page_size};
use bifolio_testkit::{Random, budget};

use crate::support::{HAS_ATOMICS, file_of, page, pattern, refused, says};

#[test]
fn every_way_of_writing_leaves_the_file_as_it_was() {
    let (_dir, path) = file_of(pattern(0, 40 * page_size()));
    for section in [Section::open(&path).unwrap(), Section::open_rw(&path).unwrap()] {
        let view: View<CopyOnWrite> = section.view().unwrap();
        view.put(0, &1u8).unwrap();
        view.put(page() - 4, &2u64).unwrap();
        view.put_slice(2 * page(), &[3u32; 100]).unwrap();
        view.fill(3 * page()..4 * page(), 4).unwrap();
        view.copy_within(..page(), 5 * page()).unwrap();
        view.write_at(7 * page() + 1, &vec![5; 20 * page_size()]).unwrap();
        view.atomic_u32(30 * page()).unwrap().store(6).unwrap();
        if HAS_ATOMICS {
            view.atomic_u64(31 * page()).unwrap().fetch_add(7).unwrap();
        }
        assert_eq!(view.get::<u8>(0).unwrap(), 1);
        assert_eq!(view.get::<u64>(page() - 4).unwrap(), 2);
        assert!(view.read_vec(7 * page() + 1..27 * page()).unwrap().iter().all(|&byte| byte == 5));
        assert_eq!(view.get::<u32>(30 * page()).unwrap(), 6);
        assert!(std::fs::read(&path).unwrap() == pattern(0, 40 * page_size()));
        let other: View<CopyOnWrite> = section.view().unwrap();
        assert!(
            other.read_vec(..).unwrap() == pattern(0, 40 * page_size()),
            "nor do others see it"
        );
    }
}

#[test]
fn changed_ranges_are_the_pages_written_merged_and_clipped() {
    let section = Section::anonymous(10 * page() + 5).unwrap();
    let view = section.view_of::<CopyOnWrite>(page() / 2..).unwrap();
    let half = page() / 2; // pages end at half, half + page, ...
    assert_eq!(view.changed(), []);
    view.write_at(10, &[]).unwrap();
    refused(view.put(view.len() - 1, &0u16), ErrorKind::OutOfBounds);
    assert_eq!(view.changed(), [], "what was not written is not changed");
    view.put(0, &1u8).unwrap();
    assert_eq!(view.changed(), [0..half]);
    view.put(half - 1, &1u16).unwrap();
    assert_eq!(view.changed(), [0..half + page()], "a word on two pages changes both");
    view.put(view.len() - 1, &1u8).unwrap();
    assert_eq!(view.changed(), [0..half + page(), view.len() - 5..view.len()]);
    view.clone().fill(4 * page()..4 * page() + 1, 1).unwrap();
    let middle = half + 3 * page()..half + 4 * page();
    assert_eq!(view.changed()[1], middle, "a clone is the same memory");
    let part = view.sub(middle.start + 3..middle.end + 7).unwrap();
    assert_eq!(part.changed(), [0..page() - 3], "counted from the part's own start");
    part.put(page(), &1u8).unwrap();
    assert_eq!(view.changed()[1], middle.start..middle.end + page());
    let other = section.view::<CopyOnWrite>().unwrap();
    assert_eq!(other.changed(), [], "another map has changes of its own");
}

#[test]
fn writing_back_what_changed_makes_the_file_equal_to_the_view() {
    let mut random = Random::new();
    for _ in 0..budget(20) {
        let size = random.usize(1..20 * page_size());
        let (_dir, path) = file_of(pattern(0, size));
        let section = Section::open_rw(&path).unwrap();
        let offset = random.u64(0..size as u64);
        let view = section.view_of::<CopyOnWrite>(offset..).unwrap();
        let mut model = pattern(offset, size - offset as usize).to_vec();
        for _ in 0..random.usize(0..10) {
            let from = random.usize(0..model.len());
            let length = random.usize(0..=(model.len() - from).min(3 * page_size()));
            let bytes = random.bytes(length);
            view.write_at(from as u64, &bytes).unwrap();
            model[from..from + length].copy_from_slice(&bytes);
        }
        view.write_back(&section, &view.changed(), Flush::Start).unwrap();
        assert_eq!(view.changed(), []);
        let bytes = std::fs::read(&path).unwrap();
        assert!(bytes[..offset as usize] == *pattern(0, offset as usize));
        assert!(bytes[offset as usize..] == model && view.read_vec(..).unwrap() == model);
    }
}

#[test]
fn everything_outside_the_private_ranges_follows_the_section() {
    use bifolio_map::{Advice, view::Support};
    let section = Section::anonymous(64 * page()).unwrap();
    let view = section.view_of::<CopyOnWrite>(page() / 2..).unwrap();
    let shared: View<ReadWrite> = section.view_of(page() / 2..).unwrap();
    let mut random = Random::new();
    for round in 0..budget(100) {
        let (a, b) = (random.u64(0..view.len()), random.u64(0..view.len()));
        let range = a.min(b)..a.min(a.min(b) + 2 * page()).max(a.min(b));
        match random.u32(0..6) {
            0 => view.fill(range, 1).unwrap(),
            1 => view.write_back(&section, &view.changed(), Flush::Start).unwrap(),
            2 if Advice::PopulateWrite.support() != Support::NotSupported => {
                view.advise(range, Advice::PopulateWrite).unwrap();
            }
            // Not under Wine, whose VirtualLock copies the pages of a private map; Windows' does not.
            3 if cfg!(unix) => drop(view.lock_in_memory(range).unwrap()),
            4 => drop(view.read_vec(range).unwrap()),
            _ => {}
        }
        shared.fill(.., round as u8).unwrap();
        let private = view.private();
        let changed = view.changed();
        let is_in = |ranges: &[Range<u64>], at: u64| ranges.iter().any(|r| r.contains(&at));
        let bytes = view.read_vec(..).unwrap();
        for (at, &byte) in (0..).zip(&bytes) {
            assert!(byte == round as u8 || is_in(&private, at), "{at} does not follow");
            assert!(!is_in(&changed, at) || is_in(&private, at), "{at} changed and follows");
        }
        if private.iter().map(|range| range.end - range.start).sum::<u64>() == view.len() {
            break;
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_populated_for_writing_no_longer_follows_and_is_listed() {
    let section = Section::anonymous(4 * page()).unwrap();
    let view: View<CopyOnWrite> = section.view().unwrap();
    let part = view.sub(page() + 3..2 * page()).unwrap();
    part.advise(.., bifolio_map::Advice::PopulateWrite).unwrap();
    section.view::<ReadWrite>().unwrap().fill(.., 5).unwrap();
    assert_eq!(view.get::<u8>(page()).unwrap(), 0, "it is a copy from before");
    assert_eq!(view.private(), [page()..2 * page()]);
    assert_eq!(part.private(), [0..page() - 3]);
    assert_eq!(view.changed(), [], "there is nothing of ours to write back");
    assert_eq!(section.view::<CopyOnWrite>().unwrap().private(), [], "another map is not copied");
}

#[test]
fn what_was_written_back_stays_a_private_copy() {
    let section = Section::anonymous(3 * page()).unwrap();
    let view: View<CopyOnWrite> = section.view().unwrap();
    view.put(page(), &1u8).unwrap();
    view.write_back(&section, &view.changed(), Flush::Start).unwrap();
    section.view::<ReadWrite>().unwrap().put(page() + 1, &9u8).unwrap();
    assert_eq!(view.read_vec(page()..page() + 2).unwrap(), [1, 0]);
    assert_eq!((view.changed(), view.private()), (vec![], vec![page()..2 * page()]));
}

#[cfg(unix)] // Windows unmaps whole views only
#[test]
fn a_view_that_gave_parts_back_knows_what_it_changed_and_can_write_it_back() {
    let section = Section::anonymous(6 * page()).unwrap();
    let view: View<CopyOnWrite> = section.view().unwrap();
    view.put(page(), &1u8).unwrap();
    view.put(5 * page(), &1u8).unwrap();
    // From both sides, and to the middle of a page at either end.
    let view = view.shrink_to(page() + 7..3 * page() + 100).unwrap();
    assert_eq!(view.changed(), [0..page() - 7], "the changes of what is left");
    view.fill(.., 7).unwrap();
    assert_eq!(view.changed(), [0..view.len()]);
    view.write_back(&section, &view.changed(), Flush::Start).unwrap();
    assert_eq!(view.changed(), [], "the last page is whole although the view ends in it");
    let bytes = section.view::<Read>().unwrap().read_vec(..).unwrap();
    let sevens = page_size() + 7..3 * page_size() + 100;
    assert!(bytes.iter().enumerate().all(|(at, &b)| b == if sevens.contains(&at) { 7 } else { 0 }));
    let part = view.sub(page()..).unwrap();
    drop(view);
    let part = part.shrink_to(3..page()).unwrap();
    assert_eq!((part.changed(), part.private()), (vec![], vec![0..page() - 3]));
    part.put(0, &9u8).unwrap();
    assert_eq!(part.changed(), [0..page() - 10], "counted from the new start");
}

/// The pages of a file that hold `byte` at their start.
fn pages_with(byte: u8, path: &std::path::Path) -> Vec<usize> {
    let bytes = std::fs::read(path).unwrap();
    (0..bytes.len() / page_size()).filter(|&index| bytes[index * page_size()] == byte).collect()
}

#[test]
fn ranges_are_written_back_in_the_order_given_up_to_the_first_that_fails() {
    let whole = |index: u64| index * page()..(index + 1) * page();
    let order = [3, 0, 2, 1];
    for failing in 0..=order.len() {
        let (_dir, path) = file_of(&vec![0; 4 * page_size()]);
        let section = Section::open_rw(&path).unwrap();
        let (_longer_dir, longer) = file_of(&vec![0; 6 * page_size()]);
        let view: View<CopyOnWrite> = Section::open(longer).unwrap().view().unwrap();
        view.fill(.., 1).unwrap();
        let mut ranges: Vec<Range<u64>> = order.iter().map(|&index| whole(index)).collect();
        ranges.insert(failing, whole(5)); // lies past the end of the section
        let outcome = view.write_back(&section, &ranges, Flush::Barrier);
        let error = refused(outcome, ErrorKind::OutOfBounds);
        says(&error, &["cannot write back to", path.to_str().unwrap()]);
        let mut written: Vec<usize> = order[..failing].iter().map(|&i| i as usize).collect();
        written.sort_unstable();
        assert_eq!(pages_with(1, &path), written);
        assert!(view.changed().iter().any(|range| range.contains(&(5 * page()))), "still changed");
    }
}

#[test]
fn writing_back_part_of_a_page_keeps_the_page_changed() {
    let section = Section::anonymous(2 * page()).unwrap();
    let view: View<CopyOnWrite> = section.view().unwrap();
    view.fill(.., 9).unwrap();
    view.write_back(&section, &[0..7, page()..2 * page()], Flush::Data).unwrap();
    assert_eq!(view.changed(), [0..page()]);
    let file: View<Read> = section.view().unwrap();
    assert_eq!(file.read_vec(..8).unwrap(), [9, 9, 9, 9, 9, 9, 9, 0]);
    assert_eq!(file.get::<u8>(2 * page() - 1).unwrap(), 9);
}

#[test]
fn writing_back_to_a_section_that_is_read_only_is_refused() {
    let (_dir, path) = file_of(pattern(0, 13));
    let section = Section::open(&path).unwrap();
    let view: View<CopyOnWrite> = section.view().unwrap();
    view.put(0, &9u8).unwrap();
    let outcome = view.write_back(&section, &view.changed(), Flush::Data);
    says(&refused(outcome, ErrorKind::ModeMismatch), &["open for reading only", "data"]);
    assert_eq!(view.changed(), [0..13]);
    // The bytes can go to the same file opened for writing, or to another one.
    let writable = Section::open_rw(&path).unwrap();
    let ranges = view.changed();
    view.write_back(&writable, &ranges, Flush::Data).unwrap();
    assert_eq!(writable.view::<Read>().unwrap().get::<u8>(0).unwrap(), 9);
    let short = Section::anonymous(5).unwrap();
    refused(view.write_back(&short, &ranges, Flush::Data), ErrorKind::OutOfBounds);
    refused(view.write_back(&writable, &[0..14], Flush::Data), ErrorKind::OutOfBounds);
    view.write_back(&short, &[], Flush::Data).unwrap();
}

#[test]
fn a_page_follows_the_file_until_it_is_written_through_the_view() {
    let section = Section::anonymous(2 * page()).unwrap();
    let (file, private): (View<ReadWrite>, View<CopyOnWrite>) =
        (section.view().unwrap(), section.view().unwrap());
    private.put(page() + 1, &1u8).unwrap();
    file.fill(.., 7).unwrap();
    assert_eq!(private.get::<u8>(0).unwrap(), 7);
    assert_eq!(private.read_vec(page()..page() + 3).unwrap(), [0, 1, 0]);
}

#[cfg(unix)]
#[test]
fn writing_back_through_a_handle_that_appends_goes_where_the_view_says() {
    let (_dir, path) = file_of(&vec![0; 3 * page_size()]);
    let file = std::fs::File::options().read(true).append(true).open(&path).unwrap();
    let section = Section::from_file(file).unwrap();
    let view: View<CopyOnWrite> = section.view().unwrap();
    view.fill(page()..2 * page(), 7).unwrap();
    view.write_back(&section, &view.changed(), Flush::Data).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 3 * page());
    assert_eq!(pages_with(7, &path), [1]);
}
