use super::*;

fn parse(text: &str, registry: &str) -> Option<Challenge> {
    Challenge::parse(text, &Url::parse(registry).unwrap()).unwrap_or_default()
}

fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
    Challenge::Bearer {
        realm: Url::parse(realm).unwrap(),
        service: service.map(str::to_owned),
        scope: scope.map(str::to_owned),
    }
}

const SECURE: &str = "https://registry.example/";

#[test]
fn a_bearer_challenge_names_realm_and_service() {
    let expected = bearer("https://auth.example/token", Some("reg,istry"), None);
    for text in [
        r#"Bearer realm="https://auth.example/token",service="reg,istry",scope="x""#,
        r#"bearer  scope="a,b" , realm="https://auth.example/token", service="reg\,istry""#,
    ] {
        assert_eq!(parse(text, SECURE).as_ref(), Some(&expected), "{text}");
    }
    assert_eq!(
        parse("Bearer realm=https://auth.example/token", SECURE),
        Some(bearer("https://auth.example/token", None, None))
    );
}

#[test]
fn a_scope_counts_only_if_it_asks_to_pull_from_one_repository() {
    for (scope, kept) in [
        ("repository:proxy/app:pull", true),
        ("repository:app:pull,push", false),
        ("repository:app:*", false),
        ("repository:app:pull repository:b:pull", false),
        ("repository:app:push,pull", false),
        ("repository::pull", false),
        ("registry:catalog:*", false),
    ] {
        let text = format!("Bearer realm=\"https://a.example/\",scope=\"{scope}\"");
        let expected = bearer("https://a.example/", None, kept.then_some(scope));
        assert_eq!(parse(&text, SECURE), Some(expected), "{scope}");
    }
}

#[test]
fn a_token_is_preferred_to_a_password_in_every_request() {
    let mut headers = HeaderMap::new();
    let registry = Url::parse(SECURE).unwrap();
    for text in ["Basic realm=\"x\"", "Bearer realm=\"https://a.example/\""] {
        headers.append(WWW_AUTHENTICATE, text.parse().unwrap());
    }
    let chosen = Challenge::from_headers(&headers, &registry);
    assert_eq!(chosen, Some(bearer("https://a.example/", None, None)));
    headers.remove(WWW_AUTHENTICATE);
    headers.append(WWW_AUTHENTICATE, "basic".parse().unwrap());
    let chosen = Challenge::from_headers(&headers, &registry);
    assert_eq!(chosen, Some(Challenge::Basic));
}

#[test]
fn other_challenges_lead_nowhere() {
    for text in [
        "",
        "Bearer",
        "Negotiate",
        r#"Digest realm="https://auth.example/""#,
        r#"Bearer realm="http://auth.example/token""#,
        r#"Bearer realm="file:///etc/passwd""#,
        r#"Bearer realm="https://auth.example/"#,
        r#"Bearer realm="https://auth.example/" x"#,
        r#"Bearer service="x""#,
    ] {
        assert_eq!(parse(text, SECURE), None, "{text}");
    }
}

#[test]
fn a_plain_realm_is_for_plain_registries_and_a_local_one_keeps_it_local() {
    let local = r#"Bearer realm="http://127.0.0.1:5001/token""#;
    let other = r#"Bearer realm="http://auth.example/token""#;
    for (text, registry, trusted) in [
        (local, "http://127.0.0.1:5000/", true),
        (local, "https://127.0.0.1:5000/", false),
        (other, "http://127.0.0.1:5000/", false),
        (other, "http://registry.example:5000/", true),
        (other, "https://registry.example:5000/", false),
        (local, "http://registry.example:5000/", false),
        (local, "http://10.0.0.1:5000/", false),
    ] {
        assert_eq!(
            parse(text, registry).is_some(),
            trusted,
            "{text} {registry}"
        );
    }
}
#[test]
fn a_remote_registry_names_no_token_service_on_this_machine() {
    for host in [
        "127.0.0.1:10250",
        "localhost",
        "169.254.169.254",
        "0.0.0.0:8080",
        "[::1]",
        "[fe80::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:169.254.169.254]",
        "2130706433",
    ] {
        for (scheme, registry) in [
            ("https", SECURE),
            ("https", "http://registry.example:5000/"),
            ("http", "http://registry.example:5000/"),
        ] {
            let text = format!("Bearer realm=\"{scheme}://{host}/token\"");
            assert_eq!(parse(&text, registry), None, "{text} {registry}");
        }
        let text = format!("Bearer realm=\"https://{host}/token\"");
        assert!(parse(&text, "https://127.0.0.1:5000/").is_some(), "{text}");
    }
}

#[test]
fn why_a_token_service_is_not_asked_is_told_without_what_else_the_registry_says() {
    let mut headers = HeaderMap::new();
    let registry = Url::parse(SECURE).unwrap();
    for (realm, why) in [
        (
            "http://u:p@auth.example/hunter2",
            "`http://auth.example` is not asked: it is plain HTTP",
        ),
        (
            "https://127.0.0.1:1/hunter2",
            "`https://127.0.0.1:1` is not asked: it is on this machine",
        ),
        ("unix:///hunter2", "is not asked: it is neither"),
    ] {
        let text = format!("Bearer realm=\"{realm}\"");
        headers.insert(WWW_AUTHENTICATE, text.parse().unwrap());
        let Asked { challenge, refused } = Asked::of(&headers, &registry);
        let refused = refused.unwrap();
        assert_eq!(challenge, None, "{realm}");
        assert!(
            refused.contains(why) && !refused.contains("hunter2"),
            "{refused}"
        );
    }
}

#[test]
fn an_authorization_is_a_header_that_does_not_show() {
    let password = Secret::new("p:\u{e9}");
    let username = "u".to_owned();
    let basic = Authorization::Basic { username, password };
    let bearer = Authorization::Bearer(Secret::new("T0ken"));
    for (authorization, value) in [(basic, "Basic dTpwOsOp"), (bearer, "Bearer T0ken")] {
        let header = authorization.header().unwrap();
        assert_eq!(header, value);
        assert!(header.is_sensitive());
    }
}
