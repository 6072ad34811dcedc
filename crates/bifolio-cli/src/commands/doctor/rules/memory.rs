//! Memory.

use bifolio::map::machine::{HugePool, Limit, Memory, MemoryLimit, Overcommit};

use crate::commands::doctor::finding::{Finding, Level, of};
use crate::units::{format_bytes, group_digits};

/// Less than this is no room to work in.
const TIGHT: u64 = 64 << 20;

pub(in crate::commands::doctor) fn findings(
    memory: &Memory,
    limits: &[MemoryLimit],
) -> Vec<Finding> {
    let mut found: Vec<Option<Finding>> = vec![
        of(&memory.page_size, "page size", |size| {
            let finding = Finding::bytes("page size", *size);
            if *size <= 4096 {
                return finding.means("The unit in which maps are made and faults happen.");
            }
            finding.level(Level::Note).means(
                "Maps and faults come in larger pieces here; views have exact lengths all the \
                 same. Programs that take 4 KiB for granted fail.",
            )
        }),
        of(&memory.total_bytes, "memory", |total| {
            let swap = match memory.swap_bytes.value() {
                Some(0) => ", no swap".to_owned(),
                Some(swap) => format!(", {} of swap", format_bytes(*swap)),
                None => String::new(),
            };
            let mut finding = Finding::bytes("memory", *total);
            finding.value.push_str(&swap);
            finding.means("What all processes and all cached files share.")
        }),
        of(&memory.room, "room", |room| {
            let mut finding = Finding::bytes("room", room.bytes);
            finding.value = match &room.limit {
                Limit::Machine => finding.value,
                limit => format!("{}, by {limit}", finding.value),
            };
            let finding = finding.means(
                "What can still be taken before somebody is killed for it: private pages, shared \
                 memory, files on a tmpfs. Clean pages of other files do not count.",
            );
            if room.bytes < TIGHT {
                return finding
                    .level(Level::Warning)
                    .advice("end what is not needed, or raise the limit");
            }
            let limited = !matches!(room.limit, Limit::Machine | Limit::Commit);
            finding.level(if limited { Level::Note } else { Level::Ok })
        }),
    ];
    found.extend(limits.iter().map(|limit| Some(limit_finding(limit))));
    found.extend([
        of(&memory.overcommit, "overcommit", |mode| overcommit(*mode, memory)),
        of(&memory.huge_pages, "huge pages", |pools| huge_pages(pools)),
        of(&memory.transparent_huge_pages, "THP", |word| transparent(word)),
        of(&memory.transparent_huge_pages_shared, "THP, shared", |word| shared(word)),
    ]);
    found.into_iter().flatten().collect()
}

fn limit_finding(limit: &MemoryLimit) -> Finding {
    let subject = match limit.limit {
        Limit::Cgroup(_) => "cgroup limit",
        Limit::Commit => "commit limit",
        _ => "job limit",
    };
    let mut finding = Finding::bytes(subject, limit.limit_bytes);
    finding.value = match limit.used_bytes {
        Some(used) => format!(
            "{}: {} used, {} of them files that can be dropped",
            finding.value,
            format_bytes(used),
            format_bytes(limit.reclaimable_bytes)
        ),
        None => format!("{}: how much is used is not known", finding.value),
    };
    finding.source = limit.limit.to_string();
    if limit.limit == Limit::Commit {
        return finding.means("Memory and page file together; more is refused with an error.");
    }
    let finding = finding.means(
        "Shared memory and cached files of this group count; who takes more is killed, or waits.",
    );
    if limit.room_bytes() < TIGHT {
        finding.level(Level::Warning)
    } else {
        finding.level(Level::Note)
    }
}

fn overcommit(mode: Overcommit, memory: &Memory) -> Finding {
    match mode {
        Overcommit::Heuristic => Finding::new("overcommit", "by guess").means(
            "Memory is promised before it is there; a process may be killed when it is touched.",
        ),
        Overcommit::Always => Finding::new("overcommit", "always").level(Level::Note).means(
            "Every wish for memory is granted, also one that cannot be met: then somebody is \
                 killed. The room above is what counts.",
        ),
        Overcommit::Never => {
            let left = memory.commit_left_bytes.value();
            let left = left.map_or(String::new(), |left| format!(", {} left", format_bytes(*left)));
            Finding::new("overcommit", format!("never{left}")).means(
                "What is promised is there; what is not there is an error. Copy-on-write views and \
                 private memory count in full.",
            )
        }
    }
}

fn huge_pages(pools: &[HugePool]) -> Finding {
    let pool = |pool: &HugePool| {
        let size = format_bytes(pool.page_size);
        match (pool.count, pool.free) {
            (Some(0), _) => format!("{size}: none"),
            (Some(count), Some(free)) => {
                format!("{size}: {} free of {}", group_digits(free), group_digits(count))
            }
            (Some(count), None) => format!("{size}: {}", group_digits(count)),
            (None, _) => size,
        }
    };
    let value = match pools {
        [] => "none".to_owned(),
        pools => pools.iter().map(pool).collect::<Vec<_>>().join(", "),
    };
    Finding::new("huge pages", value)
        .means("Pages that are set aside for whoever asks for them by size. Bifolio needs none.")
}

fn transparent(word: &str) -> Finding {
    let finding = Finding::new("THP", word);
    match word {
        "always" => finding
            .level(Level::Note)
            .means("Private memory comes in 2 MiB at a time: faster, but one byte may cost 2 MiB."),
        "never" => finding
            .level(Level::Note)
            .means("The advice HugePages does nothing.")
            .advice("echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled"),
        _ => finding.means("Large pages are made where Advice::HugePages asks for them."),
    }
}

fn shared(word: &str) -> Finding {
    let finding = Finding::new("THP, shared", word);
    match word {
        "always" | "force" => finding
            .level(Level::Note)
            .means("One byte of shared memory, or of a file on a tmpfs, may cost 2 MiB."),
        _ => {
            finding.means("Shared memory without a file takes small pages unless asked otherwise.")
        }
    }
}
