//! `map`, `touch` and `evict`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::support::good;

/// A file of so many bytes, written out.
fn file_of(dir: &Path, name: &str, size: usize) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, vec![7; size]).expect("written");
    File::open(&path).and_then(|file| file.sync_all()).expect("synced");
    path
}

#[test]
fn the_runs_of_a_map_are_the_file_in_order_and_what_was_read() {
    let dir = directory();
    let path = dir.path().join("a");
    let file = File::options().create_new(true).write(true).read(true).open(&path).expect("new");
    file.write_all_at(&[1; 40_960], 0).expect("written");
    file.set_len(81_920 + 5).expect("set");
    file.sync_all().expect("synced");
    chill(&path);
    for pages in ["8k..+8k", "28k..+4k"] {
        // A range is read without what is beside it.
        record(&["page", "touch", text(&path), "--range", pages], 0);
    }
    // A page of zeros: touch would leave it out.
    let cached = bifolio::map::residency::CachedFile::open(&path).expect("open");
    cached.read_in(61_440..65_536, &mut [0; 4096]).expect("read");
    let runs = records(&["page", "map", text(&path)]);
    let mut at = 0;
    for run in &runs {
        assert_eq!(number(run, "offset"), at);
        at += number(run, "size");
    }
    assert_eq!(at, 81_920 + 5);
    let of = |state: &str| -> Vec<(u64, u64)> {
        let runs = runs.iter().filter(|run| run["state"] == state);
        runs.map(|run| (number(run, "offset") / 4096, number(run, "size") / 4096)).collect()
    };
    assert_eq!(of("resident"), [(2, 2), (7, 1), (15, 1)]);
    assert_eq!(of("absent"), [(0, 2), (4, 3), (8, 2)]);
    assert_eq!(of("hole"), [(10, 5), (16, 4)]);
    // The picture has a letter for each page.
    let picture = good(&["page", "map", text(&path), "--format", "human", "--ascii"]);
    assert!(picture.contains("         0  ..##...#..     #\n"), "{picture}");
    assert!(picture.contains("one letter is 4.0 KiB, 1 page\n"), "{picture}");
    assert!(picture.contains("# in memory   . not in memory   (blank) a hole\n"), "{picture}");
    let closer = good(&["page", "map", text(&path), "--range", "8k..16k", "--format", "human"]);
    assert!(closer.contains("8.0 KiB of 8.0 KiB in memory (100.0%)"), "{closer}");
    let output = run(&["page", "map", text(&path), "--range", "1M.."]);
    assert_eq!(code(&output), 2, "{}", stderr(&output));
}

#[test]
fn a_cold_tree_is_read_in_and_the_device_says_so() {
    let dir = directory();
    small_files(dir.path(), 400);
    chill(dir.path());
    let told = record(&["page", "touch", text(dir.path())], 0);
    let pages = resident(dir.path());
    assert_eq!((number(&told, "files"), number(&told, "already")), (400, 0));
    assert_eq!(number(&told, "read_in"), pages);
    // The kernel's own counter: each page came from the device, and perhaps some metadata.
    assert!(number(&told, "from_disk") >= pages, "{told}");
    if let Some((resident, all)) = by_vmtouch(dir.path()) {
        assert_eq!((resident, resident * 4096), (all, pages));
    }
    let again = record(&["page", "touch", text(dir.path())], 0);
    assert_eq!((number(&again, "already"), number(&again, "read_in")), (pages, 0));
}

#[test]
fn a_large_file_is_read_in_by_pieces_and_a_range_alone_if_so_wished() {
    let dir = directory();
    let path = file_of(dir.path(), "large", (21 << 20) + 5);
    chill(&path);
    let told = record(&["page", "touch", text(&path), "--range", "1M..+10M"], 0);
    assert_eq!((number(&told, "read_in"), resident(&path)), (10 << 20, 10 << 20));
    let told = record(&["page", "touch", text(&path)], 0);
    assert_eq!(number(&told, "already"), 10 << 20);
    assert_eq!(resident(&path), in_pages((21 << 20) + 5));
    assert_eq!(number(&told, "read_in"), resident(&path) - (10 << 20));
}

