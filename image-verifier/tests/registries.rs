//! Registries that fail, lie, stall or flood.

mod support;

use std::time::{Duration, Instant};

use futures::future::join_all;
use image_verifier::environment::Environment;
use image_verifier::reason::Reason;
use image_verifier::run::{Subject, decide};
use policy::bundle::DefaultAction;
use policy::digest::Digest;
use policy::reference::Reference;
use serde_json::{Value, json};

use support::registry::{Content, INDEX, MANIFEST, Reply};
use support::sign::{BUNDLE, Signer, attach, crowded_referrer, list, list_by_tag, referrer};
use support::{Pull, assert_allowed, assert_refused, digest, draft, limits, policy_of, pull};

/// The paths that every search begins with.
fn first_paths() -> [String; 3] {
    let hex = digest().hex().to_owned();
    [
        format!("manifests/sha256-{hex}.sig"),
        format!("referrers/{}", digest()),
        format!("manifests/sha256-{hex}"),
    ]
}

async fn refused_when(
    fill: impl FnOnce(&mut Content, &Signer, &str),
) -> image_verifier::run::Answer {
    let signer = Signer::new();
    let pull = Pull::by([draft(&[("a", &signer)])]);
    pull.run(|content, name| fill(content, &signer, name))
        .await
        .0
}

#[tokio::test]
async fn no_registry_is_asked_about_what_needs_no_signature() {
    let signer = Signer::new();
    let mut elsewhere = draft(&[("a", &signer)]);
    elsewhere.scopes = vec!["example.com".to_owned()];
    let (answer, requests) = Pull::by([elsewhere.clone()]).run(|_, _| ()).await;
    assert_allowed(&answer);
    assert_eq!(requests, Vec::<String>::new());

    let mut reject = Pull::by([elsewhere]);
    reject.default_action = DefaultAction::Reject;
    let (answer, requests) = reject.run(|_, _| ()).await;
    assert_refused(&answer, Reason::NotAllowed, "default action is Reject");
    assert_eq!(requests, Vec::<String>::new());

    let exempt = vec!["*.0.0.1".to_owned()];
    let drafts = [draft(&[("a", &signer)])];
    let policy = policy_of(
        &drafts,
        DefaultAction::Reject,
        &exempt,
        limits(Duration::from_secs(5)),
    );
    assert_allowed(&pull("127.0.0.1:1/app:v1", &policy).await);
}

#[tokio::test]
async fn content_that_does_not_have_its_digest_is_a_digest_mismatch() {
    let answer = refused_when(|content, signer, name| {
        let layer = signer.layer(content, &digest(), name);
        let blob = layer["digest"].as_str().unwrap().to_owned();
        content.put(&format!("blobs/{blob}"), Reply::ok("text/plain", "lies"));
        attach(content, &digest(), &[layer]);
    })
    .await;
    assert_refused(
        &answer,
        Reason::DigestMismatch,
        "served content with the digest",
    );
}

#[tokio::test]
async fn a_manifest_of_the_wrong_content_type_is_an_error_of_the_registry() {
    let answer = refused_when(|content, _, _| {
        let [attachment, ..] = first_paths();
        content.put(&attachment, Reply::ok("text/html", "<html>"));
    })
    .await;
    assert_refused(
        &answer,
        Reason::RegistryError,
        "the registry's answer cannot be used: its media type is `text/html`",
    );
}

#[tokio::test]
async fn an_error_never_looks_like_an_empty_list() {
    for path in first_paths() {
        for (status, reason) in [
            (500, Reason::RegistryError),
            (429, Reason::RegistryError),
            (302, Reason::RegistryError),
            (401, Reason::RegistryDenied),
            (403, Reason::RegistryDenied),
        ] {
            let answer = refused_when(|content, _, _| {
                content.put(&path, Reply::status(status));
            })
            .await;
            assert_refused(&answer, reason, "policy `release`");
        }
        let body = r#"{"errors":[{"code":"UNKNOWN"}]}"#;
        let answer = refused_when(|content, _, _| {
            content.put(&path, Reply::ok("application/json", body));
        })
        .await;
        assert_refused(&answer, Reason::RegistryError, "application/json");
    }
}

