use std::collections::BTreeSet;
use std::path::Path;

use bifolio_map::storage::{OpenMode, Replace, Storage, StorageFile};
use bifolio_map::{Flush, Space};

use super::*;
use crate::fault::{Fault, Faults, Faulty, Lasting};

fn path() -> &'static Path {
    Path::new("file")
}

/// A recorder over a storage that holds one durable file.
fn over(bytes: &[u8]) -> Recorder<MemoryStorage> {
    Recorder::over_memory(MemoryStorage::from_files([(path().to_path_buf(), bytes.to_vec())]))
}

fn open(storage: &impl Storage) -> Box<dyn StorageFile> {
    storage.open(path(), OpenMode::ReadWrite).unwrap()
}

/// Every content that a crash can leave of the file, one letter for each equal run; `-` for none.
fn outcomes(trace: &Trace) -> BTreeSet<String> {
    outcomes_of(trace, &["file"])
}

fn outcomes_of(trace: &Trace, names: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let plan = Plan::new().seed(1).torn(if cfg!(miri) { 50 } else { 2000 });
    let report = replay(trace, &plan, |files, _| {
        let texts = names.iter().map(|name| {
            files.contents(Path::new(name)).map_or("-".into(), |bytes| {
                let runs = bytes.chunk_by(|a, b| a == b);
                runs.map(|run| format!("{}{}", run[0] as char, run.len())).collect::<String>()
            })
        });
        found.insert(texts.collect::<Vec<_>>().join(" ").replace('\0', "0x"));
        Ok(())
    });
    assert!(report.unwrap().distinct >= found.len() as u64);
    found
}

