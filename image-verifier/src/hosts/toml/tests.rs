use std::path::PathBuf;
use std::time::Duration;

use super::*;

fn hosts(text: &str) -> Result<Vec<Host>, Bad> {
    parse(text, Path::new("/certs"), &Host::upstream("example.com"))
}

#[track_caller]
fn one(text: &str) -> Host {
    let hosts = hosts(text).unwrap();
    assert_eq!(hosts.len(), 2, "{hosts:?}");
    hosts[0].clone()
}

fn address(plain: bool, authority: &str, path: &str) -> Address {
    Address {
        plain,
        authority: authority.to_owned(),
        path: path.to_owned(),
    }
}

#[test]
fn hosts_come_in_the_order_of_the_file_and_the_server_is_last() {
    let text = r#"
        server = "https://origin.example"
        [host."https://b.example"]
        [host."https://b.example".header]
        x = "1"
        [host."http://a.example:5000"]
        [host."c.example"]
        capabilities = ["pull"]
    "#;
    let addresses: Vec<_> = hosts(text)
        .unwrap()
        .into_iter()
        .map(|h| h.address)
        .collect();
    let expected = [
        address(false, "b.example", "/v2"),
        address(true, "a.example:5000", "/v2"),
        address(false, "c.example", "/v2"),
        address(false, "origin.example", "/v2"),
    ];
    assert_eq!(addresses, expected);
}

#[test]
fn without_a_server_the_images_own_host_is_last_and_has_the_files_tls() {
    let text = "ca = 'ca.crt'\nskip_verify = true\n[host.'https://m.example']\n";
    let hosts = hosts(text).unwrap();
    assert_eq!(hosts[1].address, address(false, "example.com", "/v2"));
    assert_eq!(hosts[1].ca, Some(vec![PathBuf::from("/certs/ca.crt")]));
    assert_eq!(hosts[1].skip_verify, Some(true));
    assert_eq!((&hosts[0].ca, hosts[0].skip_verify), (&None, None));
}

#[test]
fn hosts_that_are_no_tables_with_a_header_of_their_own_are_not_asked() {
    for text in [
        "host = {'https://a' = {capabilities = ['pull']}}",
        "[host]\n'https://a'.capabilities = ['pull']",
        "host.'https://a'.capabilities = ['pull']",
    ] {
        assert_eq!(hosts(text).unwrap().len(), 1, "{text}");
    }
}

#[test]
fn capabilities_are_all_unless_some_are_named() {
    let all = one("[host.'https://a']").capabilities;
    assert_eq!(all, Capabilities::ALL);
    assert_eq!(
        one("[host.'https://a']\ncapabilities = []").capabilities,
        all
    );
    let some = one("[host.'https://a']\ncapabilities = ['PULL', 'resolve', 'push']").capabilities;
    let expected = Capabilities {
        referrers: false,
        ..Capabilities::ALL
    };
    assert_eq!(some, expected);
}

#[test]
fn paths_get_v2_unless_they_are_the_whole_path() {
    for (server, override_path, path) in [
        ("https://h", false, "/v2"),
        ("https://h/", false, "/v2"),
        ("https://h/v2/", false, "/v2"),
        ("https://h/a//./b/../c", false, "/a/c/v2"),
        ("https://h/v2/proxy", true, "/v2/proxy"),
        ("https://h/a", true, "/a"),
        ("https://h", true, ""),
        ("https://h/a?x=1#y", true, "/a"),
    ] {
        let text = format!("[host.'{server}']\noverride_path = {override_path}");
        assert_eq!(one(&text).address.path, path, "{server}");
    }
    let address = one("[host.'https://user:secret@h:5000/x']").address;
    assert_eq!(address.authority, "h:5000");
}

