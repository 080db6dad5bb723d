//! Trust roots from JSON: the real ones, and what is wrong with changed ones.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sigstore_trust_root::{
    SIGSTORE_GITHUB_TRUSTED_ROOT as GITHUB, SIGSTORE_PRODUCTION_TRUSTED_ROOT as PRODUCTION,
    SIGSTORE_STAGING_TRUSTED_ROOT as STAGING, TrustedRoot as Library,
};

use super::*;

fn read(text: &str) -> Parsed {
    TrustRoot::from_trusted_root_json(text).unwrap()
}

/// The public-good root with one change.
fn changed(change: impl FnOnce(&mut Value)) -> Result<Parsed, TrustError> {
    let mut value: Value = serde_json::from_str(PRODUCTION).unwrap();
    change(&mut value);
    TrustRoot::from_trusted_root_json(&value.to_string())
}

fn refused(change: impl FnOnce(&mut Value)) -> TrustError {
    changed(change).unwrap_err()
}

type Material = BTreeSet<(String, Vec<Vec<u8>>, Vec<u8>, String)>;

/// What the library reads: kind, certificates or key, log id, window.
fn material(json: &str) -> Material {
    let root = Library::from_json(json).unwrap();
    let mut found = Material::new();
    let logs = root
        .tlogs
        .iter()
        .map(|log| ("tlog", &log.base_url, &log.public_key, &log.log_id));
    let ct = root
        .ctlogs
        .iter()
        .map(|log| ("ct", &log.base_url, &log.public_key, &log.log_id));
    for (kind, url, key, id) in logs.chain(ct) {
        // The same key, whichever of the two encodings the file has.
        let public = keys::parse(key.raw_bytes.as_bytes(), key.key_details.as_str()).unwrap();
        let spki = vec![public.spki_der().to_vec()];
        let id = id.key_id.as_bytes().to_vec();
        found.insert((
            format!("{kind} {url}"),
            spki,
            id,
            format!("{:?}", key.valid_for),
        ));
    }
    let authorities = root.certificate_authorities.iter();
    let authorities = authorities.map(|ca| (&ca.uri, &ca.cert_chain, ca.valid_for));
    let none = String::new();
    let stamps = root.timestamp_authorities.iter();
    let stamps = stamps.map(|tsa| {
        (
            tsa.uri.as_ref().unwrap_or(&none),
            &tsa.cert_chain,
            tsa.valid_for,
        )
    });
    for (uri, chain, window) in authorities.chain(stamps) {
        let ders = chain
            .certificates
            .iter()
            .map(|one| one.raw_bytes.as_bytes().to_vec())
            .collect();
        found.insert((uri.clone(), ders, Vec::new(), format!("{window:?}")));
    }
    found
}

#[test]
fn the_real_roots_keep_all_their_material() {
    for text in [PRODUCTION, STAGING, GITHUB] {
        let Parsed { root, filtered } = read(text);
        assert_eq!(filtered, Vec::<String>::new());
        let json = root.to_trusted_root_json();
        assert_eq!(material(&json), material(text));
        assert_eq!(read(&json).root, root);
        let library = Library::from_json(text).unwrap();
        let (ours, theirs) = (
            [
                root.certificate_authorities().len(),
                root.transparency_logs().len(),
                root.ct_logs().len(),
                root.timestamp_authorities().len(),
            ],
            [
                library.certificate_authorities.len(),
                library.tlogs.len(),
                library.ctlogs.len(),
                library.timestamp_authorities.len(),
            ],
        );
        assert_eq!(ours, theirs);
    }
}

#[test]
fn a_root_survives_its_own_json_and_refuses_unknown_fields() {
    for text in [PRODUCTION, STAGING, GITHUB] {
        let root = read(text).root;
        let mut value = serde_json::to_value(&root).unwrap();
        assert_eq!(
            serde_json::from_value::<TrustRoot>(value.clone()).unwrap(),
            root
        );
        value["extra"] = json!(0);
        let error = serde_json::from_value::<TrustRoot>(value)
            .unwrap_err()
            .to_string();
        assert!(error.contains("unknown field `extra`"), "{error}");
    }
}

#[test]
fn the_checks_hold_for_its_own_json_too() {
    let root = serde_json::to_value(read(PRODUCTION).root).unwrap();
    let refused = |change: fn(&mut Value)| {
        let mut value = root.clone();
        change(&mut value);
        serde_json::from_value::<TrustRoot>(value)
            .unwrap_err()
            .to_string()
    };
    let empty = refused(|v| v["certificateAuthorities"][0]["chain"] = json!([]));
    assert!(empty.contains("certificateAuthorities[0]"), "{empty}");
    let twice = refused(|v| {
        let log = v["transparencyLogs"][0].clone();
        v["transparencyLogs"].as_array_mut().unwrap().push(log);
    });
    assert!(twice.contains("stands here twice"), "{twice}");
    let id = refused(|v| {
        let other = v["ctLogs"][1]["keyId"].clone();
        v["ctLogs"][0]["keyId"] = other;
    });
    assert!(id.contains("is not the SHA-256 of the key"), "{id}");
    let short = refused(|v| v["ctLogs"][0]["keyId"] = json!("AAAA"));
    assert!(short.contains("32 bytes"), "{short}");
}

