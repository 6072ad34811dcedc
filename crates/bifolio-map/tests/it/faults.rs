//! A fault is an error: what every accessor says of a file that was cut off, and what is left.

use std::io::{BufRead, Read as _, Seek, SeekFrom, Write};
use std::ops::ControlFlow;

use bifolio_map::{
    CopyOnWrite, Error, ErrorKind, Flush, Read, ReadWrite, Section, Space, View, page_size,
};

use crate::support::{HAS_ATOMICS, file_of, page, pattern, refused, says, truncate};

/// A file of `pages` pages, every byte set to one, in a directory of its own.
fn ones(pages: usize) -> (tempfile::TempDir, std::path::PathBuf) {
    file_of(&vec![1; pages * page_size()])
}

#[track_caller]
fn assert_eof<T: std::fmt::Debug>(result: Result<T, Error>) {
    refused(result, ErrorKind::UnexpectedEof);
}

#[test]
fn every_accessor_reports_truncation_as_unexpected_eof() {
    let (_dir, path) = ones(4);
    let section = Section::open_rw(&path).unwrap();
    let view: View<ReadWrite> = section.view().unwrap();
    let page = page();
    assert_eq!(view.get::<u64>(3 * page).unwrap(), 0x0101_0101_0101_0101);
    truncate(&path, page);
    assert_eof(view.get::<u8>(page));
    assert_eof(view.get::<u16>(page));
    assert_eof(view.get::<u32>(page));
    assert_eof(view.get::<u64>(3 * page));
    assert_eof(view.get::<[u8; 24]>(page));
    assert_eof(view.get::<[u64; 100]>(page));
    assert_eof(view.get_slice(page, &mut [0u32; 5]));
    assert_eof(view.read_vec(..));
    assert_eof(view.read_at(page - 1, &mut [0; 2]));
    assert_eof(view.read_some_at(page, &mut [0; 2]));
    assert_eof(view.read_checked(page, &mut [0; 2]));
    assert_eof(view.put(page, &1u8));
    assert_eof(view.put(page, &1u16));
    assert_eof(view.put(page, &1u32));
    assert_eof(view.put(page, &1u64));
    assert_eof(view.put_slice(page, &[1u64; 9]));
    assert_eof(view.write_at(page, &[7; 5000]));
    assert_eof(view.fill(.., 9));
    assert_eof(view.atomic_u32(page).unwrap().load());
    assert_eof(view.atomic_u32(page).unwrap().store(1));
    assert_eof(view.atomic_u64(page).unwrap().load());
    assert_eof(view.atomic_u64(page).unwrap().store(1));
    if HAS_ATOMICS {
        assert_eof(view.atomic_u32(page).unwrap().swap(1));
        assert_eof(view.atomic_u32(page).unwrap().fetch_add(1));
        assert_eof(view.atomic_u32(page).unwrap().compare_exchange(1, 2));
        assert_eof(view.atomic_u32(page).unwrap().fetch_or(1));
        assert_eof(view.atomic_u64(page).unwrap().swap(1));
        assert_eof(view.atomic_u64(page).unwrap().fetch_add(1));
        assert_eof(view.atomic_u64(page).unwrap().compare_exchange(1, 2));
    }
    assert_eof(view.compare(0, &vec![9; 2 * page_size()]));
    assert_eof(view.copy_within(page.., 0));
    assert_eof(view.copy_within(..page, page));
    assert_eof(view.copy_to(
        ..,
        &Section::anonymous(4 * page).unwrap().view::<ReadWrite>().unwrap(),
        0,
    ));
    assert_eof(view.scan(.., |_| ControlFlow::<()>::Continue(())));
    assert_eq!(view.get::<u64>(0).unwrap(), 0x0909_0909_0909_0909, "filled up to the fault");
}