/// Where Go's `url.Parse` fails, containerd passes over the whole file. Rust's parser drops tabs and
/// line ends, and takes `\` for `/`: the host would be another one.
#[test]
fn a_name_that_go_takes_for_no_url_makes_the_file_unusable() {
    for name in [
        "https://a\\t.example",
        "https://a.example\\n",
        "https://a\\r.example",
        "https://a.example/x\\ty",
        "https://a.example/\\u0000",
        "https://a.example\\u007f",
        "https://a.example?\\u0001",
        "https://a.example\\\\b.example",
        "https://a.example\\\\@b.example/",
        "https://b.example@a\\\\.example/",
        "https://a b.example",
        "https://a%2eexample",
        "https://a{.example",
        "https://a^.example",
        "a\\\\b",
    ] {
        for text in [format!("server = \"{name}\""), format!("[host.\"{name}\"]")] {
            let error = hosts(&text).unwrap_err();
            assert!(error.contains("is not a URL"), "{text}: {error}");
            assert!(!error.contains(char::is_control), "{error:?}");
        }
    }
    // In a path it is no slash, and in a fragment it is nothing.
    let path = |text: &str| one(text).address.path;
    assert_eq!(path("[host.'https://a/b\\c']"), "/b%5Cc/v2");
    assert_eq!(path("[host.\"https://a/b#\\t\"]"), "/b/v2");
}

#[test]
fn what_hosts_toml_says_of_a_certificate_is_told_from_what_is_assumed_here() {
    let local = Host::upstream("127.0.0.1:5000");
    let server = |text: &str| parse(text, Path::new("/certs"), &local).unwrap().remove(0);
    let assumed = server("ca = 'x'");
    assert_eq!((assumed.skip_verify, assumed.is_unchecked()), (None, true));
    let said = server("skip_verify = true");
    assert_eq!((said.skip_verify, said.is_unchecked()), (Some(true), true));
    assert!(!server("skip_verify = false").is_unchecked());
    assert!(!server("server = 'https://127.0.0.1:5000'").is_unchecked());
}

#[test]
fn certificates_may_be_one_or_many_and_lie_beside_the_file() {
    let file = |name: &str| PathBuf::from(format!("/certs/{name}"));
    let host = one("[host.'https://a']\nca = ['/x.crt', 'y.crt']\nclient = 'c.pem'");
    assert_eq!(host.ca, Some(vec![PathBuf::from("/x.crt"), file("y.crt")]));
    assert_eq!(host.client, [(file("c.pem"), None)]);
    let host = one("[host.'https://a']\nclient = [['c.cert', 'c.key'], 'd.pem']");
    assert_eq!(
        host.client,
        [(file("c.cert"), Some(file("c.key"))), (file("d.pem"), None)]
    );
}

#[test]
fn headers_and_the_time_for_a_connection_are_read() {
    let host = one(
        "[host.'https://a']\ndial_timeout = '1m30s'\n[host.'https://a'.header]\nx = 'a'\ny = ['b', 'c']",
    );
    assert_eq!(host.dial_timeout, Some(Duration::from_secs(90)));
    let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    assert_eq!(host.header, [("x", "a"), ("y", "b"), ("y", "c")].map(own));
}

#[test]
fn what_containerd_does_not_parse_is_not_parsed_here() {
    for (text, part) in [
        ("[", "no TOML near line 1"),
        ("a = 1\nb =", "no TOML near line 2"),
        ("[[host]]", "`host`"),
        ("host = 1", "`host`"),
        ("server = 1", "`server`"),
        ("server = 'http://'", "not a URL"),
        (
            "[host.'https://a']\ncapabilities = 'pull'",
            "`capabilities`",
        ),
        (
            "[host.'https://a']\ncapabilities = ['run']",
            "`run` is not known",
        ),
        ("[host.'https://a']\nca = 1", "`ca`"),
        ("[host.'https://a']\nca = [1]", "`ca`"),
        ("[host.'https://a']\nclient = 1", "`client`"),
        ("[host.'https://a']\nclient = [['a', 'b', 'c']]", "`client`"),
        ("[host.'https://a']\nskip_verify = 'yes'", "`skip_verify`"),
        ("[host.'https://a']\noverride_path = 1", "`override_path`"),
        (
            "[host.'https://a']\ndial_timeout = 'soon'",
            "`dial_timeout`",
        ),
        ("[host.'https://a']\nheader = 1", "`header`"),
        ("[host.'https://a'.header]\nx = 1", "`x`"),
    ] {
        let error = hosts(text).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn a_secret_in_a_damaged_file_is_not_told() {
    let error = hosts("[host.'https://a'.header]\nauthorization = 'hunter2").unwrap_err();
    assert!(!error.contains("hunter2"), "{error}");
}
