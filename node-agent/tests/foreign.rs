//! What is not nodeseal's: kept, or refused with a message, and never weakened or left.

mod common;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::process::Command;

use common::{DROP_IN, FOLDER, Node, POLICY, VERIFIER, policy, ran};

fn node() -> Node {
    let node = Node::new();
    node.policy_file("a.yaml", &policy("a", "a.example"));
    node
}

#[test]
fn a_file_of_others_is_kept_as_a_copy_replaced_and_told() {
    let node = node();
    node.put(POLICY, "theirs");
    std::fs::set_permissions(node.at(POLICY), std::fs::Permissions::from_mode(0o640)).unwrap();
    chown(node.at(POLICY), Some(1234), Some(567)).unwrap();
    let ran = node.once().expect_code(0);
    let told = ran.status["lastApplyNotes"][0].as_str().unwrap();
    assert!(
        told.contains("was not written by nodeseal and is replaced; its copy is"),
        "{told}"
    );
    let copy = told.rsplit(' ').next().unwrap();
    assert_eq!(std::fs::read(copy).unwrap(), b"theirs");
    let about = std::fs::read_to_string(format!("{copy}.json")).unwrap();
    let about: serde_json::Value = serde_json::from_str(&about).unwrap();
    assert_eq!(
        (&about["mode"], &about["uid"], &about["gid"]),
        (&"0640".into(), &1234.into(), &567.into())
    );
    assert!(node.read_text(POLICY).contains("a.example"));
    assert_eq!(
        std::fs::metadata(node.at(POLICY)).unwrap().uid(),
        rustix_uid()
    );
    // The status goes on naming the copy.
    let file = &node.once().expect_code(0).status["files"];
    let original = file
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["path"] == POLICY)
        .unwrap();
    assert!(copy.ends_with(original["original"].as_str().unwrap()));
}

fn rustix_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[test]
fn drift_is_put_back_and_told() {
    let node = node();
    node.once().expect_code(0);
    let before = node.read(POLICY);
    node.put(POLICY, "weaker");
    std::fs::remove_file(node.at(DROP_IN)).unwrap();
    std::fs::set_permissions(node.at(VERIFIER), std::fs::Permissions::from_mode(0o644)).unwrap();
    let ran = node.once().expect_code(0);
    assert_eq!(node.read(POLICY), before);
    assert!(node.read(DROP_IN).is_some());
    assert_eq!(node.mode(VERIFIER), 0o755);
    let notes = ran.text("lastApplyNotes");
    assert!(
        notes.contains("was changed by someone else and is put back"),
        "{notes}"
    );
    assert!(
        notes.contains("was removed or changed and is put back"),
        "{notes}"
    );
    // The whole folder as well.
    std::fs::remove_dir_all(node.at(FOLDER)).unwrap();
    node.once().expect_code(0);
    assert!(node.read(VERIFIER).is_some());
}

#[test]
fn a_link_at_a_managed_path_is_refused_by_name() {
    for path in [POLICY, DROP_IN, VERIFIER] {
        let node = node();
        std::fs::create_dir_all(node.at(path).parent().unwrap()).unwrap();
        let victim = node.dir().join("victim");
        std::fs::write(&victim, "whole").unwrap();
        symlink(&victim, node.at(path)).unwrap();
        let ran = node.once().expect_code(1);
        let (reason, message) = ran.applied();
        assert_eq!(reason, "ForeignOwner");
        let expected = format!(
            "{} is a symbolic link to {}; remove it",
            node.at(path).display(),
            victim.display()
        );
        assert!(message.contains(&expected), "{message}");
        assert_eq!(std::fs::read(&victim).unwrap(), b"whole");
        assert!(
            std::fs::symlink_metadata(node.at(path))
                .unwrap()
                .is_symlink()
        );
    }
}

#[test]
fn a_folder_at_a_managed_path_is_refused() {
    let node = node();
    std::fs::create_dir_all(node.at(POLICY)).unwrap();
    let ran = node.once().expect_code(1);
    assert_eq!(ran.applied().0, "ForeignOwner");
    assert!(
        ran.applied()
            .1
            .contains("is a directory, not a regular file"),
        "{}",
        ran.applied().1
    );
}

#[test]
fn a_link_that_takes_the_place_of_a_managed_file_is_put_back() {
    for path in [POLICY, DROP_IN, VERIFIER] {
        let node = node();
        node.once().expect_code(0);
        let before = node.read(path);
        let victim = node.dir().join("victim");
        std::fs::write(&victim, "lets everything pass").unwrap();
        std::fs::remove_file(node.at(path)).unwrap();
        symlink(&victim, node.at(path)).unwrap();
        let ran = node.once().expect_code(0);
        assert_eq!(node.read(path), before, "{path}");
        let meta = std::fs::symlink_metadata(node.at(path)).unwrap();
        assert!(meta.is_file(), "{path}");
        let notes = ran.text("lastApplyNotes");
        assert!(notes.contains("had become a symbolic link to"), "{notes}");
        assert_eq!(std::fs::read(&victim).unwrap(), b"lets everything pass");
    }
}

