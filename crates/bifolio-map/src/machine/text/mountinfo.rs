//! `/proc/self/mountinfo`: one line a mount.

use std::path::PathBuf;

use super::lines;
use crate::sys::path_from_bytes;

/// One mount, as far as anybody here wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The number by which `statx` names the mount of a file.
    pub id: u64,
    /// The numbers of the device of its files.
    pub device: (u32, u32),
    /// Which directory of the file system is mounted.
    pub root: PathBuf,
    /// Where.
    pub point: PathBuf,
    /// Options of this mount (`ro`, `noexec`).
    pub options: Vec<String>,
    /// The type (`ext4`, `fuse.sshfs`).
    pub kind: String,
    /// What is mounted: a device, a server's path, any word.
    pub source: String,
    /// Options of the file system (`compress=zstd:3`, `size=64k`).
    pub super_options: Vec<String>,
}

impl Mount {
    /// Whether one of the two lists of options has this word.
    #[must_use]
    pub fn has(&self, option: &str) -> bool {
        self.all_options().any(|found| found == option)
    }

    /// What stands after `name=` in one of the two lists of options.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.all_options().find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
    }

    fn all_options(&self) -> impl Iterator<Item = &str> {
        self.options.iter().chain(&self.super_options).map(String::as_str)
    }
}

/// The mounts in the order in which they were made; lines that are none are left out.
#[must_use]
pub fn parse(text: &[u8]) -> Vec<Mount> {
    lines(text).filter_map(mount).collect()
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`: the optional
/// fields before the dash may be none or several, and fields are never empty.
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ').filter(|field| !field.is_empty());
    let id = super::number(fields.next()?)?;
    let _parent = fields.next()?;
    let device = std::str::from_utf8(fields.next()?).ok()?;
    let (major, minor) = device.split_once(':')?;
    let root = path_from_bytes(&unescaped(fields.next()?));
    let point = path_from_bytes(&unescaped(fields.next()?));
    let options = list(fields.next()?);
    fields.find(|field| *field == b"-")?;
    Some(Mount {
        id,
        device: (major.parse().ok()?, minor.parse().ok()?),
        root,
        point,
        options,
        kind: text(fields.next()?),
        source: text(fields.next()?),
        // Some file systems have none.
        super_options: fields.next().map(list).unwrap_or_default(),
    })
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(&unescaped(field)).into_owned()
}

fn list(field: &[u8]) -> Vec<String> {
    field.split(|byte| *byte == b',').filter(|word| !word.is_empty()).map(text).collect()
}

/// A field without its escapes: blanks, line breaks, backslashes and hash signs are written as a
/// backslash and three octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        let octal = (*first == b'\\').then(|| after.first_chunk::<3>()).flatten();
        let code = octal.and_then(|digits| {
            let in_range = digits.iter().all(|digit| (b'0'..=b'7').contains(digit));
            let value = digits.iter().fold(0u32, |sum, digit| sum * 8 + u32::from(digit & 7));
            u8::try_from(value).ok().filter(|_| in_range)
        });
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const RECORDED: &[u8] = b"22 27 0:21 / /proc rw,relatime - proc proc rw\n\
        27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard,resuid=65534\n\
        28 27 0:25 / /mnt/a\\040b ro,nosuid,nodev shared:7 master:1 - tmpfs no\\134ne ro,size=4k\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n\
        42 31 0:39 /sub /home rw - btrfs /dev/vdb rw,compress=zstd:3,subvol=/sub\n";

    #[test]
    fn mounts_have_their_types_and_options_whatever_stands_before_the_dash() {
        let mounts = parse(RECORDED);
        assert_eq!(mounts.len(), 5);
        assert_eq!((mounts[1].id, mounts[1].device, &*mounts[1].kind), (27, (254, 0), "ext4"));
        assert_eq!(mounts[2].point, Path::new("/mnt/a b"));
        assert_eq!(mounts[2].source, r"no\ne");
        assert!(mounts[2].has("ro") && mounts[2].has("nodev") && !mounts[2].has("size"));
        assert_eq!(mounts[2].value("size"), Some("4k"));
        assert_eq!(mounts[4].value("compress"), Some("zstd:3"));
        assert_eq!(mounts[4].root, Path::new("/sub"));
    }

    #[test]
    fn lines_that_are_none_are_left_out_and_the_others_stay() {
        let text = [
            &b"nonsense\n\n1 2 3:4 / /x rw\n1 2 3 / /x rw - a b c\n"[..],
            RECORDED,
            b"43 31 0:40 / /cut rw -",
        ]
        .concat();
        assert_eq!(parse(&text), parse(RECORDED));
        assert_eq!(parse(b"1 2 3:4 / /x rw - autofs none\n")[0].super_options, [""; 0]);
        assert!(parse(b"").is_empty());
    }

    #[test]
    fn only_three_octal_digits_are_an_escape() {
        assert_eq!(unescaped(br"a\040b\011"), b"a b\t");
        for same in [&br"\04"[..], br"\048", br"\777", br"\", br"\\"] {
            assert_eq!(unescaped(same), same);
        }
    }
}
