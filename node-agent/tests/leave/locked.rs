//! What chattr(1) keeps from being changed, labels of `SELinux`, and a full disk.

use std::fs::File;
use std::path::Path;

use rustix::fs::{IFlags, XattrFlags, ioctl_setflags};

use super::common::{CRIO_POLICY, NAMESPACES, Node, POLICY, REGISTRIES, VERIFIER, policy};
use super::tree::{assert_same, tree};

/// A flag on a file or folder, until it is dropped.
struct Flagged(File);

impl Flagged {
    fn new(path: &Path, flags: IFlags) -> Self {
        let file = File::open(path).unwrap();
        ioctl_setflags(&file, flags).unwrap_or_else(|errno| {
            panic!("no {flags:?} on {}: {errno}; it takes root", path.display())
        });
        Self(file)
    }
}

impl Drop for Flagged {
    fn drop(&mut self) {
        let _ = ioctl_setflags(&self.0, IFlags::empty());
    }
}

fn outside_state(node: &Node) -> super::tree::Tree {
    let mut tree = tree(&node.root());
    tree.retain(|path, _| !path.starts_with("var"));
    tree
}

#[test]
fn an_immutable_file_or_folder_stops_everything_before_it_begins() {
    for (at, told) in [
        (CRIO_POLICY, "is immutable (chattr +i)"),
        ("etc/containers/registries.d", "is immutable (chattr +i)"),
    ] {
        let node = Node::crio();
        node.policy_file("a.yaml", &policy("a", "a.example:5000"));
        let before = outside_state(&node);
        let flagged = Flagged::new(&node.at(at), IFlags::IMMUTABLE);
        let ran = node.once().expect_code(1);
        let (reason, message) = ran.applied();
        assert_eq!(reason, "ForeignOwner");
        let shown = node.at(at).display().to_string();
        assert!(
            message.contains(&format!("{shown} {told}: remove the flag")),
            "{message}"
        );
        assert_same(&outside_state(&node), &before, at);
        drop(flagged);
        node.once().expect_code(0);
        assert!(node.read(REGISTRIES).is_some());
    }
}

#[test]
fn an_append_only_file_is_told_when_it_is_to_be_given_back() {
    let node = Node::crio();
    node.policy_file("a.yaml", &policy("a", "a.example:5000"));
    node.once().expect_code(0);
    let flagged = Flagged::new(&node.at(CRIO_POLICY), IFlags::APPEND);
    let before = outside_state(&node);
    let (code, text) = super::uninstall(&node);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("is append-only (chattr +a)"), "{text}");
    assert_same(&outside_state(&node), &before, "append-only");
    drop(flagged);
    let (code, text) = super::uninstall(&node);
    assert_eq!(code, Some(0), "{text}");
    assert!(!node.at("var/lib/nodeseal").exists());
}

fn set_label(path: &Path, label: &str) {
    let value = format!("system_u:object_r:{label}:s0\0");
    let name = "security.selinux";
    rustix::fs::setxattr(path, name, value.as_bytes(), XattrFlags::empty())
        .unwrap_or_else(|errno| panic!("{} has no labels: {errno}", path.display()));
}

fn label(path: &Path) -> Option<String> {
    let mut buffer = vec![0; 256];
    let length = rustix::fs::getxattr(path, "security.selinux", buffer.as_mut_slice()).ok()?;
    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
    text.split(':').nth(2).map(str::to_owned)
}

#[test]
fn what_takes_the_place_of_a_file_has_its_label_and_no_more_of_it() {
    let node = Node::crio();
    node.policy_file("a.yaml", &policy("a", "a.example:5000"));
    set_label(&node.at(CRIO_POLICY), "container_config_t");
    let is_noted = |node: &Node| {
        let mut buffer = [0; 16];
        rustix::fs::getxattr(node.at(CRIO_POLICY), "user.note", &mut buffer[..]).is_ok()
    };
    let path = node.at(CRIO_POLICY);
    rustix::fs::setxattr(&path, "user.note", b"x", XattrFlags::empty()).unwrap();
    for scope in ["a.example:5000", "b.example:5000"] {
        node.policy_file("a.yaml", &policy("a", scope));
        node.once().expect_code(0);
        assert!(node.read_text(CRIO_POLICY).contains(scope));
        assert_eq!(label(&path).as_deref(), Some("container_config_t"));
        assert!(!is_noted(&node));
    }
    // Somebody relabels it: no drift, and theirs comes back as it was.
    set_label(&path, "etc_t");
    let before = node.files();
    node.once().expect_code(0);
    assert!(before == node.files(), "a label alone was taken for drift");
    let (code, text) = super::uninstall(&node);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(label(&path).as_deref(), Some("container_config_t"));
    assert!(is_noted(&node));
}

