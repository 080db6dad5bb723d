//! The judge behind the registry in memory: it finds every image, and judges many at once.

use std::fs;
use std::time::Instant;

use anyhow::Result;
use e2e::judge::{Policy, Question, Verdict};
use e2e::oci::sha256;
use e2e::sigstore::{Payload, Signer, attach_memory};
use e2e::{Folder, Image, Judge, MemoryRegistry};
use reqwest::StatusCode;
use serde_json::json;

/// How many questions are asked at once.
const MANY: usize = 300;

/// A registry, a judge behind it, and a key whose signatures are looked up everywhere.
struct Ground {
    registry: MemoryRegistry,
    judge: Judge,
    folder: Folder,
    signer: Signer,
}

impl Ground {
    fn new() -> Result<Self> {
        let registry = MemoryRegistry::start()?;
        let folder = Folder::new("hosts")?;
        let text = "default-docker:\n  use-sigstore-attachments: true\n";
        fs::create_dir(folder.join("registries.d"))?;
        fs::write(folder.join("registries.d/default.yaml"), text)?;
        Ok(Self {
            judge: Judge::behind(&registry)?,
            registry,
            folder,
            signer: Signer::generate()?,
        })
    }

    fn signed(&self, repository: &str, tag: &str) -> Result<Image> {
        let image = self.registry.push_image(repository, tag, repository)?;
        self.sign(&image)?;
        Ok(image)
    }

    fn sign(&self, image: &Image) -> Result<()> {
        let payload = Payload::new(&image.repository.full_name(), &image.digest);
        attach_memory(&self.registry, image, &[self.signer.sign(&payload)?]);
        Ok(())
    }

    /// About an image that the key must have signed.
    fn question(&self, image: &str) -> Result<Question> {
        let policy = json!({ "default": [{
            "type": "sigstoreSigned",
            "keyData": policy::crio::fields::Base64::of(self.signer.public_pem()?.as_bytes()),
            "signedIdentity": { "type": "matchRepository" },
        }]});
        Ok(Question {
            policy: policy.to_string().into_bytes().into(),
            registries_d: self.folder.join("registries.d"),
            registries_conf: self.folder.join("registries.conf"),
            image: image.to_owned(),
        })
    }

    fn ask(&mut self, image: &str) -> Result<Verdict> {
        let question = self.question(image)?;
        self.judge.ask(&question)
    }
}

fn says(verdict: &Verdict, words: &str) -> bool {
    matches!(verdict, Verdict::Refused(why) if why.contains(words))
}

