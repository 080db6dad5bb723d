//! Statuses: refusals in a loop, redirects in a loop, failures in a burst.

use futures::future::join_all;
use image_verifier::reason::Reason;

use crate::scene::{Honest, Outcome, Signed, What, pull};
use crate::support::registry::{INDEX, MANIFEST};
use crate::wire::reply;

/// How often a path was asked for at the most.
fn most_asked(outcome: &Outcome) -> usize {
    let count = |path: &String| outcome.asked.iter().filter(|other| *other == path).count();
    outcome.asked.iter().map(count).max().unwrap_or_default()
}

#[tokio::test]
async fn redirects_in_a_loop_are_given_up() {
    // To itself, to and fro, and to ever new places.
    let itself = |honest: &Honest| Some(reply(302, &[("Location", &honest.path)], b""));
    let fro = |honest: &Honest| {
        let to = if honest.path == "/a" { "/b" } else { "/a" };
        Some(reply(307, &[("Location", to)], b""))
    };
    let on = |honest: &Honest| {
        Some(reply(
            301,
            &[("Location", &format!("{}x", honest.path))],
            b"",
        ))
    };
    let outcomes = [
        ("itself", pull(Signed::Attachment, itself).await),
        ("to and fro", pull(Signed::Attachment, fro).await),
        ("on and on", pull(Signed::Attachment, on).await),
    ];
    for (what, outcome) in outcomes {
        outcome.refused(what, Reason::RegistryError);
        // Three lookups with six requests each, of which one is for TLS.
        let asked = outcome.asked.len();
        assert!(asked <= 3 * 6 + 1, "{what}: {asked}");
    }
}

#[tokio::test]
async fn redirects_that_lead_nowhere_are_errors() {
    for location in [
        "http://127.0.0.1:1/",
        "https://127.0.0.1:1/",
        "//",
        "http://[",
        "file:///etc/passwd",
        "data:,x",
        "ftp://127.0.0.1/",
    ] {
        let attack = move |honest: &Honest| {
            (honest.what == What::Manifest).then(|| reply(302, &[("Location", location)], b""))
        };
        let outcome = pull(Signed::Attachment, attack).await;
        outcome.refused(&format!("to {location}"), Reason::RegistryError);
    }
    for status in [300, 302, 304, 305, 306, 399] {
        let attack = move |honest: &Honest| {
            let serve = || reply(status, &[("Content-Type", MANIFEST)], honest.bytes());
            (honest.what == What::Manifest).then(serve)
        };
        let outcome = pull(Signed::Attachment, attack).await;
        outcome.refused(&format!("{status} to nowhere"), Reason::RegistryError);
    }
}

