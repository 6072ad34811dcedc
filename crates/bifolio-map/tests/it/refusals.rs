//! What is refused, in whole sentences: the second half of `docs/view-table.md`.
//!
//! Each row is one call and what its error says. The file is called `FILE` there, and what the
//! system itself said, which stands in brackets at the end, is left out: every system has words of
//! its own.

use std::error::Error as _;
use std::fmt::Debug;
use std::fs::File;
use std::io::SeekFrom;
use std::path::Path;

use bifolio_map::{CopyOnWrite, Create, Error, Flush, Read, ReadWrite, Section, View};

use crate::support::pattern;

/// What the refusal of a range says, whichever section it is of.
pub(crate) const OUTSIDE: &str =
    "cannot map FILE: out of bounds: asked for OFFSET.., it has SIZE bytes";

/// What a store says that met a full disk; see `a_full_disk_is_refused_in_the_documented_words`.
#[cfg(target_os = "linux")]
const FULL: &str = "cannot write FILE at offset 4096: no space left: 0 of 1 bytes done; the system had no space for this page";

/// What was tried, the kind of its error, and its words.
struct Row {
    tried: &'static str,
    kind: String,
    words: String,
}

impl Row {
    fn new<T: Debug>(tried: &'static str, outcome: Result<T, Error>) -> Self {
        let error = outcome.expect_err(tried);
        Self { tried, kind: format!("{:?}", error.kind()), words: words_of(&error) }
    }

    fn line(&self) -> String {
        format!("| {} | `{}` | {} |\n", self.tried, self.kind, self.words)
    }
}

/// The error without what differs from machine to machine: the path, and the system's own words.
pub(crate) fn words_of(error: &Error) -> String {
    let mut text = error.to_string();
    if let Some(source) = error.source() {
        let said = format!(" ({source})");
        text = text.strip_suffix(&said).expect("the system's words come last").to_owned();
    }
    match error.path().and_then(Path::to_str) {
        // What has no path is called by what it is, as in `<anonymous memory>`.
        Some(path) if path.starts_with('<') => text.replace(path, &format!("`{path}`")),
        Some(path) => text.replacen(path, "FILE", 1),
        None => text,
    }
}

/// A file of thirteen bytes.
fn thirteen(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("thirteen");
    std::fs::write(&path, pattern(0, 13)).unwrap();
    path
}

/// Opening and creating.
fn opening(dir: &Path) -> Vec<Row> {
    let path = thirteen(dir);
    let options = Section::options();
    let create_reading = options.clone().create(Create::New).open(dir.join("new"));
    let write_only = File::options().write(true).open(&path).unwrap();
    vec![
        Row::new("`Section::open` of a name that is not there", Section::open(dir.join("none"))),
        Row::new("`Section::open` of an empty path", Section::open("")),
        Row::new("`Section::create` where something is already", Section::create(&path, 13)),
        Row::new("creating with `Access::Read`", create_reading),
        Row::new("`Section::from_file` of a file opened for writing only", {
            Section::from_file(write_only)
        }),
    ]
}

/// Windows on a section.
fn viewing(dir: &Path) -> Vec<Row> {
    let path = thirteen(dir);
    let read = Section::open(&path).unwrap();
    let write = Section::open_rw(&path).unwrap();
    let memory = Section::anonymous(13).unwrap();
    let temporary = Section::options().len(13).temporary(dir).unwrap();
    #[expect(clippy::reversed_empty_ranges, reason = "the case under test")]
    let reversed = 7..3;
    vec![
        Row::new(
            "`View<ReadWrite>` of a file opened with `Access::Read`",
            read.view::<ReadWrite>(),
        ),
        Row::new("`view_of(5..14)`, 13 bytes", read.view_of::<Read>(5..14)),
        Row::new("`view_of(14..)`, 13 bytes", write.view_of::<ReadWrite>(14..)),
        Row::new("the same of anonymous memory", memory.view_of::<Read>(14..)),
        Row::new("the same of a temporary file", temporary.view_of::<CopyOnWrite>(14..)),
        Row::new("`view_of(7..3)`", write.view_of::<Read>(reversed)),
        Row::new("`view_of(..=u64::MAX)`", write.view_of::<Read>(..=u64::MAX)),
        Row::new("`growable(5)`, 13 bytes", write.growable::<Read>(5)),
    ]
}

