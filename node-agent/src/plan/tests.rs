use std::collections::BTreeMap;

use policy::paths::{CONTAINERD_DROP_IN, STATE_DIR, VERIFIER_DIR};

use super::*;
use crate::root::EntryKind;

const BINARY: &str = "opt/nodeseal/image-verifier/nodeseal-verifier";

fn seen(bytes: &[u8], mode: u32) -> Seen {
    Seen {
        sha256: Digest::of(bytes),
        mode,
        uid: 0,
        gid: 0,
    }
}

fn wanted(bytes: &[u8]) -> Wanted {
    Wanted {
        sha256: Digest::of(bytes),
        mode: 0o644,
    }
}

fn desired(policy: &[u8], drop_in: Option<&[u8]>, verifier: &[u8]) -> Desired {
    let mut files = BTreeMap::from([(VERIFIER_POLICY.to_owned(), wanted(policy))]);
    if let Some(drop_in) = drop_in {
        files.insert(CONTAINERD_DROP_IN.to_owned(), wanted(drop_in));
    }
    Desired {
        place: VerifierPlace::default(),
        verifier: Digest::of(verifier),
        files,
        bundle: b"bundle".to_vec(),
        uid: 0,
    }
}

/// The node after `desired` was applied.
fn applied(desired: &Desired, state: &State) -> (Current, State) {
    let plan = plan(&Current::default(), state, desired).unwrap();
    let mut current = Current {
        verifier_folder: Some(vec![(VERIFIER_NAME.to_owned(), EntryKind::File)]),
        ..Current::default()
    };
    for step in &plan.steps {
        let (Change::File { sha256, mode, .. } | Change::Folder { sha256, mode, .. }) =
            &step.change
        else {
            continue;
        };
        let seen = Seen {
            sha256: sha256.clone(),
            mode: *mode,
            uid: 0,
            gid: 0,
        };
        current.files.insert(step.path.clone(), seen);
    }
    (current, State::from_json(&plan.state).unwrap())
}

fn paths(plan: &Plan) -> Vec<&str> {
    plan.steps.iter().map(|step| step.path.as_str()).collect()
}

#[test]
fn the_first_installation_puts_the_policy_before_the_verifier_and_the_drop_in_last() {
    let desired = desired(b"policy", Some(b"drop-in"), b"v1");
    let plan = plan(&Current::default(), &State::default(), &desired).unwrap();
    let order = [
        VERIFIER_POLICY,
        BINARY,
        CONTAINERD_DROP_IN,
        layout::BUNDLE,
        layout::STATE,
    ];
    assert_eq!(paths(&plan), order);
    assert!(
        matches!(&plan.steps[1].change, Change::Folder { folder, .. } if folder == VERIFIER_DIR)
    );
    assert!(plan.notes.is_empty());
}

#[test]
fn an_upgrade_puts_the_verifier_before_the_policy() {
    let (current, state) = applied(&desired(b"old", Some(b"drop-in"), b"v1"), &State::default());
    let plan = plan(&current, &state, &desired(b"new", Some(b"drop-in"), b"v2")).unwrap();
    assert_eq!(paths(&plan), [BINARY, VERIFIER_POLICY, layout::STATE]);
    let staging = "opt/nodeseal/staging/.nodeseal-verifier.nodeseal-tmp";
    assert!(matches!(&plan.steps[0].change, Change::File { staged, .. } if staged == staging));
    assert!(
        plan.steps
            .iter()
            .all(|step| step.before.as_ref().is_some_and(|b| !b.lasting))
    );
}

#[test]
fn nothing_to_change_is_no_step() {
    let desired = desired(b"policy", Some(b"drop-in"), b"v1");
    let (current, state) = applied(&desired, &State::default());
    let plan = plan(&current, &state, &desired).unwrap();
    assert!(plan.steps.is_empty(), "{:?}", plan.steps);
    assert!(plan.notes.is_empty());
}

