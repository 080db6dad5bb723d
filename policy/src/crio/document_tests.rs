use crate::crio::document::PolicyJson;

fn refused(text: &str, because: &str) {
    let error = PolicyJson::parse(text.as_bytes())
        .expect_err(text)
        .to_string();
    assert!(error.contains(because), "{text}: {error}");
}

/// A file whose only rule is this one.
fn with_rule(rule: &str) -> String {
    format!(r#"{{"default":[{rule}]}}"#)
}

#[test]
fn every_kind_of_rule_is_read_and_written_back_as_it_was() {
    for rule in [
        r#"{"type":"insecureAcceptAnything"}"#,
        r#"{"type":"reject"}"#,
        r#"{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k"}"#,
        r#"{"type":"signedBy","keyType":"GPGKeys","keyPaths":["/k"],"signedIdentity":{"type":"matchExact"}}"#,
        r#"{"type":"signedBaseLayer","baseLayerIdentity":{"type":"matchRepository"}}"#,
        r#"{"type":"sigstoreSigned","keyData":"AAAA","signedIdentity":{"type":"exactReference","dockerReference":"a.example/b:1"}}"#,
        r#"{"type":"sigstoreSigned","keyDatas":["AAAA"],"rekorPublicKeyDatas":["AAAA"]}"#,
        r#"{"type":"sigstoreSigned","fulcio":{"caData":"AAAA","oidcIssuer":"i","subjectEmail":"e"},"rekorPublicKeyData":"AAAA"}"#,
        r#"{"type":"sigstoreSigned","pki":{"caRootsData":"AAAA","subjectHostname":"h"}}"#,
        r#"{"type":"sigstoreSigned","keyPath":"/k","signedIdentity":{"type":"remapIdentity","prefix":"a.example","signedPrefix":"b.example"}}"#,
    ] {
        let text = with_rule(rule);
        let document = PolicyJson::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{rule}: {e}"));
        let value = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
        assert_eq!(value(&document.to_json()), value(text.as_bytes()), "{rule}");
    }
}

#[test]
fn what_makes_crio_refuse_the_whole_file_is_refused() {
    let accept = r#"{"type":"insecureAcceptAnything"}"#;
    refused("", "EOF");
    refused("{}", "missing field `default`");
    refused(r#"{"default":[]}"#, "must not be empty");
    refused(
        &format!(r#"{{"default":[{accept}],"bogus":1}}"#),
        "unknown field `bogus`",
    );
    refused(
        &format!(r#"{{"default":[{accept}],"default":[{accept}]}}"#),
        "duplicate field",
    );
    refused(
        &format!(r#"{{"default":[{accept}],"transports":{{"dir":{{}},"dir":{{}}}}}}"#),
        "duplicate key `dir`",
    );
    refused(
        &format!(
            r#"{{"default":[{accept}],"transports":{{"docker":{{"a":[{accept}],"a":[{accept}]}}}}}}"#
        ),
        "duplicate key `a`",
    );
    refused(
        &format!(r#"{{"default":[{accept}]}} rest"#),
        "trailing characters",
    );
}

#[test]
fn what_makes_crio_refuse_a_rule_is_refused() {
    for (rule, because) in [
        (r#"{"type":"bogus"}"#, "unknown variant `bogus`"),
        (r#"{"type":"reject","extra":1}"#, "unknown field `extra`"),
        (
            r#"{"type":"insecureAcceptAnything","keyData":"AAAA"}"#,
            "unknown field `keyData`",
        ),
        (r#"{"type":"sigstoreSigned"}"#, "exactly one of keyPath"),
        (
            r#"{"type":"sigstoreSigned","keyPath":"/k","keyData":"AAAA"}"#,
            "exactly one of keyPath",
        ),
        (r#"{"type":"sigstoreSigned","keyData":"!"}"#, "not base64"),
        (
            r#"{"type":"sigstoreSigned","keyData":"AAAA","extra":1}"#,
            "unknown field `extra`",
        ),
        (
            r#"{"type":"sigstoreSigned","keyDatas":[]}"#,
            "must not be empty",
        ),
        (
            r#"{"type":"sigstoreSigned","fulcio":{"caData":"AAAA","oidcIssuer":"i","subjectEmail":"e"}}"#,
            "needs a Rekor key",
        ),
        (
            r#"{"type":"sigstoreSigned","pki":{"caRootsData":"AAAA","subjectEmail":"e"},"rekorPublicKeyData":"AAAA"}"#,
            "takes no Rekor key",
        ),
        (
            r#"{"type":"sigstoreSigned","keyData":"AAAA","rekorPublicKeyData":"AAAA","rekorPublicKeyPath":"/r"}"#,
            "at most one source",
        ),
        (
            r#"{"type":"sigstoreSigned","keyData":"AAAA","signedIdentity":{"type":"exactReference","dockerReference":"a.example/b"}}"#,
            "neither a tag nor a digest",
        ),
        (
            r#"{"type":"sigstoreSigned","keyData":"AAAA","signedIdentity":{"type":"exactRepository","dockerRepository":"///"}}"#,
            "///",
        ),
        (
            r#"{"type":"signedBy","keyType":"GPGKeys"}"#,
            "exactly one of keyPath, keyPaths and keyData",
        ),
        (
            r#"{"type":"signedBy","keyType":"bogus","keyPath":"/k"}"#,
            "unknown keyType `bogus`",
        ),
        (
            r#"{"type":"signedBy","keyType":"GPGKeys","keyPath":""}"#,
            "must not be empty",
        ),
        (
            r#"{"type":"sigstoreSigned","keyPath":null,"keyData":"AAAA"}"#,
            "null",
        ),
        (
            r#"{"type":"sigstoreSigned","keyData":"AAAA","signedIdentity":{"type":1}}"#,
            "no numbers",
        ),
        (
            r#"{"type":"sigstoreSigned","fulcio":{"oidcIssuer":"i","subjectEmail":"e"},"rekorPublicKeyData":"AAAA"}"#,
            "exactly one of caPath and caData",
        ),
        (
            r#"{"type":"sigstoreSigned","fulcio":{"caPath":"/c","caData":"AAAA","oidcIssuer":"i","subjectEmail":"e"},"rekorPublicKeyData":"AAAA"}"#,
            "exactly one of caPath and caData",
        ),
        (
            r#"{"type":"sigstoreSigned","fulcio":{"caPath":"/c","oidcIssuer":"","subjectEmail":"e"},"rekorPublicKeyData":"AAAA"}"#,
            "must not be empty",
        ),
        (
            r#"{"type":"sigstoreSigned","pki":{"subjectEmail":"e"}}"#,
            "exactly one of caRootsPath and caRootsData",
        ),
        (
            r#"{"type":"sigstoreSigned","pki":{"caRootsData":"AAAA","caIntermediatesPath":"/i","caIntermediatesData":"AAAA","subjectEmail":"e"}}"#,
            "at most one of caIntermediatesPath",
        ),
        (
            r#"{"type":"sigstoreSigned","pki":{"caRootsData":"AAAA"}}"#,
            "at least one of subjectEmail",
        ),
        (
            r#"{"type":"sigstoreSigned","keyData":"AAAA","signedIdentity":{"type":"remapIdentity","prefix":"a.example/B","signedPrefix":"b.example"}}"#,
            "a.example/B",
        ),
        (
            r#"{"type":"sigstoreSigned","keyData":"AAAA","signedIdentity":{"type":"exactRepository","dockerRepository":"[::1]:5000/b"}}"#,
            "no IPv6",
        ),
    ] {
        refused(&with_rule(rule), because);
    }
}
