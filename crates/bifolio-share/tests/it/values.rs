//! What may be stored: derived types.

use bifolio_map::ReadWrite;
use bifolio_share::zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};
use bifolio_share::{ErrorKind, Shared};

use crate::support::{create, place, refused, says, sound};

#[derive(
    Clone, Copy, Debug, PartialEq, TryFromBytes, IntoBytes, Immutable, KnownLayout, Shared,
)]
#[repr(u8)]
enum State {
    Idle = 3,
    Busy = 7,
}

#[derive(
    Clone, Copy, Debug, PartialEq, TryFromBytes, IntoBytes, Immutable, KnownLayout, Shared,
)]
#[repr(C)]
struct Job {
    number: u64,
    state: State,
    urgent: bool,
    letters: [u8; 6],
}

#[derive(
    Clone, Copy, Debug, PartialEq, TryFromBytes, IntoBytes, Immutable, KnownLayout, Shared,
)]
#[repr(transparent)]
struct Metres(f64);

/// The same name, another order.
mod later {
    use super::*;

    #[derive(Clone, Copy, Debug, TryFromBytes, IntoBytes, Immutable, KnownLayout, Shared)]
    #[repr(C)]
    #[shared(name = "Job")]
    pub(super) struct NewJob {
        pub(super) state: u64,
        pub(super) number: u64,
    }
}

const JOB: Job = Job { number: 5, state: State::Busy, urgent: true, letters: *b"abcdef" };

#[test]
fn a_derived_type_says_how_it_lies() {
    assert_eq!(
        Job::SHARED_LAYOUT.describe(),
        "Job\t16\t8\nnumber\tu64\t0\nstate\tState of 1 bytes: Idle=3 Busy=7\t8\n\
         urgent\tbool\t9\nletters\t[u8; 6]\t10\n"
    );
    assert_eq!(Metres::SHARED_LAYOUT.describe(), "Metres\t8\t8\n0\tf64\t0\n");
}

#[test]
fn a_derived_value_goes_through_shared_memory() {
    let (_dir, path) = place();
    let region = create(&path);
    let lock = region.mutex("job", JOB).unwrap();
    assert_eq!(sound(lock.lock()).get().unwrap(), JOB);
    sound(lock.lock()).update(|job| job.state = State::Idle).unwrap();
    assert_eq!(sound(lock.lock()).get().unwrap(), Job { state: State::Idle, ..JOB });
}

#[test]
fn another_type_of_the_name_is_told_the_field() {
    let (_dir, path) = place();
    let region = create(&path);
    region.mutex("job", JOB).unwrap();
    let other = later::NewJob { state: 1, number: 2 };
    let error = refused(region.mutex("job", other), ErrorKind::LayoutMismatch);
    says(&error, &["field `state` is `u64` here and `State of 1 bytes: Idle=3 Busy=7` there"]);
}

#[test]
fn bytes_that_are_no_value_are_an_error_of_the_reader() {
    let (_dir, path) = place();
    let region = create(&path);
    let lock = region.mutex("job", JOB).unwrap();
    // Somebody writes past the lock and the type.
    let view = region.section().view::<ReadWrite>().unwrap();
    let bytes = view.read_vec(..).unwrap();
    let at = bytes.windows(6).position(|letters| letters == b"abcdef").unwrap() as u64;
    view.write_at(at - 2, &[4]).unwrap();
    let error = refused(sound(lock.lock()).get(), ErrorKind::Corrupt);
    says(&error, &["no value of `Job`"]);
    view.write_at(at - 2, &[3]).unwrap();
    assert_eq!(sound(lock.lock()).get().unwrap().state, State::Idle);
    view.write_at(at - 1, &[2]).unwrap();
    refused(sound(lock.lock()).get(), ErrorKind::Corrupt);
}
