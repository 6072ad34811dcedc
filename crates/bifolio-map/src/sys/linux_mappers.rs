//! The processes that map a file, from `/proc`.

use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Object, name_in_maps};
use crate::residency::{Mapper, Mappers};

/// A line of `/proc/PID/maps`: `55d0-55e0 r-xp 00000000 fe:00 1234   /usr/bin/x`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Area<'a> {
    pub(super) addresses: Range<u64>,
    rights: &'a str,
    device: &'a str,
    inode: u64,
}

impl<'a> Area<'a> {
    /// `None` for other lines.
    pub(super) fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        let addresses = number(start)?..number(end)?;
        let (rights, _offset) = (words.next()?, words.next()?);
        let (device, inode) = (words.next()?, words.next()?.parse().ok()?);
        (rights.len() == 4 && device.contains(':')).then_some(Self {
            addresses,
            rights,
            device,
            inode,
        })
    }

    /// Its file.
    pub(super) fn file(&self) -> (String, u64) {
        (self.device.to_owned(), self.inode)
    }

    fn is_of(&self, file: &(String, u64)) -> bool {
        self.inode == file.1 && self.device == file.0
    }
}

/// Looks through all processes.
pub(crate) fn mappers(object: &Object) -> io::Result<Mappers> {
    let file = name_in_maps(object)?;
    let mut found = Mappers { processes: Vec::new(), unreadable: 0 };
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let place = entry.path();
        match read_lines(&place.join("maps")) {
            Ok(maps) => found.processes.extend(mapper(pid, &place, &maps, &file)),
            // It has ended meanwhile, or is about to.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    || error.raw_os_error() == Some(libc::ESRCH) => {}
            Err(_) => found.unreadable += 1,
        }
    }
    found.processes.sort_by_key(|process| process.pid);
    Ok(found)
}

/// A file of `/proc` with paths in it, which need not be UTF-8: what is asked for stands before
/// them.
pub(super) fn read_lines(path: &Path) -> io::Result<String> {
    fs::read(path).map(|bytes| match String::from_utf8(bytes) {
        Ok(lines) => lines,
        Err(odd) => String::from_utf8_lossy(odd.as_bytes()).into_owned(),
    })
}

/// The process, if it maps the file.
fn mapper(pid: u32, place: &Path, maps: &str, file: &(String, u64)) -> Option<Mapper> {
    let (mut mapped, mut rights) = (0, String::new());
    for area in maps.lines().filter_map(Area::parse).filter(|area| area.is_of(file)) {
        mapped += area.addresses.end.saturating_sub(area.addresses.start);
        for right in "rwxsp".chars().filter(|&right| area.rights.contains(right)) {
            if !rights.contains(right) {
                rights.push(right);
            }
        }
    }
    if mapped == 0 {
        return None;
    }
    let rights = "rwxsp".chars().filter(|&right| rights.contains(right)).collect();
    let smaps = read_lines(&place.join("smaps")).ok();
    let sum = |field| smaps.as_deref().map(|smaps| sum_of(smaps, file, field));
    let name = fs::read(place.join("comm")).unwrap_or_default();
    Some(Mapper {
        pid,
        name: String::from_utf8_lossy(&name).trim_end().to_owned(),
        user: fs::metadata(place).ok()?.uid(),
        mapped,
        resident: sum("Rss:"),
        locked: sum("Locked:"),
        rights,
    })
}

/// The sum in bytes of a field of `/proc/PID/smaps` over the areas of a file.
fn sum_of(smaps: &str, file: &(String, u64), field: &str) -> u64 {
    let (mut sum, mut counts) = (0, false);
    for line in smaps.lines() {
        if let Some(area) = Area::parse(line) {
            counts = area.is_of(file);
        } else if counts && let Some(rest) = line.strip_prefix(field) {
            let kib: u64 = rest.trim().trim_end_matches(" kB").parse().unwrap_or(0);
            sum += kib * 1024;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
7f0000000000-7f0000010000 r-xp 00000000 fe:00 77                         /usr/bin/a b\n\
Size:                 64 kB\nRss:                  16 kB\nLocked:                4 kB\n\
VmFlags: rd ex mr mw me sd\n\
7f0000010000-7f0000020000 rw-p 00010000 fe:00 78                         /usr/bin/c\n\
Rss:                  99 kB\n\
7f0000020000-7f0000021000 r--s 00000000 fe:00 77                         /usr/bin/a b\n\
Rss:                   4 kB\n\
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";

    #[test]
    fn areas_of_one_file_are_summed_and_no_others() {
        let file = ("fe:00".to_owned(), 77);
        let areas: Vec<_> = SMAPS.lines().filter_map(Area::parse).collect();
        assert_eq!(areas.len(), 4);
        assert_eq!((sum_of(SMAPS, &file, "Rss:"), sum_of(SMAPS, &file, "Locked:")), (20480, 4096));
        let found = mapper(1, Path::new("/proc/self"), SMAPS, &file).unwrap();
        assert_eq!((found.mapped, found.rights.as_str()), (0x11000, "rxsp"));
        assert_eq!(mapper(1, Path::new("/proc/self"), SMAPS, &("fe:01".to_owned(), 77)), None);
    }

    #[test]
    fn lines_that_are_no_area_are_none() {
        for line in ["", "Rss: 4 kB", "1-2", "x-y r--p 0 fe:00 1", "1-2 r--p 0 fe00 1", "1-2 r 0 a:b 1"] {
            assert_eq!(Area::parse(line), None, "{line}");
        }
    }
}
