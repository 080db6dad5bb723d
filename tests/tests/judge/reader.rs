//! Our strict reader of policy.json beside that of the library: what ours accepts, the library
//! must accept.

use std::fs;

use anyhow::Result;
use e2e::{Folder, Judge};
use policy::crio::document::PolicyJson;
use serde_json::{Value, json};

/// Both readers on one document.
struct Readers {
    judge: Judge,
    folder: Folder,
}

impl Readers {
    fn start() -> Result<Self> {
        Ok(Self {
            judge: Judge::start()?,
            folder: Folder::new("reader")?,
        })
    }

    /// What is wrong with a document for us, and for the library.
    fn read(&mut self, text: &str) -> Result<(Result<(), String>, Result<(), String>)> {
        let path = self.folder.join("policy.json");
        fs::write(&path, text)?;
        let ours = PolicyJson::parse(text.as_bytes());
        let ours = ours.map(drop).map_err(|error| error.to_string());
        Ok((ours, self.judge.parse(&path)?))
    }
}

/// A file whose only rule is this one.
fn with_rule(rule: &str) -> String {
    format!(r#"{{"default":[{rule}]}}"#)
}

/// A file whose only rule wants this name.
fn with_identity(identity: &str) -> String {
    with_rule(&format!(
        r#"{{"type":"sigstoreSigned","keyData":"AAAA","signedIdentity":{identity}}}"#
    ))
}

fn with_prefix(prefix: &str) -> String {
    with_identity(&format!(
        r#"{{"type":"remapIdentity","prefix":"{prefix}","signedPrefix":"b.example/x"}}"#
    ))
}

fn with_repository(name: &str) -> String {
    with_identity(&format!(
        r#"{{"type":"exactRepository","dockerRepository":"{name}"}}"#
    ))
}

fn with_reference(name: &str) -> String {
    with_identity(&format!(
        r#"{{"type":"exactReference","dockerReference":"{name}"}}"#
    ))
}

/// Documents with everything that the format has.
fn documents() -> Vec<Value> {
    let rule = |rule: Value| json!({ "default": [rule] });
    vec![
        json!({"default": [{"type": "reject"}], "transports": {
            "docker": {"": [{"type": "insecureAcceptAnything"}], "a.example": [{"type": "reject"}]},
            "docker-daemon": {"": [{"type": "insecureAcceptAnything"}]},
        }}),
        rule(json!({"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"})),
        rule(
            json!({"type": "signedBy", "keyType": "GPGKeys", "keyPaths": ["/k"],
            "signedIdentity": {"type": "matchExact"}}),
        ),
        rule(json!({"type": "signedBy", "keyType": "X509Certificates", "keyData": "AAAA"})),
        rule(json!({"type": "signedBaseLayer", "baseLayerIdentity": {"type": "matchRepository"}})),
        rule(
            json!({"type": "sigstoreSigned", "keyPath": "/k", "rekorPublicKeyPath": "/r",
            "signedIdentity": {"type": "matchRepoDigestOrExact"}}),
        ),
        rule(json!({"type": "sigstoreSigned", "keyPaths": ["/k"], "rekorPublicKeyPaths": ["/r"]})),
        rule(
            json!({"type": "sigstoreSigned", "keyData": "AAAA", "rekorPublicKeyData": "AAAA",
            "signedIdentity": {"type": "exactReference", "dockerReference": "a.example/b:1"}}),
        ),
        rule(
            json!({"type": "sigstoreSigned", "keyDatas": ["AAAA", "AAAB"],
            "rekorPublicKeyDatas": ["AAAA"],
            "signedIdentity": {"type": "exactRepository", "dockerRepository": "a.example/b"}}),
        ),
        rule(
            json!({"type": "sigstoreSigned", "keyData": "AAAA", "signedIdentity":
            {"type": "remapIdentity", "prefix": "a.example", "signedPrefix": "b.example/c"}}),
        ),
        rule(
            json!({"type": "sigstoreSigned", "rekorPublicKeyData": "AAAA",
            "fulcio": {"caData": "AAAA", "oidcIssuer": "i", "subjectEmail": "e"}}),
        ),
        rule(
            json!({"type": "sigstoreSigned", "rekorPublicKeyDatas": ["AAAA"],
            "fulcio": {"caPath": "/c", "oidcIssuer": "i", "subjectEmail": "e"}}),
        ),
        rule(
            json!({"type": "sigstoreSigned", "pki": {"caRootsData": "AAAA",
            "caIntermediatesData": "AAAA", "subjectHostname": "h", "subjectEmail": "e"}}),
        ),
        rule(
            json!({"type": "sigstoreSigned", "pki": {"caRootsPath": "/r",
            "caIntermediatesPath": "/i", "subjectEmail": "e"}}),
        ),
    ]
}

/// What one document becomes when any one of its parts is changed.
fn mutations(document: &Value) -> Vec<Value> {
    let replacements = [
        Value::Null,
        json!(""),
        json!([]),
        json!({}),
        json!(1),
        json!(true),
        json!("x"),
        json!([null]),
        json!([""]),
        json!({"type": "reject"}),
        json!([{"type": "reject"}]),
        json!("AAAA"),
        json!({"GPGKeys": null}),
    ];
    let mut all = Vec::new();
    for pointer in pointers(document) {
        for replacement in &replacements {
            let mut changed = document.clone();
            if let Some(place) = changed.pointer_mut(&pointer) {
                *place = replacement.clone();
            }
            all.push(changed);
        }
        let (parent, name) = pointer.rsplit_once('/').unwrap_or(("", ""));
        let extra = [
            "extra",
            "Type",
            "keyPath",
            "keyData",
            "keyPaths",
            "caPath",
            "caRootsPath",
        ];
        for added in extra {
            let mut changed = document.clone();
            let object = changed.pointer_mut(&pointer).and_then(Value::as_object_mut);
            if let Some(object) = object
                && !object.contains_key(added)
            {
                object.insert(added.to_owned(), json!("AAAA"));
                all.push(changed);
            }
        }
        let mut changed = document.clone();
        if let Some(object) = changed.pointer_mut(parent).and_then(Value::as_object_mut) {
            object.remove(name);
            all.push(changed);
        }
    }
    all
}

/// The JSON pointers of a value and of all in it.
fn pointers(value: &Value) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(object) => object.iter().map(|(k, v)| (k.clone(), v)).collect(),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .map(|(index, value)| (index.to_string(), value))
            .collect(),
        _ => Vec::new(),
    };
    let mut all = vec![String::new()];
    for (name, child) in children {
        all.extend(
            pointers(child)
                .into_iter()
                .map(|rest| format!("/{name}{rest}")),
        );
    }
    all
}

