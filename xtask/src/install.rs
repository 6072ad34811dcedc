//! Fetching what the checks need: through rustup, apt-get and cargo.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::cmd::Cmd;
use crate::need::{self, Need, Source, Toolchain};
use crate::workspace::Workspace;

/// Why something could not be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// This machine or this user cannot: no rights, no network, no installer.
    Machine(String),
    /// It should have worked.
    Broken(String),
}

/// What an attempt to install everything left undone, by installer.
#[derive(Debug, Default)]
pub(crate) struct Troubles(Vec<(Installer, Trouble)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Installer {
    Rustup(Toolchain),
    /// The packages of one need: another one's may be to be had when these are not.
    Apt(&'static [&'static str]),
    Cargo,
}

impl Troubles {
    /// What went wrong with the installer that would have brought `need`.
    pub(crate) fn of(&self, need: &Need) -> Option<&Trouble> {
        let installer = Installer::of(need.source);
        self.0.iter().find(|(name, _)| *name == installer).map(|(_, trouble)| trouble)
    }
}

impl Installer {
    fn of(source: Source) -> Self {
        match source {
            Source::Target(toolchain, _) | Source::Component(toolchain, _) => {
                Installer::Rustup(toolchain)
            }
            Source::Apt(packages) => Installer::Apt(packages),
            Source::Cargo(_) => Installer::Cargo,
        }
    }
}

/// Installs all of `missing`, one call per installer. Never fails itself: whoever needs a thing
/// looks whether it is there.
pub(crate) fn install(missing: &[Need], workspace: &Workspace) -> Troubles {
    let mut troubles = Troubles::default();
    let mut note = |installer, outcome: Result<(), Trouble>| {
        if let Err(trouble) = outcome {
            let (Trouble::Machine(why) | Trouble::Broken(why)) = &trouble;
            println!("could not install: {why}");
            troubles.0.push((installer, trouble));
        }
    };
    for toolchain in [Toolchain::Default, Toolchain::Nightly] {
        let wanted: Vec<Source> = missing
            .iter()
            .map(|need| need.source)
            .filter(|source| Installer::of(*source) == Installer::Rustup(toolchain))
            .collect();
        if !wanted.is_empty() {
            note(Installer::Rustup(toolchain), rustup(toolchain, &wanted, workspace));
        }
    }
    let packages: BTreeSet<&'static [&'static str]> = missing
        .iter()
        .filter_map(|need| match need.source {
            Source::Apt(packages) => Some(packages),
            _ => None,
        })
        .collect();
    if !packages.is_empty() {
        for (packages, trouble) in apt(&packages) {
            note(Installer::Apt(packages), Err(trouble));
        }
    }
    for need in missing {
        if let Source::Cargo(name) = need.source {
            note(Installer::Cargo, cargo(name, workspace));
        }
    }
    troubles
}

fn rustup(toolchain: Toolchain, wanted: &[Source], workspace: &Workspace) -> Result<(), Trouble> {
    if need::find_program(&["rustup"]).is_none() {
        return Err(Trouble::Machine("this machine has no rustup".into()));
    }
    let targets: Vec<&str> = wanted
        .iter()
        .filter_map(|source| match source {
            Source::Target(_, triple) => Some(*triple),
            _ => None,
        })
        .collect();
    let components: Vec<&str> = wanted
        .iter()
        .filter_map(|source| match source {
            Source::Component(_, name) => Some(*name),
            _ => None,
        })
        .collect();
    let rustup = Cmd::new("rustup").dir(&workspace.root).limit(Duration::from_mins(10));
    match toolchain {
        Toolchain::Default => {
            if !targets.is_empty() {
                attempt(&rustup.clone().args(["target", "add"]).args(targets))?;
            }
            if !components.is_empty() {
                attempt(&rustup.args(["component", "add"]).args(components))?;
            }
            Ok(())
        }
        Toolchain::Nightly => {
            let mut command = rustup
                .args(["toolchain", "install", "nightly", "--profile", "minimal"])
                // An ordinary user may not replace the rustup that root installed.
                .arg("--no-self-update");
            for component in components.iter().filter(|name| **name != "rustc") {
                command = command.args(["--component", component]);
            }
            attempt(&command)
        }
    }
}

