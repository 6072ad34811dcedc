//! The system, its calls, and who catches faults.

use bifolio::map::fault::Status;
use bifolio::map::machine::{Ability, Kernel, Permission};

use crate::commands::doctor::finding::{Finding, Level, of};

pub(in crate::commands::doctor) fn findings(kernel: &Kernel, faults: Status) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(of(&kernel.release, "system", |release| Finding::new("system", release.clone())));
    found.extend(of(&kernel.container, "container", |container| match container {
        None => Finding::new("container", "no signs of one"),
        Some(name) => Finding::new("container", name.clone()).level(Level::Note).means(
            "Limits and the size of shared memory are those of the container, files in its image \
             are on an overlay, and a filter may refuse calls.",
        ),
    }));
    found.extend(of(&kernel.call_filter, "call filter", |word| {
        let finding = Finding::new("call filter", word.clone());
        match word.as_str() {
            "off" => finding.means("No system call is refused by a filter (seccomp)."),
            _ => finding
                .level(Level::Note)
                .means("System calls are filtered (seccomp); what is refused shows below."),
        }
    }));
    found.push(fault_handler(faults));
    found.extend(kernel.calls.iter().filter_map(|call| {
        of(&call.answer, call.name, |answer| finding_of_call(call, answer, faults))
    }));
    found
}

fn fault_handler(faults: Status) -> Finding {
    let finding = |value| Finding {
        source: "bifolio_map::fault::status".to_owned(),
        ..Finding::new("faults", value)
    };
    match faults {
        Status::Active => finding("become errors")
            .means("A file that is truncated under its map is an error, not a signal."),
        Status::NotNeeded => finding("become errors, by calls").means(
            "On this architecture every access goes through the kernel: about a microsecond each.",
        ),
        Status::Displaced => finding("are caught by another library")
            .level(Level::Broken)
            .means("A truncated file or a full disk ends the process.")
            .advice("load that library first, or call bifolio_map::fault::reinstall()"),
        _ => finding("nothing could be mapped, so nobody catches them").level(Level::Note),
    }
}

fn finding_of_call(call: &Ability, answer: &Permission, faults: Status) -> Finding {
    let value = match answer {
        Permission::Allowed => "allowed".to_owned(),
        Permission::Denied(why) => format!("denied: {why}"),
        Permission::Missing => "this system has no such call".to_owned(),
    };
    let finding = Finding::new(call.name, value).means(format!("For {}.", call.purpose));
    if *answer == Permission::Allowed {
        return match call.name {
            // mincore(2), since Linux 5.2.
            "mincore" => finding.means(
                "For telling which pages are in memory. Of files that are neither one's own nor \
                 writable it says that all pages are.",
            ),
            _ => finding,
        };
    }
    match call.name {
        "futex" => finding
            .level(Level::Broken)
            .means("Waiting for another process does not work.")
            .advice("allow futex in the filter of calls (seccomp profile)"),
        "process_vm_readv" if faults == Status::NotNeeded => finding
            .level(Level::Broken)
            .means("On this architecture every access to a map goes by this call.")
            .advice("allow process_vm_readv in the seccomp profile (docker: --cap-add SYS_PTRACE)"),
        "process_vm_readv" => finding.means("Not needed on this architecture."),
        "userfaultfd" => finding.means("Bifolio does not use it."),
        "memfd_create" => finding
            .level(Level::Warning)
            .means("Memory without a file and sealed memory are an error."),
        "mincore" => finding
            .level(Level::Warning)
            .means("Which pages are in memory is not known; scans cannot choose the faster way."),
        "cachestat" => finding
            .level(Level::Note)
            .means("Dirty and recently evicted pages are not counted (Linux 6.5 and later do)."),
        "preadv2" => finding
            .level(Level::Note)
            .means("Reads that must not wait ask which pages are in memory first."),
        "process_madvise" => {
            finding.level(Level::Note).means("Lists of ranges are prefetched by a call for each.")
        }
        "io_uring_setup" => finding
            .level(Level::Note)
            .means("Reads in flight take threads instead, which is slower.")
            .advice("sudo sysctl kernel.io_uring_disabled=0, and allow io_uring in the container"),
        _ => finding.level(Level::Note),
    }
}
