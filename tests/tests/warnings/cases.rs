//! Objects that get a warning, and near ones that do not.

use policy::advice::Word;
use serde_json::{Value, json};

pub(crate) struct Case {
    /// The rule that it is about.
    pub(crate) rule: Word,
    pub(crate) object: Value,
    /// Whether that rule warns of it.
    pub(crate) warns: bool,
}

const KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
     MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAVhbLJ0XQMaEL1dIof7PXYrjfr6q\n\
     URdT+RuJl4KiPJKQErWxIGZgdJ0QfMCxmOGrVxQ9/T+7H0h1CZie9nVKSQ==\n\
     -----END PUBLIC KEY-----\n";

/// Expressions for subjects, valid all of them.
pub(crate) const EXPRESSIONS: [&str; 34] = [
    "https://.*",
    ".*@.*",
    "[^@]+@[^@]+",
    r".*/release\.yml@refs/heads/main",
    "https?://[^/]+/.*",
    "spiffe://.*",
    r"https://github\.com/acme/.*|.+@.+",
    r"https://github\.com/acme/.*",
    r".*@corp\.example",
    r"https://.*\.corp\.example/.*",
    "https://github.com/.*",
    "https://github.com/acme/.*",
    "https://git.acme.example",
    ".*@corp.example",
    "https://.*.github.com/acme/x",
    "https://[a-z]+.corp.example",
    "https://[a-z]+.corp.e*xample",
    r"https://github\.com/acme/app/.github/workflows/release.yml@refs/tags/v1.2.*",
    r"john.doe@corp\.example",
    "john.doe@corp.example",
    r"https://[a-z.]+/acme",
    r"https://[a-z]+\.corp\.example",
    "a.b",
    r"https://github\.com/.*",
    "https://github.com/.+/.+/.github/workflows/.*@refs/heads/main",
    r"https://gitlab\.com/[^/]+/[^/]+//\.gitlab-ci\.yml@refs/heads/.*",
    r".*@gmail\.com",
    r"https://(github|gitlab)\.com/[a-z]+/a",
    r"https://github\.com/(acme|nobody)/.*",
    r"(john|jane)@gmail\.com",
    r"https://github\.com/[a-z]+/app/\.github/workflows/release\.yml@refs/heads/main",
    r"https://bitbucket\.org/\w+/\w",
    r"[a-z.]+@proton\.me",
    r"(?i)https://GitHub\.com/.*",
];

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": crds::API_VERSION,
        "kind": kind,
        "metadata": { "name": name },
        "spec": spec,
    })
}

/// A policy of these scopes and excludes.
fn covering(scopes: &[&str], exclude: &[&str]) -> Value {
    let spec = json!({
        "scopes": scopes,
        "exclude": exclude,
        "authorities": [{ "name": "a", "key": { "data": KEY } }],
    });
    object("ClusterImageSignaturePolicy", "p", &spec)
}

/// A policy with this identity.
pub(crate) fn keyless(identity: &Value) -> Value {
    let mut policy = covering(&["registry.example.com/team"], &[]);
    policy["spec"]["authorities"] =
        json!([{ "name": "a", "keyless": { "identities": [identity] } }]);
    policy
}

fn with(mut policy: Value, field: &str, value: &Value) -> Value {
    policy["spec"][field] = value.clone();
    policy
}

fn of_team(mut policy: Value) -> Value {
    policy["kind"] = json!("ImageSignaturePolicy");
    policy["metadata"]["namespace"] = json!("team");
    policy
}

fn config(spec: &Value) -> Value {
    object("EnforcementConfig", "default", spec)
}

pub(crate) fn tag_scope() -> Value {
    covering(&["registry.example.com/team/app:v1"], &[])
}

pub(crate) fn nothing_exempt() -> Value {
    config(&json!({ "defaultAction": "Reject" }))
}

pub(crate) fn cases() -> Vec<Case> {
    let mut all = of_expressions();
    all.extend(of_scopes());
    all.extend(of_the_system());
    all.extend(of_the_configuration());
    let cases = all.into_iter();
    let cases = cases.map(|(rule, object, warns)| Case {
        rule,
        object,
        warns,
    });
    cases.collect()
}

type Row = (Word, Value, bool);

fn of_expressions() -> Vec<Row> {
    let subject = |text: &str, claims: &Value| {
        keyless(&json!({
            "issuer": "https://issuer.example.com", "subjectRegExp": text, "claims": claims,
        }))
    };
    let issuer =
        |text: &str| keyless(&json!({ "issuerRegExp": text, "subject": "a@corp.example" }));
    let owner = json!({ "sourceRepositoryOwnerURI": "https://github.com/acme" });
    let runner = json!({ "runnerEnvironment": "github-hosted" });
    let github = r"https://github\.com/.*";
    vec![
        (Word::BroadRegExp, subject("https://.*", &json!({})), true),
        (Word::BroadRegExp, subject("https://.*", &runner), true),
        (Word::BroadRegExp, subject("https://.*", &owner), false),
        (Word::BroadRegExp, subject(github, &json!({})), false),
        (Word::BroadRegExp, issuer("https://[^/]*"), true),
        (
            Word::BroadRegExp,
            issuer(r"https://[a-z]+\.corp\.example"),
            false,
        ),
        (Word::AnyOwner, subject(github, &json!({})), true),
        (Word::AnyOwner, subject(github, &owner), false),
        (
            Word::AnyOwner,
            subject(r"https://github\.com/acme/.*", &json!({})),
            false,
        ),
        (
            Word::UnescapedDot,
            subject("https://github.com/acme/.*", &json!({})),
            true,
        ),
        (
            Word::UnescapedDot,
            subject(r"https://github\.com/acme/.*", &json!({})),
            false,
        ),
        (
            Word::UnescapedDot,
            issuer("https://issuer.corp.example"),
            true,
        ),
        (
            Word::UnescapedDot,
            issuer(r"https://issuer\.corp\.example"),
            false,
        ),
    ]
}

