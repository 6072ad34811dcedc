//! Channels in all schedules of two senders and a receiver, or of a sender and a receiver that is lapped.

use std::sync::Arc;

use bifolio_map::Patience;
use loom::sync::atomic::Ordering;
use loom::thread;

use super::super::ring::{self, Asks, Found, Loss, Reserved, State, Turn, Way, Words};
use super::super::{Pair, Peers};
use super::{Guarded, Long, Someone};
use crate::error::Result;

/// A ring of two slots.
struct Ring {
    way: Way,
    tail: Long,
    head: Long,
    slots: [Long; 2],
    messages: [Guarded; 2],
}

impl<'a> Words for &'a Ring {
    type Word = &'a Long;

    fn tail(&self) -> &'a Long {
        &self.tail
    }

    fn head(&self) -> &'a Long {
        &self.head
    }

    fn slot(&self, position: u64) -> &'a Long {
        &self.slots[(position % 2) as usize]
    }

    fn slots(&self) -> u32 {
        2
    }

    fn way(&self) -> Way {
        self.way
    }
}

impl Ring {
    fn new(way: Way) -> Self {
        let [tail, head] = <[Long; 2]>::default();
        Self { way, tail, head, slots: Default::default(), messages: Default::default() }
    }

    fn send(&self, me: &impl Peers, commit: impl Fn(&&Self, u64) -> Result<()>) {
        loop {
            match ring::reserve(&self, me).unwrap() {
                Reserved::At(position) => {
                    self.messages[(position % 2) as usize].write();
                    return commit(&self, position).unwrap();
                }
                Reserved::Full(position, turn) => self.sleep(position, turn),
            }
        }
    }

    /// Whether there was a message; otherwise it waits for one.
    fn receive(&self, me: &impl Peers) {
        loop {
            match ring::next(&self, me, Asks::Everybody).unwrap() {
                Found::Message(position, _) => {
                    self.messages[(position % 2) as usize].read();
                    ring::release(&self, position).unwrap();
                    return (&self.slots[(position % 2) as usize]).wake_all().unwrap();
                }
                Found::Nothing(position, turn) | Found::Written(position, turn) => {
                    self.sleep(position, turn);
                }
                Found::Lost(_) => panic!("a queue loses nothing"),
            }
        }
    }

    fn sleep(&self, position: u64, turn: Turn) {
        let nap = super::super::Naps::new(Patience::Forever).next().expect("for ever");
        (&self.slots[(position % 2) as usize]).wait(turn.lower(), nap).unwrap();
    }
}

fn commit(ring: &&Ring, position: u64) -> Result<()> {
    ring::commit(ring, position, State::Ready)?;
    ring.slot(position).wake_all()
}

/// `senders` that send `each`, and who receives all of it.
fn queue(
    senders: u32,
    each: u32,
    commit: impl Fn(&&Ring, u64) -> Result<()> + Send + Sync + Copy + 'static,
) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(move || {
        let ring = Arc::new(Ring::new(Way::Queue));
        let threads: Vec<_> = (1..=senders)
            .map(|number| {
                let ring = Arc::clone(&ring);
                thread::spawn(move || {
                    (0..each).for_each(|_| ring.send(&Someone::new(number), commit));
                })
            })
            .collect();
        (0..senders * each).for_each(|_| ring.receive(&Someone::new(0)));
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(ring.head.value.load(Ordering::SeqCst), u64::from(senders * each));
    });
}

#[test]
fn loom_every_message_of_a_queue_is_received_whole() {
    queue(1, 3, commit);
    queue(2, 1, commit);
}

/// A sender that calls its message ready without an order: what it wrote may come later.
#[test]
#[should_panic(expected = "Causality violation")]
fn loom_a_message_that_is_ready_before_it_is_written_is_noticed() {
    queue(1, 3, |ring, position| {
        let turn = Turn::new(ring.lap(position), State::Ready, None);
        ring.slot(position).value.store(turn.word(), Ordering::Relaxed);
        ring.slot(position).wake_all()
    });
}

/// A sender that wakes nobody.
#[test]
#[should_panic(expected = "deadlock")]
fn loom_a_message_that_wakes_nobody_is_noticed() {
    queue(1, 1, |ring, position| ring::commit(ring, position, State::Ready));
}

#[test]
fn loom_what_one_that_died_has_reserved_is_passed_over() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let ring = Arc::new(Ring::new(Way::Queue));
        // Participant 1 reserves a slot and is never heard of again.
        assert_eq!(ring::reserve(&&*ring, &Someone::new(1)).unwrap(), Reserved::At(0));
        let sender = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || ring.send(&Someone::new(2), commit))
        };
        ring.receive(&Someone { number: 0, first_is_dead: true });
        sender.join().unwrap();
        assert_eq!(ring.head.value.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn loom_a_receiver_that_is_lapped_knows_it() {
    lapped(&[State::Ready; 4], |_, loss| loss.next);
}

#[test]
fn loom_a_receiver_that_is_lapped_behind_what_was_given_back_goes_on_at_the_right_place() {
    lapped(&[State::Skipped, State::Ready, State::Ready, State::Ready], |_, loss| loss.next);
}

/// A receiver that counts from where it stood, and not from where the loss begins.
#[test]
#[should_panic(expected = "is told twice")]
fn loom_a_receiver_that_goes_on_inside_what_it_was_told_is_lost_is_noticed() {
    let commits = &[State::Skipped, State::Ready, State::Ready, State::Ready];
    lapped(commits, |position, loss| position + loss.many);
}

/// Commits in this way what is reserved one by one, while another one receives: all is received or told
/// to be lost, and nothing twice.
fn lapped(commits: &'static [State], goes_on: fn(u64, Loss) -> u64) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let ring = Arc::new(Ring::new(Way::Broadcast));
        let sender = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || {
                for state in commits {
                    let reserved = ring::reserve(&&*ring, &Someone::new(1)).unwrap();
                    let Reserved::At(position) = reserved else { panic!("it waits for nobody") };
                    ring::commit(&&*ring, position, *state).unwrap();
                }
            })
        };
        let (mut position, mut told, end) = (0, 0, commits.len() as u64);
        while position < end {
            match ring::look(&&*ring, &Someone::new(0), position, Asks::Nobody).unwrap() {
                Found::Message(at, _) => {
                    assert!(at >= told, "{at} is told twice");
                    let passed = position..at;
                    assert!(
                        passed.into_iter().all(|at| commits[at as usize] == State::Skipped),
                        "nothing is skipped in silence"
                    );
                    position = at + 1;
                }
                Found::Lost(loss) => {
                    assert!(loss.many > 0 && loss.next <= end, "{loss:?}");
                    // What is told to be lost ends where one goes on.
                    let first = loss.next - loss.many;
                    assert!(first >= told, "{first} is told twice");
                    assert!((position..loss.next).contains(&first), "{loss:?} from {position}");
                    (told, position) = (loss.next, goes_on(position, loss));
                }
                Found::Nothing(..) | Found::Written(..) => thread::yield_now(),
            }
        }
        assert_eq!(position, end);
        sender.join().unwrap();
    });
}
