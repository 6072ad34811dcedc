//! Building and running the fuzz targets of `fuzz/` without cargo-fuzz: it is cargo with a few
//! flags, and those are here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::Stop;
use crate::ci::Done;
use crate::cmd::Cmd;
use crate::workspace::Workspace;

/// What cargo-fuzz passes: coverage for libFuzzer to steer by, AddressSanitizer, overflow checks.
const RUSTFLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    --cfg fuzzing -Cdebug-assertions -Ccodegen-units=1 -Zsanitizer=address";
const SMOKE_SECONDS: u32 = 5;
const ALONE_SECONDS: u64 = 60;
const MEMORY_LIMIT_MB: u32 = 2048;
/// One input may take this long before it counts as a hang.
const HANG_SECONDS: u32 = 10;

/// How much libFuzzer tells.
#[derive(Clone, Copy)]
enum Talk {
    /// Everything, while it runs.
    Progress,
    /// How many inputs it tried, or else what it found.
    Result,
}

/// The fuzz package: its targets, and where their programs and findings go.
struct Fuzz<'a> {
    workspace: &'a Workspace,
    host: String,
    targets: Vec<String>,
}

pub(crate) fn verb(words: &[String]) -> Result<ExitCode, Stop> {
    let seconds = match words {
        [_, seconds] => seconds
            .parse()
            .map_err(|_| Stop::Usage(format!("`{seconds}` is no whole number of seconds")))?,
        [] | [_] => ALONE_SECONDS,
        _ => return Err(Stop::Usage("too many words".into())),
    };
    let workspace = Workspace::load()?;
    let fuzz = Fuzz::load(&workspace)?;
    let Some(target) = words.first() else {
        println!("{}", fuzz.targets.join("\n"));
        return Ok(ExitCode::SUCCESS);
    };
    if !fuzz.targets.contains(target) {
        let known = fuzz.targets.join(", ");
        return Err(Stop::Usage(format!("there is no target `{target}`; there is: {known}")));
    }
    fuzz.build()?;
    fuzz.run(target, Duration::from_secs(seconds), Talk::Progress)?;
    Ok(ExitCode::SUCCESS)
}

/// A short run of every target; all of them run even if one fails.
pub(crate) fn check(workspace: &Workspace) -> Result<Done, String> {
    let fuzz = Fuzz::load(workspace)?;
    if fuzz.targets.is_empty() {
        return Err("fuzz/fuzz_targets holds no target".into());
    }
    fuzz.lint()?;
    fuzz.build()?;
    let time = workspace.budget.seconds(SMOKE_SECONDS);
    let failures: Vec<String> = fuzz
        .targets
        .iter()
        .filter_map(|target| fuzz.run(target, time, Talk::Result).err())
        .collect();
    if failures.is_empty() {
        let count = fuzz.targets.len();
        Ok(Done::Noted(format!("{count} target(s), {} s each", time.as_secs())))
    } else {
        Err(failures.join("; "))
    }
}

impl<'a> Fuzz<'a> {
    fn load(workspace: &'a Workspace) -> Result<Self, String> {
        let text = workspace
            .cargo(&["metadata", "--no-deps", "--format-version", "1"])
            .args(["--manifest-path", "fuzz/Cargo.toml"])
            .output()?;
        let metadata =
            serde_json::from_str(&text).map_err(|why| format!("cargo metadata: {why}"))?;
        let targets = programs(&metadata);
        let files = target_files(&workspace.root.join("fuzz/fuzz_targets"))?;
        if let Some(odd) = files.symmetric_difference(&targets).next() {
            return Err(format!("`{odd}` is not both in fuzz/fuzz_targets and in fuzz/Cargo.toml"));
        }
        Ok(Self { workspace, host: host()?, targets: targets.into_iter().collect() })
    }

    fn dir(&self) -> PathBuf {
        self.workspace.target.join("fuzz")
    }

    /// The lints of the stable toolchain; `cargo clippy --workspace` does not come here.
    fn lint(&self) -> Result<(), String> {
        self.workspace
            .cargo(&["clippy", "--no-deps", "--all-targets"])
            .args(["--manifest-path", "fuzz/Cargo.toml"])
            .env("CARGO_TARGET_DIR", self.dir())
            .args(["--", "-D", "warnings"])
            .run()
    }

    fn build(&self) -> Result<(), String> {
        self.workspace
            .cargo(&["+nightly", "build", "--release", "--bins"])
            .args(["--manifest-path", "fuzz/Cargo.toml"])
            // With a target named, build scripts and macros are made without the flags.
            .args(["--target", &self.host])
            .env("RUSTFLAGS", RUSTFLAGS)
            .env("CARGO_TARGET_DIR", self.dir())
            .run()
    }