#[tokio::test]
async fn refusals_in_a_loop_are_given_up() {
    for status in [401, 403] {
        for challenge in [
            None,
            Some("Basic realm=\"x\""),
            Some("Negotiate"),
            Some("Bearer realm=\"http://{host}/token\",service=\"x\""),
            Some("Bearer realm=\"http://{host}/token\",scope=\"repository:other:pull\""),
            Some("Bearer realm=\"http://{host}/loop\""),
            Some("Bearer realm=\"http://{host}/refused\""),
            Some("Bearer realm=\""),
        ] {
            let attack = move |honest: &Honest| {
                let token = || reply(200, &[], br#"{"token":"x"}"#);
                if honest.path.starts_with("/token") {
                    return Some(token());
                }
                if honest.path.starts_with("/loop") {
                    return Some(reply(302, &[("Location", "/loop")], b""));
                }
                let challenge = challenge.map(|text| text.replace("{host}", &honest.host));
                let headers: Vec<_> = challenge
                    .iter()
                    .map(|text| ("WWW-Authenticate", text.as_str()))
                    .collect();
                Some(reply(status, &headers, b""))
            };
            let outcome = pull(Signed::Attachment, attack).await;
            let what = format!("{status} with {challenge:?}");
            let reason = match challenge {
                // What failed is the token service.
                Some(text) if text.contains("/loop") => Reason::RegistryError,
                _ => Reason::RegistryDenied,
            };
            outcome.refused(&what, reason);
            let asked = outcome.asked.len();
            assert!(asked < 30, "{what}: {:?}", outcome.asked);
        }
    }
}

#[tokio::test]
async fn tokens_that_are_none_are_not_used() {
    let large = format!(r#"{{"token":"{}"}}"#, "x".repeat(64 * 1024));
    for answer in [
        "",
        "{}",
        "[]",
        r#"{"token":""}"#,
        r#"{"token":"a\r\nX: y"}"#,
        r#"{"token":1}"#,
        &large,
    ] {
        let bytes = answer.as_bytes().to_vec();
        let attack = move |honest: &Honest| {
            if honest.path.starts_with("/token") {
                return Some(reply(200, &[], &bytes));
            }
            let challenge = format!("Bearer realm=\"http://{}/token\"", honest.host);
            Some(reply(401, &[("WWW-Authenticate", &challenge)], b""))
        };
        let outcome = pull(Signed::Attachment, attack).await;
        // What failed is the token service.
        outcome.refused(&format!("{answer:.40}"), Reason::RegistryError);
    }
}

#[tokio::test]
async fn failures_in_a_burst_are_errors_and_end() {
    let pauses = [
        None,
        Some("0"),
        Some("1"),
        Some("3600"),
        Some("x"),
        Some("-1"),
    ];
    for status in [429, 500, 502, 503, 504] {
        let each = pauses.map(|pause| async move {
            let attack = move |_: &Honest| {
                let headers: Vec<_> = pause.iter().map(|pause| ("Retry-After", *pause)).collect();
                Some(reply(status, &headers, b""))
            };
            let outcome = pull(Signed::Attachment, attack).await;
            let what = format!("{status}, {pause:?}");
            outcome.refused(&what, Reason::RegistryError);
            assert!(most_asked(&outcome) <= 4, "{what}: {:?}", outcome.asked);
        });
        join_all(each).await;
    }
    let burst = |honest: &Honest| {
        let fails = honest.what == What::Manifest && honest.before < 2;
        fails.then(|| reply(503, &[], b""))
    };
    pull(Signed::Attachment, burst)
        .await
        .allowed("a burst that ends");
}

#[tokio::test]
async fn a_list_of_referrers_that_errs_is_never_an_empty_one() {
    for status in [
        201, 204, 401, 402, 403, 409, 410, 418, 429, 451, 500, 501, 503, 599,
    ] {
        let attack = move |honest: &Honest| {
            (honest.what == What::Referrers).then(|| reply(status, &[("Retry-After", "9")], b""))
        };
        let outcome = pull(Signed::Bundle, attack).await;
        let reason = match status {
            401 | 403 => Reason::RegistryDenied,
            _ => Reason::RegistryError,
        };
        outcome.refused(&format!("the list: {status}"), reason);
    }
    // The registry has no such API: that is no error, and there is no signature under the tag. One that
    // says so by another status than 404 may mean something else.
    for (status, reason) in [
        (400, Reason::UnsupportedFormat),
        (404, Reason::NoSignature),
        (405, Reason::UnsupportedFormat),
        (406, Reason::UnsupportedFormat),
    ] {
        let attack = move |honest: &Honest| {
            (honest.what == What::Referrers).then(|| reply(status, &[], b""))
        };
        let outcome = pull(Signed::Bundle, attack).await;
        outcome.refused(&format!("no list: {status}"), reason);
    }
    for list in [
        "",
        "null",
        "[]",
        "{",
        r#"{"manifests":{}}"#,
        r#"{"manifests":[1]}"#,
    ] {
        let attack = move |honest: &Honest| {
            let serve = || reply(200, &[("Content-Type", INDEX)], list.as_bytes());
            (honest.what == What::Referrers).then(serve)
        };
        let outcome = pull(Signed::Bundle, attack).await;
        outcome.refused(&format!("the list {list:?}"), Reason::RegistryError);
    }
    // A later page that fails: what was on it is not known.
    for status in [404, 500] {
        let attack = move |honest: &Honest| {
            if honest.path.ends_with("?page=2") {
                return Some(reply(status, &[], b""));
            }
            let next = format!("<{}?page=2>; rel=\"next\"", honest.path);
            let headers = [("Content-Type", INDEX), ("Link", &next)];
            let empty = format!(r#"{{"mediaType":"{INDEX}","manifests":[]}}"#);
            (honest.what == What::Referrers).then(|| reply(200, &headers, empty.as_bytes()))
        };
        let outcome = pull(Signed::Bundle, attack).await;
        outcome.refused(&format!("the second page: {status}"), Reason::RegistryError);
    }
}
