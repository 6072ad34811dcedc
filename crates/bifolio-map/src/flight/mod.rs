//! Many reads in flight: batches of ranges whose bytes come as the device supplies them.
//!
//! An access through a view waits for its page, so a thread that wants cold pages here and there
//! gets them one by one, while the device could bring many at once. A [`Batch`] asks for all of
//! them and hands out each as it arrives: to a loop that waits, or to a task that is polled.
//!
//! Buffers belong to whoever may write them: one moves in with a read and moves out with its
//! [`Completion`]. So a batch can be dropped, forgotten or unwound at any time. Dropping it does
//! not wait: what is on its way lands in buffers that nobody else has, and is freed then.
//!
//! ```
//! use bifolio_map::{Read, Section, View};
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("words");
//! # std::fs::write(&path, vec![7u8; 1 << 20]).unwrap();
//! let view: View<Read> = Section::open(&path)?.view()?;
//! let mut sum = 0u64;
//! for completion in view.read_batch([900_000..900_100, 5..10, 4096..8192])? {
//!     // In the order of arrival; `index` says which range it is.
//!     assert!(completion.index() < 3);
//!     sum += completion.into_bytes()?.iter().map(|&byte| u64::from(byte)).sum::<u64>();
//! }
//! assert_eq!(sum, 7 * (100 + 5 + 4096));
//! # Ok::<(), bifolio_map::Error>(())
//! ```

mod begin;
pub(crate) mod carrier;
mod driver;
pub(crate) mod lent;
mod merge;
mod plan;
mod queue;
mod threads;

use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

pub use plan::{BatchPlan, Engine, Merge};

use crate::error::{Error, Result};
use carrier::Wait;
use driver::Driver;
use queue::{Next, Queue};

/// One range of a batch that has been read, or could not be.
#[derive(Debug)]
#[must_use]
pub struct Completion {
    index: usize,
    range: Range<u64>,
    outcome: Result<Vec<u8>>,
}

impl Completion {
    /// Which range it is, counted from 0 in the order in which they were asked for.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// The range, as it was asked for.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// The bytes: as many as the range has.
    ///
    /// # Errors
    /// What kept this range from being read: `UnexpectedEof` if the file ends before it does,
    /// `StorageFault` if the device cannot supply it. Other ranges are not concerned.
    pub fn bytes(&self) -> Result<&[u8], &Error> {
        self.outcome.as_deref()
    }

    /// The buffer with the bytes, for keeping, or for [giving back](Batch::give_back).
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes).
    pub fn into_bytes(self) -> Result<Vec<u8>> {
        self.outcome
    }
}

/// Reads in flight. An iterator over [`Completion`]s in the order of arrival; for tasks that do not
/// wait a [stream](futures_core::Stream).
///
/// It comes from [`View::read_batch`](crate::View::read_batch) or
/// [`Section::read_batch`](crate::Section::read_batch). The first reads are on their way when it
/// is made; others follow as completions are fetched, so that there are never more in flight, nor
/// more buffers, than the [plan](BatchPlan) says.
///
/// A batch belongs to the process that began it. In a forked child it can be dropped, which does
/// nothing, and not be used.
#[derive(Debug)]
#[must_use = "a batch that is dropped is cancelled"]
pub struct Batch {
    /// `None` only while it changes hands and in `drop`.
    hands: Option<Hands>,
    engine: Engine,
    depth: usize,
    limit: begin::Limit,
    asked: usize,
    handed_out: usize,
    /// The process that began it.
    home: u32,
}

#[derive(Debug)]
enum Hands {
    Ours(Box<Queue>),
    Thread(Driver),
}

