//! Registries as nodes reach them: the shipped verifier in a root of its own, against real
//! registries with passwords, tokens, private TLS, and mirrors that `hosts.toml` names.

mod desk;
mod gate;
mod pki;
mod tokens;

use anyhow::{Result, ensure};
use e2e::{Image, Registry};
use serde_json::json;

use desk::Desk;
use gate::{Gate, PASSWORD, Plan, USER};
use pki::Pki;
use tokens::{IDENTITY_TOKEN, ISSUER, Listener, Tokens, reply};

/// An open registry, and the desk of a node.
async fn scene() -> Result<(Desk, Registry)> {
    Ok((Desk::new()?, Registry::distribution().await?))
}

/// A registry that wants the user's password, with an image signed under its name.
async fn behind_a_password() -> Result<(Desk, Registry, Gate, Image)> {
    let (desk, open) = scene().await?;
    let gate = Plan::over(&open)?.password()?.start().await?;
    let image = desk.signed(&open, &gate.local()).await?;
    Ok((desk, open, gate, image))
}

#[tokio::test]
async fn a_password_in_the_kubelets_config_json_opens_a_registry() -> Result<()> {
    let (desk, _open, gate, image) = behind_a_password().await?;
    let host = gate.local();
    desk.expect(
        &host,
        &image,
        "RegistryDenied",
        "the node has no credentials for it",
    )
    .await?;
    desk.password(&host, USER, "battery staple")?;
    desk.expect(
        &host,
        &image,
        "RegistryDenied",
        "1 of the node's credentials were tried",
    )
    .await?;
    desk.password(&host, USER, PASSWORD)?;
    desk.expect(&host, &image, "allowed", "release").await
}

#[tokio::test]
async fn a_credential_helper_opens_a_registry() -> Result<()> {
    let (desk, _open, gate, image) = behind_a_password().await?;
    let host = gate.local();
    desk.docker_config(&json!({"credHelpers": {&host: "vault"}}))?;
    desk.expect(
        &host,
        &image,
        "RegistryDenied",
        "`docker-credential-vault` is not in",
    )
    .await?;
    let helper = "usr/local/bin/docker-credential-vault";
    desk.script(helper, "echo 'sealed' >&2; exit 1")?;
    desk.expect(&host, &image, "RegistryDenied", "failed (exit status: 1)")
        .await?;
    let answer = json!({"ServerURL": host, "Username": USER, "Secret": PASSWORD});
    let script = format!("read -r server; [ \"$1 $server\" = 'get {host}' ] && echo '{answer}'");
    desk.script(helper, &script)?;
    desk.expect(&host, &image, "allowed", "release").await
}

#[tokio::test]
async fn a_credential_provider_of_the_kubelet_opens_a_registry() -> Result<()> {
    let (desk, _open, gate, image) = behind_a_password().await?;
    let (host, version) = (gate.local(), "credentialprovider.kubelet.k8s.io/v1");
    let config = format!(
        "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n- name: cloud\n  apiVersion: {version}\n  matchImages: ['{host}']\n  defaultCacheDuration: 1h\n  args: [login]\n  env: [{{name: REGION, value: north}}]\n"
    );
    desk.provider(&config)?;
    let plugin = "usr/libexec/providers/cloud";
    desk.script(plugin, "echo 'no role' >&2; exit 1")?;
    desk.expect(&host, &image, "RegistryDenied", "failed (exit status: 1)")
        .await?;
    desk.script(plugin, "while :; do read -r x; done")?;
    desk.expect(&host, &image, "RegistryDenied", "gave no answer within")
        .await?;
    let request = json!({
        "kind": "CredentialProviderRequest", "apiVersion": version, "image": format!("{host}/team/app"),
    });
    let answer = json!({
        "kind": "CredentialProviderResponse", "apiVersion": version, "cacheKeyType": "Registry",
        "auth": {&host: {"username": USER, "password": PASSWORD}},
    });
    let script = format!(
        "read -r request; [ \"$request $1 $REGION\" = '{request} login north' ] && echo '{answer}'"
    );
    desk.script(plugin, &script)?;
    desk.expect(&host, &image, "allowed", "release").await
}

