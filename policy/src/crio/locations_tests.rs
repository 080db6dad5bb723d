use super::*;
use crate::crio::registries_conf::parse;
use crate::testing::policy;

/// What our file says and what is told, with files of others as (name, JSON).
fn settled(
    policies: &[Policy],
    conf: &str,
    files: &[(&str, &str)],
) -> (Vec<String>, Vec<(String, String)>) {
    let mut taken = Taken::default();
    for (name, json) in files {
        assert_eq!(
            taken.add(name, serde_json::from_str(json).unwrap()),
            [""; 0]
        );
    }
    let mut needs = Needs::of(policies.iter());
    needs.add_mirrors(&parse(conf).unwrap());
    let (ours, diagnostics) = needs.settle(&taken);
    let told = diagnostics.into_iter().map(|d| {
        assert_eq!(d.reason, Reason::ForeignOwner);
        (d.policy, d.message)
    });
    (ours.into_iter().collect(), told.collect())
}

const ON: &str = r#"{"use-sigstore-attachments": true}"#;
const OFF: &str = r#"{"use-sigstore-attachments": false}"#;

fn docker(entries: &[(&str, &str)]) -> String {
    let entries: Vec<String> = entries
        .iter()
        .map(|(location, setting)| format!("\"{location}\": {setting}"))
        .collect();
    format!(r#"{{"docker": {{{}}}}}"#, entries.join(", "))
}

#[test]
fn a_location_that_another_file_switches_on_needs_nothing() {
    let p = [policy("p", &["a.example:1", "b.example:1"], &[])];
    let on = docker(&[("a.example:1", ON)]);
    let (ours, told) = settled(&p, "", &[("own.yaml", &on)]);
    assert_eq!(ours, ["b.example:1"]);
    assert_eq!(told, []);
}

#[test]
fn a_location_that_another_file_leaves_off_is_told_with_the_file_and_what_to_add() {
    let p = [policy("p", &["a.example:1"], &[])];
    for setting in [OFF, "{}", "null"] {
        let off = docker(&[("a.example:1", setting)]);
        let (ours, told) = settled(&p, "", &[("/etc/x/own.yaml", &off)]);
        assert_eq!(ours, [""; 0]);
        let [(name, message)] = &told[..] else {
            panic!("{setting}: {told:?}");
        };
        assert_eq!(name, "p");
        assert!(message.starts_with("/etc/x/own.yaml, which is not nodeseal's, already"));
        assert!(message.contains("set `use-sigstore-attachments: true` there"));
    }
}

#[test]
fn a_location_that_says_nothing_takes_what_is_wider() {
    let unset = docker(&[("a.example:1/x", r#"{"lookaside": "https://x"}"#)]);
    let p = policy("p", &["a.example:1/x"], &[]);
    assert_eq!(
        settled(std::slice::from_ref(&p), "", &[("u", &unset)])
            .1
            .len(),
        1
    );
    // Our own wider location, another file's, and the default.
    let wider = [p.clone(), policy("w", &["a.example:1"], &[])];
    let (ours, told) = settled(&wider, "", &[("u", &unset)]);
    assert_eq!((ours, told), (vec!["a.example:1".to_owned()], vec![]));
    let default = format!(r#"{{"default-docker": {ON}}}"#);
    for other in [docker(&[("a.example:1", ON)]), default] {
        let (_, told) = settled(
            std::slice::from_ref(&p),
            "",
            &[("u", &unset), ("o", &other)],
        );
        assert_eq!(told, [], "{other}");
    }
}

#[test]
fn a_narrower_location_that_is_off_is_told_unless_it_is_excluded() {
    let off = docker(&[("a.example:1/x/y", OFF)]);
    let (ours, told) = settled(&[policy("p", &["a.example:1"], &[])], "", &[("o", &off)]);
    assert_eq!(ours, ["a.example:1"]);
    assert!(
        told[0]
            .1
            .contains("off for `a.example:1/x/y`, inside `a.example:1`")
    );
    let excluded = [policy("p", &["a.example:1"], &["a.example:1/x"])];
    assert_eq!(settled(&excluded, "", &[("o", &off)]).1, []);
    let elsewhere = [policy("p", &["a.example:2"], &[])];
    assert_eq!(settled(&elsewhere, "", &[("o", &off)]).1, []);
}

#[test]
fn the_place_of_a_mirror_that_another_file_has_is_told_to_the_policy_that_needs_it() {
    let conf = "[[registry]]\nlocation = 'a.example:1'\nmirror = [{location = 'm.example/c'}]\n";
    let p = [
        policy("p", &["a.example:1/x"], &[]),
        policy("q", &["b.example:1"], &[]),
    ];
    let taken = docker(&[("m.example/c/x", "{}")]);
    let (ours, told) = settled(&p, conf, &[("o", &taken)]);
    assert_eq!(ours, ["a.example:1/x", "b.example:1"]);
    assert_eq!(told[0].0, "p");
    assert!(
        told[0]
            .1
            .contains("where images of `a.example:1/x` are pulled from")
    );
    assert_eq!(told.len(), 1);
    let on = docker(&[("m.example/c/x", ON)]);
    assert_eq!(settled(&p, conf, &[("o", &on)]).1, []);
}

#[test]
fn mirrors_of_mirrors_are_not_asked() {
    let conf = "[[registry]]\nlocation = 'a.example:1'\nmirror = [{location = 'm.example'}]\n[[registry]]\nlocation = 'm.example'\nmirror = [{location = 'n.example'}]\n";
    let (ours, _) = settled(&[policy("p", &["a.example:1/x"], &[])], conf, &[]);
    assert_eq!(ours, ["a.example:1/x", "m.example/x"]);
}

#[test]
fn a_location_with_characters_that_yaml_refuses_is_escaped() {
    let file = registries_d(&["a.example/\u{7f}\u{85}\"\\\u{1f600}".to_owned()].into()).unwrap();
    let text = String::from_utf8(file.bytes).unwrap();
    let line = text.lines().nth(2).unwrap();
    assert_eq!(line, r#"  "a.example/\U0000007f\U00000085\"\\\U0001f600":"#);
}
