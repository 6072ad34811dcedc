//! The queue of a batch: what waits, what is on its way, what has arrived. No system calls, no
//! `unsafe`: it sees a carrier only.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::Completion;
use super::carrier::{Bell, Carrier, Failure, Landed, Order, Wait};
use super::merge::{Request, plan};
use super::plan::BatchPlan;
use crate::error::{Error, ErrorKind};
use crate::section::Section;

/// What the next step of a queue brought.
#[derive(Debug)]
pub(super) enum Next {
    Arrived(Completion),
    /// Reads are on their way, and none has arrived.
    Pending,
    /// Everything that was asked for has been handed out.
    Empty,
}

/// What is told about offsets and ends.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The section, for errors; `None` for memory.
    pub(super) section: Option<Section>,
    /// What is added to a caller's offset to get the carrier's.
    pub(super) origin: u64,
    /// What is added to it to get the section's, for errors.
    pub(super) offset: u64,
}

#[derive(Debug)]
struct Flying {
    request: Request,
    size: usize,
}

#[derive(Debug)]
pub(super) struct Queue {
    carrier: Box<dyn Carrier>,
    place: Place,
    plan: BatchPlan,
    waiting: VecDeque<Request>,
    /// By ticket: as many as may be in flight.
    flying: Vec<Option<Flying>>,
    tickets: Vec<usize>,
    bytes_flying: u64,
    arrived: VecDeque<Completion>,
    /// Buffers that were given back, up to as many as may be in flight.
    spare: Vec<Vec<u8>>,
}

impl Queue {
    pub(super) fn new(carrier: Box<dyn Carrier>, place: Place, plan: BatchPlan) -> Self {
        let depth = plan.depth;
        Self {
            carrier,
            place,
            plan,
            waiting: VecDeque::new(),
            flying: (0..depth).map(|_| None).collect(),
            tickets: (0..depth).rev().collect(),
            bytes_flying: 0,
            arrived: VecDeque::new(),
            spare: Vec::new(),
        }
    }