#[tokio::test]
async fn a_token_is_fetched_with_a_password_or_an_identity_token() -> Result<()> {
    let (desk, open) = scene().await?;
    let tokens = Tokens::start().await?;
    let plan = Plan::over(&open)?.tokens(&tokens.realm(), ISSUER, &tokens.certificate)?;
    let gate = plan.start().await?;
    let host = gate.local();
    let image = desk.signed(&open, &host).await?;
    desk.expect(&host, &image, "RegistryDenied", "no credentials")
        .await?;
    let identity = json!({"auths": {&host: {"identitytoken": IDENTITY_TOKEN}}});
    desk.docker_config(&identity)?;
    desk.expect(&host, &image, "allowed", "release").await?;
    desk.password(&host, USER, PASSWORD)?;
    let before = tokens.listener.requests().len();
    desk.expect(&host, &image, "allowed", "release").await?;
    // Three lookups run at once, and one of them asks for all.
    ensure!(
        tokens.listener.requests().len() == before + 1,
        "{:?}",
        tokens.listener.requests()
    );
    Ok(())
}

#[tokio::test]
async fn a_private_authority_in_hosts_toml_is_believed() -> Result<()> {
    let (desk, open) = scene().await?;
    let (pki, stranger) = (Pki::new()?, Pki::new()?);
    let gate = Plan::over(&open)?.tls(&pki)?.start().await?;
    let host = gate.named();
    let image = desk.signed(&open, &host).await?;
    desk.expect(&host, &image, "RegistryError", "no CA bundle on this host")
        .await?;
    desk.hosts(&host, "ca = 'ca.crt'\n")?;
    let ca = format!("etc/containerd/certs.d/{host}/ca.crt");
    desk.expect(&host, &image, "Internal", "ca.crt cannot be read")
        .await?;
    desk.file(&ca, stranger.ca.as_bytes())?;
    desk.expect(&host, &image, "RegistryError", "UnknownIssuer")
        .await?;
    desk.file(&ca, pki.ca.as_bytes())?;
    desk.expect(&host, &image, "allowed", "release").await
}

