//! `hosts.toml`.

use std::path::Path;
use std::time::Duration;

use image_verifier::hosts::{Capabilities, Host, Hosts, of};
use reqwest::Url;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, Value, value};

use super::are_lines;
use super::place::Place;

/// The image's own host.
const NAME: &str = "registry.example:5000";
/// Where its folder is, as containerd is told.
const CONFIG_PATH: &str = "/certs.d";
/// The file for it.
const FILE: &str = "certs.d/registry.example:5000/hosts.toml";
/// What must not show in a message: it stands in headers.
const SECRET: &str = "Bearer-s3cr3t";

pub(crate) const WORDS: &[&str] = &[
    "server = ",
    "[host]",
    "[host.\"https://mirror.example\"]",
    "[host.\"mirror.example\"]",
    "[host.x.header]",
    "[[host]]",
    "host = {}\n",
    "host.\"https://a.example\".skip_verify = true\n",
    "capabilities = [\"pull\", \"resolve\"]\n",
    "\"referrers\"",
    "\"push\"",
    "\"PULL\"",
    "ca = ",
    "client = [[\"/c\", \"/k\"]]\n",
    "skip_verify = ",
    "override_path = true\n",
    "dial_timeout = \"5s\"\n",
    "1h1m1.5s",
    "1e300h",
    "\"+0\"",
    "header = ",
    "Bearer-s3cr3t",
    "x-token",
    "true",
    "false",
    "http://",
    "https://",
    "httpx://",
    "user:password@",
    "127.0.0.1:5000",
    "[::1]:80",
    "a.example:443",
    "a.example:",
    ":99999",
    "/v2",
    "/v2/../x",
    "/../..",
    "?ns=x",
    "#",
    "\\\\",
    "%2f",
    "%",
    "\\t",
    "\\n",
    "\\u0000",
    "\\u202e",
    "xn--",
    "\"\"\"\n",
    "'''",
    "inf",
    "1979-05-27",
    "\t",
    "\r\n",
];

thread_local! {
    static PLACE: Place = Place::new();
}

/// The hosts of an image by a file of the node, which can be written down again.
#[must_use]
pub fn hosts_toml(data: &[u8]) -> bool {
    let hosts = read(data);
    assert_eq!(hosts, read(data));
    are_lines(&hosts.notes);
    let document = std::str::from_utf8(data)
        .ok()
        .and_then(|text| text.parse::<DocumentMut>().ok());
    let Some(document) = document.filter(|_| hosts.notes.is_empty()) else {
        // Passed over with a note, as containerd does, and the image's own host is left.
        let own = Hosts {
            hosts: vec![Host::upstream(NAME)],
            notes: Vec::new(),
        };
        assert_eq!(hosts.hosts, own.hosts);
        assert_eq!(hosts.notes.is_empty(), data.is_empty());
        if !keys_hold_secrets(data) {
            let shows = hosts.notes.iter().any(|note| note.contains(SECRET));
            assert!(!shows, "{:?}", hosts.notes);
        }
        return false;
    };
    let named = document.get("host").and_then(Item::as_table);
    let headed = named.map_or(0, |tables| {
        let tables = tables.iter().filter_map(|(_, item)| item.as_table());
        tables.filter(|table| !table.is_dotted()).count()
    });
    assert_eq!(hosts.hosts.len(), headed + 1);
    for host in &hosts.hosts {
        is_a_place(host);
    }
    let text = write(&hosts.hosts);
    let again = read(text.as_bytes());
    assert_eq!(again.notes, Vec::<String>::new(), "{text}");
    assert_eq!(again.hosts.len(), hosts.hosts.len(), "{text}");
    for (one, other) in again.hosts.iter().zip(&hosts.hosts) {
        is_the_same(one, other);
    }
    true
}

fn read(data: &[u8]) -> Hosts {
    PLACE.with(|place| {
        place.put(FILE, data);
        of(NAME, &[CONFIG_PATH.to_owned()], place.root()).expect("a readable folder")
    })
}

/// Whether the secret stands where messages may quote: anywhere but in a text behind a header's name.
fn keys_hold_secrets(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let quoted = |line: &str| {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        let value = value.trim();
        key.contains(SECRET)
            || (value.contains(SECRET) && key.trim() != "x-token" && key.trim() != "authorization")
    };
    text.contains(SECRET) && text.lines().any(quoted)
}

