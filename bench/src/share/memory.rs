//! Bandwidth of a region's bytes against private memory: 64 MiB, more than a cache holds.

use std::fs::File;
use std::ops::ControlFlow;

use bifolio_map::{Read, ReadWrite, View};
use bifolio_share::Region;
use memmap2::MmapMut;
use tempfile::TempDir;

use crate::harness::{Bench, Outcome, Sample, Work, timed};
use crate::kernel::{self, Random};
use crate::report::Report;
use crate::suite::Scale;
use crate::{Result, door};

const SIZE: u64 = 64 << 20;
const PAGE: u64 = 4096;

const PRIVATE: &str = "private";
const OURS: &str = "bifolio region";
const MEMMAP2: &str = "memmap2";

pub(super) fn run(scale: Scale, report: &mut Report) -> Result<()> {
    let memory = Memory::filled()?;
    report.outcome(&memory.sum(scale)?)?;
    report.outcome(&memory.copy_out(scale)?)?;
    report.outcome(&memory.copy_in(scale)?)
}

/// The same random bytes in private memory, in a region, and in a file that a rival maps. All pages
/// are there, and small: nobody asks for huge ones.
struct Memory {
    private: Vec<u8>,
    sum: u64,
    region: Region,
    /// Where the region has them: at a page, as a `Vec` of this size does but for a few bytes.
    offset: u64,
    /// The file that the rival maps.
    file: File,
    dir: TempDir,
}

impl Memory {
    fn filled() -> Result<Self> {
        let mut private = vec![0; kernel::index(SIZE)];
        Random::new(31).fill(&mut private);
        let dir = tempfile::tempdir_in("/dev/shm")?;
        let region = Region::options()
            .capacity(2 * SIZE)
            .create(bifolio_map::Create::New)
            .open(dir.path().join("region"))?;
        let used = region.used()?;
        region.append(&vec![0; kernel::index(used.next_multiple_of(PAGE) - used)])?;
        let offset = region.append(&private)?;
        let path = dir.path().join("file");
        std::fs::write(&path, &private)?;
        let file = File::options().read(true).write(true).open(path)?;
        Ok(Self { sum: kernel::sum(&private), private, region, offset, file, dir })
    }

    /// The region's bytes as whoever only reads them has them.
    fn view(&self) -> Result<View<Read>> {
        Ok(self.region.section().view_of(self.offset..self.offset + SIZE)?)
    }

    fn rounds(scale: Scale) -> usize {
        scale.pick(7, 21)
    }

    /// Every word read.
    fn sum(&self, scale: Scale) -> Result<Outcome> {
        let view = &self.view()?;
        let theirs = &door::map(&self.dir.path().join("file"))?[..];
        let (private, ours) = (&self.private[..], door::slice(view));
        Bench::new("sum 64 MiB", Work::Bytes(SIZE), PRIVATE)
            .expect(self.sum)
            .with(PRIVATE, "Vec", || Ok(kernel::sum(private)))
            .with(OURS, "scan", || sum_of(view))
            .with(OURS, "unsafe slice", || Ok(kernel::sum(ours)))
            .with(MEMMAP2, "unsafe slice", || Ok(kernel::sum(theirs)))
            .measure(Self::rounds(scale))
    }

    /// All bytes copied to a `Vec`.
    fn copy_out(&self, scale: Scale) -> Result<Outcome> {
        let theirs = &door::map(&self.dir.path().join("file"))?[..];
        let bench = Bench::new("copy 64 MiB out", Work::Bytes(SIZE), PRIVATE).expect(self.sum);
        let bench =
            contend(bench, PRIVATE, "Vec to Vec", ToVec::new(|out| copy(&self.private, out)));
        let ours = ToVec::new(|out| Ok(self.region.read_at(self.offset, out)?));
        let bench = contend(bench, OURS, "read_at", ours);
        contend(bench, MEMMAP2, "unsafe slice", ToVec::new(|out| copy(theirs, out)))
            .measure(Self::rounds(scale))
    }

    /// All bytes of a `Vec` copied to where others see them.
    fn copy_in(&self, scale: Scale) -> Result<Outcome> {
        let bench = Bench::new("copy 64 MiB in", Work::Bytes(SIZE), PRIVATE).expect(self.sum);
        let bench =
            contend(bench, PRIVATE, "Vec to Vec", ToVec::new(|out| copy(&self.private, out)));
        let bench = contend(bench, OURS, "write_at", self);
        let theirs = ToMap { from: &self.private, map: door::map_mut(&self.file)? };
        contend(bench, MEMMAP2, "unsafe slice", theirs).measure(Self::rounds(scale))
    }
}

/// Where bytes are copied to.
trait Target {
    /// Forgets what was copied before.
    fn clear(&mut self) -> Result<()>;
    fn copy(&mut self) -> Result<()>;
    /// The sum of what is there.
    fn sum(&self) -> Result<u64>;
}

/// Adds a contender of which the copy alone is timed.
fn contend<'a>(
    bench: Bench<'a>,
    name: &str,
    params: &str,
    mut target: impl Target + 'a,
) -> Bench<'a> {
    let run = move || {
        target.clear()?;
        let sample = timed(|| target.copy().map(|()| 0))?;
        Ok(Sample { digest: target.sum()?, ..sample })
    };
    bench.with_parts(name, params, || Ok(()), run)
}

fn copy(from: &[u8], to: &mut [u8]) -> Result<()> {
    to.copy_from_slice(from);
    Ok(())
}

struct ToVec<F> {
    target: Vec<u8>,
    copy: F,
}

impl<F: FnMut(&mut [u8]) -> Result<()>> ToVec<F> {
    fn new(copy: F) -> Self {
        Self { target: vec![0; kernel::index(SIZE)], copy }
    }
}

impl<F: FnMut(&mut [u8]) -> Result<()>> Target for ToVec<F> {
    fn clear(&mut self) -> Result<()> {
        self.target.fill(0);
        Ok(())
    }

    fn copy(&mut self) -> Result<()> {
        (self.copy)(&mut self.target)
    }

    fn sum(&self) -> Result<u64> {
        Ok(kernel::sum(&self.target))
    }
}

/// The region itself.
impl Target for &Memory {
    fn clear(&mut self) -> Result<()> {
        let range = self.offset..self.offset + SIZE;
        Ok(self.region.section().view_of::<ReadWrite>(range)?.fill(.., 0)?)
    }

    fn copy(&mut self) -> Result<()> {
        Ok(self.region.write_at(self.offset, &self.private)?)
    }

    fn sum(&self) -> Result<u64> {
        sum_of(&self.view()?)
    }
}

struct ToMap<'a> {
    from: &'a [u8],
    map: MmapMut,
}

impl Target for ToMap<'_> {
    fn clear(&mut self) -> Result<()> {
        self.map.fill(0);
        Ok(())
    }

    fn copy(&mut self) -> Result<()> {
        copy(self.from, &mut self.map)
    }

    fn sum(&self) -> Result<u64> {
        Ok(kernel::sum(&self.map))
    }
}

/// The sum of a view's words, without `unsafe`.
fn sum_of(view: &View<Read>) -> Result<u64> {
    let mut sum = 0_u64;
    let flow: ControlFlow<()> = view.scan(.., |piece| {
        sum = sum.wrapping_add(kernel::sum(piece));
        ControlFlow::Continue(())
    })?;
    debug_assert!(flow.is_continue());
    Ok(sum)
}
