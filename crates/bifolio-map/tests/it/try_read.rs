//! Reads that do not wait: what is in memory is read, and no way of asking shows other bytes than
//! the view has.

use bifolio_map::{CopyOnWrite, ErrorKind, ReadWrite, Section, TryRead, View};

use crate::support::{file_of, page, pattern, refused, says};

/// Whether a copy-on-write view shows what it changed.
pub(crate) fn shows_its_own(
    try_read: impl Fn(&View<CopyOnWrite>, u64, &mut [u8]) -> bifolio_map::Result<TryRead>,
) -> bool {
    let (_dir, path) = file_of(pattern(0, 4 * page() as usize));
    let view: View<CopyOnWrite> = Section::open(&path).unwrap().view().unwrap();
    view.put(page() + 3, &[0u8; 5]).unwrap();
    let mut out = [1; 5];
    try_read(&view, page() + 3, &mut out).unwrap() == TryRead::Read && out == [0; 5]
}

#[test]
fn a_copy_on_write_view_shows_its_own_pages() {
    assert!(shows_its_own(View::try_read_at));
}

#[test]
fn memory_is_always_there() {
    let size = 3 * page() + 13;
    let section = Section::anonymous(size).unwrap();
    let view: View<ReadWrite> = section.view_of(5..).unwrap();
    let mut out = vec![1; view.len() as usize];
    if cfg!(target_os = "linux") {
        assert_eq!(view.try_read_at(0, &mut out).unwrap(), TryRead::Read, "a hole is zeros");
        assert!(out.iter().all(|&byte| byte == 0));
    }
    view.write_at(0, pattern(0, out.len())).unwrap();
    assert_eq!(view.try_read_at(0, &mut out).unwrap(), TryRead::Read);
    assert!(out == pattern(0, out.len()));
    let private: View<CopyOnWrite> = section.view().unwrap();
    private.fill(.., 7).unwrap();
    let mut out = vec![1; size as usize];
    assert_eq!(private.try_read_at(0, &mut out).unwrap(), TryRead::Read);
    assert!(out.iter().all(|&byte| byte == 7));
}

#[test]
fn tries_outside_the_view_are_refused_and_empty_ones_succeed() {
    let view: View<ReadWrite> = Section::anonymous(13).unwrap().view().unwrap();
    let error = refused(view.try_read_at(9, &mut [0; 5]), ErrorKind::OutOfBounds);
    says(&error, &["cannot read", "offset 9", "the view has 13"]);
    refused(view.try_read_at(u64::MAX, &mut [0; 5]), ErrorKind::OutOfBounds);
    assert_eq!(view.try_read_at(13, &mut []).unwrap(), TryRead::Read);
}

#[test]
#[cfg(unix)]
fn bytes_that_were_cut_off_are_an_error_and_not_waited_for() {
    fn cut<M: bifolio_map::Mode>() {
        let (_dir, path) = file_of(pattern(0, 8 * page() as usize));
        let view: View<M> = Section::open_rw(&path).unwrap().view().unwrap();
        view.read_vec(..).unwrap();
        crate::support::truncate(&path, 2 * page());
        let mut out = vec![0; 2 * page() as usize];
        let error = refused(view.try_read_at(page(), &mut out), ErrorKind::UnexpectedEof);
        says(&error, &["data", "4096 of 8192 bytes done", "the file ends at 8192 now"]);
        assert!(out[..page() as usize] == *pattern(page(), page() as usize));
        refused(view.try_read_at(7 * page(), &mut out[..9]), ErrorKind::UnexpectedEof);
    }
    /// Inside a page that lives on: a map shows zeros there.
    fn cut_inside_a_page<M: bifolio_map::Mode>(section: &Section) {
        let view: View<M> = section.view().unwrap();
        let end = 2 * page() + 50;
        section.set_len(end, bifolio_map::Space::Sparse).unwrap();
        let error = refused(view.try_read_at(end - 10, &mut [9; 30]), ErrorKind::UnexpectedEof);
        says(&error, &["10 of 30 bytes done", &format!("ends at {end} now")]);
        assert_eq!(error.offset(), Some(end));
        let error = refused(view.try_read_at(end + 7, &mut [9; 30]), ErrorKind::UnexpectedEof);
        says(&error, &["0 of 30 bytes done"]);
        let mut out = [9; 10];
        assert_eq!(view.try_read_at(end - 10, &mut out).unwrap(), TryRead::Read);
        assert!(out == *pattern(end - 10, 10));
    }
    let file = || {
        let (dir, path) = file_of(pattern(0, 8 * page() as usize));
        (dir, Section::open_rw(&path).unwrap())
    };
    cut_inside_a_page::<bifolio_map::Read>(&file().1);
    cut_inside_a_page::<CopyOnWrite>(&file().1);
    if cfg!(target_os = "linux") {
        let memory = Section::anonymous(8 * page()).unwrap();
        let view: View<ReadWrite> = memory.view().unwrap();
        view.write_at(0, pattern(0, 8 * page() as usize)).unwrap();
        cut_inside_a_page::<bifolio_map::Read>(&memory);
    }
    if page() == 4096 {
        cut::<bifolio_map::Read>();
        cut::<CopyOnWrite>();
    }
}
