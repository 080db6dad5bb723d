use super::*;

fn prefixes(registries: &[Registry]) -> Vec<&str> {
    registries.iter().map(Registry::prefix).collect()
}

fn refusal(text: &str) -> String {
    match parse(text) {
        Ok(registries) => panic!("{text:?} was read as {registries:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_the_manual_page_shows_is_read() {
    let text = r#"
unqualified-search-registries = ["example.com", "localhost:5000", "UPPER"]
credential-helpers = ["containers-auth.json"]
short-name-mode = "permissive"
additional-layer-store-auth-helper = "x"
not-known = 7

[[registry]]
prefix = "example.com/foo/"
insecure = false
blocked = false
location = "internal-registry-for-example.com/bar//"
not-known = 1
[[registry.mirror]]
location = "example-mirror-0.local/mirror-for-foo"
[[registry.mirror]]
location = "example-mirror-1.local/mirrors/foo"
insecure = true
pull-from-mirror = "digest-only"

[aliases]
fedora = "registry.fedoraproject.org/fedora"
"a.b/c" = ""
"#;
    // `a.b` is a host, so that line is taken out for the reading and put back for the refusal.
    let without = text.replace("\"a.b/c\" = \"\"\n", "\"ab/c\" = \"\"\n");
    let [registry] = &parse(&without).unwrap()[..] else {
        panic!("one registry");
    };
    assert_eq!(registry.prefix, "example.com/foo");
    let location = "internal-registry-for-example.com/bar";
    assert_eq!(registry.location.as_deref(), Some(location));
    let pulls: Vec<Pulls> = registry.mirrors.iter().map(|m| m.pulls).collect();
    assert_eq!(pulls, [Pulls::All, Pulls::Digests]);
    assert!(refusal(text).contains("`a.b/c` is no short name"));
}

#[test]
fn an_empty_file_and_one_of_comments_have_no_registries() {
    for text in ["", "# nothing\n", "registry = []\n", "[registries]\n"] {
        assert_eq!(parse(text).unwrap(), [], "{text:?}");
    }
}

#[test]
fn keys_in_other_case_are_the_same_keys() {
    let text = "[[Registry]]\nLOCATION = 'a.example'\nMirror = [{Location = 'm.example'}]\n";
    let registries = parse(text).unwrap();
    assert_eq!(registries[0].mirrors[0].location, "m.example");
    let kelvin = "[[regi\u{17F}try]]\nlocation = 'a.example'\nbloc\u{212A}ed = 7\n";
    let quoted = kelvin
        .replace("regi\u{17F}try", "\"regi\u{17F}try\"")
        .replace("bloc\u{212A}ed", "\"bloc\u{212A}ed\"");
    assert!(refusal(&quoted).contains("`blocked` is a number"));
    let twice = "[[registry]]\nlocation = 'a.example'\nLocation = 'b.example'\n";
    assert!(refusal(twice).contains("`location` stands there twice"));
}

#[test]
fn of_two_registries_with_one_prefix_the_first_counts_in_a_file() {
    let text = "[[registry]]\nprefix = 'a.example'\nlocation = 'x.example'\n[[registry]]\nprefix = 'a.example/'\nlocation = 'y.example'\n";
    let registries = parse(text).unwrap();
    assert_eq!(registries.len(), 1);
    assert_eq!(registries[0].location.as_deref(), Some("x.example"));
}

/// What is wrong in the second registry, and words of the message.
const REGISTRIES: [(&str, &str); 14] = [
    ("blocked = true", "neither `location` nor `prefix`"),
    ("prefix = 'a.example'", "give it a location"),
    ("prefix = '/'", "give it a location"),
    ("location = 'https://a.example'", "without `http://`"),
    ("location = 'b'\nprefix = 'http://a'", "without `http://`"),
    ("prefix = '*.a.example/x'", "neither port nor path"),
    ("prefix = '*.a.example:1'", "neither port nor path"),
    ("location = 'b'\npull-from-mirror = 'all'", "belongs into"),
    ("location = 7", "`location` is a number, not a string"),
    ("location = 'b'\nblocked = 'yes'", "not true or false"),
    ("location = 'b'\nmirror = ['c']", "not a list of tables"),
    ("location = 'b'\nmirror = {location = 'c'}", "is a table"),
    (
        "location = 'ok.example'\nprefix = 'p'\nblocked = true",
        "and [[registry]] number 1 are both about `ok.example` and have different values of `blocked`",
    ),
    (
        "location = 'ok.example'\nprefix = 'p'\ninsecure = true",
        "values of `insecure`",
    ),
];
/// In the first mirror of the second registry.
const MIRRORS: [(&str, &str); 5] = [
    ("insecure = true", "no location"),
    ("location = '//'", "no location"),
    ("location = 'http://m'", "without `http://`"),
    (
        "location = 'm'\npull-from-mirror = 'some'",
        "`some` is no value of `pull-from-mirror`: write `all`",
    ),
    ("location = 'm'\ninsecure = 1", "`insecure` is a number"),
];
/// Anywhere else: the whole file, where, and words of the message.
const OTHERS: [(&str, &str, &str); 21] = [
    ("[[registry", "TOML", "line 1"),
    (
        "registry = {location = 'a'}",
        "top level",
        "a list of tables",
    ),
    (
        "[registry]\nlocation = 'a'",
        "top level",
        "a list of tables",
    ),
    ("unqualified-search-registries = ['a/b']", "search", "`a/b`"),
    ("unqualified-search-registries = ['']", "search", "a host"),
    (
        "unqualified-search-registries = ['[::1]:80']",
        "search",
        "`[::1]:80`",
    ),
    (
        "unqualified-search-registries = 'a'",
        "top level",
        "a list of strings",
    ),
    (
        "credential-helpers = [1]",
        "top level",
        "`credential-helpers`",
    ),
    (
        "additional-layer-store-auth-helper = 1",
        "top level",
        "a string",
    ),
    (
        "short-name-mode = 'prompt'",
        "`short-name-mode`",
        "`permissive`",
    ),
    ("aliases = 7", "top level", "`aliases` is a number"),
    ("[aliases]\na = 7", "[aliases]", "`a` is a number"),
    (
        "[aliases]\n'a:v1' = 'b.example/c'",
        "[aliases]",
        "`a:v1` is no short",
    ),
    (
        "[aliases]\n'localhost/a' = ''",
        "[aliases]",
        "no short name",
    ),
    (
        "[aliases]\na = 'b.example/c:v1'",
        "[aliases]",
        "without tag",
    ),
    (
        "[aliases]\na = 'b.example/C'",
        "[aliases]",
        "no full image name",
    ),
    ("[aliases]\na = 'b/c'", "[aliases]", "with a host"),
    ("registries = 7", "top level", "`registries` is a number"),
    (
        "[registries.search]\nregistries = [1]",
        "[registries]",
        "a list of strings",
    ),
    (
        "[registries.search]\nregistries = ['a/b']",
        "search",
        "`a/b`",
    ),
    (
        "[registries.block]\nregistries = ['https://a']",
        "[registries]",
        "`http://`",
    ),
];

#[test]
fn each_mistake_is_refused_with_its_place_and_what_to_do() {
    let mut texts = Vec::new();
    let before = "[[registry]]\nlocation = 'ok.example'\n[[registry]]\n";
    for (lines, words) in REGISTRIES {
        texts.push((format!("{before}{lines}\n"), "[[registry]] number 2", words));
    }
    for (lines, words) in MIRRORS {
        let text = format!("{before}location = 'a.example'\n[[registry.mirror]]\n{lines}\n");
        let place = "[[registry.mirror]] number 1 of [[registry]] number 2";
        texts.push((text, place, words));
    }
    let others = OTHERS.map(|(text, place, words)| (text.to_owned(), place, words));
    for (text, place, words) in texts.into_iter().chain(others) {
        let error = refusal(&text);
        let is_told = error.contains(place) && error.contains(words);
        assert!(is_told, "{text:?}: {error}");
    }
}

#[test]
fn two_ways_to_say_when_a_mirror_is_used_are_refused() {
    let text = "[[registry]]\nlocation = 'a'\nmirror-by-digest-only = true\nmirror = [{location = 'm', pull-from-mirror = 'all'}]\n";
    assert!(refusal(text).contains("`mirror-by-digest-only`: remove one"));
}

#[test]
fn version_1_has_no_mirrors_and_mixes_with_nothing() {
    let old = "[registries.search]\nregistries = ['docker.io']\n[registries.block]\nregistries = ['bad.example/']\n";
    let document = parse_document(old).unwrap();
    assert_eq!(document.format, Format::V1);
    assert_eq!(prefixes(&document.registries), ["bad.example"]);
    for new in [
        "short-name-mode = 'disabled'\n",
        "unqualified-search-registries = []\n",
        "registry = [{location = 'a'}]\n",
        "aliases = {a = 'b.example/c'}\n",
    ] {
        assert!(
            refusal(&format!("{new}{old}")).contains("mixes the versions"),
            "{new}"
        );
    }
    let source = |name, text| Source { name, text };
    assert!(merge(Some(source("main", old)), &[]).is_ok());
    let error = merge(None, &[source("etc/x.conf", old)]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("etc/x.conf: it is in version 1")
    );
}

#[test]
fn a_later_file_replaces_a_registry_mirrors_and_all() {
    let main = "[[registry]]\nlocation = 'a.example'\nmirror = [{location = 'm.example'}]\n[[registry]]\nlocation = 'b.example'\n";
    let first = "[[registry]]\nprefix = 'a.example'\nlocation = 'elsewhere.example'\n";
    let second = "[[registry]]\nprefix = '*.c.example'\n";
    let registries = merge(
        Some(Source {
            name: "registries.conf",
            text: main,
        }),
        &[
            Source {
                name: "10.conf",
                text: first,
            },
            Source {
                name: "20.conf",
                text: second,
            },
        ],
    )
    .unwrap();
    assert_eq!(
        prefixes(&registries),
        ["*.c.example", "a.example", "b.example"]
    );
    assert_eq!(registries[1].location.as_deref(), Some("elsewhere.example"));
    assert_eq!(registries[1].mirrors, []);
    let bad = Source {
        name: "30.conf",
        text: "[[registry]]\n",
    };
    let error = merge(None, &[bad]).unwrap_err().to_string();
    assert_eq!(
        error,
        "30.conf: [[registry]] number 1 has neither `location` nor `prefix`: give it a location"
    );
}

#[test]
fn conflicts_are_looked_for_within_a_file_only() {
    let one = "[[registry]]\nlocation = 'a.example'\n";
    let other = "[[registry]]\nprefix = 'p.example'\nlocation = 'a.example'\ninsecure = true\n";
    let main = Source {
        name: "a",
        text: one,
    };
    let drop_in = Source {
        name: "b",
        text: other,
    };
    assert_eq!(merge(Some(main), &[drop_in]).unwrap().len(), 2);
}

#[test]
fn files_past_the_limits_are_refused() {
    assert!(refusal(&" ".repeat(MAX_BYTES + 1)).contains("more than 1048576 bytes"));
    let many = "[[registry]]\nlocation = 'a'\n".repeat(MAX_REGISTRIES + 1);
    assert!(refusal(&many).contains("more than 5000 registries"));
    let mirrors = vec!["{location = 'm'}"; MAX_MIRRORS + 1].join(",");
    let text = format!("[[registry]]\nlocation = 'a'\nmirror = [{mirrors}]\n");
    assert!(refusal(&text).contains("more than 100 mirrors"));
    assert!(parse(&format!("a = {}", "[".repeat(10_000))).is_err());
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        let _ = parse(&text);
    }
}

#[test]
fn an_empty_name_in_version_1_is_refused() {
    for section in ["insecure", "block"] {
        let said = refusal(&format!("[registries.{section}]\nregistries = [\"\"]\n"));
        assert!(said.contains("neither `location` nor `prefix`"), "{said}");
    }
}
