use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn size(text: &str) -> u64 {
    text.parse::<Size>().unwrap_or_else(|e| panic!("{e}")).of(1000).expect("fits")
}

#[test]
fn the_sizes_of_the_contract_mean_what_they_say() {
    assert_eq!(size("4k"), 4096);
    assert_eq!(size("64KiB"), 65536);
    assert_eq!(size("1.5G"), 3 << 29);
    assert_eq!(size("10%"), 100);
    assert_eq!(size("12.5%"), 125);
    assert_eq!(size("0"), 0);
    assert_eq!(size("7 MB"), 7_000_000);
    assert_eq!(size("1_000"), 1000);
    assert_eq!(size("16383P"), 16383 << 50);
    assert_eq!(size("18446744073709551615"), u64::MAX);
}

#[test]
fn texts_that_are_no_sizes_are_refused() {
    for text in ["", "k", "-1", "1.k", ".5k", "1..5", "4kk", "4x", "16E", "1e3", "0x10", "1 % 2"] {
        assert!(text.parse::<Size>().is_err(), "{text}");
    }
    let error = "18446744073709551616".parse::<Size>().expect_err("2^64").to_string();
    assert!(error.contains("18446744073709551616"), "{error}");
}

#[test]
fn a_percentage_needs_a_whole() {
    let half = "50%".parse::<Size>().expect("parses");
    assert!(half.in_bytes().is_err());
    assert_eq!(half.of(u64::MAX).expect("fits"), u64::MAX / 2);
    assert!("200%".parse::<Size>().expect("parses").of(u64::MAX).is_err());
}

fn range(text: &str, whole: u64) -> Result<std::ops::Range<u64>, UnitError> {
    text.parse::<ByteRange>()?.within(whole)
}

#[test]
fn the_ranges_of_the_contract_mean_what_they_say() {
    assert_eq!(range("2..5", 10), Ok(2..5));
    assert_eq!(range("2..+5", 10), Ok(2..7));
    assert_eq!(range("2..", 10), Ok(2..10));
    assert_eq!(range("..5", 10), Ok(0..5));
    assert_eq!(range("..", 10), Ok(0..10));
    assert_eq!(range("..+3", 10), Ok(0..3));
    assert_eq!(range("4k..+4k", 8192), Ok(4096..8192));
    assert_eq!(range("10%..50%", 200), Ok(20..100));
    assert_eq!(range("10..", 10), Ok(10..10));
}

#[test]
fn ranges_that_leave_the_whole_or_run_backwards_are_refused() {
    for text in ["5..2", "2..11", "2..+9", "11..", "11..11", "1", "a..b", "1..-2", "1...2"] {
        assert!(range(text, 10).is_err(), "{text}");
    }
    assert!(range("1..+18446744073709551615", u64::MAX).is_err());
}

#[test]
fn the_durations_of_the_contract_mean_what_they_say() {
    let secs = Duration::from_secs;
    for (text, expected) in [
        ("30s", secs(30)),
        ("1h30m", secs(5400)),
        ("250ms", Duration::from_millis(250)),
        ("1.5s", Duration::from_millis(1500)),
        ("2d", secs(172_800)),
        ("1m 5s", secs(65)),
        ("7us", Duration::from_micros(7)),
        ("7µs", Duration::from_micros(7)),
        ("0s", Duration::ZERO),
    ] {
        assert_eq!(parse_duration(text), Ok(expected), "{text}");
    }
}

#[test]
fn texts_that_are_no_durations_are_refused() {
    for text in ["", "30", "s", "30x", "1m1h", "1s1s", "-1s", "999999999d", "1.s", "1h 5"] {
        assert!(parse_duration(text).is_err(), "{text}");
    }
}

#[test]
fn sizes_and_durations_are_short_for_the_eye() {
    assert_eq!(format_bytes(13), "13 B");
    assert_eq!(format_bytes(1023), "1023 B");
    assert_eq!(format_bytes(1536), "1.5 KiB");
    assert_eq!(format_bytes(1023 * 1024), "1023 KiB");
    assert_eq!(format_bytes(u64::MAX), "15.9 EiB");
    assert_eq!(group_digits(12_903_424), "12,903,424");
    assert_eq!(group_digits(999), "999");
    for (nanos, expected) in [
        (0, "0 s"),
        (830, "830 ns"),
        (1_234, "1.23 µs"),
        (12_345_678, "12.3 ms"),
        (4_567_000_000, "4.56 s"),
        (62_000_000_000, "1m02s"),
        (3_720_000_000_000, "1h02m"),
        (273_600_000_000_000, "3d04h"),
    ] {
        assert_eq!(format_duration(Duration::from_nanos(nanos)), expected);
    }
}

