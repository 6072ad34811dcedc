//! Batches in tasks: any executor, any waker, and a task that goes away.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use bifolio_map::{Batch, BatchPlan, Engine, Merge, Section};

use crate::batch::engines;
use crate::support::{file_of, pattern};

/// The smallest executor there is: one task, and a thread that sleeps until it is woken.
fn block_on<F: Future>(task: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut task = pin!(task);
    loop {
        match task.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

const COUNT: u64 = 200;

fn batch(section: &Section, engine: Engine) -> Batch {
    let plan = BatchPlan::new().engine(engine).depth(8).merge(Merge::Never);
    section.read_batch_by(&plan, (0..COUNT).map(|n| n * 1000..n * 1000 + 999)).unwrap()
}

/// Everything that a batch brings, in a task.
async fn all_of(mut batch: Batch) -> usize {
    let mut count = 0;
    while let Some(completion) = batch.arrival().await {
        let start = completion.range().start;
        let bytes = completion.into_bytes().unwrap();
        assert!(bytes == pattern(start, 999));
        batch.give_back(bytes);
        count += 1;
    }
    assert_eq!(batch.remaining(), 0);
    count
}

#[test]
fn a_batch_is_awaited_by_any_executor() {
    let (_dir, path) = file_of(pattern(0, 1000 * COUNT as usize));
    let section = Section::open(&path).unwrap();
    for engine in engines() {
        assert_eq!(block_on(all_of(batch(&section, engine))), COUNT as usize);
        assert_eq!(pollster::block_on(all_of(batch(&section, engine))), COUNT as usize);
    }
}

#[test]
fn the_last_waker_is_the_one_that_is_woken() {
    struct Count(AtomicUsize, Thread);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
            self.1.unpark();
        }
    }
    let (_dir, path) = file_of(pattern(0, 1000 * COUNT as usize));
    let section = Section::open(&path).unwrap();
    for engine in engines() {
        let mut batch = batch(&section, engine);
        let mut count = 0;
        let mut woken = 0;
        loop {
            // A new waker each time, as when a task moves between executors.
            let counter = Arc::new(Count(AtomicUsize::new(0), std::thread::current()));
            let waker = Waker::from(Arc::clone(&counter));
            match batch.poll_next(&mut Context::from_waker(&waker)) {
                Poll::Ready(None) => break,
                Poll::Ready(Some(completion)) => {
                    assert!(completion.bytes().is_ok());
                    count += 1;
                }
                Poll::Pending => {
                    while counter.0.load(Ordering::SeqCst) == 0 {
                        std::thread::park();
                    }
                    woken += 1;
                }
            }
        }
        assert_eq!(count, COUNT as usize);
        println!("{engine}: {woken} times woken for {count} completions");
    }
}

#[test]
fn a_polled_batch_can_be_pushed_to_waited_for_and_dropped() {
    let (_dir, path) = file_of(pattern(0, 1000 * COUNT as usize));
    let section = Section::open(&path).unwrap();
    for engine in engines() {
        let mut begun = batch(&section, engine);
        let first = pollster::block_on(begun.arrival()).unwrap();
        assert!(first.bytes().is_ok());
        let index = begun.push(5..10).unwrap();
        assert_eq!(index as u64, COUNT);
        // The iterator goes on where the task stopped.
        let rest: Vec<usize> = begun.by_ref().map(|completion| completion.index()).collect();
        assert_eq!(rest.len() as u64, COUNT);
        assert!(rest.contains(&index));
        // A batch that is over goes on when it is asked for more.
        assert!(pollster::block_on(begun.arrival()).is_none());
        begun.push(20..30).unwrap();
        let more = pollster::block_on(begun.arrival()).unwrap();
        assert!(more.into_bytes().unwrap() == pattern(20, 10));
        drop(begun);
        let mut dropped = batch(&section, engine);
        let _ = dropped.poll_next(&mut Context::from_waker(Waker::noop()));
        drop(dropped);
    }
}

#[test]
fn two_batches_are_polled_by_one_task_as_streams() {
    use futures_core::Stream;
    use std::pin::Pin;
    let (_dir, path) = file_of(pattern(0, 1000 * COUNT as usize));
    let section = Section::open(&path).unwrap();
    let mut batches: Vec<Batch> =
        engines().into_iter().map(|engine| batch(&section, engine)).collect();
    let mut counts = vec![0; batches.len()];
    block_on(std::future::poll_fn(|context| {
        let mut pending = false;
        for (batch, count) in batches.iter_mut().zip(&mut counts) {
            loop {
                match Stream::poll_next(Pin::new(&mut *batch), context) {
                    Poll::Ready(Some(_)) => *count += 1,
                    Poll::Ready(None) => break,
                    Poll::Pending => {
                        pending = true;
                        break;
                    }
                }
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(()) }
    }));
    assert!(counts.iter().all(|&count| count == COUNT), "{counts:?}");
}
