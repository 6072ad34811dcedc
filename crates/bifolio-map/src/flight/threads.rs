//! Reads by threads: everywhere, and where the bytes must be copied from a map.
//!
//! Each thread takes an order, reads and waits, and puts the buffer where the batch finds it. A
//! batch that goes away does not wait for them: a thread that is inside a read finishes it, into
//! a buffer that is its own, and finds nobody to give it to.

use std::collections::VecDeque;
use std::fmt::{self, Debug};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::carrier::{Bell, Carrier, Failure, Landed, Order, Wait};

/// Where threads read from.
pub(super) trait Source: Send + Sync {
    /// Appends up to `size` bytes from `offset`; how many. None at the end.
    fn read(&self, offset: u64, bytes: &mut Vec<u8>, size: usize) -> Result<usize, Failure>;
}

/// Their stacks hold a read and nothing else.
const STACK: usize = 128 << 10;

pub(super) struct Threads {
    shared: Arc<Shared>,
    /// Threads that were started.
    started: usize,
    most: usize,
    /// Orders that are out.
    out: usize,
}

struct Shared {
    source: Box<dyn Source>,
    desk: Mutex<Desk>,
    ordered: Condvar,
    landed: Condvar,
}

#[derive(Default)]
struct Desk {
    orders: VecDeque<Order>,
    landed: VecDeque<Landed>,
    /// Threads that have nothing to do.
    idle: usize,
    closed: bool,
    /// Whoever waits for something to land is called away.
    rung: bool,
}

impl Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").field("started", &self.started).finish_non_exhaustive()
    }
}

impl Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Bell for Shared {
    fn ring(&self) {
        self.desk().rung = true;
        self.landed.notify_all();
    }
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        // The desk is whole between any two steps, so a panic elsewhere broke nothing.
        self.desk.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    fn carry_out(&self, order: Order) -> Landed {
        let Order { ticket, offset, mut bytes, size } = order;
        let outcome = self.source.read(offset, &mut bytes, size);
        Landed { ticket, bytes, outcome }
    }

    /// What a thread does.
    fn work(&self) {
        let mut desk = self.desk();
        while !desk.closed {
            let Some(order) = desk.orders.pop_front() else {
                desk.idle += 1;
                desk = self.ordered.wait(desk).unwrap_or_else(|broken| broken.into_inner());
                desk.idle -= 1;
                continue;
            };
            drop(desk);
            let landed = self.carry_out(order);
            desk = self.desk();
            desk.landed.push_back(landed);
            self.landed.notify_one();
        }
    }
}

impl Threads {
    /// Up to `most` threads, which start as they are needed.
    pub(super) fn new(source: Box<dyn Source>, most: usize) -> Self {
        let (ordered, landed) = (Condvar::new(), Condvar::new());
        let shared = Shared { source, desk: Mutex::default(), ordered, landed };
        Self { shared: Arc::new(shared), started: 0, most, out: 0 }
    }

    /// Starts a thread if there is more to do than threads that could; if the system has none, the
    /// ones that run do it, and if none runs, the caller.
    fn reinforce(&mut self, needed: usize) {
        while self.started < self.most.min(needed) {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name("bifolio-read".into()).stack_size(STACK);
            if thread.spawn(move || shared.work()).is_err() {
                self.most = self.started;
                return;
            }
            self.started += 1;
        }
    }
}

impl Carrier for Threads {
    fn start(&mut self, order: Order) {
        self.out += 1;
        let mut desk = self.shared.desk();
        desk.orders.push_back(order);
        let waiting = desk.orders.len();
        let idle = desk.idle;
        drop(desk);
        if waiting > idle {
            self.reinforce(self.out);
        }
        self.shared.ordered.notify_one();
    }

    fn push_off(&mut self) {}

    fn land(&mut self, wait: Wait) -> Option<Landed> {
        let mut desk = self.shared.desk();
        loop {
            if let Some(landed) = desk.landed.pop_front() {
                self.out -= 1;
                return Some(landed);
            }
            if self.started == 0
                && let Some(order) = desk.orders.pop_front()
            {
                drop(desk);
                self.out -= 1;
                return Some(self.shared.carry_out(order));
            }
            if wait == Wait::No || std::mem::take(&mut desk.rung) {
                return None;
            }
            desk = self.shared.landed.wait(desk).unwrap_or_else(|broken| broken.into_inner());
        }
    }

    fn bell(&mut self) -> Option<Arc<dyn Bell>> {
        Some(Arc::<Shared>::clone(&self.shared))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let mut desk = self.shared.desk();
        desk.closed = true;
        desk.orders.clear();
        drop(desk);
        self.shared.ordered.notify_all();
    }
}
