//! Named shared memory.

use bifolio::map::machine::{AtLogout, SharedMemory};

use crate::commands::doctor::finding::{Finding, Level, of};
use crate::commands::shm::leftovers::{Leftover, State};
use crate::units::format_bytes;

/// What containers get unless somebody asks for more.
const CONTAINER: u64 = 64 << 20;

pub(in crate::commands::doctor) fn findings(shared: &SharedMemory) -> Vec<Finding> {
    let directory =
        shared.directory.value().map_or_else(String::new, |path| path.display().to_string());
    let mut found = Vec::new();
    match shared.directory.why_unknown() {
        Some(why) => {
            let finding = Finding::new("place", format!("{}: {why}", shared.directory.source()));
            found.push(finding.from(&shared.directory).level(Level::Warning).means(
                "Memory with a name has no place here: creating it is an error. Files still work.",
            )
            .advice("sudo mkdir -p /dev/shm && sudo mount -t tmpfs -o mode=1777 tmpfs /dev/shm"));
        }
        None => found.extend(of(&shared.kind, "place", |kind| {
            let finding = Finding::new("place", format!("{directory}, {kind}"));
            if matches!(kind.as_str(), "tmpfs" | "ramfs") {
                return finding.means("Memory with a name is a file here, and takes memory.");
            }
            finding.level(Level::Warning).means(
                "This is no memory: named sections are written to a device, and stay after a restart.",
            ).advice(format!("sudo mount -t tmpfs -o mode=1777 tmpfs {directory}"))
        })),
    }
    found.extend(of(&shared.size_bytes, "size", |size| {
        let free = shared.free_bytes.value().copied();
        let mut finding = Finding::bytes("size", *size);
        if let Some(free) = free {
            finding.value = format!("{}, {} free", finding.value, format_bytes(free));
        }
        if *size <= CONTAINER {
            return finding.level(Level::Warning).means(
                "The default of containers, and less than many programs need. With most libraries \
                 a full one is a signal; with Bifolio it is an error.",
            ).advice("docker run --shm-size=1g, or an emptyDir of medium Memory in Kubernetes");
        }
        if free.is_some_and(|free| free < size / 10) {
            return finding
                .level(Level::Warning)
                .means("Creating and growing named sections will soon be an error.")
                .advice(format!("ls -lS {directory}"));
        }
        finding.means(
            "How much memory named sections may take together; they also need room (see memory).",
        )
    }));
    found.extend(of(&shared.owner, "owner", |(owner, mode)| {
        let value = format!("user {owner}, mode {mode:o}");
        let (everybody_writes, sticky) = (mode & 0o002 != 0, mode & 0o1000 != 0);
        let finding = Finding::new("owner", value);
        match (everybody_writes, sticky) {
            (true, true) => finding.means("Everybody may create names, and delete only their own."),
            (true, false) => finding
                .level(Level::Warning)
                .means("Everybody may delete and replace the names of everybody else.")
                .advice(format!("sudo chmod 1777 {directory}")),
            (false, _) => finding
                .level(Level::Note)
                .means("Only its owner may create names.")
                .advice(format!("sudo chmod 1777 {directory}")),
        }
    }));
    found.extend(of(&shared.at_logout, "at logout", |at_logout| match at_logout {
        AtLogout::Stays => Finding::new("at logout", "stays")
            .means("Named memory stays until somebody unlinks it, or the machine restarts."),
        AtLogout::Spared => Finding::new("at logout", "deleted, but not of this user").means(
            "systemd deletes the shared memory of ordinary users when they log out (RemoveIPC). \
             Root and system users are spared.",
        ),
        AtLogout::Deleted => Finding::new("at logout", "deleted")
            .level(Level::Warning)
            .means(
                "When this user's last session ends, systemd deletes all of the user's shared \
                 memory, also what a running program uses (RemoveIPC).",
            )
            .advice("set RemoveIPC=no in /etc/systemd/logind.conf, or run as a system user"),
    }));
    found
}

/// Who says what others have left: names there, and what processes have open and mapped.
const LOOKED_AT: &str = "/dev/shm and /proc/*/maps, /proc/*/fd";

/// What other libraries have left here, if it is anything.
pub(in crate::commands::doctor) fn left_by_others(found: &[Leftover]) -> Option<Finding> {
    let of_state = |state| found.iter().filter(move |one| one.state == state);
    let dead = of_state(State::Dead).count();
    if dead == 0 {
        let unknown = of_state(State::Unknown).count();
        if unknown == 0 {
            return None;
        }
        let mut finding = Finding::count("left by others", unknown as u64).level(Level::Note);
        finding.value = format!("perhaps {}", finding.value);
        finding.source = LOOKED_AT.to_owned();
        return Some(
            finding
                .means(
                    "Shared memory of other libraries that nobody uses, as far as this user may look.",
                )
                .advice("sudo bifolio shm gc --dry-run"),
        );
    }
    let bytes = of_state(State::Dead).map(|one| one.size).sum();
    let mut whose: Vec<_> = of_state(State::Dead).map(|one| one.of).collect();
    whose.sort_unstable();
    whose.dedup();
    let mut finding = Finding::count("left by others", dead as u64).level(Level::Warning);
    finding.source = LOOKED_AT.to_owned();
    finding.value =
        format!("{} of {}, {}", finding.value, whose.join(" and "), format_bytes(bytes));
    Some(
        finding
            .means(
                "Shared memory whose processes were killed: it takes memory, and nobody uses it.",
            )
            .advice("bifolio shm gc --foreign"),
    )
}
