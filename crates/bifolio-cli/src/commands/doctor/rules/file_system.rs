//! The file system of the path.

use bifolio::map::machine::{Ability, Attributes, FileSystem, Kind, Maps, Permission, Rotational};

use crate::commands::doctor::capital;
use crate::commands::doctor::finding::{Finding, Level, of};
use crate::units::format_bytes;

pub(in crate::commands::doctor) fn findings(found: &FileSystem) -> Vec<Finding> {
    let mut list = Vec::new();
    list.extend(of(&found.kind, "type", |kind| type_finding(found, *kind)));
    list.extend(of(&found.mount_point, "mounted", |point| mounted(found, point)));
    list.extend(of(&found.maps, "maps", maps));
    if found.kind.value() == Some(&Kind::Overlay) {
        list.push(overlay_residency());
    }
    list.extend(option_findings(found));
    // The kernel's own file systems have no size.
    if found.size_bytes.value() != Some(&0) {
        list.extend(of(&found.free_bytes, "free space", |free| free_space(found, *free)));
    }
    list.extend(of(&found.free_files, "free files", |free| {
        let finding = Finding::count("free files", *free);
        if *free < 1000 {
            return finding
                .level(Level::Warning)
                .means("Soon no file can be made, whatever space is left.");
        }
        finding.means("How many more files can be made.")
    }));
    list.extend(of(&found.read_ahead_bytes, "read-ahead", |bytes| read_ahead(found, *bytes)));
    list.extend(of(&found.rotational, "device", |rotational| match rotational {
        Rotational::No => Finding::new("device", "no moving parts"),
        Rotational::Yes => Finding::new("device", "says that it has moving parts")
            .level(Level::Note)
            .means("Random access is slow on such disks. Virtual devices often say so wrongly."),
    }));
    list.extend(of(&found.write_cache, "write cache", |word| {
        let finding = Finding::new("write cache", word.clone());
        match word.as_str() {
            "write back" => finding.means(
                "The device keeps writes in a cache of its own; flushes from Flush::Barrier on \
                 empty it.",
            ),
            _ => finding.means("The device says that what is written to it is durable."),
        }
    }));
    list.extend(of(&found.attributes, "attributes", attributes));
    list.extend(ability_findings(&found.abilities));
    list
}

fn type_finding(found: &FileSystem, kind: Kind) -> Finding {
    let name = found.name.value();
    let value = name.map_or_else(|| kind.to_string(), String::clone);
    let finding = Finding::new("type", value);
    if kind.is_network() || found.has_option("remote") {
        return finding
            .level(Level::Warning)
            .means(
                "A network file system: maps agree between processes of this machine at most, a \
                 file that is deleted on the server faults (an error here), and whether locks and \
                 flushes reach the server depends on it.",
            )
            .advice("keep files that processes share or that must be durable on a local disk");
    }
    match kind {
        Kind::Fuse if name.is_some_and(|name| name == "virtiofs") => finding
            .level(Level::Note)
            .means("Files of the host of this virtual machine: the host may change them unseen."),
        Kind::Fuse => finding
            .level(Level::Warning)
            .means(
                "A program serves these files. Whether maps may be shared and writable, and how \
                 long it takes and whether a flush is durable, is that program's affair.",
            )
            .advice("keep files that processes share or that must be durable on a local disk"),
        Kind::Overlay => finding
            .level(Level::Warning)
            .means(
                "A file of a lower layer is copied when it is first opened for writing; maps from \
                 before go on showing the old file. New files are not concerned.",
            )
            .advice("keep files that change on a volume (docker run -v), or open them for writing first"),
        Kind::Tmpfs | Kind::Ramfs | Kind::Hugetlbfs => finding.level(Level::Note).means(
            "Files here are memory: they count against it, and no flush makes them survive a restart.",
        ),
        Kind::Btrfs | Kind::Bcachefs => btrfs(found, finding),
        Kind::Zfs => finding.level(Level::Note).means(
            "Mapped pages are in memory twice, in the page cache and in the cache of ZFS; \
             overwriting copies on write.",
        ),
        Kind::Fat | Kind::Exfat => finding.level(Level::Note).means(
            "No holes and no links: space is written as zeros, and files appear by renaming only.",
        ),
        Kind::Squashfs | Kind::Erofs | Kind::Iso9660 => {
            finding.level(Level::Note).means("It cannot be written; maps for reading work.")
        }
        Kind::Kernel => finding
            .level(Level::Warning)
            .means("Files of the kernel's own have no pages: they are read by calls, not mapped."),
        Kind::Other(_) => {
            finding.level(Level::Note).means("Nothing is known of it here but what was tried.")
        }
        _ => finding.means("Calls and maps see one cache."),
    }
}

