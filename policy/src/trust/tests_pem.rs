//! Trust roots from PEM.

use super::*;
use crate::certificate::{CertificateError, CertificateKeyError};
use crate::key::KeyError;

macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!("../../testdata/certificates/", $name, ".pem"))
    };
}

const ROOT_A: &str = pem!("root-a");
const ROOT_B: &str = pem!("root-b");
const INTERMEDIATE_A: &str = pem!("intermediate-a");
const ISSUING_A: &str = pem!("issuing-a");
const TSA: &str = pem!("tsa");

/// The key of a certificate: a log's key for tests.
fn key(certificate: &str) -> String {
    Certificate::parse_pem(certificate).unwrap()[0]
        .public_key()
        .unwrap()
        .to_pem()
}

fn fulcio(text: &str) -> Result<TrustRoot, TrustError> {
    TrustRoot::from_pem(Some(text), &[], &[], None)
}

fn rekor(texts: &[String]) -> Result<TrustRoot, TrustError> {
    TrustRoot::from_pem(None, texts, &[], None)
}

fn timestamps(text: &str) -> Result<TrustRoot, TrustError> {
    TrustRoot::from_pem(Some(ROOT_A), &[], &[], Some(text))
}

fn subjects(root: &TrustRoot) -> Vec<Vec<&str>> {
    let chains = root.certificate_authorities().iter().map(Authority::chain);
    chains
        .map(|chain| chain.iter().map(Certificate::subject).collect())
        .collect()
}

#[test]
fn pem_of_every_kind_becomes_a_root_that_the_library_reads() {
    let chain = format!("{TSA}{INTERMEDIATE_A}{ROOT_A}");
    let root =
        TrustRoot::from_pem(Some(ROOT_A), &[key(ROOT_A)], &[key(ROOT_B)], Some(&chain)).unwrap();
    let json = root.to_trusted_root_json();
    let library = sigstore_trust_root::TrustedRoot::from_json(&json).unwrap();
    assert_eq!(library.tlogs.len(), 1);
    assert_eq!(library.ctlogs.len(), 1);
    assert_eq!(
        library.certificate_authorities[0]
            .cert_chain
            .certificates
            .len(),
        1
    );
    assert_eq!(
        library.timestamp_authorities[0]
            .cert_chain
            .certificates
            .len(),
        3
    );
    assert_eq!(library.rekor_keys().unwrap().len(), 1);
    assert_eq!(TrustRoot::from_trusted_root_json(&json).unwrap().root, root);
    assert_eq!(
        root.rekor_keys().next().unwrap().key_id(),
        LogId::of(root.p256_rekor_keys()[0])
    );
    assert!(root.has_ct_logs());
}

#[test]
fn chains_are_found_in_any_order_of_the_text() {
    let texts = [ROOT_A, ISSUING_A, ROOT_B, INTERMEDIATE_A];
    let one = fulcio(&texts.concat()).unwrap();
    let two = fulcio(&texts.iter().rev().copied().collect::<String>()).unwrap();
    assert_eq!((one.digest(), one.clone()), (two.digest(), two));
    let mut found = subjects(&one);
    found.sort();
    let whole = vec![
        "CN=issuing,O=example",
        "CN=intermediate,O=example",
        "CN=root,O=example",
    ];
    assert_eq!(found, [whole, vec!["CN=root,O=example"]]);
    // The two roots have one name: the key identifier tells them apart.
    let a = &Certificate::parse_pem(ROOT_A).unwrap()[0];
    let long = one
        .certificate_authorities()
        .iter()
        .find(|ca| ca.chain().len() == 3)
        .unwrap();
    assert_eq!(long.chain().last(), Some(a));
    assert_eq!(one.fulcio_roots().len(), 2);
    assert_eq!(one.fulcio_intermediates().len(), 2);
}

#[test]
fn an_intermediate_without_its_root_is_refused_with_line_and_subject() {
    let text = format!("{ROOT_B}{ISSUING_A}{INTERMEDIATE_A}");
    let error = fulcio(&text).unwrap_err();
    let line = ROOT_B.lines().count() + 1;
    let subject = "CN=issuing,O=example".to_owned();
    assert_eq!(
        error,
        TrustError::new("fulcio", TrustProblem::NoRoot { line, subject })
    );
}

#[test]
fn what_is_no_authority_is_refused_among_fulcio_certificates() {
    let problem = |text: &str| match fulcio(text).unwrap_err() {
        TrustError {
            path,
            problem: TrustProblem::PemCertificate(error),
        } if path == "fulcio" => error,
        other => panic!("{other}"),
    };
    assert!(matches!(
        problem(pem!("leaf")),
        CertificateError::NotCa { line: 1, .. }
    ));
    assert!(matches!(
        problem(pem!("version-1")),
        CertificateError::Version { .. }
    ));
    let unusable = CertificateKeyError::RsaSize(1024);
    assert!(matches!(
        problem(pem!("rsa-1024")),
        CertificateError::Key { problem, .. } if problem == unusable
    ));
    assert_eq!(
        problem(&key(ROOT_A)),
        CertificateError::PublicKey { line: 1 }
    );
    assert_eq!(problem(""), CertificateError::Empty);
}

