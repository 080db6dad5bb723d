//! Where distributions keep containerd's configuration, and which of their files may be edited.

use super::glob::folder;

/// A distribution's way to set up containerd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// As containerd ships, and as kubeadm, EKS, GKE and kind use it.
    Upstream,
    /// k3s.
    K3s,
    /// RKE2.
    Rke2,
    /// k0s.
    K0s,
    /// Flatcar Container Linux.
    Flatcar,
    /// Talos Linux.
    Talos,
    /// Bottlerocket.
    Bottlerocket,
}

/// Whether, and how, a root file can be made to import a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Import {
    /// The root file is the administrator's: an entry may be added to its `imports`.
    Editable,
    /// The root file is generated or read-only. It has the import by construction in the versions
    /// that this layout describes; where the import is missing, the text tells what to do.
    Generated {
        /// What to do where the import is missing.
        missing: String,
    },
    /// Nothing on the node may be written; the text tells what to do instead.
    Unsupported {
        /// What to do instead.
        instead: String,
    },
}

/// Where things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Which.
    pub kind: Kind,
    /// The root file that containerd reads, absolute.
    pub root_config: String,
    /// The folder for drop-ins, absolute.
    pub drop_in_dir: String,
    /// Its import.
    pub import: Import,
}

/// What is looked at on the node to tell layouts apart.
pub trait Markers {
    /// Whether there is such a file or folder; the path is absolute.
    fn exists(&self, path: &str) -> bool;
}

/// The root file when the command line names none
/// (`cmd/containerd/command/main.go@2.2.1`, `defaults/defaults_unix.go`).
const DEFAULT_CONFIG: &str = "/etc/containerd/config.toml";

/// Tells the layout from the command line of the running containerd (program first), the root file
/// that it names (empty: the default), the `ID` of os-release(5), and what is on the node.
#[must_use]
pub fn recognise(
    argv: &[String],
    config_path: &str,
    os_id: Option<&str>,
    markers: &impl Markers,
) -> Layout {
    let root_config = if config_path.is_empty() {
        DEFAULT_CONFIG
    } else {
        config_path
    };
    let mentions = |part: &str| {
        root_config.contains(part) || argv.iter().any(|argument| argument.contains(part))
    };
    // The files of k3s and RKE2 are named alike, and both have their socket in /run/k3s.
    let rancher = root_config.ends_with("/agent/etc/containerd/config.toml");
    let kind = match os_id {
        Some("talos") => Kind::Talos,
        Some("bottlerocket") => Kind::Bottlerocket,
        _ if rancher
            && (mentions("/rke2/")
                || (!mentions("/rancher/k3s/") && markers.exists("/etc/rancher/rke2"))) =>
        {
            Kind::Rke2
        }
        _ if rancher => Kind::K3s,
        _ if root_config == "/etc/k0s/containerd.toml" || mentions("/k0s/bin/containerd") => {
            Kind::K0s
        }
        Some("flatcar") => Kind::Flatcar,
        _ => Kind::Upstream,
    };
    match kind {
        Kind::K3s | Kind::Rke2 => rancher_layout(kind, root_config, markers),
        Kind::K0s => k0s(root_config),
        Kind::Talos => unsupported(kind, root_config, talos()),
        Kind::Bottlerocket => unsupported(kind, root_config, bottlerocket()),
        Kind::Flatcar | Kind::Upstream => Layout {
            kind,
            root_config: root_config.to_owned(),
            drop_in_dir: "/etc/containerd/conf.d".to_owned(),
            import: if root_config.starts_with("/usr/") {
                read_only(kind, root_config)
            } else {
                Import::Editable
            },
        },
    }
}

/// `/usr` of Flatcar is read-only, and elsewhere belongs to the package.
fn read_only(kind: Kind, root_config: &str) -> Import {
    // flatcar.org/docs/latest/container-runtimes/customizing-docker: the shipped unit names the
    // file below /usr, and a unit drop-in selects another one.
    let unit = if kind == Kind::Flatcar {
        "/etc/systemd/system/containerd.service.d/10-use-custom-config.conf"
    } else {
        "a drop-in of containerd's systemd unit"
    };
    Import::Generated {
        missing: format!(
            "{root_config} cannot be changed: copy it to {DEFAULT_CONFIG}, and in {unit} set \
             `[Service]`, `ExecStart=` and `ExecStart=/usr/bin/containerd`; then `systemctl \
             daemon-reload` and `systemctl restart containerd`"
        ),
    }
}