fn of_scopes() -> Vec<Row> {
    let digest = format!("registry.example.com/team/app@sha256:{}", "a".repeat(64));
    let plain = covering(&["registry.example.com:5000/team/app"], &[]);
    let kind = |kind: &str, more: &Value| {
        let mut identity = json!({ "type": kind });
        for (field, value) in more.as_object().unwrap() {
            identity[field] = value.clone();
        }
        with(plain.clone(), "signedIdentity", &identity)
    };
    let remap = json!({ "remapIdentity": {
        "prefix": "registry.example.com:5000", "signedPrefix": "upstream.example.com",
    } });
    let exact = json!({ "exactRepository": { "repository": "upstream.example.com/app" } });
    vec![
        (Word::TagScope, tag_scope(), true),
        (Word::TagScope, of_team(tag_scope()), true),
        (Word::TagScope, plain.clone(), false),
        (Word::TagScope, covering(&[&digest], &[]), false),
        (
            Word::TagInSignature,
            kind("MatchRepoDigestOrExact", &json!({})),
            true,
        ),
        (Word::TagInSignature, kind("RemapIdentity", &remap), true),
        (Word::TagInSignature, kind("ExactRepository", &exact), false),
        (Word::TagInSignature, plain, false),
        (
            Word::CoversNothing,
            covering(
                &["b.example.com", "b.example.com/x:v1"],
                &["b.example.com/x"],
            ),
            true,
        ),
        (
            Word::CoversNothing,
            covering(&["*.example.com"], &["*.example.com"]),
            true,
        ),
        (
            Word::CoversNothing,
            covering(&["a.example.com/x"], &["a.example.com/x/y"]),
            false,
        ),
        (
            Word::CoversNothing,
            covering(
                &["a.example.com/x", "a.example.com/xy"],
                &["a.example.com/x/y"],
            ),
            false,
        ),
    ]
}

fn of_the_system() -> Vec<Row> {
    let (sandbox, system) = (Word::CoversSandboxImage, Word::CoversSystemImages);
    let wide = covering(&["registry.k8s.io"], &[]);
    let signed_by = |subject: &str| {
        let identity = json!({ "issuer": "https://accounts.google.com", "subject": subject });
        let mut policy = keyless(&identity);
        policy["spec"]["scopes"] = json!(["registry.k8s.io"]);
        policy
    };
    vec![
        (sandbox, wide.clone(), true),
        (sandbox, covering(&["*.io"], &[]), true),
        (
            sandbox,
            covering(&["registry.k8s.io/pause:3.10"], &[]),
            true,
        ),
        (sandbox, covering(&["mcr.microsoft.com/oss"], &[]), true),
        (
            sandbox,
            covering(&["registry.k8s.io"], &["registry.k8s.io/pause"]),
            false,
        ),
        (
            sandbox,
            covering(&["registry.example.com/pause"], &[]),
            false,
        ),
        (sandbox, with(wide.clone(), "mode", &json!("Audit")), false),
        (sandbox, of_team(wide.clone()), false),
        (system, wide.clone(), true),
        (
            system,
            covering(&["*.k8s.io"], &["registry.k8s.io/pause"]),
            true,
        ),
        (
            system,
            covering(&["registry.k8s.io/sig-storage/csi-resizer"], &[]),
            true,
        ),
        (system, covering(&["*.k8s.io"], &["registry.k8s.io"]), false),
        (system, covering(&["registry.k8s.io/pause"], &[]), false),
        (system, covering(&["registry.k8s.example.com"], &[]), false),
        (
            system,
            signed_by("krel-trust@k8s-releng-prod.iam.gserviceaccount.com"),
            false,
        ),
        (
            system,
            signed_by("krel-staging@k8s-releng-prod.iam.gserviceaccount.com"),
            true,
        ),
        (system, with(wide.clone(), "mode", &json!("Audit")), false),
        (system, of_team(wide), false),
    ]
}

fn of_the_configuration() -> Vec<Row> {
    let (nothing, broad) = (Word::NothingExempt, Word::BroadExemption);
    let exempting = |action: &str, exempt: &[&str]| {
        config(&json!({ "defaultAction": action, "exemptImages": exempt }))
    };
    vec![
        (nothing, nothing_exempt(), true),
        (nothing, exempting("Reject", &[]), true),
        (nothing, exempting("Reject", &["registry.k8s.io"]), false),
        (nothing, config(&json!({})), false),
        (broad, exempting("Allow", &["docker.io"]), true),
        (
            broad,
            exempting("Reject", &["registry.k8s.io", "*.io"]),
            true,
        ),
        (
            broad,
            exempting("Allow", &["docker.io/library/busybox", "*.corp.example"]),
            false,
        ),
    ]
}
