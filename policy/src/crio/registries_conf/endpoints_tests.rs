use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::reference::Reference;
use crate::scope::Scope;

const CONF: &str = r#"
unqualified-search-registries = ["docker.io"]

[[registry]]
prefix = "registry.example.com/team"
location = "registry.example.com/team"
[[registry.mirror]]
location = "mirror.local:5000/cache/"
insecure = true
[[registry.mirror]]
location = "second.local"

[[registry]]
prefix = "*.corp.example"
mirror = [{ location = "corp.local:5000" }]

[[registry]]
location = "docker.io"
blocked = true
"#;

/// The places of all these locations, without those that are among them.
fn endpoints(locations: &BTreeSet<String>, registries: &[Registry]) -> BTreeSet<String> {
    let index = Endpoints::new(registries);
    let places = locations.iter().flat_map(|location| index.of(location));
    places.filter(|place| !locations.contains(place)).collect()
}

fn found(conf: &str, locations: &[&str]) -> Vec<String> {
    let locations = locations.iter().map(ToString::to_string).collect();
    let registries = parse(conf).unwrap();
    endpoints(&locations, &registries).into_iter().collect()
}

fn of(locations: &[&str]) -> Vec<String> {
    found(CONF, locations)
}

#[test]
fn a_location_below_a_prefix_keeps_what_follows() {
    assert_eq!(
        of(&["registry.example.com/team/app:v1"]),
        ["mirror.local:5000/cache/app:v1", "second.local/app:v1"]
    );
    assert_eq!(
        of(&["registry.example.com/team"]),
        ["mirror.local:5000/cache", "second.local"]
    );
    assert_eq!(of(&["build.corp.example/x"]), ["corp.local:5000/x"]);
}

#[test]
fn a_location_above_a_prefix_takes_whole_mirrors() {
    let whole = [
        "mirror.local:5000/cache",
        "registry.example.com/team",
        "second.local",
    ];
    assert_eq!(of(&["registry.example.com"]), whole);
    assert_eq!(of(&["*.example.com"]), whole);
    assert_eq!(of(&["*.example"])[0], "corp.local:5000");
    assert_eq!(of(&["*.a.corp.example"]), ["corp.local:5000"]);
}

#[test]
fn a_name_that_only_begins_alike_has_no_mirror() {
    assert_eq!(of(&["registry.example.com/teams"]), [""; 0]);
    assert_eq!(of(&["registry.example.com/other"]), [""; 0]);
    assert_eq!(of(&["docker.io/library"]), [""; 0]);
}

#[test]
fn the_twin_of_a_location_has_mirrors_that_are_names() {
    let conf = "[[registry]]\nlocation = 'a.example'\nmirror = [{location = 'b.example'}, {location = 'c.example/x'}, {location = 'd.example:1'}]\n";
    assert_eq!(found(conf, &["a.example:443/team"]), ["b.example:443/team"]);
}

/// Two registries, each with its place.
fn pair(first: (&str, &str), second: (&str, &str)) -> String {
    let one =
        |(prefix, at): (&str, &str)| format!("[[registry]]\nprefix='{prefix}'\nlocation='{at}'\n");
    format!("{}{}", one(first), one(second))
}

#[test]
fn only_the_longest_prefix_counts() {
    let conf = pair(
        ("a.example", "short.local"),
        ("a.example/team", "long.local/x"),
    );
    assert_eq!(found(&conf, &["a.example/team/app"]), ["long.local/x/app"]);
    assert_eq!(found(&conf, &["a.example/other"]), ["short.local/other"]);
    assert_eq!(
        found(&conf, &["a.example"]),
        ["long.local/x", "short.local"]
    );
}

#[test]
fn a_wildcard_as_long_as_a_host_counts_before_it() {
    let conf = pair(("a.example", "host.local"), ("*.example", "wild.local"));
    assert_eq!(found(&conf, &["a.example/x"]), ["wild.local/x"]);
    let conf = pair(("ab.example", "host.local"), ("*.example", "wild.local"));
    assert_eq!(found(&conf, &["ab.example/x"]), ["host.local/x"]);
}

