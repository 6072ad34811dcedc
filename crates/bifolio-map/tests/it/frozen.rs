//! Frozen bytes stay equal, whoever tries to change them.
#![expect(unsafe_code, reason = "an ioctl that no crate wraps")]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

use bifolio_map::{CopyOnWrite, ErrorKind, Frozen, Read, ReadWrite, Section, Space, View};
use bifolio_testkit::child::{self, Rerun};
use bifolio_testkit::skip::Skip;
use bifolio_testkit::this_test;

use crate::support::disk::on_ext4;
use crate::support::process::succeeds;
use crate::support::{file_of, page, pattern, refused, says};

/// Another handle on the same memory file, as any process that has the descriptor can get it.
fn handle_on(section: &Section, options: &OpenOptions) -> std::io::Result<File> {
    let inheritance = section.inherit().unwrap();
    let number = inheritance.token().split(':').nth(1).unwrap();
    options.open(format!("/proc/self/fd/{number}"))
}

#[test]
fn a_frozen_copy_is_the_bytes_and_nothing_else() {
    for size in [0, 1, 13, 4096, 4097, 1 << 20] {
        let frozen = Frozen::copy_of(pattern(0, size)).unwrap();
        assert!(*frozen == *pattern(0, size));
        assert_eq!(frozen.as_ref().len(), size);
        assert!(format!("{frozen:?}").contains(&format!("len: {size}")));
    }
}

#[test]
fn nobody_can_write_shrink_grow_or_punch_frozen_bytes() {
    let frozen = Frozen::copy_of(pattern(0, 10_000)).unwrap();
    let section = frozen.section().unwrap();
    refused(section.view::<ReadWrite>(), ErrorKind::PermissionDenied);
    refused(section.set_len(5, Space::Sparse), ErrorKind::PermissionDenied);
    refused(section.set_len(20_000, Space::Allocate), ErrorKind::PermissionDenied);
    let file = handle_on(section, File::options().read(true).write(true)).unwrap();
    let denied = |outcome: std::io::Result<()>| {
        assert_eq!(outcome.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
    };
    denied(file.write_at(b"x", 0).map(drop));
    denied(file.set_len(5));
    denied(file.set_len(20_000));
    let punch = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
    denied(rustix::fs::fallocate(&file, punch, 0, 4096).map_err(Into::into));
    assert!(*frozen == *pattern(0, 10_000));
    let private: View<CopyOnWrite> = section.view().unwrap();
    private.put(0, &0xeeu8).unwrap();
    assert!(*frozen == *pattern(0, 10_000));
    assert!(section.view::<Read>().unwrap().read_vec(..).unwrap() == pattern(0, 10_000));
}

#[test]
fn freezing_is_refused_while_a_shared_view_exists() {
    let section = Section::anonymous(13).unwrap();
    let view: View<ReadWrite> = section.view().unwrap();
    view.write_at(0, pattern(0, 13)).unwrap();
    let error = refused(section.clone().freeze(), ErrorKind::Busy);
    says(&error, &["cannot freeze", "a view of it exists"]);
    view.put(0, &7u8).unwrap();
    refused(Frozen::of_sealed(section.clone()), ErrorKind::NotSupported);
    let part = view.sub(3..5).unwrap();
    drop(view);
    refused(section.clone().freeze(), ErrorKind::Busy);
    drop(part);
    let reader: View<Read> = section.view().unwrap();
    refused(section.clone().freeze(), ErrorKind::Busy);
    drop(reader);
    let private: View<CopyOnWrite> = section.view().unwrap();
    let frozen = section.freeze().unwrap();
    assert_eq!(frozen[0], 7);
    assert_eq!(frozen[1..], *pattern(1, 12));
    assert_eq!(private.read_vec(..).unwrap(), *frozen, "a private view does not disturb");
}

#[test]
fn a_stream_that_still_writes_keeps_memory_from_being_frozen() {
    let section = Section::anonymous(13).unwrap();
    let stream = section.view::<ReadWrite>().unwrap().stream();
    refused(section.clone().freeze(), ErrorKind::Busy);
    drop(stream);
    section.freeze().unwrap();
}

#[test]
fn only_sealed_memory_is_lent() {
    let (_dir, path) = file_of(pattern(0, 13));
    let file = Section::open_rw(&path).unwrap();
    let error = refused(Frozen::of_sealed(file.clone()), ErrorKind::NotSupported);
    says(&error, &["not sealed memory", path.to_str().unwrap()]);
    let error = refused(file.clone().freeze(), ErrorKind::NotSupported);
    says(&error, &["only anonymous memory", "freeze_copy()"]);
    refused(Section::temporary(13).unwrap().freeze(), ErrorKind::NotSupported);
    let copy = file.freeze_copy().unwrap();
    file.view::<ReadWrite>().unwrap().fill(.., 0).unwrap();
    assert_eq!(*copy, *pattern(0, 13));
    // Sealed against shrinking alone is not enough: somebody could still write.
    let memory = Section::anonymous(13).unwrap();
    let half = handle_on(&memory, File::options().read(true).write(true)).unwrap();
    rustix::fs::fcntl_add_seals(&half, rustix::fs::SealFlags::SHRINK).unwrap();
    refused(Frozen::of_sealed(memory.clone()), ErrorKind::NotSupported);
    rustix::fs::fcntl_add_seals(&half, rustix::fs::SealFlags::WRITE).unwrap();
    assert_eq!(*Frozen::of_sealed(memory).unwrap(), [0; 13]);
}

#[test]
fn holes_of_frozen_memory_are_filled_before_it_is_lent() {
    let section = Section::anonymous(100 * page()).unwrap();
    assert_eq!(section.allocated().unwrap(), 0);
    let frozen = section.freeze().unwrap();
    assert_eq!(frozen.section().unwrap().allocated().unwrap(), 100 * page());
    assert!(frozen.iter().all(|&byte| byte == 0));
}

#[test]
fn a_child_sees_that_what_it_inherited_is_frozen() {
    const TOKEN: &str = "BIFOLIO_TEST_TOKEN";
    if child::role().is_some() {
        let section = Section::inherited(&std::env::var(TOKEN).unwrap()).unwrap();
        refused(section.view::<ReadWrite>(), ErrorKind::PermissionDenied);
        assert!(*Frozen::of_sealed(section).unwrap() == *pattern(0, 5000));
        return;
    }
    let frozen = Frozen::copy_of(pattern(0, 5000)).unwrap();
    let heirloom = frozen.section().unwrap().inherit().unwrap();
    Rerun::of(this_test!(), "heir").with_variable(TOKEN, heirloom.token()).finish().unwrap();
}

#[test]
fn a_file_without_verity_is_not_taken_for_one_that_has_it() {
    let (_dir, path) = file_of(pattern(0, 13));
    let error = refused(Frozen::of_verity_file(&path), ErrorKind::NotSupported);
    says(&error, &["fs-verity is not enabled on this file", path.to_str().unwrap()]);
    refused(Frozen::of_verity_file(path.with_file_name("missing")), ErrorKind::NotFound);
}

/// `FS_IOC_ENABLE_VERITY` of `linux/fsverity.h`: SHA-256, blocks of 4096 bytes.
fn enable_verity(file: &File) -> std::io::Result<()> {
    use std::os::fd::AsRawFd;
    const FS_IOC_ENABLE_VERITY: u32 = 0x4080_6685;
    let mut argument = [0u32; 32]; // version, algorithm, block size, and no salt or signature
    argument[..3].copy_from_slice(&[1, 1, 4096]);
    // SAFETY: the call reads the 128 bytes of the argument, which lives through it.
    let code =
        unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_ENABLE_VERITY as _, argument.as_ptr()) };
    if code == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