    fn run(&self, target: &str, time: Duration, talk: Talk) -> Result<(), String> {
        let corpus = self.dir().join("corpus").join(target);
        let artifacts = self.dir().join("artifacts").join(target);
        for dir in [&corpus, &artifacts] {
            fs::create_dir_all(dir).map_err(|why| format!("{}: {why}", dir.display()))?;
        }
        let program = self.dir().join(&self.host).join("release").join(target);
        let begun = SystemTime::now();
        let mut command = Cmd::new(&program)
            // The first folder receives what is found; the others are only read.
            .arg(&corpus)
            .arg(format!("-max_total_time={}", time.as_secs()))
            .arg(format!("-rss_limit_mb={MEMORY_LIMIT_MB}"))
            .arg(format!("-timeout={HANG_SECONDS}"))
            .arg(format!("-seed={}", seed()))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .arg("-print_final_stats=1")
            // What cargo-fuzz sets: Rust's codegen units repeat statics.
            .env("ASAN_OPTIONS", "detect_odr_violation=0")
            .env("BIFOLIO_BUDGET", self.workspace.budget.to_string())
            .limit(time + Duration::from_mins(2));
        let seeds = self.workspace.root.join("fuzz/seeds").join(target);
        if seeds.is_dir() {
            command = command.arg(&seeds);
        }
        let outcome = match talk {
            Talk::Progress => command.run(),
            Talk::Result => summed_up(&command),
        };
        outcome.map_err(|why| match written_since(begun, &artifacts) {
            Some(input) => format!(
                "fuzz target {target} failed on an input; again with: {} {}",
                program.display(),
                input.display()
            ),
            None => format!("fuzz target {target}: {why}"),
        })
    }
}

/// Runs libFuzzer and shows one line of the many, or all of them if it found something.
fn summed_up(command: &Cmd) -> Result<(), String> {
    println!("$ {}", command.shown());
    let text = command.output_and_messages().map_err(|why| {
        println!("{why}");
        why.lines().next().unwrap_or_default().to_owned()
    })?;
    match executed(&text) {
        None | Some(0) => Err("libFuzzer tried no input".into()),
        Some(count) => {
            println!("{count} inputs tried");
            Ok(())
        }
    }
}

/// The count in libFuzzer's final statistics.
fn executed(text: &str) -> Option<u64> {
    let line =
        text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))?;
    line.trim().parse().ok()
}

fn programs(metadata: &Value) -> BTreeSet<String> {
    let all = |value: &Value| value.as_array().cloned().unwrap_or_default();
    all(&metadata["packages"])
        .iter()
        .flat_map(|package| all(&package["targets"]))
        .filter(|target| target["kind"][0] == "bin")
        .filter_map(|target| target["name"].as_str().map(str::to_owned))
        .collect()
}

/// The names of the `.rs` files in `dir`.
fn target_files(dir: &Path) -> Result<BTreeSet<String>, String> {
    let entries = fs::read_dir(dir).map_err(|why| format!("{}: {why}", dir.display()))?;
    Ok(entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect())
}

/// A file in `dir` that is as young as `begun`; the same input again overwrites its file.
fn written_since(begun: SystemTime, dir: &Path) -> Option<PathBuf> {
    // File times are cut to the timer tick, so one may lie a little before the moment.
    let begun = begun - Duration::from_millis(50);
    fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path()).find(|path| {
        path.metadata().and_then(|data| data.modified()).is_ok_and(|time| time >= begun)
    })
}

fn host() -> Result<String, String> {
    let version = Cmd::new("rustc").arg("-vV").output()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc -vV names no host".into())
}

/// Another one each time, and shown on the command line; 0 would let libFuzzer choose.
fn seed() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.subsec_nanos().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_targets_are_the_programs_of_the_package_and_nothing_else() {
        let metadata = serde_json::from_str(
            r#"{"packages": [{"targets": [
                {"name": "bifolio_fuzz", "kind": ["lib"]},
                {"name": "ranges", "kind": ["bin"]}]}]}"#,
        )
        .unwrap();
        assert_eq!(programs(&metadata), BTreeSet::from(["ranges".to_owned()]));
    }

    #[test]
    fn the_number_of_inputs_is_read_from_the_final_statistics() {
        assert_eq!(executed("Done\nstat::number_of_executed_units: 300932\n"), Some(300_932));
        assert_eq!(executed("Done 300932 runs"), None);
    }
}
