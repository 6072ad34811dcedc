//! Reads by a submission ring of the kernel.
//!
//! ```text
//!   start: a buffer moves into its slot ---> submission queue ---> the kernel may write it
//!   land:  a buffer moves out of its slot <--- completion queue <--- the kernel has let go of it
//! ```
//! The kernel knows a buffer by its address and checks nothing: it writes when the device has
//! answered, whatever has become of the memory. Closing the ring does not stop it either. So a
//! buffer leaves its slot through its completion only. A ring that is dropped with reads on their
//! way is handed, slots and all, to a thread that waits for them.
#![expect(unsafe_code, reason = "gives the kernel addresses to write to")]

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd};
use io_uring::{IoUring, opcode};

use super::unix::{Object, raw};
use crate::flight::Engine;
use crate::flight::carrier::{Bell, Carrier, Failure, Landed, Order, Wait};
use crate::flight::lent::Lent;

/// Whether an engine can be used, by trying it.
pub(crate) fn check_engine(engine: Engine) -> io::Result<()> {
    match engine {
        Engine::IoUring => open_ring(1).map(drop),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Begins reads of an object by an engine.
pub(crate) fn start_engine(
    engine: Engine,
    object: &Object,
    depth: usize,
) -> io::Result<Box<dyn Carrier>> {
    if engine != Engine::IoUring {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(Box::new(Reads::new(Ring::new(object.try_clone()?, depth)?)))
}

/// A handle for reading by calls where those move the cursor: here they do not.
#[expect(clippy::unnecessary_wraps, reason = "other platforms may fail")]
pub(crate) fn own_reader(_object: &Object) -> io::Result<Option<Object>> {
    Ok(None)
}

/// A ring that can read.
fn open_ring(depth: usize) -> io::Result<IoUring> {
    let entries = u32::try_from(depth).map_err(|_| io::ErrorKind::InvalidInput)?;
    let ring = IoUring::new(entries.next_power_of_two())?;
    let mut probe = io_uring::Probe::new();
    // Kernels before 5.6 know neither the question nor the read.
    ring.submitter().register_probe(&mut probe).map_err(|_| io::ErrorKind::Unsupported)?;
    if !probe.is_supported(opcode::Read::CODE) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(ring)
}

/// What the completion of a cancellation is called; no slot has this number.
const CANCEL: u64 = u64::MAX;

/// What the completion of the bell is called.
const BELL: u64 = u64::MAX - 1;

/// A counter of the kernel that a ring listens to.
#[derive(Debug)]
struct Counter(OwnedFd);

impl Bell for Counter {
    fn ring(&self) {
        // Fails only when it has been rung more often than can be counted, so it is rung.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}

/// The most that one read asks for: what the system call would read at most, in whole pages.
const MOST: usize = 1 << 30;

/// How often in a row the kernel may be short of something: some seconds in all.
const MOST_PAUSES: u32 = 200;

/// The longest pause in milliseconds.
const LONGEST_PAUSE: u64 = 32;

/// A read that the kernel may be working on.
struct Slot {
    ticket: usize,
    offset: u64,
    size: usize,
    /// Bytes that were in the buffer before.
    before: usize,
    lent: Lent,
}

struct Ring {
    ring: IoUring,
    /// The entries name its descriptor, so it lives as long as they do.
    object: Object,
    /// By the number that the kernel gives back. Filled: the kernel knows the buffer, or will.
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    /// Entries that the kernel has not been told of.
    unsubmitted: VecDeque<usize>,
    /// Since the kernel last took something.
    pauses: u32,
    bell: Option<Arc<Counter>>,
    /// Whether the kernel has been told to listen, and has not heard anything since.
    listening: bool,
    rung: bool,
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("out", &self.out()).finish_non_exhaustive()
    }
}

impl Ring {
    fn new(object: Object, depth: usize) -> io::Result<Self> {
        let ring = open_ring(depth)?;
        let slots = (0..depth).map(|_| None).collect();
        let free = (0..depth).rev().collect();
        let unsubmitted = VecDeque::new();
        let (pauses, bell, listening, rung) = (0, None, false, false);
        Ok(Self { ring, object, slots, free, unsubmitted, pauses, bell, listening, rung })
    }

    /// Buffers that are in slots.
    fn out(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn start(&mut self, order: Order) {
        let Order { ticket, offset, bytes, size } = order;
        let before = bytes.len();
        let lent = Lent::of(bytes);
        let (to, room) = lent.room();
        let size = size.min(room).min(MOST);
        let number = self.free.pop().expect("no more orders than the ring was made for");
        // The slot is filled first: from here on only its completion empties it.
        self.slots[number] = Some(Slot { ticket, offset, size, before, lent });
        let length = u32::try_from(size).expect("no more than a gigabyte");
        let read = opcode::Read::new(Fd(raw(&self.object)), to, length).offset(offset).build();
        let read = read.user_data(number as u64);
        // SAFETY: the entry's address is the spare room of a vector that lies in a slot, `length`
        // bytes and no more. A slot is emptied by `land` when the kernel has completed the read,
        // which is its word that it writes no more; nothing else takes buffers out of slots, and
        // neither dropping nor forgetting a ring or a `Lent` frees them.
        let pushed = unsafe { self.ring.submission().push(&read) };
        // As many entries as slots, and each entry has one.
        pushed.expect("a queue that is as long as its orders");
        self.unsubmitted.push_back(number);
        if self.unsubmitted.len() * 4 >= self.slots.len() {
            // Who fetches slowly should find the device at work all the same. What goes wrong here
            // goes wrong in `land` again, which tells.
            let _ = self.submit(0);
        }
    }

    /// Tells the kernel of what is new, and waits for `want` completions.
    fn submit(&mut self, want: usize) -> io::Result<()> {
        let taken = self.ring.submit_and_wait(want)?;
        // In the order in which they were pushed. (The count may include a cancellation.)
        self.unsubmitted.drain(..taken.min(self.unsubmitted.len()));
        self.pauses = 0;
        Ok(())
    }

    /// As `submit`, and also done when the kernel cannot just now: interrupted, or short of memory
    /// or room. Who waits pauses then, so that it finds some; when that has taken seconds, it is an
    /// error like others.
    fn submit_or_pause(&mut self, want: usize) -> io::Result<()> {
        let Err(error) = self.submit(want) else { return Ok(()) };
        match error.raw_os_error() {
            Some(libc::EINTR) => Ok(()),
            Some(libc::EAGAIN | libc::EBUSY) if want == 0 => Ok(()),
            Some(libc::EAGAIN | libc::EBUSY) if self.pauses < MOST_PAUSES => {
                let pause = 1 << self.pauses.min(LONGEST_PAUSE.ilog2());
                self.pauses += 1;
                std::thread::sleep(Duration::from_millis(pause));
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// Has the kernel listen to the bell, if there is one.
    fn listen(&mut self) {
        let Some(bell) = self.bell.as_ref().filter(|_| !self.listening) else { return };
        let readable = u32::from(libc::POLLIN.unsigned_abs());
        let poll = opcode::PollAdd::new(Fd(bell.0.as_raw_fd()), readable).build().user_data(BELL);
        if self.ring.submission().is_full() {
            let _ = self.submit(0);
        }
        // SAFETY: the entry has no address.
        if unsafe { self.ring.submission().push(&poll) }.is_ok() {
            self.unsubmitted.push_back(self.slots.len());
            self.listening = true;
        }
    }

    /// The bell was heard, or the kernel has stopped listening.
    fn heard(&mut self) {
        (self.listening, self.rung) = (false, true);
        if let Some(bell) = &self.bell {
            // Back to zero; that it is zero already is no harm.
            let _ = rustix::io::read(&bell.0, &mut [0; 8]);
        }
    }

    /// A read that the kernel has completed.
    fn completed(&mut self) -> Option<(Slot, i32)> {
        loop {
            let entry = self.ring.completion().next()?;
            match entry.user_data() {
                CANCEL => continue,
                BELL => {
                    self.heard();
                    continue;
                }
                _ => {}
            }
            let number = usize::try_from(entry.user_data()).expect("the number of a slot");
            let slot = self.slots[number].take().expect("one completion for each read");
            self.free.push(number);
            return Some((slot, entry.result()));
        }
    }

    /// Asks the kernel to give up what it has not begun. Without that, or on kernels before 5.19,
    /// the reads simply run to their end.
    fn cancel(&mut self) {
        // First what it has not been told of: an entry cannot be taken back, so it has to be
        // completed like the others.
        let _ = self.submit(0);
        let cancel = opcode::AsyncCancel2::new(CancelBuilder::any()).build().user_data(CANCEL);
        // SAFETY: the entry has no address.
        if unsafe { self.ring.submission().push(&cancel) }.is_ok() {
            let _ = self.submit(0);
        }
    }

    /// Waits until the kernel has let go of every buffer.
    fn drain(&mut self) {
        while self.out() > 0 {
            while let Some((slot, _)) = self.completed() {
                release(slot);
            }
            if self.out() > 0 && self.submit_or_pause(1).is_err() {
                return; // the slots stay filled, and are leaked
            }
        }
    }
}

/// Frees the buffer of a completed read that nobody waits for.
fn release(slot: Slot) {
    // SAFETY: the read is complete; what it wrote is not looked at.
    let bytes = unsafe { slot.lent.land(0) };
    #[cfg(test)]
    tests::inspect(bytes);
    #[cfg(not(test))]
    drop(bytes);
}

/// Reads of one object by a ring.
#[derive(Debug)]
struct Reads {
    /// `None` only in `drop`.
    ring: Option<Ring>,
    /// What is read by calls, one by one, since the ring itself failed. Nothing is asked of it after
    /// that.
    by_call: Option<VecDeque<Order>>,
}

impl Reads {
    fn new(ring: Ring) -> Self {
        Self { ring: Some(ring), by_call: None }
    }

    fn ring(&mut self) -> &mut Ring {
        self.ring.as_mut().expect("a ring until it is dropped")
    }

    /// What became of a read, or `None` if it was started again.
    fn landed(&mut self, slot: Slot, result: i32) -> Option<Landed> {
        let Slot { ticket, offset, size, lent, .. } = slot;
        let written = usize::try_from(result).unwrap_or(0);
        // SAFETY: the read is complete, and the kernel says how many bytes it wrote.
        let mut bytes = unsafe { lent.land(written) };
        let outcome = match result {
            0.. => Ok(written),
            _ => match -result {
                // The thread that submitted it has ended, and the kernel gives up its reads.
                libc::ECANCELED | libc::EINTR => {
                    self.ring().start(Order { ticket, offset, bytes, size });
                    return None;
                }
                // The kernel would have to wait and was told not to (the file is open with
                // `O_NONBLOCK`); an ordinary read of a file waits all the same.
                libc::EAGAIN => read_by_call(&self.ring().object, offset, &mut bytes, size),
                code => Err(io::Error::from_raw_os_error(code)),
            },
        };
        Some(Landed { ticket, bytes, outcome: outcome.map_err(Failure::System) })
    }

    /// After the ring itself failed: what it had is read again, into other buffers. Those that it had
    /// stay in their slots, since nobody knows what the kernel does with them.
    fn give_up(&mut self) {
        let out = self.ring().slots.iter().flatten();
        let again = out.map(|slot| Order {
            ticket: slot.ticket,
            // What an earlier read had brought is in the buffer that stays.
            offset: slot.offset - slot.before as u64,
            bytes: Vec::new(),
            size: slot.before + slot.size,
        });
        self.by_call = Some(again.collect());
    }
}

/// Appends up to `size` bytes from `offset` by a call; how many.
fn read_by_call(
    object: &Object,
    offset: u64,
    bytes: &mut Vec<u8>,
    size: usize,
) -> io::Result<usize> {
    let start = bytes.len();
    bytes.try_reserve_exact(size).map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes.resize(start + size, 0);
    let outcome = super::read_at(object, offset, &mut bytes[start..]);
    bytes.truncate(start + *outcome.as_ref().unwrap_or(&0));
    outcome
}

impl Carrier for Reads {
    fn start(&mut self, order: Order) {
        match &mut self.by_call {
            None => self.ring().start(order),
            Some(orders) => orders.push_back(order),
        }
    }

    fn push_off(&mut self) {
        if self.by_call.is_none() && !self.ring().unsubmitted.is_empty() {
            // What goes wrong here goes wrong in `land` again, which tells.
            let _ = self.ring().submit(0);
        }
    }

    fn land(&mut self, wait: Wait) -> Option<Landed> {
        loop {
            if let Some(orders) = &mut self.by_call {
                let Order { ticket, offset, mut bytes, size } = orders.pop_front()?;
                let outcome = read_by_call(&self.ring().object, offset, &mut bytes, size);
                return Some(Landed { ticket, bytes, outcome: outcome.map_err(Failure::System) });
            }
            while let Some((slot, result)) = self.ring().completed() {
                if let Some(landed) = self.landed(slot, result) {
                    return Some(landed);
                }
            }
            let want = usize::from(wait == Wait::Yes);
            let rung = std::mem::take(&mut self.ring().rung);
            if want == 1 {
                if rung {
                    return None;
                }
                self.ring().listen();
            } else if self.ring().unsubmitted.is_empty() {
                return None;
            }
            if self.ring().submit_or_pause(want).is_err() {
                self.give_up();
            } else if want == 0 {
                let (slot, result) = self.ring().completed()?;
                return self.landed(slot, result);
            }
        }
    }

    fn bell(&mut self) -> Option<Arc<dyn Bell>> {
        use rustix::event::{EventfdFlags, eventfd};
        let counter = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?;
        let bell = Arc::new(Counter(counter));
        self.ring().bell = Some(Arc::clone(&bell));
        Some(bell)
    }
}

impl Drop for Reads {
    /// Does not wait: what is on its way is left to a thread.
    fn drop(&mut self) {
        let Some(mut ring) = self.ring.take() else { return };
        #[cfg(test)]
        if tests::FREES_WHAT_IS_ON_ITS_WAY.get() {
            ring.slots.iter_mut().filter_map(Option::take).for_each(release);
            return tests::keep(ring);
        }
        if ring.out() == 0 {
            return;
        }
        ring.cancel();
        let thread = std::thread::Builder::new().name("bifolio-drain".into()).stack_size(64 << 10);
        // Without a thread the buffers are leaked: the closure is dropped, and slots free nothing.
        let _ = thread.spawn(move || ring.drain());
    }
}

#[cfg(test)]
mod tests;
