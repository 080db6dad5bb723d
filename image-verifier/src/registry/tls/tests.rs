use std::io::{BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use policy::digest::Digest;
use policy::reference::Reference;
use policy::verifier::{Access, Limits};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::ResolvesServerCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
};

use super::*;
use crate::environment::Environment;
use crate::registry::{Registries, RegistryError};

const CA: Bundles = &[concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/tls/ca.pem")];
const OTHER_CA: Bundles = &[concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/testdata/tls/other-ca.pem"
)];
const LEAF: &[u8] = include_bytes!("../../../testdata/tls/leaf.pem");
const KEY: &[u8] = include_bytes!("../../../testdata/tls/leaf.key");
const OTHER_KEY: &[u8] = include_bytes!("../../../testdata/tls/other-leaf.key");

/// A time at which the certificates of the tests are valid, whatever the clock says.
const VALID: u64 = 2_000_000_000;
const HUNDRED_YEARS: u64 = 36_525 * 24 * 60 * 60;

const BLOB: &[u8] = b"a blob";

fn leaf() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(LEAF).unwrap()
}

fn authorities_of(
    bundles: Bundles,
    more: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Authorities {
    Authorities {
        roots: Arc::new(HostRoots::new(bundles)),
        more,
        provider,
        verifier: OnceLock::new(),
    }
}

fn check(bundles: Bundles, name: &'static str, at: u64) -> Result<(), Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let name = ServerName::try_from(name).unwrap();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(at));
    authorities_of(bundles, Vec::new(), provider)
        .verify_server_cert(&leaf(), &[], &name, &[], now)
        .map(|_| ())
}

/// A registry that holds one blob, behind a proxy that leads every name to it: so that a client can
/// reach it under a name that is not of this machine. Serves one connection.
fn serve(key: &[u8], version: &'static SupportedProtocolVersion) -> SocketAddr {
    let key = PrivateKeyDer::from_pem_slice(key).unwrap();
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    // Unlike the usual way, this one takes a key that does not belong to the certificate.
    let resolver = SingleCertAndKey::from(CertifiedKey::new(vec![leaf()], key));
    let resolver: Arc<dyn ResolvesServerCert> = Arc::new(resolver);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        // A client that hangs up in the handshake is what some tests are about.
        let _ = answer(stream, Arc::new(config));
    });
    address
}

fn answer(mut stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<()> {
    // The client says nothing more before it has the answer: no byte of TLS is lost in the buffer.
    skip_head(&mut BufReader::new(&stream))?;
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    skip_head(&mut BufReader::new(&mut stream))?;
    let length = BLOB.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    )?;
    stream.write_all(BLOB)?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn skip_head(stream: &mut impl BufRead) -> io::Result<()> {
    let mut line = String::new();
    while stream.read_line(&mut line)? > 2 {
        line.clear();
    }
    Ok(())
}

/// Fetches the blob through the whole client.
async fn fetch(
    bundles: Bundles,
    host: &str,
    key: &[u8],
    version: &'static SupportedProtocolVersion,
) -> Result<Vec<u8>, RegistryError> {
    let environment = Environment {
        https_proxy: Some(format!("http://{}", serve(key, version))),
        ..Environment::default()
    };
    let image = Reference::parse(&format!("{host}/app:v1")).unwrap();
    let access = Access::none();
    let limits = Limits::default();
    let registries = Registries::with_bundles(&image, &access, &environment, &limits, bundles)?;
    registries.as_slice()[0].blob(&Digest::of(BLOB)).await
}

#[track_caller]
fn assert_failed(fetched: &Result<Vec<u8>, RegistryError>, part: &str) {
    let Err(RegistryError::Transient { cause }) = fetched else {
        panic!("{fetched:?}")
    };
    assert!(cause.contains(part), "{cause}");
}

#[test]
fn a_certificate_by_an_authority_of_the_host_is_good_for_its_names() {
    for name in ["registry.test", "localhost", "127.0.0.1"] {
        check(CA, name, VALID).unwrap();
    }
    for name in ["other.test", "a.registry.test", "127.0.0.2"] {
        let error = check(CA, name, VALID).unwrap_err();
        let Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. }) = error
        else {
            panic!("{name}: {error:?}")
        };
    }
}

#[test]
fn a_certificate_by_another_authority_is_of_an_unknown_issuer() {
    let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
    assert_eq!(check(OTHER_CA, "registry.test", VALID), Err(unknown));
}

#[test]
fn a_certificate_is_good_only_in_its_time() {
    let error = check(CA, "registry.test", VALID + HUNDRED_YEARS).unwrap_err();
    let Error::InvalidCertificate(CertificateError::ExpiredContext { .. }) = error else {
        panic!("{error:?}")
    };
    let error = check(CA, "registry.test", 0).unwrap_err();
    let Error::InvalidCertificate(CertificateError::NotValidYetContext { .. }) = error else {
        panic!("{error:?}")
    };
}

#[test]
fn a_host_without_roots_trusts_nobody_and_says_where_it_looked() {
    let error = roots(&["/nonexistent/ca.pem"]).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/ca.pem"), "{error}");
    let error = roots(&["/dev/null"]).unwrap_err();
    assert!(error.to_string().contains("no CA certificate"), "{error}");
    let error = check(&["/nonexistent/ca.pem"], "registry.test", VALID).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/ca.pem"), "{error}");
}

