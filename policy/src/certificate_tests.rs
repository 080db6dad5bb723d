use super::*;
use crate::pem::PemError;

macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!("../testdata/certificates/", $name, ".pem"))
    };
}

const ROOT_A: &str = pem!("root-a");
const INTERMEDIATE_A: &str = pem!("intermediate-a");
const ISSUING_A: &str = pem!("issuing-a");
const LEAF: &str = pem!("leaf");

fn one(text: &str) -> Certificate {
    let certificates = Certificate::parse_pem(text).unwrap();
    assert_eq!(certificates.len(), 1);
    certificates[0].clone()
}

fn block(label: &str, der: &[u8]) -> String {
    encode(label, der)
}

#[test]
fn a_certificate_says_what_a_policy_has_to_know() {
    let (root, leaf) = (one(ROOT_A), one(LEAF));
    assert_eq!(root.subject(), "CN=root,O=example");
    assert!(root.is_ca() && root.is_self_issued());
    assert!(!leaf.is_ca() && !leaf.is_self_issued());
    assert!(root.not_before() > 1_600_000_000);
    assert_eq!(root.not_after() - root.not_before(), 36_500 * 86_400);
    assert_eq!(root.public_key().unwrap().kind().to_string(), "ECDSA P-256");
    assert_eq!(root.fingerprint(), Digest::of(root.der()));
    let shown = format!("{root:?}");
    assert_eq!(
        shown,
        format!("Certificate(CN=root,O=example, {})", root.fingerprint())
    );
}

#[test]
fn a_certificate_survives_its_pem_and_its_json() {
    let root = one(ROOT_A);
    assert_eq!(root.to_pem(), ROOT_A);
    let json = serde_json::to_string(&root).unwrap();
    assert_eq!(serde_json::from_str::<Certificate>(&json).unwrap(), root);
    let two = serde_json::to_string(&format!("{ROOT_A}{LEAF}")).unwrap();
    let error = serde_json::from_str::<Certificate>(&two).unwrap_err();
    assert!(
        error.to_string().contains("exactly one certificate"),
        "{error}"
    );
}

#[test]
fn the_order_of_a_chain_is_kept() {
    let text = format!("{ISSUING_A}# its issuer\n{INTERMEDIATE_A}{ROOT_A}");
    let chain = Certificate::parse_pem(&text).unwrap();
    let subjects: Vec<_> = chain.iter().map(Certificate::subject).collect();
    let expected = [
        "CN=issuing,O=example",
        "CN=intermediate,O=example",
        "CN=root,O=example",
    ];
    assert_eq!(subjects, expected);
    assert!(chain[0].names_issuer(&chain[1]) && chain[1].names_issuer(&chain[2]));
    assert!(!chain[0].names_issuer(&chain[2]));
}

#[test]
fn an_issuer_of_the_same_name_with_another_key_is_no_issuer() {
    let (intermediate, other) = (one(INTERMEDIATE_A), one(pem!("root-b")));
    assert_eq!(other.subject(), one(ROOT_A).subject());
    assert!(!intermediate.names_issuer(&other));
}

#[test]
fn a_certificate_that_stands_twice_is_refused_with_both_lines() {
    let text = format!("{ROOT_A}{LEAF}{ROOT_A}");
    let line = ROOT_A.lines().count() + LEAF.lines().count() + 1;
    let subject = "CN=root,O=example".to_owned();
    let expected = CertificateError::Duplicate {
        line,
        first: 1,
        subject,
    };
    assert_eq!(Certificate::parse_pem(&text), Err(expected));
}

#[test]
fn other_pem_blocks_are_named_and_never_echoed() {
    for (label, expected) in [
        ("PRIVATE KEY", CertificateError::PrivateKey { line: 2 }),
        (
            "ENCRYPTED SIGSTORE PRIVATE KEY",
            CertificateError::PrivateKey { line: 2 },
        ),
        ("PUBLIC KEY", CertificateError::PublicKey { line: 2 }),
        ("RSA PUBLIC KEY", CertificateError::PublicKey { line: 2 }),
        ("CERTIFICATE REQUEST", CertificateError::Label { line: 2 }),
    ] {
        let pem = block(label, b"secret-material-0123456789");
        let error = Certificate::parse_pem(&format!("# mine\n{pem}")).unwrap_err();
        assert_eq!(error, expected);
        let body = pem.lines().nth(1).unwrap();
        assert!(!format!("{error} {error:?}").contains(body));
    }
}

