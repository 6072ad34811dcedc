//! Moving views: a section of any length through a few windows, with the same bytes, bounds and
//! errors as through one.

#[cfg(unix)]
use std::fs::File;
use std::ops::ControlFlow;

use bifolio_map::{
    ErrorKind, Flush, MovingView, Read, ReadWrite, Section, Space, WindowPlan, granularity,
};
use bifolio_testkit::{Random, budget};

use crate::support::{file_of, pattern, refused, says};

/// Windows of one granule: every access of some length meets their edges.
fn tiny(count: usize) -> WindowPlan {
    WindowPlan::new().size(1).count(count)
}

/// Random accesses to a moving view and a vector; what differs, if anything.
fn compare(
    view: &MovingView<ReadWrite>,
    model: &mut [u8],
    rounds: u64,
    get: fn(&MovingView<ReadWrite>, u64) -> bifolio_map::Result<u64>,
) -> Result<(), String> {
    let mut random = Random::new();
    let len = model.len();
    for _ in 0..rounds {
        let start = random.usize(0..len);
        let most = if random.bool() { 20 } else { 3 * granularity() as usize };
        let size = random.usize(0..most).min(len - start);
        let (at, range) = (start as u64, start..start + size);
        match random.u8(0..6) {
            0 => {
                let bytes = random.bytes(size);
                view.write_at(at, &bytes).unwrap();
                model[range].copy_from_slice(&bytes);
            }
            1 => {
                let byte = random.u8(..);
                view.fill(at..at + size as u64, byte).unwrap();
                model[range].fill(byte);
            }
            2 if start + 8 <= len => {
                let value = random.u64(..);
                view.put(at, &value).unwrap();
                model[start..start + 8].copy_from_slice(&value.to_ne_bytes());
            }
            3 if start + 8 <= len => {
                let expected = u64::from_ne_bytes(model[start..start + 8].try_into().unwrap());
                let found = get(view, at).unwrap();
                if found != expected {
                    return Err(format!("the word at {at} is {found:#x}, not {expected:#x}"));
                }
            }
            4 => {
                let mut seen = Vec::new();
                let whole = view.scan(at..at + size as u64, |piece| {
                    seen.extend_from_slice(piece);
                    ControlFlow::<()>::Continue(())
                });
                assert_eq!(whole.unwrap(), ControlFlow::Continue(()));
                if seen != model[range] {
                    return Err(format!("a scan of {size} bytes at {at} sees others"));
                }
            }
            _ => {
                let mut out = vec![0; size];
                view.read_at(at, &mut out).unwrap();
                if out != model[range] {
                    return Err(format!("{size} bytes at {at} are others"));
                }
            }
        }
    }
    Ok(())
}

#[test]
fn a_moving_view_is_a_vector_of_bytes_whatever_its_windows() {
    let len = 9 * granularity() as usize + 1234;
    for count in [1, 2, 3, 20] {
        let (_dir, path) = file_of(pattern(0, len));
        let section = Section::open_rw(&path).unwrap();
        let offset = [0, 7, granularity()][count % 3];
        let view = section.moving_view(offset.., tiny(count)).unwrap();
        let mut model = pattern(offset, len - offset as usize).to_vec();
        assert_eq!((view.len(), view.offset()), (model.len() as u64, offset));
        compare(&view, &mut model, budget(400), MovingView::get).unwrap();
        assert!((1..=count).contains(&view.mapped_windows()), "{view:?}");
        section.sync(Flush::Data).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert!(
            bytes[offset as usize..] == model
                && bytes[..offset as usize] == *pattern(0, offset as usize)
        );
    }
}

#[test]
fn a_window_in_the_wrong_place_would_be_noticed() {
    let len = 9 * granularity() as usize;
    let (_dir, path) = file_of(pattern(0, len));
    let view = Section::open_rw(&path).unwrap().moving_view(.., tiny(2)).unwrap();
    let wrong = compare(&view, &mut pattern(0, len).to_vec(), 2000, |view, at| {
        view.get(at % (8 * granularity())) // the high bits are lost
    });
    says(&wrong.unwrap_err(), &["the word at"]);
}