#[test]
fn a_budget_is_never_exceeded_and_what_did_not_fit_is_told() {
    for (files, size) in [(40, 100_000), (2, 9 << 20)] {
        let dir = directory();
        for number in 0..files {
            file_of(dir.path(), &format!("f{number}"), size);
        }
        chill(dir.path());
        for threads in ["1", "6"] {
            chill(dir.path());
            let words = ["page", "touch", text(dir.path()), "--budget", "1M", "--threads", threads];
            let told = record(&words, 6);
            let found = resident(dir.path());
            assert!(((1 << 20) - 65_536..=1 << 20).contains(&found), "{found}, {told}");
            assert_eq!(number(&told, "read_in"), found);
            let all = files * in_pages(size as u64);
            assert_eq!(number(&told, "left_out"), all - found, "{told}");
        }
    }
}

#[test]
fn a_budget_is_never_exceeded_the_twin_that_has_none_does() {
    let dir = directory();
    let path = file_of(dir.path(), "large", 9 << 20);
    chill(&path);
    // What the test above would see of a touch that forgets its budget.
    record(&["page", "touch", text(&path), "--budget", "100%"], 0);
    assert!(resident(&path) > 1 << 20);
}

/// A memory cgroup of version 1 with a limit, for one command.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(limit: u64) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = Path::new("/sys/fs/cgroup/memory")
            .join(format!("bifolio-{}-{number}", std::process::id()));
        if fs::create_dir(&path).is_err() {
            Skip::because("needs root and the memory cgroup of version 1").count();
            return None;
        }
        fs::write(path.join("memory.limit_in_bytes"), limit.to_string()).expect("the limit");
        Some(Self(path))
    }

    /// Runs a command in it, and says how often the limit was hit.
    fn run(&self, words: &[&str]) -> (std::process::Output, u64) {
        let failures = self.0.join("memory.failcnt");
        fs::write(&failures, "0").expect("reset");
        let join = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.0.display());
        let output = Command::new("sh").args(["-c", &join, "sh"]).args(words).output().expect("sh");
        let count = fs::read_to_string(failures).expect("the count").trim().parse();
        (output, count.expect("a number"))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn the_limit_of_a_cgroup_is_kept_unasked() {
    const LIMIT: u64 = 48 << 20;
    let dir = directory();
    let path = file_of(dir.path(), "large", 100 << 20);
    let Some(cgroup) = Cgroup::new(LIMIT) else { return };
    chill(&path);
    let program = crate::support::program();
    let words = [text(&program), "page", "touch", text(&path), "--json"];
    let (output, hits) = cgroup.run(&words);
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    let told: Json = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert!(number(&told, "budget") < LIMIT, "{told}");
    assert!(resident(&path) <= number(&told, "budget"), "{told}");
    assert_eq!(hits, 0, "the limit was hit");
    // The twin: who does not ask runs into it.
    if theirs(&["vmtouch", text(&path)]).is_some() {
        chill(&path);
        let (_, hits) = cgroup.run(&["vmtouch", "-q", "-t", text(&path)]);
        assert!(hits > 0, "vmtouch would have been within the limit too");
    }
}

#[test]
fn a_lock_that_does_not_fit_a_cgroup_locks_nothing_and_names_the_limit() {
    const LIMIT: u64 = 48 << 20;
    let dir = directory();
    let path = file_of(dir.path(), "large", 100 << 20);
    let Some(cgroup) = Cgroup::new(LIMIT) else { return };
    chill(&path);
    let program = crate::support::program();
    let words = [text(&program), "page", "lock", text(&path), "--", "echo", "ran"];
    let (output, hits) = cgroup.run(&words);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(6), ""));
    assert!(stderr(&output).contains("memory.limit_in_bytes"), "{}", stderr(&output));
    assert_eq!((hits, resident(&path)), (0, 0));
    // The twin: with a part that fits, the same command runs.
    let words = [&words[..4], &["--range", "..1M"], &words[4..]].concat();
    let (output, _) = cgroup.run(&words);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "ran\n"));
}

#[test]
fn what_is_evicted_is_gone_for_everybody_and_what_is_dirty_is_written_first() {
    let dir = directory();
    let path = dir.path().join("a");
    fs::write(&path, vec![7; 300_000]).expect("written");
    let sums = records(&["page", "evict", text(&path)]);
    let of = |field| number(&sums[0], field);
    let sum = of("dropped") + of("stayed_in_use");
    assert_eq!((sum, of("stayed_dirty"), of("lives_in_memory")), (in_pages(300_000), 0, 0));
    chill(&path);
    assert_eq!(resident(&path), 0);
    if let Some(told) = theirs(&["fincore", "--noheadings", "--raw", "-o", "PAGES", text(&path)]) {
        assert_eq!(told.trim(), "0");
    }
    assert_eq!(fs::read(&path).expect("read"), vec![7; 300_000]);
}

