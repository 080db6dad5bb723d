use std::time::Duration;

use super::super::testing;
use super::*;
use crate::environment::Environment;

const V1: &str = "credentialprovider.kubelet.k8s.io/v1";

/// An answer of a provider, as the line of a script that gives it.
fn answers(version: &str, cache: &str, auth: &str) -> String {
    format!(
        r#"echo '{{"kind":"CredentialProviderResponse","apiVersion":"{version}","cacheKeyType":"{cache}","cacheDuration":"6h","auth":{auth}}}'"#
    )
}

fn config(provider: &str) -> String {
    format!(
        "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n- name: plugin\n  matchImages: ['*.example']\n  defaultCacheDuration: 12h\n  apiVersion: {V1}\n{provider}"
    )
}

/// What a plugin with this configuration and script gives for an image.
async fn asked(config: &str, script: &str, image: &str) -> (Vec<String>, Vec<String>) {
    let root = tempfile::tempdir().unwrap();
    testing::script(&root.path().join("bin/plugin"), script);
    std::fs::write(root.path().join("config.yaml"), config).unwrap();
    ask_in(&root, "/config.yaml", image).await
}

async fn ask_in(root: &tempfile::TempDir, config: &str, image: &str) -> (Vec<String>, Vec<String>) {
    let environment = Environment::default();
    let run = Run {
        environment: &environment,
        root: root.path(),
        time: Duration::from_secs(10),
    };
    let place = CredentialProvider {
        config: config.to_owned(),
        bin_dir: "/bin".to_owned(),
    };
    let mut notes = Vec::new();
    let found = ask(&place, &Target::new(image), &run, &mut notes).await;
    let text = |credential: &Credential| match credential {
        Credential::Password { username, password } => format!("{username}:{}", password.expose()),
        Credential::IdentityToken(_) => "token".to_owned(),
    };
    (found.iter().map(text).collect(), notes)
}

const AUTH: &str = r#"{"a.example":{"username":"u","password":"p"}}"#;

#[tokio::test]
async fn a_provider_is_asked_about_the_images_that_it_covers() {
    let script = answers(V1, "Registry", AUTH);
    let (found, notes) = asked(&config(""), &script, "a.example/app").await;
    assert_eq!((found, notes), (vec!["u:p".to_owned()], Vec::new()));
    let (found, notes) = asked(&config(""), "exit 1", "a.other/app").await;
    assert_eq!((found, notes), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn a_provider_gets_the_request_its_arguments_and_its_variables() {
    let settings = "  args: [one, 'two three']\n  env:\n  - name: OWN\n    value: x\n";
    let wanted = format!(
        r#"{{"apiVersion":"{V1}","image":"a.example/team/app","kind":"CredentialProviderRequest"}} one two three x"#
    );
    let script = format!(
        "read -r request\n[ \"$request $1 $2 $OWN\" = '{wanted}' ] || exit 1\n{}",
        answers(V1, "Image", AUTH)
    );
    let (found, notes) = asked(&config(settings), &script, "a.example/team/app").await;
    assert_eq!((found, notes), (vec!["u:p".to_owned()], Vec::new()));
}

#[tokio::test]
async fn an_answer_counts_only_for_the_images_it_is_for_and_specific_ones_are_first() {
    let auth = r#"{"a.example":{"username":"host","password":"p"},
        "a.example/team":{"username":"team","password":"p"},
        "b.example":{"username":"b","password":"p"}}"#
        .replace('\n', "");
    let (found, _) = asked(
        &config(""),
        &answers(V1, "Global", &auth),
        "a.example/team/app",
    )
    .await;
    assert_eq!(found, ["team:p", "host:p"]);
}

#[tokio::test]
async fn a_provider_that_fails_is_noted_with_the_reason() {
    let beta = "credentialprovider.kubelet.k8s.io/v1beta1";
    let required = "  tokenAttributes: {serviceAccountTokenAudience: x, cacheType: Token, requireServiceAccount: true}\n";
    for (settings, script, part) in [
        (
            "",
            "echo 'no role: hunter2' >&2; exit 1".to_owned(),
            "bin/plugin failed (exit status: 1)",
        ),
        (
            "",
            "echo hunter2".to_owned(),
            "not a CredentialProviderResponse",
        ),
        ("", answers(beta, "Image", AUTH), "not that of"),
        ("", answers(V1, "Forever", AUTH), "cacheKeyType `Forever`"),
        (required, answers(V1, "Image", AUTH), "service account"),
    ] {
        let (found, notes) = asked(&config(settings), &script, "a.example/app").await;
        assert_eq!(found, Vec::<String>::new());
        assert!(notes[0].contains(part), "{notes:?}");
        assert!(notes[0].contains("`plugin`"), "{notes:?}");
        assert!(!notes[0].contains("hunter2"), "{notes:?}");
    }
}

#[tokio::test]
async fn a_configuration_that_is_none_is_noted_and_keeps_its_secrets() {
    for (text, part) in [
        ("kind: [hunter2", "does not have that shape"),
        ("kind: Pod\napiVersion: v1", "`v1 Pod`"),
        ("kind: CredentialProviderConfig\napiVersion: v1", "`v1 Cred"),
    ] {
        let (_, notes) = asked(text, "", "a.example/app").await;
        assert!(notes[0].contains(part), "{notes:?}");
        assert!(notes[0].contains("config.yaml"), "{notes:?}");
        assert!(!notes[0].contains("hunter2"), "{notes:?}");
    }
    let evil = config("").replace("name: plugin", "name: ../plugin");
    let (_, notes) = asked(&evil, "", "a.example/app").await;
    assert!(notes[0].contains("not that of a program"), "{notes:?}");
}

#[tokio::test]
async fn the_files_of_a_folder_are_read_in_their_order_and_json_is_understood() {
    let root = tempfile::tempdir().unwrap();
    testing::script(&root.path().join("bin/plugin"), &answers(V1, "Image", AUTH));
    let folder = root.path().join("config");
    std::fs::create_dir(&folder).unwrap();
    let json = format!(
        r#"{{"apiVersion":"kubelet.config.k8s.io/v1beta1","kind":"CredentialProviderConfig","providers":[{{"name":"plugin","apiVersion":"{V1}","matchImages":["a.example"]}}]}}"#
    );
    std::fs::write(folder.join("a.json"), json).unwrap();
    std::fs::write(
        folder.join("b.yaml"),
        config("").replace("name: plugin", "name: missing"),
    )
    .unwrap();
    std::fs::write(folder.join("readme"), "{").unwrap();
    let (found, notes) = ask_in(&root, "/config", "a.example/app").await;
    assert_eq!(found, ["u:p"]);
    assert!(notes[0].contains("bin/missing cannot be run"), "{notes:?}");
}
