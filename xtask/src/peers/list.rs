//! Which peers there are.

use super::{Binary, Peer};

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
pub const PEERS: [Peer; 16] = [
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
        name: "kstatus",
        binaries: &[Binary {
            package: ".",
            built: "kstatus",
            name: "kstatus",
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
        name: "promtool",
        // Of its ways to find targets none is needed: rules and metrics are read from files.
        tags: "remove_all_sd",
        binaries: &[Binary {
            package: "github.com/prometheus/prometheus/cmd/promtool",
            built: "promtool",
            name: "promtool",
        }],
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
