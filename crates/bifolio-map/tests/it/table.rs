//! The table of what can be viewed how: section × mode × size × offset. The document that users
//! read, `docs/view-table.md`, is rendered from what was observed here; `BIFOLIO_BLESS=1` writes it.

use std::fmt::Write;
use std::path::Path;

use bifolio_map::{
    Access, CopyOnWrite, Error, ErrorKind, Frozen, Mode, Read, ReadWrite, Section, SectionKind,
    View, ViewMode, Writable, page_size,
};

use crate::refusals;
use crate::support::{byte_at, directory, page, pattern, refused, says};

/// Sizes of sections that the document shows; around the page of 4096 bytes, the granule of 64 KiB
/// and the piece of 16 KiB in which larger copies are made.
const SIZES: [u64; 8] = [0, 1, 13, 4095, 4096, 4097, 65537, 3 << 20];
/// Offsets of views that the document shows. The last lies past the end of all.
const OFFSETS: [u64; 7] = [0, 1, 4095, 4096, 65535, 65536, (3 << 20) + 1];

/// What the design says: which access allows which mode.
fn allowed(access: Access, mode: ViewMode) -> bool {
    access == Access::ReadWrite || mode != ViewMode::ReadWrite
}

/// The sizes of the document, and the same edges on machines with other pages.
fn sizes() -> Vec<u64> {
    let mut sizes = SIZES.to_vec();
    sizes.extend([page() - 1, page(), page() + 1]);
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

fn offsets() -> Vec<u64> {
    let mut offsets = OFFSETS.to_vec();
    offsets.extend([page() - 1, page()]);
    offsets.sort_unstable();
    offsets.dedup();
    offsets
}

/// A section of each kind that holds the pattern.
fn sections(dir: &Path, size: u64) -> Vec<Section> {
    let path = dir.join(format!("{size}"));
    let bytes = pattern(0, usize::try_from(size).unwrap());
    std::fs::write(&path, bytes).unwrap();
    let memory = Section::anonymous(size).unwrap();
    memory.view::<ReadWrite>().unwrap().write_at(0, bytes).unwrap();
    let temporary = Section::options().len(size).temporary(dir).unwrap();
    temporary.view::<ReadWrite>().unwrap().write_at(0, bytes).unwrap();
    vec![Section::open(&path).unwrap(), Section::open_rw(&path).unwrap(), memory, temporary]
}

/// Lengths that are interesting where `left` bytes follow.
fn lengths(left: u64) -> Vec<u64> {
    let mut lengths = vec![0, 1, left / 2, left.saturating_sub(1), left];
    lengths.retain(|&length| length <= left);
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}

/// All that is promised of a view of `offset..offset + length` in any mode.
fn check_reading<M: Mode>(view: &View<M>, offset: u64, length: u64) {
    assert_eq!((view.len(), view.offset(), view.mode()), (length, offset, M::MODE));
    assert_eq!(view.is_empty(), length == 0);
    let bytes = view.read_vec(..).unwrap();
    assert!(bytes == pattern(offset, bytes.len()) && bytes.len() as u64 == length);
    // Nothing behind the last byte can be reached, although the page goes on.
    for past in [length, length + 1, length + page(), u64::MAX - 3, u64::MAX] {
        let error = refused(view.get::<u8>(past), ErrorKind::OutOfBounds);
        let at = offset.saturating_add(past).to_string();
        says(&error, &["read", &at, &format!("the view has {length}")]);
        refused(view.read_at(past, &mut [0; 3]), ErrorKind::OutOfBounds);
        assert_eq!(view.read_some_at(past, &mut [0; 3]).unwrap(), 0);
    }
    refused(view.get::<[u8; 9]>(length.saturating_sub(8)), ErrorKind::OutOfBounds);
    refused(view.read_vec(..=length), ErrorKind::OutOfBounds);
    if let Some(last) = length.checked_sub(1) {
        assert_eq!(view.get::<u8>(last).unwrap(), byte_at(offset + last));
        let mut out = [0; 9];
        assert_eq!(view.read_some_at(last, &mut out).unwrap(), 1);
        assert_eq!(out, [byte_at(offset + last), 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}

/// Writing reaches the last byte and not the one behind it; leaves the bytes as they were.
fn check_writing<M: Writable>(view: &View<M>, offset: u64, length: u64) {
    refused(view.put(length, &7u8), ErrorKind::OutOfBounds);
    refused(view.write_at(length.saturating_sub(1), &[7; 2]), ErrorKind::OutOfBounds);
    refused(view.fill(..=length, 7), ErrorKind::OutOfBounds);
    view.write_at(length, &[]).unwrap();
    if let Some(last) = length.checked_sub(1) {
        view.put(last, &0u8).unwrap();
        assert_eq!(view.get::<u8>(last).unwrap(), 0);
        let kept = view.section().unwrap().view_of::<Read>(offset + last..=offset + last).unwrap();
        let seen = if M::MODE == ViewMode::CopyOnWrite { byte_at(offset + last) } else { 0 };
        assert_eq!(kept.get::<u8>(0).unwrap(), seen, "{:?}", M::MODE);
        view.put(last, &byte_at(offset + last)).unwrap();
    }
}

/// Tries every mode on one range, compares with the rules, and says whether reading was allowed.
fn check_cell(section: &Section, offset: u64, length: u64) {
    let range = offset..offset + length;
    let view = section.view_of::<Read>(range.clone()).unwrap();
    check_reading(&view, offset, length);
    let view = section.view_of::<CopyOnWrite>(range.clone()).unwrap();
    check_reading(&view, offset, length);
    check_writing(&view, offset, length);
    let view = section.view_of::<ReadWrite>(range);
    if allowed(section.access(), ViewMode::ReadWrite) {
        let view = view.unwrap();
        check_reading(&view, offset, length);
        check_writing(&view, offset, length);
    } else {
        let error = refused(view, ErrorKind::ModeMismatch);
        says(&error, &["cannot map", "open for reading only", "CopyOnWrite"]);
        assert_eq!(error.path(), section.path());
    }
}

#[test]
fn every_section_views_every_range_inside_it_and_no_other() {
    let dir = directory();
    for size in sizes() {
        for section in sections(dir.path(), size) {
            for offset in offsets() {
                let Some(left) = size.checked_sub(offset) else {
                    for length in [0, 1, size, page()] {
                        let error = refused(
                            section.view_of::<Read>(offset..offset + length),
                            ErrorKind::OutOfBounds,
                        );
                        let asked = format!("asked for {offset}..{}", offset + length);
                        says(&error, &["cannot map", &asked, &format!("it has {size} bytes")]);
                    }
                    continue;
                };
                for length in lengths(left) {
                    check_cell(&section, offset, length);
                }
                for past in [left + 1, left + page(), u64::MAX - offset] {
                    let range = offset..offset + past;
                    refused(section.view_of::<Read>(range.clone()), ErrorKind::OutOfBounds);
                    refused(section.view_of::<CopyOnWrite>(range), ErrorKind::OutOfBounds);
                }
            }
        }
    }
}

#[test]
fn the_bytes_that_the_file_gets_are_the_bytes_of_the_view() {
    let dir = directory();
    for size in sizes() {
        let path = dir.path().join("file");
        std::fs::write(&path, pattern(0, usize::try_from(size).unwrap())).unwrap();
        let section = Section::open_rw(&path).unwrap();
        for offset in offsets().into_iter().filter(|&offset| offset <= size) {
            section.view_of::<ReadWrite>(offset..).unwrap().fill(.., 0xee).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            let (before, after) = bytes.split_at(usize::try_from(offset).unwrap());
            assert!(before == pattern(0, before.len()), "before {offset} of {size}");
            assert!(after.iter().all(|&byte| byte == 0xee));
            assert_eq!(bytes.len() as u64, size, "no write may lengthen the file");
            let restored = pattern(offset, after.len());
            section.view_of::<ReadWrite>(offset..).unwrap().write_at(0, restored).unwrap();
        }
    }
}

#[test]
fn a_range_that_is_reversed_or_overflows_is_out_of_bounds() {
    use std::ops::Bound;
    let section = Section::anonymous(13).unwrap();
    #[expect(clippy::reversed_empty_ranges, reason = "the case under test")]
    let reversed = 7..3;
    says(&refused(section.view_of::<Read>(reversed), ErrorKind::OutOfBounds), &["7..3"]);
    refused(section.view_of::<Read>(..=u64::MAX), ErrorKind::OutOfBounds);
    refused(section.view_of::<Read>(u64::MAX..), ErrorKind::OutOfBounds);
    let from_past = (Bound::Excluded(u64::MAX), Bound::Unbounded);
    refused(section.view_of::<Read>(from_past), ErrorKind::OutOfBounds);
    let view: View<Read> = section.view().unwrap();
    refused(view.sub(..=u64::MAX), ErrorKind::OutOfBounds);
    refused(view.sub(14..), ErrorKind::OutOfBounds);
    refused(view.read_at(u64::MAX, &mut [0; 13]), ErrorKind::OutOfBounds);
}

// --- the document ---

/// `yes`, or the kind of the refusal.
fn answer<M: Mode>(section: &Section) -> String {
    match section.view::<M>() {
        Ok(view) => {
            assert_eq!(view.read_vec(..).unwrap(), pattern(0, 13));
            "yes".to_owned()
        }
        Err(error) => format!("no: `{:?}`", error.kind()),
    }
}

fn modes_document(dir: &Path) -> String {
    let mut text = String::from(
        "| section | `View<Read>` | `View<ReadWrite>` | `View<CopyOnWrite>` |\n|---|---|---|---|\n",
    );
    let mut row = |name: &str, section: &Section| {
        let (read, write) = (answer::<Read>(section), answer::<ReadWrite>(section));
        let private = answer::<CopyOnWrite>(section);
        writeln!(text, "| {name} | {read} | {write} | {private} |").unwrap();
    };
    let sections = sections(dir, 13);
    assert_eq!(sections[1].kind(), SectionKind::File);
    row("file, opened with `Access::Read`", &sections[0]);
    row("file, opened with `Access::ReadWrite`", &sections[1]);
    row("anonymous memory", &sections[2]);
    row("temporary file", &sections[3]);
    let frozen = Frozen::copy_of(pattern(0, 13)).unwrap();
    match frozen.section() {
        Some(section) => row("sealed memory (`Frozen::section`, Linux)", section),
        None => text.push_str(
            "| sealed memory (`Frozen::section`, Linux) | yes | no: `PermissionDenied` | yes |\n",
        ),
    }
    text
}

/// Requires the documented words for a range past the end.
fn assert_outside(error: &Error, offset: u64, size: u64) {
    let said = refusals::words_of(error);
    let said = said.replace("`<anonymous memory>`", "FILE").replace("`<temporary file>`", "FILE");
    let numbers = [("OFFSET", offset.to_string()), ("SIZE", size.to_string())];
    let words = numbers
        .iter()
        .fold(refusals::OUTSIDE.to_owned(), |words, (name, number)| words.replace(name, number));
    assert_eq!(said, words);
}

fn ranges_document(dir: &Path) -> String {
    let mut text = String::from("| bytes in the section |");
    for offset in OFFSETS {
        write!(text, " from {offset} |").unwrap();
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(OFFSETS.len()));
    text.push('\n');
    for size in SIZES {
        write!(text, "| {size} |").unwrap();
        for offset in OFFSETS {
            let lengths: Vec<_> = sections(dir, size)
                .iter()
                .map(|section| match section.view_of::<Read>(offset..) {
                    Ok(view) => view.len().to_string(),
                    Err(error) => {
                        assert_outside(&error, offset, size);
                        format!("`{:?}`", error.kind())
                    }
                })
                .collect();
            assert!(lengths.windows(2).all(|pair| pair[0] == pair[1]), "kinds differ: {lengths:?}");
            write!(text, " {} |", lengths[0]).unwrap();
        }
        text.push('\n');
    }
    text
}

/// The part of the document that every system observes alike.
fn common_document(dir: &Path) -> String {
    format!(
        "{}\n\
         `/dev/zero` and other devices without a length take an explicit range, and then the same \
         table.\n\n\
         The mode does not matter for the range, nor does the kind of section. \
         `section.view_of(offset..)` has\nexactly the bytes that follow the offset, at any \
         offset. An empty view is a view: nothing is mapped,\nreading nothing succeeds, reading \
         anything is `OutOfBounds`.\n\n{}\n\
         What is refused says what was asked for and what is there. Each `OutOfBounds` of that \
         table:\n\n> {}\n\n\
         Below, files are called `FILE`, and what the system itself said, in brackets at the end, \
         is left out.\n\n{}",
        modes_document(dir),
        ranges_document(dir),
        refusals::OUTSIDE,
        refusals::everywhere(dir),
    )
}

#[test]
fn the_documented_table_is_what_was_observed() {
    let dir = directory();
    let documented = include_str!("../../docs/view-table.md").replace("\r\n", "\n");
    let common = common_document(dir.path());
    #[cfg(not(target_os = "linux"))]
    assert!(documented.starts_with(&common), "docs/view-table.md differs from:\n{common}");
    #[cfg(target_os = "linux")]
    {
        let rendered = format!("{common}\nOn Linux:\n\n{}", refusals::linux(dir.path()));
        if std::env::var_os("BIFOLIO_BLESS").is_some() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/view-table.md");
            return std::fs::write(&path, &rendered).unwrap();
        }
        assert_eq!(documented, rendered, "docs/view-table.md is not what the code does; bless it");
    }
}

#[test]
#[should_panic(expected = "right: (13, 0, Read)")]
fn a_view_that_let_the_page_tail_through_would_be_noticed() {
    // The same checks, told that a view of a whole page is one of 13 bytes: they must fail.
    let section = Section::anonymous(page()).unwrap();
    section.view::<ReadWrite>().unwrap().write_at(0, pattern(0, page_size())).unwrap();
    check_reading(&section.view::<Read>().unwrap(), 0, 13);
}
