//! What this process may have.

use bifolio::map::machine::{Fact, Held, Limited, Limits};

use crate::commands::doctor::finding::{Finding, Level, of};
use crate::units::{format_bytes, group_digits};

/// Linux's default, and what most programs with maps ask for.
const MAPS: u64 = 65_530;

pub(in crate::commands::doctor) fn findings(limits: &Limits) -> Vec<Finding> {
    let found = [
        of(&limits.maps, "maps", |most| maps(*most, limits.maps_used.value().copied())),
        limited(&limits.locked_bytes, "locked memory", locked),
        limited(&limits.descriptors, "open files", descriptors),
        limited(&limits.address_bytes, "addresses", |limit| {
            narrow(
                "addresses",
                limit,
                "Maps, and what growable views reserve, are refused beyond it.",
                "ulimit -v unlimited",
            )
        }),
        limited(&limits.file_bytes, "file size", |limit| {
            narrow(
                "file size",
                limit,
                "Files do not grow beyond it: no space left.",
                "ulimit -f unlimited",
            )
        }),
        of(&limits.working_set_bytes, "working set", |(least, most)| {
            let value = format!("{} to {}", format_bytes(*least), format_bytes(*most));
            let mut finding = Finding::new("working set", value);
            finding.number = Some((*least, "bytes"));
            finding.means(
                "What is locked in memory must fit the lower number; a program can raise it.",
            )
        }),
        of(&limits.global_names, "global names", |held| {
            privilege("global names", *held, "Names that all sessions see (Global\\)")
        }),
        of(&limits.large_pages, "large pages", |held| {
            privilege("large pages", *held, "Large pages, which Bifolio does not need,")
        }),
    ];
    found.into_iter().flatten().collect()
}

fn limited(
    fact: &Fact<Limited>,
    subject: &'static str,
    rule: impl FnOnce(Limited) -> Finding,
) -> Option<Finding> {
    of(fact, subject, |limit| rule(*limit))
}

fn maps(most: u64, used: Option<u64>) -> Finding {
    let mut finding = Finding::count("maps", most);
    if let Some(used) = used {
        finding.value = format!("{} at most, {} in use here", finding.value, group_digits(used));
    }
    let advice = "sudo sysctl vm.max_map_count=262144";
    if most < MAPS || used.is_some_and(|used| used > most / 2) {
        return finding.level(Level::Warning).advice(advice).means(
            "A process that maps many files meets this limit, and then any allocation may fail.",
        );
    }
    finding.means("A view of a file is one map; clones and parts of a view share it.")
}

fn locked(limit: Limited) -> Finding {
    let meaning = "How much View::lock_in_memory may keep in memory. Root is not limited.";
    let Some(bytes) = limit.now else {
        return Finding::new("locked memory", "unlimited").means(meaning);
    };
    let finding = Finding::bytes("locked memory", bytes).means(meaning);
    if bytes < 1 << 20 {
        return finding.level(Level::Note).advice(raise(
            limit,
            u64::MAX,
            "ulimit -l unlimited",
            "set memlock in /etc/security/limits.conf, or LimitMEMLOCK= of the service",
        ));
    }
    finding
}

/// The command if the process may raise the limit itself so far, the other way if not.
fn raise(limit: Limited, to: u64, command: &str, otherwise: &str) -> String {
    let allowed = limit.most.is_none_or(|most| most >= to);
    if allowed { command.to_owned() } else { otherwise.to_owned() }
}

const HARD: &str = "raise the hard limit where this process is started";

fn descriptors(limit: Limited) -> Finding {
    let meaning = "Each open section holds one descriptor; its views need none.";
    match limit.now {
        None => Finding::new("open files", "unlimited").means(meaning),
        Some(count) if count < 1024 => Finding::count("open files", count)
            .level(Level::Note)
            .means(meaning)
            .advice(raise(limit, 4096, "ulimit -n 4096", HARD)),
        Some(count) => Finding::count("open files", count).means(meaning),
    }
}

/// A limit that is usually none.
fn narrow(
    subject: &'static str,
    limit: Limited,
    meaning: &'static str,
    command: &'static str,
) -> Finding {
    match limit.now {
        None => Finding::new(subject, "unlimited").means(meaning),
        Some(bytes) => Finding::bytes(subject, bytes)
            .level(Level::Warning)
            .means(meaning)
            .advice(raise(limit, u64::MAX, command, HARD)),
    }
}

fn privilege(subject: &'static str, held: Held, what: &str) -> Finding {
    match held {
        Held::Yes => Finding::new(subject, "allowed").means(format!("{what} can be had.")),
        Held::No => Finding::new(subject, "not allowed")
            .level(Level::Note)
            .means(format!("{what} are refused with a permission error."))
            .advice(
                "run as a service or as an administrator, or grant the privilege in secpol.msc",
            ),
    }
}
