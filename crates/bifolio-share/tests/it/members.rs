//! Participants: who has joined, and who lives.

use bifolio_map::Create;
use bifolio_share::{ErrorKind, Life, Region};
use bifolio_testkit::{child, this_test};

#[cfg(target_os = "linux")]
use crate::support::signal;
use crate::support::{child_of, create, of_the_parent, place, refused, says, soon};

#[test]
fn the_list_tells_the_living_from_those_who_left_and_those_who_died() {
    if child::role().is_some() {
        let region = of_the_parent();
        child::tell(&region.me().slot().to_string());
        return child::point("joined");
    }
    let (_dir, path) = place();
    let region = create(&path);
    let life = |slot: u32| {
        let members = region.members().unwrap();
        let found = members.iter().find(|member| member.holder.slot().number() == slot);
        found.map(|member| (member.life, member.process.pid()))
    };
    let mut dying = child_of(this_test!(), "dying", &path);
    let mut leaving = child_of(this_test!(), "leaving", &path);
    dying.run_to("joined", 1).unwrap();
    leaving.run_to("joined", 1).unwrap();
    let slot = |told: &[String]| told.last().unwrap().parse::<u32>().unwrap();
    let (one, two) = (slot(dying.told()), slot(leaving.told()));
    let (first, second) = (dying.id(), leaving.id());
    assert_eq!(life(one), Some((Life::Alive, first)));
    assert_eq!(life(two), Some((Life::Alive, second)));
    dying.kill().unwrap();
    leaving.go_on().unwrap();
    leaving.finish().unwrap();
    soon("the death is seen", || life(one) == Some((Life::Died, first)));
    soon("the leaving is seen", || life(two) == Some((Life::Left, second)));
    assert_eq!(life(0).unwrap().0, Life::Alive);
    assert_eq!(region.members().unwrap().len(), 3);
}

#[test]
fn a_slot_is_given_out_again_with_the_next_generation_and_the_death_is_counted_once() {
    if child::role().is_some() {
        let _region = of_the_parent();
        return child::point("joined");
    }
    let (_dir, path) = place();
    let options = Region::options().create(Create::New).capacity(1 << 20).participants(2);
    let region = options.open(&path).unwrap();
    for death in 1..4 {
        let mut other = child_of(this_test!(), "other", &path);
        other.run_to("joined", 1).unwrap();
        refused(Region::open(&path), ErrorKind::TooMany);
        other.kill().unwrap();
        let again = Region::open(&path).unwrap();
        assert_eq!(again.me().slot().number(), 1);
        assert_eq!(again.me().generation(), 2 * death);
        assert_eq!(region.deaths().unwrap(), u64::from(death));
    }
}

#[test]
fn all_slots_taken_is_an_error_and_a_slot_that_is_left_is_free() {
    let (_dir, path) = place();
    let new = Region::options().create(Create::New).capacity(1 << 20).participants(3);
    let first = new.open(&path).unwrap();
    let second = Region::open(&path).unwrap();
    let third = Region::open(&path).unwrap();
    let error = refused(Region::open(&path), ErrorKind::TooMany);
    says(&error, &["all 3 slots"]);
    drop(second);
    assert_eq!(Region::open(&path).unwrap().me().slot().number(), 1);
    drop((first, third));
    assert_eq!(Region::open(&path).unwrap().deaths().unwrap(), 0, "nobody died");
}

#[test]
fn a_label_is_told_and_cut_to_its_place() {
    let (_dir, path) = place();
    let first = Region::options().create(Create::New).label("the writer").open(&path).unwrap();
    let long = "ä".repeat(50);
    let _second = Region::options().label(long.clone()).open(&path).unwrap();
    let _third = Region::open(&path).unwrap();
    let labels: Vec<String> = first.members().unwrap().into_iter().map(|m| m.label).collect();
    assert_eq!(labels[..2], ["the writer".to_owned(), long[..64].to_owned()]);
    assert!(!labels[2].is_empty(), "the program's name");
}

/// Its threads stand still; its locks are not taken from it.
#[cfg(target_os = "linux")]
#[test]
fn a_stopped_process_is_alive() {
    if child::role().is_some() {
        let _region = of_the_parent();
        return child::point("joined");
    }
    let (_dir, path) = place();
    let region = create(&path);
    let mut other = child_of(this_test!(), "other", &path);
    other.run_to("joined", 1).unwrap();
    signal(&other, "-STOP");
    let alive = || region.members().unwrap().iter().filter(|m| m.life == Life::Alive).count();
    assert_eq!(alive(), 2);
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(alive(), 2);
    other.kill().unwrap();
    soon("the death is seen", || alive() == 1);
}
