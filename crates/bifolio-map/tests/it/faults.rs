//! A fault is an error: truncation, full disks, and what other handlers see of it.

use std::fs::File;

use bifolio_map::{Error, ErrorKind, Read, ReadWrite, Section, View, page_size};

/// A file of `pages` pages, every byte set to one, in a directory of its own.
fn file_of(pages: usize) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("data");
    std::fs::write(&path, vec![1; pages * page_size()]).expect("a file of ones");
    (dir, path)
}

fn truncate(path: &std::path::Path, len: u64) {
    File::options().write(true).open(path).and_then(|f| f.set_len(len)).expect("truncate");
}

#[track_caller]
fn assert_eof<T: std::fmt::Debug>(result: Result<T, Error>) {
    assert_eq!(result.expect_err("a fault").kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn every_accessor_reports_truncation_as_unexpected_eof() {
    let (_dir, path) = file_of(4);
    let section = Section::open_rw(&path).unwrap();
    let view: View<ReadWrite> = section.view().unwrap();
    let page = page_size() as u64;
    assert_eq!(view.get::<u64>(3 * page).unwrap(), 0x0101_0101_0101_0101);
    truncate(&path, page);
    assert_eof(view.get::<u8>(page));
    assert_eof(view.get::<u16>(page));
    assert_eof(view.get::<u32>(page));
    assert_eof(view.get::<u64>(3 * page));
    assert_eof(view.get::<[u8; 24]>(page));
    assert_eof(view.get::<[u64; 100]>(page));
    assert_eof(view.read_vec(..));
    assert_eof(view.put(page, &1u8));
    assert_eof(view.put(page, &1u16));
    assert_eof(view.put(page, &1u32));
    assert_eof(view.put(page, &1u64));
    assert_eof(view.write_at(page, &[7; 5000]));
    assert_eof(view.fill(.., 9));
    assert_eof(view.atomic_u32(page).unwrap().load());
    assert_eof(view.atomic_u32(page).unwrap().store(1));
    assert_eof(view.atomic_u32(page).unwrap().swap(1));
    assert_eof(view.atomic_u32(page).unwrap().fetch_add(1));
    assert_eof(view.atomic_u32(page).unwrap().compare_exchange(1, 2));
    assert_eof(view.atomic_u64(page).unwrap().load());
    assert_eof(view.atomic_u64(page).unwrap().store(1));
    assert_eof(view.atomic_u64(page).unwrap().swap(1));
    assert_eof(view.atomic_u64(page).unwrap().fetch_add(1));
    assert_eof(view.atomic_u64(page).unwrap().compare_exchange(1, 2));
    assert_eof(view.compare(0, &vec![1; 2 * page_size()]));
    assert_eq!(view.get::<u64>(0).unwrap(), 0x0909_0909_0909_0909, "filled up to the fault");
}

#[test]
fn a_copy_stops_exactly_where_the_file_ends_now() {
    let (_dir, path) = file_of(4);
    let view: View<Read> = Section::open(&path).unwrap().view().unwrap();
    let page = page_size();
    truncate(&path, 2 * page as u64);
    for start in [0, 1, 7, page - 3, 2 * page - 300, 2 * page - 17, 2 * page - 1] {
        for size in [2 * page - start + 1, 3 * page - start, 4 * page - start] {
            let mut out = vec![0xee; size];
            let error = view.read_at(start as u64, &mut out).unwrap_err();
            assert_eq!(error.offset(), Some(2 * page as u64), "{error}");
            let whole = 2 * page - start;
            assert!(out[..whole].iter().all(|&b| b == 1), "bytes before the fault are copied");
        }
    }
}

#[test]
fn memory_without_a_fault_is_copied_at_every_size_and_alignment() {
    let section = Section::anonymous(64 * 1024).unwrap();
    let view: View<ReadWrite> = section.view().unwrap();
    let pattern: Vec<u8> = (0..2000u32).map(|i| (i * 7 + i / 251).to_le_bytes()[0]).collect();
    for size in (0..300).chain([511, 512, 513, 1023, 1999]) {
        for offset in [0u64, 1, 3, 8, 15, 4090] {
            view.fill(.., 0xaa).unwrap();
            view.write_at(offset, &pattern[..size]).unwrap();
            assert_eq!(view.read_vec(offset..offset + size as u64).unwrap(), pattern[..size]);
            let mut out = vec![0x55; size + 2];
            view.read_at(offset, &mut out[1..=size]).unwrap();
            assert_eq!((out[0], out[size + 1]), (0x55, 0x55), "size {size} offset {offset}");
            assert_eq!(out[1..=size], pattern[..size]);
            assert_eq!(view.get::<u8>(offset + size as u64).unwrap(), 0xaa);
        }
    }
}
