//! What Linux tells of the machine and of this process, through its files.

use std::io;
use std::path::{Path, PathBuf};

use rustix::process::Resource;

use crate::machine::text::{self, cgroup, logind, meminfo};
use crate::machine::{
    AtLogout, Fact, HugePool, Limited, Limits, Memory, MemoryLimit, Overcommit, SharedMemory,
};

pub(crate) const PAGE_SIZE_SOURCE: &str = "sysconf(_SC_PAGESIZE)";

/// Bytes that can be taken without swapping.
pub(crate) fn available_memory() -> io::Result<u64> {
    let told = std::fs::read("/proc/meminfo").ok().and_then(|text| meminfo::available(&text));
    if let Some(bytes) = told {
        return Ok(bytes);
    }
    // Without /proc a call tells what is free, which is less.
    let info = rustix::system::sysinfo();
    #[allow(clippy::useless_conversion, reason = "32 bits on some architectures")]
    Ok(u64::from(info.freeram).saturating_mul(u64::from(info.mem_unit)))
}

/// The limits that are set on the memory of this process.
pub(crate) fn memory_limits() -> Vec<MemoryLimit> {
    let (Ok(groups), Ok(mounts)) =
        (std::fs::read("/proc/self/cgroup"), std::fs::read("/proc/self/mountinfo"))
    else {
        return Vec::new();
    };
    cgroup::memory_limits(&groups, &mounts, |path: &Path| std::fs::read(path).ok())
}

/// What `parse` makes of a file.
pub(super) fn told<T>(path: &str, parse: impl FnOnce(&[u8]) -> Option<T>) -> Fact<T> {
    match std::fs::read(path) {
        Err(error) => Fact::unknown(error, path.to_owned()),
        Ok(text) => match parse(&text) {
            Some(value) => Fact::known(value, path.to_owned()),
            None => Fact::unknown(
                format!("it says {:?}", String::from_utf8_lossy(&text[..text.len().min(40)])),
                path.to_owned(),
            ),
        },
    }
}

/// A field of `/proc/meminfo`.
fn told_by_meminfo<T>(name: &str, value: impl FnOnce(u64) -> T) -> Fact<T> {
    let source = format!("/proc/meminfo, {name}");
    match std::fs::read("/proc/meminfo") {
        Err(error) => Fact::unknown(error, source),
        Ok(text) => match meminfo::field(&text, name) {
            Some(bytes) => Fact::known(value(bytes), source),
            None => Fact::unknown("there is no such line", source),
        },
    }
}

pub(crate) fn memory_facts() -> Memory {
    let huge = "/sys/kernel/mm/transparent_hugepage";
    let overcommit = told("/proc/sys/vm/overcommit_memory", |text| {
        Some(match text::number(text)? {
            0 => Overcommit::Heuristic,
            1 => Overcommit::Always,
            2 => Overcommit::Never,
            _ => return None,
        })
    });
    let mut memory = Memory {
        total_bytes: told_by_meminfo("MemTotal", |bytes| bytes),
        swap_bytes: told_by_meminfo("SwapTotal", |bytes| bytes),
        huge_pages: huge_pools(),
        transparent_huge_pages: told(&format!("{huge}/enabled"), text::chosen),
        transparent_huge_pages_shared: told(&format!("{huge}/shmem_enabled"), text::chosen),
        ..Memory::default()
    };
    if overcommit.value() == Some(&Overcommit::Never) {
        let promised = told_by_meminfo("Committed_AS", |bytes| bytes);
        let promised = promised.value().copied().unwrap_or(0);
        memory.commit_left_bytes =
            told_by_meminfo("CommitLimit", |limit| limit.saturating_sub(promised));
    }
    memory.overcommit = overcommit;
    memory
}

/// The sizes of large pages, and how many are set aside of each.
fn huge_pools() -> Fact<Vec<HugePool>> {
    const DIR: &str = "/sys/kernel/mm/hugepages";
    let entries = match std::fs::read_dir(DIR) {
        Ok(entries) => entries,
        Err(error) => return Fact::unknown(error, DIR),
    };
    let pool = |entry: std::fs::DirEntry| {
        let name = entry.file_name();
        let kib = name.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?;
        let count = |file| text::number(&std::fs::read(entry.path().join(file)).ok()?);
        Some(HugePool {
            page_size: kib.parse::<u64>().ok()?.checked_mul(1024)?,
            count: count("nr_hugepages"),
            free: count("free_hugepages"),
        })
    };
    let mut pools: Vec<HugePool> = entries.filter_map(|entry| pool(entry.ok()?)).collect();
    pools.sort_unstable_by_key(|pool| pool.page_size);
    Fact::known(pools, DIR)
}

