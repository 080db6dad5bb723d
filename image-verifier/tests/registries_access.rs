//! Where credentials, headers and requests go, and where they do not, whatever a registry answers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "it is how a test fails")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use image_verifier::environment::Environment;
use image_verifier::reason::Reason;
use image_verifier::registry::{Referrers, Registries};
use image_verifier::run::{Answer, Subject, decide};
use policy::bundle::DefaultAction;
use policy::reference::Reference;
use policy::verifier::{Access, Limits};
use serde_json::{Value, json};
use tempfile::TempDir;

use support::registry::{Content, INDEX, Registry, Reply};
use support::sign::{BUNDLE, Signer, attach, list, list_by_tag, referrer};
use support::{assert_allowed, assert_refused, digest, draft, limits, policy_of};

/// A node's files about registries.
struct Node(TempDir);

impl Node {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn hosts(&self, host: &str, text: &str) {
        let folder = self.0.path().join("certs.d").join(host);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("hosts.toml"), text).unwrap();
    }

    fn docker_config(&self, json: &Value) {
        std::fs::write(self.0.path().join("config.json"), json.to_string()).unwrap();
    }

    /// A password for a host, or for more than one part of it.
    fn passwords(&self, keys: &[(&str, &str)]) {
        let entry = |&(key, user): &(&str, &str)| {
            (
                key.to_owned(),
                json!({"username": user, "password": "hunter2"}),
            )
        };
        let auths: serde_json::Map<_, _> = keys.iter().map(entry).collect();
        self.docker_config(&json!({"auths": auths}));
    }

    fn access(&self) -> Access {
        let path = |name: &str| self.0.path().join(name).to_str().unwrap().to_owned();
        Access {
            config_paths: vec![path("certs.d")],
            docker_configs: vec![path("config.json")],
            ..Access::none()
        }
    }

    /// Pulls `host/app:v1` for policies that want a signature by `signer`.
    async fn pull(&self, host: &str, signer: &Signer, environment: &Environment) -> Answer {
        let mut draft = draft(&[("a", signer)]);
        draft.scopes = vec!["*.0.0.1".to_owned(), "*.test".to_owned()];
        let time = Duration::from_secs(20);
        let mut policy = policy_of(&[draft], DefaultAction::Allow, &[], limits(time));
        policy.access = self.access();
        let subject = Subject {
            image: Reference::parse(&format!("{host}/app:v1")).unwrap(),
            digest: digest(),
        };
        let deadline = tokio::time::Instant::now() + time;
        decide(&subject, &policy, environment, deadline).await
    }
}

/// The heads of all requests.
type Heads = Arc<Mutex<Vec<String>>>;

/// A registry that keeps the heads of its requests, and answers first by `handler`.
async fn listening(
    mut content: Content,
    handler: impl Fn(&str, &str) -> Option<Reply> + Send + Sync + 'static,
) -> (Registry, Heads) {
    let heads = Heads::default();
    let log = Arc::clone(&heads);
    content.handle(move |path, head| {
        log.lock().unwrap().push(head.to_owned());
        handler(path, head)
    });
    (Registry::start_on(0, content).await, heads)
}

fn lines(head: &str, name: &str) -> Vec<String> {
    let named = head.lines().filter(|line| {
        let (own, _) = line.split_once(':').unwrap_or_default();
        own.eq_ignore_ascii_case(name)
    });
    named
        .map(|line| line[name.len() + 1..].trim().to_owned())
        .collect()
}

fn is_authorized(head: &str) -> bool {
    !lines(head, "authorization").is_empty()
}

fn all(heads: &Heads) -> Vec<String> {
    heads.lock().unwrap().clone()
}

fn page(referrers: &[Value]) -> Reply {
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": referrers});
    Reply::ok(INDEX, index.to_string())
}

fn challenge(realm: &str) -> Reply {
    Reply::status(401).with("WWW-Authenticate", &format!("Bearer realm=\"{realm}\""))
}

/// A registry that redirects its list of referrers to `elsewhere`, and may want a password before.
async fn redirecting(elsewhere: String, is_open: bool) -> (Registry, Heads) {
    listening(Content::default(), move |path, head| {
        if !is_open && !is_authorized(head) {
            return Some(Reply::status(401).with("WWW-Authenticate", "Basic realm=x"));
        }
        let location = format!("http://{elsewhere}/list");
        let is_list = path.starts_with("referrers/");
        is_list.then(|| Reply::status(307).with("Location", &location))
    })
    .await
}

