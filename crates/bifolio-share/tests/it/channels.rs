//! Channels: every message once and in order, or told to be lost, whoever is killed.

use std::collections::VecDeque;
use std::time::Duration;

use bifolio_share::{Channel, ErrorKind, Loan, Message, Receiver, Region, Waiting};
use bifolio_testkit::{Random, budget, child, this_test};

#[cfg(target_os = "linux")]
use crate::support::signal;
use crate::support::{child_of, create, of_the_parent, place, refused, says, soon};

const SHORT: Duration = Duration::from_millis(30);
const LONG: Duration = Duration::from_secs(60);

fn number_in(message: &Message<'_>) -> u64 {
    message.value().unwrap()
}

#[test]
fn the_types_can_be_used_from_any_thread() {
    fn check<T: Send + Sync>() {}
    check::<(Channel, Receiver, Loan<'_>, Message<'_>)>();
}

#[test]
fn a_queue_is_a_queue_whatever_is_done_in_which_order() {
    let (_dir, path) = place();
    let (ours, theirs) = (create(&path), Region::open(&path).unwrap());
    let queue = ours.queue("queue", 7, 100).unwrap();
    assert_eq!((queue.slots(), queue.longest()), (8, 100));
    let mut receiver = theirs.queue("queue", 8, 100).unwrap().receiver().unwrap();
    let mut model = VecDeque::new();
    let mut random = Random::new();
    for _ in 0..budget(5_000) {
        match random.usize(0..5) {
            0 | 1 => {
                let message: Vec<u8> = (0..random.usize(0..=100)).map(|_| random.u8(..)).collect();
                match queue.try_send(&message) {
                    Ok(()) => model.push_back(message),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Full, "{error}"),
                }
                assert!(model.len() <= 8);
            }
            2 => match queue.try_loan(9) {
                Ok(mut loan) => {
                    loan.write_at(1, &[7; 8]).unwrap();
                    refused(loan.write_at(2, &[7; 8]), ErrorKind::OutOfBounds);
                    loan.put(0, &5_u8).unwrap();
                    if random.bool() {
                        loan.send().unwrap();
                        model.push_back(vec![5, 7, 7, 7, 7, 7, 7, 7, 7]);
                    }
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Full, "{error}"),
            },
            _ => {
                let found = receiver.try_receive().unwrap();
                let found = found.map(|message| message.to_vec().unwrap());
                assert_eq!(found, model.pop_front());
            }
        }
    }
    refused(queue.send(&[0; 101]), ErrorKind::InvalidInput);
}

#[test]
fn every_receiver_of_a_broadcast_gets_all_that_is_sent_after_it_came_or_is_told_how_much_it_lost() {
    let (_dir, path) = place();
    let region = create(&path);
    let news = region.broadcast("news", 8, 8).unwrap();
    news.send_value(&99_u64).unwrap();
    let mut receivers = [news.receiver().unwrap(), news.receiver().unwrap()];
    for number in 0..5_u64 {
        news.send_value(&number).unwrap();
    }
    for receiver in &mut receivers {
        for number in 0..5 {
            assert_eq!(number_in(&receiver.receive().unwrap()), number);
        }
        assert!(receiver.try_receive().unwrap().is_none());
        refused(receiver.receive_within(SHORT), ErrorKind::TimedOut);
    }
    for number in 5..30_u64 {
        news.send_value(&number).unwrap();
    }
    // 8 of 25 are there; the oldest one is about to go.
    let error = receivers[0].receive().map(drop).unwrap_err();
    let ErrorKind::Lost(many) = error.kind() else { panic!("{error}") };
    assert!((17..20).contains(&many), "{many}");
    for number in 5 + many..30 {
        assert_eq!(number_in(&receivers[0].receive().unwrap()), number);
    }
    assert!(receivers[0].try_receive().unwrap().is_none());
    says(&error, &["messages were lost", "written over"]);
}

#[test]
fn a_loan_that_is_given_back_or_kept_holds_nobody_up_in_a_broadcast() {
    let (_dir, path) = place();
    let region = create(&path);
    let news = region.broadcast("news", 4, 8).unwrap();
    let mut receiver = news.receiver().unwrap();
    let kept = news.loan(8).unwrap();
    drop(news.loan(8).unwrap());
    for number in 0..20_u64 {
        news.send_value(&number).unwrap();
        // Three laps: the slot of the loan is passed by, what is behind it is received.
        let found = receiver.try_receive().map(|found| found.map(|message| number_in(&message)));
        match found {
            Ok(Some(found)) => assert_eq!(found, number),
            // The receiver waits for the loan, until that is a lap behind.
            Ok(None) => assert!(number < 2, "{number}"),
            Err(error) => {
                assert_eq!((number, error.kind()), (2, ErrorKind::Lost(3)), "{error}");
                assert_eq!(number_in(&receiver.receive().unwrap()), 1);
                assert_eq!(number_in(&receiver.receive().unwrap()), 2);
            }
        }
    }
    kept.send().unwrap();
    news.send_value(&20_u64).unwrap();
    assert_eq!(number_in(&receiver.receive().unwrap()), 20);
}

