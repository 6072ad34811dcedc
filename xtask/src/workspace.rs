//! The workspace as cargo describes it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cmd::Cmd;

/// The workspace that xtask was started in.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// Everything generated goes below here, so that a read-only checkout can be checked with
    /// `CARGO_TARGET_DIR` set.
    pub(crate) target: PathBuf,
    pub(crate) packages: Vec<Package>,
    pub(crate) budget: Budget,
}

/// One member of the workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its folder, relative to the root, with `/` between the parts.
    pub(crate) dir: String,
    pub(crate) dependencies: Vec<Dependency>,
    /// Where it can be built; empty means everywhere.
    pub(crate) platforms: Vec<String>,
    pub(crate) loom: Loom,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Dev,
    Build,
}

/// Whether `[package.metadata.bifolio]` says `loom = true`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Loom {
    Declared,
    #[default]
    Absent,
}

/// How much longer than usual tests and fuzzers look: the variable `BIFOLIO_BUDGET`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Budget(f64);

impl Workspace {
    /// Asks cargo about the workspace that holds this program's source.
    pub(crate) fn load() -> Result<Self, String> {
        // Set by `cargo run`; the value of the build is right unless the checkout has moved.
        let own = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let text = Cmd::new("cargo")
            .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
            .arg(own.join("Cargo.toml"))
            .output()?;
        let metadata: Value =
            serde_json::from_str(&text).map_err(|why| format!("cargo metadata: {why}"))?;
        let root = PathBuf::from(string(&metadata["workspace_root"]));
        Ok(Self {
            packages: packages(&metadata, &root),
            target: PathBuf::from(string(&metadata["target_directory"])),
            budget: Budget::from_env()?,
            root,
        })
    }

    /// `cargo` in the root, with the budget passed on.
    pub(crate) fn cargo(&self, args: &[&str]) -> Cmd {
        Cmd::new("cargo").args(args).dir(&self.root).env("BIFOLIO_BUDGET", self.budget.to_string())
    }

    /// `-p NAME` for each crate under `crates/` that says it can be built for `platform`.
    pub(crate) fn select_crates(&self, platform: &str) -> Vec<String> {
        self.packages
            .iter()
            .filter(|package| package.dir.starts_with("crates/") && package.runs_on(platform))
            .flat_map(|package| ["-p".to_owned(), package.name.clone()])
            .collect()
    }
}

impl Package {
    pub(crate) fn runs_on(&self, platform: &str) -> bool {
        self.platforms.is_empty() || self.platforms.iter().any(|name| name == platform)
    }
}

impl Budget {
    fn from_env() -> Result<Self, String> {
        match std::env::var("BIFOLIO_BUDGET") {
            Ok(text) => Self::parse(&text),
            Err(_) => Ok(Self(1.0)),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim().parse::<f64>() {
            Ok(factor) if factor > 0.0 && factor <= 1e6 => Ok(Self(factor)),
            _ => {
                Err(format!("BIFOLIO_BUDGET is `{text}`; it must be a number above 0, at most 1e6"))
            }
        }
    }

    /// `seconds` times the budget, at least one second.
    pub(crate) fn seconds(self, seconds: u32) -> std::time::Duration {
        std::time::Duration::from_secs_f64((f64::from(seconds) * self.0).max(1.0).round())
    }
}

impl std::fmt::Display for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

fn packages(metadata: &Value, root: &Path) -> Vec<Package> {
    let mut packages: Vec<_> =
        array(&metadata["packages"]).iter().map(|package| package_from(package, root)).collect();
    packages.sort_by(|a, b| a.dir.cmp(&b.dir));
    packages
}

fn package_from(package: &Value, root: &Path) -> Package {
    let manifest = Path::new(string(&package["manifest_path"]));
    let dir = manifest.parent().unwrap_or(manifest);
    let dir = dir.strip_prefix(root).unwrap_or(dir).to_string_lossy().replace('\\', "/");
    let ours = &package["metadata"]["bifolio"];
    Package {
        name: string(&package["name"]).to_owned(),
        dir,
        dependencies: array(&package["dependencies"]).iter().map(dependency_from).collect(),
        platforms: array(&ours["platforms"]).iter().map(|name| string(name).to_owned()).collect(),
        loom: if ours["loom"] == Value::Bool(true) { Loom::Declared } else { Loom::Absent },
    }
}

fn dependency_from(dependency: &Value) -> Dependency {
    Dependency {
        name: string(&dependency["name"]).to_owned(),
        kind: match dependency["kind"].as_str() {
            Some("dev") => Kind::Dev,
            Some("build") => Kind::Build,
            _ => Kind::Normal,
        },
    }
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#"{
        "packages": [{
            "name": "bifolio-testkit",
            "manifest_path": "/here/crates/bifolio-testkit/Cargo.toml",
            "dependencies": [{"name": "bifolio-map", "kind": null}, {"name": "x", "kind": "dev"}],
            "metadata": {"bifolio": {"platforms": ["linux"], "loom": true}}
        }, {
            "name": "bifolio",
            "manifest_path": "/here/crates/bifolio/Cargo.toml",
            "dependencies": [],
            "metadata": null
        }]
    }"#;

    fn sample() -> Vec<Package> {
        packages(&serde_json::from_str(METADATA).unwrap(), Path::new("/here"))
    }

    #[test]
    fn packages_are_read_with_their_own_metadata() {
        let found = sample();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].name.as_str(), found[0].dir.as_str()), ("bifolio", "crates/bifolio"));
        let kit = &found[1];
        assert_eq!(kit.loom, Loom::Declared);
        let kinds: Vec<_> = kit.dependencies.iter().map(|dep| dep.kind).collect();
        assert_eq!(kinds, [Kind::Normal, Kind::Dev]);
    }

    #[test]
    fn a_crate_runs_everywhere_unless_it_names_its_platforms() {
        let found = sample();
        assert!(found[0].runs_on("windows") && found[0].runs_on("linux"));
        assert!(!found[1].runs_on("windows") && found[1].runs_on("linux"));
    }

    #[test]
    fn a_budget_multiplies_and_nonsense_is_refused() {
        assert_eq!(Budget::parse("2.5").unwrap().seconds(4).as_secs(), 10);
        assert_eq!(Budget::parse("0.01").unwrap().seconds(4).as_secs(), 1);
        for bad in ["", "0", "-1", "much", "inf", "NaN"] {
            assert!(Budget::parse(bad).is_err(), "{bad}");
        }
    }
}