#[test]
fn a_text_without_blocks_is_told_how_a_certificate_starts() {
    assert_eq!(Certificate::parse_pem("\n"), Err(CertificateError::Empty));
    assert!(
        CertificateError::Empty
            .to_string()
            .contains("-----BEGIN CERTIFICATE-----")
    );
    let stray = PemError::Stray { line: 1 };
    assert_eq!(
        Certificate::parse_pem("hello"),
        Err(CertificateError::Pem(stray))
    );
}

#[test]
fn markers_around_garbage_are_no_certificate() {
    let parse = |der: &[u8]| Certificate::parse_pem(&block("CERTIFICATE", der));
    assert_eq!(
        parse(b"garbage"),
        Err(CertificateError::Malformed { line: 1 })
    );
    let whole = one(ROOT_A);
    let cut = &whole.der()[..whole.der().len() - 1];
    assert_eq!(parse(cut), Err(CertificateError::Malformed { line: 1 }));
}

#[test]
fn bytes_after_a_certificate_are_refused() {
    let mut der = one(ROOT_A).der().to_vec();
    der.push(0);
    let error = CertificateError::Trailing { line: 1 };
    assert_eq!(
        Certificate::parse_pem(&block("CERTIFICATE", &der)),
        Err(error)
    );
}

#[test]
fn a_certificate_above_the_limit_is_refused_with_its_size() {
    let bytes = MAX_DER_BYTES + 1;
    let text = block("CERTIFICATE", &vec![0x30; bytes]);
    let error = CertificateError::TooLarge { line: 1, bytes };
    assert_eq!(Certificate::parse_pem(&text), Err(error));
}

#[test]
fn too_many_certificates_are_refused() {
    let text = ROOT_A.repeat(MAX_CERTIFICATES + 1);
    let error = CertificateError::TooMany(MAX_CERTIFICATES + 1);
    assert_eq!(Certificate::parse_pem(&text), Err(error));
}

#[test]
fn roots_and_intermediates_are_authorities() {
    assert_eq!(
        roots(&format!("{ROOT_A}{}", pem!("rsa-2048")))
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        intermediates(&format!("{ISSUING_A}{INTERMEDIATE_A}"))
            .unwrap()
            .len(),
        2
    );
    // No key usage leaves every use open (RFC 5280, 4.2.1.3).
    assert_eq!(roots(pem!("no-usage-ca")).unwrap().len(), 1);
}

#[test]
fn a_leaf_among_the_roots_is_refused_with_its_line_and_subject() {
    let error = roots(&format!("{ROOT_A}{LEAF}")).unwrap_err();
    let line = ROOT_A.lines().count() + 1;
    let subject = "CN=leaf,O=example".to_owned();
    assert_eq!(error, CertificateError::NotCa { line, subject });
    assert!(
        error
            .to_string()
            .contains("give the certificate that issued it")
    );
    assert_eq!(intermediates(&format!("{ROOT_A}{LEAF}")), Err(error));
}

#[test]
fn an_authority_that_may_not_sign_certificates_is_none() {
    let subject = "CN=no sign,O=example".to_owned();
    let error = CertificateError::NotCa { line: 1, subject };
    assert_eq!(roots(pem!("no-sign-ca")), Err(error));
}

#[test]
fn a_version_1_certificate_is_no_root() {
    let subject = "CN=version 1,O=example".to_owned();
    let error = CertificateError::Version {
        line: 1,
        subject,
        version: 1,
    };
    assert_eq!(roots(pem!("version-1")), Err(error));
}

#[test]
fn keys_that_are_not_accepted_are_refused_with_the_reason() {
    let problem = |text| match roots(text).unwrap_err() {
        CertificateError::Key {
            line: 1, problem, ..
        } => problem,
        other => panic!("{other}"),
    };
    assert_eq!(
        problem(pem!("rsa-1024")),
        CertificateKeyError::RsaSize(1024)
    );
    assert_eq!(
        problem(pem!("unknown-curve")),
        CertificateKeyError::Algorithm
    );
}

#[test]
fn an_email_constraint_is_told_from_others() {
    assert!(one(pem!("email-constraint-ca")).constrains_emails());
    for text in [pem!("dns-constraint-ca"), ROOT_A, LEAF] {
        assert!(!one(text).constrains_emails());
    }
}

#[test]
fn a_subject_cannot_forge_lines_of_a_log() {
    assert_eq!(printable("CN=a\nb"), "CN=a\u{fffd}b");
    assert_eq!(printable(""), "with an empty subject");
    assert_eq!(printable(&"a".repeat(300)).chars().count(), MAX_SUBJECT + 1);
}