#[derive(Debug, clap::Parser)]
struct Arguments {
    size: Size,
    range: ByteRange,
    #[arg(value_parser = parse_duration)]
    timeout: Duration,
}

#[test]
fn they_are_arguments_whose_errors_say_how_they_look() {
    use clap::Parser;
    let parsed = Arguments::try_parse_from(["x", "4k", "1..+2", "30s"]).expect("parses");
    assert_eq!(parsed.size, Size::bytes(4096));
    assert_eq!(parsed.range.within(9), Ok(1..3));
    assert_eq!(parsed.timeout, Duration::from_secs(30));
    for (words, advice) in [
        (["x", "4z", "..", "1s"], "sizes look like"),
        (["x", "4", "9", "1s"], "ranges look like"),
        (["x", "4", "..", "30"], "durations look like"),
    ] {
        let error = Arguments::try_parse_from(words).expect_err("refused").to_string();
        assert!(error.contains(advice), "{error}");
    }
}

proptest! {
    #[test]
    fn any_text_gives_a_value_or_an_error(text in any::<String>(), whole in any::<u64>()) {
        let _ = text.parse::<Size>().map(|size| size.of(whole));
        let _ = text.parse::<ByteRange>().map(|range| range.within(whole));
        let _ = parse_duration(&text);
    }

    #[test]
    fn any_text_that_looks_right_gives_a_value_or_an_error(
        text in "[0-9]{0,24}[._]?[0-9]{0,24} ?([kKmMgGtTpPeE]?(iB|B)?|%|s|ms|h[0-9]+m)(\\.\\.)?\\+?[0-9]{0,21}",
        whole in any::<u64>(),
    ) {
        let _ = text.parse::<Size>().map(|size| size.of(whole));
        let _ = text.parse::<ByteRange>().map(|range| range.within(whole));
        let _ = parse_duration(&text);
    }

    #[test]
    fn a_printed_size_parses_to_itself(numerator in any::<u64>(), decimals in 0_usize..18) {
        for text in [numerator.to_string(), {
            let digits = format!("{numerator:0>width$}", width = decimals + 1);
            let (whole, fraction) = digits.split_at(digits.len() - decimals);
            if fraction.is_empty() { format!("{whole}%") } else { format!("{whole}.{fraction}%") }
        }] {
            let size: Size = text.parse().expect("a size");
            prop_assert_eq!(size.to_string(), text);
        }
    }

    #[test]
    fn whole_kibibytes_are_exact(count in 0_u64..1 << 54) {
        prop_assert_eq!(format!("{count}KiB").parse::<Size>().and_then(Size::in_bytes), Ok(count << 10));
    }

    #[test]
    fn a_range_that_resolves_lies_within_the_whole(start in any::<u64>(), len in any::<u64>(), whole in any::<u64>()) {
        let parsed: ByteRange = format!("{start}..+{len}").parse().expect("a range");
        prop_assert_eq!(parsed, parsed.to_string().parse().expect("its own text"));
        match parsed.within(whole) {
            Ok(found) => {
                prop_assert_eq!(found.start, start);
                prop_assert_eq!(found.end - found.start, len);
                prop_assert!(found.end <= whole);
            }
            Err(_) => prop_assert!(u128::from(start) + u128::from(len) > u128::from(whole)),
        }
    }

    #[test]
    fn nanoseconds_of_any_count_are_a_duration(nanos in any::<u64>()) {
        prop_assert_eq!(parse_duration(&format!("{nanos}ns")), Ok(Duration::from_nanos(nanos)));
    }

    #[test]
    fn every_formatted_value_is_short(nanos in any::<u64>(), bytes in any::<u64>()) {
        prop_assert!(format_bytes(bytes).len() <= 9);
        prop_assert!(format_duration(Duration::from_nanos(nanos)).chars().count() <= 10);
    }
}
