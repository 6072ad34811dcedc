//! The saved resident set, as `FORMAT.md` of this crate describes it.

use std::io::{BufRead, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bifolio::map::page_size;
use bifolio::map::residency::CachedFile;
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

use crate::exit::Exit;
use crate::failure::CliError;
use crate::output::{hex, path_bytes};

/// The first field of the head.
pub(super) const FORMAT: &str = "bifolio residency";
pub(super) const VERSION: u64 = 1;
/// The longest line: a hostile one must not take all memory.
const MOST_LINE: u64 = 256 << 20;

/// What was saved of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    /// Bytes, in order.
    pub(super) resident: Vec<Range<u64>>,
}

/// By what a file is known again, also after the machine was started anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    length: u64,
    /// Seconds since 1970 and nanoseconds.
    modified: Option<(i64, u32)>,
    file: u128,
}

impl Identity {
    pub(super) fn of(file: &CachedFile) -> Self {
        Self { length: file.len(), modified: file.modified().map(since_1970), file: file.id().file }
    }
}

fn since_1970(time: SystemTime) -> (i64, u32) {
    let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => (seconds(after), after.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            match before.subsec_nanos() {
                0 => (-seconds(before), 0),
                nanos => (-seconds(before) - 1, 1_000_000_000 - nanos),
            }
        }
    }
}

impl Entry {
    pub(super) fn bytes(&self) -> u64 {
        self.resident.iter().map(|run| run.end - run.start).sum()
    }

    fn json(&self) -> Json {
        let mut object = Map::new();
        match self.path.to_str() {
            Some(path) => object.insert("path".into(), path.into()),
            None => object.insert("path_hex".into(), hex(&path_bytes(&self.path)).into()),
        };
        object.insert("length".into(), self.identity.length.into());
        if let Some((seconds, nanos)) = self.identity.modified {
            object.insert("modified".into(), json!([seconds, nanos]));
        }
        object.insert("file".into(), format!("{:x}", self.identity.file).into());
        let runs: Vec<Json> =
            self.resident.iter().map(|run| json!([run.start, run.end - run.start])).collect();
        object.insert("resident".into(), runs.into());
        object.into()
    }

    /// Reads a line; a reason if it is none of ours.
    fn parse(object: &Map<String, Json>) -> Result<Self, String> {
        let path = match (object.get("path"), object.get("path_hex")) {
            (Some(path), None) => path.as_str().ok_or("`path` is no text")?.into(),
            (None, Some(digits)) => {
                let digits = digits.as_str().ok_or("`path_hex` is no text")?;
                path_of(&bytes_of(digits).ok_or("`path_hex` is not hexadecimal")?)
                    .ok_or("`path_hex` is no path here")?
            }
            _ => return Err("a file has either `path` or `path_hex`".into()),
        };
        let length = number(object, "length")?;
        let modified = match object.get("modified") {
            None => None,
            Some(time) => Some(time_of(time).ok_or("`modified` is not [seconds, nanoseconds]")?),
        };
        let file = object.get("file").and_then(Json::as_str).ok_or("`file` is no text")?;
        let file = u128::from_str_radix(file, 16).map_err(|_| "`file` is not hexadecimal")?;
        let mut resident: Vec<Range<u64>> = Vec::new();
        for run in object.get("resident").and_then(Json::as_array).ok_or("`resident` is no list")? {
            let run = run_of(run).ok_or("a run is not [offset, size]")?;
            let after = resident.last().is_none_or(|last| last.end < run.start);
            if !after || run.start >= run.end || run.end > length {
                return Err(format!(
                    "the run {}..{} is empty, out of order, or past the end at {length}",
                    run.start, run.end
                ));
            }
            resident.push(run);
        }
        Ok(Self { path, identity: Identity { length, modified, file }, resident })
    }
}

fn number(object: &Map<String, Json>, field: &str) -> Result<u64, String> {
    object.get(field).and_then(Json::as_u64).ok_or_else(|| format!("`{field}` is no number"))
}

fn time_of(time: &Json) -> Option<(i64, u32)> {
    let [seconds, nanos] = time.as_array()?.as_slice() else { return None };
    let nanos = u32::try_from(nanos.as_u64()?).ok().filter(|&nanos| nanos < 1_000_000_000)?;
    Some((seconds.as_i64()?, nanos))
}

