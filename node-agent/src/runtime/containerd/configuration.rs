//! What of containerd's configuration has to change, whether it may, and what goes again.

use node_runtime::containerd::{self as config, Edit};
use policy::bundle::Bundle;
use policy::digest::Digest;
use policy::paths::CONTAINERD_DROP_IN;
use policy::settings::Restart;

use super::decision::Decision;
use super::{Containerd, DROP_IN_END};
use crate::layout::relative;
use crate::plan::Target;
use crate::root::Root;
use crate::runtime::Node;
use crate::state::{Record, Role, State};
use crate::status::Report;
use crate::transaction::READ_LIMIT;

impl Containerd {
    /// Adds what of containerd's configuration has to change, if it may; otherwise what is there
    /// stays, and the status says what is pending. What was there before and drifted is put back
    /// either way. Whether it is as it should be on the disk.
    pub(super) fn configuration(
        &self,
        decision: &Decision,
        node: Node<'_>,
        bundle: &Bundle,
        report: &mut Report,
        targets: &mut Vec<Target>,
    ) -> bool {
        let never = bundle.settings().containerd.restart == Restart::Never;
        if node.reverting && never {
            // What containerd did not come back with goes, and nothing new comes in its place.
            return false;
        }
        let mut changes = Vec::new();
        let mut wanted = Vec::new();
        let mut put_back = Vec::new();
        for edit in &decision.edits {
            let Some(path) = relative(&edit.path) else {
                continue;
            };
            if was_in_force(edit, node.state.files.get(&path)) {
                put_back.push(target(edit, path));
                continue;
            }
            let there = node.root.read_following(&path, READ_LIMIT).ok().flatten();
            let there = there.map(|content| String::from_utf8_lossy(&content.bytes).into_owned());
            if there.as_ref() != Some(&edit.new) {
                let old = there.unwrap_or_default();
                changes.push(config::diff(&edit.path, &old, &edit.new));
            }
            wanted.push(target(edit, path));
        }
        let recorded = node.state.files.iter();
        let edited = recorded.filter(|(_, record)| record.role == Role::Edited);
        let keep: Vec<Target> = edited
            .map(|(path, _)| Target::Keep { path: path.clone() })
            .filter(|keep| {
                let mut others = wanted.iter().chain(&put_back);
                !others.any(|target| target.path() == keep.path())
            })
            .collect();
        let allow = "Set `containerd.restart: Allowed` in the EnforcementConfig, or change";
        let keeps_out = match (&self.process, &self.restartable) {
            (None, _) => None,
            _ if node.reverting => None,
            (Some(_), Err(why)) => Some(format!("The agent cannot do that ({why}): change")),
            (Some(_), Ok(())) => never.then(|| allow.to_owned()),
        };
        if let Some(why) = keeps_out.filter(|_| !changes.is_empty()) {
            report.pending = Some(pending(&why, &changes));
            targets.extend(as_they_are(&wanted, node.state));
            targets.extend(keep);
            targets.extend(put_back);
            return false;
        }
        if !wanted.is_empty() || !put_back.is_empty() {
            targets.extend(keep);
            targets.extend(put_back);
            targets.extend(wanted);
        } else if node.state.files.contains_key(CONTAINERD_DROP_IN)
            && decision.not_enforcing.is_some()
            && !node.reverting
        {
            // What works is not taken away before what takes its place works.
            targets.extend(keep);
            let path = CONTAINERD_DROP_IN.to_owned();
            targets.push(Target::Keep { path });
        }
        true
    }
}

/// What takes containerd's configuration back where others have changed it since: our import goes,
/// everything else stays.
pub(in crate::runtime) fn without_ours(root: &Root, state: &State) -> Vec<Target> {
    let of = |role: Role| {
        let files = state.files.iter();
        files.filter(move |(_, record)| record.role == role)
    };
    let Some((drop_in, _)) = of(Role::Config).find(|(path, _)| path.ends_with(DROP_IN_END)) else {
        return Vec::new();
    };
    let pattern = config::own_import(&format!("/{drop_in}"));
    of(Role::Edited)
        .filter_map(|(path, record)| {
            let content = root.read(path, READ_LIMIT).ok().flatten()?;
            let from = Digest::of(&content.bytes);
            if from == record.sha256 {
                return None;
            }
            let text = String::from_utf8(content.bytes).ok()?;
            let bytes = config::imports_removal(&text, &pattern).ok()??;
            let path = path.clone();
            Some(Target::Unedit {
                path,
                from,
                bytes: bytes.into_bytes(),
            })
        })
        .collect()
}

/// Whether an edit puts back what was brought there before, as anything else of ours that drifts: that
/// is no change, so it waits for nobody. Of the root file only the import is ours, and an edit of it
/// is needed just where that is gone.
fn was_in_force(edit: &Edit, record: Option<&Record>) -> bool {
    record.is_some_and(|record| {
        record.role == Role::Edited || record.sha256 == Digest::of(edit.new.as_bytes())
    })
}

fn target(edit: &Edit, path: String) -> Target {
    let bytes = edit.new.clone().into_bytes();
    if path.ends_with(DROP_IN_END) {
        let file = policy::files::File { bytes, mode: 0o644 };
        return Target::Write {
            path,
            file,
            own: true,
        };
    }
    let from = edit.old.as_ref().map(|old| Digest::of(old.as_bytes()));
    Target::Edit { path, from, bytes }
}

/// Of what is wanted and may not be written, what was written before stays.
fn as_they_are(wanted: &[Target], state: &State) -> Vec<Target> {
    let paths = wanted.iter().filter_map(Target::path);
    paths
        .filter(|path| state.files.contains_key(*path))
        .map(|path| Target::Keep {
            path: path.to_owned(),
        })
        .collect()
}

fn pending(what: &str, changes: &[String]) -> String {
    format!(
        "containerd's configuration has to change, and containerd has to be restarted for it. \
         {what} it as follows and restart containerd:\n{}",
        changes.concat()
    )
}
