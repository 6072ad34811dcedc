//! Objects against files by hand.

use bifolio_share::{Objects, Removal};

use crate::Result;
use crate::harness::{Bench, Work};
use crate::report::Report;
use crate::suite::Scale;

const SIZE: usize = 4096;

/// 4 KiB put, read and removed, in `/dev/shm`; by hand as careful people do it, without pins.
pub(super) fn run(scale: Scale, report: &mut Report) -> Result<()> {
    let count: u64 = scale.pick(2_000, 10_000);
    let dir = tempfile::tempdir_in("/dev/shm")?;
    let (ours, by_hand) = (dir.path().join("ours"), dir.path().join("by hand"));
    std::fs::create_dir(&ours)?;
    std::fs::create_dir(&by_hand)?;
    let objects = Objects::open(&ours)?;
    let bytes = vec![3_u8; SIZE];
    let digest = |found: &[u8]| found.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    const BY_HAND: &str = "write, rename, read, unlink";
    let outcome = Bench::new("put + get + remove 4 KiB", Work::Operations(count), BY_HAND)
        .expect(count * 3 * SIZE as u64)
        .with("bifolio objects", "pinned while read", || {
            let mut sum = 0;
            for _ in 0..count {
                objects.put("object", &bytes)?;
                let object = objects.get("object")?.ok_or("it is not there")?;
                sum += digest(&object.to_vec()?);
                drop(object);
                if objects.remove("object")? != Removal::Done {
                    return Err("it was not there".into());
                }
            }
            Ok(sum)
        })
        .with(BY_HAND, "nothing is pinned", || {
            let (aside, path) = (by_hand.join("aside"), by_hand.join("object"));
            let mut sum = 0;
            for _ in 0..count {
                std::fs::write(&aside, &bytes)?;
                std::fs::rename(&aside, &path)?;
                sum += digest(&std::fs::read(&path)?);
                std::fs::remove_file(&path)?;
            }
            Ok(sum)
        })
        .measure(scale.pick(9, 21))?;
    report.outcome(&outcome)
}
