//! The saved resident set that `bifolio page restore` reads.

use bifolio_cli::commands::page::saved_again;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

/// Any bytes are a set or an error; and so are they as the lines of a set whose head, counts and
/// checksum are right. What is a set is the same after it was written and read again.
pub fn saved_set(bytes: &[u8]) {
    hold(bytes);
    hold(&sealed(bytes));
}

fn hold(bytes: &[u8]) {
    if let Ok(written) = saved_again(bytes) {
        let again = saved_again(&written).expect("what was written can be read");
        assert_eq!(again, written);
    }
}

/// The bytes between a head and an end that vouch for them.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let head = json!({
        "format": "bifolio residency", "version": 1, "page_size": 4096,
        "saved": "1970-01-01T00:00:00Z",
    });
    let mut text = format!("{head}\n").into_bytes();
    text.extend(bytes);
    if !bytes.is_empty() && !bytes.ends_with(b"\n") {
        text.push(b'\n');
    }
    let lines: Vec<Json> = bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    let runs = lines.iter().filter_map(|line| line["resident"].as_array()).flatten();
    let sizes = runs.filter_map(|run| run[1].as_u64());
    let resident = sizes.fold(0_u64, u64::wrapping_add);
    let sha256: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    let end = json!({
        "end": true, "files": lines.len(), "resident": resident, "sha256": sha256,
    });
    text.extend(format!("{end}\n").bytes());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_hold() {
        crate::tests::hold("saved_set", saved_set);
    }

    #[test]
    fn what_is_sealed_is_read() {
        let line = include_bytes!("../seeds/saved_set/line");
        assert!(saved_again(&sealed(line)).is_ok());
        assert!(saved_again(line).is_err());
    }
}