fn run_of(run: &Json) -> Option<Range<u64>> {
    let [offset, size] = run.as_array()?.as_slice() else { return None };
    let offset = offset.as_u64()?;
    Some(offset..offset.checked_add(size.as_u64()?)?)
}

fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| {
        let digit = |letter: u8| char::from(letter).to_digit(16);
        u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()
    };
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere paths are text")]
fn path_of(bytes: &[u8]) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    Some(std::ffi::OsStr::from_bytes(bytes).into())
}

#[cfg(not(unix))]
fn path_of(bytes: &[u8]) -> Option<PathBuf> {
    std::str::from_utf8(bytes).ok().map(Into::into)
}

/// Writes the whole set.
pub(super) fn write(
    out: &mut dyn Write,
    saved: SystemTime,
    entries: &[Entry],
) -> Result<(), CliError> {
    let mut hasher = Sha256::new();
    let mut line = |json: &Json| -> Result<(), CliError> {
        let text = format!("{json}\n");
        hasher.update(text.as_bytes());
        Ok(out.write_all(text.as_bytes())?)
    };
    line(&json!({
        "format": FORMAT,
        "version": VERSION,
        "page_size": page_size(),
        "saved": crate::output::Value::Time(saved).json(),
    }))?;
    for entry in entries {
        line(&entry.json())?;
    }
    let end = json!({
        "end": true,
        "files": entries.len(),
        "resident": entries.iter().map(Entry::bytes).sum::<u64>(),
        "sha256": hex(&hasher.finalize()),
    });
    Ok(writeln!(out, "{end}")?)
}

/// Reads the whole set, or nothing of it.
pub(super) fn read(input: &mut dyn BufRead) -> Result<Vec<Entry>, CliError> {
    let mut hasher = Sha256::new();
    let mut entries: Vec<Entry> = Vec::new();
    let mut number = 0_u64;
    loop {
        number += 1;
        let damaged = |why: &str| CliError::new(Exit::Corrupt, format!("line {number}: {why}"));
        let line = next_line(input)?.map_err(damaged)?;
        if line.is_empty() {
            return Err(damaged("it ends before its end"));
        }
        let object: Json =
            serde_json::from_slice(&line).map_err(|error| damaged(&error.to_string()))?;
        let object = object.as_object().ok_or_else(|| damaged("it is no JSON object"))?;
        if number == 1 {
            check_head(object).map_err(|why| damaged(&why))?;
        } else if object.contains_key("end") {
            check_end(object, &entries, &hex(&hasher.finalize())).map_err(damaged)?;
            if !next_line(input)?.map_err(damaged)?.is_empty() {
                return Err(damaged("something follows the end"));
            }
            return Ok(entries);
        } else {
            entries.push(Entry::parse(object).map_err(|why| damaged(&why))?);
        }
        hasher.update(&line);
    }
}

/// A line with its end; nothing at the end of the file. A reason if it is too long.
fn next_line(input: &mut dyn BufRead) -> Result<Result<Vec<u8>, &'static str>, CliError> {
    let mut line = Vec::new();
    let size = std::io::Read::take(&mut *input, MOST_LINE).read_until(b'\n', &mut line)?;
    Ok(match line.last() {
        Some(b'\n') | None => Ok(line),
        Some(_) if size as u64 >= MOST_LINE => Err("it is longer than any line of ours"),
        Some(_) => Err("it is cut off"),
    })
}

fn check_head(object: &Map<String, Json>) -> Result<(), String> {
    if object.get("format").and_then(Json::as_str) != Some(FORMAT) {
        return Err("this is no saved resident set".into());
    }
    match number(object, "version")? {
        VERSION => Ok(()),
        other => Err(format!("version {other} is not known here, only {VERSION}")),
    }
}

fn check_end(
    object: &Map<String, Json>,
    entries: &[Entry],
    sha256: &str,
) -> Result<(), &'static str> {
    let sum = entries.iter().try_fold(0_u64, |sum, entry| sum.checked_add(entry.bytes()));
    let is = |field: &str, value: u64| object.get(field).and_then(Json::as_u64) == Some(value);
    if object.get("sha256").and_then(Json::as_str) != Some(sha256) {
        return Err("the checksum is not that of the lines before it");
    }
    if !is("files", entries.len() as u64) || !sum.is_some_and(|sum| is("resident", sum)) {
        return Err("the counts are not those of the lines before it");
    }
    Ok(())
}

#[cfg(test)]
#[path = "saved_tests.rs"]
mod tests;