#[tokio::test]
async fn a_failure_in_one_place_does_not_hide_a_signature_in_another() {
    let signer = Signer::new();
    let (answer, _) = Pull::by([draft(&[("a", &signer)])])
        .run(|content, name| {
            let layer = signer.layer(content, &digest(), name);
            attach(content, &digest(), &[layer]);
            let [_, referrers, fallback] = first_paths();
            content.put(&referrers, Reply::status(500));
            content.put(&fallback, Reply::Stall);
        })
        .await;
    assert_allowed(&answer);
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_a_transient_error() {
    let signer = Signer::new();
    let policy = policy_of(
        &[draft(&[("a", &signer)])],
        DefaultAction::Allow,
        &[],
        limits(Duration::from_secs(5)),
    );
    let answer = pull("127.0.0.1:1/app:v1", &policy).await;
    assert_refused(&answer, Reason::RegistryError, "(transient)");
}

#[tokio::test]
async fn a_registry_that_stalls_is_given_up_in_time() {
    let signer = Signer::new();
    let one = |path: String| {
        let mut pull = Pull::by([draft(&[("a", &signer)])]);
        pull.limits = limits(Duration::from_secs(5));
        async move {
            let started = Instant::now();
            let (answer, _) = pull
                .run(|content, _| {
                    content.put(&path, Reply::Stall);
                })
                .await;
            (answer, started.elapsed())
        }
    };
    for (answer, taken) in join_all(first_paths().map(one)).await {
        assert_refused(&answer, Reason::TimedOut, "(transient)");
        // Four fifths of the time-out, and what a busy machine adds.
        let (least, most) = (Duration::from_secs(4), Duration::from_secs(6));
        assert!((least..most).contains(&taken), "{taken:?}");
    }
}

/// Puts a signature into the `index`th of the places that every search begins with.
fn sign_at(index: usize, content: &mut Content, signer: &Signer, name: &str) {
    if index == 0 {
        let layer = signer.layer(content, &digest(), name);
        return attach(content, &digest(), &[layer]);
    }
    let bundle = signer.bundle(&digest()).to_string();
    let entry = referrer(content, BUNDLE, bundle.as_bytes());
    if index == 1 {
        list(content, &digest(), &[entry]);
    } else {
        list_by_tag(content, &digest(), &[entry]);
    }
}

#[tokio::test]
async fn a_signature_in_one_place_does_not_wait_for_the_others() {
    let signer = Signer::new();
    let timeout = Duration::from_secs(30);
    for place in 0..first_paths().len() {
        let mut pull = Pull::by([draft(&[("a", &signer)])]);
        pull.limits = limits(timeout);
        let started = Instant::now();
        let (answer, _) = pull
            .run(|content, name| {
                for path in first_paths() {
                    content.put(&path, Reply::Stall);
                }
                sign_at(place, content, &signer, name);
            })
            .await;
        let taken = started.elapsed();
        assert_allowed(&answer);
        assert!(taken < timeout / 2, "{place}: {taken:?}");
    }
}

#[tokio::test]
async fn endless_content_is_cut_off_at_the_limit() {
    for path in first_paths() {
        let answer = refused_when(|content, _, _| {
            content.put(&path, Reply::Endless);
        })
        .await;
        assert_refused(&answer, Reason::LimitExceeded, "more than 4194304 bytes");
    }
}

#[tokio::test]
async fn the_bytes_of_all_objects_together_are_limited() {
    let signer = Signer::new();
    let mut pull = Pull::by([draft(&[("a", &signer)])]);
    pull.limits.max_total_bytes = 1024 * 1024;
    let (answer, requests) = pull
        .run(|content, _| {
            let referrers: Vec<Value> = (0..32)
                .map(|n| referrer(content, BUNDLE, &vec![b'0' + n; 100 * 1024]))
                .collect();
            list(content, &digest(), &referrers);
        })
        .await;
    assert_refused(&answer, Reason::LimitExceeded, "more than 1048576 bytes");
    assert!(requests.len() < 80, "{}", requests.len());
}

#[tokio::test]
async fn thousands_of_referrers_are_not_all_looked_at() {
    let fill = |content: &mut Content, real: Option<Value>| {
        let mut referrers: Vec<Value> = (0..5000)
            .map(|n: u32| {
                json!({"mediaType": MANIFEST, "digest": Digest::of(&n.to_le_bytes()), "size": 1,
                    "artifactType": "application/spdx+json"})
            })
            .collect();
        referrers.extend(real);
        list(content, &digest(), &referrers);
    };
    let signer = Signer::new();
    let pull = Pull::by([draft(&[("a", &signer)])]);
    let (answer, requests) = pull.run(|content, _| fill(content, None)).await;
    assert_refused(
        &answer,
        Reason::LimitExceeded,
        "more referrers than are looked at",
    );
    assert!(requests.len() < 80, "{}", requests.len());

    let pull = Pull::by([draft(&[("a", &signer)])]);
    let (answer, _) = pull
        .run(|content, _| {
            let bundle = signer.bundle(&digest()).to_string();
            let real = referrer(content, BUNDLE, bundle.as_bytes());
            fill(content, Some(real));
        })
        .await;
    assert_allowed(&answer);
}

#[tokio::test]
async fn thousands_of_signatures_are_not_all_tried() {
    let signer = Signer::new();
    let (answer, requests) = Pull::by([draft(&[("a", &signer)])])
        .run(|content, name| {
            let layer = Signer::new().layer(content, &digest(), name);
            attach(content, &digest(), &vec![layer; 3000]);
        })
        .await;
    assert_refused(
        &answer,
        Reason::LimitExceeded,
        "more signatures than are tried",
    );
    assert!(requests.len() < 80, "{}", requests.len());
}

#[tokio::test]
async fn pages_of_referrers_are_followed_and_end() {
    let page = |referrers: &[Value]| {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": referrers});
        Reply::ok(INDEX, index.to_string())
    };
    let signer = Signer::new();
    let (answer, _) = Pull::by([draft(&[("a", &signer)])])
        .run(|content, _| {
            let [_, first, _] = first_paths();
            let bundle = signer.bundle(&digest()).to_string();
            let entry = referrer(content, BUNDLE, bundle.as_bytes());
            let next = format!("</v2/app/{first}?n=2>; rel=\"next\"");
            content.put(&first, page(&[]).with("Link", &next));
            content.put(&format!("{first}?n=2"), page(&[entry]));
        })
        .await;
    assert_allowed(&answer);
    let answer = refused_when(|content, _, _| {
        let [_, first, _] = first_paths();
        content.put(
            &first,
            page(&[]).with("Link", &format!("</v2/app/{first}>; rel=\"next\"")),
        );
    })
    .await;
    assert_refused(&answer, Reason::LimitExceeded, "longer than is read");
    let answer = refused_when(|content, _, _| {
        let [_, first, _] = first_paths();
        content.put(
            &first,
            page(&[]).with("Link", "<http://example.com/>; rel=\"next\""),
        );
    })
    .await;
    assert_refused(&answer, Reason::RegistryError, "at another place");
}

#[tokio::test]
async fn a_next_page_is_found_among_other_links_and_an_odd_header_is_no_end() {
    let signer = Signer::new();
    let page = |referrers: &[Value]| {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": referrers});
        Reply::ok(INDEX, index.to_string())
    };
    let (answer, _) = Pull::by([draft(&[("a", &signer)])])
        .run(|content, _| {
            let [_, first, _] = first_paths();
            let bundle = signer.bundle(&digest()).to_string();
            let entry = referrer(content, BUNDLE, bundle.as_bytes());
            let links = format!("</v2/>; rel=\"first\", </v2/app/{first}?n=2>; rel=\"next\"");
            content.put(&first, page(&[]).with("Link", &links));
            content.put(&format!("{first}?n=2"), page(&[entry]));
        })
        .await;
    assert_allowed(&answer);
    let answer = refused_when(|content, _, _| {
        let [_, first, _] = first_paths();
        content.put(&first, page(&[]).with("Link", "next page, somewhere"));
    })
    .await;
    assert_refused(&answer, Reason::RegistryError, "not understood");
}

#[tokio::test]
async fn one_referrer_with_many_bundles_does_not_crowd_out_the_good_one() {
    let signer = Signer::new();
    let (answer, _) = Pull::by([draft(&[("a", &signer)])])
        .run(|content, _| {
            let foreign = Signer::new().bundle(&digest()).to_string();
            let crowd = crowded_referrer(content, BUNDLE, foreign.as_bytes(), 200);
            let good = signer.bundle(&digest()).to_string();
            let good = referrer(content, BUNDLE, good.as_bytes());
            list(content, &digest(), &[crowd, good]);
        })
        .await;
    assert_allowed(&answer);
}

#[tokio::test]
async fn a_redirect_loop_ends() {
    for path in first_paths() {
        let answer = refused_when(|content, _, _| {
            let target = format!("/v2/app/{path}");
            content.put(&path, Reply::status(307).with("Location", &target));
        })
        .await;
        assert_refused(&answer, Reason::RegistryError, "more than 5 redirects");
    }
}

#[tokio::test]
async fn a_redirect_to_plain_http_elsewhere_is_not_followed() {
    let answer = refused_when(|content, _, _| {
        let [attachment, ..] = first_paths();
        content.put(
            &attachment,
            Reply::status(307).with("Location", "http://192.0.2.1/"),
        );
    })
    .await;
    assert_refused(&answer, Reason::RegistryError, "plain http is not followed");
}

#[tokio::test]
async fn an_anonymous_token_is_asked_for_once_and_used() {
    let signer = Signer::new();
    let (answer, requests) = Pull::by([draft(&[("a", &signer)])])
        .run(|content, name| {
            let layer = signer.layer(content, &digest(), name);
            attach(content, &digest(), &[layer]);
            let realm = format!("http://{}/token", name.trim_end_matches("/app"));
            content.handle(move |path, head| {
                if path.starts_with("/token") {
                    return Some(Reply::ok("application/json", r#"{"token":"T0ken"}"#));
                }
                let known = head
                    .to_ascii_lowercase()
                    .contains("authorization: bearer t0ken");
                let challenge = format!("Bearer realm=\"{realm}\",service=\"s\",scope=\"x\"");
                (!known).then(|| Reply::status(401).with("WWW-Authenticate", &challenge))
            });
        })
        .await;
    assert_allowed(&answer);
    let tokens: Vec<_> = requests
        .iter()
        .filter(|path| path.starts_with("/token"))
        .collect();
    assert_eq!(tokens, ["/token?service=s&scope=repository%3Aapp%3Apull"]);
}

#[tokio::test]
async fn a_registry_that_refuses_its_own_tokens_is_not_asked_forever() {
    let signer = Signer::new();
    let (answer, requests) = Pull::by([draft(&[("a", &signer)])])
        .run(|content, name| {
            let realm = format!("http://{}/token", name.trim_end_matches("/app"));
            content.handle(move |path, _| {
                if path.starts_with("/token") {
                    return Some(Reply::ok("application/json", r#"{"token":"T0ken"}"#));
                }
                let challenge = format!("Bearer realm=\"{realm}\"");
                Some(Reply::status(401).with("WWW-Authenticate", &challenge))
            });
        })
        .await;
    assert_refused(&answer, Reason::RegistryDenied, "401");
    assert!(requests.len() <= 8, "{requests:?}");
}

/// The lookups run in parallel: one of them meets the failure, and the others find nothing left to try.
#[tokio::test]
async fn what_the_token_service_failed_with_first_is_told_beside_what_it_led_to() {
    let none = "the node has no credentials for it";
    for (reply, reason, cause) in [
        (
            Reply::status(503),
            Reason::RegistryError,
            ": HTTP status 503, and without a token",
        ),
        (
            Reply::status(418),
            Reason::RegistryError,
            ": HTTP status 418, and without a token",
        ),
        (
            Reply::ok("application/json", "{"),
            Reason::RegistryError,
            ": its answer holds no token",
        ),
        (
            Reply::status(401),
            Reason::RegistryDenied,
            ": HTTP status 401",
        ),
        (
            Reply::status(404),
            Reason::RegistryDenied,
            ": HTTP status 404",
        ),
    ] {
        let answer = refused_when(|content, _, name| {
            let realm = format!("http://{}/token", name.trim_end_matches("/app"));
            content.handle(move |path, _| {
                if path.starts_with("/token") {
                    return Some(reply.clone());
                }
                let challenge = format!("Bearer realm=\"{realm}\"");
                Some(Reply::status(401).with("WWW-Authenticate", &challenge))
            });
        })
        .await;
        assert_refused(&answer, reason, cause);
        assert_refused(&answer, reason, none);
        assert_refused(&answer, reason, "the token service 127.0.0.1:");
        assert_refused(&answer, reason, "HTTP status 401");
    }
}

#[tokio::test]
async fn messages_of_a_registry_cannot_forge_lines() {
    let answer = refused_when(|content, _, _| {
        let entry =
            json!({"mediaType": MANIFEST, "digest": "sha256:\nnodeseal: allowed", "size": 1});
        list_by_tag(content, &digest(), &[entry]);
    })
    .await;
    assert_refused(&answer, Reason::MalformedSignature, "not a digest");
}

#[tokio::test]
async fn a_client_that_cannot_be_made_is_an_internal_error() {
    let signer = Signer::new();
    let drafts = [draft(&[("a", &signer)])];
    let policy = policy_of(
        &drafts,
        DefaultAction::Allow,
        &[],
        limits(Duration::from_secs(5)),
    );
    let proxy = [("HTTPS_PROXY".into(), "http://[".into())];
    let subject = Subject {
        image: Reference::parse("127.0.0.1:1/app").unwrap(),
        digest: digest(),
    };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    let answer = decide(
        &subject,
        &policy,
        &Environment::from_variables(proxy),
        deadline,
    )
    .await;
    assert_refused(&answer, Reason::Internal, "the proxy's address");
}
