//! Against a name server on this machine that says what a test wants, or nothing.

use std::sync::Mutex;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts};
use tokio::net::UdpSocket;

use super::*;

const A: u16 = 1;
const AAAA: u16 = 28;
/// Far longer than any of these tests may take, and far less than the resolver would wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a server says to a question.
#[derive(Debug, Clone, Copy)]
enum Says {
    Address(IpAddr),
    /// The name has no address of this kind.
    Nothing,
    NoSuchName,
    /// Not a word.
    Silence,
}

type Asked = Arc<Mutex<Vec<(String, u16)>>>;

/// Starts a server, and gives a resolver that asks it alone, and what it is asked.
async fn server(
    search: &[&str],
    says: impl Fn(&str, u16) -> Says + Send + 'static,
) -> (Names, Asked) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut connection = ConnectionConfig::udp();
    connection.port = socket.local_addr().unwrap().port();
    let asked = Asked::default();
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut packet = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut packet).await {
            let (name, kind, question) = question(&packet[..length]);
            log.lock().unwrap().push((name.clone(), kind));
            if let Some(answer) = answer(&packet[..2], question, says(&name, kind)) {
                socket.send_to(&answer, from).await.unwrap();
            }
        }
    });
    let address = "127.0.0.1".parse().unwrap();
    let server = NameServerConfig::new(address, true, vec![connection]);
    let search = search.iter().map(|name| name.parse().unwrap()).collect();
    let config = ResolverConfig::from_parts(None, search, vec![server]);
    let mut options = ResolverOpts::default();
    options.timeout = Duration::from_hours(1);
    options.use_hosts_file = ResolveHosts::Never;
    (Names::new(config, &options).unwrap(), asked)
}

/// The name, the type, and the bytes of a query's only question.
fn question(packet: &[u8]) -> (String, u16, &[u8]) {
    let mut labels = Vec::new();
    let mut at = 12;
    while packet[at] != 0 {
        let end = at + 1 + usize::from(packet[at]);
        labels.push(String::from_utf8(packet[at + 1..end].to_vec()).unwrap());
        at = end;
    }
    let kind = u16::from_be_bytes([packet[at + 1], packet[at + 2]]);
    (labels.join(".").to_lowercase(), kind, &packet[12..at + 5])
}

fn answer(id: &[u8], question: &[u8], says: Says) -> Option<Vec<u8>> {
    let (code, address) = match says {
        Says::Silence => return None,
        Says::NoSuchName => (3, None),
        Says::Nothing => (0, None),
        Says::Address(address) => (0, Some(address)),
    };
    let count = u8::from(address.is_some());
    let head = [0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0];
    let mut packet = [id, &head, question].concat();
    if let Some(address) = address {
        let (kind, bytes) = match address {
            IpAddr::V4(address) => (A, address.octets().to_vec()),
            IpAddr::V6(address) => (AAAA, address.octets().to_vec()),
        };
        packet.extend([0xc0, 12]);
        packet.extend(kind.to_be_bytes());
        packet.extend([0, 1, 0, 0, 0, 60, 0]);
        packet.push(u8::try_from(bytes.len()).unwrap());
        packet.extend(bytes);
    }
    Some(packet)
}

fn ip(text: &str) -> Says {
    Says::Address(text.parse().unwrap())
}

