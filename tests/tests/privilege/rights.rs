//! Every right is used, nothing else is asked for, and none can be taken away.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use e2e::control_plane::Request;

use crate::lab::Lab;
use crate::life::live;
use crate::manifests::{Grant, accounts, base, grants, without};

/// How many rights are taken away without `NODESEAL_FULL=1`.
const SAMPLE: usize = 4;
/// How long the audit log is left alone.
const PAUSE: Duration = Duration::from_millis(200);

fn user_of(account: &str) -> String {
    format!("system:serviceaccount:{account}")
}

/// What is wrong with the rights of an account, given what it asked for.
fn findings(account: &str, grants: &[Grant], requests: &[Request]) -> Vec<String> {
    let mut found = BTreeSet::new();
    for grant in grants {
        let uses = |request: &&Request| request.code < 400 && grant.covers(request);
        if !requests.iter().any(|request| uses(&request)) {
            found.insert(format!("{account} does not use this right: {grant}"));
        }
    }
    for request in requests {
        let Request { verb, resource, .. } = request;
        if let Some((verb, group, resource)) = request.forbidden() {
            found.insert(format!(
                "{account} lacks a right: {verb} {resource}.{group} ({})",
                request.message
            ));
        } else if !grants.iter().any(|grant| grant.covers(request)) && resource != "secrets" {
            found.insert(format!(
                "{account} uses a right from elsewhere: {verb} {resource} `{}`",
                request.name
            ));
        }
    }
    found.into_iter().collect()
}

#[tokio::test]
async fn every_right_is_used_and_none_is_missing() -> Result<()> {
    let base = base()?;
    let mut lab = Lab::with(&base).await?;
    let lived = live(&mut lab).await;
    let requests = lab.plane.requests()?;
    let mut all = Vec::new();
    for account in accounts(&base) {
        let of: Vec<Request> = requests
            .iter()
            .filter(|request| request.user == user_of(&account))
            .cloned()
            .collect();
        let grants = grants(&base, &account);
        println!("{account}: {} rights, {} requests", grants.len(), of.len());
        all.extend(findings(&account, &grants, &of));
    }
    let found = all.join("\n");
    lived.with_context(|| format!("{found}\n{}", lab.operator_log()))?;
    assert!(all.is_empty(), "{found}");
    Ok(())
}

/// A list of rights would be empty where the manifests are read wrongly.
#[test]
fn the_accounts_and_their_rights_are_found() -> Result<()> {
    let base = base()?;
    let accounts = accounts(&base);
    for name in ["nodeseal-operator", "nodeseal-agent"] {
        let account = format!("nodeseal-system:{name}");
        assert!(accounts.contains(&account), "{accounts:?}");
        let all = grants(&base, &account);
        for taken in &all {
            let left = grants(&without(&base, taken), &account);
            assert_eq!(left.len() + 1, all.len(), "{taken}");
            assert!(!left.contains(taken));
        }
    }
    let operator = grants(&base, "nodeseal-system:nodeseal-operator");
    assert!(operator.len() > 25, "{}", operator.len());
    assert!(operator.iter().all(|grant| grant.resource != "secrets"));
    let broad = |grant: &&Grant| {
        let parts = [&grant.group, &grant.resource, &grant.verb];
        parts.iter().any(|part| part.contains('*'))
    };
    let agent = grants(&base, "nodeseal-system:nodeseal-agent");
    assert_eq!(operator.iter().chain(&agent).find(broad), None);
    Ok(())
}

#[tokio::test]
async fn a_right_that_is_taken_away_is_missed() -> Result<()> {
    let base = base()?;
    let mut all = Vec::new();
    for account in accounts(&base) {
        let user = user_of(&account);
        all.extend(
            grants(&base, &account)
                .into_iter()
                .map(|g| (user.clone(), g)),
        );
    }
    if std::env::var_os("NODESEAL_FULL").is_none() {
        let step = all.len() / SAMPLE;
        all = all.into_iter().step_by(step.max(1)).take(SAMPLE).collect();
    }
    for (user, taken) in all {
        let mut lab = Lab::with(&without(&base, &taken)).await?;
        let missed = missed(&mut lab, &user, &taken).await;
        println!("without {taken}: {missed:?}");
        missed?;
    }
    Ok(())
}

/// Lives until a request fails for want of this right.
async fn missed(lab: &mut Lab, user: &str, taken: &Grant) -> Result<String> {
    let path = lab.plane.audit_log();
    let look = async || {
        loop {
            let requests = e2e::control_plane::requests_in(&path).unwrap_or_default();
            let mut failed = requests.iter().filter(|r| r.user == user);
            if let Some(request) = failed.find(|request| taken.misses(request)) {
                return request.message.clone();
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        message = look() => Ok(message),
        lived = live(lab) => match lived {
            Ok(()) => bail!("nobody misses the right {taken}: remove it"),
            Err(error) => bail!("without the right {taken} something else failed: {error:#}"),
        },
    }
}
