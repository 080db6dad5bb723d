use policy::digest::Digest;

use super::*;
use crate::error::CycleError;
use crate::root::Xattrs;
use crate::state::{Record, Role};
use crate::status::Failure;

const PATH: &str = "etc/containerd/config.toml";
const READ: &[u8] = b"as it was read";
const THEN: &[u8] = b"as it was read, and ours";

fn current(bytes: Option<&[u8]>) -> Current {
    let mut current = Current::default();
    current.files.extend(bytes.map(|bytes| {
        let seen = Seen {
            sha256: Digest::of(bytes),
            mode: 0o644,
            uid: 0,
            gid: 0,
            xattrs: Xattrs::default(),
        };
        (PATH.to_owned(), seen)
    }));
    current
}

/// The record of an edit that was made before.
fn edited() -> State {
    let mut state = State::default();
    let record = Record {
        role: Role::Edited,
        sha256: Digest::of(b"ours of before"),
        mode: 0o644,
        original: None,
    };
    state.files.insert(PATH.to_owned(), record);
    state
}

fn of(target: &Target, current: &Current, state: &State) -> Result<Plan, Refusal> {
    let desired = Desired {
        place: None,
        targets: vec![target.clone()],
        others: Others::GiveBack,
        bundle: None,
        uid: 0,
    };
    plan(current, state, &desired)
}

fn writes(plan: &Plan) -> bool {
    plan.contents.get(PATH) == Some(&Source::Bytes(THEN.to_vec()))
}

#[track_caller]
fn is_refused(plan: Result<Plan, Refusal>) {
    let error = plan.unwrap_err();
    assert!(matches!(&error, Refusal::Changed { path } if path == PATH));
    assert!(error.to_string().contains("tried again"), "{error}");
    // Nothing is wrong with the policies.
    assert_eq!(CycleError::Refused(error).failure(), Failure::WriteFailed);
}

fn edit(from: Option<&[u8]>) -> Target {
    Target::Edit {
        path: PATH.to_owned(),
        from: from.map(Digest::of),
        bytes: THEN.to_vec(),
    }
}

fn unedit() -> Target {
    Target::Unedit {
        path: PATH.to_owned(),
        from: Digest::of(READ),
        bytes: THEN.to_vec(),
    }
}

#[test]
fn an_edit_is_not_made_over_what_somebody_wrote_meanwhile() {
    for state in [State::default(), edited()] {
        let made = |now: Option<&[u8]>| of(&edit(Some(READ)), &current(now), &state);
        assert!(writes(&made(Some(READ)).unwrap()));
        is_refused(made(Some(b"written meanwhile")));
        is_refused(made(None));
        // As it should be already.
        assert!(!writes(&made(Some(THEN)).unwrap()));
    }
}

#[test]
fn an_edit_of_a_file_that_was_not_there_is_not_made_over_one_that_is() {
    let state = State::default();
    assert!(writes(&of(&edit(None), &current(None), &state).unwrap()));
    is_refused(of(
        &edit(None),
        &current(Some(b"written meanwhile")),
        &state,
    ));
}

#[test]
fn an_edit_still_takes_the_place_of_a_link_that_it_was_read_through() {
    let mut current = current(None);
    let target = "/srv/config.toml".to_owned();
    current.links.insert(PATH.to_owned(), target);
    assert!(writes(&of(&edit(Some(READ)), &current, &edited()).unwrap()));
}

#[test]
fn what_is_taken_out_again_is_not_taken_out_of_another_text() {
    let state = edited();
    let taken = |now: Option<&[u8]>| of(&unedit(), &current(now), &state);
    assert!(writes(&taken(Some(READ)).unwrap()));
    is_refused(taken(Some(b"written meanwhile")));
    assert!(!writes(&taken(Some(THEN)).unwrap()));
    // Whoever removed it removed what was ours.
    assert!(!writes(&taken(None).unwrap()));
}