#[test]
fn images_of_every_registry_are_found() -> Result<()> {
    let mut ground = Ground::new()?;
    for repository in [
        "a.example.com/team/app",
        "host:5000/x",
        "registry.example.com:443/a/b/c/d",
        "registry.example.com:80/x",
        "localhost/x",
        "127.0.0.1:5000/x",
    ] {
        let image = ground.signed(repository, "v1")?;
        for name in [image.by_tag(), image.by_digest()] {
            assert_eq!(ground.ask(&name)?, Verdict::Allowed, "{name}");
        }
    }
    ground.signed("docker.io/library/busybox", "v1")?;
    for name in [
        "busybox:v1",
        "docker.io/busybox:v1",
        "index.docker.io/library/busybox:v1",
    ] {
        assert_eq!(ground.ask(name)?, Verdict::Allowed, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn other_clients_are_answered_as_the_specification_says() -> Result<()> {
    // Another test of this program may have installed it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let registry = MemoryRegistry::start()?;
    let image = registry.push_image("a.example.com/team/app", "v1", "app")?;
    let proxy = reqwest::Proxy::http(registry.proxy())?;
    let client = reqwest::Client::builder().proxy(proxy).build()?;
    let url = |rest: &str| format!("http://a.example.com/v2/{rest}");

    let found = client.head(url("team/app/manifests/v1")).send().await?;
    assert_eq!(found.status(), StatusCode::OK);
    assert_eq!(found.headers()["Docker-Content-Digest"], *image.digest);
    assert_eq!(found.headers()["Content-Type"], *image.media_type);
    assert_eq!(found.headers()["Content-Length"], *image.size.to_string());
    assert_eq!(found.bytes().await?, "");

    for (path, status, code) in [
        ("team/app/manifests/v2", 404, "MANIFEST_UNKNOWN"),
        ("team/other/manifests/v1", 404, "MANIFEST_UNKNOWN"),
        ("team/app/blobs/sha256:00", 404, "BLOB_UNKNOWN"),
        ("team/app/referrers/sha256:00", 404, "UNSUPPORTED"),
        ("team", 404, "NAME_UNKNOWN"),
    ] {
        let answer = client.get(url(path)).send().await?;
        assert_eq!(answer.status().as_u16(), status, "{path}");
        let text = answer.text().await?;
        assert!(text.contains(code), "{path}: {text}");
    }
    let refused = client.post(url("team/app/blobs/uploads/")).send().await?;
    assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);

    // Without a proxy, the host stands in a header.
    let direct = reqwest::Client::builder().no_proxy().build()?;
    let direct = direct.get(format!("{}/v2/team/app/manifests/v1", registry.proxy()));
    let found = direct.header("Host", "a.example.com").send().await?;
    assert_eq!(sha256(&found.bytes().await?), image.digest);
    Ok(())
}

#[test]
fn of_an_index_the_platforms_image_is_judged() -> Result<()> {
    let mut ground = Ground::new()?;
    let image = ground.signed("a.example.com/app", "amd64")?;
    let index = ground
        .registry
        .push_index("a.example.com/app", "v1", &image)?;
    assert_ne!(index.digest, image.digest);
    assert_eq!(ground.ask(&index.by_digest())?, Verdict::Allowed);

    let image = ground
        .registry
        .push_image("a.example.com/b", "amd64", "b")?;
    let index = ground
        .registry
        .push_index("a.example.com/b", "v1", &image)?;
    ground.sign(&index)?;
    let verdict = ground.ask(&index.by_tag())?;
    assert!(says(&verdict, "no signature exists"), "{verdict:?}");
    Ok(())
}

#[test]
fn an_image_that_is_not_there_gets_no_verdict() -> Result<()> {
    let mut ground = Ground::new()?;
    let image = ground.signed("a.example.com/app", "v1")?;
    for name in [
        "b.example.com/app:v1",
        "a.example.com/app:v2",
        "a.example.com:443/app:v1",
    ] {
        let error = format!("{:#}", ground.ask(name).expect_err("it does not exist"));
        assert!(error.contains("manifest unknown"), "{error}");
    }
    ground.registry.remove_manifest("a.example.com/app", "v1");
    assert!(ground.ask(&image.by_tag()).is_err());
    assert_eq!(ground.ask(&image.by_digest())?, Verdict::Allowed);
    ground.registry.clear();
    assert!(ground.ask(&image.by_digest()).is_err());
    Ok(())
}

#[test]
fn signatures_are_looked_up_where_registries_d_says() -> Result<()> {
    let mut ground = Ground::new()?;
    let folder = ground.folder.join("some.d");
    fs::create_dir(&folder)?;
    fs::write(
        folder.join("some.yaml"),
        "docker:\n  a.example.com/on:\n    use-sigstore-attachments: true\n",
    )?;
    let (on, off) = (
        ground.signed("a.example.com/on", "v1")?,
        ground.signed("a.example.com/off", "v1")?,
    );
    let mut ask = |image: &Image| {
        let question = Question {
            registries_d: folder.clone(),
            ..ground.question(&image.by_tag())?
        };
        ground.judge.ask(&question)
    };
    assert_eq!(ask(&on)?, Verdict::Allowed);
    let verdict = ask(&off)?;
    assert!(says(&verdict, "no signature exists"), "{verdict:?}");
    Ok(())
}

#[test]
fn registries_conf_is_read_anew_for_each_question() -> Result<()> {
    let mut ground = Ground::new()?;
    ground.signed("mirror.example.com/app", "v1")?;
    let name = "a.example.com/app:v1";
    assert!(ground.ask(name).is_err());

    let conf = ground.folder.join("registries.conf");
    let registry = "[[registry]]\nlocation = \"a.example.com\"\n";
    let mirror = "[[registry.mirror]]\nlocation = \"mirror.example.com\"\n";
    fs::write(&conf, format!("{registry}{mirror}"))?;
    // The signature names the mirror, the pod the registry: what is found must not pass.
    let verdict = ground.ask(name)?;
    assert!(says(&verdict, "is not accepted"), "{verdict:?}");

    fs::write(&conf, format!("{registry}blocked = true\n"))?;
    let error = format!("{:#}", ground.ask(name).expect_err("it is blocked"));
    assert!(error.contains("is blocked in"), "{error}");
    Ok(())
}

#[test]
fn many_questions_are_answered_in_their_order() -> Result<()> {
    let mut ground = Ground::new()?;
    let mut questions = Vec::new();
    for number in 0..MANY {
        let repository = format!("r{}.example.com/team/app-{number}", number % 7);
        let image = ground.registry.push_image(&repository, "v1", &repository)?;
        if number % 3 > 0 {
            ground.sign(&image)?;
        }
        questions.push(ground.question(&image.by_tag())?);
        if number % 5 == 0 {
            let last = questions.last_mut().expect("it was just put there");
            last.policy = Policy::Bytes(b"{}".to_vec());
        }
    }
    let started = Instant::now();
    let verdicts = ground.judge.ask_all(&questions)?;
    let seconds = started.elapsed().as_secs_f64();
    println!("{MANY} questions in {seconds:.3} s");
    assert_eq!(verdicts.len(), MANY);
    for (number, verdict) in verdicts.iter().enumerate() {
        let right = match verdict {
            Verdict::Invalid(_) => number % 5 == 0,
            Verdict::Refused(_) => number % 5 > 0 && number % 3 == 0,
            Verdict::Allowed => number % 5 > 0 && number % 3 > 0,
        };
        assert!(right, "{number}: {verdict:?}");
    }
    Ok(())
}

#[test]
fn policies_parse_from_memory_as_from_files() -> Result<()> {
    let mut ground = Ground::new()?;
    let path = ground.folder.join("policy.json");
    let texts: [&[u8]; 5] = [
        br#"{"default":[{"type":"reject"}]}"#,
        br#"{"default":[{"type":"bogus"}]}"#,
        b"",
        b"\xff\xfe",
        br#"{"default":[{"type":"reject"}],"default":[{"type":"reject"}]}"#,
    ];
    let policies: Vec<Policy> = texts.iter().map(|text| text.to_vec().into()).collect();
    let parsed = ground.judge.parse_all(&policies)?;
    for (text, parsed) in texts.iter().zip(&parsed) {
        fs::write(&path, text)?;
        let from_file = ground.judge.parse(&path)?;
        assert_eq!(parsed.is_ok(), from_file.is_ok(), "{text:?}: {from_file:?}");
    }
    let accepted: Vec<bool> = parsed.iter().map(Result::is_ok).collect();
    assert_eq!(accepted, [true, false, false, false, false]);
    assert_eq!(ground.judge.parse_all(&[])?, []);
    Ok(())
}
