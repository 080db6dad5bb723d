//! Who asks for certificates, and what Fulcio makes of their tokens.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::issuer::Issuer;

/// Whom tokens are for: the client that Fulcio knows itself as.
const AUDIENCE: &str = "sigstore";
/// What Fulcio calls the kind of workflow that [`Workflow`] is.
const GITHUB: &str = "github-workflow";
/// How long a token holds.
const VALID: Duration = Duration::from_mins(10);

/// What a token says besides who issued it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The realm of the issuer: the path of its address.
    pub realm: &'static str,
    /// Its claims.
    pub claims: Value,
}

/// Somebody with an e-mail address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The address.
    pub email: String,
    /// The realm that vouches for it.
    pub realm: &'static str,
}

/// A run of a workflow, as GitHub Actions describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workflow {
    /// `owner/name`.
    pub repository: String,
    /// The file of the workflow in that repository.
    pub file: String,
    /// The Git reference that it ran for.
    pub reference: String,
    /// What set it off.
    pub event: String,
}

impl Person {
    /// Who has this address, by the realm `people`.
    #[must_use]
    pub fn new(email: &str) -> Self {
        Self {
            email: email.to_owned(),
            realm: Issuer::PEOPLE,
        }
    }

    /// The same address, by another provider.
    #[must_use]
    pub fn of_partners(email: &str) -> Self {
        Self {
            realm: Issuer::PARTNERS,
            ..Self::new(email)
        }
    }

    /// What its token says.
    #[must_use]
    pub fn token(&self) -> Token {
        Token {
            realm: self.realm,
            claims: json!({"sub": self.email, "email": self.email, "email_verified": true}),
        }
    }
}

impl Workflow {
    /// A release of `repository` (`owner/name`), set off by a push to this Git reference.
    #[must_use]
    pub fn release(repository: &str, reference: &str) -> Self {
        Self {
            repository: repository.to_owned(),
            file: ".github/workflows/release.yml".to_owned(),
            reference: reference.to_owned(),
            event: "push".to_owned(),
        }
    }

    /// The URI that Fulcio certifies.
    #[must_use]
    pub fn uri(&self) -> String {
        let Self {
            repository,
            file,
            reference,
            ..
        } = self;
        format!("https://github.com/{repository}/{file}@{reference}")
    }

    /// What its token says.
    #[must_use]
    pub fn token(&self) -> Token {
        let Self {
            repository,
            file,
            reference,
            event,
        } = self;
        let owner = repository.split('/').next().unwrap_or_default();
        let workflow = format!("{repository}/{file}@{reference}");
        let commit = "0123456789abcdef0123456789abcdef01234567";
        Token {
            realm: Issuer::WORKFLOWS,
            claims: json!({
                "sub": format!("repo:{repository}:ref:{reference}"),
                "event_name": event,
                "job_workflow_ref": workflow,
                "job_workflow_sha": commit,
                "ref": reference,
                "repository": repository,
                "repository_id": "1001",
                "repository_owner": owner,
                "repository_owner_id": "2002",
                "repository_visibility": "private",
                "run_attempt": "1",
                "run_id": "42",
                "runner_environment": "self-hosted",
                "sha": commit,
                "workflow": "release",
                "workflow_ref": workflow,
                "workflow_sha": commit,
            }),
        }
    }
}

impl Token {
    /// The claims with those that every token has.
    pub(super) fn complete(&self, issuer: &str) -> Result<Value> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.context("the clock is before 1970")?;
        let mut claims = self.claims.clone();
        claims["iss"] = json!(issuer);
        claims["aud"] = json!(AUDIENCE);
        claims["iat"] = json!(now.as_secs());
        claims["nbf"] = json!(now.as_secs());
        claims["exp"] = json!((now + VALID).as_secs());
        Ok(claims)
    }
}

/// Fulcio's configuration: whom it believes, and what it puts into certificates. That of workflows
/// is the public instance's for GitHub Actions (config/identity/config.yaml there). It
/// has to be YAML that is no JSON: that would be taken for another form, with other names.
pub(super) fn fulcio_config(issuer: &Issuer) -> Result<String> {
    let email = |realm: &str| {
        json!({
            "issuer-url": issuer.url(realm),
            "ca-cert": issuer.ca(),
            "client-id": AUDIENCE,
            "type": "email",
        })
    };
    let workflows = issuer.url(Issuer::WORKFLOWS);
    let config = json!({
        "oidc-issuers": {
            issuer.url(Issuer::PEOPLE): email(Issuer::PEOPLE),
            issuer.url(Issuer::PARTNERS): email(Issuer::PARTNERS),
            workflows.clone(): {
                "issuer-url": workflows,
                "ca-cert": issuer.ca(),
                "client-id": AUDIENCE,
                "type": "ci-provider",
                "ci-provider": GITHUB,
            },
        },
        "ci-issuer-metadata": {GITHUB: {
            "default-template-values": {"url": "https://github.com", "environment": ""},
            "extension-templates": {
                "github-workflow-trigger": "event_name",
                "github-workflow-sha": "sha",
                "github-workflow-name": "workflow",
                "github-workflow-repository": "repository",
                "github-workflow-ref": "ref",
                "build-signer-uri": "{{ .url }}/{{ .job_workflow_ref }}",
                "build-signer-digest": "job_workflow_sha",
                "runner-environment": "runner_environment",
                "source-repository-uri": "{{ .url }}/{{ .repository }}",
                "source-repository-digest": "sha",
                "source-repository-ref": "ref",
                "source-repository-identifier": "repository_id",
                "source-repository-owner-uri": "{{ .url }}/{{ .repository_owner }}",
                "source-repository-owner-identifier": "repository_owner_id",
                "build-config-uri": "{{ .url }}/{{ .workflow_ref }}",
                "build-config-digest": "workflow_sha",
                "build-trigger": "event_name",
                "run-invocation-uri":
                    "{{ .url }}/{{ .repository }}/actions/runs/{{ .run_id }}/attempts/{{ .run_attempt }}",
                "source-repository-visibility-at-signing": "repository_visibility",
                "deployment-environment": "environment",
            },
            "subject-alternative-name-template": "{{ .url }}/{{ .job_workflow_ref }}",
        }},
    });
    serde_saphyr::to_string(&config).context("write Fulcio's configuration")
}
