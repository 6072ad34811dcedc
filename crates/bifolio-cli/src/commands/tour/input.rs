//! The files that the tour is shown on.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::exit::Exit;
use crate::failure::{CliError, Locate};
use crate::input::Input;

/// The file of the article that this project began with: a page-sized view of it reads 4096 bytes
/// where 13 are.
pub(super) const ARTICLE: &[u8] = b"111\r\n222\r\n333";

/// Its name in the working directory.
pub(super) const ARTICLE_NAME: &str = "article.txt";

/// One of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TourFile {
    label: String,
    path: PathBuf,
}

impl TourFile {
    fn new(label: impl Into<String>, path: PathBuf) -> Self {
        Self { label: label.into(), path }
    }

    /// Its name for people.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The files that were named, or the three of every tour.
pub(super) fn collect(named: &[Input], directory: &Path) -> Result<Vec<TourFile>, CliError> {
    if named.is_empty() {
        return usual(directory);
    }
    let mut files = Vec::new();
    for input in named {
        files.push(match input {
            Input::File(path) => {
                require_ordinary(path)?;
                TourFile::new(path.display().to_string(), path.clone())
            }
            Input::Stdin => {
                let path = directory.join("stdin");
                let mut copy = File::create(&path).at(&path)?;
                io::copy(&mut input.open()?, &mut copy).at("stdin")?;
                TourFile::new("stdin", path)
            }
        });
    }
    Ok(files)
}

fn usual(directory: &Path) -> Result<Vec<TourFile>, CliError> {
    let mut files = Vec::new();
    let program = std::env::current_exe()?;
    let name = program.file_name().map(|name| name.display().to_string());
    files.push(TourFile::new(name.unwrap_or_else(|| "bifolio".to_owned()), program));
    let lock = Path::new("Cargo.lock");
    if lock.is_file() {
        files.push(TourFile::new("Cargo.lock", lock.to_owned()));
    }
    let article = directory.join(ARTICLE_NAME);
    fs::write(&article, ARTICLE).at(&article)?;
    files.push(TourFile::new(ARTICLE_NAME, article));
    Ok(files)
}

/// A pipe could be read once only and a device for ever; a directory not at all.
fn require_ordinary(path: &Path) -> Result<(), CliError> {
    let place = path.display().to_string();
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.display().to_string(),
        _ => ".".to_owned(),
    };
    let list = if cfg!(windows) { "dir" } else { "ls -l" };
    let kind = fs::metadata(path).at(path).or_try(format!("{list} {parent}"))?.file_type();
    if kind.is_file() {
        return Ok(());
    }
    let what = if kind.is_dir() { "it is a directory" } else { "it is a pipe or a device" };
    Err(CliError::new(Exit::Usage, format!("{what}; the tour takes ordinary files"))
        .at(place)
        .next("bifolio tour FILE"))
}
