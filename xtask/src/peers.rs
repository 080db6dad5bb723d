//! The real servers that the tests talk to, built from the Go modules in `tests/peers`.
//!
//! Each build lies in `<cache>/peers/<name>-<key>/bin`, where the key covers the module (its
//! pins above all), the flags and the version of Go: unchanged pins rebuild nothing, and two checkouts with
//! different pins do not disturb each other.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use std::{env, fs, process};

use anyhow::{Context as _, Result, bail};

use crate::cache::{self, Key};
use crate::command;

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

/// What starts containers for containerd.
const SHIM: &str = "containerd-shim-runc-v2";

/// Nothing special.
const PLAIN: Peer = Peer {
    name: "",
    tags: "",
    ldflags: "",
    cgo: false,
    full: false,
    binaries: &[],
};

/// A containerd, without the snapshotters that need libraries or kernel modules of their own. It
/// has to be told its version, by which capabilities go: otherwise it adds `+unknown`.
const CONTAINERD: Peer = Peer {
    tags: "no_btrfs,no_devmapper,no_zfs",
    ..PLAIN
};

/// All peers, in the order in which the tests come to need them.
pub const PEERS: [Peer; 14] = [
    Peer {
        name: "containerd",
        ldflags: "-X github.com/containerd/containerd/v2/version.Version=v2.2.1",
        binaries: &[
            Binary {
                package: "github.com/containerd/containerd/v2/cmd/containerd",
                built: "containerd",
                name: "containerd",
            },
            Binary {
                package: "github.com/containerd/containerd/v2/cmd/ctr",
                built: "ctr",
                name: "ctr",
            },
            Binary {
                package: "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
                built: SHIM,
                name: SHIM,
            },
        ],
        ..CONTAINERD
    },
    Peer {
        name: "runc",
        // It runs in the root of a node, where no libraries are.
        ldflags: "-extldflags=-static",
        cgo: true,
        binaries: &[Binary {
            package: "github.com/opencontainers/runc",
            built: "runc",
            name: "runc",
        }],
        ..PLAIN
    },
    Peer {
        name: "registry",
        binaries: &[Binary {
            package: "github.com/distribution/distribution/v3/cmd/registry",
            built: "registry",
            name: "registry",
        }],
        ..PLAIN
    },
    Peer {
        name: "crane",
        binaries: &[
            Binary {
                package: "github.com/google/go-containerregistry/cmd/crane",
                built: "crane",
                name: "crane",
            },
            Binary {
                package: "./referrers-registry",
                built: "referrers-registry",
                name: "referrers-registry",
            },
        ],
        ..PLAIN
    },
    Peer {
        name: "cosign3",
        binaries: &[Binary {
            package: "github.com/sigstore/cosign/v3/cmd/cosign",
            built: "cosign",
            name: "cosign3",
        }],
        ..PLAIN
    },
    Peer {
        name: "cosign2",
        binaries: &[Binary {
            package: "github.com/sigstore/cosign/v2/cmd/cosign",
            built: "cosign",
            name: "cosign2",
        }],
        ..PLAIN
    },
    Peer {
        // One module for all of them: they share most of what they are built from.
        name: "sigstore",
        binaries: &[
            Binary {
                package: "github.com/sigstore/fulcio",
                built: "fulcio",
                name: "fulcio",
            },
            Binary {
                package: "./trillian",
                built: "trillian",
                name: "trillian",
            },
            Binary {
                package: "github.com/sigstore/rekor/cmd/rekor-server",
                built: "rekor-server",
                name: "rekor-server",
            },
            Binary {
                package: "github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix",
                built: "posix",
                name: "rekor-tiles",
            },
            Binary {
                package: "./timestamp-server",
                built: "timestamp-server",
                name: "timestamp-server",
            },
        ],
        ..PLAIN
    },
    Peer {
        name: "etcd",
        binaries: &[Binary {
            package: ".",
            built: "etcd",
            name: "etcd",
        }],
        ..PLAIN
    },
    Peer {
        name: "judge",
        // Signatures of the OpenPGP kind without a C library.
        tags: "containers_image_openpgp",
        binaries: &[Binary {
            package: ".",
            built: "judge",
            name: "judge",
        }],
        ..PLAIN
    },
    Peer {
        name: "kubernetes",
        // Without them the API server reports v0.0.0, and clients go by its version.
        ldflags: "-X k8s.io/component-base/version.gitVersion=v1.34.4 \
                  -X k8s.io/component-base/version.gitMajor=1 \
                  -X k8s.io/component-base/version.gitMinor=34",
        binaries: &[
            Binary {
                package: "k8s.io/kubernetes/cmd/kube-apiserver",
                built: "kube-apiserver",
                name: "kube-apiserver",
            },
            Binary {
                package: "k8s.io/kubernetes/cmd/kubectl",
                built: "kubectl",
                name: "kubectl",
            },
        ],
        ..PLAIN
    },
    Peer {
        name: "containerd-1.7",
        ldflags: "-X github.com/containerd/containerd/version.Version=v1.7.35",
        full: true,
        binaries: &[
            Binary {
                package: "github.com/containerd/containerd/cmd/containerd",
                built: "containerd",
                name: "containerd-1.7",
            },
            Binary {
                package: "github.com/containerd/containerd/cmd/containerd-shim-runc-v2",
                built: SHIM,
                name: "containerd-shim-runc-v2-1.7",
            },
        ],
        ..CONTAINERD
    },
    Peer {
        name: "containerd-2.0",
        ldflags: "-X github.com/containerd/containerd/v2/version.Version=v2.0.14",
        full: true,
        binaries: &[
            Binary {
                package: "github.com/containerd/containerd/v2/cmd/containerd",
                built: "containerd",
                name: "containerd-2.0",
            },
            Binary {
                package: "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
                built: SHIM,
                name: "containerd-shim-runc-v2-2.0",
            },
        ],
        ..CONTAINERD
    },
    Peer {
        name: "containerd-2.1",
        ldflags: "-X github.com/containerd/containerd/v2/version.Version=v2.1.9",
        full: true,
        binaries: &[
            Binary {
                package: "github.com/containerd/containerd/v2/cmd/containerd",
                built: "containerd",
                name: "containerd-2.1",
            },
            Binary {
                package: "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
                built: SHIM,
                name: "containerd-shim-runc-v2-2.1",
            },
        ],
        ..CONTAINERD
    },
    Peer {
        name: "containerd-2.3",
        ldflags: "-X github.com/containerd/containerd/v2/version.Version=v2.3.7",
        full: true,
        binaries: &[
            Binary {
                package: "github.com/containerd/containerd/v2/cmd/containerd",
                built: "containerd",
                name: "containerd-2.3",
            },
            Binary {
                package: "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
                built: SHIM,
                name: "containerd-shim-runc-v2-2.3",
            },
        ],
        ..CONTAINERD
    },
];

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

