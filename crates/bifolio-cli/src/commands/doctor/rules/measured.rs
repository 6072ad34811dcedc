//! What was measured.

use bifolio::map::ErrorKind;
use bifolio::map::machine::Measured;

use crate::commands::doctor::finding::{Finding, Level, of};
use crate::units::format_duration;

pub(in crate::commands::doctor) fn findings(
    measured: &bifolio::map::Result<Measured>,
    in_memory: bool,
) -> Vec<Finding> {
    let measured = match measured {
        Ok(measured) => measured,
        Err(error) => {
            let flush_failed =
                error.doing().contains("flush") && error.kind() != ErrorKind::StorageFull;
            let finding = Finding::new("times", format!("not taken: {error}"));
            return vec![if flush_failed {
                finding.level(Level::Broken).means("A flush failed: nothing here is durable.")
            } else {
                finding.level(Level::Note).means("The file for it could not be made here.")
            }];
        }
    };
    let cold = |finding: Option<Finding>| match finding {
        Some(finding) if in_memory && finding.number.is_none() => Some(Finding {
            level: Level::Ok,
            value: "none: pages of this file system never leave memory".to_owned(),
            ..finding
        }),
        other => other,
    };
    let found = [
        of(&measured.minor_fault, "minor fault", |time| {
            Finding::time("minor fault", *time)
                .means("The first access to a page that is in memory and not yet in the map.")
        }),
        cold(of(&measured.cold_fault, "cold fault", |time| {
            let finding = Finding::time("cold fault", *time);
            let random = measured.cold_fault_random.value();
            let ratio = random.map_or(0, |random| time.as_nanos() / random.as_nanos().max(1));
            if ratio < 4 {
                return finding.means("The first access to a page that is not in memory.");
            }
            finding.level(Level::Note).means(format!(
                "The first access to a page that is not in memory took {ratio} times as long \
                     as without reading ahead. Who accesses at random gains by Advice::Random.",
            ))
        })),
        cold(of(&measured.cold_fault_random, "cold fault, Random", |time| {
            Finding::time("cold fault, Random", *time)
                .means("The same under Advice::Random: one page is read.")
        })),
        match &measured.flush {
            flush if flush.why_unknown().is_some() => {
                let why = flush.why_unknown().unwrap_or_default();
                let finding = Finding::new("flush", format!("failed: {why}")).from(flush);
                Some(finding.level(Level::Broken).means("Nothing here is durable."))
            }
            flush => of(flush, "flush", |time| {
                let finding = Finding::time("flush", *time);
                if in_memory {
                    return finding.means("Nothing: there is no device behind this file system.");
                }
                if time.as_millis() >= 20 {
                    let each = format_duration(*time);
                    return finding.level(Level::Note).means(format!(
                        "Making one store durable (Flush::Data) takes {each}: gather many stores \
                         into one flush.",
                    ));
                }
                finding.means(
                    "One store made durable (Flush::Data), as far as the device keeps its word.",
                )
            }),
        },
    ];
    found.into_iter().flatten().collect()
}