#[test]
fn the_order_of_entries_never_changes_a_byte() {
    let one = read(STAGING).root;
    let mut value: Value = serde_json::from_str(STAGING).unwrap();
    for field in [
        "tlogs",
        "ctlogs",
        "certificateAuthorities",
        "timestampAuthorities",
    ] {
        value[field].as_array_mut().unwrap().reverse();
    }
    let two = read(&value.to_string()).root;
    assert_eq!(one.to_trusted_root_json(), two.to_trusted_root_json());
    assert_eq!((one.digest(), &one), (two.digest(), &two));
    assert_ne!(one.digest(), read(PRODUCTION).root.digest());
}

#[test]
fn the_parts_for_cri_o_are_the_ones_of_the_public_good_root() {
    let root = read(PRODUCTION).root;
    assert_eq!(root.fulcio_roots().len(), 2);
    assert!(root.fulcio_roots().iter().all(|one| one.is_self_issued()));
    assert_eq!(root.fulcio_intermediates().len(), 1);
    assert_eq!(root.p256_rekor_keys().len(), 1);
    let others: Vec<_> = root
        .other_rekor_logs()
        .into_iter()
        .map(LogKey::name)
        .collect();
    assert_eq!(others, ["https://log2025-1.rekor.sigstore.dev"]);
    assert_eq!(root.rekor_keys().count(), 2);
    assert!(root.has_ct_logs());
    // Three of GitHub's chains share one root, which is an anchor once.
    let github = read(GITHUB).root;
    assert!(github.fulcio_roots().len() < github.certificate_authorities().len());
    assert!(github.rekor_keys().next().is_none() && !github.has_ct_logs());
}

#[test]
fn expiries_are_those_of_windows_and_certificates_earliest_first() {
    let root = read(PRODUCTION).root;
    let expiries = root.expiries();
    assert!(expiries.is_sorted_by_key(|(_, unix)| *unix));
    // 2022-10-31T23:59:59.999Z, the end of the first CT log.
    let first = (
        "use of the log https://ctfe.sigstore.dev/test".to_owned(),
        1_667_260_799,
    );
    assert_eq!(expiries.first(), Some(&first));
    assert_eq!(root.earliest_expiry(), Some(1_667_260_799));
    let certificates = expiries
        .iter()
        .filter(|(what, _)| what.starts_with("certificate "))
        .count();
    assert_eq!(certificates, 5);
}

#[test]
fn every_known_media_type_is_accepted_and_no_other() {
    for known in [
        "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "application/vnd.dev.sigstore.trustedroot+json;version=0.2",
        "application/vnd.dev.sigstore.trustedroot.v0.2+json",
    ] {
        assert!(
            changed(|v| v["mediaType"] = json!(known)).is_ok(),
            "{known}"
        );
    }
    let error =
        refused(|v| v["mediaType"] = json!("application/vnd.dev.sigstore.bundle.v0.3+json"));
    assert_eq!(error.path, "mediaType");
    assert!(matches!(error.problem, TrustProblem::MediaType(_)));
}

#[test]
fn what_is_no_json_of_a_trusted_root_is_refused_with_its_place() {
    let error = TrustRoot::from_trusted_root_json("{").unwrap_err();
    assert!(matches!(error.problem, TrustProblem::Json(_)));
    let trailing = TrustRoot::from_trusted_root_json(&format!("{PRODUCTION} x")).unwrap_err();
    assert!(matches!(trailing.problem, TrustProblem::Json(_)));
    let base64 = refused(|v| v["tlogs"][1]["publicKey"]["rawBytes"] = json!("!"));
    assert_eq!(base64.path, "tlogs[1].publicKey.rawBytes");
    let time = refused(|v| v["ctlogs"][0]["publicKey"]["validFor"] = json!({"start": "soon"}));
    assert_eq!(time.path, "ctlogs[0].publicKey.validFor.start");
    let start = refused(|v| v["ctlogs"][0]["publicKey"]["validFor"] = json!({}));
    assert_eq!(start.path, "ctlogs[0].publicKey.validFor");
}

#[test]
fn a_key_that_stands_twice_in_an_object_is_refused() {
    let text = PRODUCTION.replacen("\"tlogs\":", "\"tlogs\": [], \"tlogs\":", 1);
    let error = TrustRoot::from_trusted_root_json(&text).unwrap_err();
    assert!(
        error.to_string().contains("duplicate field `tlogs`"),
        "{error}"
    );
}

