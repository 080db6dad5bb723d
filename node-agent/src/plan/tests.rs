use std::collections::BTreeMap;

use policy::containerd::File;
use policy::digest::Digest;
use policy::paths::{CONTAINERD_DROP_IN, STATE_DIR, VERIFIER_DIR, VERIFIER_NAME, VERIFIER_POLICY};

use super::*;
use crate::journal::{Change, Step};
use crate::layout::{self, VerifierPlace};
use crate::root::{EntryKind, Xattrs};
use crate::runtime::containerd::targets;

const BINARY: &str = "opt/nodeseal/image-verifier/nodeseal-verifier";

fn seen(bytes: &[u8], mode: u32) -> Seen {
    Seen {
        sha256: Digest::of(bytes),
        mode,
        uid: 0,
        gid: 0,
        xattrs: Xattrs::default(),
    }
}

fn file(bytes: &[u8]) -> File {
    File {
        bytes: bytes.to_vec(),
        mode: 0o644,
    }
}

fn write(path: &str, bytes: &[u8]) -> Target {
    let path = path.to_owned();
    let file = file(bytes);
    let own = path != POLICY_JSON;
    Target::Write { path, file, own }
}

fn restore(path: &str) -> Target {
    let path = path.to_owned();
    Target::Restore { path }
}

/// What a containerd node should hold; `first` when nothing is there yet.
fn containerd(policy: &[u8], drop_in: Option<&[u8]>, verifier: &[u8], first: bool) -> Desired {
    let mut files = BTreeMap::from([(VERIFIER_POLICY.to_owned(), file(policy))]);
    if let Some(drop_in) = drop_in {
        files.insert(CONTAINERD_DROP_IN.to_owned(), file(drop_in));
    }
    let targets = targets(files, "verifier".into(), Digest::of(verifier), first);
    Desired {
        place: Some(VerifierPlace::default()),
        ..plain(targets)
    }
}

fn desired(policy: &[u8], drop_in: Option<&[u8]>, verifier: &[u8]) -> Desired {
    containerd(policy, drop_in, verifier, false)
}

/// Without a verifier.
fn plain(targets: Vec<Target>) -> Desired {
    Desired {
        place: None,
        targets,
        others: Others::GiveBack,
        bundle: Some(b"bundle".to_vec()),
        uid: 0,
    }
}

/// The node after `desired` was applied.
fn applied(desired: &Desired, state: &State) -> (Current, State) {
    applied_on(&Current::default(), state, desired)
}

