//! What stood on the node before nodeseal: the layer that every file of ours builds on.

use policy::crio::document::{PolicyJson, PolicyJsonError, Rule, Rules, StrictMap};
use policy::crio::registries_conf::SourceError;

use crate::check::POLICY_LIMIT;
use crate::root::FileError;
use crate::runtime::Node;
use crate::{backup, layout};

/// What containers/image reads where nothing names another file.
pub(super) const SYSTEM_POLICY: &str = "etc/containers/policy.json";

/// Why there is nothing to build on. What is on the node stays in force.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The node's own file is not one that CRI-O would take.
    #[error(
        "the node's own {path} is not valid, and CRI-O refuses every pull with it: {source}. Mend \
         that file"
    )]
    Invalid {
        /// The file, or the copy of it.
        path: String,
        /// What is wrong.
        source: PolicyJsonError,
    },
    /// registries.conf or a drop-in is not one that CRI-O would take.
    #[error(
        "the node's registries.conf is not valid, and CRI-O refuses every pull once it reads it: \
         {0}. Mend that file; until then everything stays as it is, because it is not known where \
         signatures have to be looked up"
    )]
    Registries(#[from] SourceError),
    /// The copy of the node's own file is gone.
    #[error(
        "the node's own {path} was kept in {copy}, which is lost or damaged, so nothing new can \
         be built on it: put that copy back, or put the distribution's file at {path} and remove \
         {record}"
    )]
    Lost {
        /// The file.
        path: String,
        /// Its copy.
        copy: String,
        /// The record that says so.
        record: String,
    },
}

/// The node's own policy.json at `path`: the file as it is, or what was there before nodeseal.
pub(super) fn of_policy(
    node: Node<'_>,
    path: &str,
    warnings: &mut Vec<String>,
) -> Result<PolicyJson, BaseError> {
    if let Some(base) = before(node, path)? {
        return Ok(base);
    }
    // Never looser than what may have been in force: without this file it is the system's.
    if let Some(content) = node.root.read_following(SYSTEM_POLICY, POLICY_LIMIT)? {
        warnings.push(format!(
            "/{path} was not there before nodeseal: it builds on /{SYSTEM_POLICY}"
        ));
        return parse(node.root.show(SYSTEM_POLICY), &content.bytes);
    }
    warnings.push(format!(
        "/{path} was not there before nodeseal, and neither is /{SYSTEM_POLICY}: what no policy \
         covers is accepted"
    ));
    Ok(PolicyJson {
        default: Rules::one(Rule::InsecureAcceptAnything {}),
        transports: StrictMap::default(),
    })
}

/// The file at `path` before nodeseal, if there was one.
pub(super) fn before(node: Node<'_>, path: &str) -> Result<Option<PolicyJson>, BaseError> {
    let at = match node.state.files.get(path) {
        None => path,
        Some(record) => match &record.original {
            None => return Ok(None),
            Some(copy) if backup::original(node.root, copy)?.is_some() => copy,
            Some(copy) => {
                return Err(BaseError::Lost {
                    path: node.root.show(path),
                    copy: node.root.show(copy),
                    record: node.root.show(layout::STATE),
                });
            }
        },
    };
    let content = node.root.read(at, POLICY_LIMIT)?;
    content
        .map(|content| parse(node.root.show(at), &content.bytes))
        .transpose()
}

fn parse(path: String, bytes: &[u8]) -> Result<PolicyJson, BaseError> {
    PolicyJson::parse(bytes).map_err(|source| BaseError::Invalid { path, source })
}
