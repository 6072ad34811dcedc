//! Snapshots in all schedules of a writer and a reader.

use std::sync::Arc;

use loom::sync::atomic::Ordering;
use loom::thread;

use super::super::Pair;
use super::super::snapshot::{self, Complete, Words};
use super::{Guarded, Long, Someone};

/// A snapshot for one reader, so with three buffers.
struct Buffers {
    current: Long,
    states: [Long; 3],
    place: Long,
    values: [Guarded; 3],
}

impl<'a> Words for &'a Buffers {
    type Word = &'a Long;

    fn current(&self) -> &'a Long {
        &self.current
    }

    fn state(&self, buffer: u32) -> &'a Long {
        &self.states[buffer as usize]
    }

    fn place(&self, _number: u32) -> &'a Long {
        &self.place
    }

    fn readers(&self) -> u32 {
        1
    }
}

impl Buffers {
    fn new() -> Self {
        let first = Complete { sequence: 1, buffer: 0 };
        let new = Self {
            current: Long::default(),
            states: Default::default(),
            place: Long::default(),
            values: Default::default(),
        };
        snapshot::publish(&&new, first).unwrap();
        new
    }

    /// What a writer does, `choose` being how it comes to a buffer.
    fn write(&self, choose: impl Fn(&&Self) -> Complete) {
        let complete = choose(&self);
        self.values[complete.buffer as usize].write();
        snapshot::publish(&self, complete).unwrap();
    }

    fn read_pinned(&self) {
        let pin = snapshot::pin(&self, &Someone::new(0), 0).unwrap().expect("the place is free");
        self.values[pin.buffer as usize].read();
        snapshot::unpin(&self, &pin).unwrap();
    }
}

/// A writer that writes `writes` times, and a reader that pins `pins` times.
fn pin_and_write(
    pins: u32,
    writes: u32,
    choose: impl Fn(&&Buffers) -> Complete + Send + Sync + Copy + 'static,
) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let buffers = Arc::new(Buffers::new());
        let writer = {
            let buffers = Arc::clone(&buffers);
            thread::spawn(move || (0..writes).for_each(|_| buffers.write(choose)))
        };
        for _ in 0..pins {
            buffers.read_pinned();
        }
        writer.join().unwrap();
        assert_eq!(buffers.place.value.load(Ordering::SeqCst), 0);
        let last = snapshot::current(&&*buffers).unwrap();
        assert_eq!(last.sequence, u64::from(writes) + 1);
    });
}

#[test]
fn loom_a_buffer_that_is_pinned_is_not_written_to() {
    let begin = |buffers: &&Buffers| snapshot::begin(buffers).unwrap();
    pin_and_write(1, 4, begin);
    pin_and_write(2, 3, begin);
}

/// A writer that does not look at the readers' places.
#[test]
#[should_panic(expected = "Causality violation")]
fn loom_a_writer_that_does_not_look_at_the_places_is_noticed() {
    pin_and_write(1, 4, |buffers| {
        let last = snapshot::current(buffers).unwrap();
        let buffer = (last.buffer + 1) % 3;
        buffers.state(buffer).swap(0).unwrap();
        Complete { sequence: last.sequence + 1, buffer }
    });
}

/// A writer that looks at the places first and marks its buffer then.
#[test]
#[should_panic(expected = "Causality violation")]
fn loom_a_writer_that_marks_its_buffer_after_the_look_is_noticed() {
    pin_and_write(1, 4, |buffers| {
        let last = snapshot::current(buffers).unwrap();
        let found = buffers.place.value.load(Ordering::SeqCst) >> 32 & 0x7fff;
        let is_free = |step: &u32| u64::from((last.buffer + step) % 3 + 1) != found;
        let step = (1..3).find(is_free).expect("one of two is free");
        let buffer = (last.buffer + step) % 3;
        buffers.state(buffer).swap(0).unwrap();
        Complete { sequence: last.sequence + 1, buffer }
    });
}
