//! What is put back while the node waits for images: files of the bundle that is in force.

use std::collections::BTreeSet;

use node_runtime::probe;
use policy::crio::render::{CrioFacts, REGISTRIES_D_FILE};
use policy::digest::Digest;
use policy::files::File;
use policy::scope::Scope;

use super::{CRIO_DROP_IN, drop_in, rendered, stays};
use crate::layout;
use crate::ledger::Ledger;
use crate::plan::Target;
use crate::runtime::Node;
use crate::transaction::READ_LIMIT;

/// The files that the agent wrote for the bundle in force, to the byte: nothing here changes a
/// decision. What cannot be made again as it was is left as it is.
pub(super) fn in_force(node: Node<'_>, exempt: &BTreeSet<Scope>, facts: &CrioFacts) -> Vec<Target> {
    let mut files = bundle_files(node, exempt, facts).unwrap_or_default();
    let policy = &facts.policy_path;
    let drop_in = File {
        bytes: drop_in(policy).into_bytes(),
        mode: 0o644,
    };
    files.push((CRIO_DROP_IN.to_owned(), drop_in));
    files.extend(stays::stand_in(node.root).map(|file| (policy.clone(), file)));
    files
        .into_iter()
        .filter(|(path, file)| {
            let is_ours = node.state.wrote(path, &Digest::of(&file.bytes));
            is_ours && path != REGISTRIES_D_FILE
        })
        .map(|(path, file)| Target::Write {
            own: path == CRIO_DROP_IN,
            path,
            file,
        })
        .collect()
}

fn bundle_files(
    node: Node<'_>,
    exempt: &BTreeSet<Scope>,
    facts: &CrioFacts,
) -> Option<Vec<(String, File)>> {
    let kept = node.root.read(layout::BUNDLE, READ_LIMIT).ok()??;
    let bundle = Ledger::from_json(&kept.bytes).ok()?.bundle;
    let proves = bundle.settings().probe_interval.seconds().is_some();
    let identity = node.probe.filter(|_| proves).map(|(identity, _)| identity);
    let scopes = identity.and_then(|of| probe::scopes(of.port, &bundle.digest()).ok());
    let node = Node {
        probe: identity.zip(scopes.as_ref()),
        ..node
    };
    let mut of_node = node.probe_facts();
    of_node.exempt.extend(exempt.iter().cloned());
    let rendered = rendered(node, &bundle, &of_node, facts).ok()?;
    Some(rendered.files(facts).into_iter().collect())
}
