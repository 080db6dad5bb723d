//! The configurations that are judged. `DIR` is the folder that they lie in.

use node_runtime::containerd::Predicate as P;

/// A configuration, and what is in the way of verification under it.
pub(crate) struct Case {
    pub(crate) what: &'static str,
    pub(crate) files: &'static [(&'static str, &'static str)],
    pub(crate) predicates: &'static [P],
}

const fn case(
    what: &'static str,
    files: &'static [(&'static str, &'static str)],
    predicates: &'static [P],
) -> Case {
    Case {
        what,
        files,
        predicates,
    }
}

pub(crate) const CASES: &[Case] = &[
    case(
        "a root file of version 3 with nothing",
        &[("config.toml", "version = 3\n")],
        &[],
    ),
    case(
        "a root file of version 2 with nothing",
        &[("config.toml", "version = 2\n")],
        &[],
    ),
    case(
        "a root file without a version",
        &[("config.toml", "oom_score = -999\n")],
        &[],
    ),
    case(
        "a root file of version 1",
        &[(
            "config.toml",
            "version = 1\n[plugins.cri]\nsandbox_image = 'r.example/lost'\nmax_concurrent_downloads = 9\n",
        )],
        &[],
    ),
    case(
        "all settings of a verifier",
        &[(
            "config.toml",
            "version = 3\n[plugins.'io.containerd.image-verifier.v1.bindir']\nbin_dir = '/v'\nmax_verifiers = -1\nper_verifier_timeout = '4s'\n",
        )],
        &[],
    ),
    case(
        "verifiers that are off",
        &[(
            "config.toml",
            "version = 3\n[plugins.'io.containerd.image-verifier.v1.bindir']\nbin_dir = ''\nmax_verifiers = 0\nper_verifier_timeout = '0s'\n",
        )],
        &[P::NoVerifiers, P::NoBinDir],
    ),
    case(
        "imports: globs, a relative path, nested, a loop",
        &[
            (
                "config.toml",
                "version = 3\nimports = ['b.toml', 'conf.d/*.toml', 'DIR/none/*.toml']\n[plugins.'io.containerd.cri.v1.images']\nmax_concurrent_downloads = 1\nsnapshotter = 'native'\n",
            ),
            (
                "b.toml",
                "version = 3\nimports = ['deep/x.toml', 'config.toml']\n[plugins.'io.containerd.cri.v1.images']\nmax_concurrent_downloads = 2\n",
            ),
            (
                "conf.d/20.toml",
                "version = 3\n[plugins.'io.containerd.cri.v1.images']\nmax_concurrent_downloads = 20\n",
            ),
            (
                "conf.d/.10.toml",
                "version = 3\n[plugins.'io.containerd.cri.v1.images']\nmax_concurrent_downloads = 10\nimage_pull_with_sync_fs = true\n",
            ),
            ("conf.d/x.txt", "no TOML at all"),
            (
                "deep/x.toml",
                "version = 3\n[plugins.'io.containerd.image-verifier.v1.bindir']\nmax_verifiers = 3\n",
            ),
        ],
        &[P::MaxConcurrentDownloads, P::ImagePullWithSyncFs],
    ),
    case(
        "zero values of a later file",
        &[
            (
                "config.toml",
                "version = 3\nimports = ['a.toml']\n[plugins.'io.containerd.cri.v1.images']\nuse_local_image_pull = true\nregistry.config_path = '/x'\nmax_concurrent_downloads = 3\n",
            ),
            (
                "a.toml",
                "version = 3\n[plugins.'io.containerd.cri.v1.images']\nuse_local_image_pull = false\nregistry.config_path = ''\nmax_concurrent_downloads = 0\n",
            ),
        ],
        &[P::MaxConcurrentDownloads],
    ),
    case(
        "use_local_image_pull",
        &[(
            "config.toml",
            "version = 3\nplugins.'io.containerd.cri.v1.images'.use_local_image_pull = true\n",
        )],
        &[P::UseLocalImagePull],
    ),
    case(
        "disable_snapshot_annotations",
        &[(
            "config.toml",
            "version = 3\nplugins.'io.containerd.cri.v1.images'.disable_snapshot_annotations = false\n",
        )],
        &[P::SnapshotAnnotations],
    ),
    case(
        "discard_unpacked_layers",
        &[(
            "config.toml",
            "version = 3\nplugins.'io.containerd.cri.v1.images'.discard_unpacked_layers = true\n",
        )],
        &[P::DiscardUnpackedLayers],
    ),
    case(
        "a key in capitals",
        &[(
            "config.toml",
            "version = 3\nplugins.'io.containerd.cri.v1.images'.Discard_Unpacked_Layers = true\n",
        )],
        &[P::DiscardUnpackedLayers],
    ),
    case(
        "registry tables of two files",
        &[
            (
                "config.toml",
                "version = 3\nimports = ['a.toml']\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = ''\n[plugins.'io.containerd.cri.v1.images'.registry.mirrors.a]\nendpoint = ['https://a.example']\n[plugins.'io.containerd.cri.v1.images'.registry.auths.'https://a.example']\nauth = 'eDp5'\n",
            ),
            (
                "a.toml",
                "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry.mirrors.b]\nendpoint = ['https://b.example']\n[plugins.'io.containerd.cri.v1.images'.registry.configs.b.auth]\nusername = 'u'\n",
            ),
        ],
        &[P::RegistryMirrors, P::RegistryConfigs, P::RegistryAuths],
    ),
    case(
        "version 2 with all that is migrated",
        &[(
            "config.toml",
            "version = 2\n[plugins.'io.containerd.grpc.v1.cri']\nsandbox_image = 'r.example/pause:1'\nmax_concurrent_downloads = 5\nimage_pull_with_sync_fs = true\nuse_local_image_pull = true\n[plugins.'io.containerd.grpc.v1.cri'.registry]\nconfig_path = ''\n[plugins.'io.containerd.grpc.v1.cri'.containerd]\nsnapshotter = 'native'\ndisable_snapshot_annotations = false\ndiscard_unpacked_layers = true\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]\nruntime_type = 'io.containerd.runc.v2'\n",
        )],
        &[
            P::SnapshotAnnotations,
            P::DiscardUnpackedLayers,
            P::MaxConcurrentDownloads,
            P::ImagePullWithSyncFs,
        ],
    ),
    case(
        "version 2 without runtimes",
        &[(
            "config.toml",
            "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd]\nsnapshotter = 'native'\ndiscard_unpacked_layers = true\n",
        )],
        &[],
    ),
    case(
        "version 2 with both names",
        &[(
            "config.toml",
            "version = 2\n[plugins.'io.containerd.cri.v1.images']\nmax_concurrent_downloads = 3\nuse_local_image_pull = true\nregistry.headers.a = ['b']\nregistry.config_path = '/new'\n[plugins.'io.containerd.grpc.v1.cri']\nmax_concurrent_downloads = 7\nregistry.config_path = '/a:/b'\n",
        )],
        &[P::UseLocalImagePull, P::MaxConcurrentDownloads],
    ),
    case(
        "version 2 whose runtimes stand in a drop-in, as EKS has it",
        &[
            (
                "config.toml",
                "version = 2\nimports = ['DIR/config.d/*.toml']\n[plugins.'io.containerd.grpc.v1.cri'.containerd]\ndiscard_unpacked_layers = true\n[plugins.'io.containerd.grpc.v1.cri']\nsandbox_image = 'r.example/eks/pause:3.5'\nregistry.config_path = '/etc/containerd/certs.d:/etc/docker/certs.d'\n",
            ),
            (
                "config.d/nvidia.toml",
                "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.nvidia]\nruntime_type = 'io.containerd.runc.v2'\n",
            ),
        ],
        &[P::DiscardUnpackedLayers],
    ),
    case(
        "a drop-in of version 3 over a root file of version 2",
        &[
            (
                "config.toml",
                "version = 2\nimports = ['a.toml']\n[plugins.'io.containerd.grpc.v1.cri']\nsandbox_image = 'r.example/lost'\nmax_concurrent_downloads = 9\n",
            ),
            ("a.toml", "version = 3\n"),
        ],
        &[],
    ),
    case(
        "a drop-in of version 2 over a root file of version 3",
        &[
            (
                "config.toml",
                "version = 3\nimports = ['a.toml']\n[plugins.'io.containerd.cri.v1.images']\nmax_concurrent_downloads = 3\n",
            ),
            (
                "a.toml",
                "version = 2\n[plugins.'io.containerd.grpc.v1.cri']\nmax_concurrent_downloads = 9\n",
            ),
        ],
        &[P::MaxConcurrentDownloads],
    ),
    case(
        "a drop-in without a version over a root file of version 2",
        &[
            (
                "config.toml",
                "version = 2\nimports = ['a.toml']\n[plugins.'io.containerd.grpc.v1.cri']\nsandbox_image = 'r.example/p'\n",
            ),
            (
                "a.toml",
                "[plugins.cri]\nmax_concurrent_downloads = 9\nimage_pull_with_sync_fs = true\n",
            ),
        ],
        &[P::MaxConcurrentDownloads, P::ImagePullWithSyncFs],
    ),
    case(
        "disabled plugins of two files",
        &[
            (
                "config.toml",
                "version = 3\nimports = ['a.toml']\ndisabled_plugins = ['io.containerd.internal.v1.opt']\n",
            ),
            (
                "a.toml",
                "version = 3\ndisabled_plugins = ['io.containerd.transfer.v1.local', 'io.containerd.internal.v1.opt']\n",
            ),
        ],
        &[P::PluginDisabled],
    ),
];