#[test]
fn an_error_of_a_cut_off_file_says_where_it_ends_now() {
    let (_dir, path) = ones(4);
    let section = Section::open_rw(&path).unwrap();
    let view = section.view_of::<ReadWrite>(page() + 7..).unwrap();
    truncate(&path, 2 * page());
    let error = refused(view.read_vec(100..2 * page()), ErrorKind::UnexpectedEof);
    let at = format!("at offset {}", 2 * page());
    let done = format!("{} of {} bytes done", page() - 107, 2 * page() - 100);
    let end = format!("the file ends at {} now", 2 * page());
    says(&error, &["cannot read", path.to_str().unwrap(), &at, &done, &end]);
    assert_eq!(error.offset(), Some(2 * page()), "counted in the file");
    let error = refused(view.fill(.., 7), ErrorKind::UnexpectedEof);
    says(&error, &["cannot write", &at]);
    refused(section.view_of::<Read>(..3 * page()), ErrorKind::OutOfBounds);
    assert_eq!(section.view::<Read>().unwrap().len(), 2 * page());
}

#[test]
fn a_copy_stops_exactly_where_the_file_ends_now() {
    let (_dir, path) = ones(4);
    let view: View<Read> = Section::open(&path).unwrap().view().unwrap();
    let page = page_size();
    truncate(&path, 2 * page as u64);
    let starts = (0..300).map(|back| 2 * page - 1 - back).chain([0, 1, 7, page - 3]);
    for start in starts {
        for size in [2 * page - start + 1, 3 * page - start, 4 * page - start] {
            let mut out = vec![0xee; size];
            let error = view.read_at(start as u64, &mut out).unwrap_err();
            assert_eq!(error.offset(), Some(2 * page as u64), "{error}");
            let whole = 2 * page - start;
            assert!(out[..whole].iter().all(|&b| b == 1), "bytes before the fault are copied");
            assert!(out[whole..].iter().all(|&b| b == 0xee), "and none behind it");
        }
    }
}

#[test]
fn a_write_stops_exactly_where_the_file_ends_now() {
    let (_dir, path) = ones(4);
    let view: View<ReadWrite> = Section::open_rw(&path).unwrap().view().unwrap();
    let end = 2 * page_size();
    truncate(&path, end as u64);
    for back in (0..300).chain([page_size(), page_size() + 1]) {
        let start = (end - back - 1) as u64;
        for size in [back + 2, back + 40, back + 5000] {
            view.fill(..end as u64, 1).unwrap();
            let error = refused(view.write_at(start, &vec![7; size]), ErrorKind::UnexpectedEof);
            assert_eq!(error.offset(), Some(end as u64), "{error}");
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!(bytes.len(), end, "a store never lengthens a file");
            assert!(bytes[end - back - 1..].iter().all(|&byte| byte == 7));
            assert!(bytes[..end - back - 1].iter().all(|&byte| byte == 1));
        }
    }
}

#[test]
fn memory_without_a_fault_is_copied_at_every_size_and_alignment() {
    let section = Section::anonymous(64 * 1024).unwrap();
    let view: View<ReadWrite> = section.view().unwrap();
    let bytes: Vec<u8> = (0..2000u32).map(|i| (i * 7 + i / 251).to_le_bytes()[0]).collect();
    for size in (0..300).chain([511, 512, 513, 1023, 1999]) {
        for offset in [0u64, 1, 3, 8, 15, 4090] {
            view.fill(.., 0xaa).unwrap();
            view.write_at(offset, &bytes[..size]).unwrap();
            assert_eq!(view.read_vec(offset..offset + size as u64).unwrap(), bytes[..size]);
            let mut out = vec![0x55; size + 2];
            view.read_at(offset, &mut out[1..=size]).unwrap();
            assert_eq!((out[0], out[size + 1]), (0x55, 0x55), "size {size} offset {offset}");
            assert_eq!(out[1..=size], bytes[..size]);
            assert_eq!(view.get::<u8>(offset + size as u64).unwrap(), 0xaa);
        }
    }
}

#[test]
fn bytes_cut_off_inside_the_last_live_page_are_zeros_and_a_checked_read_says_so() {
    let (_dir, path) = file_of(pattern(0, 4 * page_size()));
    let view: View<ReadWrite> = Section::open_rw(&path).unwrap().view().unwrap();
    let end = page() + 100;
    truncate(&path, end);
    assert_eq!(view.read_vec(end..2 * page()).unwrap(), vec![0; page_size() - 100]);
    let mut out = [0; 10];
    view.read_checked(end - 10, &mut out).unwrap();
    assert_eq!(out, *pattern(end - 10, 10));
    let error = refused(view.read_checked(end - 9, &mut out), ErrorKind::UnexpectedEof);
    says(&error, &[&format!("asked for bytes up to {}", end + 1), &format!("ends at {end} now")]);
    view.put(end, &7u8).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), end, "what is stored there vanishes");
    // A part of a view counts in the file.
    let part = view.sub(page() + 90..).unwrap();
    part.read_checked(0, &mut out).unwrap();
    refused(part.read_checked(1, &mut out), ErrorKind::UnexpectedEof);
}