#[tokio::test]
async fn a_next_page_behind_a_redirect_gets_no_credentials() {
    // Here relative, there absolute, and to the registry's own name in another scheme.
    for link in ["</next>", "<http://SELF/next>"] {
        let (other, seen) = listening(Content::default(), move |path, head| {
            let own = lines(head, "host").remove(0);
            let link = format!("{}; rel=\"next\"", link.replace("SELF", &own));
            match path {
                "/list" => Some(page(&[]).with("Link", &link)),
                _ if is_authorized(head) => Some(page(&[])),
                // Its own realm, if somebody asks.
                _ => Some(challenge(&format!("http://{own}/token"))),
            }
        })
        .await;
        let (registry, asked) = redirecting(other.address.to_string(), false).await;
        let host = registry.address.to_string();
        let node = Node::new();
        node.passwords(&[(&host, "u")]);
        let answer = node
            .pull(&host, &Signer::new(), &Environment::default())
            .await;
        assert_refused(&answer, Reason::RegistryError, "at another place");
        assert!(all(&asked).iter().any(|head| is_authorized(head)));
        assert_eq!(other.requests(), ["/list"]);
        assert!(
            !all(&seen).iter().any(|head| is_authorized(head)),
            "{seen:?}"
        );
    }
}

#[tokio::test]
async fn what_a_redirect_leads_to_cannot_ask_for_credentials() {
    // No credential has been tried yet where the registry is open.
    for (is_open, ask) in [
        (true, "Basic realm=x"),
        (true, "Bearer realm=\"http://SELF/token\""),
        (false, "Basic realm=x"),
        (false, "Bearer realm=\"http://SELF/token\""),
    ] {
        let (other, seen) = listening(Content::default(), move |_, head| {
            let ask = ask.replace("SELF", &lines(head, "host").remove(0));
            Some(Reply::status(401).with("WWW-Authenticate", &ask))
        })
        .await;
        let (registry, _) = redirecting(other.address.to_string(), is_open).await;
        let host = registry.address.to_string();
        let node = Node::new();
        node.passwords(&[(&host, "u")]);
        let answer = node
            .pull(&host, &Signer::new(), &Environment::default())
            .await;
        assert_refused(&answer, Reason::RegistryDenied, "401");
        assert_eq!(other.requests(), ["/list"]);
        assert!(
            !all(&seen).iter().any(|head| is_authorized(head)),
            "{seen:?}"
        );
    }
}

/// A registry off this machine, behind a proxy that is on it.
#[tokio::test]
async fn a_remote_registry_cannot_send_us_to_this_machine() {
    let canary = Registry::start_on(0, Content::default()).await;
    let here = canary.address.port();
    for (asks, host, part) in [
        (true, "127.0.0.1", "is not asked: it is on this machine"),
        (true, "localhost", "is not asked: it is on this machine"),
        (
            true,
            "[::ffff:127.0.0.1]",
            "is not asked: it is on this machine",
        ),
        (
            false,
            "127.0.0.1",
            "a redirect from another machine to this one",
        ),
        (
            false,
            "localhost",
            "a redirect from another machine to this one",
        ),
        (
            false,
            "0.0.0.0",
            "a redirect from another machine to this one",
        ),
        (
            false,
            "169.254.169.254",
            "a redirect from another machine to this one",
        ),
    ] {
        let to = format!("http://{host}:{here}/x");
        let (proxy, _) = listening(Content::default(), move |_, _| {
            Some(if asks {
                challenge(&to)
            } else {
                Reply::status(307).with("Location", &to)
            })
        })
        .await;
        let environment = Environment {
            http_proxy: Some(format!("http://{}", proxy.address)),
            ..Environment::default()
        };
        let node = Node::new();
        node.hosts("registry.test", "server = 'http://registry.test'");
        node.passwords(&[("registry.test", "u")]);
        let answer = node
            .pull("registry.test", &Signer::new(), &environment)
            .await;
        let reason = if asks {
            Reason::RegistryDenied
        } else {
            Reason::RegistryError
        };
        assert_refused(&answer, reason, part);
        assert!(!proxy.requests().is_empty());
        assert_eq!(canary.requests(), Vec::<String>::new(), "{host}");
    }
}

#[tokio::test]
async fn a_token_service_that_is_not_asked_is_told() {
    let (registry, _) = listening(Content::default(), |_, _| {
        Some(challenge("http://auth.test/token"))
    })
    .await;
    let host = registry.address.to_string();
    let answer = Node::new()
        .pull(&host, &Signer::new(), &Environment::default())
        .await;
    let told =
        "its token service at `http://auth.test` is not asked: it is plain HTTP off this machine";
    assert_refused(&answer, Reason::RegistryDenied, told);
}

