//! What this process may do: root, and namespaces in which an ordinary user may mount.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::child::{Rerun, role};
use crate::random::budget;
use crate::skip::{Obstacle, Skip};

/// The role of a test that runs again in a user namespace.
const NAMESPACE_ROLE: &str = "user-namespace";

/// The command that makes the namespaces: one for users, in which this user is root, and one for
/// mounts.
const UNSHARE: [&str; 3] = ["unshare", "-Ur", "-m"];

/// `Ok` for root of the whole machine, as loop devices need it.
///
/// # Errors
/// The skip for an ordinary user, and for the root of a user namespace.
pub fn need_root() -> Result<(), Skip> {
    // In the first user namespace every id maps to itself.
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let whole = map.split_whitespace().eq(["0", "0", "4294967295"]);
    if rustix::process::geteuid().is_root() && whole {
        Ok(())
    } else {
        Err(Skip::because("needs root"))
    }
}

/// `Ok` for root, be it of a user namespace only: who may mount a tmpfs.
///
/// # Errors
/// The skip for an ordinary user.
pub fn need_mounts() -> Result<(), Skip> {
    if rustix::process::geteuid().is_root() {
        Ok(())
    } else {
        Err(Skip::because("needs root, or user namespaces (unshare -Ur -m)"))
    }
}

/// Where a test goes on after [`in_user_namespace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// Here: this process may mount a tmpfs.
    Inside,
    /// Nowhere: the test ran, and passed, in a child inside of a namespace.
    Ran,
}

/// Lets a test mount a tmpfs though an ordinary user runs it: runs the test again as a child in
/// namespaces of its own. Root needs none and goes on here.
///
/// ```no_run
/// use bifolio_testkit::privilege::{Namespace, in_user_namespace};
/// use bifolio_testkit::{skip, this_test};
///
/// // #[test]
/// fn a_full_disk_is_an_error() {
///     let place = skip::or_count(in_user_namespace(this_test!()));
///     if place != Some(Namespace::Inside) {
///         return;
///     }
///     // Here a small tmpfs can be mounted.
/// }
/// ```
///
/// Call it before [`child::role`](crate::child::role) is asked for roles of the test's own.
///
/// # Errors
/// A skip where the system does not let users make namespaces; a failure if the child fails.
pub fn in_user_namespace(test: &str) -> Result<Namespace, Obstacle> {
    if need_mounts().is_ok() {
        return Ok(Namespace::Inside);
    }
    if role().as_deref() == Some(NAMESPACE_ROLE) {
        return Err(Obstacle::Failed("this namespace was made without its root".into()));
    }
    let [program, options @ ..] = UNSHARE;
    let probe = Command::new(program)
        .args(options)
        .arg("true")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match probe {
        Ok(status) if status.success() => {}
        Ok(_) => return Err(Skip::because("the system refuses user namespaces").into()),
        Err(_) => return Err(Skip::because("needs unshare (package util-linux)").into()),
    }
    let time = Duration::from_secs(budget(60).max(60));
    let rerun = Rerun::of(test, NAMESPACE_ROLE).under(UNSHARE).within(time);
    rerun.finish().map_err(|error| Obstacle::Failed(error.to_string()))?;
    Ok(Namespace::Ran)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "asks the system")]
    fn root_of_the_machine_may_mount() {
        if need_root().is_ok() {
            assert_eq!(need_mounts(), Ok(()));
        }
    }
}
