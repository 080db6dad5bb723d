//! Where the product's files live on a node. All paths are relative to the node's root.

/// The policy that the verifier reads at every pull.
pub const VERIFIER_POLICY: &str = "etc/nodeseal/verifier/policy.json";
/// The folder whose every entry containerd executes at a pull; it holds the verifier alone.
pub const VERIFIER_DIR: &str = "opt/nodeseal/image-verifier";
/// The verifier's file name inside its folder.
pub const VERIFIER_NAME: &str = "nodeseal-verifier";
/// Where a new verifier is written before it is renamed into its folder: the same file system,
/// but a folder that nobody executes.
pub const STAGING_DIR: &str = "opt/nodeseal/staging";
/// The containerd drop-in that points the runtime at the verifier's folder.
pub const CONTAINERD_DROP_IN: &str = "etc/containerd/conf.d/zz-nodeseal.toml";
/// CRI-O's policy file where its packages put it; a node may have set another.
pub const CRIO_POLICY: &str = "etc/crio/policy.json";
/// The folder of the files that replace it for one namespace each.
pub const CRIO_NAMESPACES: &str = "etc/crio/policies";
/// The agent's own state: last good bundle, journal, backups, status.
pub const STATE_DIR: &str = "var/lib/nodeseal";