fn overlay_residency() -> Finding {
    Finding::new("residency", "which pages are in memory, not which are dirty").level(Level::Note).means(
        "The pages of these files belong to the layers. Which are in memory is told page by page \
         (mincore); how many are dirty or being written is not told, and to evict a file all of \
         it is flushed.",
    )
}

fn btrfs(found: &FileSystem, finding: Finding) -> Finding {
    let compressed = ["compress", "compress-force"]
        .iter()
        .find_map(|name| found.option(name).or(found.has_option(name).then_some("on")))
        .filter(|word| !matches!(*word, "no" | "none"));
    let compression = compressed.map_or_else(String::new, |word| {
        format!(
            " New data are compressed ({word}): a cold page costs the decompression of its \
             128 KiB, and sizes say nothing about the disk."
        )
    });
    finding
        .level(Level::Note)
        .means(format!(
            "Overwriting copies on write: files that change in place fall into pieces, and need \
             free space for each change.{compression}",
        ))
        .advice(format!(
            "chattr +C {} (for new files; also turns their checksums off)",
            found.directory().display()
        ))
}

fn mounted(found: &FileSystem, point: &std::path::Path) -> Finding {
    let what = found.mounted.value().map_or(String::new(), |what| format!("{what} on "));
    let options = found.options.value().map(|options| options.join(",")).unwrap_or_default();
    let options = if options.is_empty() { String::new() } else { format!(" ({options})") };
    Finding::new("mounted", format!("{what}{}{options}", point.display()))
}

fn maps(maps: &Maps) -> Finding {
    match maps {
        Maps::Agree => Finding::new("maps", "agree with each other and with calls")
            .means("Tried with a new file: two shared maps, reads and writes saw the same bytes."),
        Maps::Differ(what) => Finding::new("maps", format!("do not agree: {what}"))
            .level(Level::Broken)
            .means("Processes that share files here do not see the same bytes.")
            .advice("use another file system for files that are mapped"),
        Maps::Refused(why) => Finding::new("maps", format!("refused: {why}"))
            .level(Level::Broken)
            .means("Files here cannot be mapped shared and writable.")
            .advice("use another file system (FUSE: mount it without direct_io)"),
        _ => Finding::new("maps", "an outcome that is not known here").level(Level::Note),
    }
}

/// Mount options that matter.
fn option_findings(found: &FileSystem) -> Vec<Finding> {
    let mut list = Vec::new();
    let option = |word: &str| Finding::new("option", word.to_owned()).from(&found.options);
    if found.has_option("ro") {
        list.push(
            option("ro").level(Level::Note).means(
                "Nothing can be written here; maps for reading and copy-on-write views work.",
            ),
        );
    }
    if found.has_option("sync") {
        list.push(option("sync").level(Level::Note).means(
            "Every write by a call waits for the device; stores into maps still need a flush.",
        ));
    }
    let barriers_off = found.has_option("nobarrier") || found.option("barrier") == Some("0");
    if barriers_off {
        list.push(
            option("nobarrier")
                .level(Level::Broken)
                .means(
                    "Flushes do not empty the cache of the device: what was flushed may be lost \
                     in a power failure.",
                )
                .advice("mount without nobarrier (barrier=0)"),
        );
    }
    // Linux 6.13 and later write it the second way.
    if found.has_option("volatile") || found.option("fsync") == Some("volatile") {
        list.push(
            option("volatile")
                .level(Level::Broken)
                .means("An overlay that ignores flushes: nothing here is durable.")
                .advice("mount the overlay without volatile"),
        );
    }
    if found.has_option("dax") || found.option("dax") == Some("always") {
        list.push(option("dax").level(Level::Note).means(
            "Maps go to the device itself, without a page cache: residency means nothing here.",
        ));
    }
    list
}

