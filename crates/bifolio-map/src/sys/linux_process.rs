//! Processes by `/proc`.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

/// When a process started, in clock ticks since the machine did; `None` if it has ended.
pub(crate) fn process_start(pid: u32) -> io::Result<Option<u64>> {
    match std::fs::read(format!("/proc/{pid}/stat")) {
        Ok(text) => Ok(start_in(&text).ok_or(io::ErrorKind::InvalidData)?),
        // Without a /proc nobody is there, and that says nothing.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::metadata("/proc/self/stat").map(|_| None)
        }
        // It ended between the opening and the reading.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the text says (proc_pid_stat(5)): `PID (COMMAND) STATE ...`, the start is the 22nd field.
/// The command may hold anything, also spaces and parentheses. `None` if it is no such text.
fn start_in(text: &[u8]) -> Option<Option<u64>> {
    let after = text.iter().rposition(|byte| *byte == b')')? + 1;
    let rest = std::str::from_utf8(&text[after..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let start: u64 = fields.nth(18)?.parse().ok()?;
    // A zombie or a dead one runs no more.
    Some((!matches!(state, "Z" | "X" | "x")).then_some(start))
}

/// The PID namespace, together with this start of the machine.
pub(crate) fn process_namespace() -> u64 {
    static FOUND: OnceLock<u64> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let inode = std::fs::metadata("/proc/self/ns/pid").map_or(0, |found| found.ino());
        let boot = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let digits = boot.iter().filter_map(|byte| char::from(*byte).to_digit(16));
        digits.fold(inode, |sum, digit| sum.rotate_left(5) ^ u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_of_any_letters_does_not_hide_the_start() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
        for command in ["cat", "a b) S 1 2", ") R (", ""] {
            let text = format!("77 ({command}) {rest}");
            assert_eq!(start_in(text.as_bytes()), Some(Some(4242)), "{command}");
        }
        let zombie = format!("77 (x) Z{}", &rest[1..]);
        assert_eq!(start_in(zombie.as_bytes()), Some(None));
    }

    #[test]
    fn what_is_no_such_text_says_nothing() {
        for text in ["", "77", "77 (cat", "77 (cat)", "77 (cat) S 1 2", "7 (c) S a b c d e"] {
            assert_eq!(start_in(text.as_bytes()), None, "{text}");
        }
    }
}