/// Accesses through a view.
fn accessing(dir: &Path) -> Vec<Row> {
    let path = thirteen(dir);
    let section = Section::open_rw(&path).unwrap();
    let view: View<ReadWrite> = section.view().unwrap();
    let private: View<CopyOnWrite> = section.view().unwrap();
    let read_only = Section::open(&path).unwrap();
    let seek = std::io::Seek::seek(&mut view.stream(), SeekFrom::Current(-1)).unwrap_err();
    let seek = Row {
        tried: "`stream().seek(SeekFrom::Current(-1))`",
        kind: format!("io::ErrorKind::{:?}", seek.kind()),
        words: seek.to_string(),
    };
    vec![
        Row::new("`get::<u64>(8)`, 13 bytes", view.get::<u64>(8)),
        Row::new("`put(13, &0u8)`, 13 bytes", view.put(13, &0u8)),
        Row::new("`read_vec(..=13)`, 13 bytes", view.read_vec(..=13)),
        Row::new("`fill(14.., 0)`, 13 bytes", view.fill(14.., 0)),
        Row::new("`copy_within(..=5, 8)`, 13 bytes", view.copy_within(..=5, 8)),
        Row::new("`sub(5..14)`, 13 bytes", view.sub(5..14)),
        Row::new("`atomic_u32(2)`", view.atomic_u32(2).map(drop)),
        Row::new("`flush(14.., Flush::Data)`, 13 bytes", view.flush(14.., Flush::Data)),
        Row::new("`write_back` to a file opened with `Access::Read`", {
            private.write_back(&read_only, &[], Flush::Data)
        }),
        seek,
    ]
}

/// What is no ordinary file, and what happens to one.
#[cfg(target_os = "linux")]
fn on_linux(dir: &Path) -> Vec<Row> {
    use std::os::fd::OwnedFd;

    use bifolio_map::Frozen;

    use crate::support::truncate;

    let path = dir.join("two pages");
    std::fs::write(&path, pattern(0, 8192)).unwrap();
    let section = Section::open_rw(&path).unwrap();
    let view: View<ReadWrite> = section.view().unwrap();
    truncate(&path, 4096);
    let cut_off = [
        Row::new("`get::<u64>(4096)`, cut off there", view.get::<u64>(4096)),
        Row::new("`write_at(4090, …)` of 12 bytes, cut off at 4096", {
            view.write_at(4090, pattern(4090, 12))
        }),
        Row::new("`flush(..)` after that", view.flush(.., Flush::Data)),
        Row::new("`read_checked(4096, …)` of 2 bytes, cut off at 4096", {
            view.read_checked(4096, &mut [0; 2])
        }),
    ];
    let (pipe, _other) = std::io::pipe().unwrap();
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let sealed = Frozen::copy_of(pattern(0, 13)).unwrap();
    let sealed = sealed.section().unwrap().view::<ReadWrite>();
    let shrunk = {
        let view: View<Read> = section.view().unwrap();
        let _clone = view.clone();
        view.shrink_to(..1)
    };
    let mut rows = vec![
        Row::new("`Section::open` of a directory", Section::open(dir)),
        Row::new("of a pipe", Section::from_file(OwnedFd::from(pipe).into())),
        Row::new("of a socket", Section::from_file(OwnedFd::from(socket).into())),
        Row::new("of a file of `/proc`", Section::open("/proc/self/status")),
        Row::new("a view of `/dev/null`", {
            Section::open("/dev/null").unwrap().view_of::<Read>(..1)
        }),
        Row::new("`view_of(5..)` of `/dev/zero`", {
            Section::open("/dev/zero").unwrap().view_of::<Read>(5..)
        }),
        Row::new("`View<ReadWrite>` of sealed memory", sealed),
        Row::new("`shrink_to` while a clone of the view is there", shrunk),
    ];
    rows.extend(cut_off);
    rows.push(Row {
        tried: "`put(4096, &1u8)` into a hole, the disk full",
        kind: "StorageFull".into(),
        words: FULL.into(),
    });
    rows
}

fn table(rows: &[Row]) -> String {
    let lines: String = rows.iter().map(Row::line).collect();
    format!("| what was tried | kind | what the error says |\n|---|---|---|\n{lines}")
}

/// The rows that every system sees alike.
pub(crate) fn everywhere(dir: &Path) -> String {
    table(&[opening(dir), viewing(dir), accessing(dir)].into_iter().flatten().collect::<Vec<_>>())
}

/// The rows of Linux.
#[cfg(target_os = "linux")]
pub(crate) fn linux(dir: &Path) -> String {
    table(&on_linux(dir))
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_refused_in_the_documented_words() {
    crate::support::disk::on_tmpfs(bifolio_testkit::this_test!(), 1 << 20, |dir| {
        let path = dir.join("sparse");
        File::create(&path).unwrap().set_len(8192).unwrap();
        let view: View<ReadWrite> = Section::open_rw(&path).unwrap().view().unwrap();
        crate::support::disk::fill_up(dir);
        assert_eq!(words_of(&view.put(4096, &1u8).unwrap_err()), FULL);
    });
}