#[test]
fn the_verifiers_folder_must_be_a_folder_with_nothing_else_in_it() {
    let node = node();
    node.once().expect_code(0);
    let before = node.read(POLICY);
    node.put(&format!("{FOLDER}/other"), "#!/bin/sh");
    node.policy_file("a.yaml", &policy("a", "changed.example"));
    let ran = node.once().expect_code(1);
    let (reason, message) = ran.applied();
    assert_eq!(reason, "ForeignOwner");
    assert!(
        message.contains("also holds `other` (regular file)"),
        "{message}"
    );
    // Nobody else's file is removed, and everything else is kept as it should be.
    assert_ne!(node.read(POLICY), before);
    assert!(node.read_text(POLICY).contains("changed.example"));
    std::fs::remove_file(node.at(POLICY)).unwrap();
    node.once().expect_code(1);
    assert!(node.read_text(POLICY).contains("changed.example"));

    std::fs::remove_dir_all(node.at(FOLDER)).unwrap();
    symlink("/elsewhere", node.at(FOLDER)).unwrap();
    let ran = node.once().expect_code(1);
    assert!(
        ran.applied().1.contains("is a symbolic link to /elsewhere"),
        "{}",
        ran.applied().1
    );
}

#[test]
fn links_to_folders_stay_inside_the_root() {
    let node = node();
    // As on image-based systems.
    std::fs::create_dir_all(node.at("var/opt")).unwrap();
    symlink("/var/opt", node.at("opt")).unwrap();
    node.once().expect_code(0);
    assert!(
        node.read("var/opt/nodeseal/image-verifier/nodeseal-verifier")
            .is_some()
    );

    let outside = tempfile::tempdir().unwrap();
    std::fs::remove_dir_all(node.at("etc/nodeseal")).unwrap();
    symlink(outside.path(), node.at("etc/nodeseal")).unwrap();
    let ran = node.once().expect_code(1);
    let (reason, message) = ran.applied();
    assert_eq!(reason, "WriteFailed");
    assert!(
        message.contains("leads through a symbolic link"),
        "{message}"
    );
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_written_leaves_everything_as_it_was() {
    let node = node();
    node.once().expect_code(0);
    let before = node.read(POLICY);
    // No mode bits stop the superuser; a file in the place of a folder does.
    std::fs::remove_dir_all(node.at("etc/containerd/conf.d")).unwrap();
    node.put("etc/containerd/conf.d", "a file");
    node.policy_file("a.yaml", &policy("a", "changed.example"));
    let ran = node.once().expect_code(1);
    let (reason, message) = ran.applied();
    assert_eq!(reason, "WriteFailed");
    assert!(message.contains("etc/containerd/conf.d"), "{message}");
    assert!(message.contains("Not a directory"), "{message}");
    assert_eq!(node.read(POLICY), before);
    assert_eq!(ran.condition("Ready")["status"], "False");
    assert_eq!(node.leftovers(), [""; 0]);
    // And goes on as soon as it can be.
    std::fs::remove_file(node.at("etc/containerd/conf.d")).unwrap();
    node.once().expect_code(0);
    assert!(node.read_text(POLICY).contains("changed.example"));
}

#[test]
fn a_read_only_file_system_is_named_with_the_path() {
    let node = node();
    node.once().expect_code(0);
    let before = node.read(POLICY);
    node.policy_file("a.yaml", &policy("a", "changed.example"));
    let etc = node.at("etc/nodeseal");
    let script = format!(
        "mount --bind {etc} {etc} && mount -o remount,bind,ro {etc} && exec \"$@\"",
        etc = etc.display()
    );
    let agent = node.agent();
    let mut command = Command::new("unshare");
    command.args([
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        &script,
        "sh",
    ]);
    command
        .arg(agent.get_program())
        .args(agent.get_args())
        .args(["--once", "--output", "json"]);
    let ran = ran(&mut command);
    if ran.status.is_null() {
        assert!(
            std::env::var_os("CI").is_none(),
            "mount namespaces are needed to test a read-only file system: {}",
            ran.stderr
        );
        eprintln!("skipped: no mount namespace here: {}", ran.stderr);
        return;
    }
    let ran = ran.expect_code(1);
    let (reason, message) = ran.applied();
    assert_eq!(reason, "WriteFailed");
    assert!(
        message.contains("etc/nodeseal/verifier/.policy.json.nodeseal-tmp"),
        "{message}"
    );
    assert!(message.contains("Read-only file system"), "{message}");
    assert_eq!(node.read(POLICY), before);
}
