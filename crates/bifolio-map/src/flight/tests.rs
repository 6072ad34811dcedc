//! Threads and the driver over memory of the allocator: the parts that Miri can watch at work.

use super::*;
use crate::ReadWrite;
use crate::memory::Span;
use crate::view::View;

const SIZE: usize = 4096;

/// Bytes that are known, in memory.
fn memory() -> View<ReadWrite> {
    let view = View::of_heap(Span::heap(SIZE).unwrap(), 0);
    for at in 0..SIZE as u64 {
        view.put(at, &byte_at(at)).unwrap();
    }
    view
}

fn byte_at(at: u64) -> u8 {
    (at * 31 + at / 251).to_le_bytes()[0]
}

fn right(completion: &Completion) -> bool {
    completion.bytes().unwrap().iter().copied().eq(completion.range().map(byte_at))
}

fn ranges() -> impl Iterator<Item = Range<u64>> {
    (0..40).map(|n| n * 97 % 4000..n * 97 % 4000 + n * 2)
}

#[test]
fn threads_read_memory_and_the_driver_wakes_the_task() {
    let view = memory();
    for depth in [1, 3, 64] {
        let plan = BatchPlan::new().depth(depth);
        let mut batch = view.read_batch_by(&plan, ranges()).unwrap();
        assert_eq!(batch.engine(), Engine::Threads);
        let mut seen = 0;
        for completion in batch.by_ref().take(7) {
            assert!(right(&completion));
            seen += 1;
        }
        pollster::block_on(async {
            while let Some(completion) = batch.arrival().await {
                assert!(right(&completion));
                batch.give_back(completion.into_bytes().unwrap());
                seen += 1;
                if seen == 20 {
                    batch.push(100..200).unwrap();
                }
            }
        });
        assert_eq!((seen, batch.remaining()), (41, 0));
    }
    settle();
}

#[test]
fn batches_are_dropped_at_every_step() {
    let view = memory();
    for fetched in 0..6 {
        let mut batch = view.read_batch_by(&BatchPlan::new().depth(2), ranges()).unwrap();
        let mut polled = view.read_batch_by(&BatchPlan::new().depth(2), ranges()).unwrap();
        for _ in 0..fetched {
            assert!(right(&batch.next().unwrap()));
            assert!(right(&pollster::block_on(polled.arrival()).unwrap()));
        }
        let _ = polled.poll_next(&mut Context::from_waker(std::task::Waker::noop()));
    }
    settle();
}

/// A place that does not answer before it is let go.
#[derive(Clone, Default)]
struct Hanging(std::sync::Arc<(std::sync::Mutex<bool>, std::sync::Condvar)>);

impl threads::Source for Hanging {
    fn read(&self, _: u64, bytes: &mut Vec<u8>, size: usize) -> Result<usize, carrier::Failure> {
        let (go, changed) = &*self.0;
        let mut going = go.lock().unwrap();
        while !*going {
            going = changed.wait(going).unwrap();
        }
        bytes.resize(size, 7);
        Ok(size)
    }
}

