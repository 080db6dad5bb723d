use serde_json::{Value, json};

use super::*;

fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

fn entry(name: &str, platform: &Value) -> Value {
    json!({"mediaType": MANIFEST_TYPES[0], "digest": digest(name), "size": 1, "platform": platform})
}

fn on(name: &str, os: &str, architecture: &str) -> Value {
    entry(name, &json!({"os": os, "architecture": architecture}))
}

fn index(manifests: &[Value]) -> Vec<u8> {
    let index = json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests});
    index.to_string().into_bytes()
}

fn choose(index: &[u8], platform: &str, chooser: Chooser) -> Result<Vec<Digest>, (Reason, String)> {
    let chosen = chosen(index, &platform.parse().unwrap(), chooser);
    chosen
        .map(|chosen| chosen.into_iter().map(|chosen| chosen.digest).collect())
        .map_err(|finding| (finding.reason, finding.message))
}

#[track_caller]
fn assert_chosen(manifests: &[Value], platform: &str, chooser: Chooser, names: &[&str]) {
    let names: Vec<Digest> = names.iter().map(|name| digest(name)).collect();
    assert_eq!(choose(&index(manifests), platform, chooser), Ok(names));
}

#[track_caller]
fn refused(index: impl AsRef<[u8]>, reason: Reason, part: &str) {
    for chooser in [Chooser::Any, Chooser::Crio] {
        let (found, message) = choose(index.as_ref(), "linux/amd64", chooser).unwrap_err();
        assert_eq!(found, reason, "{message}");
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn what_names_another_system_or_architecture_is_left_out() {
    let all = [
        on("a", "linux", "amd64"),
        on("b", "linux", "arm64"),
        on("c", "windows", "amd64"),
        on("d", "linux", "s390x"),
    ];
    assert_chosen(&all, "linux/amd64", Chooser::Any, &["a"]);
    assert_chosen(&all, "linux/arm64", Chooser::Any, &["b"]);
    assert_chosen(&all, "windows/amd64", Chooser::Any, &["c"]);
    assert_chosen(&all, "linux/s390x", Chooser::Crio, &["d"]);
}

#[test]
fn all_variants_versions_and_duplicates_of_a_platform_stay_in() {
    let variant = |name: &str, variant: &str| {
        let platform = json!({"os": "linux", "architecture": "amd64", "variant": variant});
        entry(name, &platform)
    };
    let version = json!({"os": "linux", "architecture": "amd64", "os.version": "1"});
    let all = [
        variant("a", "v3"),
        variant("b", "v1"),
        on("c", "linux", "amd64"),
        entry("d", &version),
        on("a", "linux", "amd64"),
    ];
    for chooser in [Chooser::Any, Chooser::Crio] {
        assert_chosen(&all, "linux/amd64", chooser, &["a", "b", "c", "d"]);
    }
}

#[test]
fn containerd_also_runs_the_smaller_sibling_of_an_architecture() {
    let all = [
        on("a", "linux", "amd64"),
        on("b", "linux", "386"),
        on("c", "linux", "arm64"),
        on("d", "linux", "arm"),
    ];
    assert_chosen(&all, "linux/amd64", Chooser::Any, &["a", "b"]);
    assert_chosen(&all, "linux/arm64", Chooser::Any, &["c", "d"]);
    assert_chosen(&all, "linux/386", Chooser::Any, &["b"]);
    assert_chosen(&all, "linux/amd64", Chooser::Crio, &["a"]);
    // Without its own, nobody knows what CRI-O will take.
    assert_chosen(&all[1..], "linux/amd64", Chooser::Crio, &["b"]);
}

#[test]
fn what_is_spelt_in_another_way_may_be_taken_and_stays_in() {
    let all = [
        on("a", "Linux", "AMD64"),
        on("b", "linux", "x86_64"),
        on("c", "", ""),
        on("d", "", "amd64"),
        on("e", "linux", ""),
        on("f", "linux", "unknown"),
        on("g", "unknown", "amd64"),
        on("h", "WINDOWS", "amd64"),
        entry("i", &Value::Null),
        json!({"mediaType": MANIFEST_TYPES[1], "digest": digest("j")}),
    ];
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    assert_chosen(&all, "linux/amd64", Chooser::Any, &names);
}

#[test]
fn attestations_are_left_out_only_where_nothing_of_the_platform_is_known() {
    let all = [on("a", "linux", "amd64"), on("b", "unknown", "unknown")];
    assert_chosen(&all, "linux/amd64", Chooser::Any, &["a"]);
    let capital = [on("a", "linux", "amd64"), on("b", "Unknown", "unknown")];
    assert_chosen(&capital, "linux/amd64", Chooser::Any, &["a", "b"]);
    // None is left, which is not "all are signed".
    refused(
        index(&all[1..]),
        Reason::NoSignature,
        "no manifest for linux/amd64",
    );
    refused(
        index(&[]),
        Reason::NoSignature,
        "no manifest for linux/amd64",
    );
}

#[test]
fn an_index_in_an_index_is_chosen_whatever_its_platform() {
    let nested = json!({"mediaType": INDEX_TYPE, "digest": digest("n"),
        "platform": {"os": "windows", "architecture": "arm64"}});
    let all = [on("a", "linux", "amd64"), nested];
    assert_chosen(&all, "linux/amd64", Chooser::Any, &["a", "n"]);
}

/// Go would read the second one.
#[test]
fn a_field_that_go_would_read_instead_spoils_the_index() {
    let (signed, other) = (on("a", "linux", "amd64"), on("b", "linux", "amd64"));
    for second in ["manifests", "Manifests", "MANIFESTS"] {
        let text = format!(r#"{{"manifests":[{signed}],"{second}":[{other}]}}"#);
        refused(text, Reason::MalformedSignature, "twice");
    }
    // The long s, which folds to a short one.
    let text = format!("{{\"manifests\":[{signed}],\"manife\u{17f}ts\":[{other}]}}");
    refused(text, Reason::MalformedSignature, "not ASCII");
    let (signed, other) = (digest("a"), digest("b"));
    let text = format!(r#"{{"manifests":[{{"digest":"{signed}","Digest":"{other}"}}]}}"#);
    refused(text, Reason::MalformedSignature, "twice");
    let platform = r#"{"os":"windows","OS":"linux","architecture":"amd64"}"#;
    let text = format!(r#"{{"manifests":[{{"digest":"{signed}","platform":{platform}}}]}}"#);
    refused(text, Reason::MalformedSignature, "twice");
}

#[test]
fn fields_in_another_case_are_read_as_go_does() {
    let digest = digest("a");
    let text = format!(
        r#"{{"MANIFESTS":[{{"Digest":"{digest}","Platform":{{"OS":"linux","Architecture":"amd64"}}}}]}}"#
    );
    let chosen = choose(text.as_bytes(), "linux/amd64", Chooser::Crio);
    assert_eq!(chosen, Ok(vec![digest]));
}

#[test]
fn what_could_be_a_manifest_as_well_is_no_index() {
    let signed = on("a", "linux", "amd64");
    for field in ["layers", "config", "Layers", "fsLayers", "history"] {
        let text = format!(r#"{{"manifests":[{signed}],"{field}":null}}"#);
        refused(text, Reason::MalformedSignature, "as a manifest as well");
    }
    let manifest = MANIFEST_TYPES[0];
    let text = format!(r#"{{"mediaType":"{manifest}","manifests":[{signed}]}}"#);
    refused(text, Reason::MalformedSignature, "something else");
}

#[test]
fn what_does_not_parse_is_refused() {
    for text in ["", "[]", "{", r#"{"manifests":{}}"#, r#"{"manifests":[1]}"#] {
        refused(text, Reason::MalformedSignature, "cannot be read");
    }
    for digest in ["", "sha512:00", "sha256:zz"] {
        let text = format!(r#"{{"manifests":[{{"digest":"{digest}"}}]}}"#);
        refused(text, Reason::MalformedSignature, "the digest of a manifest");
    }
    let text = format!(
        r#"{{"manifests":[{{"digest":"{}","platform":7}}]}}"#,
        digest("a")
    );
    refused(text, Reason::MalformedSignature, "cannot be read");
}

#[test]
fn an_index_is_read_up_to_limits() {
    let many = |count: usize, os: &str| -> Vec<u8> {
        let manifests = (0..count).map(|number| on(&number.to_string(), os, "amd64"));
        index(&manifests.collect::<Vec<_>>())
    };
    let count = |index: &[u8]| choose(index, "linux/amd64", Chooser::Any).map(|all| all.len());
    assert_eq!(count(&many(MAX_CHOSEN, "linux")), Ok(MAX_CHOSEN));
    let part = "more than 16 manifests that may be for";
    refused(many(MAX_CHOSEN + 1, "linux"), Reason::LimitExceeded, part);
    refused(
        many(MAX_LISTED, "windows"),
        Reason::NoSignature,
        "no manifest",
    );
    let part = "lists more than 256";
    refused(many(MAX_LISTED + 1, "windows"), Reason::LimitExceeded, part);
    let fields = |count: usize| {
        let fields: Vec<_> = (0..count)
            .map(|number| format!(r#""f{number}":0"#))
            .collect();
        format!(r"{{{}}}", fields.join(","))
    };
    refused(fields(MAX_FIELDS), Reason::NoSignature, "no manifest");
    refused(
        fields(MAX_FIELDS + 1),
        Reason::MalformedSignature,
        "too many",
    );
}

#[test]
fn a_platform_is_two_of_gos_words() {
    for good in ["linux/amd64", "linux/arm64", "windows/amd64"] {
        assert_eq!(good.parse::<Platform>().unwrap().to_string(), good);
    }
    for bad in [
        "",
        "linux",
        "Linux/amd64",
        "linux/x86_64",
        "linux/arm64/v8",
        "unknown/unknown",
    ] {
        assert!(bad.parse::<Platform>().is_err(), "{bad}");
    }
    let own = Platform::default().to_string();
    assert_eq!(own.parse(), Ok(Platform::default()));
}