async fn look(names: &Names, host: &str) -> Result<Vec<String>, String> {
    let found = timeout(PATIENCE, names.addresses(host)).await.unwrap();
    found
        .map(|found| found.iter().map(ToString::to_string).collect())
        .map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_kind_of_address_that_is_never_answered_is_not_waited_for() {
    for (silent, address) in [(AAAA, "192.0.2.1"), (A, "2001:db8::1")] {
        let (names, asked) = server(&[], move |_, kind| match kind {
            kind if kind == silent => Says::Silence,
            _ => ip(address),
        })
        .await;
        let found = look(&names, "registry.example").await;
        assert_eq!(found, Ok(vec![address.to_owned()]));
        let mut asked = asked.lock().unwrap().clone();
        asked.sort();
        let name = || "registry.example".to_owned();
        assert_eq!(asked, [(name(), A), (name(), AAAA)]);
    }
}

#[tokio::test]
async fn both_kinds_of_address_are_found_ipv6_first() {
    let (names, _) = server(&[], |_, kind| match kind {
        A => ip("192.0.2.1"),
        _ => ip("2001:db8::1"),
    })
    .await;
    let found = look(&names, "registry.example").await;
    assert_eq!(found, Ok(vec!["2001:db8::1".into(), "192.0.2.1".into()]));
}

#[tokio::test]
async fn one_kind_of_address_is_enough_whatever_is_said_of_the_other() {
    for said in [Says::Nothing, Says::NoSuchName] {
        let (names, _) = server(&[], move |_, kind| match kind {
            A => ip("192.0.2.1"),
            _ => said,
        })
        .await;
        let found = look(&names, "registry.example").await;
        assert_eq!(found, Ok(vec!["192.0.2.1".into()]), "{said:?}");
    }
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_an_error_even_where_ipv6_is_never_answered() {
    for said in [Says::Silence, Says::NoSuchName, Says::Nothing] {
        let (names, _) = server(&[], move |_, kind| match kind {
            A => Says::NoSuchName,
            _ => said,
        })
        .await;
        let error = look(&names, "registry.example").await.unwrap_err();
        assert!(error.contains("registry.example"), "{said:?}: {error}");
    }
}

/// A name below the search list's domain is another host, whatever it has addresses of.
#[tokio::test]
async fn addresses_of_another_name_are_never_mixed_in() {
    let (names, asked) = server(&["corp.example"], |name, kind| match (name, kind) {
        ("registry.example", A) => ip("192.0.2.1"),
        ("registry.example", _) => Says::Nothing,
        _ => ip("2001:db8::bad"),
    })
    .await;
    let found = look(&names, "registry.example").await;
    assert_eq!(found, Ok(vec!["192.0.2.1".into()]));
    let asked = asked.lock().unwrap();
    assert!(asked.iter().all(|(name, _)| name == "registry.example"));
}

#[tokio::test]
async fn a_short_name_is_looked_for_in_the_search_list_and_then_as_it_stands() {
    let search = ["a.example", "b.example"];
    let (names, asked) = server(&search, |name, kind| match (name, kind) {
        ("registry.b.example", A) => ip("192.0.2.2"),
        ("registry", A) => ip("192.0.2.3"),
        (_, A) => Says::NoSuchName,
        _ => Says::Silence,
    })
    .await;
    let found = look(&names, "registry").await;
    assert_eq!(found, Ok(vec!["192.0.2.2".into()]));
    let asked: Vec<String> = asked
        .lock()
        .unwrap()
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
    assert!(!asked.contains(&"registry".to_owned()), "{asked:?}");
    let list = |host: &str| -> Vec<String> {
        let names = names.candidates(Name::from_utf8(host).unwrap());
        names.iter().map(ToString::to_string).collect()
    };
    let long = ["x.y.", "x.y.a.example.", "x.y.b.example."];
    assert_eq!(list("x.y"), long);
    assert_eq!(list("x"), ["x.a.example.", "x.b.example.", "x."]);
    assert_eq!(list("x."), ["x."]);
}

/// The addresses of a host by the whole resolver, where only these names may be near.
async fn led_to(near: Option<&[&str]>, host: &str, says: [Says; 2]) -> Result<Vec<String>, String> {
    let [v4, v6] = says;
    let (names, _) = server(&[], move |_, kind| if kind == A { v4 } else { v6 }).await;
    let near = near.map(|names| names.iter().map(|&name| name.to_owned()).collect());
    let resolver = NodeResolver {
        names: Arc::new(OnceCell::new_with(Some(names))),
        ..NodeResolver::new(near)
    };
    let found = timeout(PATIENCE, resolver.resolve(host.parse().unwrap())).await;
    found
        .unwrap()
        .map(|found| found.map(|address| address.ip().to_string()).collect())
        .map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_name_that_a_remote_registry_leads_to_is_never_this_machine() {
    for address in ["127.0.0.1", "169.254.169.254", "0.0.0.0"] {
        let says = [ip(address), Says::Nothing];
        let error = led_to(Some(&["registry.example"]), "evil.example", says).await;
        let error = error.unwrap_err();
        assert!(error.contains("evil.example is this machine"), "{error}");
        // By the node's own configuration it may be.
        let found = led_to(Some(&["evil.example"]), "evil.example", says).await;
        assert_eq!(found, Ok(vec![address.to_owned()]));
        let found = led_to(None, "evil.example", says).await;
        assert_eq!(found, Ok(vec![address.to_owned()]));
    }
    for address in [
        "::1",
        "fe80::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
    ] {
        let says = [Says::Nothing, ip(address)];
        assert!(
            led_to(Some(&[]), "evil.example", says).await.is_err(),
            "{address}"
        );
    }
    // What else it has counts.
    let says = [ip("192.0.2.1"), ip("::1")];
    let found = led_to(Some(&[]), "evil.example", says).await;
    assert_eq!(found, Ok(vec!["192.0.2.1".to_owned()]));
}
