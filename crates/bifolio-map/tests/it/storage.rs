//! The storage that the layers above stand on: one table of behaviours, run on every kind.

use std::io::IoSlice;
use std::path::{Path, PathBuf};

use bifolio_map::storage::{EntryKind, MemoryStorage, OpenMode, RealStorage, Replace, Storage};
use bifolio_map::{ErrorKind, Flush, Space};
use bifolio_testkit::{Random, budget};

use crate::support::{directory, pattern, refused, says};

/// Runs a behaviour on real files and in memory.
fn on_each(behaviour: impl Fn(&dyn Storage, &Path)) {
    let dir = directory();
    behaviour(&RealStorage, dir.path());
    let memory = MemoryStorage::new();
    let root = PathBuf::from("root");
    memory.create_dir(&root).unwrap();
    behaviour(&memory, &root);
}

/// All bytes of a file.
fn contents(storage: &dyn Storage, path: &Path) -> Vec<u8> {
    let file = storage.open(path, OpenMode::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn opening_finds_creates_or_refuses_as_it_is_told() {
    on_each(|storage, root| {
        let path = root.join("file");
        for mode in [OpenMode::Read, OpenMode::ReadWrite] {
            let error = refused(storage.open(&path, mode), ErrorKind::NotFound);
            says(&error, &["cannot open", "file"]);
        }
        let file = storage.open(&path, OpenMode::CreateNew).unwrap();
        assert_eq!(file.len().unwrap(), 0);
        file.write_at(0, b"abc").unwrap();
        let error = refused(storage.open(&path, OpenMode::CreateNew), ErrorKind::AlreadyExists);
        says(&error, &["cannot create", "file"]);
        for mode in [OpenMode::Read, OpenMode::ReadWrite, OpenMode::OpenOrCreate] {
            assert_eq!(storage.open(&path, mode).unwrap().len().unwrap(), 3, "{mode:?}");
        }
        let other = root.join("other");
        assert_eq!(storage.open(&other, OpenMode::OpenOrCreate).unwrap().len().unwrap(), 0);
        assert_eq!(contents(storage, &path), b"abc");
    });
}

#[test]
fn a_handle_for_reading_refuses_every_way_of_writing() {
    on_each(|storage, root| {
        let path = root.join("file");
        storage.open(&path, OpenMode::CreateNew).unwrap().write_at(0, b"abc").unwrap();
        let file = storage.open(&path, OpenMode::Read).unwrap();
        says(&refused(file.write_at(0, b"x"), ErrorKind::ModeMismatch), &["cannot write", "file"]);
        refused(file.set_len(0, Space::Sparse), ErrorKind::ModeMismatch);
        refused(file.set_len(9, Space::Allocate), ErrorKind::ModeMismatch);
        refused(file.store_map(0..3), ErrorKind::ModeMismatch);
        file.sync(Flush::Data).unwrap();
        assert_eq!(contents(storage, &path), b"abc");
    });
}

#[test]
fn reading_ends_where_the_file_ends() {
    on_each(|storage, root| {
        let file = storage.open(&root.join("file"), OpenMode::CreateNew).unwrap();
        file.write_at(0, pattern(0, 1000)).unwrap();
        let mut out = [0xee; 20];
        assert_eq!(file.read_at(990, &mut out).unwrap(), 10);
        assert_eq!((&out[..10], &out[10..]), (pattern(990, 10), &[0xee; 10][..]));
        for past in [1000, 1001, 1 << 40] {
            assert_eq!(file.read_at(past, &mut out).unwrap(), 0);
            refused(file.read_exact_at(past, &mut out), ErrorKind::UnexpectedEof);
        }
        assert_eq!(file.read_at(5, &mut []).unwrap(), 0);
        let error = refused(file.read_exact_at(990, &mut out), ErrorKind::UnexpectedEof);
        says(&error, &["at offset 990", "asked for 20 bytes", "has 10 there"]);
        file.read_exact_at(980, &mut out).unwrap();
        assert_eq!(out, *pattern(980, 20));
    });
}

#[test]
fn writing_grows_the_file_and_leaves_zeros_between() {
    on_each(|storage, root| {
        let path = root.join("file");
        let file = storage.open(&path, OpenMode::CreateNew).unwrap();
        file.write_at(5, b"x").unwrap();
        assert_eq!(contents(storage, &path), b"\0\0\0\0\0x");
        file.write_at(0, b"").unwrap();
        file.write_at(100, b"").unwrap();
        assert_eq!(file.len().unwrap(), 6, "writing nothing grows nothing");
        let parts: Vec<Vec<u8>> = (0..2500u32).map(|i| vec![i as u8; (i % 3) as usize]).collect();
        let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        file.write_vectored_at(3, &slices).unwrap();
        assert_eq!(contents(storage, &path)[3..], parts.concat());
        file.write_vectored_at(0, &[]).unwrap();
        assert!(file.write_at(u64::MAX, b"x").is_err());
        assert!(file.write_at(u64::MAX - 1, &[0; 9]).is_err());
    });
}

#[test]
fn lengths_are_cut_and_extended_with_zeros() {
    on_each(|storage, root| {
        let path = root.join("file");
        let file = storage.open(&path, OpenMode::CreateNew).unwrap();
        for space in [Space::Allocate, Space::Sparse] {
            file.set_len(0, space).unwrap();
            file.write_at(0, pattern(0, 10_000)).unwrap();
            file.set_len(5000, space).unwrap();
            file.set_len(9000, space).unwrap();
            let bytes = contents(storage, &path);
            assert_eq!(bytes.len(), 9000);
            assert!(bytes[..5000] == *pattern(0, 5000));
            assert!(bytes[5000..].iter().all(|&byte| byte == 0), "what was cut off is gone");
        }
    });
}

#[test]
fn views_see_later_writes_through_any_handle() {
    on_each(|storage, root| {
        let path = root.join("file");
        let file = storage.open(&path, OpenMode::CreateNew).unwrap();
        file.write_at(0, &[1; 10_000]).unwrap();
        let view = file.view(5..9000).unwrap();
        assert_eq!((view.len(), view.offset()), (8995, 5));
        file.write_at(0, &[2; 100]).unwrap();
        assert_eq!(view.read_vec(..96).unwrap(), [[2; 95].as_slice(), &[1]].concat());
        let other = storage.open(&path, OpenMode::ReadWrite).unwrap();
        other.write_at(8999, &[3; 5000]).unwrap();
        assert_eq!(view.get::<u8>(8994).unwrap(), 3);
        refused(view.get::<u8>(8995), ErrorKind::OutOfBounds);
        // Growth moves nothing: the view stays where it is, and a new one sees the rest.
        let address = view.as_ptr();
        file.set_len(1 << 20, Space::Allocate).unwrap();
        file.write_at(0, &[4; 10]).unwrap();
        assert_eq!((view.as_ptr(), view.get::<u8>(0).unwrap()), (address, 4));
        assert_eq!(file.view(0..1 << 20).unwrap().get::<u8>(13_998).unwrap(), 3);
        drop(file);
        assert_eq!(view.get::<u8>(0).unwrap(), 4, "a view outlives its handle");
    });
}

#[test]
fn views_and_store_maps_lie_inside_the_file() {
    on_each(|storage, root| {
        let file = storage.open(&root.join("file"), OpenMode::CreateNew).unwrap();
        file.write_at(0, &[1; 100]).unwrap();
        assert!(file.view(0..0).unwrap().is_empty());
        assert_eq!(file.view(100..100).unwrap().len(), 0);
        #[expect(clippy::reversed_empty_ranges, reason = "one of the cases under test")]
        for range in [0..101, 100..101, 7..3, 5..u64::MAX] {
            refused(file.view(range.clone()), ErrorKind::OutOfBounds);
            refused(file.store_map(range), ErrorKind::OutOfBounds);
        }
    });
}

#[test]
fn stores_through_a_map_are_the_files_bytes() {
    on_each(|storage, root| {
        let path = root.join("file");
        let file = storage.open(&path, OpenMode::CreateNew).unwrap();
        file.write_at(0, &[0; 100]).unwrap();
        let map = file.store_map(8..96).unwrap();
        assert_eq!(map.size(), 88);
        map.write_at(0, b"abc").unwrap();
        map.store_release_u64(8, 0x0102_0304_0506_0708).unwrap();
        assert_eq!(map.load_acquire_u64(8).unwrap(), 0x0102_0304_0506_0708);
        let mut out = [0; 4];
        map.read_at(0, &mut out).unwrap();
        assert_eq!(out, *b"abc\0");
        let bytes = contents(storage, &path);
        assert_eq!(bytes[8..11], *b"abc");
        assert_eq!(bytes[16..24], 0x0102_0304_0506_0708_u64.to_ne_bytes());
        file.write_at(8, b"xyz").unwrap();
        map.read_at(0, &mut out).unwrap();
        assert_eq!(out, *b"xyz\0");
        refused(map.write_at(86, b"abc"), ErrorKind::OutOfBounds);
        refused(map.read_at(88, &mut out), ErrorKind::OutOfBounds);
        refused(map.store_release_u64(81, 0), ErrorKind::OutOfBounds);
        refused(map.store_release_u64(4, 0), ErrorKind::Misaligned);
        refused(map.load_acquire_u64(1), ErrorKind::Misaligned);
        for level in [Flush::Start, Flush::Barrier, Flush::Data, Flush::Full] {
            map.flush(0..88, level).unwrap();
            map.flush(3..4, level).unwrap();
            file.sync(level).unwrap();
        }
        refused(map.flush(0..89, Flush::Data), ErrorKind::OutOfBounds);
    });
}

#[test]
fn renaming_replaces_only_if_it_is_told_to() {
    on_each(|storage, root| {
        let [a, b, c] = ["a", "b", "c"].map(|name| root.join(name));
        storage.open(&a, OpenMode::CreateNew).unwrap().write_at(0, b"a").unwrap();
        storage.open(&b, OpenMode::CreateNew).unwrap().write_at(0, b"b").unwrap();
        refused(storage.rename(&a, &b, Replace::Never), ErrorKind::AlreadyExists);
        assert_eq!((contents(storage, &a), contents(storage, &b)), (b"a".to_vec(), b"b".to_vec()));
        storage.rename(&a, &c, Replace::Never).unwrap();
        refused(storage.open(&a, OpenMode::Read), ErrorKind::NotFound);
        storage.rename(&c, &b, Replace::Existing).unwrap();
        assert_eq!(contents(storage, &b), b"a");
        refused(storage.rename(&c, &a, Replace::Existing), ErrorKind::NotFound);
        refused(storage.rename(&c, &a, Replace::Never), ErrorKind::NotFound);
        storage.rename(&b, &b, Replace::Existing).unwrap();
        refused(storage.rename(&b, &b, Replace::Never), ErrorKind::AlreadyExists);
        assert_eq!(contents(storage, &b), b"a");
    });
}

#[test]
fn links_are_names_of_one_file_and_never_replace() {
    on_each(|storage, root| {
        let [a, b, c] = ["a", "b", "c"].map(|name| root.join(name));
        let file = storage.open(&a, OpenMode::CreateNew).unwrap();
        file.write_at(0, b"one").unwrap();
        storage.link(&a, &b).unwrap();
        refused(storage.link(&a, &b), ErrorKind::AlreadyExists);
        refused(storage.link(&c, &a), ErrorKind::NotFound);
        file.write_at(0, b"two").unwrap();
        drop(file);
        assert_eq!(contents(storage, &b), b"two");
        storage.unlink(&a).unwrap();
        assert_eq!(contents(storage, &b), b"two", "the bytes live as long as a name");
        refused(storage.unlink(&a), ErrorKind::NotFound);
        refused(storage.open(&a, OpenMode::ReadWrite), ErrorKind::NotFound);
    });
}

#[test]
fn an_unlinked_file_lives_as_long_as_its_handle() {
    on_each(|storage, root| {
        let path = root.join("file");
        let file = storage.open(&path, OpenMode::CreateNew).unwrap();
        file.write_at(0, b"old").unwrap();
        storage.unlink(&path).unwrap();
        if cfg!(windows) && path.symlink_metadata().is_ok() {
            return; // Wine, and old Windows, keep the name until its last handle is closed
        }
        let new = storage.open(&path, OpenMode::CreateNew).unwrap();
        new.write_at(0, b"new").unwrap();
        let mut out = [0; 3];
        file.read_exact_at(0, &mut out).unwrap();
        assert_eq!(out, *b"old");
        assert_eq!(contents(storage, &path), b"new");
    });
}

#[test]
fn a_directory_lists_its_own_names_sorted_and_with_their_kinds() {
    on_each(|storage, root| {
        let inner = root.join("middle");
        storage.create_dir(&inner).unwrap();
        refused(storage.create_dir(&inner), ErrorKind::AlreadyExists);
        for name in ["z", "a"] {
            storage.open(&root.join(name), OpenMode::CreateNew).unwrap();
        }
        storage.open(&inner.join("deep"), OpenMode::CreateNew).unwrap();
        let names = |dir: &Path| -> Vec<(String, EntryKind)> {
            let entries = storage.list(dir).unwrap().into_iter();
            entries.map(|entry| (entry.name.into_string().unwrap(), entry.kind)).collect()
        };
        let expected =
            [("a", EntryKind::File), ("middle", EntryKind::Directory), ("z", EntryKind::File)];
        assert_eq!(names(root), expected.map(|(name, kind)| (name.to_owned(), kind)));
        assert_eq!(names(&inner), [("deep".to_owned(), EntryKind::File)]);
        storage.sync_dir(root).unwrap();
        storage.sync_dir(&inner).unwrap();
        refused(storage.open(&inner, OpenMode::CreateNew), ErrorKind::AlreadyExists);
    });
}

#[test]
fn what_is_missing_is_not_found_wherever_it_is_asked_for() {
    on_each(|storage, root| {
        let missing = root.join("missing");
        refused(storage.list(&missing), ErrorKind::NotFound);
        refused(storage.sync_dir(&missing), ErrorKind::NotFound);
        refused(storage.create_dir(&missing.join("below")), ErrorKind::NotFound);
        refused(storage.open(&missing.join("file"), OpenMode::CreateNew), ErrorKind::NotFound);
        refused(storage.unlink(&missing), ErrorKind::NotFound);
        let file = root.join("file");
        storage.open(&file, OpenMode::OpenOrCreate).unwrap();
        refused(storage.open(&missing.join("file"), OpenMode::OpenOrCreate), ErrorKind::NotFound);
        refused(storage.link(&file, &missing.join("file")), ErrorKind::NotFound);
        for replace in [Replace::Existing, Replace::Never] {
            refused(storage.rename(&file, &missing.join("file"), replace), ErrorKind::NotFound);
        }
        assert_eq!(contents(storage, &file), b"", "it keeps its name");
    });
}

#[test]
fn random_writes_and_lengths_are_those_of_a_vector() {
    on_each(|storage, root| {
        let mut random = Random::new();
        let file = storage.open(&root.join("file"), OpenMode::CreateNew).unwrap();
        let mut model: Vec<u8> = Vec::new();
        for _ in 0..budget(300) {
            let offset = random.usize(0..60_000);
            if random.one_in(4) {
                file.set_len(offset as u64, Space::Sparse).unwrap();
                model.resize(offset, 0);
            } else {
                let size = random.usize(1..5000);
                let bytes = random.bytes(size);
                file.write_at(offset as u64, &bytes).unwrap();
                model.resize(model.len().max(offset + size), 0);
                model[offset..offset + size].copy_from_slice(&bytes);
            }
            assert_eq!(file.len().unwrap(), model.len() as u64);
            let mut out = vec![0; model.len()];
            file.read_exact_at(0, &mut out).unwrap();
            assert!(out == model);
        }
    });
}

#[test]
fn storage_in_memory_can_be_filled_and_looked_into() {
    let files = [(PathBuf::from("a"), b"abc".to_vec()), (PathBuf::from("b"), Vec::new())];
    let storage = MemoryStorage::from_files(files);
    assert_eq!(storage.paths(), [PathBuf::from("a"), PathBuf::from("b")]);
    assert_eq!(storage.contents(Path::new("a")).unwrap(), b"abc");
    assert_eq!(storage.contents(Path::new("b")).unwrap(), b"");
    assert_eq!(storage.contents(Path::new("c")), None);
    storage.clone().unlink(Path::new("a")).unwrap();
    assert_eq!(storage.paths(), [PathBuf::from("b")], "a clone is the same storage");
}

#[test]
fn a_dot_in_a_path_leads_nowhere_else() {
    on_each(|storage, root| {
        let (dotted, plain) = (root.join(".").join("file"), root.join("file"));
        storage.open(&dotted, OpenMode::CreateNew).unwrap().write_at(0, b"abc").unwrap();
        refused(storage.open(&plain, OpenMode::CreateNew), ErrorKind::AlreadyExists);
        assert_eq!(contents(storage, &plain), b"abc");
        let names = |dir: &Path| -> Vec<_> {
            storage.list(dir).unwrap().into_iter().map(|entry| entry.name).collect()
        };
        assert_eq!(names(&root.join(".")), ["file"]);
        storage.sync_dir(&root.join(".")).unwrap();
        let moved = root.join("./moved");
        storage.rename(&dotted, &moved, Replace::Never).unwrap();
        storage.link(&moved, &plain).unwrap();
        storage.unlink(&moved).unwrap();
        assert_eq!(names(root), ["file"]);
        // Where relative paths begin has two names.
        assert_eq!(names(Path::new("")), names(Path::new(".")));
        storage.sync_dir(Path::new("")).unwrap();
    });
}
