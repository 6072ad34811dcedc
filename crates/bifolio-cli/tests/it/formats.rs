use serde_json::Value as Json;

use crate::support::{directory, good, run, stdout};

/// Each subcommand with words that make it write data.
const COMMANDS: &[&[&str]] = &[
    &["version"],
    &["completions", "bash"],
    &["man", "tour"],
    &["tour", "--only", "files"],
    &["doctor", "--no-measure"],
];

fn with<'a>(words: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [words, more].concat()
}

fn json(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn json_is_one_document_that_names_its_schema_and_version() {
    for words in COMMANDS {
        let document = json(&good(&with(words, &["--format", "json"])));
        assert_eq!(document["schema"], format!("bifolio.{}", words[0]), "{words:?}");
        assert_eq!(document["version"], 1, "{words:?}");
    }
}

#[test]
fn json_is_short_for_format_json() {
    let long = good(&["version", "--format", "json"]);
    assert_eq!(good(&["version", "--json"]), long);
    assert_eq!(good(&["--json", "version"]), long, "also before the subcommand");
}

#[test]
fn each_line_of_jsonl_is_a_document_of_its_own() {
    for words in COMMANDS {
        let text = good(&with(words, &["--format", "jsonl"]));
        assert!(!text.is_empty());
        for line in text.lines() {
            let document = json(line);
            assert_eq!(document["schema"], format!("bifolio.{}", words[0]), "{words:?}");
            assert_eq!(document["version"], 1, "{words:?}");
        }
    }
}

#[test]
fn csv_begins_with_the_names_of_its_fields() {
    assert_eq!(
        good(&["version", "--format", "csv"]).lines().next(),
        Some("name,release,licence,target,formats")
    );
    let tour = good(&["tour", "--only", "files", "--format", "csv"]);
    assert_eq!(tour.lines().next(), Some("stop,kind,text,found,unit,expected,why"));
}

#[test]
fn off_a_terminal_plain_is_the_default() {
    for words in COMMANDS {
        // These two say something else each time.
        if !["tour", "doctor"].contains(&words[0]) {
            assert_eq!(good(words), good(&with(words, &["--format", "plain"])), "{words:?}");
        }
    }
    assert!(good(&["tour", "--only", "files"]).starts_with("stop\t"));
}

#[test]
fn sizes_are_integers_in_bytes_for_programs_and_short_for_people() {
    let directory = directory();
    let man = directory.path().to_str().expect("text");
    let words = ["man", "--dir", man, "--dry-run"];
    let document = json(&good(&with(&words, &["--json"])));
    let first = &document["records"][0]["size"];
    let size = first.as_u64().expect("an integer");
    let page = good(&["man"]);
    assert_eq!(size, page.len() as u64);
    assert!(good(&with(&words, &["--format", "human"])).contains(" KiB"));
    assert!(good(&with(&words, &["--format", "plain"])).contains(&format!("\t{size}\t")));
}

#[test]
fn version_names_release_licence_target_and_formats() {
    let document = json(&good(&["version", "--json"]));
    assert_eq!(document["name"], "bifolio");
    assert_eq!(document["release"], env!("CARGO_PKG_VERSION"));
    assert_eq!(document["licence"], "MIT OR Apache-2.0");
    assert!(document["target"].as_str().is_some_and(|target| target.matches('-').count() >= 2));
    assert_eq!(document["formats"], serde_json::json!(["human", "plain", "json", "jsonl", "csv"]));
    assert_eq!(good(&["--version"]), format!("bifolio {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn two_formats_at_once_are_a_usage_error() {
    let output = run(&["version", "--json", "--format", "csv"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""));
}
