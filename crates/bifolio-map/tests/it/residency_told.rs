//! What every system says of residency, also those that tell little.

use bifolio_map::residency::{self, CachedFile, WriteBack};
use bifolio_map::{ErrorKind, Section};

use crate::support::{file_of, page, pattern, refused};

#[test]
fn what_a_system_does_not_tell_is_none_and_never_zero() {
    let (_dir, path) = file_of(pattern(0, 100_000));
    let file = CachedFile::open(&path).unwrap();
    let section = Section::open(&path).unwrap();
    let (ours, found) = (file.residency(..).unwrap(), section.residency(..).unwrap());
    for found in [ours, found] {
        assert_eq!(found.pages, 100_000_u64.div_ceil(page()));
        assert_eq!(found.resident.is_some(), residency::is_told());
        if cfg!(not(target_os = "linux")) {
            assert_eq!((found.dirty, found.write_back, found.evicted), (None, None, None));
        }
    }
    if cfg!(windows) {
        assert!(!residency::is_told());
        refused(file.page_map(..), ErrorKind::NotSupported);
        refused(section.evict(.., WriteBack::No), ErrorKind::NotSupported);
        refused(file.mappers(), ErrorKind::NotSupported);
        assert_eq!(residency::bytes_from_disk(), None);
    }
}

#[test]
fn files_are_read_in_and_known_by_number_everywhere() {
    let (dir, path) = file_of(pattern(0, 100_000));
    let file = CachedFile::open(&path).unwrap();
    file.prefetch(10..).unwrap();
    assert_eq!(file.read_in(.., &mut [0; 5000]).unwrap(), 100_000);
    assert_eq!(file.read_through(7..100, &mut [0; 5000]).unwrap(), 93);
    assert_eq!((file.len(), file.links(), file.is_compressed()), (100_000, 1, false));
    let link = dir.path().join("link");
    std::fs::hard_link(&path, &link).unwrap();
    let again = CachedFile::open(&link).unwrap();
    assert_eq!((again.id(), again.links()), (file.id(), 2));
    let (_dir, other) = file_of(pattern(0, 100_000));
    assert_ne!(CachedFile::open(other).unwrap().id(), file.id());
    assert_eq!(file.modified(), std::fs::metadata(&path).unwrap().modified().ok());
    assert_eq!(file.holes().unwrap(), []);
}