impl Peer {
    fn module(&self) -> PathBuf {
        cache::workspace().join("tests/peers").join(self.name)
    }

    fn flags(&self) -> Vec<String> {
        let mut flags = vec![
            "-trimpath".into(),
            "-mod=readonly".into(),
            "-buildvcs=false".into(),
        ];
        flags.push(format!("-ldflags=-s -w {}", self.ldflags).trim_end().into());
        if !self.tags.is_empty() {
            flags.push(format!("-tags={}", self.tags));
        }
        flags
    }

    /// The folder that this peer's build has, or will have.
    fn home(&self, root: &Path) -> Result<PathBuf> {
        let module = self.module();
        let mut key = Key::new().and(go_version(&module)?);
        for path in files(&module)? {
            key = key.and(fs::read(&path).with_context(|| format!("read {}", path.display()))?);
        }
        key = self.flags().iter().fold(key, Key::and);
        if self.cgo {
            key = key.and("cgo");
        }
        key = self
            .binaries
            .iter()
            .fold(key, |key, binary| key.and(binary.package));
        Ok(root.join(format!("{}-{key}", self.name)))
    }

    /// Builds into a temporary folder, which takes its name only when whole.
    fn build(&self, home: &Path) -> Result<()> {
        // Not by its extension: the names of versions have dots.
        let beside = |end: &str| {
            let mut path = home.as_os_str().to_owned();
            path.push(end);
            PathBuf::from(path)
        };
        let temporary = beside(&format!(".{}.tmp", process::id()));
        let bin = temporary.join("bin");
        fs::create_dir_all(&bin).with_context(|| format!("create {}", bin.display()))?;

        let mut go = go(&self.module());
        if self.cgo {
            go.env("CGO_ENABLED", "1");
        }
        go.arg("build").args(self.flags());
        // A folder as output takes several programs; it must end in a slash or exist.
        go.arg("-o").arg(&bin);
        go.args(self.binaries.iter().map(|binary| binary.package));
        let log = beside(".log");
        command::run_logged(&format!("peers: building {}", self.name), &mut go, &log)?;

        for binary in self.binaries {
            fs::rename(bin.join(binary.built), bin.join(binary.name))
                .with_context(|| format!("go built no {} for {}", binary.built, self.name))?;
        }
        fs::rename(&temporary, home).with_context(|| format!("rename to {}", home.display()))
    }
}

/// Every file of a module: its pins, and what little code of our own there is.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("list {}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The version of Go that builds this module (its go.mod may choose another toolchain).
fn go_version(module: &Path) -> Result<Vec<u8>> {
    let output = go(module)
        .args(["env", "GOVERSION", "GOOS", "GOARCH"])
        .output();
    let output = match output {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "`go` is not on the PATH: the servers that the tests talk to are built from Go \
             modules; install Go as tests/peers/*/go.mod say (https://go.dev/dl/)"
        ),
        output => output.context("start `go env`")?,
    };
    if !output.status.success() {
        bail!(
            "`go env` failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output.stdout)
}

fn go(module: &Path) -> Command {
    let mut go = Command::new("go");
    // Static programs: they run wherever the cache is carried to.
    go.current_dir(module)
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off");
    go
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
