use bifolio::map::page_size;

use super::*;

fn pen(glyphs: Glyphs, paint: Paint) -> Pen {
    Pen { glyphs, paint, shape: Shape::Bars }
}

fn page() -> u64 {
    page_size() as u64
}

fn found(pages: u64, resident: u64, dirty: u64) -> Residency {
    let mut found = Residency::none();
    found.pages = pages;
    found.resident = Some(resident);
    found.dirty = Some(dirty);
    found
}

#[test]
fn parts_are_the_range_in_order_and_meet_at_pages() {
    for (start, end) in [(0, 1), (0, 100 * page()), (5, 7 * page() + 3), (3 * page(), u64::MAX)] {
        for count in [1, 2, 7, 64, 1000] {
            let parts = parts(start..end, count);
            assert_eq!((parts[0].start, parts[parts.len() - 1].end), (start, end));
            assert!(parts.len() as u64 <= count);
            for pair in parts.windows(2) {
                assert_eq!(pair[0].end, pair[1].start);
                assert_eq!(pair[0].end % page(), 0);
            }
            assert!(parts.iter().all(|part| part.start < part.end), "{start}..{end}, {count}");
        }
    }
    assert_eq!(parts(7..7, 5), []);
    assert_eq!(parts(0..7, 0), []);
}

#[test]
fn one_page_of_a_million_shows_and_one_that_is_missing_too() {
    assert_eq!(mark(&found(1_000_000, 0, 0), false), Mark::Absent);
    assert_eq!(mark(&found(1_000_000, 1, 0), false), Mark::Clean(1));
    assert_eq!(mark(&found(1_000_000, 999_999, 0), false), Mark::Clean(7));
    assert_eq!(mark(&found(1_000_000, 1_000_000, 0), false), Mark::Clean(8));
    assert_eq!(mark(&found(4, 2, 1), false), Mark::Dirty(4));
    assert_eq!(mark(&found(4, 0, 0), true), Mark::Hole);
    assert_eq!(mark(&found(4, 4, 0), true), Mark::Clean(8));
    assert_eq!(mark(&Residency::default(), false), Mark::Unknown);
    let mut evicted = found(4, 0, 0);
    evicted.evicted = Some(1);
    assert_eq!(mark(&evicted, false), Mark::Evicted);
}

#[test]
fn a_bar_is_full_only_if_all_is_there_and_empty_only_if_nothing_is() {
    let text = |pages, resident| {
        pen(Glyphs::Unicode, Paint::Bare).line(&bar(&found(pages, resident, 0), 8), 8)
    };
    assert_eq!(text(100, 0), "········");
    assert_eq!(text(1_000_000, 1), "▁·······");
    assert_eq!(text(8, 4), "████····");
    assert_eq!(text(1_000_000, 999_999), "███████▇");
    assert_eq!(text(5, 5), "████████");
    let dirty = bar(&found(8, 8, 2), 8);
    assert_eq!(pen(Glyphs::Ascii, Paint::Bare).line(&dirty, 8), "dd######");
}

#[test]
fn without_colour_letters_tell_what_it_would() {
    let marks = [
        Mark::Clean(8),
        Mark::Clean(5),
        Mark::Clean(1),
        Mark::Absent,
        Mark::Hole,
        Mark::Dirty(3),
        Mark::Writing(8),
        Mark::Evicted,
        Mark::Unknown,
    ];
    assert_eq!(pen(Glyphs::Ascii, Paint::Bare).line(&marks, 12), "#+-. dwx?   ");
    assert_eq!(pen(Glyphs::Unicode, Paint::Bare).line(&marks, 9), "█▅▁· dwx?");
    let coloured = pen(Glyphs::Unicode, Paint::Coloured).line(&marks[..3], 3);
    assert_eq!(coloured, "\u{1b}[32m█▅▁\u{1b}[0m", "one pair of sequences for one colour");
}

#[test]
fn the_legend_explains_each_letter_that_was_used_once() {
    let marks = [Mark::Absent, Mark::Clean(3), Mark::Clean(5), Mark::Absent];
    let pen = pen(Glyphs::Ascii, Paint::Bare);
    assert_eq!(pen.legend(marks, 80), "+ partly   . not in memory");
    assert_eq!(pen.legend(marks, 20), "+ partly\n. not in memory");
}

#[test]
fn pictures_of_many_lines_have_shades() {
    let marks = [Mark::Clean(8), Mark::Clean(7), Mark::Clean(4), Mark::Clean(1), Mark::Absent];
    let pen = Pen { glyphs: Glyphs::Unicode, paint: Paint::Bare, shape: Shape::Shades };
    assert_eq!(pen.line(&marks, 5), "█▓▒░·");
}

#[test]
fn half_a_strip_shows_what_is_worth_a_look_in_either_half() {
    let half = |one, two| halved(&[one, two]);
    assert_eq!(half(Mark::Clean(8), Mark::Clean(8)), [Mark::Clean(8)]);
    assert_eq!(half(Mark::Clean(8), Mark::Clean(7)), [Mark::Clean(7)], "something is missing");
    assert_eq!(half(Mark::Absent, Mark::Clean(1)), [Mark::Clean(1)], "something is there");
    assert_eq!(half(Mark::Clean(8), Mark::Dirty(8)), [Mark::Dirty(8)]);
    assert_eq!(half(Mark::Dirty(2), Mark::Writing(2)), [Mark::Writing(2)]);
    assert_eq!(half(Mark::Hole, Mark::Evicted), [Mark::Evicted]);
    assert_eq!(half(Mark::Hole, Mark::Absent), [Mark::Absent]);
    assert_eq!(half(Mark::Hole, Mark::Hole), [Mark::Hole]);
    assert_eq!(halved(&[Mark::Hole, Mark::Hole, Mark::Dirty(3)]), [Mark::Hole, Mark::Dirty(3)]);
}