#[test]
fn what_our_reader_accepts_the_library_accepts() -> Result<()> {
    let mut readers = Readers::start()?;
    let (mut read, mut stricter) = (0, Vec::new());
    for document in documents() {
        let text = document.to_string();
        let (ours, theirs) = readers.read(&text)?;
        assert_eq!((ours, theirs), (Ok(()), Ok(())), "{text}");
        for changed in mutations(&document) {
            let text = changed.to_string();
            let (ours, theirs) = readers.read(&text)?;
            read += 1;
            match (&ours, &theirs) {
                (Ok(()), Err(theirs)) => panic!("{text}: the library refuses it: {theirs}"),
                (Err(ours), Ok(())) => stricter.push(format!("{text}: {ours}")),
                _ => {}
            }
        }
    }
    println!(
        "{read} documents; stricter on {}:\n{}",
        stricter.len(),
        stricter.join("\n")
    );
    // Ours is stricter about nulls, empty texts, lists in the place of base64, and upper-case hosts.
    let explained = ["null", "\"\"", "[]", "refix\":\"AAAA\""];
    for line in &stricter {
        assert!(explained.iter().any(|part| line.contains(part)), "{line}");
    }
    Ok(())
}

#[test]
fn both_readers_agree_on_names_prefixes_and_repeated_keys() -> Result<()> {
    let mut readers = Readers::start()?;
    let accept = r#"{"type":"insecureAcceptAnything"}"#;
    let long = |length: usize| "a".repeat(length);
    let refused = [
        String::new(),
        "{}".to_owned(),
        "null".to_owned(),
        r#"{"default":[]}"#.to_owned(),
        format!(r#"{{"default":[{accept}]}} rest"#),
        format!(r#"{{"default":[{accept}],"default":[{accept}]}}"#),
        format!(r#"{{"default":[{accept}],"transports":{{"dir":{{}},"dir":{{}}}}}}"#),
        format!(
            r#"{{"default":[{accept}],"transports":{{"docker":{{"a":[{accept}],"a":[{accept}]}}}}}}"#
        ),
        with_rule(r#"{"type":"reject","type":"reject"}"#),
        with_rule(r#"{"type":"sigstoreSigned","keyData":"AAAA","keyData":"AAAA"}"#),
        with_rule(r#"{"type":"sigstoreSigned","keyData":"!"}"#),
        with_identity(r#"{"type":"matchExact","type":"matchExact"}"#),
        with_identity(r#"{"type":"bogus"}"#),
        with_prefix(""),
        with_prefix("a.example/"),
        with_prefix("a.example:1:2"),
        with_prefix("a.example/B"),
        with_prefix("a.example/b:v1"),
        with_prefix("a_b/c"),
        with_prefix("-a.example"),
        with_prefix("[::1]:5000/x"),
        with_repository(""),
        with_repository("///"),
        with_repository("a.example/B"),
        with_repository("[::1]:5000/x"),
        with_repository(&long(64)),
        with_repository(&format!("a.example/{}", long(250))),
        with_reference("a.example/b"),
        with_reference("a.example/b@sha256:00"),
    ];
    for text in refused {
        let (ours, theirs) = readers.read(&text)?;
        // 64 letters a are hexadecimal digits, which name a local image.
        assert!(
            ours.is_err() && theirs.is_err(),
            "{text}: {ours:?} {theirs:?}"
        );
    }
    let digest = format!("a.example/b@sha256:{}", "0".repeat(64));
    let accepted = [
        with_prefix("a.example"),
        with_prefix("a.example:5000"),
        with_prefix("localhost/x"),
        with_prefix("a.example/b--c/d__e/f.g"),
        with_repository("a.example/b:v1"),
        with_repository("busybox"),
        with_repository(&format!("a.example/{}", long(245))),
        with_reference("busybox:1"),
        with_reference(&digest),
        with_reference(&digest.replace('@', ":v1@")),
    ];
    for text in accepted {
        assert_eq!(readers.read(&text)?, (Ok(()), Ok(())), "{text}");
    }
    Ok(())
}

#[test]
fn our_reader_is_stricter_where_its_documentation_says_so() -> Result<()> {
    let mut readers = Readers::start()?;
    let sha512 = format!("a.example/b@sha512:{}", "0".repeat(128));
    for text in [
        with_rule(r#"{"type":"sigstoreSigned","keyPath":null,"keyData":"AAAA"}"#),
        with_rule(r#"{"type":"sigstoreSigned","keyData":"AA\nAA"}"#),
        with_rule(r#"{"type":"sigstoreSigned","keyData":"AAAA","rekorPublicKeyPath":""}"#),
        with_prefix("A.example"),
        with_prefix("a.example:05000"),
        with_repository("a.example:05000/b"),
        with_reference(&sha512),
        with_rule(r#"{"type":"signedBy","keyType":"GPGKeys","keyPath":"\ud800"}"#),
    ] {
        let (ours, theirs) = readers.read(&text)?;
        assert!(
            ours.is_err() && theirs.is_ok(),
            "{text}: {ours:?} {theirs:?}"
        );
    }
    Ok(())
}
