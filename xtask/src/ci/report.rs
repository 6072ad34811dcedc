//! The table at the end, and the line below it.

use std::fmt::Write;
use std::time::Duration;

use super::Outcome;

pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
}

/// All that is known of what failed, once more: a long log is read from its end.
pub(super) fn failures(rows: &[Row]) -> String {
    let mut told = String::new();
    for row in rows {
        if let Outcome::Failed(why) = &row.outcome {
            let _ = writeln!(told, "\n──── {} failed: {}", row.name, why.trim_end());
        }
    }
    told
}

pub(super) fn table(rows: &[Row]) -> String {
    let mut table = format!("\n{:<14} {:<8} {:>7}\n", "check", "result", "seconds");
    for row in rows {
        let (result, note) = match &row.outcome {
            Outcome::Passed(note) => ("passed", note),
            Outcome::Failed(why) => ("FAILED", why),
            Outcome::Skipped(_, why) => ("SKIPPED", why),
            Outcome::Absent(why) => ("absent", why),
        };
        let line = format!(
            "{:<14} {:<8} {:>7.1}  {}",
            row.name,
            result,
            row.took.as_secs_f64(),
            note.lines().next().unwrap_or_default()
        );
        let _ = writeln!(table, "{}", line.trim_end()); // A String does not refuse.
    }
    table
}

/// `N passed, N failed, N skipped`.
pub(super) fn summary(rows: &[Row]) -> String {
    let count = |kind: fn(&Outcome) -> bool| rows.iter().filter(|row| kind(&row.outcome)).count();
    format!(
        "{} passed, {} failed, {} skipped",
        count(|outcome| matches!(outcome, Outcome::Passed(_))),
        count(|outcome| matches!(outcome, Outcome::Failed(_))),
        count(|outcome| matches!(outcome, Outcome::Skipped(..)))
    )
}

#[cfg(test)]
mod tests {
    use super::super::Cause;
    use super::*;

    fn rows() -> Vec<Row> {
        let took = Duration::from_millis(1250);
        [
            ("a", Outcome::Passed(String::new())),
            ("b", Outcome::Failed("line one\nline two".into())),
            ("c", Outcome::Skipped(Cause::Machine, "no wine".into())),
            ("d", Outcome::Absent("nothing to run yet".into())),
        ]
        .map(|(name, outcome)| Row { name, outcome, took })
        .into()
    }

    #[test]
    fn the_summary_counts_what_ran_and_what_was_skipped_but_not_what_is_absent() {
        assert_eq!(summary(&rows()), "1 passed, 1 failed, 1 skipped");
    }

    #[test]
    fn what_failed_is_told_whole() {
        assert_eq!(failures(&rows()), "\n──── b failed: line one\nline two\n");
    }

    #[test]
    fn each_check_is_one_row_with_its_reason() {
        let table = table(&rows());
        let lines: Vec<_> = table.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "a              passed       1.2",
                "b              FAILED       1.2  line one",
                "c              SKIPPED      1.2  no wine",
                "d              absent       1.2  nothing to run yet",
            ]
        );
    }
}