#[test]
fn a_verity_file_is_frozen_by_a_copy_and_cannot_be_opened_for_writing() {
    on_ext4(16 << 20, 32 << 20, |image, _| {
        image.unmount().unwrap();
        let file = image.image_file().to_str().unwrap();
        if !succeeds(&["tune2fs", "-O", "verity", file]) || image.mount().is_err() {
            return Skip::because("needs tune2fs and a kernel with fs-verity").count();
        }
        let path = image.path().join("file");
        std::fs::write(&path, pattern(0, 100_000)).unwrap();
        if let Err(error) = enable_verity(&File::open(&path).unwrap()) {
            return Skip::because(format!("needs a kernel with fs-verity: {error}")).count();
        }
        assert!(*Frozen::of_verity_file(&path).unwrap() == *pattern(0, 100_000));
        refused(Section::open_rw(&path), ErrorKind::PermissionDenied);
    });
}

#[test]
fn copies_of_a_file_of_holes_take_its_data_only_and_no_memory_that_is_not_there() {
    let (_dir, path) = file_of(pattern(0, 10_000));
    // As large as the file system and the addresses take: more than any memory, or half a gigabyte.
    let addresses = usize::MAX as u64 / 4;
    let lens = [1u64 << 44, 1 << 40, 1 << 29].into_iter().filter(|&len| len < addresses);
    let len = lens.into_iter().find(|&len| {
        std::fs::File::options().write(true).open(&path).unwrap().set_len(len).is_ok()
    });
    let section = Section::open_rw(&path).unwrap();
    let len = len.unwrap();
    let view = section.view_of::<ReadWrite>(len - 5000..).unwrap();
    view.write_at(0, pattern(0, 5000)).unwrap();
    let copy = section.snapshot().unwrap();
    assert_eq!(copy.len().unwrap(), len);
    let taken = copy.allocated().unwrap();
    assert!((15_000..1 << 20).contains(&taken), "{taken} bytes of memory");
    let copied =
        |range: std::ops::Range<u64>| copy.view_of::<Read>(range).unwrap().read_vec(..).unwrap();
    assert!(copied(0..10_000) == pattern(0, 10_000));
    assert!(copied(len - 5000..len) == pattern(0, 5000));
    assert!(copied(len / 2..len / 2 + 5000).iter().all(|&byte| byte == 0));
    if bifolio_map::machine::memory_room().unwrap().bytes < len {
        let error = refused(section.freeze_copy(), ErrorKind::OutOfMemory);
        says(
            &error,
            &[
                "cannot copy into memory",
                &len.to_string(),
                "can be taken without anybody being killed",
            ],
        );
        refused(copy.freeze(), ErrorKind::OutOfMemory);
    }
}