fn free_space(found: &FileSystem, free: u64) -> Finding {
    let mut finding = Finding::bytes("free space", free);
    let size = found.size_bytes.value().copied();
    if let Some(size) = size {
        finding.value = format!("{} of {}", finding.value, format_bytes(size));
    }
    if found.has_option("ro") {
        return finding;
    }
    let little = free < 64 << 20 || size.is_some_and(|size| free < size / 50);
    if little {
        return finding.level(Level::Warning).means(
            "Creating and growing files will soon be an error; holes that are written then are too.",
        );
    }
    finding.means("For this user.")
}

fn read_ahead(found: &FileSystem, bytes: u64) -> Finding {
    let finding = Finding::bytes("read-ahead", bytes);
    if bytes <= 1 << 20 {
        return finding.means("What a fault reads around the page that was asked for, at most.");
    }
    let device = found.mounted.value().filter(|name| name.starts_with("/dev/"));
    let finding = finding.level(Level::Warning).means(format!(
        "A fault at random reads up to {} around its page: good for reading in order, and up to \
         100 times too slow at random, until Linux gives up after a hundred misses. \
         Advice::Random turns it off for a view.",
        format_bytes(bytes)
    ));
    match device {
        Some(device) => finding.advice(format!("sudo blockdev --setra 256 {device}   # 128 KiB")),
        None => finding,
    }
}

fn attributes(attributes: &Attributes) -> Finding {
    let mut words = Vec::new();
    let mut meaning = Vec::new();
    if attributes.compressed {
        words.push("compressed");
        meaning.push("A cold page costs the decompression of its neighbours.");
    }
    if attributes.no_copy_on_write {
        words.push("no copy-on-write");
        meaning.push("New files are overwritten in place, without checksums.");
    }
    if attributes.direct_access {
        words.push("direct access");
        meaning.push("Maps go to the device itself, without a page cache.");
    }
    if attributes.verity {
        words.push("fs-verity");
        meaning.push("The kernel keeps the file from change, and checks what is read.");
    }
    if words.is_empty() {
        return Finding::new("attributes", "none");
    }
    Finding::new("attributes", words.join(", ")).level(Level::Note).means(meaning.join(" "))
}

/// Where nothing could be tried, one finding says so for all.
fn ability_findings(abilities: &[Ability]) -> Vec<Finding> {
    let untried = abilities.iter().filter_map(|ability| ability.answer.why_unknown());
    let untried: Vec<&str> = untried.collect();
    if let [why, ..] = untried.as_slice()
        && untried.len() == abilities.len()
    {
        let names: Vec<&str> = abilities.iter().map(|ability| ability.name).collect();
        let finding = Finding::new("not tried", names.join(", ")).level(Level::Note);
        return vec![finding.means(format!("{}.", capital(why)))];
    }
    // What works first, which takes one line.
    let mut abilities: Vec<&Ability> = abilities.iter().collect();
    abilities.sort_by_key(|ability| !ability.is_allowed());
    abilities
        .into_iter()
        .filter_map(|ability| of(&ability.answer, ability.name, |answer| can(ability, answer)))
        .collect()
}

fn can(ability: &Ability, answer: &Permission) -> Finding {
    let value = match answer {
        Permission::Allowed => "works".to_owned(),
        Permission::Denied(why) => format!("refused: {why}"),
        Permission::Missing => "not on this file system".to_owned(),
    };
    let finding = Finding::new(ability.name, value).means(format!("For {}.", ability.purpose));
    if *answer == Permission::Allowed {
        return finding;
    }
    match ability.name {
        "fallocate" | "F_PREALLOCATE" | "SetFileInformation" => {
            finding.level(Level::Warning).means(
                "Space is taken by writing zeros: growing costs as much as writing what is grown.",
            )
        }
        "F_OFD_SETLK" | "LockFileEx" => {
            finding.level(Level::Warning).means("FileLock is an error here.")
        }
        "RENAME_NOREPLACE" | "RENAME_EXCL" | "MoveFileEx" => finding.level(Level::Note).means(
            "A new file gets its name by a link instead; where there are no links, creating is an \
             error.",
        ),
        "O_TMPFILE" => finding.level(Level::Note).means(
            "New files have a name aside until they are complete, which a killed creator leaves.",
        ),
        "SEEK_HOLE" => finding.level(Level::Note).means("Holes are taken for data."),
        // Rare, and nothing depends on them.
        _ => finding,
    }
}