impl Hanging {
    fn let_go(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// A batch of reads that hang.
    fn batch(&self) -> Batch {
        let source = Box::new(self.clone());
        batch_of(Box::new(threads::Threads::new(source, 4)), 9)
    }
}

/// A batch of `asked` ranges, four at once.
fn batch_of(carrier: Box<dyn carrier::Carrier>, asked: usize) -> Batch {
    let place = queue::Place { section: None, origin: 0, offset: 0 };
    let plan = BatchPlan::new().depth(4).merge(Merge::Never);
    let mut queue = Box::new(Queue::new(carrier, place, plan));
    queue.ask((0..asked).map(|n| (n, n as u64 * 10..n as u64 * 10 + 5)).collect());
    Batch {
        hands: Some(Hands::Ours(queue)),
        engine: Engine::Threads,
        depth: 4,
        limit: begin::Limit::none(),
        asked,
        handed_out: 0,
        home: std::process::id(),
    }
}

/// Whether the drop of a batch returns although its reads hang.
fn drops_at_once(
    batch: Batch,
    hanging: &Hanging,
    end: impl FnOnce(Batch) + Send + 'static,
) -> bool {
    let (sender, receiver) = std::sync::mpsc::channel();
    let dropper = std::thread::spawn(move || {
        end(batch);
        sender.send(()).unwrap();
    });
    // What waits for the reads waits for the line after this one.
    let at_once = receiver.recv_timeout(std::time::Duration::from_secs(2)).is_ok();
    hanging.let_go();
    dropper.join().unwrap();
    at_once
}

#[test]
fn dropping_a_batch_whose_reads_hang_waits_for_none_of_them() {
    let hanging = Hanging::default();
    assert!(drops_at_once(hanging.batch(), &hanging, drop));
    let hanging = Hanging::default();
    let mut polled = hanging.batch();
    let first = polled.poll_next(&mut Context::from_waker(std::task::Waker::noop()));
    assert!(first.is_pending());
    assert!(drops_at_once(polled, &hanging, drop));
    settle();
}

#[test]
fn a_drop_that_waits_would_be_noticed() {
    let hanging = Hanging::default();
    assert!(!drops_at_once(hanging.batch(), &hanging, |batch| batch.for_each(drop)));
    settle();
}

/// Whether a range that is pushed to a polled batch is read although others hang.
fn pushed_is_read(bell: bool) -> bool {
    /// Hangs below 1000, and answers above.
    #[derive(Clone, Default)]
    struct Half(Hanging);
    impl threads::Source for Half {
        fn read(&self, at: u64, to: &mut Vec<u8>, size: usize) -> Result<usize, carrier::Failure> {
            if at >= 1000 {
                to.resize(size, 9);
                return Ok(size);
            }
            self.0.read(at, to, size)
        }
    }
    /// The broken twin: nothing calls the thread away from its wait.
    #[derive(Debug)]
    struct Deaf(threads::Threads);
    impl carrier::Carrier for Deaf {
        fn start(&mut self, order: carrier::Order) {
            self.0.start(order);
        }
        fn push_off(&mut self) {
            self.0.push_off();
        }
        fn land(&mut self, wait: Wait) -> Option<carrier::Landed> {
            self.0.land(wait)
        }
        fn bell(&mut self) -> Option<std::sync::Arc<dyn carrier::Bell>> {
            None
        }
    }
    let half = Half::default();
    let reads = threads::Threads::new(Box::new(half.clone()), 4);
    let carrier: Box<dyn carrier::Carrier> =
        if bell { Box::new(reads) } else { Box::new(Deaf(reads)) };
    let mut batch = batch_of(carrier, 2);
    assert!(batch.poll_next(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
    // The thread is inside its wait by now, or will be: both have to work.
    std::thread::sleep(std::time::Duration::from_millis(20));
    batch.push(1000..1005).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let waiter = std::thread::spawn(move || {
        let first = batch.next().unwrap();
        sender.send((first.index(), first.bytes().unwrap().to_vec())).unwrap();
        assert_eq!(batch.count(), 2);
    });
    let read = receiver.recv_timeout(std::time::Duration::from_secs(2));
    half.0.let_go();
    waiter.join().unwrap();
    settle();
    read.is_ok_and(|first| first == (2, vec![9; 5]))
}

#[test]
fn what_is_pushed_to_a_polled_batch_waits_for_no_other_read() {
    assert!(pushed_is_read(true));
}

#[test]
#[cfg_attr(
    miri,
    ignore = "relies on a thread being inside its wait, and has only the clock for that"
)]
fn a_batch_that_hears_no_push_would_be_noticed() {
    assert!(!pushed_is_read(false));
}

/// A waker that panics in whichever thread calls it.
struct Breaks;

impl std::task::Wake for Breaks {
    fn wake(self: std::sync::Arc<Self>) {
        panic!("this waker panics on purpose");
    }
}

#[test]
fn a_batch_whose_thread_has_panicked_answers_every_range_and_what_is_pushed_later() {
    let hanging = Hanging::default();
    let mut batch = hanging.batch();
    let waker = std::task::Waker::from(std::sync::Arc::new(Breaks));
    assert!(batch.poll_next(&mut Context::from_waker(&waker)).is_pending());
    hanging.let_go();
    // Who waits for a thread that is no more would wait for ever.
    let (sender, receiver) = std::sync::mpsc::channel();
    let waiter = std::thread::spawn(move || {
        let mut answered: Vec<Completion> = batch.by_ref().collect();
        batch.push(700..705).unwrap();
        answered.extend(batch.by_ref());
        sender.send((answered, batch.remaining())).unwrap();
    });
    let patience = std::time::Duration::from_secs(20);
    let (answered, owed) = receiver.recv_timeout(patience).expect("every range is answered");
    waiter.join().unwrap();
    assert_eq!((answered.len(), owed), (10, 0));
    let mut indexes: Vec<usize> = answered.iter().map(Completion::index).collect();
    indexes.sort_unstable();
    assert_eq!(indexes, Vec::from_iter(0..10));
    let error = answered.last().unwrap().bytes().unwrap_err();
    assert_eq!((error.kind(), error.offset()), (crate::ErrorKind::Io, Some(700)));
    assert!(error.to_string().contains("has panicked"), "{error}");
    settle();
}

/// Threads of dropped batches end by themselves; Miri wants them to have ended before the program.
fn settle() {
    if cfg!(miri) {
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}
