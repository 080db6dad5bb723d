//! Faults around a real containerd, with pulls all the while.

mod configuration;
mod files;
mod processes;
mod scene;

use std::fs;

use self::configuration::{drop_in, others, past, rolled_back};
use self::files::{foreign, harmed};
use self::processes::{emergency, killed, no_socket, port, registry_gone, restarting, stopped};
use self::scene::{Opens, put};
use crate::run::Case;

/// What containerd looks into when nobody tells it another folder.
const BIN_DIR: &str = "opt/containerd/image-verifier/bin";
const VERIFIER: &str = "opt/containerd/image-verifier/bin/nodeseal-verifier";
/// The verifier in a folder of nodeseal's, which the drop-in names.
const OWN_VERIFIER: &str = "opt/nodeseal/image-verifier/nodeseal-verifier";
const POLICY: &str = "etc/nodeseal/verifier/policy.json";

#[allow(clippy::too_many_lines, reason = "it is a list")]
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "containerd: SIGSTOP, with a change meanwhile",
            "nothing rolled back, then new",
            stopped,
        ),
        Case::new(
            "containerd: SIGSTOP, and the emergency stop to an agent that starts",
            "everything off",
            emergency,
        ),
        Case::new(
            "containerd: SIGKILL, started again by another",
            "enforces",
            killed,
        ),
        Case::new(
            "containerd: its socket is removed",
            "told, then enforces",
            no_socket,
        ),
        Case::new(
            "containerd: the port of the proof is taken",
            "another port, enforces",
            port,
        ),
        Case::new(
            "containerd: the verifier is replaced by garbage",
            "put back, nothing pulled",
            || harmed(Opens::No, |host| put(host, VERIFIER, b"garbage", 0o755)),
        ),
        Case::new(
            "containerd: the verifier is replaced by one that accepts",
            "put back",
            || {
                harmed(Opens::Briefly, |host| {
                    put(host, VERIFIER, b"#!/bin/true\n", 0o755)
                })
            },
        ),
        Case::new(
            "containerd: the policy is removed",
            "put back, nothing pulled",
            || harmed(Opens::No, |host| Ok(fs::remove_file(host.path(POLICY))?)),
        ),
        Case::new(
            "containerd: the policy covers nothing any more",
            "put back",
            || {
                harmed(Opens::Briefly, |host| {
                    let text = host.read(POLICY).unwrap_or_default();
                    put(
                        host,
                        POLICY,
                        text.replace("\"127.0.0.1:", "\"127.0.0.2:").as_bytes(),
                        0o644,
                    )
                })
            },
        ),
        Case::new(
            "containerd: the folder of verifiers is removed",
            "put back",
            || {
                harmed(Opens::Briefly, |host| {
                    Ok(fs::remove_dir_all(host.path(BIN_DIR))?)
                })
            },
        ),
        Case::new(
            "containerd: a verifier of others refuses everything",
            "told, then enforces",
            foreign,
        ),
        Case::new(
            "containerd: the drop-in is removed",
            "put back without a restart",
            drop_in,
        ),
        Case::new(
            "containerd: started again while the drop-in was away",
            "put back, restarted",
            past,
        ),
        Case::new(
            "containerd: somebody else changes its configuration",
            "not restarted for it",
            || others("[debug]\nlevel = 'info'\n"),
        ),
        Case::new(
            "containerd: somebody else breaks its configuration",
            "not restarted into it",
            || others("[debug]\nlevel = 'deafening'\n"),
        ),
        Case::new(
            "containerd: it does not come up with a new bundle",
            "back to the last good one",
            rolled_back,
        )
        .slow(),
        Case::new(
            "containerd: the agent is killed in the middle of a restart",
            "enforces",
            restarting,
        ),
        Case::new(
            "containerd: the registry is gone, and comes back",
            "refused, then pulled",
            registry_gone,
        ),
    ]
}
