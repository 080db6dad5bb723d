use std::collections::BTreeMap;
use std::io;

use node_runtime::containerd::{Markers, Text, Version, recognise};

use super::*;

const ROOT: &str = "/etc/containerd/config.toml";
const DROP_IN: &str = "/etc/containerd/conf.d/zz-nodeseal.toml";
const IMPORTS: &str = "imports = ['/etc/containerd/conf.d/*.toml']\n";
const IMAGES: &str = "[plugins.'io.containerd.cri.v1.images']\n";
const VERIFIER: &str = "[plugins.'io.containerd.image-verifier.v1.bindir']\n";

/// A node's files, by absolute path.
struct Node(BTreeMap<String, String>);

impl Files for Node {
    fn read(&self, path: &str, _limit: usize) -> io::Result<Option<Text>> {
        Ok(self.0.get(path).map(|text| Text {
            bytes: text.clone().into_bytes(),
            modified: None,
        }))
    }

    fn list(&self, dir: &str) -> io::Result<Option<Vec<String>>> {
        let start = format!("{dir}/");
        let names: Vec<String> = self
            .0
            .keys()
            .filter_map(|path| path.strip_prefix(&start))
            .filter(|name| !name.contains('/'))
            .map(str::to_owned)
            .collect();
        Ok((!names.is_empty()).then_some(names))
    }
}

impl Markers for Node {
    fn exists(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }
}

fn node(root: &str, more: &[(&str, &str)]) -> Node {
    let root = (ROOT.to_owned(), format!("version = 3\n{root}"));
    let more = more
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    Node(more.chain([root]).collect())
}

struct Ask<'a> {
    version: (u32, u32),
    before: Option<Installed>,
    chosen: Option<&'a str>,
    fix: bool,
}

const PLAIN: Ask<'_> = Ask {
    version: (2, 2),
    before: None,
    chosen: None,
    fix: false,
};

fn asked(node: &Node, ask: &Ask<'_>) -> Decision {
    let layout = recognise(&[], ROOT, None, node);
    let chosen = ask.chosen.map(|dir| VerifierPlace::in_folder(dir).unwrap());
    let known = Known {
        version: Some(Version::new(ask.version.0, ask.version.1, 1)),
        layout: &layout,
        before: ask.before.as_ref(),
        chosen: chosen.as_ref(),
        fix_local_pull: ask.fix,
    };
    decide(node, known).unwrap()
}

fn paths(decision: &Decision) -> Vec<&str> {
    decision
        .edits
        .iter()
        .map(|edit| edit.path.as_str())
        .collect()
}

#[test]
fn where_pulls_go_through_a_folder_the_verifier_goes_there_and_nothing_else_changes() {
    let decision = asked(&node("", &[]), &PLAIN);
    assert_eq!(
        decision.place.bin_dir(),
        "/opt/containerd/image-verifier/bin"
    );
    assert_eq!(paths(&decision), [""; 0]);
    assert_eq!(decision.not_enforcing, None);
}

#[test]
fn what_a_drop_in_mends_is_mended_with_the_import_it_needs() {
    let off = format!("{VERIFIER}max_verifiers = 0\n");
    let decision = asked(&node(&off, &[]), &PLAIN);
    assert_eq!(paths(&decision), [ROOT, DROP_IN]);
    assert_eq!(decision.place, VerifierPlace::default());
    assert_eq!(decision.not_enforcing, None);
    let imported = asked(&node(&format!("{IMPORTS}{off}"), &[]), &PLAIN);
    assert_eq!(paths(&imported), [DROP_IN]);
}

#[test]
fn local_pulls_are_turned_off_only_when_asked() {
    let local = format!("{IMPORTS}{IMAGES}use_local_image_pull = true\n");
    let decision = asked(&node(&local, &[]), &PLAIN);
    assert_eq!(paths(&decision), [""; 0]);
    let why = decision.not_enforcing.unwrap();
    assert!(why.contains("/etc/containerd/config.toml:4"), "{why}");
    assert!(why.contains("fixLocalPull: true"), "{why}");
    let fixed = asked(&node(&local, &[]), &Ask { fix: true, ..PLAIN });
    assert_eq!(paths(&fixed), [DROP_IN]);
    assert!(fixed.edits[0].new.contains("use_local_image_pull = false"));
    assert!(fixed.through_transfer);
}

#[test]
fn a_configuration_that_no_drop_in_mends_is_left_alone() {
    let mirrors = format!(
        "{IMPORTS}[plugins.'io.containerd.cri.v1.images'.registry.mirrors.'a.example']\nendpoint = ['https://m']\n"
    );
    let decision = asked(&node(&mirrors, &[]), &Ask { fix: true, ..PLAIN });
    assert_eq!(paths(&decision), [""; 0]);
    assert!(decision.not_enforcing.unwrap().contains("registry.mirrors"));
}

#[test]
fn versions_that_call_no_verifier_get_no_configuration() {
    for version in [(1, 7), (2, 0)] {
        let decision = asked(&node("", &[]), &Ask { version, ..PLAIN });
        assert_eq!(paths(&decision), [""; 0], "{version:?}");
        assert!(decision.not_enforcing.is_some(), "{version:?}");
    }
}

#[test]
fn a_verifier_of_others_is_never_silenced() {
    let foreign = [("/opt/containerd/image-verifier/bin/theirs", "")];
    let decision = asked(&node(IMPORTS, &foreign), &PLAIN);
    assert_eq!(paths(&decision), [""; 0]);
    assert!(decision.not_enforcing.unwrap().contains("theirs"));
}

#[test]
fn what_was_decided_stays() {
    let off = format!("{IMPORTS}{VERIFIER}max_verifiers = 0\n");
    let first = asked(&node(&off, &[]), &PLAIN);
    let text = first.edits[0].new.clone();
    let before = Some(Installed::Own {
        drop_in: DROP_IN.to_owned(),
    });
    let ask = Ask { before, ..PLAIN };
    let again = asked(&node(&off, &[(DROP_IN, &text)]), &ask);
    assert_eq!(again.edits[0].new, text);
    assert_eq!(again.place, VerifierPlace::default());
}

#[test]
fn a_chosen_folder_must_be_the_one_that_is_run() {
    let ask = Ask {
        chosen: Some("/opt/verifiers/bin"),
        ..PLAIN
    };
    let decision = asked(&node("", &[]), &ask);
    let why = decision.not_enforcing.unwrap();
    assert!(why.contains("bin_dir = \"/opt/verifiers/bin\""), "{why}");
    let named = format!("{VERIFIER}bin_dir = '/opt/verifiers/bin/'\n");
    assert_eq!(asked(&node(&named, &[]), &ask).not_enforcing, None);
}

#[test]
fn where_the_verifier_was_is_told_by_the_record() {
    let own = "opt/nodeseal/image-verifier/nodeseal-verifier";
    let drop_in = "etc/containerd/conf.d/zz-nodeseal.toml";
    let other = "opt/x/bin/nodeseal-verifier";
    let of = |verifiers: &[&'static str], files: &[&'static str]| {
        installed(verifiers.iter().copied(), files.iter().copied())
    };
    assert_eq!(of(&[], &[]), None);
    assert_eq!(
        of(&[own], &[drop_in]),
        Some(Installed::Own {
            drop_in: DROP_IN.to_owned()
        })
    );
    // Its drop-in waits for a restart that is not allowed: nothing was decided for good.
    assert_eq!(of(&[own], &[]), None);
    assert_eq!(
        of(&[other], &[]),
        Some(Installed::Configured {
            bin_dir: "/opt/x/bin".to_owned()
        })
    );
}