#[test]
fn a_channel_is_found_by_its_name_alone() {
    let (_dir, path) = place();
    let region = create(&path);
    assert!(region.channel("news").unwrap().is_none());
    let queue = region.queue("queue", 3, 50).unwrap();
    let news = region.broadcast("news", 8, 9).unwrap();
    let theirs = Region::open(&path).unwrap();
    let found = theirs.channel("news").unwrap().unwrap();
    assert_eq!((found.slots(), found.longest()), (8, 9));
    let mut receiver = found.receiver().unwrap();
    news.send(b"to all").unwrap();
    assert_eq!(receiver.receive().unwrap().to_vec().unwrap(), b"to all");
    let found = theirs.channel("queue").unwrap().unwrap();
    assert_eq!((found.slots(), found.longest()), (4, 50));
    queue.send(b"to one").unwrap();
    assert_eq!(found.receiver().unwrap().receive().unwrap().to_vec().unwrap(), b"to one");
    region.mutex("lock", 0_u32).unwrap();
    says(&refused(theirs.channel("lock"), ErrorKind::LayoutMismatch), &["a mutex"]);
}

#[test]
fn a_broadcast_of_which_every_slot_is_on_loan_is_full_until_one_is_sent_or_given_back() {
    let (_dir, path) = place();
    let news = create(&path).broadcast("news", 2, 8).unwrap();
    let mut receiver = news.receiver().unwrap();
    let (first, second) = (news.loan(1).unwrap(), news.loan(1).unwrap());
    for _ in 0..3 {
        says(&refused(news.try_send(&[3]), ErrorKind::Full), &["all 2 slots are on loan"]);
        refused(news.send_within(&[3], SHORT), ErrorKind::TimedOut);
    }
    // The later one is sent, and its slot taken again: it is lost, and so are the loan that is kept and
    // its turn that was passed by.
    second.send().unwrap();
    news.send(&[3]).unwrap();
    refused(receiver.try_receive(), ErrorKind::Lost(3));
    assert_eq!(receiver.receive().unwrap().to_vec().unwrap(), [3]);
    // One who waits for room is woken by who gives it back.
    let kept = news.loan(1).unwrap();
    std::thread::scope(|threads| {
        let waits = threads.spawn(|| news.send_within(&[4], LONG));
        std::thread::sleep(SHORT);
        drop(kept);
        waits.join().unwrap().unwrap();
    });
    // The place of what was given back is written over by now.
    refused(receiver.receive_within(LONG).map(drop), ErrorKind::Lost(2));
    assert_eq!(receiver.receive_within(LONG).unwrap().to_vec().unwrap(), [4]);
    drop(first);
}

#[test]
fn what_was_given_back_and_seen_to_be_is_not_lost_and_the_next_message_is_the_right_one() {
    let (_dir, path) = place();
    let news = create(&path).broadcast("news", 8, 8).unwrap();
    let mut receiver = news.receiver().unwrap();
    // Two that are given back, then more than a round: what is told and what follows must agree.
    for _ in 0..2 {
        drop(news.loan(8).unwrap());
    }
    let kept = news.loan(8).unwrap();
    assert!(receiver.try_receive().unwrap().is_none());
    for number in 0..8_u64 {
        news.send_value(&number).unwrap();
    }
    let error = refused(receiver.try_receive(), ErrorKind::Lost(4));
    says(&error, &["4 messages"]);
    // The loan and three messages: one that is written over, and two that would be next.
    for number in 3..8 {
        assert_eq!(number_in(&receiver.receive().unwrap()), number);
    }
    drop(kept);
}

