//! Errors: one line that says what, where and with which numbers, and the right kinds for callers
//! who speak `io::Error`.

use std::error::Error as _;
use std::io;

use bifolio_map::{Error, ErrorKind, Read, ReadWrite, Section, View};

use crate::support::{directory, file_of, refused, says};

/// Every kind, with what `io` calls it.
const KINDS: [(ErrorKind, io::ErrorKind); 20] = [
    (ErrorKind::NotFound, io::ErrorKind::NotFound),
    (ErrorKind::AlreadyExists, io::ErrorKind::AlreadyExists),
    (ErrorKind::PermissionDenied, io::ErrorKind::PermissionDenied),
    (ErrorKind::NotMappable, io::ErrorKind::Other),
    (ErrorKind::OutOfBounds, io::ErrorKind::InvalidInput),
    (ErrorKind::Misaligned, io::ErrorKind::InvalidInput),
    (ErrorKind::InvalidInput, io::ErrorKind::InvalidInput),
    (ErrorKind::ModeMismatch, io::ErrorKind::InvalidInput),
    (ErrorKind::UnexpectedEof, io::ErrorKind::UnexpectedEof),
    (ErrorKind::StorageFull, io::ErrorKind::StorageFull),
    (ErrorKind::StorageFault, io::ErrorKind::Other),
    (ErrorKind::Poisoned, io::ErrorKind::Other),
    (ErrorKind::OutOfMemory, io::ErrorKind::OutOfMemory),
    (ErrorKind::LimitReached, io::ErrorKind::Other),
    (ErrorKind::Busy, io::ErrorKind::ResourceBusy),
    (ErrorKind::TimedOut, io::ErrorKind::TimedOut),
    (ErrorKind::NotSupported, io::ErrorKind::Unsupported),
    (ErrorKind::HandlerDisplaced, io::ErrorKind::Other),
    (ErrorKind::Corrupt, io::ErrorKind::InvalidData),
    (ErrorKind::Io, io::ErrorKind::Other),
];

#[test]
fn every_kind_has_words_of_its_own_and_a_kind_of_io() {
    let mut words = std::collections::HashSet::new();
    for (kind, io_kind) in KINDS {
        assert!(words.insert(kind.as_str()), "{kind:?} shares its words with another kind");
        let error = Error::new(kind, "test");
        says(&error, &["cannot test", kind.as_str()]);
        let as_io = io::Error::from(error);
        assert_eq!(as_io.kind(), io_kind);
        says(&as_io, &["cannot test", kind.as_str()]);
        let inside = as_io.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        assert_eq!(inside.map(Error::kind), Some(kind), "the error itself is inside");
    }
}

#[test]
fn an_error_is_one_line_with_operation_path_offset_detail_and_source() {
    let source = io::Error::from(io::ErrorKind::StorageFull);
    let error = Error::os("write", source).at_path("some/file").at_offset(4096).because("13 of 14");
    let text = error.to_string();
    assert!(text.starts_with("cannot write some/file at offset 4096: no space left: 13 of 14 ("));
    assert!(!text.contains('\n'));
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(
        (error.doing(), error.offset(), error.detail()),
        ("write", Some(4096), Some("13 of 14"))
    );
    assert_eq!(error.path().unwrap().to_str(), Some("some/file"));
    assert!(error.source().is_some_and(|source| source.is::<io::Error>()));
    assert!(format!("{error:?}").starts_with("StorageFull: cannot write"));
    assert!(Error::new(ErrorKind::Busy, "wait").source().is_none());
}

#[test]
fn what_the_system_reports_has_the_kind_that_says_what_to_do() {
    let kinds = [
        (io::ErrorKind::NotFound, ErrorKind::NotFound),
        (io::ErrorKind::AlreadyExists, ErrorKind::AlreadyExists),
        (io::ErrorKind::PermissionDenied, ErrorKind::PermissionDenied),
        (io::ErrorKind::ReadOnlyFilesystem, ErrorKind::PermissionDenied),
        (io::ErrorKind::QuotaExceeded, ErrorKind::StorageFull),
        (io::ErrorKind::FileTooLarge, ErrorKind::StorageFull),
        (io::ErrorKind::IsADirectory, ErrorKind::NotMappable),
        (io::ErrorKind::WouldBlock, ErrorKind::Busy),
        (io::ErrorKind::TimedOut, ErrorKind::TimedOut),
        (io::ErrorKind::Unsupported, ErrorKind::NotSupported),
        (io::ErrorKind::Other, ErrorKind::Io),
    ];
    for (system, ours) in kinds {
        assert_eq!(Error::os("test", system.into()).kind(), ours, "{system:?}");
    }
}