fn set(expected: &[&str]) -> BTreeSet<String> {
    expected.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn a_write_is_torn_at_sectors_only() {
    let storage = over(&[b'a'; 1024]);
    open(&storage).write_at(0, &[b'b'; 1024]).unwrap();
    assert_eq!(outcomes(&storage.trace()), set(&["a1024", "b1024", "a512b512", "b512a512"]));
}

#[test]
fn two_writes_to_a_sector_keep_their_order() {
    let storage = over(&[b'a'; 8]);
    let file = open(&storage);
    file.write_at(0, b"bb").unwrap();
    file.write_at(4, b"cc").unwrap();
    assert_eq!(outcomes(&storage.trace()), set(&["a8", "b2a6", "b2a2c2a2"]));
}

#[test]
fn stores_are_torn_at_words_but_never_within_one() {
    let storage = over(&[b'a'; 24]);
    let file = open(&storage);
    let map = file.store_map(0..24).unwrap();
    map.write_at(0, &[b'b'; 16]).unwrap();
    map.store_release_u64(16, u64::from_ne_bytes([b'c'; 8])).unwrap();
    let expected = ["a24", "b8a16", "a8b8a8", "b16a8", "b16c8"];
    assert_eq!(outcomes(&storage.trace()), set(&expected));
}

#[test]
fn a_sync_is_the_end_of_doubt_for_its_file_only() {
    let memory = MemoryStorage::from_files(["x", "y"].map(|name| (name.into(), vec![b'a'; 4])));
    let storage = Recorder::over_memory(memory);
    let [x, y] = ["x", "y"].map(|name| storage.open(Path::new(name), OpenMode::ReadWrite).unwrap());
    x.write_at(0, b"bbbb").unwrap();
    y.write_at(0, b"bbbb").unwrap();
    x.sync(Flush::Data).unwrap();
    storage.acknowledged(1);
    let mut after = BTreeSet::new();
    replay(&storage.trace(), &Plan::new(), |files, state| {
        let contents = ["x", "y"].map(|name| files.contents(Path::new(name)).unwrap());
        if state.acknowledged == 1 {
            after.insert(contents);
        }
        Ok(())
    })
    .unwrap();
    let bytes = |text: &str| text.as_bytes().to_vec();
    let both = [[bytes("bbbb"), bytes("aaaa")], [bytes("bbbb"), bytes("bbbb")]];
    assert_eq!(after, both.into());
}

#[test]
fn a_flush_of_a_range_covers_its_sectors_and_the_length() {
    let storage = over(&[]);
    let file = open(&storage);
    file.set_len(1024, Space::Allocate).unwrap();
    file.sync(Flush::Data).unwrap();
    let map = file.store_map(0..1024).unwrap();
    map.store_release_u64(0, u64::from_ne_bytes([b'b'; 8])).unwrap();
    map.store_release_u64(512, u64::from_ne_bytes([b'c'; 8])).unwrap();
    map.flush(0..8, Flush::Data).unwrap();
    storage.acknowledged(1);
    let mut after = BTreeSet::new();
    replay(&storage.trace(), &Plan::new(), |files, state| {
        let bytes = files.contents(path()).unwrap();
        if state.acknowledged == 1 {
            after.insert((bytes.len(), bytes[0], bytes[512]));
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(after, [(1024, b'b', 0), (1024, b'b', b'c')].into());
}

#[test]
fn a_length_can_be_durable_before_its_bytes() {
    let storage = over(b"a");
    open(&storage).write_at(1, b"b").unwrap();
    assert_eq!(outcomes(&storage.trace()), set(&["a1", "a10x1", "a1b1"]));
}

#[test]
fn cut_bytes_come_back_only_with_the_old_length() {
    let storage = over(b"aaaa");
    let file = open(&storage);
    file.set_len(1, Space::Sparse).unwrap();
    file.set_len(3, Space::Sparse).unwrap();
    assert_eq!(outcomes(&storage.trace()), set(&["a4", "a1", "a10x2"]));
}

#[test]
fn what_is_written_after_a_cut_depends_on_the_cut() {
    let storage = over(b"aaaa");
    let file = open(&storage);
    file.set_len(0, Space::Sparse).unwrap();
    file.write_at(0, b"bb").unwrap();
    assert_eq!(outcomes(&storage.trace()), set(&["a4", "", "0x2", "b2"]));
}

#[test]
fn a_new_file_may_be_missing_or_empty_until_its_directory_is_synced() {
    let storage = Recorder::new(MemoryStorage::new());
    let file = storage.open(path(), OpenMode::CreateNew).unwrap();
    file.write_at(0, b"b").unwrap();
    file.sync(Flush::Full).unwrap();
    storage.acknowledged(1);
    assert_eq!(outcomes(&storage.trace()), set(&["-", "", "0x1", "b1"]));
    storage.sync_dir(Path::new(".")).unwrap();
    let mut trace = storage.trace();
    trace.ops.push(crate::trace::Op::Acknowledged(2));
    replay(&trace, &Plan::new(), |files, state| match files.contents(path()) {
        Some(bytes) if bytes == b"b" => Ok(()),
        _ if state.acknowledged < 2 => Ok(()),
        found => Err(format!("{found:?}")),
    })
    .unwrap();
}

#[test]
fn a_rename_happens_as_a_whole_and_after_what_it_needs() {
    let storage = over(b"a");
    let new = storage.open(Path::new("new"), OpenMode::CreateNew).unwrap();
    new.write_at(0, b"b").unwrap();
    new.sync(Flush::Data).unwrap();
    storage.rename(Path::new("new"), path(), Replace::Existing).unwrap();
    let expected = ["a1 -", "a1 ", "a1 0x1", "a1 b1", "b1 -"];
    assert_eq!(outcomes_of(&storage.trace(), &["file", "new"]), set(&expected));
}

#[test]
fn a_rename_without_a_sync_of_the_data_can_leave_an_empty_file() {
    let storage = over(b"a");
    let new = storage.open(Path::new("new"), OpenMode::CreateNew).unwrap();
    new.write_at(0, b"b").unwrap();
    storage.rename(Path::new("new"), path(), Replace::Existing).unwrap();
    assert!(outcomes(&storage.trace()).contains(""));
}

#[test]
fn between_directories_the_new_name_is_durable_before_the_old_one_goes() {
    let files = [("x/f".into(), b"a".to_vec()), ("y/there".into(), Vec::new())];
    let storage = Recorder::over_memory(MemoryStorage::from_files(files));
    storage.rename(Path::new("x/f"), Path::new("y/f"), Replace::Never).unwrap();
    let names = ["x/f", "y/f"];
    assert_eq!(outcomes_of(&storage.trace(), &names), set(&["a1 -", "- a1"]));
    storage.sync_dir(Path::new("y")).unwrap();
    storage.acknowledged(1);
    assert_eq!(outcomes_of(&storage.trace(), &names), set(&["a1 -", "- a1", "a1 a1"]));
}

#[test]
fn names_in_a_lost_directory_are_lost() {
    let storage = Recorder::new(MemoryStorage::new());
    storage.create_dir(Path::new("dir")).unwrap();
    storage.open(Path::new("dir/file"), OpenMode::CreateNew).unwrap();
    storage.sync_dir(Path::new("dir")).unwrap();
    storage.acknowledged(1);
    assert_eq!(outcomes_of(&storage.trace(), &["dir/file"]), set(&["-", ""]));
    storage.sync_dir(Path::new("")).unwrap();
    storage.acknowledged(2);
    replay(&storage.trace(), &Plan::new(), |files, state| {
        match files.contents(Path::new("dir/file")) {
            None if state.acknowledged == 2 => Err("lost".into()),
            _ => Ok(()),
        }
    })
    .unwrap();
}

#[test]
fn two_names_of_a_file_are_one_file_after_the_crash() {
    let storage = over(b"a");
    storage.link(path(), Path::new("second")).unwrap();
    storage.sync_dir(Path::new("")).unwrap();
    storage.acknowledged(1);
    replay(&storage.trace(), &Plan::new(), |files, state| {
        if state.acknowledged == 1 {
            open(files).write_at(0, b"z").map_err(|error| error.to_string())?;
            let second = files.contents(Path::new("second"));
            return if second == Some(b"z".to_vec()) { Ok(()) } else { Err(format!("{second:?}")) };
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_barrier_orders_without_making_durable() {
    let storage = over(&[b'a'; 1024]);
    let file = open(&storage);
    file.write_at(0, &[b'b'; 512]).unwrap();
    file.sync(Flush::Barrier).unwrap();
    file.write_at(512, &[b'c'; 512]).unwrap();
    assert_eq!(outcomes(&storage.trace()), set(&["a1024", "b512a512", "b512c512"]));
}

#[test]
fn start_promises_nothing() {
    let storage = over(b"a");
    let file = open(&storage);
    storage.begun(1);
    file.write_at(0, b"b").unwrap();
    file.sync(Flush::Start).unwrap();
    storage.acknowledged(1);
    let lost = replay(&storage.trace(), &Plan::new(), |files, state| {
        state.require(u64::from(files.contents(path()).unwrap() == b"b"))
    });
    assert!(lost.unwrap_err().complaint.contains("recovered 0, but 1 was acknowledged"));
}

/// A recorder over a fault injector over one durable file, and the file open for writing.
fn faulty(fault: Fault) -> (Recorder<Faulty<MemoryStorage>>, Box<dyn StorageFile>) {
    let faults = Faults::at(fault, 1, Lasting::Once);
    let memory = MemoryStorage::from_files([(path().to_path_buf(), vec![b'a'; 1024])]);
    let storage = Recorder::over_faults(Faulty::new(memory, &faults));
    let file = open(&storage);
    (storage, file)
}

#[test]
fn after_a_failed_sync_the_bytes_stay_in_doubt_even_if_the_next_succeeds() {
    let (storage, file) = faulty(Fault::SyncFails);
    file.write_at(0, &[b'b'; 512]).unwrap();
    file.sync(Flush::Data).unwrap_err();
    let again = open(&storage);
    again.write_at(512, &[b'c'; 512]).unwrap();
    again.sync(Flush::Data).unwrap();
    storage.acknowledged(1);
    let mut after = BTreeSet::new();
    replay(&storage.trace(), &Plan::new(), |files, state| {
        let bytes = files.contents(path()).unwrap();
        if state.acknowledged == 1 {
            after.insert((bytes[0], bytes[512]));
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(after, [(b'a', b'c'), (b'b', b'c')].into());
}

#[test]
fn a_lying_sync_makes_nothing_durable() {
    let (storage, file) = faulty(Fault::SyncLies);
    storage.begun(1);
    file.write_at(0, b"b").unwrap();
    file.sync(Flush::Data).unwrap();
    storage.acknowledged(1);
    assert!(storage.trace().to_string().contains("sync file (Data): Lied"));
    let lost = replay(&storage.trace(), &Plan::new(), |files, state| {
        state.require(u64::from(files.contents(path()).unwrap()[0] == b'b'))
    });
    assert!(lost.unwrap_err().complaint.contains("recovered 0, but 1 was acknowledged"));
}

#[test]
fn a_short_write_is_recorded_as_far_as_it_came() {
    let (storage, file) = faulty(Fault::ShortWrite);
    file.write_at(0, &[b'b'; 1024]).unwrap_err();
    assert_eq!(outcomes(&storage.trace()), set(&["a1024", "b512a512"]));
}

#[test]
fn a_failure_names_the_least_that_was_persisted() {
    let storage = over(&[b'a'; 4096]);
    let file = open(&storage);
    for page in 0..4 {
        file.write_at(page * 1024, &[b'b'; 1024]).unwrap();
    }
    let failure = replay(&storage.trace(), &Plan::new().seed(5), |files, _| {
        let bytes = files.contents(path()).unwrap();
        if bytes[2048] == b'b' && bytes[0] == b'a' {
            Err("third without first".into())
        } else {
            Ok(())
        }
    })
    .unwrap_err();
    assert_eq!(failure.seed, 5);
    let text = failure.to_string();
    let expected = [
        "third without first",
        "#0 write file 0..1024: lost",
        "#1 write file 1024..2048: lost",
        "#2 write file 2048..3072: persisted",
        "#3 write file 3072..4096: lost",
        "BIFOLIO_SEED=5",
    ];
    for line in expected {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn a_torn_state_that_fails_says_which_sectors_were_persisted() {
    let storage = over(&[b'a'; 2048]);
    open(&storage).write_at(0, &[b'b'; 2048]).unwrap();
    let failure = replay(&storage.trace(), &Plan::new(), |files, _| {
        let bytes = files.contents(path()).unwrap();
        if bytes[0] == bytes[1024] { Ok(()) } else { Err("torn".into()) }
    })
    .unwrap_err();
    let line = &failure.operations[0];
    assert!(line.contains("torn: 1 of 4 sectors") || line.contains("torn: 2 of 4"), "{line}");
}

#[test]
fn a_panic_in_the_recovery_is_a_complaint() {
    let storage = over(b"a");
    open(&storage).write_at(0, b"b").unwrap();
    let failure = replay(&storage.trace(), &Plan::new(), |files, _| {
        assert_eq!(files.contents(path()).unwrap(), b"a", "this recovery panics on purpose");
        Ok(())
    });
    assert!(failure.unwrap_err().complaint.contains("panics on purpose"));
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes there")]
fn up_to_eight_writes_are_tried_in_every_combination() {
    let storage = over(&[b'a'; 8 * 512]);
    let file = open(&storage);
    for sector in 0..8 {
        file.write_at(sector * 512, &[b'b'; 512]).unwrap();
    }
    let report = replay(&storage.trace(), &Plan::new(), |_, _| Ok(())).unwrap();
    assert_eq!(report.distinct, 256);
    assert_eq!(report.epochs, 1);
}

#[test]
fn the_limit_ends_a_replay_and_is_reported() {
    let storage = over(&[b'a'; 4096]);
    open(&storage).write_at(0, &[b'b'; 4096]).unwrap();
    let report = replay(&storage.trace(), &Plan::new().at_most(3), |_, _| Ok(())).unwrap();
    assert_eq!((report.states, report.ended), (3, Ended::AtTheLimit));
}

#[test]
fn each_verification_gets_files_of_its_own() {
    let storage = over(&[b'a'; 1024]);
    open(&storage).write_at(0, &[b'b'; 1024]).unwrap();
    replay(&storage.trace(), &Plan::new(), |files, _| {
        let bytes = files.contents(path()).unwrap();
        open(files).write_at(0, b"z").map_err(|error| error.to_string())?;
        if bytes.contains(&b'z') { Err("what the last one wrote".into()) } else { Ok(()) }
    })
    .unwrap();
}

#[test]
fn a_recovery_that_crashes_halfway_is_crashed_again() {
    // The recovery copies x to y in two steps; half of it must never be taken for the whole.
    let storage = over(&[b'a'; 512]);
    open(&storage).write_at(0, &[b'b'; 512]).unwrap();
    let mut inner = CrashReport::default();
    let mut ages = BTreeSet::new();
    replay(&storage.trace(), &Plan::new(), |files, state| {
        let work = |recorder: &Recorder<MemoryStorage>| {
            let file = recorder.open(path(), OpenMode::ReadWrite);
            file.and_then(|file| file.write_at(512, &[b'c'; 512])).map_err(|e| e.to_string())
        };
        let report = crash_again(files, state, &Plan::new(), work, |files, _| {
            ages.insert(files.contents(path()).unwrap().len());
            Ok(())
        })?;
        inner.add(report);
        Ok(())
    })
    .unwrap();
    assert_eq!(ages, [512, 1024].into());
    assert_eq!(inner.distinct, 6, "two states, each with nothing, zeros, or all of the recovery");
}