#[test]
fn threads_move_one_view_and_each_sees_its_own_bytes() {
    let len = 8 * granularity();
    let section = Section::temporary(len).unwrap();
    let view = &section.moving_view::<ReadWrite>(.., tiny(1)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            scope.spawn(move || {
                let mut random = Random::new();
                for round in 0..budget(500) {
                    let at = random.u64(0..len / 32) * 32 + thread * 8;
                    view.put(at, &(round << 8 | thread)).unwrap();
                    assert_eq!(view.get::<u64>(at).unwrap(), round << 8 | thread);
                }
            });
        }
    });
    assert_eq!(view.mapped_windows(), 1);
}

#[test]
fn bounds_modes_and_plans_are_checked() {
    let (_dir, path) = file_of(pattern(0, 1000));
    let section = Section::open(&path).unwrap();
    refused(section.moving_view::<ReadWrite>(.., tiny(1)), ErrorKind::ModeMismatch);
    refused(section.moving_view::<Read>(..1001, tiny(1)), ErrorKind::OutOfBounds);
    let error = refused(section.moving_view::<Read>(.., tiny(0)), ErrorKind::InvalidInput);
    says(&error, &["data", "0 windows"]);
    refused(section.moving_view::<Read>(.., tiny(1).size(0)), ErrorKind::InvalidInput);
    refused(section.moving_view::<Read>(.., tiny(1).size(u64::MAX)), ErrorKind::InvalidInput);
    let view = section.moving_view::<Read>(100..900, tiny(1)).unwrap();
    assert_eq!(view.mapped_windows(), 0, "nothing is mapped before it is needed");
    let error = refused(view.read_at(795, &mut [0; 6]), ErrorKind::OutOfBounds);
    says(&error, &["offset 795", "the view has 800"]);
    refused(view.get::<u64>(u64::MAX), ErrorKind::OutOfBounds);
    refused(view.scan(..801, |_| ControlFlow::<()>::Continue(())), ErrorKind::OutOfBounds);
    view.read_at(800, &mut []).unwrap();
    assert_eq!(view.get::<[u8; 3]>(797).unwrap(), pattern(897, 3));
    let broken = view.scan(.., |piece| ControlFlow::Break(piece[0])).unwrap();
    assert_eq!(broken, ControlFlow::Break(pattern(100, 1)[0]));
    fn send_and_sync<T: Send + Sync>() {}
    send_and_sync::<MovingView<ReadWrite>>();
    let empty = Section::anonymous(0).unwrap().moving_view::<Read>(.., tiny(1)).unwrap();
    assert!(empty.is_empty());
    refused(empty.get::<u8>(0), ErrorKind::OutOfBounds);
}

#[test]
fn a_fill_past_the_end_is_refused_before_anything_is_written() {
    const STEP: u64 = 1 << 30;
    let section = Section::temporary(0).unwrap();
    section.set_len(STEP + 100, Space::Sparse).unwrap();
    let view = section.moving_view::<ReadWrite>(.., WindowPlan::new()).unwrap();
    let error = refused(view.fill(5..STEP + 101, 1), ErrorKind::OutOfBounds);
    says(&error, &["cannot fill", &format!("asked for 5..{} of", STEP + 101)]);
    assert_eq!(view.get::<u8>(5).unwrap(), 0, "nothing is written");
    #[allow(clippy::reversed_empty_ranges, reason = "this is what is refused")]
    let reversed = view.fill(20..10, 1);
    refused(reversed, ErrorKind::OutOfBounds);
    view.fill(STEP + 90..STEP + 100, 7).unwrap();
    assert_eq!(view.get::<[u8; 11]>(STEP + 89).unwrap(), [0, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7]);
}

#[test]
#[cfg(unix)]
fn what_was_cut_off_is_an_error_and_what_grew_again_is_there() {
    let size = granularity();
    let (_dir, path) = file_of(pattern(0, 4 * size as usize));
    let view = Section::open_rw(&path).unwrap().moving_view::<ReadWrite>(.., tiny(2)).unwrap();
    view.get::<u8>(3 * size).unwrap();
    crate::support::truncate(&path, 2 * size + 100);
    // Through the window that was there before, through new ones, and across their edge.
    for at in [3 * size, 2 * size + size / 2, 3 * size + 5] {
        let error = refused(view.read_at(at, &mut [0; 4]), ErrorKind::UnexpectedEof);
        says(&error, &["data", "0 of 4 bytes done", &format!("ends at {} now", 2 * size + 100)]);
        refused(view.put(at, &1u8), ErrorKind::UnexpectedEof);
    }
    let mut out = vec![0; 3 * size as usize];
    refused(view.read_at(0, &mut out), ErrorKind::UnexpectedEof);
    let here = 2 * size as usize;
    assert!(out[..here] == *pattern(0, here), "what is there was read");
    view.section().set_len(4 * size, bifolio_map::Space::Allocate).unwrap();
    assert_eq!(view.get::<u64>(3 * size).unwrap(), 0);
    view.put(4 * size - 8, &7u64).unwrap();
    assert_eq!(view.get::<u64>(4 * size - 8).unwrap(), 7);
}