fn applied_on(before: &Current, state: &State, desired: &Desired) -> (Current, State) {
    let plan = plan(before, state, desired).unwrap();
    let mut current = before.clone();
    if desired.place.is_some() {
        current.verifier_folder = Some(vec![(VERIFIER_NAME.to_owned(), EntryKind::File)]);
    }
    for step in &plan.steps {
        if let Some(backup) = step.before.as_ref().filter(|backup| backup.lasting) {
            current.originals.insert(backup.copy.clone(), backup.seen());
        }
        let Some(staged) = step.change.staged(&step.path) else {
            current.files.remove(&step.path);
            continue;
        };
        let (uid, gid) = staged.attributes.owner.unwrap_or((0, 0));
        let seen = Seen {
            sha256: staged.sha256.clone(),
            mode: staged.attributes.mode,
            uid,
            gid,
            xattrs: staged.attributes.xattrs.clone(),
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
    let desired = containerd(b"policy", Some(b"drop-in"), b"v1", true);
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
fn nothing_is_installed_beside_anything_else_and_what_came_later_stops_nothing() {
    let desired = desired(b"policy", None, b"v1");
    let hidden = || Some(vec![(".hidden".to_owned(), EntryKind::File)]);
    let before = Current {
        verifier_folder: hidden(),
        ..Current::default()
    };
    let error = plan(&before, &State::default(), &desired).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("`.hidden` (regular file)"), "{error}");
    assert!(error.contains("executes every entry"), "{error}");

    let (mut current, state) = applied(&desired, &State::default());
    current
        .verifier_folder
        .as_mut()
        .unwrap()
        .extend(hidden().unwrap());
    current.files.remove(VERIFIER_POLICY);
    let later = plan(&current, &state, &desired).unwrap();
    assert_eq!(paths(&later), [VERIFIER_POLICY]);
    assert!(
        later
            .unexpected
            .unwrap()
            .contains("`.hidden` (regular file)")
    );
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

const POLICY_JSON: &str = "etc/crio/policy.json";

/// A node with a policy.json of its own, after ours took its place.
fn over_their_own() -> (Current, State) {
    let mut before = Current::default();
    let theirs = Seen {
        uid: 7,
        gid: 8,
        ..seen(b"theirs", 0o640)
    };
    before.files.insert(POLICY_JSON.to_owned(), theirs);
    let ours = plain(vec![write(POLICY_JSON, b"ours")]);
    applied_on(&before, &State::default(), &ours)
}

#[test]
fn what_was_there_before_is_given_back_with_mode_and_owner() {
    let (current, state) = over_their_own();
    let asked = plain(vec![restore(POLICY_JSON)]);
    let not_named = plain(Vec::new());
    for desired in [asked, not_named] {
        let plan = plan(&current, &state, &desired).unwrap();
        assert_eq!(paths(&plan), [POLICY_JSON, layout::STATE]);
        let Change::File {
            sha256,
            mode,
            owner,
            ..
        } = &plan.steps[0].change
        else {
            panic!("{:?}", plan.steps[0])
        };
        assert_eq!(
            (sha256, *mode, *owner),
            (&Digest::of(b"theirs"), 0o640, Some((7, 8)))
        );
        let copy = state.files[POLICY_JSON].original.clone().unwrap();
        assert_eq!(plan.contents[POLICY_JSON], Source::Copy(copy));
        assert!(State::from_json(&plan.state).unwrap().files.is_empty());
    }
}

#[test]
fn a_file_that_is_given_back_is_theirs_from_then_on() {
    let (current, state) = over_their_own();
    let back = plain(vec![restore(POLICY_JSON)]);
    let (current, state) = applied_on(&current, &state, &back);
    assert!(plan(&current, &state, &back).unwrap().steps.is_empty());
    let again = plan(&current, &state, &plain(vec![write(POLICY_JSON, b"ours")])).unwrap();
    assert!(matches!(&again.notes[..], [Note::Foreign { .. }]));
}

#[test]
fn where_nothing_was_nothing_is_left() {
    let ours = plain(vec![write(POLICY_JSON, b"ours")]);
    let (current, state) = applied(&ours, &State::default());
    let plan = plan(&current, &state, &plain(vec![restore(POLICY_JSON)])).unwrap();
    assert_eq!(plan.steps[0].change, Change::Remove);
}

#[test]
fn without_the_copy_our_file_stays_and_that_is_told() {
    let (mut current, state) = over_their_own();
    current.originals.clear();
    let plan = plan(&current, &state, &plain(vec![restore(POLICY_JSON)])).unwrap();
    assert!(plan.steps.is_empty(), "{:?}", plan.steps);
    assert!(matches!(&plan.notes[..], [Note::Lost { .. }]));
    assert_eq!(State::from_json(&plan.state).unwrap(), state);
}

#[test]
fn a_removed_file_is_given_back_and_a_changed_one_is_left_to_whom_changed_it() {
    let (mut current, state) = over_their_own();
    current.files.remove(POLICY_JSON);
    let back = plain(vec![restore(POLICY_JSON)]);
    let removed = plan(&current, &state, &back).unwrap();
    assert_eq!(paths(&removed), [POLICY_JSON, layout::STATE]);
    current
        .files
        .insert(POLICY_JSON.to_owned(), seen(b"changed", 0o644));
    let changed = plan(&current, &state, &back).unwrap();
    assert_eq!(paths(&changed), [layout::STATE]);
    assert!(State::from_json(&changed.state).unwrap().files.is_empty());
}

#[test]
fn in_a_path_of_others_not_even_the_very_same_file_is_taken_for_ours() {
    let same = plain(vec![write(POLICY_JSON, b"same")]);
    let mut current = Current::default();
    current
        .files
        .insert(POLICY_JSON.to_owned(), seen(b"same", 0o644));
    let untouched = plan(&current, &State::default(), &same).unwrap();
    assert_eq!(paths(&untouched), [layout::BUNDLE, layout::STATE]);
    assert!(State::from_json(&untouched.state).unwrap().files.is_empty());
    // With another mode it is replaced, and there is a copy to give back.
    current
        .files
        .insert(POLICY_JSON.to_owned(), seen(b"same", 0o600));
    let replaced = plan(&current, &State::default(), &same).unwrap();
    let state = State::from_json(&replaced.state).unwrap();
    assert!(state.files[POLICY_JSON].original.is_some());
}

#[test]
fn leaving_takes_the_verifier_before_its_policy() {
    let (current, state) = applied(
        &desired(b"policy", Some(b"drop-in"), b"elf"),
        &State::default(),
    );
    let leave = Desired {
        place: None,
        others: Others::GiveBackAll,
        ..plain(Vec::new())
    };
    let plan = plan(&current, &state, &leave).unwrap();
    let removed: Vec<&str> = plan
        .steps
        .iter()
        .filter(|step| step.change == Change::Remove)
        .map(|step| step.path.as_str())
        .collect();
    assert_eq!(removed, [BINARY, CONTAINERD_DROP_IN, VERIFIER_POLICY]);
    assert!(State::from_json(&plan.state).unwrap().files.is_empty());
}

#[test]
fn a_first_part_leaves_everything_else_as_it_is() {
    let (current, state) = applied(
        &desired(b"policy", Some(b"drop-in"), b"elf"),
        &State::default(),
    );
    let first = Desired {
        others: Others::Keep,
        bundle: None,
        ..plain(vec![write("etc/containers/registries.d/x.yaml", b"x")])
    };
    let plan = plan(&current, &state, &first).unwrap();
    let paths: Vec<&str> = plan.steps.iter().map(|step| step.path.as_str()).collect();
    assert_eq!(paths, ["etc/containers/registries.d/x.yaml", layout::STATE]);
    let next = State::from_json(&plan.state).unwrap();
    assert_eq!(next.files.len(), state.files.len() + 1);
}

/// A label as `SELinux` gives it.
fn labelled(seen: Seen) -> Seen {
    let xattrs = Xattrs::default().labelled(Some(b"system_u:object_r:etc_t:s0\0".to_vec()));
    Seen { xattrs, ..seen }
}

#[test]
fn a_file_is_given_back_with_its_attributes() {
    let mut before = Current::default();
    let theirs = labelled(seen(b"theirs", 0o640));
    before.files.insert(POLICY_JSON.to_owned(), theirs.clone());
    let ours = plain(vec![write(POLICY_JSON, b"ours")]);
    let (current, state) = applied_on(&before, &State::default(), &ours);
    let plan = plan(&current, &state, &plain(Vec::new())).unwrap();
    let Change::File { xattrs, .. } = &plan.steps[0].change else {
        panic!("{:?}", plan.steps[0])
    };
    assert_eq!(*xattrs, theirs.xattrs);
}

#[test]
fn an_edit_keeps_the_attributes_of_what_is_edited() {
    let path = "etc/containerd/config.toml";
    let mut before = Current::default();
    let theirs = labelled(seen(b"theirs", 0o640));
    before.files.insert(path.to_owned(), theirs.clone());
    let edit = Target::Edit {
        path: path.to_owned(),
        from: Some(theirs.sha256.clone()),
        bytes: b"theirs and ours".to_vec(),
    };
    let (current, _) = applied_on(&before, &State::default(), &plain(vec![edit]));
    assert_eq!(current.files[path].xattrs, theirs.xattrs);
    assert_eq!(current.files[path].mode, 0o640);
}

#[test]
fn another_label_alone_is_no_reason_to_write() {
    let desired = desired(b"policy", Some(b"drop-in"), b"v1");
    let (mut current, state) = applied(&desired, &State::default());
    let relabelled = labelled(current.files[VERIFIER_POLICY].clone());
    current.files.insert(VERIFIER_POLICY.to_owned(), relabelled);
    let plan = plan(&current, &state, &desired).unwrap();
    assert!(plan.steps.is_empty() && plan.notes.is_empty(), "{plan:?}");
}

#[test]
fn the_folders_of_files_that_stay_are_needed_and_the_others_are_not() {
    let desired = desired(b"policy", Some(b"drop-in"), b"v1");
    let (current, state) = applied(&desired, &State::default());
    let plan_of = |desired| plan(&current, &state, &desired).unwrap().folders;
    let needed = plan_of(desired.clone());
    for folder in [
        "etc",
        "etc/nodeseal/verifier",
        VERIFIER_DIR,
        "opt/nodeseal/staging",
    ] {
        assert!(needed.contains(folder), "{folder} of {needed:?}");
    }
    // The verifier stays, and new ones are staged beside its folder.
    let rest: Vec<String> = plan_of(plain(Vec::new())).into_iter().collect();
    let verifiers = ["opt", "opt/nodeseal", VERIFIER_DIR, "opt/nodeseal/staging"];
    assert_eq!(rest, verifiers);
    let leave = Desired {
        others: Others::GiveBackAll,
        ..plain(Vec::new())
    };
    assert!(plan_of(leave).is_empty());
}
