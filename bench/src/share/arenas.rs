//! Blocks allocated and freed in shared memory.

use std::path::PathBuf;
use std::process::Command;

use bifolio_map::Create;
use bifolio_share::{Extent, Region};

use crate::Result;
use crate::goal::{Bound, Goal};
use crate::harness::{Bench, Outcome, Sample, Work, timed};
use crate::report::Report;
use crate::suite::Scale;

const OURS: &str = "bifolio arena";
const BOOST: &str = "Boost.Interprocess";
const MALLOC: &str = "malloc";

/// Blocks that are there at a time.
const LIVE: u64 = 20_000;

pub(super) fn run(scale: Scale, report: &mut Report) -> Result<()> {
    report.outcome(&fragmented(scale, &Boost::build()?)?)
}

pub(super) fn goals(scale: Scale, report: &mut Report) -> Result<()> {
    let boost = Boost::build()?;
    let outcome = fragmented(scale, &boost)?;
    report.outcome_aside(&outcome)?;
    if let Boost::Built(..) = boost {
        report.goal(Goal {
            figure: "arena alloc + free, fragmented / Boost".into(),
            ratio: outcome.speed(&[OURS], &[BOOST]),
            bound: Bound::AtLeast(2.0),
        })?;
    }
    Ok(())
}

/// The numbers by which blocks and sizes are chosen: the same for all.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn size(&mut self) -> u64 {
        16 + self.next() % 240
    }
}

/// Whatever allocates.
trait Allocator {
    type Block;
    fn alloc(&mut self, size: u64) -> Result<Self::Block>;
    /// The size that was written into the block.
    fn free(&mut self, block: Self::Block) -> Result<u64>;
}

/// Of many blocks of 16 to 255 bytes one at a time is freed and another one allocated; each holds its
/// size.
fn fragmented(scale: Scale, boost: &Boost) -> Result<Outcome> {
    let count: u64 = scale.pick(200_000, 1_000_000);
    let dir = tempfile::tempdir_in("/dev/shm")?;
    let path = dir.path().join("region");
    let region = Region::options().capacity(128 << 20).create(Create::New).open(&path)?;
    let arena = region.arena("arena", 64 << 20)?;
    let rival = if let Boost::Built(..) = boost { BOOST } else { MALLOC };
    let mut bench = Bench::new("free + alloc among 20,000 blocks", Work::Operations(count), rival)
        .with_parts(OURS, "any process may die", || Ok(()), || churn(Shared(&arena), count))
        .with_parts(MALLOC, "private", || Ok(()), || churn(Private, count));
    if let Boost::Built(dir, program) = boost {
        let file = dir.path().join("arena");
        bench = bench.with_parts(
            BOOST,
            "one mutex",
            || Ok(()),
            move || {
                let _ = std::fs::remove_file(&file); // of the round before
                let numbers = [LIVE.to_string(), count.to_string()];
                super::timed_by(Command::new(program).arg(&file).args(numbers))
            },
        );
    }
    bench.measure(scale.pick(5, 11))
}

fn churn<A: Allocator>(mut allocator: A, count: u64) -> Result<Sample> {
    let mut numbers = Numbers(1);
    let mut blocks = (0..LIVE)
        .map(|_| allocator.alloc(numbers.size()).map(Some))
        .collect::<Result<Vec<Option<A::Block>>>>()?;
    let sample = timed(|| {
        let mut digest = 0;
        for _ in 0..count {
            let index = usize::try_from(numbers.next() % LIVE)?;
            let block = blocks[index].take().ok_or("a block is missing")?;
            digest += allocator.free(block)?;
            blocks[index] = Some(allocator.alloc(numbers.size())?);
        }
        Ok(digest)
    })?;
    for block in blocks.into_iter().flatten() {
        allocator.free(block)?;
    }
    Ok(sample)
}

struct Shared<'arena>(&'arena bifolio_share::Arena);

impl Allocator for Shared<'_> {
    type Block = Extent;

    fn alloc(&mut self, size: u64) -> Result<Extent> {
        let mut draft = self.0.alloc_bytes(size)?;
        draft.write_at(0, &size.to_ne_bytes())?;
        Ok(draft.publish_bytes()?)
    }

    fn free(&mut self, block: Extent) -> Result<u64> {
        let mut size = [0; 8];
        self.0.read_at(block, 0, &mut size)?;
        self.0.free_bytes(block)?;
        Ok(u64::from_ne_bytes(size))
    }
}

struct Private;

impl Allocator for Private {
    type Block = Vec<u8>;

    fn alloc(&mut self, size: u64) -> Result<Vec<u8>> {
        let mut block = Vec::with_capacity(usize::try_from(size)?);
        block.extend_from_slice(&size.to_ne_bytes());
        Ok(std::hint::black_box(block))
    }

    fn free(&mut self, block: Vec<u8>) -> Result<u64> {
        Ok(u64::from_ne_bytes(block[..8].try_into()?))
    }
}

/// The rival's program, which has to be built.
enum Boost {
    Built(tempfile::TempDir, PathBuf),
    /// No compiler, or no headers (Debian: g++ and libboost-dev).
    Absent,
}

impl Boost {
    fn build() -> Result<Self> {
        let dir = tempfile::tempdir_in("/dev/shm")?;
        let (source, program) = (dir.path().join("boost.cpp"), dir.path().join("boost"));
        std::fs::write(&source, include_str!("boost_arena.cpp"))?;
        let built = Command::new("g++")
            .args(["-O2", "-o"])
            .args([&program, &source])
            .args(["-lpthread", "-lrt"])
            .output();
        match built {
            Ok(output) if output.status.success() => Ok(Self::Built(dir, program)),
            _ => {
                eprintln!("without Boost.Interprocess: g++ and libboost-dev are not both here");
                Ok(Self::Absent)
            }
        }
    }
}
