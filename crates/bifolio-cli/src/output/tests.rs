use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;
use crate::color::Paint;

const SCHEMA: Schema = Schema {
    name: "bifolio.example",
    version: 3,
    fields: &[
        Field::text("path"),
        Field::bytes("size"),
        Field::count("pages"),
        Field::duration("elapsed"),
        Field::time("changed"),
        Field::words("kinds"),
    ],
};

fn sample(path: &str) -> Vec<Value> {
    vec![
        path.into(),
        Value::Bytes(4096),
        Value::Count(12_000),
        Duration::from_millis(1500).into(),
        (SystemTime::UNIX_EPOCH + Duration::from_secs(1)).into(),
        Value::Words(vec!["a".into(), "b".into()]),
    ]
}

fn layout(format: Format) -> Layout {
    Layout { format, paint: Paint::Bare, columns: None }
}

fn table(format: Format, rows: &[Vec<Value>]) -> String {
    let mut out = Vec::new();
    let mut table = Rows::begin(&mut out, layout(format), SCHEMA).expect("written");
    for row in rows {
        table.row(row).expect("written");
    }
    table.finish().expect("written");
    String::from_utf8(out).expect("text")
}

fn record(format: Format, row: &[Value]) -> String {
    let mut out = Vec::new();
    write_record(&mut out, layout(format), &SCHEMA, row).expect("written");
    String::from_utf8(out).expect("text")
}

#[test]
fn one_value_set_has_a_table_in_each_format() {
    let rows = [sample("a"), vec!["b".into(), Value::Bytes(1), Value::Count(2)]].map(|mut row| {
        row.resize(SCHEMA.fields.len(), Value::Missing);
        row
    });
    assert_eq!(
        table(Format::Human, &rows),
        "path     size   pages  elapsed  changed               kinds\n\
         a     4.0 KiB  12,000   1.50 s  1970-01-01 00:00:01Z  a, b\n\
         b         1 B       2        -  -                     -\n"
    );
    assert_eq!(
        table(Format::Plain, &rows),
        "a\t4096\t12000\t1500000000\t1970-01-01T00:00:01Z\ta b\nb\t1\t2\t\t\t\n"
    );
    assert_eq!(
        table(Format::Csv, &rows),
        "path,size,pages,elapsed_ns,changed,kinds\n\
         a,4096,12000,1500000000,1970-01-01T00:00:01Z,a b\nb,1,2,,,\n"
    );
    let json: Json = serde_json::from_str(&table(Format::Json, &rows)).expect("JSON");
    assert_eq!(json["schema"], "bifolio.example");
    assert_eq!(json["version"], 3);
    assert_eq!(json["records"][0]["size"], 4096);
    assert_eq!(json["records"][0]["elapsed_ns"], 1_500_000_000_u64);
    assert_eq!(json["records"][0]["kinds"][1], "b");
    assert_eq!(json["records"][1]["changed"], Json::Null);
    for line in table(Format::Jsonl, &rows).lines() {
        let json: Json = serde_json::from_str(line).expect("JSON");
        assert_eq!(json["schema"], "bifolio.example", "each line stands alone");
    }
}

#[test]
fn one_record_has_a_shape_in_each_format() {
    let row = sample("a");
    assert!(record(Format::Human, &row).contains("size     4.0 KiB (4,096 bytes)\n"));
    assert!(record(Format::Plain, &row).contains("size\t4096\n"));
    let json: Json = serde_json::from_str(&record(Format::Json, &row)).expect("JSON");
    assert_eq!((&json["version"], &json["pages"]), (&Json::from(3), &Json::from(12_000)));
    assert_eq!(record(Format::Json, &row), record(Format::Jsonl, &row));
    assert_eq!(record(Format::Csv, &row), table(Format::Csv, &[row]));
}

#[test]
fn an_empty_table_is_still_a_document() {
    let json: Json = serde_json::from_str(&table(Format::Json, &[])).expect("JSON");
    assert_eq!(json["records"], Json::Array(Vec::new()));
    assert_eq!(table(Format::Plain, &[]), "");
    assert_eq!(table(Format::Human, &[]), "");
    assert_eq!(table(Format::Csv, &[]).lines().count(), 1);
}

