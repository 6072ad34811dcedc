//! The first stop: which files these are, so that everybody can compare.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use sha2::{Digest as _, Sha256};

use super::input::ARTICLE_NAME;
use super::{Stop, Tour};
use crate::failure::{CliError, Locate};
use crate::output::Value;
use crate::progress::Progress;

/// The stop.
pub(super) struct Files;

/// What `printf '111\r\n222\r\n333' | sha256sum` says.
const ARTICLE_SHA256: &str = "45f9dd81c0e9f6ad832845b17786996a2724342b7d4f509077c8869161ad2cbb";

impl Stop for Files {
    fn name(&self) -> &'static str {
        "files"
    }

    fn title(&self) -> &'static str {
        "The files"
    }

    fn run(&self, tour: &mut Tour<'_>) -> Result<(), CliError> {
        tour.say(
            "Each file is read once, from the first byte to the last. Size and SHA-256 digest are \
             what any other program must find, so sha256sum is asked too, and a second process.",
        )?;
        for file in tour.files().to_vec() {
            let (label, path) = (file.label(), file.path());
            let size = fs::metadata(path).at(path)?.len();
            let digest = digest(path, &mut tour.progress(label, size))?;
            tour.fact(format_args!("{label}, size"), Value::Bytes(digest.size))?;
            tour.fact(format_args!("{label}, SHA-256"), digest.sha256.as_str())?;
            if path == tour.path(ARTICLE_NAME) {
                check_article(tour, &digest)?;
            }
            tour.check_eq(
                format_args!("{label}: as many bytes are read as the file is long"),
                digest.size,
                size,
            )?;
            let mut partner = tour.partner("digest", &[path])?;
            tour.check_eq(
                format_args!("{label}: a second process finds the same size and digest"),
                partner.ask("?")?,
                format!("{} {}", digest.size, digest.sha256),
            )?;
            partner.finish()?;
            let claim = format!("{label}: sha256sum finds the same digest");
            match sha256sum(path)? {
                Some(theirs) => tour.check_eq(claim, digest.sha256, theirs)?,
                None => tour.skip(claim, "sha256sum is not installed")?,
            }
        }
        Ok(())
    }
}

/// What is known beforehand of the article's file.
fn check_article(tour: &mut Tour<'_>, found: &Digest) -> Result<(), CliError> {
    tour.check_eq("the article's file has 13 bytes, not a page of them", found.size, 13)?;
    tour.check_eq(
        "its digest is the one that is known for these bytes",
        found.sha256.as_str(),
        ARTICLE_SHA256,
    )
}

/// The size and the digest of all bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) size: u64,
    pub(super) sha256: String,
}

/// Reads a file from the first byte to the last.
pub(super) fn digest(path: &Path, progress: &mut Progress) -> Result<Digest, CliError> {
    let mut file = File::open(path).at(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).at(path),
        };
        hasher.update(&buffer[..count]);
        size += count as u64;
        progress.advance(count as u64)?;
    }
    let sha256 = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Digest { size, sha256 })
}

/// What `sha256sum` says; `None` where it is not installed. It gets the file as stdin, so that no
/// name can look like an option.
fn sha256sum(path: &Path) -> Result<Option<String>, CliError> {
    let output = Command::new("sha256sum")
        .stdin(File::open(path).at(path)?)
        .stderr(Stdio::inherit())
        .output();
    match output {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            Ok(Some(text.split_whitespace().next().unwrap_or("nothing").to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).at("sha256sum"),
    }
}
