//! The command's `page touch` and `page stat` against vmtouch, each as a whole process.
//!
//! The command is this program under another name: it has the command's crate linked in, so that
//! what is measured is what was built here.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bifolio_map::residency::{CachedFile, WriteBack};

use crate::Result;
use crate::corpus::Corpus;
use crate::goal::{Bound, Goal};
use crate::harness::{Bench, Field, Outcome, Sample, Work, timed};
use crate::kernel::Random;
use crate::report::Report;
use crate::suite::Scale;

const MIB: u64 = 1 << 20;

const TOUCH: &str = "page touch";
const STAT: &str = "page stat";
const VMTOUCH: &str = "vmtouch";
const CAT: &str = "cat";

/// Measures everything.
pub(super) fn run(scale: Scale, report: &mut Report) -> Result<()> {
    if is_missing(VMTOUCH) {
        eprintln!("bifolio-bench: vmtouch is not installed (Debian: apt-get install vmtouch)");
        return Ok(());
    }
    measure(scale, Field::All, |outcome, _| report.outcome(&outcome))
}

/// Measures the figures to reach.
pub(super) fn goals(scale: Scale, report: &mut Report) -> Result<()> {
    if is_missing(VMTOUCH) {
        for figure in ["page touch of small files", "page touch of large files", "page stat"] {
            let figure = format!("{figure} / vmtouch: NOT MEASURED, vmtouch is not installed");
            report.goal(Goal { figure, ratio: f64::NAN, bound: Bound::AtLeast(1.0) })?;
        }
        return Ok(());
    }
    measure(scale, Field::Only(&[TOUCH, STAT, VMTOUCH]), |outcome, bound| {
        report.outcome_aside(&outcome)?;
        let figure = format!("{} / vmtouch", outcome.bench);
        let ratio = outcome.speed(&[TOUCH, STAT], &[VMTOUCH]);
        report.goal(Goal { figure, ratio, bound: Bound::AtLeast(bound) })
    })
}

/// Each piece of work with what has to be reached.
fn measure(
    scale: Scale,
    field: Field,
    mut tell: impl FnMut(Outcome, f64) -> Result<()>,
) -> Result<()> {
    let corpus = Corpus::new()?;
    let rounds = scale.pick(5, 9);
    {
        let tree = Tree::small(&corpus, "upto64k", scale.pick(4000, 20_000), 64 << 10)?;
        let name = format!("touch of {} cold files up to 64 KiB", tree.files.len());
        tell(touch(&tree, name, field, rounds)?, 1.5)?;
    }
    {
        let tree = Tree::large(&corpus, "large", 4, scale.pick(96 * MIB, 256 * MIB))?;
        let name = format!("touch of {} cold files of {} MiB", 4, tree.bytes / 4 / MIB);
        tell(touch(&tree, name, field, rounds)?, 1.1)?;
    }
    let tree = Tree::small(&corpus, "stat", scale.pick(20_000, 100_000), 4 << 10)?;
    let name = format!("stat of {} small files", tree.files.len());
    tell(stat(&tree, name, field, rounds)?, 2.0)
}

/// Files of random bytes, written out.
#[derive(Debug)]
struct Tree {
    dir: PathBuf,
    files: Vec<PathBuf>,
    bytes: u64,
    pages: u64,
}

