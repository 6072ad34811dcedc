//! Test files: in a directory beside the program, so on the disk of `target/`; gone at the end.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::Result;
use crate::kernel::{self, Random};

const PREFIX: &str = "bifolio-bench-";

/// A directory of test files.
#[derive(Debug)]
pub(crate) struct Corpus {
    dir: TempDir,
}

/// How the page cache holds a file that was just written: the kernel sizes its folios by the
/// writes that fill them, and one folio is one fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Folios {
    /// Written in steps of a page.
    Small,
    /// Written in steps of 4 MiB.
    Large,
}

impl Folios {
    pub(crate) const BOTH: [Self; 2] = [Self::Small, Self::Large];

    fn step(self) -> usize {
        match self {
            Self::Small => 4 << 10,
            Self::Large => 4 << 20,
        }
    }

    /// A name for a file of this kind.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Large => "large",
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small folios",
            Self::Large => "large folios",
        }
    }
}

/// The byte that searches look for. It occurs once in [`NEEDLE_EVERY`] bytes.
pub(crate) const NEEDLE: u8 = 0xff;
/// Bytes between two needles.
pub(crate) const NEEDLE_EVERY: u64 = 64 << 10;

/// A file of random words, written out and in the page cache. All bytes are below 0x80 but the
/// needles.
#[derive(Debug)]
pub(crate) struct TestFile {
    pub(crate) path: PathBuf,
    pub(crate) len: u64,
    /// The sum of its words.
    pub(crate) sum: u64,
}

impl Corpus {
    /// An empty directory. Directories of processes that were killed are removed first.
    pub(crate) fn new() -> Result<Self> {
        let program = std::env::current_exe()?;
        let beside = program.parent().ok_or("the program lies in no directory")?;
        remove_abandoned(beside)?;
        let prefix = format!("{PREFIX}{}-", std::process::id());
        Ok(Self { dir: tempfile::Builder::new().prefix(&prefix).tempdir_in(beside)? })
    }

    /// Where a file of this name would be.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file of `len` bytes, a multiple of 4 MiB.
    pub(crate) fn file(&self, name: &str, len: u64, folios: Folios) -> Result<TestFile> {
        let path = self.path(name);
        let mut file = File::create_new(&path)?;
        let mut words = Random::new(len);
        let mut piece = vec![0; folios.step()];
        let mut sum = 0u64;
        let mut written = 0;
        while written < len {
            words.fill(&mut piece);
            for byte in &mut piece {
                *byte &= 0x7f;
            }
            if written.is_multiple_of(NEEDLE_EVERY) {
                for byte in piece.iter_mut().step_by(kernel::index(NEEDLE_EVERY)) {
                    *byte = NEEDLE;
                }
            }
            sum = sum.wrapping_add(kernel::sum(&piece));
            file.write_all(&piece)?;
            written += piece.len() as u64;
        }
        // Dirty pages would be written out in the middle of a measurement.
        file.sync_all()?;
        Ok(TestFile { path, len: written, sum })
    }
}

/// Removes the directories of processes that are no more.
fn remove_abandoned(beside: &Path) -> Result<()> {
    for entry in std::fs::read_dir(beside)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let Some((id, _)) = rest.split_once('-') else { continue };
        if id.parse::<u32>().is_ok() && !Path::new("/proc").join(id).exists() {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