#[cfg(target_os = "linux")]
#[test]
fn a_stopped_sender_holds_a_queue_up_until_it_goes_on_and_a_broadcast_for_a_round() {
    if child::role().is_some() {
        let region = of_the_parent();
        let (queue, news) =
            (region.queue("queue", 4, 8).unwrap(), region.broadcast("news", 4, 8).unwrap());
        let (mut one, mut two) = (queue.loan(8).unwrap(), news.loan(8).unwrap());
        child::point("began");
        one.put(0, &1_u64).unwrap();
        two.put(0, &1_u64).unwrap();
        one.send().unwrap();
        return two.send().unwrap();
    }
    let (_dir, path) = place();
    let region = create(&path);
    let (queue, news) =
        (region.queue("queue", 4, 8).unwrap(), region.broadcast("news", 4, 8).unwrap());
    let (mut from_queue, mut from_news) = (queue.receiver().unwrap(), news.receiver().unwrap());
    let mut child = child_of(this_test!(), "sender", &path);
    child.run_to("began", 1).unwrap();
    signal(&child, "-STOP");
    for number in 2..5_u64 {
        queue.try_send(&number.to_ne_bytes()).unwrap();
        news.send_value(&number).unwrap();
    }
    refused(from_queue.receive_within(SHORT), ErrorKind::TimedOut);
    refused(queue.send_within(&[5], SHORT), ErrorKind::TimedOut);
    refused(from_news.receive_within(SHORT), ErrorKind::TimedOut);
    for number in 5..8_u64 {
        news.send_value(&number).unwrap();
    }
    let many = match from_news.receive_within(LONG) {
        Err(error) => error.kind(),
        Ok(message) => panic!("{message:?}"),
    };
    assert!(matches!(many, ErrorKind::Lost(_)), "{many:?}");
    assert_eq!(number_in(&from_news.receive_within(LONG).unwrap()), 5);
    signal(&child, "-CONT");
    child.go_on().unwrap();
    child.finish().unwrap();
    for number in 1..5 {
        assert_eq!(number_in(&from_queue.receive_within(LONG).unwrap()), number);
    }
}

#[test]
fn a_queue_has_one_receiver_and_the_next_one_goes_on_where_it_ended() {
    let (_dir, path) = place();
    let (ours, theirs) = (create(&path), Region::open(&path).unwrap());
    let (here, there) = (ours.queue("q", 4, 8).unwrap(), theirs.queue("q", 4, 8).unwrap());
    let mut receiver = here.receiver().unwrap();
    refused(there.receiver(), ErrorKind::Busy);
    refused(there.receiver_within(SHORT), ErrorKind::TimedOut);
    for number in 0..4_u64 {
        there.send_value(&number).unwrap();
    }
    says(&refused(there.try_send(&[1]), ErrorKind::Full), &["all 4 slots"]);
    refused(there.send_within(&[1], SHORT), ErrorKind::TimedOut);
    assert_eq!(number_in(&receiver.receive().unwrap()), 0);
    drop(receiver);
    let mut receiver = there.receiver().unwrap();
    assert_eq!(number_in(&receiver.receive().unwrap()), 1);
    drop(receiver);
    refused(ours.queue("q", 8, 8), ErrorKind::LayoutMismatch);
    refused(ours.queue("q", 4, 9), ErrorKind::LayoutMismatch);
    says(&refused(ours.broadcast("q", 4, 8), ErrorKind::LayoutMismatch), &["as a queue"]);
    for (slots, bytes) in [(0, 8), (8, 0), (1 << 21, 8), (8, 1 << 31)] {
        refused(ours.queue("none", slots, bytes), ErrorKind::InvalidInput);
    }
}

/// Sends numbers, a thousand times the sender's own number and on, for ever.
fn send_for_ever(channel: &Channel, sender: u64) {
    for number in sender * 1_000_000_000.. {
        channel.send_value(&[number; 4]).unwrap();
    }
}

#[test]
fn senders_that_are_killed_lose_nothing_of_the_others_and_nothing_of_their_own_but_the_last() {
    if let Some(role) = child::role() {
        return send_for_ever(
            &of_the_parent().queue("queue", 16, 32).unwrap(),
            role.parse().unwrap(),
        );
    }
    let (_dir, path) = place();
    let region = create(&path);
    let queue = region.queue("queue", 16, 32).unwrap();
    let mut receiver = queue.receiver().unwrap();
    let mut random = Random::new();
    let mut senders: Vec<_> =
        (1..=3).map(|n| child_of(this_test!(), &n.to_string(), &path)).collect();
    let (mut last, mut next_name) = (std::collections::HashMap::new(), 4);
    let mut receive = |receiver: &mut Receiver, many: u64| {
        for _ in 0..many {
            let found: [u64; 4] = receiver.receive_within(LONG).unwrap().value().unwrap();
            assert!(found.iter().all(|number| *number == found[0]), "{found:?}");
            let (sender, number) = (found[0] / 1_000_000_000, found[0] % 1_000_000_000);
            let expected = last.insert(sender, number).map_or(0, |last| last + 1);
            assert_eq!(number, expected, "of sender {sender}");
        }
    };
    for _ in 0..budget(if cfg!(windows) { 5 } else { 30 }) {
        receive(&mut receiver, random.u64(0..300));
        senders.swap_remove(random.usize(0..3)).kill().unwrap();
        receive(&mut receiver, 50);
        senders.push(child_of(this_test!(), &next_name.to_string(), &path));
        next_name += 1;
    }
}

