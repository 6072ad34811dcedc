//! Overlapped reads with a completion port.
//!
//! The system writes two things when the device has answered: the buffer, and the record of the
//! call (`OVERLAPPED`). Both lie in one block, a flight, which belongs to nobody while it is out:
//! its address is with the system only, comes back with the completion, and becomes a box again by
//! it. Closing the handles does not end a flight. So a port that is dropped with flights out is
//! handed to a thread that waits for them.
#![expect(unsafe_code, reason = "gives the system addresses to write to")]

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use std::sync::Arc;

use windows_sys::Win32::Foundation as codes;
use windows_sys::Win32::Storage::FileSystem as files;
use windows_sys::Win32::System::IO as calls;

use super::Object;
use super::windows::{check, halves, is_code};
use crate::flight::Engine;
use crate::flight::carrier::{Bell, Carrier, Failure, Landed, Order, Wait};
use crate::flight::lent::Lent;

/// Whether an engine can be used, by trying it.
pub(crate) fn check_engine(engine: Engine) -> io::Result<()> {
    match engine {
        Engine::Overlapped => new_port(codes::INVALID_HANDLE_VALUE).map(drop),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Begins reads of an object by an engine.
pub(crate) fn start_engine(
    engine: Engine,
    object: &Object,
    _depth: usize,
) -> io::Result<Box<dyn Carrier>> {
    let (Engine::Overlapped, Object::File(file)) = (engine, object) else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    // Whether calls overlap is a matter of the handle.
    let file = reopen(file, files::FILE_FLAG_OVERLAPPED)?;
    let port = new_port(file.as_raw_handle())?;
    Ok(Box::new(Reads::new(file, port)))
}

/// A handle for reading by calls, which move its cursor; that of a caller's handle stays.
pub(crate) fn own_reader(object: &Object) -> io::Result<Option<Object>> {
    match object {
        Object::File(file) => reopen(file, 0).map(|file| Some(Object::File(file))),
        Object::PageFile(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Another handle on the same file, for reading.
fn reopen(file: &File, flags: u32) -> io::Result<File> {
    let share = files::FILE_SHARE_READ | files::FILE_SHARE_WRITE | files::FILE_SHARE_DELETE;
    let (from, access) = (file.as_raw_handle(), files::FILE_GENERIC_READ);
    // SAFETY: an open handle and numbers.
    let handle = unsafe { files::ReOpenFile(from, access, share, flags) };
    if handle == codes::INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle was made by the call and nobody else has it.
    Ok(unsafe { File::from_raw_handle(handle) })
}

/// A port, for the calls of a handle, or for none.
fn new_port(handle: codes::HANDLE) -> io::Result<OwnedHandle> {
    // SAFETY: a handle or the value for none, and numbers.
    let port = unsafe { calls::CreateIoCompletionPort(handle, ptr::null_mut(), 0, 1) };
    if port.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle was made by the call and nobody else has it.
    Ok(unsafe { OwnedHandle::from_raw_handle(port) })
}

/// A read that the system may be working on.
#[repr(C)]
struct Flight {
    /// First, so that its address is the flight's.
    record: calls::OVERLAPPED,
    ticket: usize,
    offset: u64,
    size: usize,
    lent: Lent,
}

/// The most that one read asks for.
const MOST: usize = 1 << 30;

/// Completions that stand for no read.
#[derive(Debug)]
struct Post(Arc<OwnedHandle>);

impl Bell for Post {
    fn ring(&self) {
        // SAFETY: an open port and numbers; there is no record.
        unsafe { calls::PostQueuedCompletionStatus(self.0.as_raw_handle(), 0, 0, ptr::null()) };
    }
}

#[derive(Debug)]
struct Port {
    file: File,
    port: Arc<OwnedHandle>,
    /// Flights that are out.
    out: usize,
}

impl Port {
    /// Sends a flight off; gives it back if the system does not take it.
    fn start(&mut self, order: Order) -> Result<(), (Box<Flight>, io::Error)> {
        let Order { ticket, offset, bytes, size } = order;
        let lent = Lent::of(bytes);
        let (to, room) = lent.room();
        let size = size.min(room).min(MOST);
        let mut record = calls::OVERLAPPED::default();
        let (high, low) = halves(offset);
        record.Anonymous.Anonymous = calls::OVERLAPPED_0_0 { Offset: low, OffsetHigh: high };
        let flight = Box::into_raw(Box::new(Flight { record, ticket, offset, size, lent }));
        let length = u32::try_from(size).expect("no more than a gigabyte");
        let handle = self.file.as_raw_handle();
        // SAFETY: `to` is the spare room of a vector that lies in the flight, `length` bytes and no
        // more, and the record lies there too. The flight is a box that nobody has: it is taken up
        // by `landed` when the system has completed the call, which is its word that it writes no
        // more, or below when it has not begun it. A flight is the record's address, by `repr(C)`.
        let taken = check(unsafe {
            files::ReadFile(handle, to, length, ptr::null_mut(), flight.cast::<calls::OVERLAPPED>())
        });
        match taken {
            Err(error) if !is_code(&error, codes::ERROR_IO_PENDING) => {
                // SAFETY: the system has not taken it, so it is ours as it was.
                Err((unsafe { Box::from_raw(flight) }, error))
            }
            // Done or not, the completion comes to the port.
            _ => {
                #[cfg(test)]
                tests::note(flight);
                self.out += 1;
                Ok(())
            }
        }
    }

    /// A flight that the system has completed, and what became of it; `None` if there is none yet,
    /// or for a completion that stands for none.
    fn completed(&mut self, wait: Wait) -> io::Result<Option<(Box<Flight>, io::Result<usize>)>> {
        const FOR_EVER: u32 = u32::MAX;
        let mut entry = calls::OVERLAPPED_ENTRY::default();
        let mut count = 0;
        let patience = if wait == Wait::Yes { FOR_EVER } else { 0 };
        // SAFETY: room for one entry, and a number for how many there are.
        let taken = check(unsafe {
            let port = self.port.as_raw_handle();
            calls::GetQueuedCompletionStatusEx(port, &raw mut entry, 1, &raw mut count, patience, 0)
        });
        match taken {
            Err(error) if is_code(&error, codes::WAIT_TIMEOUT) => return Ok(None),
            Err(error) => return Err(error),
            Ok(()) if count == 0 || entry.lpOverlapped.is_null() => return Ok(None),
            Ok(()) => {}
        }
        let mut size = 0;
        // SAFETY: the record of a call on this handle, which is complete and not taken up yet.
        let outcome = check(unsafe {
            let handle = self.file.as_raw_handle();
            calls::GetOverlappedResult(handle, entry.lpOverlapped, &raw mut size, 0)
        });
        self.out -= 1;
        // SAFETY: the port gives back each address that `start` gave away once, when the system has
        // done with it; the record is the flight's first field.
        let flight = unsafe { Box::from_raw(entry.lpOverlapped.cast::<Flight>()) };
        Ok(Some((flight, outcome.map(|()| size as usize))))
    }

    /// Waits until the system has let go of every buffer.
    fn drain(&mut self) {
        while self.out > 0 {
            match self.completed(Wait::Yes) {
                Ok(Some((flight, _))) => release(*flight),
                Ok(None) => {}
                Err(_) => return, // what is out is leaked
            }
        }
    }
}

/// Frees the buffer of a completed read that nobody waits for.
fn release(flight: Flight) {
    // SAFETY: the read is complete; what it wrote is not looked at.
    let bytes = unsafe { flight.lent.land(0) };
    #[cfg(test)]
    tests::inspect(bytes);
    #[cfg(not(test))]
    drop(bytes);
}

/// Overlapped reads of one file.
#[derive(Debug)]
struct Reads {
    /// `None` only in `drop`.
    port: Option<Port>,
    /// Tickets of the flights that are out.
    out: Vec<usize>,
    /// What the system said when the port itself failed. Nothing is asked of it after that.
    dead: Option<i32>,
    /// Reads that the system did not take, or that are told that the port failed.
    failed: VecDeque<Landed>,
}

impl Reads {
    fn new(file: File, port: OwnedHandle) -> Self {
        let port = Some(Port { file, port: Arc::new(port), out: 0 });
        Self { port, out: Vec::new(), dead: None, failed: VecDeque::new() }
    }

    /// After the port itself failed: every read is told. What is out is leaked, since nobody knows
    /// when the system has done with it.
    fn give_up(&mut self, error: &io::Error) {
        let code = error.raw_os_error().unwrap_or(codes::ERROR_INVALID_HANDLE.cast_signed());
        self.dead = Some(code);
        let told = self.out.drain(..).map(|ticket| refused(ticket, Vec::new(), code));
        self.failed.extend(told);
    }

    fn port(&mut self) -> &mut Port {
        self.port.as_mut().expect("a port until it is dropped")
    }
}

/// A read that a failed port does not carry out.
fn refused(ticket: usize, bytes: Vec<u8>, code: i32) -> Landed {
    let outcome = Err(Failure::System(io::Error::from_raw_os_error(code)));
    Landed { ticket, bytes, outcome }
}

/// What became of a read that the system has completed, or did not begin.
fn landed(flight: Flight, outcome: io::Result<usize>) -> Landed {
    let Flight { ticket, lent, .. } = flight;
    let written = *outcome.as_ref().unwrap_or(&0);
    // SAFETY: the read is complete or was not begun, and the system says how many bytes it wrote.
    let bytes = unsafe { lent.land(written) };
    let outcome = match outcome {
        Err(error) if is_code(&error, codes::ERROR_HANDLE_EOF) => Ok(0),
        outcome => outcome.map_err(Failure::System),
    };
    Landed { ticket, bytes, outcome }
}

impl Carrier for Reads {
    fn start(&mut self, order: Order) {
        let ticket = order.ticket;
        if let Some(code) = self.dead {
            return self.failed.push_back(refused(ticket, order.bytes, code));
        }
        match self.port().start(order) {
            Ok(()) => self.out.push(ticket),
            Err((flight, error)) => self.failed.push_back(landed(*flight, Err(error))),
        }
    }

    fn push_off(&mut self) {}

    fn land(&mut self, wait: Wait) -> Option<Landed> {
        loop {
            if let Some(failed) = self.failed.pop_front() {
                return Some(failed);
            }
            if self.dead.is_some() {
                return None;
            }
            let (flight, outcome) = match self.port().completed(wait) {
                Ok(Some(completed)) => completed,
                Ok(None) => return None,
                Err(error) => {
                    self.give_up(&error);
                    continue;
                }
            };
            self.out.retain(|&ticket| ticket != flight.ticket);
            match outcome {
                // The system gave it up, and nobody asked it to: a thread ended.
                Err(error) if is_code(&error, codes::ERROR_OPERATION_ABORTED) => {
                    let (offset, size) = (flight.offset, flight.size);
                    let Landed { ticket, bytes, .. } = landed(*flight, Ok(0));
                    self.start(Order { ticket, offset, bytes, size });
                }
                outcome => return Some(landed(*flight, outcome)),
            }
        }
    }

    fn bell(&mut self) -> Option<Arc<dyn Bell>> {
        Some(Arc::new(Post(Arc::clone(&self.port().port))))
    }
}

impl Drop for Reads {
    /// Does not wait: what is out is left to a thread.
    fn drop(&mut self) {
        let Some(mut port) = self.port.take() else { return };
        #[cfg(test)]
        if tests::FREES_WHAT_IS_ON_ITS_WAY.get() {
            return tests::free_at_once(port);
        }
        if port.out == 0 {
            return;
        }
        // SAFETY: an open handle; without a record all its calls are meant. What cannot be given
        // up runs to its end.
        unsafe { calls::CancelIoEx(port.file.as_raw_handle(), ptr::null()) };
        let thread = std::thread::Builder::new().name("bifolio-drain".into()).stack_size(64 << 10);
        // Without a thread what is out is leaked: nobody has the addresses any more.
        let _ = thread.spawn(move || port.drain());
    }
}

#[cfg(test)]
mod tests;
