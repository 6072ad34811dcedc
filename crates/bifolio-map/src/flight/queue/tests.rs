//! The queue against a model, with a carrier that does everything a carrier may: in any order, in
//! pieces, with failures and ends. It runs under Miri.

use std::collections::BTreeMap;

use super::*;
use crate::flight::Merge;
use crate::testing::{Random, budget};

/// What a carrier of the tests reads: the file ends, and some bytes cannot be had.
#[derive(Clone, Debug)]
struct World {
    len: u64,
    bad: Vec<u64>,
}

impl World {
    fn byte(offset: u64) -> u8 {
        (offset * 31 + offset / 251).to_le_bytes()[0]
    }
}

#[derive(Debug)]
struct Rough {
    world: World,
    random: Random,
    out: Vec<Order>,
    most: usize,
    bytes_most: usize,
}

impl Carrier for Rough {
    fn start(&mut self, order: Order) {
        assert!(order.bytes.capacity() - order.bytes.len() >= order.size, "no room: {order:?}");
        self.out.push(order);
        assert!(self.out.len() <= self.most, "more in flight than the depth");
        let bytes: usize = self.out.iter().map(|order| order.size).sum();
        assert!(bytes <= self.bytes_most || self.out.len() == 1, "more bytes in flight than asked");
    }

    fn push_off(&mut self) {}

    fn bell(&mut self) -> Option<std::sync::Arc<dyn crate::flight::carrier::Bell>> {
        None
    }

    fn land(&mut self, wait: Wait) -> Option<Landed> {
        assert!(wait == Wait::No || !self.out.is_empty(), "waits for nothing");
        if self.out.is_empty() || (wait == Wait::No && self.random.bool()) {
            return None;
        }
        let chosen = self.random.usize(0..self.out.len());
        let Order { ticket, offset, mut bytes, size } = self.out.swap_remove(chosen);
        let end = (offset + size as u64).min(self.world.len);
        let bad = self.world.bad.iter().copied().find(|bad| (offset..end).contains(bad));
        let outcome = if bad == Some(offset) || (bad.is_some() && self.random.bool()) {
            Err(Failure::System(std::io::Error::other("a bad block")))
        } else {
            let end = bad.unwrap_or(end);
            let mut size = end.saturating_sub(offset);
            if size > 1 && self.random.one_in(3) {
                size = self.random.u64(1..size); // a short read
            }
            bytes.extend((offset..offset + size).map(World::byte));
            Ok(usize::try_from(size).unwrap())
        };
        Some(Landed { ticket, bytes, outcome })
    }
}

fn queue(world: &World, plan: &BatchPlan) -> Queue {
    let carrier = Rough {
        world: world.clone(),
        random: Random::new(),
        out: Vec::new(),
        most: plan.depth,
        bytes_most: usize::try_from(plan.memory).unwrap(),
    };
    let place = Place { section: None, origin: 0, offset: 0 };
    Queue::new(Box::new(carrier), place, plan.clone())
}

/// What is wrong with a completion, if anything.
fn verdict(world: &World, completion: &Completion) -> Result<(), String> {
    let range = completion.range();
    let bad = world.bad.iter().any(|bad| range.contains(bad) && *bad < world.len);
    match completion.bytes() {
        Ok(bytes) => {
            if range.is_empty() && bytes.is_empty() {
                return Ok(());
            }
            let right = bytes.iter().copied().eq(range.clone().map(World::byte));
            if !right || bad || range.end > world.len {
                return Err(format!("{range:?} was read: {right}, {bad}"));
            }
        }
        Err(error) => {
            let eof = range.end > world.len;
            let told = match error.kind() {
                ErrorKind::UnexpectedEof => eof,
                _ => bad,
            };
            if !told {
                return Err(format!("{range:?}: {error}"));
            }
        }
    }
    Ok(())
}

#[test]
fn every_range_gets_its_own_bytes_or_its_own_error_once() {
    for _ in 0..budget(if cfg!(miri) { 10 } else { 1000 }) {
        let mut random = Random::new();
        let len = random.u64(0..2000);
        let bad = (0..random.u64(0..4)).map(|_| random.u64(0..2000)).collect();
        let world = World { len, bad };
        let merge = [Merge::Never, Merge::UpTo(random.u64(0..300))][random.usize(0..2)];
        let plan =
            BatchPlan::new().depth(random.usize(1..9)).memory(random.u64(1..1000)).merge(merge);
        let mut queue = queue(&world, &plan);
        let mut outstanding = BTreeMap::new();
        let mut asked = 0;
        let mut more =
            |queue: &mut Queue, outstanding: &mut BTreeMap<_, _>, random: &mut Random| {
                let wanted: Vec<_> = (0..random.usize(0..30))
                    .map(|_| {
                        let start = random.u64(0..2000);
                        asked += 1;
                        (asked - 1, start..start + random.u64(0..200))
                    })
                    .collect();
                outstanding.extend(wanted.iter().cloned());
                queue.ask(wanted);
            };
        more(&mut queue, &mut outstanding, &mut random);
        let mut rounds = random.usize(0..3);
        loop {
            let wait = if random.bool() { Wait::Yes } else { Wait::No };
            match queue.next(wait) {
                Next::Arrived(completion) => {
                    let range = outstanding.remove(&completion.index()).expect("handed out once");
                    assert_eq!(completion.range(), range);
                    verdict(&world, &completion).unwrap();
                    if random.bool()
                        && let Ok(bytes) = completion.into_bytes()
                    {
                        queue.give_back(bytes);
                    }
                }
                Next::Pending => assert_eq!(wait, Wait::No),
                Next::Empty if rounds > 0 => rounds -= 1,
                Next::Empty => break,
            }
            if random.one_in(10) && rounds > 0 {
                rounds -= 1;
                more(&mut queue, &mut outstanding, &mut random);
            }
        }
        assert!(outstanding.is_empty(), "never handed out: {outstanding:?}");
    }
}

#[test]
fn a_bad_byte_is_the_error_of_the_ranges_that_have_it_and_of_no_other() {
    let world = World { len: 100, bad: vec![25] };
    let mut queue = queue(&world, &BatchPlan::new());
    // One read at first, since they touch.
    queue.ask(vec![(0, 0..20), (1, 20..30), (2, 30..40), (3, 90..110)]);
    let mut outcomes = BTreeMap::new();
    while let Next::Arrived(completion) = queue.next(Wait::Yes) {
        let kind = completion.bytes().map(<[u8]>::len).map_err(Error::kind);
        outcomes.insert(completion.index(), kind);
    }
    let expected = [(0, Ok(20)), (1, Err(ErrorKind::Io)), (2, Ok(10))];
    assert_eq!(outcomes.iter().map(|(&i, &k)| (i, k)).take(3).collect::<Vec<_>>(), expected);
    assert_eq!(outcomes[&3], Err(ErrorKind::UnexpectedEof));
}

#[test]
fn a_queue_that_is_not_fetched_from_stops_at_its_depth() {
    let world = World { len: 10_000, bad: Vec::new() };
    let mut queue = queue(&world, &BatchPlan::new().depth(4).merge(Merge::Never));
    queue.ask((0..100).map(|n| (n, n as u64 * 10..n as u64 * 10 + 10)).collect());
    assert_eq!(queue.waiting.len(), 96);
    assert!(matches!(queue.next(Wait::Yes), Next::Arrived(_)));
    assert!(queue.waiting.len() >= 95);
}
