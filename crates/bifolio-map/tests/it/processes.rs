//! Which process this is, and which others live.

use bifolio_map::process::{ProcessId, ProcessMark, ProcessState};
use bifolio_testkit::child::{self, Rerun};
use bifolio_testkit::this_test;

fn stored(id: ProcessId) -> String {
    format!("{} {} {}", id.pid(), id.started(), id.namespace())
}

fn restored(text: &str) -> ProcessId {
    let parts: Vec<u64> = text.split(' ').map(|part| part.parse().expect("a number")).collect();
    ProcessId::from_parts(parts[0] as u32, parts[1], parts[2])
}

#[test]
fn the_types_can_be_used_from_any_thread() {
    fn check<T: Send + Sync + Copy>() {}
    check::<ProcessId>();
    check::<ProcessMark>();
}

#[test]
fn a_process_runs_until_it_is_killed_and_another_one_of_its_number_is_another_one() {
    if child::role().is_some() {
        child::tell(&stored(ProcessId::current()));
        return child::point("alive");
    }
    let me = ProcessId::current();
    assert_eq!(me.state(), ProcessState::Running);
    let mut other = Rerun::of(this_test!(), "other").spawn().unwrap();
    other.run_to("alive", 1).unwrap();
    let told = restored(other.told().last().unwrap());
    assert_eq!(told.pid(), other.id());
    assert_eq!(told.state(), ProcessState::Running);
    let later = ProcessId::from_parts(told.pid(), told.started() + 1, told.namespace());
    assert_eq!(later.state(), ProcessState::Ended);
    other.kill().unwrap();
    assert_eq!(told.state(), ProcessState::Ended);
}

#[test]
fn any_numbers_have_an_answer() {
    let me = ProcessId::current();
    for pid in [0, 1, me.pid(), 1 << 22, u32::MAX] {
        for started in [0, 1, u64::MAX] {
            let _ = ProcessId::from_parts(pid, started, me.namespace()).state();
            let elsewhere = ProcessId::from_parts(pid, started, me.namespace() ^ 1);
            assert_eq!(elsewhere.state(), ProcessState::Unknown);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_zombie_has_ended() {
    let mut zombie = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let me = ProcessId::current();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", zombie.id())).unwrap();
    let behind_the_name = stat.rsplit(')').next().unwrap();
    let started = behind_the_name.split_ascii_whitespace().nth(19).unwrap().parse().unwrap();
    let id = ProcessId::from_parts(zombie.id(), started, me.namespace());
    assert_eq!(id.state(), ProcessState::Running);
    zombie.kill().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while id.state() == ProcessState::Running {
        assert!(std::time::Instant::now() < deadline);
    }
    assert_eq!(id.state(), ProcessState::Ended, "nobody has collected it");
    zombie.wait().unwrap();
    assert_eq!(id.state(), ProcessState::Ended);
}

#[cfg(target_os = "linux")]
#[test]
fn a_mark_tells_a_forked_child_from_its_parent_and_a_grandchild_from_both() {
    use crate::support::fork::in_forked_child;
    let mark = ProcessMark::here();
    let code = in_forked_child(|| {
        let (ours, inner) = (ProcessMark::here(), mark.is_here());
        let grandchild = in_forked_child(|| i32::from(ours.is_here() || mark.is_here()));
        i32::from(inner || !ours.is_here() || grandchild != Some(0))
    });
    assert_eq!(code, Some(0));
    assert!(mark.is_here());
}

#[cfg(target_os = "linux")]
#[test]
fn a_mark_of_the_process_that_made_it_stays_right_however_often_it_forks() {
    use crate::support::fork::in_forked_child;
    let mark = ProcessMark::here();
    for _ in 0..10 {
        assert_eq!(in_forked_child(|| i32::from(mark.is_here())), Some(0));
        assert!(mark.is_here());
    }
}