#[test]
fn pem_private_keys_and_overlong_texts_are_refused() {
    let problem = |text: &str| TrustRoot::from_trusted_root_json(text).unwrap_err().problem;
    assert_eq!(
        problem("\n-----BEGIN CERTIFICATE-----\n"),
        TrustProblem::Pem
    );
    let private = "-----BEGIN EC PRIVATE KEY-----\nsecret\n";
    assert_eq!(problem(private), TrustProblem::PrivateKey);
    let hidden = json!({"mediaType": private}).to_string();
    assert_eq!(problem(&hidden), TrustProblem::PrivateKey);
    let long = " ".repeat(MAX_BYTES + 1);
    assert_eq!(problem(&long), TrustProblem::TooLarge(MAX_BYTES + 1));
}

#[test]
fn more_entries_than_the_limit_are_refused() {
    for field in [
        "tlogs",
        "ctlogs",
        "certificateAuthorities",
        "timestampAuthorities",
    ] {
        let error = refused(|v| {
            let one = v[field][0].clone();
            v[field] = Value::Array(vec![one; MAX_ENTRIES + 1]);
        });
        assert_eq!(
            error,
            TrustError::new(field, TrustProblem::TooMany(MAX_ENTRIES + 1))
        );
    }
}

#[test]
fn empty_and_overlong_chains_are_refused() {
    for (field, count) in [
        ("certificateAuthorities", 0),
        ("timestampAuthorities", MAX_CHAIN + 1),
    ] {
        let error = refused(|v| {
            let one = v[field][0]["certChain"]["certificates"][0].clone();
            v[field][0]["certChain"]["certificates"] = Value::Array(vec![one; count]);
        });
        assert_eq!(error.path, format!("{field}[0]"));
        assert_eq!(error.problem, TrustProblem::ChainLength(count));
    }
}

