//! Limits of the process are errors that name the limit. Each in a process of its own.

use bifolio_map::storage::{OpenMode, RealStorage, Storage};
use bifolio_map::{
    ErrorKind, Frozen, GrowableView, Read, ReadWrite, Scratch, Section, Space, View,
};
use bifolio_testkit::skip::Skip;
use bifolio_testkit::this_test;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::process::alone;
use crate::support::{directory, file_of, page, pattern, refused, says};

/// Lowers a limit of this process.
fn limit(resource: Resource, value: u64) {
    let maximum = getrlimit(resource).maximum;
    setrlimit(resource, Rlimit { current: Some(value), maximum }).unwrap();
}

/// Bytes of address space in use.
fn addresses_in_use() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').next().unwrap().parse::<u64>().unwrap() * page()
}

#[test]
fn too_little_address_space_is_out_of_memory_with_the_numbers() {
    alone(this_test!(), || {
        let section = Section::anonymous(1 << 30).unwrap();
        limit(Resource::As, addresses_in_use() + (128 << 20));
        let error = refused(section.view::<Read>(), ErrorKind::OutOfMemory);
        says(&error, &["cannot map", "asked for 1073741824 bytes", "RLIMIT_AS"]);
        let error = refused(section.growable::<Read>(1 << 30), ErrorKind::OutOfMemory);
        says(&error, &["asked for 1073741824 bytes of addresses"]);
        let error = refused(Scratch::zeroed(1 << 30), ErrorKind::OutOfMemory);
        says(&error, &["asked for 1073741824 bytes"]);
        let view = section.view_of::<ReadWrite>(..1 << 20).unwrap();
        view.put(0, &1u8).unwrap();
    });
}

#[test]
fn more_than_the_address_space_is_out_of_memory_and_asks_nobody() {
    refused(Scratch::zeroed(u64::MAX), ErrorKind::OutOfMemory);
    refused(Scratch::zeroed(i64::MAX as u64 + 1), ErrorKind::OutOfMemory);
    let view = Section::open("/dev/zero").unwrap().view_of::<Read>(..u64::MAX);
    refused(view, ErrorKind::OutOfMemory);
}

#[test]
fn too_few_descriptors_is_a_limit_reached_and_leaves_nothing_behind() {
    alone(this_test!(), || {
        let (dir, path) = file_of(pattern(0, 13));
        let section = Section::open_rw(&path).unwrap();
        let view: View<ReadWrite> = section.view().unwrap();
        let free = std::fs::File::open("/dev/null").unwrap();
        limit(Resource::Nofile, u64::try_from(std::os::fd::AsRawFd::as_raw_fd(&free)).unwrap());
        for outcome in [
            Section::open(&path),
            Section::create(dir.path().join("new"), 5),
            Section::anonymous(5),
            Section::options().len(5).temporary(dir.path()),
        ] {
            says(&refused(outcome, ErrorKind::LimitReached), &["cannot", "limit reached"]);
        }
        says(&Section::open(&path).unwrap_err(), &["no descriptor left", "ulimit -n"]);
        refused(section.snapshot(), ErrorKind::LimitReached);
        // What is mapped needs no descriptor.
        view.put(0, &7u8).unwrap();
        let other: View<Read> = section.view().unwrap();
        assert_eq!(other.get::<u8>(0).unwrap(), 7);
        limit(Resource::Nofile, 200);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    });
}

#[test]
fn the_file_size_limit_is_storage_full_and_leaves_nothing_behind() {
    alone(this_test!(), || {
        // Nobody ignores SIGXFSZ here: it must not be sent.
        let dir = directory();
        let path = dir.path().join("file");
        let section = Section::create(&path, 2 * page()).unwrap();
        limit(Resource::Fsize, 4 * page());
        refused(Section::create(dir.path().join("large"), 5 * page()), ErrorKind::StorageFull);
        let temporary = Section::options().len(5 * page()).temporary(dir.path());
        refused(temporary, ErrorKind::StorageFull);
        for space in [Space::Allocate, Space::Sparse] {
            let error = refused(section.set_len(5 * page(), space), ErrorKind::StorageFull);
            says(&error, &["cannot set the length of", "file", &format!("it has {}", 2 * page())]);
            assert_eq!(section.len().unwrap(), 2 * page());
        }
        section.set_len(4 * page(), Space::Allocate).unwrap();
        section.view::<ReadWrite>().unwrap().fill(.., 7).unwrap();
        let file = RealStorage.open(&path, OpenMode::ReadWrite).unwrap();
        refused(file.write_at(4 * page(), b"past it"), ErrorKind::StorageFull);
        refused(file.write_at(4 * page() - 3, b"over it"), ErrorKind::StorageFull);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    });
}

#[test]
fn memory_without_a_file_and_growth_without_space_heed_the_file_size_limit_too() {
    alone(this_test!(), || {
        // To the system such memory is a file: SIGXFSZ would be sent for it as well.
        let dir = directory();
        let section = Section::create(dir.path().join("file"), 8 * page()).unwrap();
        let growable: GrowableView<ReadWrite> = section.growable(1 << 20).unwrap();
        let memory = Section::anonymous(2 * page()).unwrap();
        let growing_memory: GrowableView<ReadWrite> = memory.growable(1 << 20).unwrap();
        limit(Resource::Fsize, 4 * page());
        refused(Section::anonymous(5 * page()), ErrorKind::StorageFull);
        refused(section.snapshot(), ErrorKind::StorageFull);
        refused(section.freeze_copy(), ErrorKind::StorageFull);
        let bytes = pattern(0, 5 * 4096);
        refused(Frozen::copy_of(bytes), ErrorKind::StorageFull);
        for space in [Space::Allocate, Space::Sparse] {
            refused(growable.grow_to(9 * page(), space), ErrorKind::StorageFull);
            refused(growing_memory.grow_to(5 * page(), space), ErrorKind::StorageFull);
            refused(memory.set_len(5 * page(), space), ErrorKind::StorageFull);
        }
        assert_eq!((section.len().unwrap(), memory.len().unwrap()), (8 * page(), 2 * page()));
        section.allocate(..).unwrap();
        growing_memory.grow_to(4 * page(), Space::Allocate).unwrap();
        assert_eq!(&*Frozen::copy_of(&bytes[..4 * 4096]).unwrap(), &bytes[..4 * 4096]);
    });
}

#[test]
fn too_many_maps_is_an_error_and_dropping_some_helps() {
    alone(this_test!(), || {
        let most = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
        let most: usize = most.trim().parse().unwrap();
        if most > 200_000 {
            return Skip::because(format!("vm.max_map_count is {most}, too many to try")).count();
        }
        let section = Section::anonymous(page()).unwrap();
        let mut views: Vec<View<Read>> = Vec::new();
        let error = loop {
            match section.view() {
                Ok(view) => views.push(view),
                Err(error) => break error,
            }
            assert!(views.len() <= most, "more maps than the system allows");
        };
        let kind = error.kind();
        views.truncate(1000); // the panic message of a failure needs memory too
        assert_eq!(kind, ErrorKind::OutOfMemory, "{error}");
        says(&error, &["cannot map", "the number of maps"]);
        assert_eq!(section.view::<Read>().unwrap().get::<u8>(0).unwrap(), 0);
    });
}
