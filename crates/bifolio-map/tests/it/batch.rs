//! Batches of reads: the same bytes as one by one, by every engine, whatever is asked for.

use std::collections::BTreeMap;
use std::ops::Range;

use bifolio_map::{
    Batch, BatchPlan, Completion, CopyOnWrite, Engine, ErrorKind, Merge, Mode, Read, ReadWrite,
    Section, View,
};
use bifolio_testkit::{Random, budget};

use crate::support::{file_of, page, pattern, refused, says};

/// The engines that can be used here.
pub(crate) fn engines() -> Vec<Engine> {
    let found: Vec<Engine> =
        Engine::ALL.into_iter().filter(|engine| engine.check().is_ok()).collect();
    assert!(found.contains(&Engine::Threads));
    found
}

/// The outcomes of a batch by index.
pub(crate) fn outcomes(batch: Batch) -> BTreeMap<usize, bifolio_map::Result<Vec<u8>>> {
    let mut found = BTreeMap::new();
    for completion in batch {
        let index = completion.index();
        assert!(found.insert(index, completion.into_bytes()).is_none(), "{index} came twice");
    }
    found
}

fn random_ranges(random: &mut Random, len: u64) -> Vec<Range<u64>> {
    (0..random.usize(0..60))
        .map(|_| {
            let start = random.u64(0..=len);
            let most = if random.one_in(10) { 300_000 } else { 5000 };
            start..(start + random.u64(0..most)).min(len)
        })
        .collect()
}

fn random_plan(random: &mut Random, engine: Option<Engine>) -> BatchPlan {
    let plan = BatchPlan::new()
        .depth([1, 2, 7, 32, 200][random.usize(0..5)])
        .merge([Merge::Never, Merge::UpTo(4096), Merge::UpTo(1 << 20)][random.usize(0..3)])
        .memory([1, 100_000, 64 << 20][random.usize(0..3)]);
    engine.map_or(plan.clone(), |engine| plan.engine(engine))
}

/// Batches of a view against `read_at`; what differs, if anything. `read` makes the batch.
fn compare<M: Mode>(
    view: &View<M>,
    rounds: u64,
    mut read: impl FnMut(&mut Random, Vec<Range<u64>>) -> Batch,
) -> Result<(), String> {
    let mut random = Random::new();
    for _ in 0..rounds {
        let ranges = random_ranges(&mut random, view.len());
        let mut batch = read(&mut random, ranges.clone());
        let mut seen = vec![0; ranges.len()];
        while let Some(completion) = batch.next() {
            let range = completion.range();
            assert_eq!(range, ranges[completion.index()]);
            seen[completion.index()] += 1;
            let bytes = completion.into_bytes().map_err(|error| error.to_string())?;
            if bytes != view.read_vec(range.clone()).unwrap() {
                return Err(format!("{range:?} has other bytes"));
            }
            assert_eq!(batch.remaining(), ranges.len() - seen.iter().sum::<usize>());
            if random.bool() {
                batch.give_back(bytes);
            }
        }
        assert!(seen.iter().all(|&times| times == 1), "{seen:?}");
        assert!(batch.next().is_none());
    }
    Ok(())
}

#[test]
fn every_engine_reads_what_one_by_one_is_read() {
    let (_dir, path) = file_of(pattern(0, 2_000_013));
    let section = Section::open_rw(&path).unwrap();
    let whole: View<Read> = section.view().unwrap();
    let part: View<ReadWrite> = section.view_of(1_000_003..1_900_000).unwrap();
    for engine in engines() {
        let view = compare(&whole, budget(10), |random, ranges| {
            let batch = section.read_batch_by(&random_plan(random, Some(engine)), ranges).unwrap();
            assert_eq!(batch.engine(), engine);
            batch
        });
        view.unwrap();
    }
    // Views are read by call where calls and maps are one; then by any engine.
    for engine in engines() {
        let plan = BatchPlan::new().engine(engine);
        match part.read_batch_by(&plan, []) {
            Ok(batch) => assert_eq!(batch.engine(), engine),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NotSupported);
                says(&error, &["only threads copy from this map"]);
                continue;
            }
        }
        let by = |random: &mut Random, ranges| {
            part.read_batch_by(&random_plan(random, Some(engine)), ranges).unwrap()
        };
        compare(&part, budget(10), by).unwrap();
    }
    compare(&part, budget(10), |random, ranges| {
        part.read_batch_by(&random_plan(random, None), ranges).unwrap()
    })
    .unwrap();
}

