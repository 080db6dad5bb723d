use super::super::testing;
use super::*;

fn config(json: &str) -> Config {
    serde_json::from_str(json).unwrap()
}

/// What the entries of a file give for an image, as `user:password` or `token:...`.
fn entries(json: &str, image: &str) -> (Vec<String>, Vec<String>) {
    let mut notes = Vec::new();
    let found = config(json).entries(&Target::new(image), &mut notes);
    (found.iter().map(text).collect(), notes)
}

fn text(credential: &Credential) -> String {
    match credential {
        Credential::Password { username, password } => format!("{username}:{}", password.expose()),
        Credential::IdentityToken(token) => format!("token:{}", token.expose()),
    }
}

#[test]
fn entries_have_a_password_in_any_of_the_usual_shapes() {
    for (entry, expected) in [
        (r#"{"auth":"dTpwOnE="}"#, "u:p:q"),
        (r#"{"auth":"dTpwOnE"}"#, "u:p:q"),
        (r#"{"username":"u","password":"p"}"#, "u:p"),
        (
            r#"{"auth":"dTpwOnE=","username":"x","password":"y"}"#,
            "u:p:q",
        ),
        (r#"{"auth":"dTpwOnE=","identitytoken":"t"}"#, "token:t"),
        (r#"{"auth":"dTpwAAA=","email":"e"}"#, "u:p"),
    ] {
        let json = format!(r#"{{"auths":{{"a.example":{entry}}}}}"#);
        assert_eq!(entries(&json, "a.example/app").0, [expected], "{entry}");
    }
}

#[test]
fn entries_without_a_secret_count_for_nothing_and_damaged_ones_are_noted() {
    for (entry, note) in [
        ("{}", None),
        (r#"{"auth":""}"#, None),
        (r#"{"auth":"!!"}"#, Some("not base64")),
        (r#"{"auth":"dXA"}"#, Some("without a colon")),
        (r#"{"auth":"/w=="}"#, Some("not text")),
    ] {
        let json = format!(r#"{{"auths":{{"a.example":{entry}}}}}"#);
        let (found, notes) = entries(&json, "a.example/app");
        assert_eq!(found, Vec::<String>::new());
        assert_eq!(notes.len(), usize::from(note.is_some()), "{notes:?}");
        assert!(notes.iter().all(|n| n.contains(note.unwrap())), "{notes:?}");
    }
}

/// Go's decoder, which Docker and the kubelet read it with, takes `null` for nothing.
#[tokio::test]
async fn null_is_nothing_and_an_odd_value_costs_only_itself() {
    let good = r#""a.example":{"username":"u","password":"p"}"#;
    for json in [
        format!(r#"{{"auths":{{{good}}},"credHelpers":null,"credsStore":null}}"#),
        format!(r#"{{"auths":{{{good},"b.example":null}}}}"#),
        format!(r#"{{"auths":{{{good},"b.example":7}},"credHelpers":7,"credsStore":[]}}"#),
        format!(r#"{{"auths":{{{good},"b.example":{{"auth":{{}}}}}}}}"#),
        r#"{"auths":{"a.example":{"username":"u","password":"p","auth":null}}}"#.to_owned(),
    ] {
        let (found, notes) = entries(&json, "a.example/app");
        assert_eq!((found, notes.len()), (vec!["u:p".to_owned()], 0), "{json}");
    }
    for json in ["{}", r#"{"auths":null}"#, r#"{"auths":{"a.example":null}}"#] {
        assert_eq!(entries(json, "a.example/app"), (vec![], vec![]), "{json}");
    }
    for (json, part) in [
        (r#"{"auths":"hunter2"}"#, "`auths` is not"),
        (
            r#"{"auths":{"a.example":"hunter2"}}"#,
            "the entry `a.example` is not",
        ),
        (
            r#"{"auths":{"a.example":{"auth":["hunter2"]}}}"#,
            "the entry `a.example` is not",
        ),
    ] {
        let (found, notes) = entries(json, "a.example/app");
        assert_eq!(found, Vec::<String>::new());
        let [note] = notes.as_slice() else {
            panic!("{notes:?}")
        };
        assert!(note.contains(part) && !note.contains("hunter2"), "{note}");
    }
    for (json, part) in [
        (r#"{"credHelpers":7}"#, "`credHelpers` is not"),
        (
            r#"{"credHelpers":{"a.example":7}}"#,
            "the helper for `a.example` is not",
        ),
        (r#"{"credsStore":7}"#, "`credsStore` is not"),
    ] {
        let (found, notes) = helped(json, ECHO, "a.example/app").await;
        assert_eq!(found, None);
        assert!(notes[0].contains(part), "{notes:?}");
    }
    let json = r#"{"credHelpers":{"b.example":7,"a.example":"x"}}"#;
    let (found, notes) = helped(json, ECHO, "a.example/app").await;
    assert_eq!((found.as_deref(), notes.len()), (Some("a.example:s"), 0));
}

#[test]
fn the_most_specific_entry_is_first_and_other_hosts_have_no_part() {
    let json = r#"{"auths":{
        "a.example": {"username":"host","password":"x"},
        "https://a.example/team": {"username":"team","password":"x"},
        "a.example/other": {"username":"other","password":"x"},
        "a.example:5000": {"username":"port","password":"x"},
        "b.example": {"username":"b","password":"x"}}}"#;
    assert_eq!(entries(json, "a.example/team/app").0, ["team:x", "host:x"]);
    assert_eq!(entries(json, "a.example:5000/team/app").0, ["port:x"]);
    assert_eq!(entries(json, "c.example/team/app").0, Vec::<String>::new());
}

#[test]
fn dockers_own_registry_has_its_legacy_key() {
    let json = r#"{"auths":{"https://index.docker.io/v1/":{"username":"hub","password":"x"}}}"#;
    assert_eq!(entries(json, "docker.io/library/app").0, ["hub:x"]);
    assert_eq!(
        entries(json, "a.example/library/app").0,
        Vec::<String>::new()
    );
    let json = r#"{"auths":{"docker.io":{"username":"io","password":"x"},
        "https://index.docker.io/v1/":{"username":"hub","password":"x"}}}"#;
    assert_eq!(entries(json, "docker.io/library/app").0, ["io:x"]);
}

#[test]
fn the_first_file_that_can_be_read_counts_and_secrets_in_damaged_ones_are_not_told() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("bad"), "{\"auths\": hunter2").unwrap();
    std::fs::write(root.path().join("good"), r#"{"credsStore":"x"}"#).unwrap();
    let mut notes = Vec::new();
    let paths = ["/missing", "/bad", "/good"].map(str::to_owned);
    let config = load(&paths, root.path(), &mut notes);
    assert_eq!(config.creds_store.get().map(String::as_str), Some("x"));
    assert_eq!(notes.len(), 1);
    assert!(notes[0].contains("/bad is not Docker's"), "{notes:?}");
    assert!(!notes[0].contains("hunter2"), "{notes:?}");
}

/// Asks a config's helper, and its store, with a helper that runs this script.
async fn helped(json: &str, script: &str, image: &str) -> (Option<String>, Vec<String>) {
    let root = tempfile::tempdir().unwrap();
    testing::script(&root.path().join("usr/bin/docker-credential-x"), script);
    let environment = Environment::default();
    let run = Run {
        environment: &environment,
        root: root.path(),
        time: Duration::from_secs(10),
    };
    let config = config(json);
    let (target, mut notes) = (Target::new(image), Vec::new());
    let mut found = config.helper(&target, &run, &mut notes).await;
    if found.is_none() {
        found = config.store(&target, &run, &mut notes).await;
    }
    (found.as_ref().map(text), notes)
}

const ECHO: &str =
    r#"read -r server; printf '{"ServerURL":"","Username":"%s","Secret":"s"}' "$server""#;

#[tokio::test]
async fn a_helper_is_asked_about_its_own_host() {
    let json = r#"{"credHelpers":{"a.example":"x"}}"#;
    let (found, notes) = helped(json, ECHO, "a.example/app").await;
    assert_eq!((found.as_deref(), notes.len()), (Some("a.example:s"), 0));
    let (found, notes) = helped(json, ECHO, "b.example/app").await;
    assert_eq!((found, notes.len()), (None, 0));
}

#[tokio::test]
async fn a_store_is_asked_about_every_host_and_the_hub_by_its_legacy_name() {
    let json = r#"{"credsStore":"x"}"#;
    let (found, _) = helped(json, ECHO, "docker.io/library/app").await;
    assert_eq!(found.as_deref(), Some("https://index.docker.io/v1/:s"));
}

#[tokio::test]
async fn a_helper_may_give_an_identity_token_or_nothing() {
    let json = r#"{"credHelpers":{"a.example":"x"}}"#;
    let token = r#"printf '{"Username":"<token>","Secret":"s"}'"#;
    let (found, _) = helped(json, token, "a.example/app").await;
    assert_eq!(found.as_deref(), Some("token:s"));
    let (found, notes) = helped(json, "echo hunter2", "a.example/app").await;
    assert_eq!(found, None);
    assert!(notes[0].contains("gave no credentials"), "{notes:?}");
    assert!(!notes[0].contains("hunter2"), "{notes:?}");
}

#[tokio::test]
async fn a_helper_that_is_missing_or_fails_is_noted() {
    let (_, notes) = helped(r#"{"credsStore":"y"}"#, ECHO, "a.example/app").await;
    assert!(notes[0].contains("docker-credential-y"), "{notes:?}");
    let (_, notes) = helped(r#"{"credsStore":"../x"}"#, ECHO, "a.example/app").await;
    assert!(notes[0].contains("is not in"), "{notes:?}");
    let (_, notes) = helped(r#"{"credsStore":"x"}"#, "exit 1", "a.example/app").await;
    assert!(notes[0].contains("exit status: 1"), "{notes:?}");
}
