//! What objects need, and what happens without it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bifolio_testkit::budget;
use bifolio_testkit::bugs::Verdict;

use super::{ASIDE, Objects};
use crate::ErrorKind;
use crate::kills::Twin;

/// Gets an object again and again that another thread removes and puts with another number; whether
/// what was got ever was another one than what has the name. What is pinned keeps it.
fn nameless(rounds: u64) -> Verdict {
    let dir = tempfile::tempdir().expect("a directory");
    let objects = Objects::open(dir.path()).expect("objects");
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for number in 0_u64.. {
                objects.put("object", &number.to_ne_bytes()).expect("a put");
                while objects.remove("object").is_err() && !done.load(Ordering::Relaxed) {}
                if done.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        let path = dir.path().join("object");
        // Rounds are objects that were there; how often none is depends on the other thread.
        let deadline = Instant::now() + Duration::from_secs(60);
        let (mut got, mut other) = (0, false);
        while got < rounds && !other && Instant::now() < deadline {
            if let Some(object) = objects.get("object").expect("a get") {
                got += 1;
                other = std::fs::read(&path).ok() != object.to_vec().ok();
            } else {
                std::thread::yield_now();
            }
        }
        done.store(true, Ordering::Relaxed);
        assert!(got > 0, "the other thread puts nothing");
        if other {
            Verdict::Caught { by: "another object".into(), after: got }
        } else {
            Verdict::Missed { after: got }
        }
    })
}

/// Whether what is read can be removed.
fn removed_while_read() -> Verdict {
    let dir = tempfile::tempdir().expect("a directory");
    let objects = Objects::open(dir.path()).expect("objects");
    objects.put("object", b"bytes").expect("a put");
    let _object = objects.get("object").expect("a get").expect("it is there");
    match objects.remove("object") {
        Err(error) if error.kind() == ErrorKind::Busy => Verdict::Missed { after: 1 },
        outcome => Verdict::Caught { by: format!("{outcome:?}"), after: 1 },
    }
}

/// Whether what a dead writer left is still there after as many puts as look for it.
fn left_by_the_dead() -> Verdict {
    let dir = tempfile::tempdir().expect("a directory");
    let left = dir.path().join(format!("{ASIDE}1-1"));
    std::fs::write(&left, b"half of").expect("a file");
    let objects = Objects::open(dir.path()).expect("objects");
    for number in 0..10 {
        objects.put(&format!("object {number}"), b"bytes").expect("a put");
    }
    match left.exists() {
        true => Verdict::Caught { by: "a file of a dead writer".into(), after: 10 },
        false => Verdict::Missed { after: 10 },
    }
}

/// Looks for what a twin does wrong.
pub(crate) fn hunt(twin: Option<Twin>, rounds: u64) -> Verdict {
    let all = [nameless(rounds), removed_while_read(), left_by_the_dead()];
    let one = match twin {
        Some(Twin::NameNotChecked) => 0,
        Some(Twin::PinsNotAsked) => 1,
        Some(_) => 2,
        None => {
            let caught = |verdict: &Verdict| matches!(verdict, Verdict::Caught { .. });
            return all.into_iter().find(caught).unwrap_or(Verdict::Missed { after: rounds });
        }
    };
    all.into_iter().nth(one).expect("one of three")
}

#[test]
fn what_is_read_keeps_its_name_and_what_the_dead_left_goes() {
    let verdict = hunt(None, budget(2_000));
    assert!(matches!(verdict, Verdict::Missed { .. }), "{verdict:?}");
}