#[test]
fn memory_temporary_files_and_growing_views_are_read_in_batches_too() {
    for section in [Section::anonymous(500_000).unwrap(), Section::temporary(500_000).unwrap()] {
        let view: View<ReadWrite> = section.view_of(13..).unwrap();
        view.write_at(0, pattern(0, 499_987)).unwrap();
        let by_view = |random: &mut Random, ranges| {
            view.read_batch_by(&random_plan(random, None), ranges).unwrap()
        };
        compare(&view, budget(5), by_view).unwrap();
        let whole: View<Read> = section.view().unwrap();
        let by_section = |random: &mut Random, ranges| {
            section.read_batch_by(&random_plan(random, None), ranges).unwrap()
        };
        compare(&whole, budget(5), by_section).unwrap();
    }
    let section = Section::temporary(page()).unwrap();
    let growable = section.growable::<ReadWrite>(1 << 20).unwrap();
    growable.grow_to(10 * page(), bifolio_map::Space::Allocate).unwrap();
    let view = growable.view().unwrap();
    view.write_at(0, pattern(0, view.len() as usize)).unwrap();
    compare(&view, budget(3), |_, ranges| view.read_batch(ranges).unwrap()).unwrap();
}

/// A copy-on-write view from an offset on, with changes here and there.
fn changed_view(offset: u64) -> (tempfile::TempDir, View<CopyOnWrite>) {
    let (dir, path) = file_of(pattern(0, 400_000));
    let view: View<CopyOnWrite> = Section::open(&path).unwrap().view_of(offset..).unwrap();
    for at in (0..390_000).step_by(10_000) {
        view.write_at(at, &[0; 100]).unwrap();
    }
    (dir, view)
}

#[test]
fn a_copy_on_write_view_is_read_with_what_it_changed() {
    let (_dir, view) = changed_view(7);
    let own = |random: &mut Random, ranges| {
        view.read_batch_by(&random_plan(random, None), ranges).unwrap()
    };
    compare(&view, budget(10), own).unwrap();
    let plan = BatchPlan::new().engine(Engine::IoUring);
    refused(view.read_batch_by(&plan, [0..5]), ErrorKind::NotSupported);
}

#[test]
fn a_batch_that_read_the_file_under_a_private_view_would_be_noticed() {
    let (_dir, view) = changed_view(0);
    let section = view.section().unwrap().clone();
    let by_file = compare(&view, 50, |_, ranges| section.read_batch(ranges).unwrap());
    says(&by_file.unwrap_err(), &["has other bytes"]);
}

#[test]
fn ranges_that_end_past_the_end_are_refused_before_anything_is_read() {
    let (_dir, path) = file_of(pattern(0, 1000));
    let section = Section::open(&path).unwrap();
    let view: View<Read> = section.view_of(..900).unwrap();
    let error = refused(view.read_batch([0..5, 890..901]), ErrorKind::OutOfBounds);
    says(&error, &["data", "890..901", "900 bytes"]);
    let error = refused(section.read_batch([990..1001]), ErrorKind::OutOfBounds);
    says(&error, &["990..1001", "1000 bytes"]);
    #[expect(clippy::reversed_empty_ranges, reason = "the case under test")]
    let reversed = 7..3;
    refused(section.read_batch([reversed]), ErrorKind::OutOfBounds);
    let mut batch = section.read_batch([0..10]).unwrap();
    refused(batch.push(u64::MAX - 1..u64::MAX), ErrorKind::OutOfBounds);
    assert_eq!(batch.push(990..1000).unwrap(), 1);
    assert_eq!(outcomes(batch).len(), 2);
}