    /// Adds ranges, and sends off what there is room for.
    pub(super) fn ask(&mut self, wanted: Vec<(usize, Range<u64>)>) {
        let (empty, wanted): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|(_, range)| range.is_empty());
        for (index, range) in empty {
            self.arrived.push_back(Completion { index, range, outcome: Ok(Vec::new()) });
        }
        self.waiting.extend(plan(wanted, self.plan.merge));
        self.send();
        self.carrier.push_off();
    }

    /// A buffer for later reads.
    pub(super) fn give_back(&mut self, mut bytes: Vec<u8>) {
        if self.spare.len() < self.plan.depth {
            bytes.clear();
            self.spare.push(bytes);
        }
    }

    /// The next completion, in the order of arrival.
    pub(super) fn next(&mut self, wait: Wait) -> Next {
        loop {
            // First the device, so that it is busy while the caller looks at what he gets.
            self.send();
            if let Some(completion) = self.arrived.pop_front() {
                return Next::Arrived(completion);
            }
            if self.tickets.len() == self.plan.depth {
                return Next::Empty;
            }
            match self.carrier.land(wait) {
                Some(landed) => self.settle(landed),
                None => return Next::Pending,
            }
        }
    }

    /// Starts what waits, as far as depth and memory allow. What has arrived and was not fetched
    /// counts too, so a caller who does not fetch holds the batch up and not the memory.
    fn send(&mut self) {
        while let Some(request) = self.waiting.front() {
            let size = request.range.end - request.range.start;
            let one = self.tickets.len() == self.plan.depth;
            let room = self.bytes_flying.saturating_add(size) <= self.plan.memory;
            let crowd = self.arrived.len() >= self.plan.depth;
            if self.tickets.is_empty() || crowd || !(one || room) {
                return;
            }
            let (Some(request), Some(ticket)) = (self.waiting.pop_front(), self.tickets.pop())
            else {
                return;
            };
            // Ranges larger than memory were refused when they were asked for.
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            match self.buffer(size) {
                Ok(bytes) => {
                    let offset = self.place.origin + request.range.start;
                    self.bytes_flying += size as u64;
                    self.flying[ticket] = Some(Flying { request, size });
                    self.carrier.start(Order { ticket, offset, bytes, size });
                }
                Err(NoMemory) => {
                    self.tickets.push(ticket);
                    self.fail(request, |place, range| place.no_memory(range));
                }
            }
        }
    }

    fn buffer(&mut self, size: usize) -> Result<Vec<u8>, NoMemory> {
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.try_reserve_exact(size).map_err(|_| NoMemory)?;
        Ok(bytes)
    }

    /// Takes in a read that has come back.
    fn settle(&mut self, landed: Landed) {
        let Landed { ticket, bytes, outcome } = landed;
        let Some(Flying { request, size }) = self.flying[ticket].take() else {
            unreachable!("a carrier gives back the tickets that it was given");
        };
        if matches!(outcome, Ok(1..)) && bytes.len() < size {
            // Not all at once: what is missing is asked for again.
            let offset = self.place.origin + request.range.start + bytes.len() as u64;
            let missing = size - bytes.len();
            self.flying[ticket] = Some(Flying { request, size });
            self.carrier.start(Order { ticket, offset, bytes, size: missing });
            return;
        }
        self.tickets.push(ticket);
        self.bytes_flying -= size as u64;
        match outcome {
            Ok(_) => self.hand_out(request, bytes),
            // Whose bytes failed is found out one by one.
            Err(_) if request.parts.len() > 1 => {
                self.give_back(bytes);
                for single in request.split().rev() {
                    self.waiting.push_front(single);
                }
            }
            Err(failure) => {
                let error = self.place.failed(failure, request.range.start + bytes.len() as u64);
                self.give_back(bytes);
                let (index, range) =
                    request.parts.into_iter().next().expect("a read is for somebody");
                self.arrived.push_back(Completion { index, range, outcome: Err(error) });
            }
        }
    }

    /// Gives each range its bytes, or says where the file ended.
    fn hand_out(&mut self, request: Request, bytes: Vec<u8>) {
        let Request { range: whole, parts } = request;
        let have = whole.start + bytes.len() as u64;
        let single = parts.len() == 1;
        let mut bytes = Some(bytes);
        for (index, range) in parts {
            let outcome = if range.end > have {
                Err(self.place.cut_off(&range, have))
            } else if single {
                Ok(bytes.take().unwrap_or_default())
            } else {
                let start = usize::try_from(range.start - whole.start).unwrap_or(usize::MAX);
                let size = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
                let from = bytes.as_deref().unwrap_or_default();
                match self.buffer(size) {
                    Ok(mut copy) => {
                        copy.extend_from_slice(&from[start..start + size]);
                        Ok(copy)
                    }
                    Err(NoMemory) => Err(self.place.no_memory(&range)),
                }
            };
            self.arrived.push_back(Completion { index, range, outcome });
        }
        if let Some(bytes) = bytes {
            self.give_back(bytes);
        }
    }

    /// What makes a `next` that waits say `Pending`.
    pub(super) fn bell(&mut self) -> Option<Arc<dyn Bell>> {
        self.carrier.bell()
    }

    /// Where its ranges lie, for errors.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Everything that was asked for and not handed out, after its thread has failed: what has
    /// arrived, and errors for the rest. Afterwards it can only be dropped.
    pub(super) fn give_up(&mut self) -> VecDeque<Completion> {
        let flying: Vec<_> = self.flying.iter_mut().filter_map(Option::take).collect();
        let requests = flying.into_iter().map(|flying| flying.request);
        for request in requests.chain(std::mem::take(&mut self.waiting)) {
            self.fail(request, Place::abandoned);
        }
        std::mem::take(&mut self.arrived)
    }

    /// Answers every range of a request with an error.
    fn fail(&mut self, request: Request, error: impl Fn(&Place, &Range<u64>) -> Error) {
        for (index, range) in request.parts {
            let outcome = Err(error(&self.place, &range));
            self.arrived.push_back(Completion { index, range, outcome });
        }
    }
}

struct NoMemory;

impl Place {
    /// The error with the section's path.
    fn tell(&self, error: Error) -> Error {
        match &self.section {
            Some(section) => section.fail(error),
            None => error.at_path("<storage in memory>"),
        }
    }

    fn failed(&self, failure: Failure, at: u64) -> Error {
        match failure {
            Failure::System(error) => {
                self.tell(Error::os("read", error)).at_offset(self.offset + at)
            }
            Failure::View(error) => error,
        }
    }

    fn cut_off(&self, range: &Range<u64>, have: u64) -> Error {
        let clip = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let (done, size) = (have.saturating_sub(range.start), range.end - range.start);
        let at = self.offset + range.start + done;
        match &self.section {
            Some(section) => section.cut_off(at, clip(done), clip(size)),
            None => self.tell(Error::new(ErrorKind::UnexpectedEof, "read").at_offset(at)),
        }
    }

    /// The error of a range whose batch has lost its thread.
    pub(super) fn abandoned(&self, range: &Range<u64>) -> Error {
        self.tell(Error::new(ErrorKind::Io, "read").at_offset(self.offset + range.start))
            .because("the thread that carried out the reads of this batch has panicked")
    }

    fn no_memory(&self, range: &Range<u64>) -> Error {
        let size = range.end - range.start;
        self.tell(Error::new(ErrorKind::OutOfMemory, "read").at_offset(self.offset + range.start))
            .because(format!("no memory for a buffer of {size} bytes"))
    }
}

#[cfg(test)]
mod tests;