#[test]
fn a_file_of_others_is_kept_as_a_copy_and_reported() {
    let mut current = Current::default();
    current
        .files
        .insert(VERIFIER_POLICY.to_owned(), seen(b"theirs", 0o640));
    let plan = plan(&current, &State::default(), &desired(b"ours", None, b"v1")).unwrap();
    let [Note::Foreign { path, copy }] = plan.notes.as_slice() else {
        panic!("{:?}", plan.notes)
    };
    assert_eq!(path, VERIFIER_POLICY);
    assert!(copy.starts_with(&format!(
        "{STATE_DIR}/backup/etc+nodeseal+verifier+policy.json."
    )));
    let step = plan
        .steps
        .iter()
        .find(|step| step.path == VERIFIER_POLICY)
        .unwrap();
    let before = step.before.as_ref().unwrap();
    assert!(before.lasting && before.mode == 0o640);
    let state = State::from_json(&plan.state).unwrap();
    assert_eq!(state.files[VERIFIER_POLICY].original.as_ref(), Some(copy));
}

#[test]
fn a_file_that_already_is_what_we_want_is_adopted_without_a_write() {
    let mut current = Current::default();
    current
        .files
        .insert(VERIFIER_POLICY.to_owned(), seen(b"same", 0o644));
    let plan = plan(&current, &State::default(), &desired(b"same", None, b"v1")).unwrap();
    assert!(!paths(&plan).contains(&VERIFIER_POLICY));
    assert!(plan.notes.is_empty());
}

#[test]
fn drift_is_put_back_and_reported() {
    let desired = desired(b"policy", Some(b"drop-in"), b"v1");
    let (good, state) = applied(&desired, &State::default());

    let mut current = good.clone();
    current
        .files
        .insert(VERIFIER_POLICY.to_owned(), seen(b"weaker", 0o644));
    let changed = plan(&current, &state, &desired).unwrap();
    assert_eq!(paths(&changed), [VERIFIER_POLICY]);
    assert!(matches!(&changed.notes[..], [Note::Changed { .. }]));

    let mut current = good.clone();
    current.files.insert(BINARY.to_owned(), seen(b"v1", 0o644));
    let chmod = plan(&current, &state, &desired).unwrap();
    assert_eq!(paths(&chmod), [BINARY]);
    assert!(matches!(&chmod.notes[..], [Note::PutBack { .. }]));

    let mut current = good.clone();
    current.files.remove(BINARY);
    current.verifier_folder = None;
    let gone = plan(&current, &state, &desired).unwrap();
    assert!(matches!(
        &gone.steps[..],
        [Step {
            change: Change::Folder { .. },
            ..
        }]
    ));
    assert!(matches!(&gone.notes[..], [Note::PutBack { .. }]));
}

#[test]
fn anything_else_in_the_verifiers_folder_stops_everything() {
    let desired = desired(b"policy", None, b"v1");
    let (mut current, state) = applied(&desired, &State::default());
    current
        .verifier_folder
        .as_mut()
        .unwrap()
        .push((".hidden".to_owned(), EntryKind::File));
    let error = plan(&current, &state, &desired).unwrap_err().to_string();
    assert!(error.contains("`.hidden` (regular file)"), "{error}");
    assert!(error.contains("executes every entry"), "{error}");
}

#[test]
fn a_drop_in_that_is_no_longer_needed_goes_last_and_only_when_it_is_ours() {
    let before = desired(b"policy", Some(b"drop-in"), b"v1");
    let (mut current, state) = applied(&before, &State::default());
    let without = desired(b"policy2", None, b"v1");
    let ours = plan(&current, &state, &without).unwrap();
    assert_eq!(
        paths(&ours),
        [VERIFIER_POLICY, CONTAINERD_DROP_IN, layout::STATE]
    );
    assert_eq!(ours.steps[1].change, Change::Remove);

    current
        .files
        .insert(CONTAINERD_DROP_IN.to_owned(), seen(b"theirs", 0o644));
    let theirs = plan(&current, &state, &without).unwrap();
    assert_eq!(paths(&theirs), [VERIFIER_POLICY, layout::STATE]);
    assert!(
        !State::from_json(&theirs.state)
            .unwrap()
            .files
            .contains_key(CONTAINERD_DROP_IN)
    );
}
