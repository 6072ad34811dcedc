use std::path::Path;

use bifolio_map::storage::{MemoryStorage, OpenMode, Storage};
use bifolio_map::{ErrorKind, Flush, Space};

use super::*;

const FILE: &str = "file";

fn faulty(faults: &Faults) -> Faulty<MemoryStorage> {
    Faulty::new(MemoryStorage::new(), faults)
}

#[test]
fn a_fault_strikes_once_or_for_ever() {
    for (lasting, failures) in [(Lasting::Once, 1), (Lasting::ForEver, 3)] {
        let faults = Faults::at(Fault::NoSpace, 3, lasting);
        let storage = faulty(&faults);
        let file = storage.open(Path::new(FILE), OpenMode::CreateNew).unwrap();
        let failed = (0..4).filter(|n| file.write_at(*n, b"x").is_err()).count();
        assert_eq!(failed, failures, "{lasting:?}");
        assert_eq!(faults.hits(), failures as u64);
        assert_eq!(faults.calls(), 5);
    }
}

#[test]
fn a_short_write_leaves_its_first_half() {
    let faults = Faults::at(Fault::ShortWrite, 1, Lasting::Once);
    let storage = faulty(&faults);
    let file = storage.open(Path::new(FILE), OpenMode::CreateNew).unwrap();
    let error = file.write_at(0, b"abcdef").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(error.path(), Some(Path::new(FILE)));
    assert_eq!(storage.inner().contents(Path::new(FILE)).unwrap(), b"abc");
}

#[test]
fn no_space_changes_nothing() {
    let faults = Faults::at(Fault::NoSpace, 2, Lasting::ForEver);
    let storage = faulty(&faults);
    let file = storage.open(Path::new(FILE), OpenMode::CreateNew).unwrap();
    assert!(file.write_at(0, b"x").is_err());
    assert!(file.set_len(10, Space::Allocate).is_err());
    assert!(storage.link(Path::new(FILE), Path::new("other")).is_err());
    assert!(storage.create_dir(Path::new("dir")).is_err());
    assert_eq!(file.len().unwrap(), 0);
    assert!(storage.open(Path::new("other"), OpenMode::Read).is_err());
    storage.unlink(Path::new(FILE)).expect("to remove a name takes no space");
}

#[test]
fn an_io_error_can_hit_every_call() {
    let everything = |faults: &Faults| {
        let storage = faulty(faults);
        let path = Path::new("dir/file");
        let run = || -> bifolio_map::Result<()> {
            storage.create_dir(Path::new("dir"))?;
            let file = storage.open(path, OpenMode::CreateNew)?;
            file.write_at(0, &[1; 100])?;
            file.set_len(50, Space::Sparse)?;
            file.len()?;
            file.read_exact_at(0, &mut [0; 10])?;
            file.sync(Flush::Data)?;
            let map = file.store_map(0..16)?;
            map.write_at(0, &[2; 8])?;
            map.store_release_u64(8, 3)?;
            map.load_acquire_u64(8)?;
            map.read_at(0, &mut [0; 8])?;
            map.flush(0..16, Flush::Data)?;
            storage.rename(path, Path::new("dir/new"), bifolio_map::storage::Replace::Never)?;
            storage.link(Path::new("dir/new"), path)?;
            storage.unlink(path)?;
            storage.list(Path::new("dir"))?;
            storage.sync_dir(Path::new("dir"))
        };
        match (run(), faults.hits()) {
            (Ok(()), 0) => Ok(()),
            (Err(error), 1) if error.kind() == ErrorKind::StorageFault => Ok(()),
            other => Err(format!("{other:?}")),
        }
    };
    assert_eq!(sweep(Fault::Io, Lasting::Once, everything).unwrap().calls, 18);
    assert_eq!(sweep(Fault::SyncFails, Lasting::Once, everything).unwrap().calls, 3);
}

#[test]
fn after_a_failed_sync_the_handle_and_its_maps_are_poisoned() {
    let faults = Faults::at(Fault::SyncFails, 1, Lasting::Once);
    let storage = faulty(&faults);
    let file = storage.open(Path::new(FILE), OpenMode::CreateNew).unwrap();
    file.write_at(0, &[0; 16]).unwrap();
    let map = file.store_map(0..16).unwrap();
    assert_eq!(map.flush(0..16, Flush::Data).unwrap_err().kind(), ErrorKind::StorageFault);
    assert_eq!(file.sync(Flush::Data).unwrap_err().kind(), ErrorKind::Poisoned);
    assert_eq!(map.flush(0..16, Flush::Data).unwrap_err().kind(), ErrorKind::Poisoned);
    let again = storage.open(Path::new(FILE), OpenMode::ReadWrite).unwrap();
    again.sync(Flush::Data).expect("another handle is another handle");
}

#[test]
fn a_lie_is_counted() {
    let faults = Faults::at(Fault::SyncLies, 1, Lasting::Once);
    let storage = faulty(&faults);
    storage.sync_dir(Path::new("")).unwrap();
    storage.sync_dir(Path::new("")).unwrap();
    assert_eq!((faults.lies(), faults.calls()), (1, 2));
}

#[test]
fn a_pause_neither_fails_nor_counts() {
    let faults = Faults::at(Fault::Io, 1, Lasting::ForEver);
    let storage = faulty(&faults);
    let opened = faults.paused(|| storage.open(Path::new(FILE), OpenMode::CreateNew));
    assert_eq!(faults.calls(), 0);
    assert!(opened.unwrap().len().is_err());
}

#[test]
fn a_sweep_finds_the_call_whose_error_is_swallowed() {
    let complaint = sweep(Fault::NoSpace, Lasting::Once, |faults| {
        let storage = faulty(faults);
        let Ok(file) = storage.open(Path::new(FILE), OpenMode::CreateNew) else { return Ok(()) };
        let _swallowed = file.write_at(0, b"x");
        match file.len() {
            Ok(1) => Ok(()),
            other => Err(format!("the length is {other:?}")),
        }
    });
    let complaint = complaint.unwrap_err();
    assert!(complaint.starts_with("NoSpace (Once) at call 2 of 2"), "{complaint}");
}