impl Batch {
    /// What carries out the reads.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Ranges that were asked for and not handed out yet.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.asked - self.handed_out
    }

    /// Asks for one more range; its index. For walks whose next step stands in what was read.
    ///
    /// # Errors
    /// `OutOfBounds`, `OutOfMemory` for a range that no buffer can hold.
    ///
    /// # Panics
    /// In a forked child.
    pub fn push(&mut self, range: Range<u64>) -> Result<usize> {
        self.at_home();
        let range = self.limit.check(range)?;
        let index = self.asked;
        self.asked += 1;
        match self.hands() {
            Hands::Ours(queue) => queue.ask(vec![(index, range)]),
            Hands::Thread(driver) => driver.ask(vec![(index, range)]),
        }
        Ok(index)
    }

    /// Hands a buffer back, of whatever origin, for a later read: so a long batch allocates no
    /// more than it has in flight.
    ///
    /// # Panics
    /// In a forked child.
    pub fn give_back(&mut self, bytes: Vec<u8>) {
        self.at_home();
        match self.hands() {
            Hands::Ours(queue) => queue.give_back(bytes),
            Hands::Thread(driver) => driver.give_back(bytes),
        }
    }

    /// The next completion if there is one; otherwise the task is woken when there is. `None` when
    /// every range was handed out.
    ///
    /// From the first poll on a thread of the batch's own does the waiting. Where the system has
    /// no thread to give, this waits itself.
    ///
    /// ```
    /// use std::future::poll_fn;
    /// # use bifolio_map::{ReadWrite, Section, View};
    /// # let view: View<ReadWrite> = Section::anonymous(100)?.view()?;
    /// # pollster::block_on(async {
    /// let mut batch = view.read_batch([0..50, 50..100])?;
    /// let mut bytes = 0;
    /// while let Some(completion) = poll_fn(|context| batch.poll_next(context)).await {
    ///     bytes += completion.into_bytes()?.len();
    /// }
    /// assert_eq!(bytes, 100);
    /// # Ok::<(), bifolio_map::Error>(())
    /// # })?;
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    ///
    /// # Panics
    /// In a forked child.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Completion>> {
        self.at_home();
        if let Some(Hands::Ours(queue)) = self.hands.take_if(|hands| hands.is_ours()) {
            self.hands = Some(match Driver::start(queue, self.depth) {
                Ok(driver) => Hands::Thread(driver),
                Err(queue) => Hands::Ours(queue),
            });
        }
        let polled = match self.hands() {
            Hands::Thread(driver) => driver.poll_next(context),
            Hands::Ours(queue) => Poll::Ready(waited(queue)),
        };
        if let Poll::Ready(Some(_)) = polled {
            self.handed_out += 1;
        }
        polled
    }

    /// The next completion as a future, for `while let Some(completion) = batch.arrival().await`.
    pub fn arrival(&mut self) -> Arrival<'_> {
        Arrival { batch: self }
    }

    fn hands(&mut self) -> &mut Hands {
        self.hands.as_mut().expect("a batch is in somebody's hands")
    }

    fn at_home(&self) {
        assert_eq!(
            self.home,
            std::process::id(),
            "a batch of reads is used in a forked child: it belongs to the process that began it"
        );
    }
}

impl Hands {
    fn is_ours(&self) -> bool {
        matches!(self, Self::Ours(_))
    }
}

/// The next completion of a queue, waited for.
fn waited(queue: &mut Queue) -> Option<Completion> {
    loop {
        match queue.next(Wait::Yes) {
            Next::Arrived(completion) => return Some(completion),
            Next::Empty => return None,
            Next::Pending => {}
        }
    }
}

impl Iterator for Batch {
    type Item = Completion;

    /// Waits for the next completion; `None` when every range was handed out.
    ///
    /// # Panics
    /// In a forked child.
    fn next(&mut self) -> Option<Completion> {
        self.at_home();
        let completion = match self.hands() {
            Hands::Ours(queue) => waited(queue),
            Hands::Thread(driver) => driver.next(),
        }?;
        self.handed_out += 1;
        Some(completion)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining(), Some(self.remaining()))
    }
}

impl ExactSizeIterator for Batch {}

impl futures_core::Stream for Batch {
    type Item = Completion;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Completion>> {
        Batch::poll_next(self.get_mut(), context)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        Iterator::size_hint(self)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if self.home != std::process::id() {
            // What is in flight is the parent's, and so are its threads: a lock that one of them
            // held at the fork is held here for ever.
            std::mem::forget(self.hands.take());
        }
    }
}

/// The next completion of a batch. See [`Batch::arrival`].
#[derive(Debug)]
#[must_use = "futures do nothing until they are polled"]
pub struct Arrival<'a> {
    batch: &'a mut Batch,
}

impl Future for Arrival<'_> {
    type Output = Option<Completion>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Completion>> {
        self.get_mut().batch.poll_next(context)
    }
}

#[cfg(test)]
mod tests;