#[test]
fn plans_that_cannot_be_carried_out_say_why() {
    let section = Section::anonymous(100).unwrap();
    for depth in [0, 4097, usize::MAX] {
        let error = refused(
            section.read_batch_by(&BatchPlan::new().depth(depth), [0..5]),
            ErrorKind::InvalidInput,
        );
        says(&error, &["from 1 to 4096"]);
    }
    for engine in Engine::ALL {
        if let Err(error) = engine.check() {
            says(&error, &["cannot begin reads", engine.as_str()]);
            let plan = BatchPlan::new().engine(engine);
            let (_dir, path) = file_of(b"bytes");
            let asked = Section::open(&path).unwrap().read_batch_by(&plan, [0..5]);
            assert_eq!(asked.unwrap_err().kind(), error.kind());
        }
    }
    if cfg!(target_os = "linux") {
        refused(Engine::Overlapped.check(), ErrorKind::NotSupported);
    }
}

#[test]
fn the_cursor_of_an_open_file_stays_where_it_is() {
    use std::io::{Read as _, Seek, SeekFrom};
    let (_dir, path) = file_of(pattern(0, 100_000));
    let mut file = std::fs::File::open(&path).unwrap();
    file.seek(SeekFrom::Start(1234)).unwrap();
    let section = Section::from_file(file.try_clone().unwrap()).unwrap();
    for engine in engines() {
        let plan = BatchPlan::new().engine(engine);
        let found = outcomes(section.read_batch_by(&plan, [50_000..60_000, 7..9]).unwrap());
        assert!(found[&0].as_ref().unwrap() == pattern(50_000, 10_000));
        assert_eq!(file.stream_position().unwrap(), 1234, "{engine}");
    }
    let mut next = [0; 5];
    file.read_exact(&mut next).unwrap();
    assert_eq!(next, pattern(1234, 5));
}

#[test]
fn ends_of_files_are_found_by_every_engine() {
    let (_dir, path) = file_of(pattern(0, 100_000));
    let section = Section::open_rw(&path).unwrap();
    for engine in engines() {
        section.set_len(100_000, bifolio_map::Space::Allocate).unwrap();
        let plan = BatchPlan::new().engine(engine).depth(1).merge(Merge::Never);
        let mut batch = section
            .read_batch_by(&plan, [0..10, 49_990..50_010, 60_000..60_010, 49_990..50_000])
            .unwrap();
        let first = batch.next().unwrap();
        assert_eq!(first.index(), 0);
        section.set_len(50_000, bifolio_map::Space::Sparse).unwrap();
        let mut found = outcomes(batch);
        // With one read at a time the second may have been on its way.
        if let Err(error) = found.remove(&1).unwrap() {
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
            says(&error, &["10 of 20 bytes done", "the file ends at 50000 now"]);
        }
        let error = refused(found.remove(&2).unwrap(), ErrorKind::UnexpectedEof);
        says(&error, &["data", "offset 60000", "0 of 10 bytes done"]);
        assert!(found.remove(&3).unwrap().unwrap() == pattern(49_990, 10), "{engine}");
    }
}

#[test]
fn a_batch_that_is_dropped_on_the_way_disturbs_no_other() {
    let (_dir, path) = file_of(pattern(0, 1 << 20));
    let section = Section::open(&path).unwrap();
    for engine in engines() {
        let plan = BatchPlan::new().engine(engine).merge(Merge::Never);
        for round in 0..budget(20) {
            let ranges = || (0..256u64).map(|n| n * 4096..(n + 1) * 4096);
            let mut dropped = section.read_batch_by(&plan, ranges()).unwrap();
            for _ in 0..round % 5 {
                let _ = dropped.next();
            }
            drop(dropped);
            let canaries: Vec<Vec<u8>> = (0..64).map(|_| vec![0; 4096]).collect();
            let whole = section.read_batch_by(&plan, ranges()).unwrap();
            assert_eq!(whole.filter(|completion| completion.bytes().is_ok()).count(), 256);
            assert!(canaries.iter().flatten().all(|&byte| byte == 0), "{engine}");
        }
    }
}