#[test]
fn a_file_that_lives_in_memory_stays_and_is_said_to() {
    use bifolio_testkit::{mount::Tmpfs, skip::or_count};
    let root = bifolio_testkit::privilege::need_root().map_err(Into::into);
    let Some(tmpfs) = or_count(root.and_then(|()| Tmpfs::new(1 << 20))) else { return };
    let path = tmpfs.path().join("a");
    fs::write(&path, vec![7; 10_000]).expect("written");
    let output = run(&["page", "evict", text(&path), "--json"]);
    let told: Json = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(number(&told["records"][0], "lives_in_memory"), in_pages(10_000));
    assert!(stderr(&output).contains("live in memory only"), "{}", stderr(&output));
}

/// A file of root's in a directory that everybody may enter, which stays until the value is dropped.
fn foreign_file() -> (tempfile::TempDir, PathBuf) {
    use std::os::unix::fs::PermissionsExt;
    let dir = directory();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("open to all");
    let path = file_of(dir.path(), "foreign", 100_000);
    (dir, path)
}

#[test]
fn who_may_read_a_file_and_not_know_what_is_in_memory_may_touch_and_evict_it() {
    let (_dir, path) = foreign_file();
    let mut words = ["page", "evict", text(&path), "--json"];
    assert_eq!(resident(&path), in_pages(100_000));
    let told = |words: &[&str]| {
        let output = as_nobody(words)?;
        assert_eq!(code(&output), 0, "{words:?}: {}", stderr(&output));
        let told: Json = serde_json::from_str(&stdout(&output)).expect("JSON");
        let record = told["records"].get(0).unwrap_or(&told).clone();
        Some((record, stderr(&output)))
    };
    // A page that the kernel is just looking at stays.
    for round in 0.. {
        let Some((sums, message)) = told(&words) else { return };
        // Kernels before 6.14 tell everybody the counts.
        if sums["dropped"].is_null() {
            assert!(sums["resident_before"].is_null(), "{sums}");
            assert!(
                message.contains("1 files of others were evicted and not counted"),
                "{message}"
            );
        }
        if resident(&path) == 0 {
            break;
        }
        assert!(round < 100, "it does not leave memory");
    }
    words[1] = "touch";
    let Some((sums, message)) = told(&words) else { return };
    assert_eq!((number(&sums, "read_in"), number(&sums, "already")), (in_pages(100_000), 0));
    assert_eq!(resident(&path), in_pages(100_000));
    // Once more: who is not told what is there reads all of it, and says so.
    let Some((sums, again)) = told(&words) else { return };
    if message.contains("1 files of others were read as a whole") {
        assert_eq!(again, message);
        assert_eq!((number(&sums, "read_in"), number(&sums, "already")), (in_pages(100_000), 0));
    } else {
        assert_eq!((number(&sums, "read_in"), number(&sums, "already")), (0, in_pages(100_000)));
    }
}

#[test]
fn holes_are_not_read_in_and_are_said_to_be_left_out() {
    let dir = directory();
    let path = dir.path().join("sparse");
    let file = File::options().create_new(true).write(true).read(true).open(&path).expect("new");
    let (start, size, length) = (4 << 20, 64 << 10, 64 << 20);
    file.set_len(length).expect("set");
    file.write_all_at(&vec![7; size], start).expect("written");
    file.sync_all().expect("synced");
    chill(&path);
    let size = size as u64;
    let sums = record(&["page", "touch", text(&path)], 0);
    let of = |field| number(&sums, field);
    assert_eq!((of("read_in"), of("already"), of("holes")), (size, 0, length - size));
    assert_eq!(resident(&path), size);
    // A range of holes alone, and a budget that the holes would not fit.
    let sums = record(&["page", "touch", text(&path), "--range", "8M..", "--budget", "64k"], 0);
    assert_eq!((number(&sums, "read_in"), number(&sums, "holes")), (0, length - (8 << 20)));
    assert_eq!(resident(&path), size);
    // The broken twin: who reads all of it fills memory with zeros.
    drop(fs::read(&path).expect("read"));
    assert!(resident(&path) > length / 2);
}
