//! The single-step killer on a publication of one value: the value first, then the flag.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use bifolio_testkit::child::{self, Rerun};
use bifolio_testkit::skip::{self, Obstacle};
use bifolio_testkit::step::{
    StepReport, Visit, kill_at_every_instruction, region, stop_at_every_instruction,
};
use bifolio_testkit::{budget, this_test};

const PATH_VARIABLE: &str = "BIFOLIO_STEPS_PATH";
const FLAG: u64 = 0;
const VALUE: u64 = 1;

/// Publishes in the child: these places of the file become 1, in this order.
fn publish(order: [u64; 2]) {
    let file = File::options().write(true).open(std::env::var_os(PATH_VARIABLE).unwrap()).unwrap();
    region(|| order.map(|place| file.write_at(&[1], place).unwrap()));
}

/// Kills a child of this test at the instructions of `visit`; returns what it left, too.
fn kill_everywhere(test: &str, visit: Visit) -> (Result<StepReport, Obstacle>, BTreeSet<Vec<u8>>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let rerun = Rerun::of(test, "publisher").with_variable(PATH_VARIABLE, &path);
    let mut left = BTreeSet::new();
    let report = kill_at_every_instruction(
        &rerun,
        visit,
        || fs::write(&path, [0, 0]).unwrap(),
        |_| check(&path, &mut left),
    );
    (report, left)
}

fn check(path: &Path, left: &mut BTreeSet<Vec<u8>>) -> Result<(), String> {
    let bytes = fs::read(path).unwrap();
    let flag_without_value = bytes == [1, 0];
    left.insert(bytes);
    if flag_without_value { Err("the flag without the value".into()) } else { Ok(()) }
}

#[test]
#[cfg_attr(miri, ignore = "traces processes")]
fn a_kill_at_any_instruction_leaves_nothing_the_value_or_both() {
    if child::role().is_some() {
        return publish([VALUE, FLAG]);
    }
    // A sixth of them by default; `BIFOLIO_BUDGET=6` visits every one.
    let most = usize::try_from(budget(100)).unwrap_or(usize::MAX);
    let (report, left) = kill_everywhere(this_test!(), Visit::AtMost(most));
    let Some(report) = skip::or_count(report) else { return };
    println!("{report}");
    assert!(report.points > 10, "{report}");
    assert_eq!(left, [vec![0, 0], vec![0, 1], vec![1, 1]].into(), "all of them were seen");
}

#[test]
#[cfg_attr(miri, ignore = "traces processes")]
fn the_wrong_order_is_caught_at_some_instruction() {
    if child::role().is_some() {
        return publish([FLAG, VALUE]);
    }
    match kill_everywhere(this_test!(), Visit::EachNth(7)).0 {
        Err(Obstacle::Failed(complaint)) => {
            assert!(complaint.ends_with("the flag without the value"), "{complaint}");
        }
        other => assert!(skip::or_count(other).is_none(), "the wrong order was not noticed"),
    }
}

#[test]
#[cfg_attr(miri, ignore = "traces processes")]
fn a_sample_visits_as_many_points_as_it_says() {
    if child::role().is_some() {
        return publish([VALUE, FLAG]);
    }
    let (report, _) = kill_everywhere(this_test!(), Visit::AtMost(5));
    if let Some(report) = skip::or_count(report) {
        assert_eq!(report.points, 6, "the whole region, and five points in it");
    }
}

#[test]
#[cfg_attr(miri, ignore = "traces processes")]
fn a_region_that_panics_is_an_error() {
    if child::role().is_some() {
        return region(|| panic!("this region panics on purpose"));
    }
    match kill_everywhere(this_test!(), Visit::Every).0 {
        Err(Obstacle::Failed(error)) => assert!(error.contains("child ended"), "{error}"),
        other => assert!(skip::or_count(other).is_none(), "a panic is no region"),
    }
}

#[test]
#[cfg_attr(miri, ignore = "traces processes")]
fn around_its_calls_the_wrong_order_is_caught_as_well() {
    if child::role().is_some() {
        return publish([FLAG, VALUE]);
    }
    match kill_everywhere(this_test!(), Visit::AroundCalls).0 {
        Err(Obstacle::Failed(complaint)) => {
            assert!(complaint.ends_with("the flag without the value"), "{complaint}");
        }
        other => assert!(skip::or_count(other).is_none(), "the wrong order was not noticed"),
    }
}

/// Adds one to a byte, by a read and a write, and says what it had read.
fn count(path: &Path) -> u8 {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 0).unwrap();
    file.write_all_at(&[byte[0] + 1], 0).unwrap();
    byte[0]
}

#[test]
#[cfg_attr(miri, ignore = "traces processes")]
fn a_lost_update_is_found_where_one_process_stands_still_between_its_calls() {
    let path = |variable| std::path::PathBuf::from(std::env::var_os(variable).unwrap());
    if child::role().is_some() {
        region(|| count(&path(PATH_VARIABLE)));
        return child::point("done");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let rerun = Rerun::of(this_test!(), "counter").with_variable(PATH_VARIABLE, &path);
    let mut left = BTreeSet::new();
    let report = stop_at_every_instruction(
        &rerun,
        Visit::AroundCalls,
        || fs::write(&path, [0]).unwrap(),
        |()| {
            count(&path);
            Ok(())
        },
        |(), child| {
            child.run_to("done", 1).map_err(|error| error.to_string())?;
            left.insert(fs::read(&path).unwrap()[0]);
            Ok(())
        },
    );
    let Some(report) = skip::or_count(report) else { return };
    println!("{report}");
    assert_eq!(left, [1, 2].into(), "lost between the two calls, and only there");
}
