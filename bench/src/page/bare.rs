//! A bare loop over a submission ring: the least that reads in flight can cost.
#![expect(unsafe_code, reason = "the rival gives the kernel addresses to write to")]

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use io_uring::{IoUring, opcode, types::Fd};

use crate::Result;

/// Reads `size` bytes at each offset, `depth` at once, and adds up what `look` says of each. The
/// buffers are made beforehand and used again.
pub(super) fn ring_loop(
    path: &Path,
    offsets: &[u64],
    size: usize,
    depth: usize,
    look: impl Fn(&[u8]) -> u64,
) -> Result<u64> {
    let file = File::open(path)?;
    let mut ring = IoUring::new(u32::try_from(depth)?.next_power_of_two())?;
    let mut buffers = vec![vec![0u8; size]; depth];
    let mut free: Vec<usize> = (0..depth).collect();
    let mut waiting = offsets.iter();
    let (mut seen, mut out) = (0u64, 0);
    let length = u32::try_from(size)?;
    loop {
        while let Some(&number) = free.last()
            && let Some(&offset) = waiting.next()
        {
            free.pop();
            let to = buffers[number].as_mut_ptr();
            let read = opcode::Read::new(Fd(file.as_raw_fd()), to, length).offset(offset).build();
            // SAFETY: the buffer is not touched, moved or freed until its completion: its number
            // is not free before, and the loop ends when nothing is out. An error on the way ends
            // the program.
            unsafe { ring.submission().push(&read.user_data(number as u64)) }?;
            out += 1;
        }
        if out == 0 {
            return Ok(seen);
        }
        if let Err(error) = ring.submit_and_wait(1) {
            eprintln!("bifolio-bench: the bare ring failed with reads in flight: {error}");
            std::process::abort();
        }
        while let Some(entry) = ring.completion().next() {
            let number = usize::try_from(entry.user_data())?;
            if usize::try_from(entry.result()) != Ok(size) {
                eprintln!("bifolio-bench: the bare ring read {} bytes", entry.result());
                std::process::abort();
            }
            seen = seen.wrapping_add(look(&buffers[number]));
            free.push(number);
            out -= 1;
        }
    }
}