/// Installs all packages in one call. If that fails, one of them may be at fault (or two conflict):
/// then each need's on their own. Returns what could not be had, and why.
fn apt(needs: &BTreeSet<&'static [&'static str]>) -> Vec<(&'static [&'static str], Trouble)> {
    let nothing = |why: &str| {
        needs.iter().map(|packages| (*packages, Trouble::Machine(why.into()))).collect()
    };
    if need::find_program(&["apt-get"]).is_none() {
        return nothing("this machine has no apt-get");
    }
    let Some(prefix) = root_prefix() else {
        return nothing("apt-get needs root, and sudo is not to be had");
    };
    let apt = |args: &[&str]| {
        let mut words = prefix.to_vec();
        words.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-qq"]);
        words.extend(["-o", "DPkg::Lock::Timeout=120"]);
        words.extend(args);
        Cmd::new(words[0]).args(&words[1..]).limit(Duration::from_mins(10))
    };
    // A list that cannot be refreshed may still be good enough to install from.
    let refreshed = attempt(&apt(&["update"]));
    let install = |packages: &[&str]| {
        let mut words = vec!["install", "--no-install-recommends"];
        words.extend(packages);
        attempt(&apt(&words)).map_err(|trouble| match &refreshed {
            Err(Trouble::Machine(why)) => Trouble::Machine(why.clone()),
            _ => trouble,
        })
    };
    match install(&needs.iter().copied().flatten().copied().collect::<Vec<_>>()) {
        Ok(()) => Vec::new(),
        Err(_) if needs.len() > 1 => needs
            .iter()
            .filter_map(|packages| install(packages).err().map(|trouble| (*packages, trouble)))
            .collect(),
        Err(trouble) => needs.iter().map(|packages| (*packages, trouble.clone())).collect(),
    }
}

/// The words that make a command run as root: none, or `sudo -n`; `None` if it cannot.
fn root_prefix() -> Option<&'static [&'static str]> {
    let uid = Cmd::new("id").arg("-u").output().ok()?;
    if uid.trim() == "0" {
        return Some(&[]);
    }
    let sudo = need::find_program(&["sudo"])?;
    Cmd::new(sudo).args(["-n", "true"]).output().ok()?;
    Some(&["sudo", "-n"])
}

/// Builds a tool into `target/tools`. Unoptimised and without default features: measured for
/// cargo-deny on two cores, 45 s, and it checks this workspace within a second.
fn cargo(name: &str, workspace: &Workspace) -> Result<(), Trouble> {
    let tools = need::tools_dir(workspace);
    let build = tools.join("build");
    let outcome = attempt(
        &Cmd::new("cargo")
            .args(["install", "--locked", "--profile", "dev", "--no-default-features", name])
            .arg("--root")
            .arg(&tools)
            .arg("--target-dir")
            .arg(&build)
            // Outside the workspace, so that neither its configuration nor its toolchain counts.
            .dir(&std::env::temp_dir())
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .limit(Duration::from_mins(10)),
    );
    // Intermediate files of no further use; if they stay, they only take room.
    let _ = std::fs::remove_dir_all(&build);
    outcome
}

fn attempt(command: &Cmd) -> Result<(), Trouble> {
    println!("installing: {}", command.shown());
    match command.output() {
        Ok(_) => Ok(()),
        Err(why) => Err(match reason_of_the_machine(&why) {
            Some(reason) => Trouble::Machine(format!("{reason}: {why}")),
            None => Trouble::Broken(why),
        }),
    }
}

/// Installers say in words only that there is no network, or no right to write.
fn reason_of_the_machine(why: &str) -> Option<&'static str> {
    const NETWORK: &[&str] = &[
        "Temporary failure resolving",
        "Could not resolve",
        "Couldn't resolve",
        "dns error",
        "Network is unreachable",
        "error sending request",
        "Cannot initiate the connection",
    ];
    const RIGHTS: &[&str] = &["Permission denied", "Read-only file system"];
    let speaks_of = |words: &[&str]| words.iter().any(|words| why.contains(words));
    if speaks_of(NETWORK) {
        Some("no network")
    } else if speaks_of(RIGHTS) {
        Some("no right to install")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_found_by_whoever_would_have_brought_the_need() {
        let wine = Installer::of(need::WINE.source);
        let troubles = Troubles(vec![(wine, Trouble::Machine("apt-get needs root".into()))]);
        assert!(matches!(troubles.of(&need::WINE), Some(Trouble::Machine(_))));
        assert_eq!(troubles.of(&need::WINDOWS), None);
        assert_eq!(troubles.of(&need::MINGW), None, "other packages are another matter");
        assert_eq!(troubles.of(&need::CARGO_DENY), None);
    }

    #[test]
    fn what_the_machine_refuses_is_told_from_a_broken_installation() {
        let reason = reason_of_the_machine;
        assert_eq!(reason("Err:1 Temporary failure resolving 'deb'"), Some("no network"));
        assert_eq!(reason("error: Permission denied (os error 13)"), Some("no right to install"));
        assert_eq!(reason("E: Unable to locate package no-such-package"), None);
    }
}