#[test]
fn a_verifier_has_the_label_of_its_folder_and_not_that_of_staging() {
    let node = Node::new();
    node.policy_file("a.yaml", &policy("a", "a.example"));
    std::fs::create_dir_all(node.at("opt/nodeseal/staging")).unwrap();
    set_label(&node.at("opt/nodeseal"), "container_runtime_exec_t");
    set_label(&node.at("opt/nodeseal/staging"), "tmp_t");
    node.once().expect_code(0);
    let labels = || {
        let of = |path: &str| label(&node.at(path));
        (of("opt/nodeseal/image-verifier"), of(VERIFIER))
    };
    let installed = Some("container_runtime_exec_t".to_owned());
    assert_eq!(labels(), (installed.clone(), installed.clone()));
    // Into a folder that is there, and over a verifier that is.
    let folder = node.at("opt/nodeseal/image-verifier");
    set_label(&folder, "bin_t");
    std::fs::remove_file(node.at(VERIFIER)).unwrap();
    node.once().expect_code(0);
    assert_eq!(
        labels(),
        (Some("bin_t".to_owned()), Some("bin_t".to_owned()))
    );
    set_label(&node.at(VERIFIER), "usr_t");
    node.verifier_to_install(b"#!/bin/sh\nexit 1\n");
    node.once().expect_code(0);
    assert_eq!(
        labels(),
        (Some("bin_t".to_owned()), Some("usr_t".to_owned()))
    );
    // Where there are no labels none is made up.
    assert_eq!(label(&node.at(POLICY)), None);
}

#[test]
fn modes_of_folders_do_not_hang_on_the_umask() {
    let node = Node::crio();
    let team = super::common::namespaced("team", "t", "t.example:5000");
    node.policy_file("team.yaml", &team);
    let mut command = std::process::Command::new("sh");
    let agent = node.agent();
    command.args(["-c", "umask 077; exec \"$0\" \"$@\""]);
    command.arg(agent.get_program()).args(agent.get_args());
    let status = command
        .arg("--once")
        .stdout(std::process::Stdio::null())
        .status();
    assert!(status.unwrap().success());
    assert_eq!(node.mode(NAMESPACES), 0o755);
    assert_eq!(node.mode("var/lib/nodeseal"), 0o700);
}

/// The agent on a root that is a file system of its own, of half a MiB, in its own mount namespace: so
/// nothing stays mounted, whatever happens here. Its status, and what is on the disk then.
fn on_a_small_disk(node: &Node, before: &str) -> (serde_json::Value, String) {
    let agent = node.agent();
    let script = format!(
        "set -e; mount -t tmpfs -o size=512k,nr_inodes=100 tmpfs \"$ROOT\"
         mkdir -p \"$ROOT/etc/containerd\" \"$ROOT/var/lib\"
         cp \"$CONFIG\" \"$ROOT/etc/containerd/config.toml\"
         {before}
         set +e; \"$0\" \"$@\" --once --output json; echo; echo ---; find \"$ROOT\""
    );
    let output = std::process::Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", &script])
        .arg(agent.get_program())
        .args(agent.get_args())
        .env("ROOT", node.root())
        .env("CONFIG", node.dir().join("config.toml"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let (status, files) = text
        .split_once("---\n")
        .unwrap_or_else(|| panic!("{text}{told}"));
    (serde_json::from_str(status).unwrap(), files.to_owned())
}

#[test]
fn a_disk_without_room_is_told_before_anything_is_written() {
    let node = Node::new();
    std::fs::write(node.dir().join("config.toml"), super::common::CONTAINERD).unwrap();
    node.policy_file("a.yaml", &policy("a", "a.example"));
    let mut verifier = b"#!/bin/sh\nexit 0\n#".to_vec();
    verifier.resize(4 << 20, b'x');
    node.verifier_to_install(&verifier);
    let no_inodes = "i=0; while touch \"$ROOT/$i\" 2>/dev/null; do i=$((i+1)); done; \
                     rm \"$ROOT/1\" \"$ROOT/2\" \"$ROOT/3\" \"$ROOT/4\" \"$ROOT/5\" \"$ROOT/6\"";
    for (before, size, told) in [
        ("", 4 << 20, "bytes free, and 4"),
        (no_inodes, 64, "inodes free, and"),
    ] {
        node.verifier_to_install(&verifier[..size]);
        let (status, files) = on_a_small_disk(&node, before);
        let conditions = status["conditions"].as_array().unwrap();
        let applied = conditions
            .iter()
            .find(|is| is["type"] == "Applied")
            .unwrap();
        assert_eq!(applied["reason"], "WriteFailed", "{applied}");
        let message = applied["message"].as_str().unwrap();
        assert!(message.contains(told), "{message}");
        assert!(
            message.contains(&format!("cannot write {}", node.root().display())),
            "{message}"
        );
        assert!(
            !files.contains("nodeseal-tmp") && !files.contains("etc/nodeseal"),
            "{files}"
        );
        assert!(!files.contains("nodeseal-verifier"), "{files}");
    }
}