#[test]
fn a_host_that_repeats_the_domain_is_not_under_the_wildcard() {
    let conf = pair(
        ("a.example.b.example", "host.local"),
        ("*.example", "w.local"),
    );
    assert_eq!(found(&conf, &["a.example.b.example/x"]), ["host.local/x"]);
    assert_eq!(found(&conf, &["c.example.d.example/x"]), [""; 0]);
}

#[test]
fn mirrors_for_digests_are_none_for_tags_and_the_other_way_round() {
    let conf = "[[registry]]\nlocation = 'a.example'\nmirror = [{location = 'd.local', pull-from-mirror = 'digest-only'}, {location = 't.local', pull-from-mirror = 'tag-only'}]\n";
    let digest = format!("@sha256:{}", "0".repeat(64));
    assert_eq!(found(conf, &["a.example/x:v1"]), ["t.local/x:v1"]);
    assert_eq!(
        found(conf, &[&format!("a.example/x{digest}")]),
        [format!("d.local/x{digest}")]
    );
    assert_eq!(found(conf, &["a.example/x"]), ["d.local/x", "t.local/x"]);
    let conf = "[[registry]]\nlocation = 'a.example'\nmirror-by-digest-only = true\nmirror = [{location = 'd.local'}]\n";
    assert_eq!(found(conf, &["a.example/x:v1"]), [""; 0]);
}

#[test]
fn a_tag_is_never_taken_for_a_port() {
    let conf = pair(
        ("a.example/app", "host.local"),
        ("b.example/app", "h.local/x"),
    );
    assert_eq!(found(&conf, &["a.example/app:5000"]), [""; 0]);
    assert_eq!(found(&conf, &["b.example/app:5000"]), ["h.local/x:5000"]);
}

#[test]
fn a_whole_domain_at_a_mirror_is_found_on_443_too() {
    let conf = pair(
        ("*.corp.example", "m.local"),
        ("x.corp.example/y", "n.local"),
    );
    let whole = ["m.local", "m.local:443", "n.local"];
    assert_eq!(found(&conf, &["*.corp.example"]), whole);
}

/// What the library tries for an image, from the manual page and `PullSourcesFromReference`
/// alone: text in, text out.
fn pull_sources(image: &Reference, registries: &[Registry]) -> Vec<String> {
    let text = image.to_string();
    let name = image.repository();
    let matched = |text: &str, prefix: &str| -> Option<usize> {
        let end = match prefix.strip_prefix('*') {
            Some(domain) => {
                let at = text.find(domain)?;
                if text[..at].contains('/') {
                    return None;
                }
                at + domain.len()
            }
            None if text.starts_with(prefix) => prefix.len(),
            None => return None,
        };
        let next = text[end..].chars().next();
        next.is_none_or(|c| ":/@".contains(c)).then_some(end)
    };
    let mut best: Option<&Registry> = None;
    for registry in registries {
        let longer = best.is_none_or(|best| registry.prefix.len() > best.prefix.len());
        if longer && matched(&name, &registry.prefix).is_some() {
            best = Some(registry);
        }
    }
    let Some(registry) = best else {
        return vec![text];
    };
    let end = matched(&text, &registry.prefix).unwrap();
    let digested = text.contains('@');
    let mirrors = registry.mirrors.iter().filter(|mirror| match mirror.pulls {
        Pulls::All => true,
        Pulls::Digests => digested,
        Pulls::Tags => !digested,
    });
    let mut places: Vec<String> = mirrors
        .map(|mirror| format!("{}{}", mirror.location, &text[end..]))
        .collect();
    places.push(match &registry.location {
        Some(location) => format!("{location}{}", &text[end..]),
        None => text.clone(),
    });
    places
}

/// The places of a pull as the library's `ParseNamed` takes them: canonical references only.
fn physical(image: &Reference, registries: &[Registry]) -> Vec<Reference> {
    let sources = pull_sources(image, registries);
    let parsed: Option<Vec<Reference>> = sources
        .iter()
        .map(|text| {
            let reference = Reference::parse(text).ok()?;
            (reference.to_string() == *text).then_some(reference)
        })
        .collect();
    // One that is no name fails the whole pull.
    parsed.unwrap_or_default()
}

