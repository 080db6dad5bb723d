//! Nodes as they are found, each with something that is easily lost.

use std::os::unix::fs::{PermissionsExt, chown, symlink};

use rustix::fs::XattrFlags;

use super::common::{
    CRIO_POLICY, DROP_IN, NAMESPACES, Node, POLICY, REGISTRIES, SHIPPED, VERIFIER, config,
    namespaced, policy,
};

/// A namespace's file that was there before.
pub(crate) const TEAM: &str = "etc/crio/policies/team.json";
pub(crate) const THEIRS: &str = "{ \"default\":[{\"type\":\"reject\"}] }\n\n";
/// No `imports`, and comments where they get lost.
pub(crate) const COMMENTED: &str = "# The node's own. Keep!
version = 3 # not 2

  # of the root
root = '/var/lib/containerd'

[plugins.'io.containerd.image-verifier.v1.bindir']
max_verifiers = 0 # off
[grpc]
\taddress = '/run/containerd/containerd.sock' # tab\n\n\n";
/// Pulls go through the configured folder already.
const CONFIGURED: &str = "version = 3
[plugins.'io.containerd.image-verifier.v1.bindir']
bin_dir = '/opt/containerd/image-verifier/bin'
max_verifiers = 10
";

/// In containerd's own default folder.
const CONFIGURED_VERIFIER: &str = "opt/containerd/image-verifier/bin/nodeseal-verifier";

/// The same where /opt is a link to /var/opt.
const LINKED_VERIFIER: &str = "var/opt/containerd/image-verifier/bin/nodeseal-verifier";

/// How a node is found.
pub(crate) struct Layout {
    pub(crate) name: &'static str,
    /// What the agent writes there.
    pub(crate) written: &'static [&'static str],
    /// Of these, what others may change without its being put back.
    pub(crate) edited: &'static [&'static str],
    make: fn() -> Node,
}

impl Layout {
    pub(crate) fn node(&self) -> Node {
        let node = (self.make)();
        // As on every node.
        std::fs::create_dir_all(node.at("var/lib")).unwrap();
        node
    }

    pub(crate) fn policies(&self, node: &Node) {
        node.policy_file("a.yaml", &policy("a", "a.example:5000"));
        node.policy_file("config.yaml", &config("Allow"));
        if self.written.contains(&TEAM) {
            for name in ["team", "more"] {
                let text = namespaced(name, "t", "t.example:5000");
                node.policy_file(&format!("{name}.yaml"), &text);
            }
        }
    }
}

pub(crate) const LAYOUTS: [Layout; 5] = [
    Layout {
        name: "containerd with a configured folder",
        written: &[POLICY, CONFIGURED_VERIFIER],
        edited: &[],
        make: configured,
    },
    Layout {
        name: "containerd with a folder of its own",
        written: &[POLICY, VERIFIER, DROP_IN],
        edited: &[],
        make: Node::new,
    },
    Layout {
        name: "containerd with imports to add",
        written: &[POLICY, VERIFIER, DROP_IN, "etc/containerd/config.toml"],
        edited: &["etc/containerd/config.toml"],
        make: imports,
    },
    Layout {
        name: "containerd without a configuration, and /opt a link",
        written: &[POLICY, LINKED_VERIFIER],
        edited: &[],
        make: bare,
    },
    Layout {
        name: "CRI-O",
        written: &[CRIO_POLICY, REGISTRIES, TEAM, "etc/crio/policies/more.json"],
        edited: &[],
        make: crio,
    },
];

pub(crate) fn named(name: &str) -> &'static Layout {
    static ALL: [Layout; 5] = LAYOUTS;
    ALL.iter().find(|layout| layout.name == name).unwrap()
}

fn configured() -> Node {
    let node = Node::new();
    node.put("etc/containerd/config.toml", CONFIGURED);
    std::fs::create_dir_all(node.at("opt/containerd")).unwrap();
    node
}

fn imports() -> Node {
    let node = Node::new();
    let path = "etc/containerd/config.toml";
    node.put(path, COMMENTED);
    belongs_to(&node, path, 0o640, (0, 27));
    attribute(&node, path, "user.note", b"theirs");
    attribute(
        &node,
        path,
        "security.selinux",
        b"system_u:object_r:container_config_t:s0\0",
    );
    node
}

/// An image-based system, on which /opt is a link, and nothing is configured.
fn bare() -> Node {
    let node = Node::new();
    std::fs::remove_dir_all(node.at("etc/containerd")).unwrap();
    std::fs::create_dir_all(node.at("var/opt")).unwrap();
    symlink("/var/opt", node.at("opt")).unwrap();
    std::fs::create_dir_all(node.at("etc/empty")).unwrap();
    node
}

fn crio() -> Node {
    let node = Node::crio();
    node.put(CRIO_POLICY, SHIPPED);
    belongs_to(&node, CRIO_POLICY, 0o640, (1234, 567));
    attribute(
        &node,
        CRIO_POLICY,
        "security.selinux",
        b"system_u:object_r:container_config_t:s0\0",
    );
    attribute(&node, CRIO_POLICY, "user.note", b"theirs");
    attribute(&node, CRIO_POLICY, "security.capability", &CAPABILITY);
    node.put(TEAM, THEIRS);
    belongs_to(&node, TEAM, 0o600, (1, 1));
    attribute(&node, TEAM, "system.posix_acl_access", &access_list());
    std::fs::set_permissions(node.at(NAMESPACES), PermissionsExt::from_mode(0o2750)).unwrap();
    node
}

/// `cap_net_admin` in format 2; it makes no sense on this file, and is not nodeseal's to remove.
const CAPABILITY: [u8; 20] = [
    1, 0, 0, 2, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// As acl(5): one more user may read.
fn access_list() -> Vec<u8> {
    let entries = [
        (1, 6, u32::MAX),
        (2, 4, 1000),
        (4, 4, u32::MAX),
        (16, 4, u32::MAX),
        (32, 0, u32::MAX),
    ];
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(u16::to_le_bytes(tag));
        bytes.extend(u16::to_le_bytes(permissions));
        bytes.extend(u32::to_le_bytes(id));
    }
    bytes
}

fn belongs_to(node: &Node, path: &str, mode: u32, (uid, gid): (u32, u32)) {
    std::fs::set_permissions(node.at(path), PermissionsExt::from_mode(mode)).unwrap();
    chown(node.at(path), Some(uid), Some(gid)).unwrap();
}

/// Where this cannot be done nothing would be shown: it takes root, and a file system with
/// attributes.
fn attribute(node: &Node, path: &str, name: &str, value: &[u8]) {
    rustix::fs::setxattr(node.at(path), name, value, XattrFlags::empty())
        .unwrap_or_else(|errno| panic!("{path} has no {name}: {errno}"));
}
