//! `bifolio page watch`

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use bifolio::map::residency::Residency;
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::{cursor, execute, queue, terminal};

use super::paper::{self, Paper};
use super::stat::{Files, Line, Subject, look};
use super::strip::{self, Mark};
use super::walk::{Walk, WalkArgs};
use super::{NOTES, bytes, require_told};
use crate::color::Stream;
use crate::context::Context;
use crate::example::Example;
use crate::exit::Exit;
use crate::failure::CliError;
use crate::interrupt;
use crate::output::{Field, Format, Schema, Value, wrap};
use crate::units::{format_bytes, group_digits, parse_duration};

/// Watch how much of files is in memory, as it changes
///
/// On a terminal a table that is drawn anew each interval, with what has come and gone since the
/// last time and a history; `q` or Ctrl-C ends it. Elsewhere, and in formats for programs, records:
/// one for each PATH and interval.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    walk: WalkArgs,

    /// Time from one look to the next
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    interval: Duration,

    /// Looks, then it ends [default: until q or Ctrl-C]
    #[arg(long, value_name = "COUNT")]
    count: Option<u64>,

    /// A line for each file below a directory too
    #[arg(long)]
    files: bool,

    /// Draw with letters that every terminal has
    #[arg(long)]
    ascii: bool,
}

/// The examples of the help page.
pub(super) const EXAMPLES: &[Example] = &[
    Example::new("bifolio page watch . --count 2 --interval 10ms", "a directory, twice")
        .given(NOTES)
        .of_the_cache(),
    Example::new("bifolio page watch notes.txt --count 1 --format jsonl", "records, for a program")
        .given(NOTES)
        .of_the_cache(),
    Example::new("bifolio page watch no-such-file --count 1", "ends with exit code 3")
        .exits(Exit::NotFound),
];

const SCHEMA: Schema = Schema {
    name: "bifolio.page-watch",
    version: 1,
    fields: &[
        Field::time("time"),
        Field::text("path"),
        Field::count("files"),
        Field::bytes("length"),
        Field::bytes("resident"),
        Field::percent("resident"),
        Field::bytes("dirty"),
        Field::bytes("write_back"),
        Field::bytes("evicted"),
    ],
};

/// Runs it.
///
/// # Errors
/// As `page stat`, of the last look.
pub(super) fn run(args: &Args, context: &mut Context) -> Result<(), CliError> {
    // What is not there at all is an error at once, before the screen is taken.
    let files = if args.files { Files::Each } else { Files::Together };
    let paper = Paper::of(context, args.ascii);
    let live = context.layout().format == Format::Human
        && Stream::of(&std::io::stdout()) == Stream::Terminal
        && Stream::of(&std::io::stdin()) == Stream::Terminal;
    let (walk, lines) = look(&args.walk, files, if live { paper.width } else { 0 })?;
    if lines.is_empty() {
        return walk.finish(context);
    }
    require_told()?;
    if live {
        let mut screen = Screen { args, files, paper, history: VecDeque::new() };
        let walk = screen.show(walk, lines)?;
        return walk.finish(context);
    }
    write_records(args, files, context, walk, lines)
}

fn write_records(
    args: &Args,
    files: Files,
    context: &mut Context,
    mut walk: Walk,
    mut lines: Vec<Line>,
) -> Result<(), CliError> {
    let mut rows = context.rows(SCHEMA)?;
    let mut write = || -> Result<(), CliError> {
        for number in 1_u64.. {
            let time = SystemTime::now();
            for line in &lines {
                rows.row(&values(time, line))?;
            }
            rows.flush()?;
            if args.count.is_some_and(|count| number >= count) {
                break;
            }
            pause(args.interval)?;
            (walk, lines) = look(&args.walk, files, 0)?;
        }
        Ok(())
    };
    let outcome = write();
    // Also after Ctrl-C, by which most runs end: a document has to have its end.
    rows.finish()?;
    outcome?;
    walk.finish(context)
}

/// Now, without a fraction that nobody reads.
fn this_second() -> SystemTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