const HOSTS: [&str; 8] = [
    "a.ex",
    "b.ex",
    "a.b.ex",
    "ex.b.ex",
    "a.ex:5000",
    "a.ex:443",
    "b.ex:443",
    "a.b.ex:443",
];
const PATHS: [&str; 6] = ["", "/t", "/t/u", "/t/u/v", "/u", "/tt"];
const PLACES: [&str; 9] = [
    "m.lo",
    "m.lo:5000",
    "m.lo/t",
    "m.lo:5000/c/d",
    "n.lo",
    "lo:5000",
    "a.ex/m",
    "b.ex",
    "a.b.ex/t",
];

fn prefix() -> impl Strategy<Value = String> {
    let plain =
        (select(&HOSTS[..]), select(&PATHS[..])).prop_map(|(host, path)| format!("{host}{path}"));
    prop_oneof![3 => plain, 1 => select(vec!["*.ex", "*.b.ex"]).prop_map(str::to_owned)]
}

fn registry_text() -> impl Strategy<Value = String> {
    let pulls = select(vec!["", "all", "digest-only", "tag-only"]);
    let mirror = (select(&PLACES[..]), pulls).prop_map(|(at, pulls)| {
        let pulls = match pulls {
            "" => String::new(),
            pulls => format!(", pull-from-mirror = '{pulls}'"),
        };
        format!("{{ location = '{at}'{pulls} }}")
    });
    let mirrors = proptest::collection::vec(mirror, 0..3);
    (prefix(), proptest::option::of(select(&PLACES[..])), mirrors).prop_map(
        |(prefix, location, mirrors)| {
            let location = match location {
                Some(location) => location.to_owned(),
                None if prefix.starts_with('*') => String::new(),
                None => prefix.clone(),
            };
            let mirrors = mirrors.join(", ");
            format!(
                "[[registry]]\nprefix = '{prefix}'\nlocation = '{location}'\nmirror = [{mirrors}]\n"
            )
        },
    )
}

fn version() -> impl Strategy<Value = String> {
    let digest = format!("@sha256:{}", "a".repeat(64));
    select(vec![":v1".to_owned(), ":5000".to_owned(), digest])
}

fn image() -> impl Strategy<Value = Reference> {
    (select(&HOSTS[..]), select(&PATHS[1..]), version()).prop_map(|(host, path, version)| {
        Reference::parse(&format!("{host}{path}{version}")).unwrap()
    })
}

/// See [`Endpoints::of`]: the one thing that is left out.
fn has_unbounded_port(scope: &Scope, image: &Reference) -> bool {
    let port = image.host().split_once(':').map(|(_, port)| port);
    scope.as_str().starts_with('*') && port.is_some_and(|port| port != "443")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// registries.d asks the same lookup list as policy.json (`PolicyConfigurationIdentity` and
    /// `PolicyConfigurationNamespaces`), so lying inside is being found by it.
    #[test]
    fn every_place_of_every_image_under_a_scope_is_found(
        texts in proptest::collection::vec(registry_text(), 0..6),
        image in image(),
        at in any::<prop::sample::Index>(),
    ) {
        let registries = parse(&texts.concat()).unwrap();
        let lookup = image.lookup();
        let scope = Scope::parse_compiled(&lookup[at.index(lookup.len())]).unwrap();
        let wanted: BTreeSet<String> = [scope.to_string()].into();
        let mut locations = endpoints(&wanted, &registries);
        locations.extend(wanted);
        for place in physical(&image, &registries) {
            let is_found = place.lookup().iter().any(|name| locations.contains(name));
            let left_out = has_unbounded_port(&scope, &image);
            prop_assert!(
                is_found || left_out,
                "{image} under {scope} is pulled from {place}, and found are {locations:?}"
            );
        }
    }

    /// The places of a location with a tag or digest are exactly those of its one image.
    #[test]
    fn an_exact_location_has_no_place_too_many(
        texts in proptest::collection::vec(registry_text(), 0..6),
        image in image(),
    ) {
        let registries = parse(&texts.concat()).unwrap();
        let places: BTreeSet<String> = physical(&image, &registries)
            .iter()
            .map(ToString::to_string)
            .collect();
        prop_assume!(!places.is_empty());
        let found = Endpoints::new(&registries).of(&image.to_string());
        for place in &found {
            prop_assert!(places.contains(place), "{place} is none of {places:?}");
        }
    }
}