#[test]
fn making_the_configuration_reads_no_roots() {
    let roots = Arc::new(HostRoots::new(&["/nonexistent/ca.pem"]));
    let config = config(&roots, &Settings::default()).unwrap();
    assert!(roots.store.get().is_none());
    assert_eq!(config.alpn_protocols[0], b"h2");
}

#[tokio::test]
async fn a_registry_is_believed_by_its_certificate_alone() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let good = fetch(CA, "registry.test", KEY, version).await;
        assert_eq!(good.as_deref(), Ok(BLOB));
        let by_nobody = fetch(OTHER_CA, "registry.test", KEY, version).await;
        assert_failed(&by_nobody, "UnknownIssuer");
        let elsewhere = fetch(CA, "other.test", KEY, version).await;
        assert_failed(&elsewhere, "not valid for name");
        // Somebody who has the certificate, and not its key.
        let stolen = fetch(CA, "registry.test", OTHER_KEY, version).await;
        assert_failed(&stolen, "BadSignature");
    }
}

#[tokio::test]
async fn the_authorities_of_a_usual_host_do_not_vouch_for_those_of_the_tests() {
    let fetched = fetch(HOST_BUNDLES, "registry.test", KEY, &rustls::version::TLS13).await;
    assert!(fetched.is_err(), "{fetched:?}");
}

/// A registry on this machine that leads to the blob's place at `target`. Its own certificate would not
/// be checked; it speaks no TLS.
fn leading_to(target: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut first = [0];
            stream.peek(&mut first).unwrap();
            let answer = if first == [0x16] {
                "400 Bad Request".to_owned()
            } else {
                skip_head(&mut BufReader::new(&stream)).unwrap();
                format!("307 Elsewhere\r\nLocation: {target}")
            };
            let head =
                format!("HTTP/1.1 {answer}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            // Whoever hangs up has had enough.
            let _ = stream.write_all(head.as_bytes());
        }
    });
    address
}

/// That nobody checks the certificate of a registry on this machine is no word about another machine.
#[tokio::test]
async fn a_registry_on_this_machine_does_not_lead_past_the_certificates_of_others() {
    let version = &rustls::version::TLS13;
    for (bundles, name, part) in [
        (CA, "registry.test", None),
        (OTHER_CA, "registry.test", Some("UnknownIssuer")),
        (CA, "other.test", Some("not valid for name")),
    ] {
        let host = leading_to(format!("https://{name}/blob"));
        let environment = Environment {
            https_proxy: Some(format!("http://{}", serve(KEY, version))),
            ..Environment::default()
        };
        let image = Reference::parse(&format!("{host}/app:v1")).unwrap();
        let access = Access::none();
        let limits = Limits::default();
        let registries =
            Registries::with_bundles(&image, &access, &environment, &limits, bundles).unwrap();
        let fetched = registries.as_slice()[0].blob(&Digest::of(BLOB)).await;
        match part {
            None => assert_eq!(fetched.as_deref(), Ok(BLOB)),
            Some(part) => assert_failed(&fetched, part),
        }
    }
}

#[test]
fn the_post_quantum_key_exchange_goes_first_and_nothing_is_left_out() {
    let names = |provider: &CryptoProvider| -> Vec<_> {
        provider
            .kx_groups
            .iter()
            .map(|group| group.name())
            .collect()
    };
    let ours = names(&provider());
    assert_eq!(ours[..2], [NamedGroup::X25519MLKEM768, NamedGroup::X25519]);
    assert_eq!(ours.len(), names(&aws_lc_rs::default_provider()).len());
}

#[test]
fn authorities_of_a_host_are_added_to_those_of_the_node() {
    let more = authorities(&[PathBuf::from(CA[0])]).unwrap();
    for bundles in [OTHER_CA, &["/nonexistent/ca.pem"]] {
        let verifier = authorities_of(bundles, more.clone(), Arc::new(provider()));
        let name = ServerName::try_from("registry.test").unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(VALID));
        let checked = verifier.verify_server_cert(&leaf(), &[], &name, &[], now);
        assert!(checked.is_ok(), "{checked:?}");
    }
}

#[test]
fn files_that_hold_no_certificate_or_key_are_errors_that_name_them() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/tls");
    let file = |name: &str| PathBuf::from(format!("{folder}/{name}"));
    let roots = Arc::new(HostRoots::new(CA));
    let with = |ca: &[&str], client: &[(&str, Option<&str>)]| {
        let settings = Settings {
            ca: ca.iter().map(|name| file(name)).collect(),
            client: client
                .iter()
                .map(|(certificate, key)| (file(certificate), key.map(file)))
                .collect(),
            skip_verify: false,
        };
        config(&roots, &settings).map_err(|error| error.to_string())
    };
    assert!(with(&["ca.pem"], &[("leaf.pem", Some("leaf.key"))]).is_ok());
    for (ca, client, part) in [
        (&["none.pem"][..], &[][..], "none.pem cannot be read"),
        (&["leaf.key"], &[], "leaf.key holds no CA certificate"),
        (&[], &[("none.pem", None)], "none.pem cannot be read"),
        (&[], &[("leaf.pem", None)], "leaf.pem holds no private key"),
        (
            &[],
            &[("leaf.key", None)],
            "leaf.key holds no client certificate",
        ),
        (
            &[],
            &[("leaf.pem", Some("other-leaf.key"))],
            "other-leaf.key is not the key",
        ),
    ] {
        let error = with(ca, client).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}