#[test]
fn a_file_name_cannot_steer_the_terminal_or_break_a_line() {
    let row = sample("x\u{1b}[2J\n\t\u{202e}y");
    assert!(!table(Format::Human, std::slice::from_ref(&row)).contains('\u{1b}'));
    assert_eq!(table(Format::Human, std::slice::from_ref(&row)).lines().count(), 2);
    let plain = table(Format::Plain, &[row]);
    assert_eq!(plain.lines().count(), 1);
    assert_eq!(plain.matches('\t').count(), SCHEMA.fields.len() - 1);
}

#[test]
fn a_table_keeps_to_the_width_of_the_terminal() {
    let mut out = Vec::new();
    let layout = Layout { columns: Some(70), ..layout(Format::Human) };
    let mut rows = Rows::begin(&mut out, layout, SCHEMA).expect("written");
    rows.row(&sample(&"long ".repeat(40))).expect("written");
    rows.finish().expect("written");
    let text = String::from_utf8(out).expect("text");
    assert!(text.lines().all(|line| display_width(line) <= 70), "{text}");
}

#[test]
#[should_panic(expected = "one value for each field")]
fn a_row_without_all_values_is_the_callers_bug() {
    table(Format::Plain, &[vec!["a".into()]]);
}

#[test]
#[should_panic(expected = "size is a Bytes")]
fn a_value_of_another_kind_is_the_callers_bug() {
    let mut row = sample("a");
    row[1] = Value::Count(1);
    table(Format::Plain, &[row]);
}

#[test]
fn times_outside_the_calendar_are_no_panic() {
    let far = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(1 << 40));
    assert!(far.is_none_or(|far| Value::Time(far).machine().starts_with("9999-")));
}

#[test]
fn wrapped_text_keeps_its_words_and_its_width() {
    let text = "one two three four";
    assert_eq!(wrap(text, 9), ["one two", "three", "four"]);
    assert_eq!(wrap("a-very-long-word b", 4), ["a-very-long-word", "b"]);
    assert!(wrap("  ", 4).is_empty());
}

/// Reads back what [`text::csv`] wrote.
fn csv_fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        let field = fields.last_mut().expect("never empty");
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    fields
}

proptest! {
    #[test]
    fn any_text_survives_csv_and_json(text in any::<String>()) {
        let row = sample(&text);
        let csv = table(Format::Csv, std::slice::from_ref(&row));
        let body = csv.split_once('\n').expect("a heading").1;
        prop_assert_eq!(&csv_fields(body.strip_suffix('\n').expect("a line"))[0], &text);
        let json: Json = serde_json::from_str(&record(Format::Json, &row)).expect("JSON");
        prop_assert_eq!(json["path"].as_str(), Some(text.as_str()));
    }

    #[test]
    fn any_text_stays_in_its_field_of_a_plain_line(text in any::<String>()) {
        let plain = table(Format::Plain, &[sample(&text)]);
        prop_assert_eq!(plain.matches('\n').count(), 1);
        prop_assert_eq!(plain.matches('\t').count(), SCHEMA.fields.len() - 1);
    }
}

#[test]
fn a_share_is_all_or_nothing_only_if_it_is() {
    for (part, whole, human, json) in [
        (0, 5, "0.0%", "0.0"),
        (1, 1_000_000, "0.1%", "0.1"),
        (3, 8, "37.5%", "37.5"),
        (999_999, 1_000_000, "99.9%", "99.9"),
        (5, 5, "100.0%", "100.0"),
        (u64::MAX, u64::MAX, "100.0%", "100.0"),
    ] {
        let share = Value::share(part, whole);
        assert_eq!((share.human(), share.json().to_string()), (human.into(), json.into()));
    }
    assert_eq!(Value::share(0, 0), Value::Missing);
    assert_eq!(Field::percent("resident").key(), "resident_percent");
}