impl Drop for Tree {
    fn drop(&mut self) {
        // The corpus removes what is left.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Tree {
    /// Files of one byte to `most` bytes, 500 in a directory.
    fn small(corpus: &Corpus, name: &str, count: usize, most: u64) -> Result<Self> {
        let mut random = Random::new(7);
        let sizes = (0..count).map(|_| 1 + random.next() % most).collect();
        Self::of(corpus, name, sizes)
    }

    fn large(corpus: &Corpus, name: &str, count: usize, size: u64) -> Result<Self> {
        Self::of(corpus, name, vec![size; count])
    }

    fn of(corpus: &Corpus, name: &str, sizes: Vec<u64>) -> Result<Self> {
        let dir = corpus.path(name);
        let page = bifolio_map::page_size() as u64;
        let mut block = vec![0; 1 << 20];
        Random::new(11).fill(&mut block);
        let mut tree = Self { dir, files: Vec::new(), bytes: 0, pages: 0 };
        for (number, size) in sizes.into_iter().enumerate() {
            let place = tree.dir.join(format!("d{}", number / 500));
            std::fs::create_dir_all(&place)?;
            let path = place.join(format!("f{number}"));
            let mut file = File::create(&path)?;
            let mut left = size;
            while left > 0 {
                let step = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
                file.write_all(&block[..step])?;
                left -= step as u64;
            }
            tree.files.push(path);
            tree.bytes += size;
            tree.pages += size.div_ceil(page);
        }
        // One sync of the file system is quicker than one of each file.
        rustix::fs::syncfs(File::open(&tree.dir)?)?;
        Ok(tree)
    }

    /// Pages in memory.
    fn resident(&self) -> Result<u64> {
        let mut sum = 0;
        for path in &self.files {
            let found = CachedFile::open(path)?.residency(..)?;
            sum += found.resident.ok_or("this kernel does not count resident pages")?;
        }
        Ok(sum)
    }

    /// The number of pages, if the count of resident ones is that but for one in a hundred: others
    /// who need memory may take some before they are counted. Otherwise the count as it is.
    fn nearly_all(&self, resident: u64) -> u64 {
        if resident >= self.pages - self.pages / 100 { self.pages.max(resident) } else { resident }
    }

    /// The number of pages that a contender has found, if it found nearly all of them resident.
    fn all_of(&self, pages: u64, resident: u64) -> Result<u64> {
        if self.nearly_all(resident) >= self.pages {
            return Ok(pages);
        }
        Err(format!("only {resident} of {} pages were found resident", self.pages).into())
    }

    /// Drops everything, and fails if anything stayed.
    fn chill(&self) -> Result<()> {
        for path in &self.files {
            let file = CachedFile::open(path)?;
            // A page that the kernel is just looking at stays; it is soon done.
            let gone = (0..100).any(|_| {
                let evicted = file.evict(.., WriteBack::No);
                let gone = evicted.is_ok_and(|evicted| evicted.after.resident == Some(0));
                if !gone {
                    std::thread::sleep(Duration::from_millis(10));
                }
                gone
            });
            if !gone {
                return Err(format!("{} does not leave memory", path.display()).into());
            }
        }
        Ok(())
    }
}

/// Reading a cold tree in. The digest is the pages that are in memory afterwards.
fn touch(tree: &Tree, name: String, field: Field, rounds: usize) -> Result<Outcome> {
    let contender = |words: &'static [&'static str]| {
        move || {
            let sample = timed(|| start(words, &tree.dir).map(|_| 0))?;
            Ok(Sample { digest: tree.nearly_all(tree.resident()?), ..sample })
        }
    };
    let cold = || tree.chill();
    Bench::new(name, Work::Bytes(tree.bytes), VMTOUCH)
        .expect(tree.pages)
        .with_parts(VMTOUCH, "-t", cold, contender(&[VMTOUCH, "-q", "-t"]))
        .with_parts(TOUCH, "", cold, contender(&[COMMAND, "page", "touch"]))
        .with_parts(
            "page touch, 1 thread",
            "",
            cold,
            contender(&[COMMAND, "page", "touch", "--threads=1"]),
        )
        .with_parts(CAT, "xargs", cold, contender(&["sh", "-c", CAT_ALL, "sh"]))
        .field(field)
        .measure(rounds)
}

/// What people do without a tool.
const CAT_ALL: &str = "find \"$1\" -type f -print0 | xargs -0 cat > /dev/null";

/// Counting the pages of a warm tree. The digest is the number of
/// pages, which each has to find, nearly all of them resident.
fn stat(tree: &Tree, name: String, field: Field, rounds: usize) -> Result<Outcome> {
    let page = bifolio_map::page_size() as u64;
    let warm = || start(&[VMTOUCH, "-q", "-t"], &tree.dir).map(|_| ());
    let theirs = move || {
        let text = start(&[VMTOUCH], &tree.dir)?;
        let line = text.lines().find_map(|line| line.trim().strip_prefix("Resident Pages:"));
        let counts = line.and_then(|rest| rest.split_whitespace().next()?.split_once('/'));
        let (resident, pages) = counts.ok_or("vmtouch counts no pages")?;
        tree.all_of(pages.parse()?, resident.parse()?)
    };
    let ours = |words: &'static [&'static str]| {
        move || {
            let text = start(words, &tree.dir)?;
            let mut fields = text.split('\t').skip(5).map(str::parse::<u64>);
            let (Some(pages), Some(bytes)) = (fields.next(), fields.next()) else {
                return Err("page stat counts no pages".into());
            };
            tree.all_of(pages?, bytes? / page)
        }
    };
    let plain = ours(&[COMMAND, "page", "stat", "--format=plain"]);
    let alone = ours(&[COMMAND, "page", "stat", "--format=plain", "--threads=1"]);
    Bench::new(name, Work::Operations(tree.files.len() as u64), VMTOUCH)
        .expect(tree.pages)
        .with_prepared(VMTOUCH, "", warm, theirs)
        .with_prepared(STAT, "", warm, plain)
        .with_prepared("page stat, 1 thread", "", warm, alone)
        .field(field)
        .measure(rounds)
}

/// The name under which this program is the command.
pub(crate) const COMMAND: &str = "bifolio";

/// Runs a command on a path to its end, and returns what it prints.
fn start(words: &[&str], path: &Path) -> Result<String> {
    let mut command = if words[0] == COMMAND {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg0(COMMAND);
        command
    } else {
        Command::new(words[0])
    };
    let output = command.args(&words[1..]).arg(path).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{words:?} ended with {}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn is_missing(program: &str) -> bool {
    let mut command = Command::new(program);
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_err()
}