#[test]
fn a_walk_asks_for_the_next_step_when_it_knows_it() {
    // A list of blocks, each of which begins with the place of the next one.
    let mut random = Random::new();
    let mut places: Vec<u64> = (0..100).collect();
    random.shuffle(&mut places);
    let mut bytes = vec![0; 100 * 64];
    let mut at = 0usize;
    for &next in &places {
        bytes[at * 64..at * 64 + 8].copy_from_slice(&(next * 64 + 1).to_le_bytes());
        at = next as usize;
    }
    let (_dir, path) = file_of(&bytes);
    let section = Section::open(&path).unwrap();
    for engine in engines() {
        let mut batch = section.read_batch_by(&BatchPlan::new().engine(engine), [0..64]).unwrap();
        let mut visited = vec![0u64];
        while let Some(completion) = batch.next() {
            let next = u64::from_le_bytes(completion.bytes().unwrap()[..8].try_into().unwrap());
            if next > 1 && visited.len() < 100 {
                batch.push(next - 1..next + 63).unwrap();
                visited.push((next - 1) / 64);
            }
        }
        let mut expected = vec![0];
        let mut at = 0u64;
        while expected.len() < visited.len() {
            let start = at as usize * 64;
            at = (u64::from_le_bytes(bytes[start..start + 8].try_into().unwrap()) - 1) / 64;
            expected.push(at);
        }
        assert_eq!(visited, expected);
        assert!(visited.len() > 1);
    }
}

#[test]
fn buffers_that_are_given_back_are_used_again() {
    let (_dir, path) = file_of(pattern(0, 100 * 4096));
    let section = Section::open(&path).unwrap();
    for engine in engines() {
        let plan = BatchPlan::new().engine(engine).depth(4).merge(Merge::Never);
        let ranges = (0..100).map(|n| n * 4096..(n + 1) * 4096);
        let mut batch = section.read_batch_by(&plan, ranges).unwrap();
        let mut addresses = std::collections::BTreeSet::new();
        while let Some(completion) = batch.next() {
            let range = completion.range();
            let bytes = completion.into_bytes().unwrap();
            assert!(bytes == pattern(range.start, 4096));
            addresses.insert(bytes.as_ptr().addr());
            batch.give_back(bytes);
        }
        assert!(addresses.len() <= 8, "{} buffers for 4 in flight", addresses.len());
    }
}

#[test]
fn a_batch_goes_to_another_thread_while_reads_are_in_flight() {
    let (_dir, path) = file_of(pattern(0, 1 << 20));
    let section = Section::open(&path).unwrap();
    for engine in engines() {
        let plan = BatchPlan::new().engine(engine).merge(Merge::Never);
        // Begun by a thread that ends: the kernel gives up reads of ended threads.
        let begun = std::thread::scope(|scope| {
            let begin = scope.spawn(|| {
                let ranges = (0..256).rev().map(|n| n * 4096..(n + 1) * 4096);
                section.read_batch_by(&plan, ranges).unwrap()
            });
            begin.join().unwrap()
        });
        let found = outcomes(begun);
        assert_eq!(found.len(), 256);
        for (index, outcome) in found {
            assert!(outcome.unwrap() == pattern((255 - index as u64) * 4096, 4096), "{engine}");
        }
    }
}

#[test]
fn batches_go_between_threads_and_completions_are_shared() {
    fn send<T: Send>() {}
    fn send_and_sync<T: Send + Sync>() {}
    send::<Batch>();
    send_and_sync::<Completion>();
    send_and_sync::<BatchPlan>();
    send_and_sync::<Engine>();
}

#[test]
fn an_empty_batch_is_over_at_once_and_empty_ranges_have_no_bytes() {
    let section = Section::anonymous(100).unwrap();
    assert!(section.read_batch([]).unwrap().next().is_none());
    let found = outcomes(section.read_batch([0..0, 100..100, 5..6]).unwrap());
    let sizes: Vec<_> = found.values().map(|outcome| outcome.as_ref().unwrap().len()).collect();
    assert_eq!(sizes, [0, 0, 1]);
    let none = Section::anonymous(0).unwrap().view::<Read>().unwrap();
    assert!(none.read_batch([]).unwrap().next().is_none());
}