#[test]
fn what_a_killed_receiver_had_is_received_again() {
    if child::role().is_some() {
        let mut receiver = of_the_parent().queue("queue", 4, 8).unwrap().receiver().unwrap();
        let message = receiver.receive().unwrap();
        assert_eq!(number_in(&message), 1);
        child::point("received");
        drop(message);
        child::point("done");
        return;
    }
    for (point, next) in [("received", 1), ("done", 2)] {
        let (_dir, path) = place();
        let region = create(&path);
        let queue = region.queue("queue", 4, 8).unwrap();
        queue.send_value(&1_u64).unwrap();
        queue.send_value(&2_u64).unwrap();
        let mut child = child_of(this_test!(), "receiver", &path);
        child.run_to(point, 1).unwrap();
        refused(queue.receiver(), ErrorKind::Busy);
        child.kill().unwrap();
        let mut receiver = queue.receiver_within(LONG).unwrap();
        assert_eq!(number_in(&receiver.receive().unwrap()), next);
    }
}

#[test]
fn who_waits_is_woken_in_each_way_of_waiting() {
    if let Some(role) = child::role() {
        let region = of_the_parent();
        let (ping, pong) =
            (region.queue("ping", 2, 8).unwrap(), region.queue("pong", 2, 8).unwrap());
        let waiting = match role.as_str() {
            "spin" => Waiting::Spin,
            "sleep" => Waiting::Sleep,
            _ => Waiting::SpinThenSleep,
        };
        let mut receiver = ping.waiting(waiting).receiver().unwrap();
        for _ in 0..200 {
            let number = number_in(&receiver.receive_within(LONG).unwrap());
            pong.send_value(&(number + 1)).unwrap();
        }
        return;
    }
    for (role, waiting) in
        [("spin", Waiting::Sleep), ("sleep", Waiting::Spin), ("both", Waiting::SpinThenSleep)]
    {
        let (_dir, path) = place();
        let region = create(&path);
        let ping = region.queue("ping", 2, 8).unwrap();
        let pong = region.queue("pong", 2, 8).unwrap().waiting(waiting);
        let mut receiver = pong.receiver().unwrap();
        let child = child_of(this_test!(), role, &path);
        for number in 0..200_u64 {
            ping.send_value(&number).unwrap();
            assert_eq!(number_in(&receiver.receive_within(LONG).unwrap()), number + 1);
        }
        child.finish().unwrap();
    }
}

#[test]
fn a_full_queue_lets_its_senders_go_on_when_there_is_room() {
    let (_dir, path) = place();
    let region = create(&path);
    let queue = region.queue("queue", 2, 8).unwrap();
    let count = budget(2_000);
    std::thread::scope(|threads| {
        for sender in 0..2 {
            let queue = &queue;
            threads.spawn(move || {
                (0..count).for_each(|number| queue.send_value(&(number * 2 + sender)).unwrap());
            });
        }
        let mut receiver = queue.clone().waiting(Waiting::Sleep).receiver().unwrap();
        let mut next = [0, 1];
        for _ in 0..count * 2 {
            let number = number_in(&receiver.receive_within(LONG).unwrap());
            let expected = &mut next[(number % 2) as usize];
            assert_eq!(number, *expected);
            *expected += 2;
        }
    });
}

#[test]
fn broadcast_messages_are_whole_however_fast_they_are_written_over() {
    if child::role().is_some() {
        return send_for_ever(&of_the_parent().broadcast("news", 4, 32).unwrap(), 0);
    }
    let (_dir, path) = place();
    let region = create(&path);
    let news = region.broadcast("news", 4, 32).unwrap();
    let mut receiver = news.receiver().unwrap();
    let sender = child_of(this_test!(), "sender", &path);
    let (mut next, mut received, mut lost) = (None, 0, 0);
    while received < budget(5_000) {
        match receiver.receive_within(LONG) {
            Ok(message) => {
                let found: [u64; 4] = message.value().unwrap();
                assert!(found.iter().all(|number| *number == found[0]), "{found:?}");
                assert!(next.is_none_or(|next| next == found[0]), "{next:?}, {found:?}");
                next = Some(found[0] + 1);
                received += 1;
            }
            Err(error) => {
                let ErrorKind::Lost(many) = error.kind() else { panic!("{error}") };
                next = next.map(|next| next + many);
                lost += many;
            }
        }
    }
    sender.kill().unwrap();
    println!("{received} received, {lost} lost");
    soon("who was killed is passed over", || matches!(receiver.try_receive(), Ok(None)));
    news.send_value(&[7_u64; 4]).unwrap();
    assert_eq!(receiver.receive_within(LONG).unwrap().value::<[u64; 4]>().unwrap(), [7; 4]);
}