pub(crate) fn limit_facts() -> Limits {
    let limited = |resource, name: &'static str| {
        let limit = rustix::process::getrlimit(resource);
        Fact::known(Limited { now: limit.current, most: limit.maximum }, name)
    };
    Limits {
        maps: told("/proc/sys/vm/max_map_count", text::number),
        maps_used: told("/proc/self/maps", |text| {
            Some(text.iter().filter(|byte| **byte == b'\n').count() as u64)
        }),
        locked_bytes: limited(Resource::Memlock, "getrlimit(RLIMIT_MEMLOCK)"),
        descriptors: limited(Resource::Nofile, "getrlimit(RLIMIT_NOFILE)"),
        address_bytes: limited(Resource::As, "getrlimit(RLIMIT_AS)"),
        file_bytes: limited(Resource::Fsize, "getrlimit(RLIMIT_FSIZE)"),
        ..Limits::default()
    }
}

/// Where named memory lives.
const SHARED_MEMORY: &str = "/dev/shm";

pub(crate) fn shared_memory_facts() -> SharedMemory {
    use std::os::unix::fs::MetadataExt;
    let path = Path::new(SHARED_MEMORY);
    let mut found = SharedMemory { at_logout: at_logout(), ..SharedMemory::default() };
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => metadata,
        Ok(_) => {
            found.directory = Fact::unknown("it is no directory", SHARED_MEMORY);
            return found;
        }
        Err(error) => {
            found.directory = Fact::unknown(error, SHARED_MEMORY);
            return found;
        }
    };
    found.directory = Fact::known(path.to_path_buf(), SHARED_MEMORY);
    found.owner = Fact::known((metadata.uid(), metadata.mode() & 0o7777), "stat(/dev/shm)");
    match super::file_system_facts(path) {
        Ok(facts) => {
            found.kind = facts.name;
            found.size_bytes = facts.size_bytes;
            found.free_bytes = facts.free_bytes;
            found.options = facts.options;
        }
        Err(error) => found.kind = Fact::unknown(error, "statfs(/dev/shm)"),
    }
    found
}

/// Whether systemd's login manager deletes a user's shared memory at the end of the last session.
fn at_logout() -> Fact<AtLogout> {
    // Directories of a running systemd, and of its login manager (an image may bring empty ones of
    // the latter). In a container there are none, and /dev/shm is its own.
    let runs = ["/run/systemd/system", "/run/systemd/seats"].map(|dir| Path::new(dir).exists());
    if runs != [true, true] {
        return Fact::known(AtLogout::Stays, "systemd-logind does not run here");
    }
    let main = ["/etc", "/run", "/usr/local/lib", "/usr/lib"]
        .map(|dir| PathBuf::from(dir).join("systemd/logind.conf"));
    let main = main.into_iter().find(|path| path.exists());
    let mut drop_ins = Vec::new();
    for dir in ["/usr/lib", "/usr/local/lib", "/run", "/etc"] {
        let dir = Path::new(dir).join("systemd/logind.conf.d");
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        drop_ins.extend(entries.map(|entry| entry.path()));
    }
    // systemd's own default; Debian and others do not change it.
    let mut deleted = (true, "the default of systemd-logind".to_owned());
    for path in logind::order(main, &drop_ins) {
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) => return Fact::unknown(error, path.display().to_string()),
        };
        if let Some(value) = logind::remove_ipc(&text) {
            deleted = (value, path.display().to_string());
        }
    }
    // Users below this number are the system's, and are spared, as is root.
    const LAST_SYSTEM_USER: u32 = 999;
    let value = match deleted.0 {
        false => AtLogout::Stays,
        true if rustix::process::geteuid().as_raw() <= LAST_SYSTEM_USER => AtLogout::Spared,
        true => AtLogout::Deleted,
    };
    Fact::known(value, deleted.1)
}
