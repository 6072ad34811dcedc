//! A batch for programs that do not wait: a thread drives the queue and wakes whoever polls.
//!
//! It needs no runtime and works with any: it calls the waker that it was last given. It starts
//! with the first poll, and ends with the batch. A bell calls it away from the read that it waits
//! for when there is more to begin, and at the end. Should it
//! panic (a waker may), every range that is still owed gets an error, and nobody waits for ever.

use std::collections::VecDeque;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use super::Completion;
use super::carrier::{Bell, Wait};
use super::queue::{Next, Place, Queue};

#[derive(Debug)]
pub(super) struct Driver {
    shared: Arc<Shared>,
    bell: Option<Arc<dyn Bell>>,
    /// For the errors of what is asked for when the thread is gone.
    place: Place,
}

#[derive(Debug, Default)]
struct Shared {
    desk: Mutex<Desk>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Desk {
    /// Left by the batch for the thread.
    asked: Vec<(usize, Range<u64>)>,
    given_back: Vec<Vec<u8>>,
    closed: bool,
    /// Left by the thread for the batch.
    arrived: VecDeque<Completion>,
    empty: bool,
    waker: Option<Waker>,
    /// The thread has panicked.
    gone: bool,
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        // The desk is whole between any two steps, so a panic elsewhere broke nothing.
        self.desk.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    fn wait<'a>(&'a self, desk: MutexGuard<'a, Desk>) -> MutexGuard<'a, Desk> {
        self.changed.wait(desk).unwrap_or_else(|broken| broken.into_inner())
    }

    /// What the thread does. `most` completions lie ready at most: who does not fetch them holds
    /// the batch up and not the memory.
    fn drive(&self, queue: &mut Queue, most: usize) {
        loop {
            let mut desk = self.desk();
            while !desk.closed
                && desk.asked.is_empty()
                && (desk.empty || desk.arrived.len() >= most)
            {
                desk = self.wait(desk);
            }
            if desk.closed {
                drop(desk);
                return;
            }
            let asked = std::mem::take(&mut desk.asked);
            let given_back = std::mem::take(&mut desk.given_back);
            desk.empty &= asked.is_empty();
            drop(desk);
            given_back.into_iter().for_each(|bytes| queue.give_back(bytes));
            if !asked.is_empty() {
                queue.ask(asked);
            }
            let next = queue.next(Wait::Yes);
            let mut desk = self.desk();
            match next {
                Next::Arrived(completion) => desk.arrived.push_back(completion),
                Next::Empty => desk.empty = desk.asked.is_empty(),
                Next::Pending => continue,
            }
            let waker = desk.waker.take();
            drop(desk);
            self.changed.notify_all();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl Shared {
    /// After the thread has panicked: hands out errors for what it owed.
    fn abandon(&self, queue: &mut Queue) {
        let mut desk = self.desk();
        desk.gone = true;
        desk.empty = true;
        let asked = std::mem::take(&mut desk.asked);
        desk.arrived.extend(queue.give_up());
        desk.abandon(queue.place(), asked);
        let waker = desk.waker.take();
        drop(desk);
        self.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Desk {
    /// Answers ranges with the error that there is no thread.
    fn abandon(&mut self, place: &Place, asked: Vec<(usize, Range<u64>)>) {
        self.arrived.extend(asked.into_iter().map(|(index, range)| {
            let outcome = Err(place.abandoned(&range));
            Completion { index, range, outcome }
        }));
    }
}

impl Driver {
    /// Hands a queue to a thread; gives it back if there is none to be had.
    pub(super) fn start(mut queue: Box<Queue>, most: usize) -> Result<Self, Box<Queue>> {
        let shared = Arc::new(Shared::default());
        let (sender, receiver) = std::sync::mpsc::sync_channel::<Box<Queue>>(1);
        let theirs = Arc::clone(&shared);
        let (bell, place) = (queue.bell(), queue.place().clone());
        let thread = std::thread::Builder::new().name("bifolio-batch".into()).spawn(move || {
            if let Ok(mut queue) = receiver.recv() {
                // What the panic broke off is given up, and looked at no more.
                let driven = catch_unwind(AssertUnwindSafe(|| theirs.drive(&mut queue, most)));
                if driven.is_err() {
                    theirs.abandon(&mut queue);
                }
            }
        });
        if thread.is_err() {
            return Err(queue);
        }
        sender.send(queue).map_err(|unsent| unsent.0)?;
        Ok(Self { shared, bell, place })
    }

    pub(super) fn ask(&self, wanted: Vec<(usize, Range<u64>)>) {
        let mut desk = self.shared.desk();
        if desk.gone {
            return desk.abandon(&self.place, wanted);
        }
        desk.empty = false;
        desk.asked.extend(wanted);
        drop(desk);
        self.call();
    }

    /// Calls the thread to the desk.
    fn call(&self) {
        self.shared.changed.notify_all();
        if let Some(bell) = &self.bell {
            bell.ring();
        }
    }

    pub(super) fn give_back(&self, bytes: Vec<u8>) {
        self.shared.desk().given_back.push(bytes);
    }

    pub(super) fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<Completion>> {
        let mut desk = self.shared.desk();
        if let Some(completion) = desk.arrived.pop_front() {
            drop(desk);
            self.shared.changed.notify_all();
            return Poll::Ready(Some(completion));
        }
        if desk.empty {
            return Poll::Ready(None);
        }
        desk.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// As `poll_next`, but waits.
    pub(super) fn next(&self) -> Option<Completion> {
        let mut desk = self.shared.desk();
        loop {
            if let Some(completion) = desk.arrived.pop_front() {
                drop(desk);
                self.shared.changed.notify_all();
                return Some(completion);
            }
            if desk.empty {
                return None;
            }
            desk = self.shared.wait(desk);
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let mut desk = self.shared.desk();
        desk.closed = true;
        desk.waker = None;
        drop(desk);
        self.call();
    }
}
