//! The real servers that the tests talk to, built from the Go modules in `tests/peers`.
//!
//! Each build lies in `<cache>/peers/<name>-<key>/bin`, where the key covers the module (its
//! pins above all), the flags and the version of Go: unchanged pins rebuild nothing, and two checkouts with
//! different pins do not disturb each other.

mod build;
mod list;

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::{cache, command};

pub use self::list::PEERS;

/// One Go module of `tests/peers`.
#[derive(Debug)]
pub struct Peer {
    /// Its folder below `tests/peers`.
    pub name: &'static str,
    /// Build tags, comma-separated.
    tags: &'static str,
    /// Linker flags besides those that every peer gets.
    ldflags: &'static str,
    /// A part of it is C: it needs a C compiler and libc's static library.
    cgo: bool,
    /// Only what runs with `--full` needs it.
    full: bool,
    binaries: &'static [Binary],
}

/// A program of a peer.
#[derive(Debug)]
struct Binary {
    package: &'static str,
    /// What `go build` calls it.
    built: &'static str,
    /// What it is called here: cosign comes in two versions.
    name: &'static str,
}
/// The peers with these names, in the order of [`PEERS`]; without names, what every run needs.
pub fn select(names: &[String]) -> Result<Vec<&'static Peer>> {
    for name in names {
        if !PEERS.iter().any(|peer| peer.name == name) {
            let known: Vec<_> = PEERS.iter().map(|peer| peer.name).collect();
            bail!("no peer is called {name:?}; there are {}", known.join(", "));
        }
    }
    let wanted = |peer: &&Peer| match names {
        [] => !peer.full,
        names => names.iter().any(|name| peer.name == name),
    };
    Ok(PEERS.iter().filter(wanted).collect())
}

/// All of them, also those that only `--full` tests need.
#[must_use]
pub fn all() -> Vec<&'static Peer> {
    PEERS.iter().collect()
}

/// Builds what is missing of these peers; returns the path of each of their programs by its name.
pub fn ensure(peers: &[&Peer]) -> Result<BTreeMap<&'static str, PathBuf>> {
    let root = cache::dir()?.join("peers");
    let started = Instant::now();
    let mut built = 0_usize;
    let mut programs = BTreeMap::new();
    for peer in peers {
        let home = peer.home(&root)?;
        if !home.is_dir() {
            // One build at a time: a second one would only take its memory and processors away.
            let _lock = cache::lock(&root, "peers")?;
            if !home.is_dir() {
                peer.build(&home)?;
                built += 1;
            }
        }
        for binary in peer.binaries {
            programs.insert(binary.name, home.join("bin").join(binary.name));
        }
    }
    match built {
        0 => println!("peers: all {} are built already", peers.len()),
        _ => println!("peers: built {built} in {}", command::elapsed(started)),
    }
    Ok(programs)
}

/// The path of one program, for a test: from the folder `$NODESEAL_PEERS`, or from the cache.
pub fn locate(program: &str) -> Result<PathBuf> {
    let given = env::var_os("NODESEAL_PEERS").filter(|value| !value.is_empty());
    let bin = if let Some(dir) = given {
        PathBuf::from(dir)
    } else {
        let owns = |peer: &&Peer| peer.binaries.iter().any(|binary| binary.name == program);
        let peer = PEERS
            .iter()
            .find(owns)
            .with_context(|| format!("no peer has a program {program:?}"))?;
        peer.home(&cache::dir()?.join("peers"))?.join("bin")
    };
    let path = bin.join(program);
    if !path.is_file() {
        bail!(
            "{} is missing: run `cargo xtask peers --all`",
            path.display()
        );
    }
    Ok(path)
}
#[cfg(test)]
mod tests {
    use super::{PEERS, all, select};

    #[test]
    fn every_peer_has_its_module() {
        for peer in &PEERS {
            assert!(peer.module().join("go.sum").is_file(), "{}", peer.name);
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let error = select(&["skopeo".into()])
            .expect_err("there is no such peer")
            .to_string();
        assert!(error.contains("crane"), "{error}");
    }

    #[test]
    fn a_selection_keeps_the_order_of_need() {
        let names: Vec<_> = select(&["crane".into(), "containerd".into()])
            .expect("both exist")
            .iter()
            .map(|peer| peer.name)
            .collect();
        assert_eq!(names, ["containerd", "crane"]);
    }

    #[test]
    fn other_versions_are_left_out_unless_they_are_asked_for() {
        let names = |asked: &[String]| -> Vec<_> {
            let peers = select(asked).expect("they exist");
            peers.iter().map(|peer| peer.name).collect()
        };
        assert!(names(&[]).contains(&"containerd"));
        assert!(!names(&[]).contains(&"containerd-2.0"));
        assert_eq!(names(&["containerd-2.0".into()]), ["containerd-2.0"]);
        assert!(all().iter().any(|peer| peer.name == "containerd-2.0"));
    }

    #[test]
    fn no_two_programs_have_one_name() {
        let binaries = PEERS.iter().flat_map(|peer| peer.binaries);
        let mut names: Vec<_> = binaries.map(|binary| binary.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
