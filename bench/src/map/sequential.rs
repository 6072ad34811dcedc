//! Reading a whole file in order: warm or cold, mapped already or not, by one or two threads.

use std::fs::File;

use bifolio_map::view::ScanPlan;
use memmap2::Advice;

use super::means::{self, BUFFERS, Look, buffer};
use crate::corpus::{self, TestFile};
use crate::harness::{Bench, Field, Outcome, Work};
use crate::{Result, cache, door, kernel};

/// What looks at the bytes, and what it has to find.
#[derive(Clone, Copy)]
pub(super) struct Kernel {
    pub(super) name: &'static str,
    look: Look,
}

/// The sum of the words: the least that one can do with all bytes.
pub(super) const SUM: Kernel = Kernel { name: "sum", look: kernel::sum };

/// A search for a rare byte: what most scans are.
pub(super) const SEARCH: Kernel =
    Kernel { name: "memchr", look: |bytes| kernel::count(corpus::NEEDLE, bytes) };

/// A warm file that this process has not mapped: opening, mapping and unmapping are in the time.
pub(super) fn first_pass(
    file: &TestFile,
    kernel: Kernel,
    note: &str,
    field: Field,
    rounds: usize,
) -> Result<Outcome> {
    let (path, len, look) = (&file.path, file.len, kernel.look);
    let name = format!("warm sequential, first pass, {}, {note}", kernel.name);
    let mut bench = Bench::new(name, Work::Bytes(len), "read").expect(expected(file, kernel));
    for (size, params) in BUFFERS {
        let mut bytes = buffer(size)?;
        bench = bench.with("read", params, move || means::read(path, &mut bytes, look));
        let mut bytes = buffer(size)?;
        bench = bench.with("pread", params, move || {
            means::pread(&File::open(path)?, 0..len, &mut bytes, look)
        });
    }
    bench
        .with("fresh map", "memmap2", move || Ok(look(&door::map(path)?)))
        .with("populated map", "memmap2", move || Ok(look(&door::map_populated(path)?)))
        .with("scan", "", move || means::scan(&means::view(path)?, ScanPlan::Auto, 0..len, look))
        .with("unchecked slice", "", move || Ok(look(door::slice(&means::view(path)?))))
        .field(field)
        .measure(rounds)
}

/// A warm file that has been mapped and looked at before.
pub(super) fn live_pass(
    file: &TestFile,
    kernel: Kernel,
    note: &str,
    field: Field,
    rounds: usize,
) -> Result<Outcome> {
    let (path, len, look) = (&file.path, file.len, kernel.look);
    let (map, view, open) = (door::map(path)?, means::view(path)?, File::open(path)?);
    let (map, view, open) = (&map, &view, &open);
    let name = format!("warm sequential, live map, {}, {note}", kernel.name);
    let mut bench =
        Bench::new(name, Work::Bytes(len), "memmap2 slice").expect(expected(file, kernel));
    for (size, params) in BUFFERS {
        let mut bytes = buffer(size)?;
        bench = bench.with("read", params, move || means::read(path, &mut bytes, look));
    }
    let mut bytes = buffer(64 << 10)?;
    bench
        .with("memmap2 slice", "", move || Ok(look(map)))
        .with("scan", "", move || means::scan(view, ScanPlan::Auto, 0..len, look))
        .with("read_at", "64 KiB", move || means::read_at(view, 0..len, &mut bytes, look))
        .with("unchecked slice", "", move || Ok(look(door::slice(view))))
        .with("pread, 2 threads", "256 KiB", move || {
            means::halves(len, |part| means::pread(open, part, &mut buffer(256 << 10)?, look))
        })
        .with("memmap2 slice, 2 threads", "", move || {
            means::halves(len, |part| Ok(look(means::part(map, part))))
        })
        .with("scan, 2 threads", "", move || {
            means::halves(len, |part| means::scan(view, ScanPlan::Auto, part, look))
        })
        .field(field)
        .measure(rounds)
}

/// A file that is on the device only.
pub(super) fn cold(file: &TestFile, field: Field, rounds: usize) -> Result<Outcome> {
    let (path, len, look) = (&file.path, file.len, SUM.look);
    let drop = move || cache::drop_file(path);
    let mut bench = Bench::new("cold sequential", Work::Bytes(len), "read").expect(file.sum);
    for (size, params) in BUFFERS {
        let mut bytes = buffer(size)?;
        bench = bench.with_prepared("read", params, drop, move || {
            cache::cold(len, || means::read(path, &mut bytes, look))
        });
        let mut bytes = buffer(size)?;
        bench = bench.with_prepared("pread", params, drop, move || {
            cache::cold(len, || means::pread(&File::open(path)?, 0..len, &mut bytes, look))
        });
    }
    for (size, params) in [(1 << 20, "1 MiB"), (4 << 20, "4 MiB"), (16 << 20, "16 MiB")] {
        let mut bytes = buffer(size)?;
        bench = bench.with_prepared("O_DIRECT", params, drop, move || {
            cache::cold(len, || means::pread(&means::open_direct(path)?, 0..len, &mut bytes, look))
        });
    }
    bench = bench
        .with_prepared("memmap2 slice", "", drop, move || {
            cache::cold(len, || Ok(look(&door::map(path)?)))
        })
        .with_prepared("memmap2 slice", "MADV_SEQUENTIAL", drop, move || {
            cache::cold(len, || {
                let map = door::map(path)?;
                map.advise(Advice::Sequential)?;
                Ok(look(&map))
            })
        })
        .with_prepared("scan", "no prefetch", drop, move || {
            cache::cold(len, || means::scan(&means::view(path)?, ScanPlan::Auto, 0..len, look))
        });
    for (ahead, params) in
        [(2 << 20, "2 MiB ahead"), (8 << 20, "8 MiB ahead"), (32 << 20, "32 MiB ahead")]
    {
        bench = bench.with_prepared("scan with prefetch", params, drop, move || {
            let plan = ScanPlan::Cold { ahead };
            cache::cold(len, || means::scan(&means::view(path)?, plan, 0..len, look))
        });
    }
    bench
        .with_prepared("scan with prefetch, 2 threads", "8 MiB ahead", drop, move || {
            let plan = ScanPlan::Cold { ahead: 8 << 20 };
            let view = means::view(path)?;
            cache::cold(len, || means::halves(len, |part| means::scan(&view, plan, part, look)))
        })
        .field(field)
        .measure(rounds)
}

/// What the kernel finds in the file.
fn expected(file: &TestFile, kernel: Kernel) -> u64 {
    if kernel.name == SUM.name { file.sum } else { file.len / corpus::NEEDLE_EVERY }
}