/// A URL of the host leads to the host, to the whole path, and nowhere else.
fn is_a_place(host: &Host) {
    let address = &host.address;
    let scheme = if address.plain { "http" } else { "https" };
    let url = format!("{scheme}://{}{}/", address.authority, address.path);
    let bare = format!("{scheme}://{}/", address.authority);
    let parsed = Url::parse(&bare).unwrap_or_else(|error| unusable(&bare, error));
    assert_eq!(parsed.path(), "/", "{url:?}");
    assert_eq!(
        (parsed.username(), parsed.password()),
        ("", None),
        "{url:?}"
    );
    assert!(
        parsed.query().is_none() && parsed.fragment().is_none(),
        "{url:?}"
    );
    // Go knows no URL with control characters in it. Here some would be dropped, and a backslash be
    // taken for a slash.
    let hidden = |c: char| c.is_ascii_whitespace() || c.is_ascii_control() || c == '\\';
    assert!(!address.authority.contains(hidden), "{url:?}");
    let misread = |c: char| c.is_ascii_control() || c == '\\';
    assert!(!address.path.contains(misread), "{url:?}");
    let path = &address.path;
    assert!(path.is_empty() || path.starts_with('/'), "{url:?}");
    assert!(
        !path.contains(['?', '#']) && !path.contains("//"),
        "{url:?}"
    );
    assert!(
        !path.split('/').any(|part| part == ".." || part == "."),
        "{url:?}"
    );
    let files = host
        .ca
        .iter()
        .flatten()
        .chain(host.client.iter().map(|(path, _)| path));
    let folder = |path: &Path| path.is_absolute();
    assert!(files.into_iter().all(|path| folder(path)));
    // Asked again, the answers are the same.
    assert_eq!(host.is_mirror_of(NAME), address.authority != NAME);
    if host.is_ambiguous() {
        assert!(address.plain);
    }
}

#[expect(clippy::panic, reason = "it is how a harness answers")]
fn unusable(url: &str, error: impl std::fmt::Display) -> Url {
    panic!("{url:?}: {error}")
}

fn is_the_same(one: &Host, other: &Host) {
    let without_time = |host: &Host| Host {
        dial_timeout: None,
        ..host.clone()
    };
    assert_eq!(without_time(one), without_time(other));
    let seconds = |host: &Host| host.dial_timeout.as_ref().map(Duration::as_secs_f64);
    match (seconds(one), seconds(other)) {
        (Some(one), Some(other)) => {
            // Fractions of a second are read as floating-point numbers.
            let near = (one - other).abs() <= other.abs() * 1e-9 + 1e-8;
            assert!(near, "{one} and {other}");
        }
        (one, other) => assert_eq!(one.is_some(), other.is_some()),
    }
}

/// A file that says the same: all hosts with the whole of their paths.
fn write(hosts: &[Host]) -> String {
    let mut document = DocumentMut::new();
    let (server, mirrors) = hosts.split_last().expect("a server at least");
    settings(document.as_table_mut(), server);
    document["server"] = value(name(server, 0));
    if !mirrors.is_empty() {
        let mut tables = Table::new();
        tables.set_implicit(true);
        for (number, host) in mirrors.iter().enumerate() {
            let mut table = Table::new();
            settings(&mut table, host);
            // The number is cut off; it tells two tables of one host apart.
            tables[&name(host, number)] = Item::Table(table);
        }
        document["host"] = Item::Table(tables);
    }
    document.to_string()
}

fn name(host: &Host, number: usize) -> String {
    let address = &host.address;
    let scheme = if address.plain { "http" } else { "https" };
    format!("{scheme}://{}{}?{number}", address.authority, address.path)
}

fn settings(table: &mut Table, host: &Host) {
    let list = |texts: Vec<String>| value(texts.into_iter().collect::<Array>());
    let text = |path: &Path| path.to_str().expect("a text").to_owned();
    table["override_path"] = value(true);
    let Capabilities {
        pull,
        resolve,
        referrers,
    } = host.capabilities;
    let names = [
        ("pull", pull),
        ("resolve", resolve),
        ("referrers", referrers),
    ];
    let mut names: Vec<String> = names
        .into_iter()
        .filter(|(_, has)| *has)
        .map(|(name, _)| name.to_owned())
        .collect();
    if names.is_empty() {
        names.push("push".to_owned());
    }
    table["capabilities"] = list(names);
    if let Some(ca) = &host.ca {
        table["ca"] = list(ca.iter().map(|path| text(path)).collect());
    }
    if !host.client.is_empty() {
        let client = host.client.iter().map(|(certificate, key)| match key {
            None => Value::from(text(certificate)),
            Some(key) => Value::Array([text(certificate), text(key)].into_iter().collect()),
        });
        table["client"] = value(client.collect::<Array>());
    }
    if let Some(skip) = host.skip_verify {
        table["skip_verify"] = value(skip);
    }
    let mut header = InlineTable::new();
    for (name, text) in &host.header {
        let values = header.entry(name).or_insert_with(|| Array::new().into());
        values.as_array_mut().expect("a list").push(text.as_str());
    }
    if !header.is_empty() {
        table["header"] = value(header);
    }
    if let Some(time) = host.dial_timeout {
        let (seconds, nanos) = (time.as_secs(), time.subsec_nanos());
        table["dial_timeout"] = value(format!("{seconds}s{nanos}ns"));
    }
}
