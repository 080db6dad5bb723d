//! Scopes and image names.

use policy::reference::Reference;
use policy::scope::{MAX_SCOPE, Scope, ScopeError, lookup_of};

use crate::images;

pub(crate) const WORDS: &[&str] = &[
    "*.",
    "*",
    ".",
    "..",
    "/",
    "//",
    ":",
    "@",
    "-",
    "_",
    "__",
    "docker.io",
    "index.docker.io",
    "library",
    "localhost",
    ":443",
    ":5000",
    ":0",
    ":05000",
    ":65536",
    "[::1]",
    "[fe80::1%25eth0]",
    "127.0.0.1",
    "https://",
    "http://",
    "sha256:",
    "@sha256:",
    "@sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    "@sha512:",
    ":latest",
    "EXAMPLE",
    "xn--",
    "\u{212a}",
    "\u{430}",
    "\u{ff0e}",
    "\u{200b}",
    " ",
    "\n",
    "\0",
    "%2f",
];

/// [`Scope::parse`], [`Scope::parse_compiled`] and [`Reference::parse`].
#[must_use]
pub fn scope(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    reference(text);
    let compiled = Scope::parse_compiled(text);
    let written = Scope::parse(text);
    match (&written, &compiled) {
        (Ok(written), Ok(compiled)) => assert_eq!(written, compiled),
        (Err(ScopeError::NotCanonical { .. }), Ok(twin)) => {
            assert!(
                twin.host().is_some_and(|host| host.ends_with(":443")),
                "{text}"
            );
        }
        // Only a twin may be longer than what users write.
        (Err(ScopeError::TooLong), Ok(_)) => assert!(text.len() > MAX_SCOPE),
        (Err(_), Err(_)) => {}
        _ => panic_on(text, &written, &compiled),
    }
    if let Err(error) = &written {
        advice_ends(text, error);
    }
    if let Ok(scope) = &compiled {
        holds(scope, text);
    }
    written.is_ok()
}

fn panic_on(text: &str, written: &Result<Scope, ScopeError>, compiled: &Result<Scope, ScopeError>) {
    assert_eq!(written, compiled, "{text:?}");
}

/// Of every accepted scope, twins among them.
fn holds(scope: &Scope, text: &str) {
    assert_eq!(scope.as_str(), text);
    assert_eq!(scope.to_string(), text);
    assert!(text.len() <= MAX_SCOPE + ":443".len());
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?}");
    let json = serde_json::to_string(scope).expect("a text");
    let read: Scope = serde_json::from_str(&json).expect("what was written is read");
    assert_eq!(&read, scope);

    // Nesting is a chain: what is wider is the rest of the list.
    let lookup = scope.lookup();
    assert_eq!(lookup.first().map(String::as_str), Some(text));
    for (at, wider) in lookup.iter().enumerate() {
        assert_eq!(lookup_of(wider), lookup[at..], "{text}: {wider}");
        // Of Docker Hub an organisation is no scope: users would mean an official image.
        let hub = wider
            .strip_prefix("docker.io/")
            .is_some_and(|below| !below.contains('/'));
        assert!(
            hub || Scope::parse_compiled(wider).is_ok(),
            "{text}: {wider}"
        );
    }
    assert!(scope.is_within(scope));

    // The twin is the same registry.
    match scope.twin() {
        Some(twin) => {
            assert_eq!(Scope::parse_compiled(twin.as_str()).as_ref(), Ok(&twin));
            assert!(Scope::parse(twin.as_str()).is_err(), "{twin}");
            assert_eq!(twin.twin(), None);
            assert_eq!(twin.version(), scope.version());
            let plain = |name: &String| name.replacen(":443", "", 1);
            let plain: Vec<String> = twin.lookup().iter().map(plain).collect();
            if !text.contains(":443") {
                assert_eq!(plain, lookup);
            }
        }
        None => assert!(text.starts_with('*') || text.contains(':'), "{text}"),
    }

    // A scope that no image ever hits would enforce nothing.
    for image in images::all_inside(scope) {
        assert!(
            image.lookup().iter().any(|name| name == text),
            "{text} and {image}"
        );
    }
}

/// What a message says to write instead must lead somewhere.
fn advice_ends(text: &str, error: &ScopeError) {
    assert!(!error.to_string().is_empty());
    let mut seen = vec![text.to_owned()];
    let mut error = error.clone();
    loop {
        let (ScopeError::NotCanonical {
            canonical: next, ..
        }
        | ScopeError::NoHost {
            canonical: next, ..
        }
        | ScopeError::TrailingSlash(_, next)) = error
        else {
            return;
        };
        assert!(!seen.contains(&next), "{seen:?} leads back to {next:?}");
        assert!(seen.len() <= MAX_SCOPE, "{seen:?}");
        match Scope::parse(&next) {
            Ok(_) => return,
            Err(more) => error = more,
        }
        seen.push(next);
    }
}

fn reference(text: &str) {
    let Ok(image) = Reference::parse(text) else {
        return;
    };
    let normal = image.to_string();
    let again = Reference::parse(&normal);
    assert_eq!(again.as_ref(), Ok(&image), "{text}");
    assert!(image.tag().is_some() != image.digest().is_some(), "{text}");
    assert!(
        normal.bytes().all(|byte| byte.is_ascii_graphic()),
        "{text:?}"
    );
    let lookup = image.lookup();
    assert_eq!(lookup.first(), Some(&normal));
    for (at, wider) in lookup.iter().enumerate() {
        assert_eq!(lookup_of(wider), lookup[at..], "{text}: {wider}");
    }
    let compiled = Scope::parse_compiled(&normal);
    assert!(
        compiled.is_ok() || normal.len() > MAX_SCOPE,
        "{normal}: {compiled:?}"
    );
}
