//! A cgroup of our own with a real limit on memory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bifolio_map::machine::text::mountinfo;
use bifolio_testkit::privilege::need_root;
use bifolio_testkit::skip::{Obstacle, Skip};

const PREFIX: &str = "bifolio-test-";

/// A group without members, gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Cgroup {
    dir: PathBuf,
    /// The file with the limit.
    pub(crate) limit_file: PathBuf,
}

impl Cgroup {
    /// A group whose members may use so many bytes together, beside all groups that are there.
    pub(crate) fn new(limit_bytes: u64) -> Result<Self, Obstacle> {
        need_root()?;
        let (top, limit_name) = hierarchy()?;
        sweep(&top);
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = top.join(format!("{PREFIX}{}-{number}", std::process::id()));
        match fs::create_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                return Err(Skip::because("cgroups are read-only here").into());
            }
            result => result.map_err(|error| failed(&dir, &error))?,
        }
        let group = Self { limit_file: dir.join(limit_name), dir };
        fs::write(&group.limit_file, limit_bytes.to_string())
            .map_err(|error| failed(&group.limit_file, &error))?;
        Ok(group)
    }

    /// The command that makes a program run as a member.
    pub(crate) fn command(&self) -> [String; 4] {
        let join = format!("echo $$ > '{}/cgroup.procs' && exec \"$@\"", self.dir.display());
        ["sh".into(), "-c".into(), join, "sh".into()]
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The last member may still be on its way out.
        for _ in 0..200 {
            match fs::remove_dir(&self.dir) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                _ => return,
            }
        }
        eprintln!("cannot remove {}", self.dir.display());
    }
}

fn failed(path: &Path, error: &io::Error) -> Obstacle {
    Obstacle::Failed(format!("cannot make a cgroup: {}: {error}", path.display()))
}

/// The top of the hierarchy that limits memory, and the name of the limits there.
fn hierarchy() -> Result<(PathBuf, &'static str), Obstacle> {
    let text = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let mounts = mountinfo::parse(&text);
    if let Some(mount) = mounts.iter().find(|m| m.kind == "cgroup" && m.has("memory")) {
        return Ok((mount.point.clone(), "memory.limit_in_bytes"));
    }
    let mount = mounts.into_iter().find(|mount| mount.kind == "cgroup2");
    let top = mount.ok_or_else(|| Skip::because("no cgroups are mounted"))?.point;
    let controllers = fs::read_to_string(top.join("cgroup.subtree_control")).unwrap_or_default();
    if controllers.split_whitespace().any(|name| name == "memory") {
        Ok((top, "memory.max"))
    } else {
        Err(Skip::because("cgroups do not limit memory here").into())
    }
}

/// Removes the groups of tests that were killed.
fn sweep(top: &Path) {
    for entry in fs::read_dir(top).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-'));
        if owner.is_some_and(|(id, _)| !Path::new("/proc").join(id).exists()) {
            // A group with members stays.
            let _ = fs::remove_dir(entry.path());
        }
    }
}
