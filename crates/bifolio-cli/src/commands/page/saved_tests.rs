use proptest::prelude::*;

use super::*;

const FORMAT_PAGE: &str = include_str!("../../../FORMAT.md");

fn sample() -> Vec<Entry> {
    let entry = |path: &str, length, modified, resident| Entry {
        path: path.into(),
        identity: Identity { length, modified, file: 0x1a2b },
        resident,
    };
    #[expect(clippy::single_range_in_vec_init, reason = "a list of runs")]
    let one = vec![0..8192];
    vec![
        entry("/srv/a.idx", 10_000, Some((1_764_108_000, 500_000_000)), one),
        entry("/srv/b\n\"c", u64::MAX, None, vec![4096..8192, 1 << 40..u64::MAX]),
    ]
}

fn written(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, SystemTime::UNIX_EPOCH, entries).expect("written");
    out
}

fn read_bytes(mut bytes: &[u8]) -> Result<Vec<Entry>, CliError> {
    read(&mut bytes)
}

/// A set with one file line, whose end is right for it.
fn set_of(line: &str, files: u64, resident: u64) -> Vec<u8> {
    let mut text = written(&[]);
    let head = text.iter().position(|&byte| byte == b'\n').expect("a head") + 1;
    text.truncate(head);
    text.extend_from_slice(line.as_bytes());
    text.push(b'\n');
    let sha256 = hex(&Sha256::digest(&text));
    let end = json!({"end": true, "files": files, "resident": resident, "sha256": sha256});
    text.extend_from_slice(format!("{end}\n").as_bytes());
    text
}

#[test]
fn what_was_written_is_read() {
    let entries = sample();
    assert_eq!(read_bytes(&written(&entries)).expect("read"), entries);
    assert_eq!(read_bytes(&written(&[])).expect("read"), []);
}

#[cfg(unix)]
#[test]
fn a_path_that_is_no_text_is_kept_to_the_byte() {
    let mut entries = sample();
    entries[0].path = path_of(b"/srv/\xff\xfe").expect("a path");
    assert_eq!(read_bytes(&written(&entries)).expect("read"), entries);
}

/// The fields of the page's table, by line.
fn fields_of_the_page(line: &str) -> Vec<String> {
    FORMAT_PAGE
        .lines()
        .filter_map(|row| row.strip_prefix(&format!("| {line} | `")))
        .map(|rest| rest.split('`').next().expect("a name").to_owned())
        .collect()
}

#[test]
fn the_page_names_the_fields_in_their_order_and_its_example_is_ours() {
    let mut entries = sample();
    entries.truncate(1);
    let text = String::from_utf8(written(&entries)).expect("text");
    let lines: Vec<Json> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for (line, object) in ["head", "file", "end"].into_iter().zip(&lines) {
        let ours: Vec<String> = object.as_object().expect("an object").keys().cloned().collect();
        let mut theirs = fields_of_the_page(line);
        theirs.retain(|field| field != "path_hex");
        assert_eq!(ours, theirs, "{line}");
    }
    assert!(FORMAT_PAGE.contains(text.lines().nth(1).expect("a file line")), "{text}");
    assert!(FORMAT_PAGE.contains(FORMAT) && FORMAT_PAGE.contains("256 MiB"));
    assert_eq!(MOST_LINE, 256 << 20);
}

#[test]
fn any_byte_that_changes_is_noticed() {
    let text = written(&sample());
    for at in 0..text.len() {
        let mut damaged = text.clone();
        damaged[at] ^= 1;
        let error = read_bytes(&damaged).expect_err("a damaged set");
        assert_eq!(error.exit(), Exit::Corrupt, "byte {at}: {error}");
    }
}

#[test]
fn a_set_that_is_cut_off_anywhere_restores_nothing() {
    let text = written(&sample());
    for size in 0..text.len() {
        let error = read_bytes(&text[..size]).expect_err("a set without its end");
        assert_eq!(error.exit(), Exit::Corrupt, "{size} bytes: {error}");
    }
    let twice = [text.clone(), text].concat();
    assert!(read_bytes(&twice).expect_err("two sets").what().contains("follows the end"));
}

