//! Whether pulls over CRI go through image verifiers, and if not, why and what would change that.

use policy::version::Version;

use super::bypass::{Bypass, Enforcement, Fix, Predicate};
use super::effective::{Effective, Setting, VERIFIER};
use super::merge::{CRI, Generation, IMAGES};
use super::value::Origin;

/// Looks for everything that keeps CRI's pulls from the verifiers.
///
/// An unknown version and a configuration that containerd could not load count as no enforcement:
/// what cannot be judged must not look protected.
#[must_use]
pub fn enforcement(version: Option<Version>, effective: &Effective) -> Enforcement {
    let mut why = Vec::new();
    let plain = |predicate, value: String| Bypass {
        predicate,
        value,
        origin: None,
        fix: None,
    };
    match version {
        None => why.push(plain(
            Predicate::VersionUnknown,
            "the version of containerd is not known".to_owned(),
        )),
        Some(version) if version.line() < (2, 1) => why.push(plain(
            Predicate::VersionTooOld,
            format!("containerd {version} runs no image verifier for CRI pulls; 2.1 is the first that does"),
        )),
        Some(_) => {}
    }
    for problem in &effective.problems {
        why.push(Bypass {
            predicate: Predicate::ConfigInvalid,
            value: problem.message.clone(),
            origin: problem.origin.clone(),
            fix: Some(Fix::Remove(problem.message.clone())),
        });
    }
    for disabled in &effective.disabled {
        why.push(Bypass {
            predicate: Predicate::PluginDisabled,
            value: format!("['{}']", disabled.plugin),
            origin: Some(disabled.origin.clone()),
            fix: Some(Fix::Remove(format!(
                "take '{}' out of `disabled_plugins` in {}",
                disabled.plugin,
                disabled.origin.place()
            ))),
        });
    }
    verifiers_off(effective, &mut why);
    // Before 2.1 none of these keys decides anything.
    if version.is_none_or(|version| version.line() >= (2, 1)) {
        local_pulls(effective, &mut why);
    }
    if why.is_empty() {
        Enforcement::Full
    } else {
        Enforcement::None { why }
    }
}

fn verifiers_off(effective: &Effective, why: &mut Vec<Bypass>) {
    let verifier = &effective.verifier;
    if verifier.max_verifiers.value == 0 {
        why.push(Bypass {
            predicate: Predicate::NoVerifiers,
            value: "0".to_owned(),
            origin: verifier.max_verifiers.origin.clone(),
            fix: Some(Fix::DropIn {
                key: vec![VERIFIER.to_owned(), "max_verifiers".to_owned()],
                value: "10",
            }),
        });
    }
    if verifier.bin_dir.value.is_empty() {
        why.push(Bypass {
            predicate: Predicate::NoBinDir,
            value: "''".to_owned(),
            origin: verifier.bin_dir.origin.clone(),
            // The drop-in names a folder in any case; this is what containerd has by default.
            fix: Some(Fix::DropIn {
                key: vec![VERIFIER.to_owned(), "bin_dir".to_owned()],
                value: "'/opt/containerd/image-verifier/bin'",
            }),
        });
    }
}

fn local_pulls(effective: &Effective, why: &mut Vec<Bypass>) {
    let images = &effective.images;
    let mut flag = |predicate: Predicate, setting: &Setting<bool>, good: bool| {
        if setting.value != good {
            why.push(Bypass {
                predicate,
                value: setting.value.to_string(),
                origin: setting.origin.clone(),
                fix: Some(Fix::DropIn {
                    key: key_of(effective, setting.origin.as_ref(), predicate.name()),
                    value: if good { "true" } else { "false" },
                }),
            });
        }
    };
    flag(
        Predicate::UseLocalImagePull,
        &images.use_local_image_pull,
        false,
    );
    flag(
        Predicate::SnapshotAnnotations,
        &images.disable_snapshot_annotations,
        true,
    );
    flag(
        Predicate::DiscardUnpackedLayers,
        &images.discard_unpacked_layers,
        false,
    );
    for (predicate, setting, instead) in [
        (
            Predicate::RegistryMirrors,
            &images.mirrors,
            "a hosts.toml for each host in the folder that `config_path` names",
        ),
        (
            Predicate::RegistryConfigs,
            &images.configs,
            "hosts.toml files for TLS, and image pull secrets or a kubelet credential provider \
             for credentials",
        ),
        (
            Predicate::RegistryAuths,
            &images.auths,
            "image pull secrets or a kubelet credential provider",
        ),
    ] {
        if setting.value > 0 {
            let place = setting.origin.as_ref().map(Origin::place);
            why.push(Bypass {
                predicate,
                value: format!(
                    "{{ {} {} }}",
                    setting.value,
                    if setting.value == 1 {
                        "entry"
                    } else {
                        "entries"
                    }
                ),
                origin: setting.origin.clone(),
                fix: Some(Fix::Remove(format!(
                    "delete `{}` with all its entries from {} and from every file that adds to \
                     it; use {instead}, and restart containerd",
                    setting
                        .origin
                        .as_ref()
                        .map_or_else(|| predicate.name().to_owned(), |o| o.key.join(".")),
                    place.as_deref().unwrap_or("the configuration"),
                ))),
            });
        }
    }
    let downloads = &images.max_concurrent_downloads;
    if downloads.value != 3 {
        let predicate = Predicate::MaxConcurrentDownloads;
        why.push(Bypass {
            predicate,
            value: downloads.value.to_string(),
            origin: downloads.origin.clone(),
            fix: Some(Fix::DropIn {
                key: key_of(effective, downloads.origin.as_ref(), predicate.name()),
                value: "3",
            }),
        });
    }
    let sync = &images.image_pull_with_sync_fs;
    if sync.value {
        let predicate = Predicate::ImagePullWithSyncFs;
        why.push(Bypass {
            predicate,
            value: "true".to_owned(),
            origin: sync.origin.clone(),
            fix: Some(Fix::DropIn {
                key: key_of(effective, sync.origin.as_ref(), predicate.name()),
                value: "false",
            }),
        });
    }
}

/// Where a drop-in has to write a key of CRI's images.
///
/// Up to 2.2 the files are merged before CRI's table of version 2 is migrated, and what is migrated
/// replaces what stands under the new name: so the key goes where the value came from. From 2.3 on
/// every file is migrated by itself, and there a key below `containerd` is lost without `runtimes`
/// beside it: so the new name, which needs no migration.
pub(super) fn key_of(effective: &Effective, origin: Option<&Origin>, key: &str) -> Vec<String> {
    let written = origin
        .filter(|_| effective.generation == Generation::MergeThenMigrate)
        .and_then(|origin| origin.key.get(1..)?.split_first());
    match written {
        // CRI's short name of version 1 has no meaning in a drop-in of another version.
        Some((id, key)) => {
            let id = if id == "cri" { CRI } else { id };
            std::iter::once(id.to_owned())
                .chain(key.iter().cloned())
                .collect()
        }
        None => [IMAGES, key].map(str::to_owned).to_vec(),
    }
}

#[cfg(test)]
#[path = "enforcement_tests.rs"]
mod tests;