/// Configurations that containerd does not load.
pub(crate) const REFUSED: &[(&str, &[(&str, &str)])] = &[
    ("no TOML", &[("config.toml", "version = \n")]),
    (
        "a malformed pattern",
        &[("config.toml", "version = 3\nimports = ['[*']\n")],
    ),
    (
        "a version that is too new",
        &[("config.toml", "version = 4\n")],
    ),
    (
        "a drop-in whose version is too new",
        &[
            ("config.toml", "version = 3\nimports = ['a.toml']\n"),
            ("a.toml", "version = 4\n"),
        ],
    ),
    (
        "a version that is text",
        &[("config.toml", "version = '3'\n")],
    ),
    (
        "imports that are text",
        &[("config.toml", "version = 3\nimports = 'a.toml'\n")],
    ),
    (
        "a boolean that is text",
        &[(
            "config.toml",
            "version = 3\nplugins.'io.containerd.cri.v1.images'.discard_unpacked_layers = 'true'\n",
        )],
    ),
    (
        "a duration without a unit",
        &[(
            "config.toml",
            "version = 3\nplugins.'io.containerd.image-verifier.v1.bindir'.per_verifier_timeout = 10\n",
        )],
    ),
    (
        "mirrors that are no table",
        &[(
            "config.toml",
            "version = 3\nplugins.'io.containerd.cri.v1.images'.registry.mirrors = true\n",
        )],
    ),
];
