//! A file that is only ever cut off: then a zero is never right, and every access beyond the end is
//! an error. (In the storm the file also grows again, and zeros are what the system gives there.)

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bifolio_map::{Error, ErrorKind, Read, Section, View};
use bifolio_testkit::{Random, budget};

use crate::support::{byte_at, file_of, page, pattern, truncate};

const PAGES: u64 = 64;

/// An access that was not what it must be: its offset, and what came of it.
type Wrong = (u64, Result<u8, ErrorKind>);

/// What is known about the length of the file, while another thread cuts it off page by page.
struct Lengths {
    /// Bytes from here on may be gone: told before each cut.
    doubtful: AtomicU64,
    /// Bytes from here on are gone: told after each cut.
    gone: AtomicU64,
}

/// One access and what it must be; the offset and the outcome if it is not.
fn judge(
    offset: u64,
    read: impl Fn(u64) -> Result<u8, Error>,
    lengths: &Lengths,
) -> Result<(), Wrong> {
    let gone_before = lengths.gone.load(Ordering::SeqCst);
    let outcome = read(offset).map_err(|error| error.kind());
    let doubtful_after = lengths.doubtful.load(Ordering::SeqCst);
    let right = match outcome {
        Ok(byte) => byte == byte_at(offset) && offset < gone_before,
        Err(ErrorKind::UnexpectedEof) => offset >= doubtful_after,
        Err(_) => false,
    };
    if right { Ok(()) } else { Err((offset, outcome)) }
}

/// Cuts a file off under threads that read by `read`; the first wrong outcome, and how many
/// accesses met the end.
fn cut_under(read: impl Fn(&View<Read>, u64) -> Result<u8, Error> + Sync) -> (Option<Wrong>, u64) {
    let (_dir, path) = file_of(pattern(0, usize::try_from(PAGES * page()).unwrap()));
    let view: View<Read> = Section::open(&path).unwrap().view().unwrap();
    let whole = PAGES * page();
    let lengths = Lengths { doubtful: AtomicU64::new(whole), gone: AtomicU64::new(whole) };
    let (done, errors) = (AtomicBool::new(false), AtomicU64::new(0));
    let reader = || {
        let mut random = Random::new();
        loop {
            let last_round = done.load(Ordering::SeqCst);
            for _ in 0..200 {
                let offset = random.u64(0..whole);
                judge(offset, |offset| read(&view, offset), &lengths)?;
                if offset >= lengths.gone.load(Ordering::SeqCst) {
                    errors.fetch_add(1, Ordering::Relaxed);
                }
            }
            if last_round {
                return Ok(());
            }
        }
    };
    let first_wrong = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(reader)).collect();
        for left in (0..PAGES).rev() {
            lengths.doubtful.store(left * page(), Ordering::SeqCst);
            truncate(&path, left * page());
            lengths.gone.store(left * page(), Ordering::SeqCst);
            std::thread::yield_now();
        }
        done.store(true, Ordering::SeqCst);
        readers.into_iter().find_map(|reader| reader.join().unwrap().err())
    });
    (first_wrong, errors.into_inner())
}

#[test]
fn of_a_file_that_is_only_cut_off_no_byte_is_ever_invented() {
    for _ in 0..budget(3) {
        let (wrong, met_the_end) = cut_under(|view, offset| view.get::<u8>(offset));
        assert_eq!(wrong, None);
        assert!(met_the_end > 0, "no access met the end");
        let (wrong, _) = cut_under(|view, offset| {
            let mut bytes = [0xee];
            view.read_at(offset, &mut bytes).map(|()| bytes[0])
        });
        assert_eq!(wrong, None);
    }
}

#[test]
fn a_recovery_that_invents_zeros_is_noticed() {
    // The broken twin: what mapping a page of zeros over a fault would do.
    let (wrong, _) = cut_under(|view, offset| Ok(view.get::<u8>(offset).unwrap_or(0)));
    assert!(matches!(wrong, Some((_, Ok(0)))), "{wrong:?}");
}