/// k3s writes `config.toml` anew at each start, from `config-v3.toml.tmpl` where there is one, else
/// from `config.toml.tmpl`, else from its own template of version 3
/// (k3s `pkg/agent/containerd/config.go:writeContainerdConfig`). Its own templates import
/// `config-v3.toml.d/*.toml` and `config.toml.d/*.toml` beside it since k3s-io/k3s#13680 (February
/// 2026). RKE2 runs the same code.
fn rancher_layout(kind: Kind, root_config: &str, markers: &impl Markers) -> Layout {
    let base = folder(root_config);
    let template = |name: &str| format!("{base}/{name}");
    let v3 = template("config-v3.toml.tmpl");
    let v2 = template("config.toml.tmpl");
    let (used, name) = if markers.exists(&v3) {
        (Some(v3), "config-v3.toml.d")
    } else if markers.exists(&v2) {
        (Some(v2), "config.toml.d")
    } else {
        (None, "config-v3.toml.d")
    };
    let drop_in_dir = template(name);
    let unit = if kind == Kind::Rke2 { "RKE2" } else { "k3s" };
    let missing = match used {
        Some(template) => format!(
            "{template} makes a configuration without the import: if it has no `{{{{ template \
             \"base\" . }}}}` line, or this {unit} is from before February 2026, put `imports = \
             [\"{drop_in_dir}/*.toml\"]` on its first line, and restart {unit}"
        ),
        None => format!(
            "this {unit} does not import {drop_in_dir}/*.toml: upgrade to a release from after \
             February 2026, or create {base}/config-v3.toml.tmpl with the lines `imports = \
             [\"{drop_in_dir}/*.toml\"]` and `{{{{ template \"base\" . }}}}` (and delete it before \
             such an upgrade, since the line would then be there twice); then restart {unit}"
        ),
    };
    Layout {
        kind,
        root_config: root_config.to_owned(),
        drop_in_dir,
        import: Import::Generated { missing },
    }
}

/// docs.k0sproject.io/stable/runtime, "k0s managed dynamic runtime configuration"; k0s
/// `pkg/component/worker/containerd/component.go`. Drop-ins with CRI's settings are of version 3
/// only: k0s merges them into a file of its own when it starts, and that file has version 3.
fn k0s(root_config: &str) -> Layout {
    Layout {
        kind: Kind::K0s,
        root_config: root_config.to_owned(),
        drop_in_dir: "/etc/k0s/containerd.d".to_owned(),
        import: Import::Generated {
            missing: format!(
                "k0s has not imported the drop-in: restart k0s, which makes its list of imports \
                 at its start. If {root_config} does not begin with `# k0s_managed=true`, k0s \
                 leaves it alone: add '/etc/k0s/containerd.d/*.toml' to its `imports` yourself, or \
                 delete the file so that k0s makes it again"
            ),
        },
    }
}

fn unsupported(kind: Kind, root_config: &str, instead: &str) -> Layout {
    Layout {
        kind,
        root_config: root_config.to_owned(),
        drop_in_dir: folder(root_config).to_owned(),
        import: Import::Unsupported {
            instead: instead.to_owned(),
        },
    }
}

/// docs.siderolabs.com/talos/v1.13/security/verifying-image-signatures, and
/// talos/v1.15/configure-your-talos-cluster/images-container-runtime/containerd.
fn talos() -> &'static str {
    "Talos makes containerd's configuration from its machine configuration, and its files are \
     read-only. From Talos 1.13 on it verifies pulls itself: apply an `ImageVerificationConfig` \
     document with `talosctl patch machineconfig`. containerd's own settings are changed by a \
     `CRICustomizationConfig` document (before 1.14: `machine.files` with the path \
     /etc/cri/conf.d/20-customization.part and `op: create`)"
}

/// bottlerocket.dev, `settings.image-verifier-plugins` (since 1.51 on aws-ecs-3, later on aws-k8s:
/// bottlerocket-os/bottlerocket#4832); own verifiers: bottlerocket-os/bottlerocket-core-kit#820.
fn bottlerocket() -> &'static str {
    "Bottlerocket makes containerd's configuration from its settings, and its files are read-only. \
     In a release whose `apiclient get settings.image-verifier-plugins` answers, switch verifiers \
     on with `apiclient set settings.image-verifier-plugins.enabled=true` or the same in user data; \
     its own verifiers `notation` and `digestion` take a base64 `trustpolicy` there, and a bootstrap \
     container (`settings.bootstrap-containers`) can install another verifier. Older releases \
     cannot verify at pull"
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
