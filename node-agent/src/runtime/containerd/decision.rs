//! What to do about a containerd's configuration so that pulls go through the verifier.
//!
//! Pure over the files that are handed in. A configuration is only touched where that leads to
//! enforcement, and never silences a verifier of others: a node is not made weaker.

use node_runtime::containerd::{
    self as config, DropIn, Edit, Effective, Enforcement, Files, Fix, Installed, Layout, Loaded,
    Overlay, Place,
};
use policy::paths::{VERIFIER_DIR, VERIFIER_NAME};
use policy::version::Version;

use super::host::Without;
use crate::layout::VerifierPlace;

/// What is known of a containerd besides its files.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    /// Its version, where it is known.
    pub(super) version: Option<Version>,
    /// The root file, absolute, and everything that goes with it.
    pub(super) layout: &'a Layout,
    /// Where the verifier was put before.
    pub(super) before: Option<&'a Installed>,
    /// The folder that the command line names, absolute.
    pub(super) chosen: Option<&'a VerifierPlace>,
    /// Whether settings that keep pulls from the verifiers are to be turned off.
    pub(super) fix_local_pull: bool,
}

/// What to do.
#[derive(Debug)]
pub(super) struct Decision {
    /// The configuration without the drop-in of ours.
    pub(super) effective: Effective,
    /// Whether pulls go through the transfer service, once everything here is done.
    pub(super) through_transfer: bool,
    /// Where the verifier goes.
    pub(super) place: VerifierPlace,
    /// Files of containerd's to write. Their texts, where they are as they should be already.
    pub(super) edits: Vec<Edit>,
    /// Why pulls are not verified even then.
    pub(super) not_enforcing: Option<String>,
}

/// Decides.
pub(super) fn decide(
    files: &impl Files,
    known: Known<'_>,
) -> Result<Decision, config::ConfigError> {
    // What stands there is ours, or will be.
    let own_drop_in = match known.before {
        Some(Installed::Own { drop_in }) => drop_in.clone(),
        _ => format!("{}{}", known.layout.drop_in_dir, super::DROP_IN_END),
    };
    let hidden = Without {
        below: files,
        path: Some(&own_drop_in),
    };
    let root = &known.layout.root_config;
    let loaded = config::load(&hidden, root)?;
    let effective = config::effective(&loaded, known.version);
    let enforcement = config::enforcement(known.version, &effective);
    let bin_dir = effective.verifier.bin_dir.value.clone();
    let mut decision = Decision {
        through_transfer: enforcement == Enforcement::Full,
        place: known.chosen.cloned().unwrap_or_default(),
        edits: Vec::new(),
        not_enforcing: None,
        effective,
    };
    if let Some(chosen) = known.chosen {
        decision.not_enforcing = chosen_is_run(chosen, &bin_dir, root, &enforcement);
        return Ok(decision);
    }
    let entries = files.list(&bin_dir).ok().flatten();
    let place = config::place(
        &loaded,
        &decision.effective,
        &enforcement,
        entries.as_deref(),
        known.layout,
        known.before,
    );
    match place {
        Err(error) => decision.not_enforcing = Some(error.to_string()),
        Ok(Place::Nowhere { why }) => decision.not_enforcing = Some(why),
        Ok(Place::Configured { bin_dir }) => match VerifierPlace::in_folder(&bin_dir) {
            Ok(place) => decision.place = place,
            Err(error) => decision.not_enforcing = Some(error.to_string()),
        },
        Ok(Place::Own { displaced, .. }) if !displaced.is_empty() => {
            decision.not_enforcing = Some(format!(
                "containerd's folder of verifiers {bin_dir} holds {} of others, which a folder of \
                 nodeseal's would silence: move them away, or put nodeseal beside them with \
                 --bin-dir {bin_dir} once pulls go through that folder",
                displaced.join(", ")
            ));
        }
        Ok(Place::Own {
            drop_in, imports, ..
        }) => own(
            &mut decision,
            &loaded,
            &hidden,
            known,
            &enforcement,
            &drop_in,
            imports,
        ),
    }
    Ok(decision)
}