#[cfg(unix)]
#[test]
fn unix_codes_without_a_kind_of_their_own_are_recognised() {
    let codes = [
        (libc::EIO, ErrorKind::StorageFault),
        (libc::EMFILE, ErrorKind::LimitReached),
        (libc::ENFILE, ErrorKind::LimitReached),
        (libc::ENODEV, ErrorKind::NotMappable),
        (libc::EOPNOTSUPP, ErrorKind::NotSupported),
        (libc::ENOSPC, ErrorKind::StorageFull),
        (libc::EDQUOT, ErrorKind::StorageFull),
        (libc::EFBIG, ErrorKind::StorageFull),
        (libc::ENOMEM, ErrorKind::OutOfMemory),
        (libc::EROFS, ErrorKind::PermissionDenied),
        (libc::EPERM, ErrorKind::PermissionDenied),
        (libc::EBUSY, ErrorKind::Busy),
        (libc::EAGAIN, ErrorKind::Busy),
        (libc::ENOLCK, ErrorKind::NotSupported),
        (libc::ENOTDIR, ErrorKind::NotFound),
        (libc::EXDEV, ErrorKind::Io),
    ];
    for (code, kind) in codes {
        assert_eq!(Error::os("test", io::Error::from_raw_os_error(code)).kind(), kind, "{code}");
    }
}

#[test]
fn a_refused_access_names_the_file_the_offset_and_both_sizes() {
    let (_dir, path) = file_of(b"111\r\n222\r\n333");
    let view: View<ReadWrite> = Section::open_rw(&path).unwrap().view().unwrap();
    let name = path.to_str().unwrap();
    let error = refused(view.get::<u64>(8), ErrorKind::OutOfBounds);
    says(&error, &["cannot read", name, "at offset 8", "8 bytes asked for", "the view has 13"]);
    let error = refused(view.put(12, &0u16), ErrorKind::OutOfBounds);
    says(&error, &["cannot write", name, "at offset 12", "2 bytes asked for"]);
    let error = refused(view.atomic_u32(2).map(drop), ErrorKind::Misaligned);
    says(&error, &[name, "at offset 2", "multiple of 4"]);
    let error = refused(view.atomic_u64(4).map(drop), ErrorKind::Misaligned);
    says(&error, &["multiple of 8"]);
    let error = refused(view.sub(5..14), ErrorKind::OutOfBounds);
    says(&error, &[name, "5..14", "a view of 13 bytes"]);
    let error = refused(view.fill(14.., 0), ErrorKind::OutOfBounds);
    says(&error, &["cannot fill", name, "14.."]);
    let error = refused(view.copy_within(..=5, 8), ErrorKind::OutOfBounds);
    says(&error, &["cannot copy to", name, "8..14"]);
}

#[test]
fn sections_without_a_path_are_named_by_what_they_are() {
    let dir = directory();
    let memory = Section::anonymous(1).unwrap();
    says(&refused(memory.view_of::<Read>(2..), ErrorKind::OutOfBounds), &["<anonymous memory>"]);
    let temporary = Section::options().len(1).temporary(dir.path()).unwrap();
    says(&refused(temporary.view_of::<Read>(2..), ErrorKind::OutOfBounds), &["<temporary file>"]);
}

#[test]
fn debug_output_of_views_and_sections_names_them() {
    let (_dir, path) = file_of(b"abc");
    let section = Section::open(&path).unwrap();
    let view = section.view_of::<Read>(1..).unwrap();
    let text = format!("{view:?}");
    for words in ["View", "Read", "offset: 1", "len: 2", "data"] {
        assert!(text.contains(words), "{text}");
    }
    assert!(format!("{section:?}").contains("data"));
}