#[test]
fn a_damaged_certificate_is_refused_with_its_place() {
    for (damage, message) in [("AQID", "no valid X.509"), ("", "no valid X.509")] {
        let error = refused(|v| {
            v["certificateAuthorities"][1]["certChain"]["certificates"][1]["rawBytes"] =
                json!(damage);
        });
        assert_eq!(
            error.path,
            "certificateAuthorities[1].certChain.certificates[1]"
        );
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn a_signer_among_the_authorities_is_refused() {
    // The first certificate of a timestamp authority's chain signs timestamps.
    let error = refused(|v| {
        v["certificateAuthorities"][0]["certChain"] =
            v["timestampAuthorities"][0]["certChain"].clone();
    });
    assert_eq!(
        error.path,
        "certificateAuthorities[0].certChain.certificates[0]"
    );
    assert!(matches!(error.problem, TrustProblem::NotCa { .. }));
}

#[test]
fn chains_in_the_wrong_order_are_refused() {
    let reverse = |field: &'static str, index: usize| {
        refused(|v| {
            v[field][index]["certChain"]["certificates"]
                .as_array_mut()
                .unwrap()
                .reverse();
        })
    };
    let fulcio = reverse("certificateAuthorities", 1);
    assert!(
        matches!(fulcio.problem, TrustProblem::Order { .. }),
        "{fulcio}"
    );
    let stamps = reverse("timestampAuthorities", 0);
    assert!(
        matches!(stamps.problem, TrustProblem::SignerIsCa { .. }),
        "{stamps}"
    );
}

#[test]
fn a_damaged_log_key_is_refused_with_its_place() {
    let error = refused(|v| v["tlogs"][0]["publicKey"]["rawBytes"] = json!("AQID"));
    assert_eq!(
        error,
        TrustError::new("tlogs[0].publicKey", TrustProblem::Key)
    );
    let error = refused(|v| {
        v["ctlogs"][0]["publicKey"] =
            json!({"rawBytes": "AQID", "keyDetails": "PKCS1_RSA_PKCS1V5"});
    });
    assert_eq!(
        error,
        TrustError::new("ctlogs[0].publicKey", TrustProblem::Key)
    );
}

#[test]
fn a_key_that_is_not_what_its_details_say_is_refused() {
    let error = refused(|v| v["tlogs"][0]["publicKey"]["keyDetails"] = json!("PKIX_ED25519"));
    assert_eq!(error.path, "tlogs[0].publicKey");
    assert!(
        error.to_string().contains("the key is ECDSA P-256"),
        "{error}"
    );
}

#[test]
fn a_log_id_that_is_not_the_keys_is_refused_with_the_right_one() {
    let error = refused(|v| v["tlogs"][0]["logId"] = v["ctlogs"][0]["logId"].clone());
    let expected = "wNI9atQGlz+VWfO6LRygH4QUfY/8W4RFwiT5i5WRgB0=".to_owned();
    assert_eq!(
        error,
        TrustError::new("tlogs[0].logId", TrustProblem::LogId { expected })
    );
    let short = refused(|v| v["tlogs"][1]["logId"]["keyId"] = json!("AQID"));
    assert_eq!(
        short,
        TrustError::new("tlogs[1].logId", TrustProblem::LogIdLength)
    );
}

#[test]
fn a_log_that_stands_twice_is_refused() {
    for field in ["tlogs", "ctlogs"] {
        let error = refused(|v| {
            let one = v[field][0].clone();
            v[field].as_array_mut().unwrap().push(one);
        });
        assert_eq!(error.path, format!("{field}[2].logId"));
        assert!(matches!(error.problem, TrustProblem::DuplicateLog(_)));
    }
}

#[test]
fn a_window_that_ends_before_it_starts_is_refused() {
    let window = json!({"start": "2024-01-01T00:00:00Z", "end": "2023-01-01T00:00:00Z"});
    let ca = refused(|v| v["certificateAuthorities"][0]["validFor"] = window.clone());
    assert_eq!(
        ca,
        TrustError::new("certificateAuthorities[0].validFor", TrustProblem::Window)
    );
    let log = refused(|v| v["tlogs"][0]["publicKey"]["validFor"] = window.clone());
    assert_eq!(log.problem, TrustProblem::Window);
}

#[test]
fn a_uri_with_control_characters_or_without_end_is_refused() {
    for uri in ["https://a\nb".to_owned(), "a".repeat(MAX_URI + 1)] {
        let log = refused(|v| v["tlogs"][0]["baseUrl"] = json!(uri));
        assert_eq!(log, TrustError::new("tlogs[0].baseUrl", TrustProblem::Uri));
        let ca = refused(|v| v["certificateAuthorities"][0]["uri"] = json!(uri));
        assert_eq!(
            ca,
            TrustError::new("certificateAuthorities[0].uri", TrustProblem::Uri)
        );
    }
}

#[test]
fn keys_that_are_not_verified_are_left_out_and_reported() {
    let p521 = crate::key::PublicKey::parse_pem(include_str!("../../testdata/keys/p521.pem"));
    let p521 = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        p521.unwrap()[0].spki_der(),
    );
    for (key, hash, why) in [
        (
            json!({"rawBytes": "AQID", "keyDetails": "ML_DSA_65"}),
            "SHA2_256",
            "ML_DSA_65",
        ),
        (
            json!({"rawBytes": p521, "keyDetails": "PKIX_ECDSA_P521_SHA_512"}),
            "SHA2_256",
            "P-521",
        ),
        (
            json!({"rawBytes": "AQID", "keyDetails": "PKIX_ED25519"}),
            "SHA2_512",
            "SHA2_512",
        ),
    ] {
        let Parsed { root, filtered } = changed(|v| {
            v["tlogs"][1]["publicKey"] = key;
            v["tlogs"][1]["hashAlgorithm"] = json!(hash);
        })
        .unwrap();
        assert_eq!(root.rekor_keys().count(), 1);
        assert_eq!(filtered.len(), 1);
        assert!(
            filtered[0].starts_with("tlogs[1]") && filtered[0].contains(why),
            "{filtered:?}"
        );
    }
}

#[test]
fn an_authority_whose_key_is_not_accepted_is_left_out_and_reported() {
    let text = include_str!("../../testdata/certificates/rsa-1024.pem");
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let Parsed { root, filtered } = changed(|v| {
        v["certificateAuthorities"][0]["certChain"]["certificates"] = json!([{"rawBytes": body}]);
    })
    .unwrap();
    assert_eq!(root.certificate_authorities().len(), 1);
    assert!(filtered[0].contains("1024 bits"), "{filtered:?}");
}

#[test]
fn a_root_with_nothing_left_is_refused_with_what_was_left_out() {
    let error = refused(|v| {
        v["certificateAuthorities"] = json!([]);
        for log in v["tlogs"].as_array_mut().unwrap() {
            log["publicKey"]["keyDetails"] = json!("ML_DSA_65");
        }
    });
    let TrustProblem::Nothing(filtered) = &error.problem else {
        panic!("{error}")
    };
    assert_eq!(filtered.len(), 2);
    assert!(
        error
            .to_string()
            .contains("tlogs[1].publicKey: `keyDetails` ML_DSA_65"),
        "{error}"
    );
}

#[test]
fn fields_that_the_format_may_gain_are_passed_over() {
    let parsed = changed(|v| {
        v["tlogs"][0]["operator"] = json!("sigstore.dev");
        v["tlogs"][0]["checkpointKeyId"] = json!({"keyId": "AAAA"});
    });
    assert_eq!(parsed.unwrap(), read(PRODUCTION));
}
