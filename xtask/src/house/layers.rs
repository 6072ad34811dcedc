//! A crate may use the layers below it and nothing else of ours. The table is the design's.

use super::{Finding, Tree};
use crate::workspace::{Dependency, Kind, Package};

/// A crate under `crates/` and those of ours that it may use.
struct Layer {
    name: &'static str,
    may_use: &'static [&'static str],
}

const MAP: &str = "bifolio-map";
const FORMAT: &str = "bifolio-format";
const ARRAY: &str = "bifolio-array";
const SHARE: &str = "bifolio-share";
const SHARE_DERIVE: &str = "bifolio-share-derive";
const LOG: &str = "bifolio-log";
const STORE: &str = "bifolio-store";
const BIFOLIO: &str = "bifolio";
const TESTKIT: &str = "bifolio-testkit";

const LAYERS: &[Layer] = &[
    Layer { name: MAP, may_use: &[] },
    Layer { name: FORMAT, may_use: &[] },
    Layer { name: ARRAY, may_use: &[MAP, FORMAT] },
    Layer { name: SHARE, may_use: &[MAP, FORMAT, SHARE_DERIVE] },
    Layer { name: SHARE_DERIVE, may_use: &[] },
    Layer { name: LOG, may_use: &[MAP, FORMAT, SHARE] },
    Layer { name: STORE, may_use: &[MAP, FORMAT, SHARE] },
    Layer { name: BIFOLIO, may_use: &[MAP, FORMAT, ARRAY, SHARE, LOG, STORE] },
    Layer { name: "bifolio-cli", may_use: &[BIFOLIO] },
    Layer { name: "bifolio-python", may_use: &[BIFOLIO] },
    // Beside the layers, and only for tests.
    Layer { name: TESTKIT, may_use: &[MAP] },
];

/// What we are measured against. Only `bench/` may link it.
const RIVALS: &[&str] = &[
    "heed",
    "iceoryx2",
    "ipc-channel",
    "lmdb",
    "memmap",
    "memmap2",
    "mmap-io",
    "mmap-rs",
    "mmap-sync",
    "raw_sync",
    "redb",
    "rocksdb",
    "shared_memory",
    "sled",
    "vmap",
];

pub(super) fn find(tree: &Tree) -> Vec<Finding> {
    tree.packages.iter().flat_map(findings_in).collect()
}

fn findings_in(package: &Package) -> Vec<Finding> {
    let manifest = format!("{}/Cargo.toml", package.dir);
    let layer = LAYERS.iter().find(|layer| layer.name == package.name);
    if package.dir.starts_with("crates/") && layer.is_none() {
        let message =
            format!("`{}` is in no layer: add it to xtask/src/house/layers.rs", package.name);
        return vec![Finding::file(&manifest, message)];
    }
    package
        .dependencies
        .iter()
        .filter_map(|dependency| objection(package, layer, dependency))
        .map(|message| Finding::file(&manifest, message))
        .collect()
}

fn objection(package: &Package, layer: Option<&Layer>, dependency: &Dependency) -> Option<String> {
    let (from, to) = (&package.name, dependency.name.as_str());
    if RIVALS.contains(&to) {
        return (package.dir != "bench").then(|| format!("`{to}` is a rival: only bench/ uses it"));
    }
    if to != BIFOLIO && !to.starts_with("bifolio-") {
        return None;
    }
    if to == TESTKIT {
        let is_normal = dependency.kind != Kind::Dev && package.dir != "bench";
        return is_normal.then(|| format!("`{to}` is for tests: make it a dev-dependency"));
    }
    match layer {
        Some(layer) if layer.may_use.contains(&to) => None,
        Some(layer) => {
            Some(format!("`{from}` may not use `{to}`; below it are: {:?}", layer.may_use))
        }
        None if package.dir == "bench" => None,
        None => Some(format!("`{from}` stands outside the layers and may not use `{to}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, dir: &str, dependencies: &[(&str, Kind)]) -> usize {
        let dependencies = dependencies
            .iter()
            .map(|(name, kind)| Dependency { name: (*name).to_owned(), kind: *kind })
            .collect();
        let package =
            Package { name: name.into(), dir: dir.into(), dependencies, ..Package::default() };
        find(&Tree { packages: vec![package], ..Tree::default() }).len()
    }

    #[test]
    fn an_edge_that_points_down_is_allowed() {
        assert_eq!(found(LOG, "crates/bifolio-log", &[(MAP, Kind::Normal)]), 0);
        assert_eq!(found(MAP, "crates/bifolio-map", &[("rustix", Kind::Normal)]), 0);
        assert_eq!(found("bifolio-bench", "bench", &[("memmap2", Kind::Normal)]), 0);
    }

    #[test]
    fn an_edge_that_points_up_or_sideways_is_caught() {
        assert_eq!(found(MAP, "crates/bifolio-map", &[(FORMAT, Kind::Normal)]), 1);
        assert_eq!(found(MAP, "crates/bifolio-map", &[(LOG, Kind::Dev)]), 1);
        assert_eq!(found(ARRAY, "crates/bifolio-array", &[(SHARE, Kind::Normal)]), 1);
        assert_eq!(found("bifolio-cli", "crates/bifolio-cli", &[(MAP, Kind::Normal)]), 1);
        assert_eq!(found("xtask", "xtask", &[(MAP, Kind::Normal)]), 1);
    }

    #[test]
    fn the_testkit_is_for_tests_only() {
        assert_eq!(found("bifolio-cli", "crates/bifolio-cli", &[(TESTKIT, Kind::Dev)]), 0);
        assert_eq!(found("bifolio-cli", "crates/bifolio-cli", &[(TESTKIT, Kind::Normal)]), 1);
    }

    #[test]
    fn rivals_and_crates_without_a_layer_are_caught() {
        assert_eq!(found(MAP, "crates/bifolio-map", &[("memmap2", Kind::Dev)]), 1);
        assert_eq!(found("bifolio-utils", "crates/bifolio-utils", &[]), 1);
    }
}