#[test]
fn a_file_that_grew_again_is_readable_again_through_the_same_view() {
    let (_dir, path) = file_of(pattern(0, 3 * page_size()));
    let view: View<ReadWrite> = Section::open_rw(&path).unwrap().view().unwrap();
    truncate(&path, 0);
    assert_eof(view.get::<u8>(0));
    truncate(&path, 3 * page());
    assert!(view.read_vec(..).unwrap().iter().all(|&byte| byte == 0));
    view.put(5, &7u8).unwrap();
    assert_eq!(std::fs::read(&path).unwrap()[5], 7);
}

#[test]
fn streams_report_a_fault_and_stay_where_they_were() {
    let (_dir, path) = ones(4);
    let view: View<ReadWrite> = Section::open_rw(&path).unwrap().view().unwrap();
    let mut stream = view.stream();
    stream.seek(SeekFrom::Start(2 * page())).unwrap();
    truncate(&path, page());
    let kind = |error: std::io::Error| error.kind();
    let eof = std::io::ErrorKind::UnexpectedEof;
    assert_eq!(stream.read(&mut [0; 5]).map_err(kind), Err(eof));
    assert_eq!(stream.read_to_end(&mut Vec::new()).map_err(kind), Err(eof));
    assert_eq!(stream.fill_buf().map(|_| ()).map_err(kind), Err(eof));
    assert_eq!(stream.write(b"abc").map_err(kind), Err(eof));
    assert_eq!(stream.position(), 2 * page());
    stream.rewind().unwrap();
    let mut first = vec![0; page_size()];
    stream.read_exact(&mut first).unwrap();
    assert!(first.iter().all(|&byte| byte == 1));
}

#[test]
fn a_lost_store_makes_flushes_refuse_until_it_is_accepted() {
    let (_dir, path) = ones(4);
    let section = Section::open_rw(&path).unwrap();
    let view: View<ReadWrite> = section.view().unwrap();
    truncate(&path, page());
    assert_eof(view.get::<u8>(page()));
    view.flush(.., Flush::Data).expect("a load that failed lost nothing");
    let private: View<CopyOnWrite> = Section::open_rw(&path).unwrap().view().unwrap();
    private.put(0, &1u8).unwrap();
    assert_eof(view.put(page(), &1u8));
    refused(view.flush(..1, Flush::Data), ErrorKind::Poisoned);
    refused(section.sync(Flush::Start), ErrorKind::Poisoned);
    section.accept_lost_stores();
    section.sync(Flush::Full).unwrap();
    assert_eof(view.atomic_u64(page()).unwrap().store(1));
    refused(section.sync(Flush::Start), ErrorKind::Poisoned);
    Section::open_rw(&path).unwrap().sync(Flush::Full).expect("another handle lost nothing");
}

#[test]
fn a_private_store_that_failed_does_not_keep_the_section_from_flushing() {
    let (_dir, path) = ones(2);
    let section = Section::open_rw(&path).unwrap();
    let view: View<CopyOnWrite> = section.view().unwrap();
    truncate(&path, 0);
    assert_eof(view.put(0, &1u8));
    section.sync(Flush::Data).unwrap();
}

#[test]
fn a_view_follows_its_own_section_that_shrinks_and_grows() {
    let (_dir, path) = ones(4);
    let section = Section::open_rw(&path).unwrap();
    let view: View<Read> = section.view().unwrap();
    section.set_len(page(), Space::Allocate).unwrap();
    assert_eof(view.get::<u8>(page()));
    assert_eq!(view.len(), 4 * page(), "a view keeps its length");
    section.set_len(4 * page(), Space::Allocate).unwrap();
    assert_eq!(view.get::<u8>(page()).unwrap(), 0);
}