#[test]
fn lines_that_make_no_sense_are_refused_with_the_reason() {
    for (line, reason) in [
        ("[]", "no JSON object"),
        ("{}", "either `path` or `path_hex`"),
        (r#"{"path":"/a","path_hex":"2f61"}"#, "either `path` or `path_hex`"),
        (r#"{"path":7}"#, "`path` is no text"),
        (r#"{"path_hex":"2f6"}"#, "`path_hex` is not hexadecimal"),
        (r#"{"path_hex":"zz"}"#, "`path_hex` is not hexadecimal"),
        (r#"{"path":"/a","length":-1}"#, "`length` is no number"),
        (r#"{"path":"/a","length":1,"modified":[1]}"#, "`modified`"),
        (r#"{"path":"/a","length":1,"modified":[1,1000000000]}"#, "`modified`"),
        (r#"{"path":"/a","length":1,"file":"x"}"#, "`file` is not hexadecimal"),
        (r#"{"path":"/a","length":1,"file":"1"}"#, "`resident` is no list"),
        (r#"{"path":"/a","length":9,"file":"1","resident":[[0]]}"#, "a run is not"),
        (r#"{"path":"/a","length":9,"file":"1","resident":[[0,0]]}"#, "is empty"),
        (r#"{"path":"/a","length":9,"file":"1","resident":[[0,10]]}"#, "past the end at 9"),
        (r#"{"path":"/a","length":9,"file":"1","resident":[[4,2],[1,2]]}"#, "out of order"),
        (r#"{"path":"/a","length":9,"file":"1","resident":[[0,2],[2,2]]}"#, "out of order"),
        (
            r#"{"path":"/a","length":9,"file":"1","resident":[[18446744073709551615,2]]}"#,
            "a run is not",
        ),
    ] {
        let error = read_bytes(&set_of(line, 1, 0)).expect_err(line);
        assert_eq!(error.exit(), Exit::Corrupt);
        assert!(error.what().contains(reason), "{line}: {error}");
        assert!(error.what().starts_with("line 2: "), "{error}");
    }
    let good = r#"{"path":"/a","length":9,"file":"1","resident":[[0,9]],"new":"field"}"#;
    assert_eq!(read_bytes(&set_of(good, 1, 9)).expect("read").len(), 1);
    for (files, resident) in [(0, 9), (1, 8)] {
        let error = read_bytes(&set_of(good, files, resident)).expect_err("wrong counts");
        assert!(error.what().contains("the counts"), "{error}");
    }
}

#[test]
fn other_formats_and_later_versions_are_refused() {
    for (head, reason) in [
        (r#"{"format":"else","version":1}"#, "no saved resident set"),
        (r#"{"format":"bifolio residency","version":2}"#, "version 2 is not known"),
        (r#"{"format":"bifolio residency"}"#, "`version` is no number"),
    ] {
        let error = read_bytes(format!("{head}\n").as_bytes()).expect_err("refused");
        assert!(error.what().contains(reason), "{error}");
    }
}

#[test]
fn times_before_1970_have_their_nanoseconds_ahead() {
    let before = SystemTime::UNIX_EPOCH - Duration::from_millis(1500);
    assert_eq!(since_1970(before), (-2, 500_000_000));
    assert_eq!(since_1970(SystemTime::UNIX_EPOCH - Duration::from_secs(3)), (-3, 0));
}

proptest! {
    #[test]
    fn any_bytes_give_a_set_or_an_error(bytes: Vec<u8>) {
        prop_assert!(read_bytes(&bytes).is_err());
    }

    #[test]
    fn any_line_gives_an_entry_or_an_error(
        length: u64,
        runs in proptest::collection::vec((any::<u64>(), any::<u64>()), 0..5),
    ) {
        let runs: Vec<_> = runs.into_iter().map(|(offset, size)| json!([offset, size])).collect();
        let line = json!({"path": "/a", "length": length, "file": "1", "resident": runs});
        if let Ok(entries) = read_bytes(&set_of(&line.to_string(), 1, 0)) {
            prop_assert!(entries[0].resident.is_empty());
        }
    }
}