/// A drop-in, and what makes containerd read it.
fn own(
    decision: &mut Decision,
    loaded: &Loaded,
    files: &impl Files,
    known: Known<'_>,
    enforcement: &Enforcement,
    drop_in: &str,
    imports: Option<Edit>,
) {
    let bin_dir = format!("/{VERIFIER_DIR}");
    let options = DropIn {
        bin_dir: &bin_dir,
        fix_local_pull: known.fix_local_pull,
        hosts_folder: None,
    };
    let text = config::drop_in(&decision.effective, enforcement, &options);
    let mut then = Overlay::new(files).with(drop_in, &text);
    if let Some(imports) = &imports {
        then = then.with(&imports.path, &imports.new);
    }
    let after = config::load(&then, &loaded.root).map(|loaded| {
        let effective = config::effective(&loaded, known.version);
        config::enforcement(known.version, &effective)
    });
    match after {
        Ok(Enforcement::Full) => {
            decision.through_transfer = true;
            decision.edits.extend(imports);
            decision.edits.push(Edit {
                path: drop_in.to_owned(),
                old: None,
                new: text,
            });
        }
        Ok(Enforcement::None { .. }) => {
            decision.not_enforcing = Some(why_not(enforcement, known.fix_local_pull));
        }
        Err(error) => decision.not_enforcing = Some(error.to_string()),
    }
}

/// What keeps pulls from being verified, and what to do about each.
fn why_not(enforcement: &Enforcement, fixed: bool) -> String {
    let Enforcement::None { why } = enforcement else {
        return "with the drop-in of nodeseal's pulls would not be verified".to_owned();
    };
    let lines: Vec<String> = why
        .iter()
        .map(|bypass| match &bypass.fix {
            Some(Fix::DropIn { .. }) if fixed => bypass.to_string(),
            Some(Fix::DropIn { .. }) => format!(
                "{bypass}: set `containerd.fixLocalPull: true` in the EnforcementConfig, or change it"
            ),
            Some(Fix::Remove(what)) => format!("{bypass}: {what}"),
            None => bypass.to_string(),
        })
        .collect();
    lines.join("; ")
}

/// Why a folder that the command line names is not the one whose verifiers are run.
fn chosen_is_run(
    chosen: &VerifierPlace,
    bin_dir: &str,
    root: &str,
    enforcement: &Enforcement,
) -> Option<String> {
    let dir = chosen.bin_dir();
    if bin_dir.trim_end_matches('/') != dir {
        return Some(format!(
            "{root} does not point at {dir}, so containerd does not run the verifier there: set \
             `bin_dir = \"{dir}\"` in [plugins.'io.containerd.image-verifier.v1.bindir'] and \
             restart containerd, or leave --bin-dir out"
        ));
    }
    match enforcement {
        Enforcement::Full => None,
        Enforcement::None { .. } => Some(why_not(enforcement, true)),
    }
}

/// Where the verifier was put before, by the paths of the files that the agent wrote.
pub(super) fn installed<'a>(
    verifiers: impl IntoIterator<Item = &'a str>,
    files: impl IntoIterator<Item = &'a str>,
) -> Option<Installed> {
    let own = format!("{VERIFIER_DIR}/{VERIFIER_NAME}");
    let mut configured = None;
    for path in verifiers {
        if path != own {
            let folder = path.strip_suffix(VERIFIER_NAME)?.trim_end_matches('/');
            let bin_dir = format!("/{folder}");
            configured = Some(Installed::Configured { bin_dir });
        }
    }
    let drop_in = files
        .into_iter()
        .find(|path| path.ends_with(super::DROP_IN_END))
        .map(|path| format!("/{path}"));
    match drop_in {
        Some(drop_in) => Some(Installed::Own { drop_in }),
        None => configured,
    }
}

#[cfg(test)]
mod tests;