/// Waits, with an ear for Ctrl-C.
fn pause(time: Duration) -> Result<(), CliError> {
    let until = Instant::now() + time;
    loop {
        interrupt::check()?;
        match until.checked_duration_since(Instant::now()) {
            None => return Ok(()),
            Some(left) => std::thread::sleep(left.min(Duration::from_millis(50))),
        }
    }
}

fn values(time: SystemTime, line: &Line) -> Vec<Value> {
    let found = &line.sums.found;
    let size =
        |pages: Option<u64>| pages.map_or(Value::Missing, |pages| Value::Bytes(bytes(pages)));
    vec![
        time.into(),
        Value::path(&line.path),
        Value::Count(line.sums.files),
        Value::Bytes(line.sums.length),
        size(found.resident),
        found.resident.map_or(Value::Missing, |resident| Value::share(resident, found.pages)),
        size(found.dirty),
        size(found.write_back),
        size(found.evicted),
    ]
}

/// The live view.
struct Screen<'a> {
    args: &'a Args,
    files: Files,
    paper: Paper,
    /// Sums of the last looks, the latest at the end.
    history: VecDeque<(Instant, Residency)>,
}

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    End,
    /// A look is due.
    Look,
}

impl Screen<'_> {
    /// Draws until the end, and returns the last look.
    fn show(&mut self, mut walk: Walk, mut lines: Vec<Line>) -> Result<Walk, CliError> {
        let _terminal = Terminal::take()?;
        for number in 1_u64.. {
            self.remember(&lines);
            self.draw(&lines)?;
            if self.args.count.is_some_and(|count| number >= count) {
                break;
            }
            if self.wait(&lines)? == Wish::End {
                break;
            }
            (walk, lines) = look(&self.args.walk, self.files, self.paper.width)?;
        }
        Ok(walk)
    }

    fn remember(&mut self, lines: &[Line]) {
        let mut sum = Residency::none();
        // The total has everything once; without one there is one path.
        match lines.last() {
            Some(last) if last.subject != Subject::File => sum = last.sums.found,
            _ => lines.iter().for_each(|line| sum += line.sums.found),
        }
        self.history.push_back((Instant::now(), sum));
        while self.history.len() > 512 {
            self.history.pop_front();
        }
    }

    /// The lines above the table: how much there is, what changed, and the history.
    fn summary(&self, lines: &[Line], columns: usize) -> Vec<String> {
        let paint = self.paper.paint;
        let Some((now, latest)) = self.history.back() else { return Vec::new() };
        let mut sums = format!(
            "resident {} of {} ({})",
            paper::size(latest.resident),
            format_bytes(bytes(latest.pages)),
            paper::share(latest),
        );
        for (name, pages) in [
            ("dirty", latest.dirty),
            ("being written", latest.write_back),
            ("evicted lately", latest.evicted),
        ] {
            if pages.is_some_and(|pages| pages > 0) {
                sums.push_str(&format!(", {} {name}", paper::size(pages)));
            }
        }
        let mut out = wrap(&sums, columns);
        let mut change = paint.faint("-").to_string();
        if let Some((then, before)) = self.history.iter().rev().nth(1)
            && let (Some(latest), Some(before)) = (latest.resident, before.resident)
        {
            let millis = now.duration_since(*then).as_millis().max(1);
            let rate = |pages: u64| {
                let rate = u128::from(bytes(pages)) * 1000 / millis;
                format_bytes(u64::try_from(rate).unwrap_or(u64::MAX))
            };
            change = match latest.cmp(&before) {
                Ordering::Greater => {
                    paint.good(format!("+{}/s", rate(latest - before))).to_string()
                }
                Ordering::Less => paint.lost(format!("-{}/s", rate(before - latest))).to_string(),
                Ordering::Equal => paint.faint("none").to_string(),
            };
        }
        out.push(format!("change   {change}"));
        let room = columns.saturating_sub(10).clamp(1, 100);
        let skip = self.history.len().saturating_sub(room);
        let marks: Vec<Mark> =
            self.history.iter().skip(skip).map(|(_, sum)| strip::mark(sum, false)).collect();
        out.push(format!("history  {}", self.paper.pen().line(&marks, 0)));
        if !lines.is_empty() {
            out.push(String::new());
        }
        out
    }

    /// All lines of the screen: the summary first, then of the table what fits.
    fn lines(&self, lines: &[Line], columns: usize, height: usize) -> Vec<String> {
        let title = format!(
            "page watch, every {}, {}",
            crate::units::format_duration(self.args.interval),
            Value::Time(this_second()).human()
        );
        let mut out = vec![format!(
            "{}  {}",
            self.paper.paint.strong(paper::shortened(
                &title,
                columns.saturating_sub(8),
                self.paper.glyphs
            )),
            self.paper.paint.faint("q ends")
        )];
        out.extend(self.summary(lines, columns));
        // The total is in the summary.
        let each = match lines {
            [each @ .., last] if last.subject != Subject::File && !each.is_empty() => each,
            all => all,
        };
        let table: Vec<String> = self.paper.table(each).lines().map(str::to_owned).collect();
        let (rows, legend) = table.split_at((each.len() + 1).min(table.len()));
        let left = height.saturating_sub(out.len());
        if table.len() <= left {
            out.extend(table);
            return out;
        }
        let keep = left.saturating_sub(legend.len() + 1).max(2.min(left));
        out.extend(rows.iter().take(keep).cloned());
        let more = each.len().saturating_sub(keep.saturating_sub(1));
        if more > 0 {
            let noun = if more == 1 { "path" } else { "paths" };
            let told = format!("… and {} more {noun}", group_digits(more as u64));
            out.push(self.paper.paint.faint(told).to_string());
        }
        out.extend(legend.iter().cloned());
        out.truncate(height);
        out
    }

    fn draw(&self, lines: &[Line]) -> Result<(), CliError> {
        let (columns, height) = terminal::size()?;
        let text = self.lines(lines, columns.into(), height.into());
        let mut out = std::io::stdout().lock();
        // Drawn over the old picture, and all at once where the terminal can: nothing flickers.
        queue!(out, terminal::BeginSynchronizedUpdate, cursor::MoveTo(0, 0))?;
        for (at, line) in text.iter().enumerate() {
            write!(out, "{}{line}", if at > 0 { "\r\n" } else { "" })?;
            queue!(out, terminal::Clear(terminal::ClearType::UntilNewLine))?;
        }
        queue!(
            out,
            terminal::Clear(terminal::ClearType::FromCursorDown),
            terminal::EndSynchronizedUpdate
        )?;
        Ok(out.flush()?)
    }

    /// Waits for the next look or the wish to end.
    fn wait(&self, lines: &[Line]) -> Result<Wish, CliError> {
        let until = Instant::now() + self.args.interval;
        loop {
            if interrupt::is_requested() {
                return Ok(Wish::End);
            }
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                return Ok(Wish::Look);
            };
            if !event::poll(left.min(Duration::from_millis(100)))? {
                continue;
            }
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => {
                    let control = key.modifiers.contains(KeyModifiers::CONTROL);
                    match key.code {
                        KeyCode::Char('q') | KeyCode::Esc => return Ok(Wish::End),
                        KeyCode::Char('c') if control => return Ok(Wish::End),
                        KeyCode::Char(' ') | KeyCode::Enter => return Ok(Wish::Look),
                        _ => {}
                    }
                }
                Event::Resize(..) => self.draw(lines)?,
                _ => {}
            }
        }
    }
}

/// The terminal as long as it is ours; given back however that ends.
struct Terminal;

impl Terminal {
    fn take() -> Result<Self, CliError> {
        terminal::enable_raw_mode()?;
        // From here on, dropping it undoes both.
        let terminal = Self;
        execute!(
            std::io::stdout(),
            terminal::EnterAlternateScreen,
            cursor::Hide,
            terminal::Clear(terminal::ClearType::All)
        )?;
        Ok(terminal)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Nobody is left to tell about a failure.
        let _ = execute!(std::io::stdout(), terminal::LeaveAlternateScreen, cursor::Show);
        let _ = terminal::disable_raw_mode();
    }
}