/// Bytes at both ends of every gigabyte, by a moving view and by calls on the file.
#[cfg(unix)]
fn far_apart(
    section: &Section,
    file: &File,
    get: impl Fn(&MovingView<ReadWrite>, u64) -> u64,
) -> bool {
    let len = section.len().unwrap();
    let plan = WindowPlan::new().size(1 << 20).count(3);
    let view = section.moving_view::<ReadWrite>(.., plan).unwrap();
    let places: Vec<u64> =
        (0..len >> 30).flat_map(|gib| [gib << 30, ((gib + 1) << 30) - 11]).collect();
    let places = places.into_iter().filter(|&at| at + 8 <= len);
    let places: Vec<u64> = places.collect();
    for &at in &places {
        view.put(at, &at.wrapping_mul(0x9e37_79b9_7f4a_7c15)).unwrap();
    }
    assert_eq!(view.mapped_windows(), 3);
    section.sync(Flush::Data).unwrap();
    places.iter().all(|&at| {
        let mut word = [0; 8];
        read_exact_at(file, &mut word, at);
        let expected = at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        u64::from_ne_bytes(word) == expected && get(&view, at) == expected
    })
}

#[cfg(unix)]
fn read_exact_at(file: &File, out: &mut [u8], at: u64) {
    std::os::unix::fs::FileExt::read_exact_at(file, out, at).unwrap();
}

#[test]
#[cfg(unix)]
fn a_file_of_nine_gigabytes_is_read_and_written_also_in_32_bits() {
    let (_dir, path) = file_of(b"");
    let section = Section::open_rw(&path).unwrap();
    section.set_len((9 << 30) + 5, bifolio_map::Space::Sparse).unwrap();
    let file = File::open(&path).unwrap();
    if cfg!(target_pointer_width = "32") {
        refused(section.view::<Read>(), ErrorKind::OutOfMemory);
    }
    assert!(far_apart(&section, &file, |view, at| view.get(at).unwrap()));
    let low_bits = |view: &MovingView<ReadWrite>, at: u64| view.get(at & 0xffff_ffff).unwrap();
    assert!(!far_apart(&section, &file, low_bits), "a lost high half would be noticed");
    // Batches by calls need no addresses either.
    let last = (9u64 << 30) - 11;
    let batch = section.read_batch([last..last + 8]).unwrap();
    for completion in batch {
        let word = completion.into_bytes().unwrap();
        assert_eq!(word, last.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_ne_bytes());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_larger_than_the_address_space_that_is_left_is_scanned() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    crate::support::process::alone(bifolio_testkit::this_test!(), || {
        let (_dir, path) = file_of(b"");
        let section = Section::open_rw(&path).unwrap();
        let len = 300 << 20;
        section.set_len(len, bifolio_map::Space::Sparse).unwrap();
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
        let limit = Some(pages * crate::support::page() + (128 << 20));
        setrlimit(Resource::As, Rlimit { current: limit, maximum: limit }).unwrap();
        refused(section.view::<Read>(), ErrorKind::OutOfMemory);
        let plan = WindowPlan::new().size(16 << 20).count(4);
        let view = section.moving_view::<ReadWrite>(.., plan).unwrap();
        view.put(len - 1, &7u8).unwrap();
        let mut sum = 0u64;
        let mut bytes = 0;
        let whole = view.scan(.., |piece| {
            bytes += piece.len();
            sum += piece.iter().map(|&byte| u64::from(byte)).sum::<u64>();
            ControlFlow::<()>::Continue(())
        });
        assert_eq!(whole.unwrap(), ControlFlow::Continue(()));
        assert_eq!((bytes as u64, sum), (len, 7));
        let path = path.to_str().unwrap();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        assert_eq!(maps.lines().filter(|line| line.ends_with(path)).count(), 4);
    });
}
