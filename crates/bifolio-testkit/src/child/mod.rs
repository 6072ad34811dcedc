//! Child processes that are killed at named points.
//!
//! A test runs itself again as a child: the same binary, told by `--exact` to run this one test,
//! with a *role* in its environment. The child calls [`point`] at the places of interest, where it
//! tells its parent the name and waits. The parent lets it go on, or kills it there, which is
//! therefore deterministic: nothing after the point has run.
//!
//! ```no_run
//! use bifolio_testkit::child::{self, Rerun};
//! use bifolio_testkit::this_test;
//!
//! // #[test]
//! fn a_kill_after_the_write_leaves_the_bytes() {
//!     if child::role().is_some() {
//!         std::fs::write("/some/file", "new").unwrap();
//!         child::point("after-write");
//!         return;
//!     }
//!     Rerun::of(this_test!(), "writer").kill_at("after-write").unwrap();
//!     assert_eq!(std::fs::read("/some/file").unwrap(), b"new");
//! }
//! ```
//!
//! The two talk through the child's standard input and output, so this works wherever Rust runs
//! processes. Everything is bounded by time. A child does not outlive its parent: dropping the
//! handle kills it (on Unix its whole process group), a parent that was itself killed leaves its
//! pipes closed, which ends the child at its next point, and Linux sends SIGKILL at once.

mod inside;
mod outside;

pub use inside::{point, role, tell};
pub use outside::{Child, Rerun};

/// The variable that gives a child its role.
const ROLE_VARIABLE: &str = "BIFOLIO_CHILD_ROLE";

/// What a child prints before the name of a point. It may stand anywhere in a line, because the
/// test harness prints the name of a test without ending the line.
const POINT_MARK: &str = "\u{1}bifolio-point:";

/// What a child prints before something it tells without waiting.
const TELL_MARK: &str = "\u{1}bifolio-tell:";

/// What the parent answers to let the child go on.
const GO_ON: &[u8] = b"go\n";

/// The name of the function that this is called in, as the test harness knows it: what
/// [`Rerun::of`] needs.
#[macro_export]
macro_rules! this_test {
    () => {{
        fn here() {}
        $crate::child::test_name(::std::any::type_name_of_val(&here))
    }};
}

/// The test's name in the type name of a function inside the test.
#[doc(hidden)]
#[must_use]
pub fn test_name(type_name: &'static str) -> &'static str {
    let inside = type_name.strip_suffix("::here").unwrap_or(type_name);
    let mut test = inside;
    while let Some(outer) = test.strip_suffix("::{{closure}}") {
        test = outer;
    }
    test.split_once("::").map_or(test, |(_crate_name, name)| name)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_test_knows_its_name() {
        assert_eq!(this_test!(), "child::tests::a_test_knows_its_name");
        let inside_a_closure = || this_test!();
        assert_eq!(inside_a_closure(), "child::tests::a_test_knows_its_name");
    }

    #[test]
    #[cfg_attr(miri, ignore = "runs processes")]
    fn a_child_is_killed_at_the_point_and_not_after_it() {
        if role().is_some() {
            tell("before");
            point("first");
            tell("between");
            point("second");
            tell("after");
            return;
        }
        let rerun = || Rerun::of(this_test!(), "child");
        assert_eq!(rerun().points().unwrap(), ["first", "second"]);
        assert_eq!(rerun().kill_at("first").unwrap(), ["before"]);
        assert_eq!(rerun().kill_at("second").unwrap(), ["before", "between"]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "runs processes")]
    fn the_nth_visit_of_a_point_is_counted_from_one() {
        if role().is_some() {
            for round in 0..5 {
                point("round");
                tell(&round.to_string());
            }
            return;
        }
        let told = Rerun::of(this_test!(), "child").kill_at_nth("round", 3).unwrap();
        assert_eq!(told, ["0", "1"]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "runs processes")]
    fn a_point_that_is_never_reached_is_an_error() {
        if role().is_some() {
            point("somewhere");
            return;
        }
        let error = Rerun::of(this_test!(), "child").kill_at("elsewhere").unwrap_err();
        assert!(error.to_string().contains("ended before the point \"elsewhere\""), "{error}");
    }

    #[test]
    #[cfg_attr(miri, ignore = "runs processes")]
    fn a_child_that_hangs_is_ended_after_its_time() {
        if role().is_some() {
            loop {
                std::thread::park();
            }
        }
        let rerun = Rerun::of(this_test!(), "child").within(Duration::from_millis(200));
        assert_eq!(rerun.points().unwrap_err().kind(), ErrorKind::TimedOut);
    }

    #[test]
    #[cfg_attr(miri, ignore = "runs processes")]
    fn a_child_whose_test_fails_is_an_error() {
        if role().is_some() {
            panic!("this is the child failing on purpose");
        }
        let error = Rerun::of(this_test!(), "child").finish().unwrap_err();
        assert!(error.to_string().contains("failed"), "{error}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    #[cfg_attr(miri, ignore = "runs processes")]
    fn dropping_the_handle_ends_the_child_and_its_children() {
        if role().is_some() {
            let mut sleeper = std::process::Command::new("sleep").arg("60").spawn().unwrap();
            tell(&sleeper.id().to_string());
            point("started");
            sleeper.wait().unwrap();
            return;
        }
        let mut child = Rerun::of(this_test!(), "child").spawn().unwrap();
        child.run_to("started", 1).unwrap();
        let grandchild: i32 = child.told()[0].parse().unwrap();
        let pids = [i32::try_from(child.id()).unwrap(), grandchild];
        drop(child);
        for pid in pids {
            let running = || {
                let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
                // A zombie that init has not collected yet is dead all the same.
                let dead = stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'));
                (!dead).then_some(stat)
            };
            for _ in 0..500 {
                if running().is_none() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            assert_eq!(running(), None, "process {pid} is still there");
        }
    }
}
