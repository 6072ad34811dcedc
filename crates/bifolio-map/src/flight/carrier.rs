//! The seam between the queue of reads and what carries them out: a ring of the kernel, a port of
//! completions, threads.
//!
//! The rule of ownership, which every carrier keeps: a buffer moves in with its order and moves out
//! when it has landed. In between nobody else has it, so nobody can free, read or reuse it while
//! somebody writes. A carrier that is dropped with orders on their way keeps their buffers until
//! they have come back, and one that is forgotten keeps them for ever.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

use crate::error::Error;

/// One read: up to `size` bytes from `offset`, to be appended to `bytes`, which has room for them.
#[derive(Debug)]
pub(crate) struct Order {
    /// Comes back with the bytes.
    pub(crate) ticket: usize,
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) size: usize,
}

/// A read that has come back.
#[derive(Debug)]
pub(crate) struct Landed {
    pub(crate) ticket: usize,
    /// What went in with the order, longer by what was read.
    pub(crate) bytes: Vec<u8>,
    /// How many bytes were appended: fewer than asked for if they were not all at hand, none at
    /// the end of the file.
    pub(crate) outcome: Result<usize, Failure>,
}

/// Why a read failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What the system said.
    System(io::Error),
    /// What a view said: it knows better.
    View(Error),
}

/// Whether to wait for something to land.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Yes,
    No,
}

/// Carries out reads, as many at once as its depth.
pub(crate) trait Carrier: Debug + Send {
    /// Takes an order. The caller has no more of them out than the carrier was made for.
    fn start(&mut self, order: Order);

    /// Sees to it that everything started is on its way.
    fn push_off(&mut self);

    /// A read that has come back; with [`Wait::Yes`] there must be one on its way. `None` if there
    /// is none yet, or the [bell](Self::bell) was rung.
    fn land(&mut self, wait: Wait) -> Option<Landed>;

    /// What ends a wait. Without it what is asked for meanwhile is begun when something lands.
    fn bell(&mut self) -> Option<Arc<dyn Bell>>;
}

/// Ends the wait of a carrier, from another thread.
pub(crate) trait Bell: Debug + Send + Sync {
    /// The wait of now ends, or the next one.
    fn ring(&self);
}