#[test]
fn more_chains_than_the_limit_are_refused() {
    let authorities = |count| vec![authority(); count];
    let parts = |count| Parts {
        certificate_authorities: authorities(count),
        ..Parts::default()
    };
    assert!(TrustRoot::try_from(parts(MAX_ENTRIES)).is_ok());
    let error = TrustRoot::try_from(parts(MAX_ENTRIES + 1)).unwrap_err();
    let expected = TrustProblem::TooMany(MAX_ENTRIES + 1);
    assert_eq!(error, TrustError::new("certificateAuthorities", expected));
}

fn authority() -> Authority {
    fulcio(ROOT_A).unwrap().certificate_authorities()[0].clone()
}

#[test]
fn a_log_key_that_is_wrong_is_named_with_its_field_and_line() {
    let text = format!("# old\n{ROOT_A}");
    let error = rekor(&[key(ROOT_A), text]).unwrap_err();
    let certificate = TrustProblem::PemKey(KeyError::Certificate { line: 2 });
    assert_eq!(error, TrustError::new("rekor[1]", certificate));
    assert!(
        error
            .to_string()
            .starts_with("rekor[1]: line 2 begins a certificate")
    );
    let ct = TrustRoot::from_pem(Some(ROOT_A), &[], &[String::new()], None).unwrap_err();
    assert_eq!(ct.path, "ctLog[0]");
}

#[test]
fn a_log_key_that_stands_twice_is_refused() {
    let error = rekor(&[key(ROOT_A), key(ROOT_A)]).unwrap_err();
    assert_eq!(error.path, "rekor[1]");
    assert!(matches!(error.problem, TrustProblem::DuplicateLog(_)));
}

#[test]
fn a_p521_log_key_is_refused_because_no_verifier_takes_it() {
    let error = rekor(&[P521.to_owned()]).unwrap_err();
    assert_eq!(error.path, "rekor[0]");
    let TrustProblem::KeyAlgorithm { kind, .. } = error.problem else {
        panic!("{error}")
    };
    assert_eq!(kind, KeyKind::EcdsaP521);
}

const P521: &str = include_str!("../../testdata/keys/p521.pem");

#[test]
fn timestamp_chains_go_from_the_signer_to_the_root() {
    assert!(timestamps(&format!("{TSA}{INTERMEDIATE_A}{ROOT_A}")).is_ok());
    assert!(
        timestamps(TSA).is_ok(),
        "one certificate alone is its own anchor"
    );
    let reversed = timestamps(&format!("{ROOT_A}{INTERMEDIATE_A}{TSA}")).unwrap_err();
    assert_eq!(reversed.path, "timestampAuthority, line 1");
    assert!(matches!(reversed.problem, TrustProblem::SignerIsCa { .. }));
    let gap = timestamps(&format!("{TSA}{ROOT_A}")).unwrap_err();
    assert!(matches!(gap.problem, TrustProblem::Order { .. }), "{gap}");
    let leaf = timestamps(&format!("{TSA}{}", pem!("leaf"))).unwrap_err();
    assert!(matches!(leaf.problem, TrustProblem::Order { .. }), "{leaf}");
}

#[test]
fn nothing_at_all_and_timestamps_alone_are_no_root() {
    let nothing = TrustError::new("", TrustProblem::Nothing(Vec::new()));
    assert_eq!(
        TrustRoot::from_pem(None, &[], &[], None),
        Err(nothing.clone())
    );
    assert_eq!(TrustRoot::from_pem(None, &[], &[], Some(TSA)), Err(nothing));
}

#[test]
fn a_text_above_the_limit_is_refused() {
    let text = format!("{ROOT_A}{}", "#\n".repeat(MAX_BYTES));
    let problem = TrustProblem::TooLarge(text.len());
    assert_eq!(
        fulcio(&text),
        Err(TrustError::new("fulcio", problem.clone()))
    );
    assert_eq!(rekor(&[text]), Err(TrustError::new("rekor[0]", problem)));
}

#[test]
fn more_roots_or_log_keys_than_the_limit_are_refused() {
    // Nothing here checks signatures, so another last byte makes another certificate.
    let root = &Certificate::parse_pem(ROOT_A).unwrap()[0];
    let other = |byte: usize| {
        let mut der = root.der().to_vec();
        *der.last_mut().unwrap() = u8::try_from(byte).unwrap();
        Certificate::from_der(&der).unwrap().to_pem()
    };
    let roots = |count: usize| (0..count).map(other).collect::<String>();
    assert_eq!(
        fulcio(&roots(MAX_ENTRIES)).unwrap().fulcio_roots().len(),
        MAX_ENTRIES
    );
    let too_many = TrustProblem::TooMany(MAX_ENTRIES + 1);
    let error = fulcio(&roots(MAX_ENTRIES + 1)).unwrap_err();
    assert_eq!(error, TrustError::new("fulcio", too_many.clone()));

    let mut texts: Vec<String> = (0..MAX_ENTRIES).map(ed25519).collect();
    assert_eq!(rekor(&texts).unwrap().other_rekor_logs().len(), MAX_ENTRIES);
    texts[0].push_str(&ed25519(MAX_ENTRIES));
    assert_eq!(
        rekor(&texts),
        Err(TrustError::new("rekor", too_many.clone()))
    );
    let texts = vec![String::new(); MAX_ENTRIES + 1];
    assert_eq!(rekor(&texts), Err(TrustError::new("rekor", too_many)));
}

/// One of many keys (RFC 8410).
fn ed25519(which: usize) -> String {
    let mut der = hex::decode("302a300506032b6570032100").unwrap();
    der.extend([u8::try_from(which).unwrap(); 32]);
    ::pem::encode(&::pem::Pem::new("PUBLIC KEY", der))
}