#[tokio::test]
async fn certificates_in_dockers_layout_are_believed() -> Result<()> {
    let (desk, open) = scene().await?;
    let pki = Pki::new()?;
    let plan = Plan::over(&open)?.tls(&pki)?.client_certificates(&pki)?;
    let gate = plan.start().await?;
    let host = gate.named();
    let image = desk.signed(&open, &host).await?;
    let folder = format!("etc/docker/certs.d/{host}");
    desk.file(&format!("{folder}/any.crt"), pki.ca.as_bytes())?;
    desk.file(&format!("{folder}/node.cert"), pki.client.0.as_bytes())?;
    desk.file(&format!("{folder}/node.key"), pki.client.1.as_bytes())?;
    desk.expect(&host, &image, "allowed", "release").await
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_a_registry_wants_one() -> Result<()> {
    let (desk, open) = scene().await?;
    let (pki, stranger) = (Pki::new()?, Pki::new()?);
    let plan = Plan::over(&open)?.tls(&pki)?.client_certificates(&pki)?;
    let gate = plan.start().await?;
    let host = gate.named();
    let image = desk.signed(&open, &host).await?;
    let folder = format!("etc/containerd/certs.d/registry.test_{}_", gate.port);
    desk.file(&format!("{folder}/ca.crt"), pki.ca.as_bytes())?;
    let hosts = |client: &str| {
        desk.file(
            &format!("{folder}/hosts.toml"),
            format!("ca = 'ca.crt'\n{client}").as_bytes(),
        )
    };
    hosts("")?;
    // With TLS 1.3 the registry just hangs up; whether its reason comes through is chance.
    desk.expect(&host, &image, "RegistryError", "").await?;
    let together = format!("{}{}", pki.client.0, pki.client.1);
    desk.file(&format!("{folder}/both.pem"), together.as_bytes())?;
    hosts("client = 'both.pem'")?;
    desk.expect(&host, &image, "allowed", "release").await?;
    for (name, (certificate, key)) in [("other", &stranger.client), ("own", &pki.client)] {
        desk.file(&format!("{folder}/{name}.crt"), certificate.as_bytes())?;
        desk.file(&format!("{folder}/{name}.key"), key.as_bytes())?;
    }
    // The registry says whose it accepts: the other one is not shown.
    hosts("client = [['other.crt', 'other.key'], ['own.crt', 'own.key']]")?;
    desk.expect(&host, &image, "allowed", "release").await?;
    hosts("client = [['own.crt', 'other.key']]")?;
    desk.expect(&host, &image, "Internal", "other.key is not the key")
        .await
}

#[tokio::test]
async fn skip_verify_believes_any_certificate() -> Result<()> {
    let (desk, open) = scene().await?;
    let gate = Plan::over(&open)?.tls(&Pki::new()?)?.start().await?;
    let host = gate.named();
    let image = desk.signed(&open, &host).await?;
    desk.hosts(&host, "skip_verify = false\n")?;
    desk.expect(&host, &image, "RegistryError", "no CA bundle on this host")
        .await?;
    desk.hosts(&host, "skip_verify = true\n")?;
    desk.expect(&host, &image, "allowed", "release").await
}

#[tokio::test]
async fn on_this_machine_tls_goes_first_and_its_certificate_is_not_checked() -> Result<()> {
    let (desk, open) = scene().await?;
    let gate = Plan::over(&open)?.tls(&Pki::new()?)?.start().await?;
    let host = gate.local();
    let image = desk.signed(&open, &host).await?;
    desk.expect(&host, &image, "allowed", "release").await
}

#[tokio::test]
async fn plain_http_is_spoken_only_where_containerd_would() -> Result<()> {
    let (desk, open) = scene().await?;
    let gate = Plan::over(&open)?.start().await?;
    let (local, named) = (gate.local(), gate.named());
    let image = desk.signed(&open, &local).await?;
    desk.expect(&local, &image, "allowed", "release").await?;
    desk.sign(&image, &named).await?;
    desk.expect(&named, &image, "RegistryError", "corrupt message")
        .await?;
    desk.hosts(&named, &format!("server = 'http://{named}'\n"))?;
    desk.expect(&named, &image, "allowed", "release").await?;
    // With settings for TLS, both may be meant, and what answers is no TLS.
    desk.hosts(
        &named,
        &format!("server = 'http://{named}'\nskip_verify = true\n"),
    )?;
    desk.expect(&named, &image, "allowed", "release").await
}

#[tokio::test]
async fn a_certificate_that_is_not_believed_is_no_reason_to_speak_plain_http() -> Result<()> {
    let (desk, open) = scene().await?;
    let (pki, stranger) = (Pki::new()?, Pki::new()?);
    let gate = Plan::over(&open)?.tls(&pki)?.start().await?;
    let host = gate.named();
    let image = desk.signed(&open, &host).await?;
    desk.hosts(&host, &format!("server = 'http://{host}'\nca = 'ca.crt'\n"))?;
    desk.file(
        &format!("etc/containerd/certs.d/{host}/ca.crt"),
        stranger.ca.as_bytes(),
    )?;
    desk.expect(&host, &image, "RegistryError", "UnknownIssuer")
        .await
}

/// A `hosts.toml` with one mirror before the origin, which is on this machine.
fn mirrored(origin: &str, mirror: &str, settings: &str) -> String {
    format!("server = 'http://{origin}'\n[host.'{mirror}']\n{settings}\n")
}

#[tokio::test]
async fn a_mirror_that_lacks_the_signatures_does_not_hide_those_of_the_origin() -> Result<()> {
    let (desk, open) = scene().await?;
    let (mirror, referrers) = tokio::try_join!(Plan::empty()?.start(), Registry::with_referrers())?;
    let host = open.host();
    let image = desk.signed(&open, &host).await?;
    // One that has nothing, and one that has the referrers API, where nothing is an empty list.
    for mirror in [mirror.local(), referrers.host()] {
        desk.hosts(&host, &mirrored(&host, &format!("http://{mirror}"), ""))?;
        desk.expect(&host, &image, "allowed", "release").await?;
    }
    let log = mirror.log();
    ensure!(
        log.contains("/v2/team/app/"),
        "the mirror was not asked: {log}"
    );
    ensure!(
        log.contains("ns=127.0.0.1%3A"),
        "the mirror was not told for whom: {log}"
    );
    Ok(())
}

#[tokio::test]
async fn a_mirror_that_has_the_signatures_serves_a_node_that_cannot_reach_the_origin() -> Result<()>
{
    let (desk, open) = scene().await?;
    let host = "registry.test";
    let image = desk.signed(&open, host).await?;
    let down = "http://127.0.0.1:1";
    let text = format!(
        "server = '{down}'\n[host.'{down}']\n[host.'http://{}']\n",
        open.host()
    );
    desk.hosts(host, &text)?;
    desk.expect(host, &image, "allowed", "release").await
}

#[tokio::test]
async fn a_mirror_that_pulls_through_serves_signatures() -> Result<()> {
    let (desk, open) = scene().await?;
    let url = format!("http://{}", open.host());
    let mirror = Plan::pull_through(&url)?.start().await?;
    let host = "registry.test";
    let image = desk.signed(&open, host).await?;
    desk.hosts(
        host,
        &mirrored("127.0.0.1:1", &format!("http://{}", mirror.local()), ""),
    )?;
    desk.expect(host, &image, "allowed", "release").await
}

#[tokio::test]
async fn an_error_of_a_mirror_never_looks_like_there_is_no_signature() -> Result<()> {
    let (desk, open) = scene().await?;
    let host = open.host();
    let image = Image::push(&open, "team/app", "v1").await?;
    desk.expect(&host, &image, "NoSignature", "everything")
        .await?;
    let failing = Listener::start(|_| reply("503 Service Unavailable", "", "")).await?;
    let text = mirrored(&host, &format!("http://{}", failing.address), "");
    desk.hosts(&host, &text)?;
    desk.expect(&host, &image, "RegistryError", "503").await?;
    let answer = desk.pull(&host, &image).await?;
    ensure!(answer.line.contains(&failing.address), "{}", answer.line);
    desk.sign(&image, &host).await?;
    desk.expect(&host, &image, "allowed", "release").await
}

#[tokio::test]
async fn a_mirror_that_never_answers_does_not_use_up_the_time() -> Result<()> {
    let (desk, open) = scene().await?;
    let host = open.host();
    let image = desk.signed(&open, &host).await?;
    // Takes connections, and that is all.
    let stalling = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let mirror = format!("http://{}", stalling.local_addr()?);
    desk.hosts(&host, &mirrored(&host, &mirror, ""))?;
    desk.expect(&host, &image, "allowed", "release").await
}

#[tokio::test]
async fn a_host_is_asked_only_for_what_it_is_capable_of() -> Result<()> {
    let (desk, open) = scene().await?;
    let mirror = Plan::over(&open)?.start().await?;
    let host = "registry.test";
    let image = desk.signed(&open, host).await?;
    let url = format!("http://{}", mirror.local());
    for (capabilities, code) in [
        ("'pull', 'resolve'", "allowed"),
        ("'pull'", "RegistryError"),
        ("'resolve', 'push'", "RegistryError"),
    ] {
        let settings = format!("capabilities = [{capabilities}]");
        desk.hosts(host, &mirrored("127.0.0.1:1", &url, &settings))?;
        desk.expect(host, &image, code, "").await?;
    }
    desk.hosts(
        host,
        "server = 'https://registry.test'\ncapabilities = ['push']\n",
    )?;
    desk.expect(host, &image, "Internal", "hosts.toml names none")
        .await
}

#[tokio::test]
async fn a_host_may_have_its_api_at_another_path() -> Result<()> {
    let (desk, open) = scene().await?;
    let gate = Plan::over(&open)?.prefix("/own/").start().await?;
    let host = "registry.test";
    let image = desk.signed(&open, host).await?;
    let url = format!("http://{}", gate.local());
    for (path, settings, code) in [
        ("/own/v2", "override_path = true", "allowed"),
        ("/own", "", "allowed"),
        ("/own", "override_path = true", "RegistryError"),
        ("", "", "RegistryError"),
    ] {
        let text = mirrored("127.0.0.1:1", &format!("{url}{path}"), settings);
        desk.hosts(host, &text)?;
        desk.expect(host, &image, code, "").await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_default_folder_is_for_every_host_that_has_none() -> Result<()> {
    let (desk, open) = scene().await?;
    let mirror = Plan::over(&open)?.start().await?;
    let image = desk.signed(&open, "elsewhere.test").await?;
    desk.hosts("_default", &format!("[host.'http://{}']\n", mirror.local()))?;
    desk.expect("elsewhere.test", &image, "allowed", "release")
        .await?;
    ensure!(
        mirror.log().contains("ns=elsewhere.test"),
        "{}",
        mirror.log()
    );
    desk.hosts("elsewhere.test", "server = 'http://127.0.0.1:1'\n")?;
    desk.expect("elsewhere.test", &image, "RegistryError", "")
        .await
}

#[tokio::test]
async fn a_hosts_toml_that_does_not_parse_is_passed_over_and_named_when_it_matters() -> Result<()> {
    let (desk, open) = scene().await?;
    let host = open.host();
    let image = desk.signed(&open, &host).await?;
    desk.hosts(&host, "server = \n")?;
    desk.expect(&host, &image, "allowed", "release").await?;
    desk.hosts("registry.test:1", "server = \n")?;
    desk.expect(
        "registry.test:1",
        &image,
        "RegistryError",
        "hosts.toml is passed over",
    )
    .await
}

#[tokio::test]
async fn credentials_go_to_no_other_host() -> Result<()> {
    let (desk, _open, gate, image) = behind_a_password().await?;
    let host = gate.local();
    desk.password(&host, USER, PASSWORD)?;
    let curious = Listener::start(|_| {
        reply(
            "401 Unauthorized",
            "WWW-Authenticate: Basic realm=x\r\n",
            "",
        )
    })
    .await?;
    desk.hosts(
        &host,
        &mirrored(&host, &format!("http://{}", curious.address), ""),
    )?;
    desk.expect(&host, &image, "allowed", "release").await?;
    let asked = curious.requests();
    ensure!(!asked.is_empty(), "the mirror was not asked");
    for request in asked {
        ensure!(
            !request.to_ascii_lowercase().contains("authorization"),
            "{request}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn neither_credentials_nor_headers_go_along_with_a_redirect() -> Result<()> {
    let (desk, open) = scene().await?;
    let target = Listener::start(|_| {
        reply(
            "401 Unauthorized",
            "WWW-Authenticate: Basic realm=x\r\n",
            "",
        )
    })
    .await?;
    let location = format!("Location: http://{}/elsewhere\r\n", target.address);
    let registry = Listener::start(move |request| {
        if request
            .to_ascii_lowercase()
            .contains("authorization: basic")
        {
            reply("307 Temporary Redirect", &location, "")
        } else {
            reply(
                "401 Unauthorized",
                "WWW-Authenticate: Basic realm=x\r\n",
                "",
            )
        }
    })
    .await?;
    let host = registry.address.clone();
    let image = Image::push(&open, "team/app", "v1").await?;
    desk.password(&host, USER, PASSWORD)?;
    desk.hosts(
        &host,
        &format!("server = 'http://{host}'\n[header]\nx-secret = 'hunter2'\n"),
    )?;
    desk.expect(&host, &image, "RegistryDenied", "401").await?;
    let has = |requests: &[String], part: &str| {
        requests
            .iter()
            .any(|request| request.to_ascii_lowercase().contains(part))
    };
    let asked = registry.requests();
    ensure!(
        has(&asked, "x-secret: hunter2") && has(&asked, "authorization"),
        "{asked:?}"
    );
    let redirected = target.requests();
    ensure!(has(&redirected, "get /elsewhere"), "{redirected:?}");
    ensure!(
        !has(&redirected, "hunter2") && !has(&redirected, "authorization"),
        "{redirected:?}"
    );
    Ok(())
}