/// A registry that opens with a token, which `serve` hands out.
async fn with_tokens(
    content: Content,
    serve: impl Fn(&str) -> Reply + Send + Sync + 'static,
) -> (Registry, Heads) {
    listening(content, move |path, head| {
        if path.starts_with("/token") {
            return Some(serve(head));
        }
        let realm = format!("http://{}/token", lines(head, "host").remove(0));
        let known = lines(head, "authorization") == ["Bearer T0ken"];
        (!known).then(|| challenge(&realm))
    })
    .await
}

fn token() -> Reply {
    Reply::ok("application/json", r#"{"token":"T0ken"}"#)
}

#[tokio::test]
async fn a_credential_that_fails_does_not_hide_the_next() {
    // u:hunter2, which is asked about first.
    const FIRST: &str = "Basic dTpodW50ZXIy";
    let statuses = [400, 401, 403, 404, 405, 418, 429, 500, 502, 503];
    let odd = ["", "{", r#"{"token":""}"#, "<html>"];
    let odd = odd.map(|body| Reply::ok("text/html", body));
    for failure in statuses.map(Reply::status).into_iter().chain(odd) {
        let mut content = Content::default();
        list(&mut content, &digest(), &[]);
        let (registry, heads) = with_tokens(content, move |head| {
            if lines(head, "authorization") == [FIRST] {
                return failure.clone();
            }
            token()
        })
        .await;
        let host = registry.address.to_string();
        let node = Node::new();
        node.passwords(&[(&format!("{host}/app"), "u"), (&host, "v")]);
        // One lookup alone: in a pull, another one would go on with the next.
        let image = Reference::parse(&format!("{host}/app:v1")).unwrap();
        let (access, environment) = (node.access(), Environment::default());
        let limits = Limits::default();
        let registries = Registries::new(&image, &access, &environment, &limits).unwrap();
        let listed = registries.as_slice()[0].referrers(&digest()).await;
        assert!(matches!(listed, Ok(Referrers::Listed { .. })), "{listed:?}");
        let heads = all(&heads);
        let tried = heads
            .iter()
            .any(|head| lines(head, "authorization") == [FIRST]);
        assert!(tried, "{heads:?}");
    }
}

#[tokio::test]
async fn the_failure_of_a_token_service_names_it_once_none_is_left() {
    let (registry, _) = with_tokens(Content::default(), |_| Reply::status(400)).await;
    let host = registry.address.to_string();
    let node = Node::new();
    node.passwords(&[(&format!("{host}/app"), "u"), (&host, "v")]);
    let answer = node
        .pull(&host, &Signer::new(), &Environment::default())
        .await;
    let told = format!("the token service {host}: HTTP status 400");
    assert_refused(&answer, Reason::RegistryError, &told);
    assert_refused(
        &answer,
        Reason::RegistryError,
        "2 of the node's credentials",
    );
}

/// A proxy's page of errors, for example, which comes with 200.
#[tokio::test]
async fn a_page_that_no_registry_serves_is_no_damaged_signature() {
    let tag = format!("manifests/sha256-{}", digest().hex());
    for path in [
        format!("referrers/{}", digest()),
        tag.clone(),
        format!("{tag}.sig"),
    ] {
        for reply in [
            Reply::ok("text/html", "<html>"),
            Reply::ok(INDEX, "<html>"),
            Reply::ok(INDEX, ""),
            Reply::ok("", "{}"),
        ] {
            let mut content = Content::default();
            content.put(&path, reply);
            let registry = Registry::start_on(0, content).await;
            let host = registry.address.to_string();
            let answer = Node::new()
                .pull(&host, &Signer::new(), &Environment::default())
                .await;
            let told = "the registry's answer cannot be used";
            assert_refused(&answer, Reason::RegistryError, told);
        }
    }
    let page = |_: &str| Reply::ok("text/html", "<html>");
    let (registry, _) = with_tokens(Content::default(), page).await;
    let host = registry.address.to_string();
    let answer = Node::new()
        .pull(&host, &Signer::new(), &Environment::default())
        .await;
    let told = format!("the token service {host}: its answer holds no token");
    assert_refused(&answer, Reason::RegistryError, &told);
}

/// What is fetched by digest is what was pushed, and no proxy's page.
#[tokio::test]
async fn a_referrer_that_is_no_manifest_is_a_damaged_signature() {
    let mut content = Content::default();
    let bytes = b"{}";
    let by_digest = policy::digest::Digest::of(bytes);
    content.put(
        &format!("manifests/{by_digest}"),
        Reply::ok("text/html", *bytes),
    );
    let entry = json!({"mediaType": support::registry::MANIFEST, "digest": by_digest, "size": 2});
    list(&mut content, &digest(), &[entry]);
    let registry = Registry::start_on(0, content).await;
    let host = registry.address.to_string();
    let answer = Node::new()
        .pull(&host, &Signer::new(), &Environment::default())
        .await;
    assert_refused(&answer, Reason::MalformedSignature, "text/html");
}

#[tokio::test]
async fn a_header_of_hosts_toml_gives_way_to_what_a_registry_asks_for_and_goes_nowhere_else() {
    let signer = Signer::new();
    let mut content = Content::default();
    let bundle = signer.bundle(&digest()).to_string();
    let entry = referrer(&mut content, BUNDLE, bundle.as_bytes());
    list(&mut content, &digest(), &[entry]);
    let (tokens, asked) = listening(Content::default(), |_, _| Some(token())).await;
    let realm = format!("http://{}/token", tokens.address);
    let (registry, heads) = listening(content, move |_, head| {
        let known = lines(head, "authorization").contains(&"Bearer T0ken".to_owned());
        (!known).then(|| challenge(&realm))
    })
    .await;
    let host = registry.address.to_string();
    let node = Node::new();
    let settings = format!(
        "server = 'http://{host}'\n[header]\nauthorization = 'Basic c3RhdGlj'\naccept = 'text/plain'\nx-own = ['a', 'b']\n"
    );
    node.hosts(&host, &settings);
    assert_allowed(&node.pull(&host, &signer, &Environment::default()).await);
    let heads = all(&heads);
    let with = |value: &str| {
        heads
            .iter()
            .any(|head| lines(head, "authorization") == [value])
    };
    assert!(with("Basic c3RhdGlj") && with("Bearer T0ken"), "{heads:?}");
    for head in &heads {
        assert_eq!(lines(head, "authorization").len(), 1, "{head}");
        assert_eq!(lines(head, "accept").len(), 1, "{head}");
        assert_eq!(lines(head, "x-own"), ["a", "b"], "{head}");
    }
    let asked = all(&asked);
    assert!(!asked.is_empty());
    for head in &asked {
        assert!(
            !is_authorized(head) && lines(head, "x-own").is_empty(),
            "{head}"
        );
    }
}

/// Unlike containerd, which has no signatures to lose: most files were written before the word.
#[tokio::test]
async fn a_host_without_the_capability_referrers_is_asked_for_them_nevertheless() {
    for (capabilities, asked) in [
        ("'pull', 'resolve'", true),
        ("'pull', 'referrers'", true),
        ("'pull'", false),
        ("'resolve', 'referrers'", false),
    ] {
        let signer = Signer::new();
        let mut content = Content::default();
        let bundle = signer.bundle(&digest()).to_string();
        let entry = referrer(&mut content, BUNDLE, bundle.as_bytes());
        list(&mut content, &digest(), &[entry]);
        let registry = Registry::start_on(0, content).await;
        let host = registry.address.to_string();
        let node = Node::new();
        let text = format!(
            "server = 'http://127.0.0.1:1'\n[host.'http://{host}']\ncapabilities = [{capabilities}]\n"
        );
        node.hosts(&host, &text);
        let answer = node.pull(&host, &signer, &Environment::default()).await;
        if asked {
            assert_allowed(&answer);
        } else {
            assert_refused(&answer, Reason::RegistryError, "Connection refused");
            assert_eq!(registry.requests(), Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn a_referrers_api_that_answers_oddly_is_told_where_nothing_else_was_found() {
    let path = format!("referrers/{}", digest());
    for status in [400, 405, 406] {
        let pull = async |fill: &dyn Fn(&mut Content, &Signer, &str)| {
            let signer = Signer::new();
            let reserved = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = reserved.local_addr().unwrap().port();
            drop(reserved);
            let host = format!("127.0.0.1:{port}");
            let mut content = Content::default();
            content.put(&path, Reply::status(status));
            fill(&mut content, &signer, &format!("{host}/app"));
            let _registry = Registry::start_on(port, content).await;
            Node::new()
                .pull(&host, &signer, &Environment::default())
                .await
        };
        let answer = pull(&|_, _, _| ()).await;
        let told = format!("the referrers API answers HTTP status {status}");
        assert_refused(&answer, Reason::UnsupportedFormat, &told);
        // What is under a tag explains more.
        let answer = pull(&|content, _, name| {
            let layer = Signer::new().layer(content, &digest(), name);
            attach(content, &digest(), &[layer]);
        })
        .await;
        assert_refused(&answer, Reason::NoMatchingSignature, "by another key");
        // And what is under the tag that stands in for the API counts.
        let answer = pull(&|content, signer, _| {
            let bundle = signer.bundle(&digest()).to_string();
            let entry = referrer(content, BUNDLE, bundle.as_bytes());
            list_by_tag(content, &digest(), &[entry]);
        })
        .await;
        assert_allowed(&answer);
    }
}
