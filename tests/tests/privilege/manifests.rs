//! What `config/base` gives to whom.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;

use anyhow::{Context as _, Result};
use e2e::control_plane::Request;
use serde_json::{Value, json};

/// One right: one verb on one resource, to everything or to one name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Grant {
    /// The kind and name of the role that holds it.
    pub(crate) role: String,
    /// The namespace of a Role; empty for a `ClusterRole`.
    pub(crate) namespace: String,
    pub(crate) group: String,
    /// With its subresource.
    pub(crate) resource: String,
    pub(crate) verb: String,
    /// Nothing for all objects.
    pub(crate) name: Option<String>,
}

impl Grant {
    /// Whether the request could not have succeeded without a right like this.
    pub(crate) fn covers(&self, request: &Request) -> bool {
        let name = self.name.as_ref().is_none_or(|name| *name == request.name);
        let namespace = self.namespace.is_empty() || self.namespace == request.namespace;
        // To apply what is not there is to create it, too.
        let created = request.verb == "patch" && request.code == 201 && self.verb == "create";
        self.group == request.group
            && self.resource == request.resource
            && (self.verb == request.verb || created)
            && name
            && namespace
    }

    /// Whether a request failed for want of it.
    pub(crate) fn misses(&self, request: &Request) -> bool {
        let of = (self.verb.clone(), self.group.clone(), self.resource.clone());
        request.forbidden() == Some(of)
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.role, self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        self.name.iter().try_for_each(|name| write!(f, " `{name}`"))
    }
}

/// Every object in `config/base`, in the order of its kustomization.
pub(crate) fn base() -> Result<Vec<Value>> {
    let folder = xtask::cache::workspace().join("config/base");
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    };
    let kustomization: Value = serde_saphyr::from_str(&read("kustomization.yaml")?)?;
    let mut objects = Vec::new();
    for name in kustomization["resources"].as_array().context("resources")? {
        let name = name.as_str().context("the name of a file")?;
        for document in read(name)?.split("\n---\n") {
            let object = serde_saphyr::from_str(document).with_context(|| name.to_owned())?;
            objects.push(object);
        }
    }
    Ok(objects)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn texts(value: &Value) -> Vec<String> {
    let all = value.as_array().into_iter().flatten();
    all.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn is_role(object: &Value) -> bool {
    ["Role", "ClusterRole"].contains(&text(object, "/kind"))
}

fn role_of(object: &Value) -> String {
    let (kind, name) = (text(object, "/kind"), text(object, "/metadata/name"));
    format!("{kind} {name}")
}

fn grants_of(role: &Value) -> Vec<Grant> {
    let mut grants = Vec::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        let names = texts(&rule["resourceNames"]);
        let names: Vec<Option<String>> = if names.is_empty() {
            vec![None]
        } else {
            names.into_iter().map(Some).collect()
        };
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    grants.extend(names.iter().map(|name| Grant {
                        role: role_of(role),
                        namespace: text(role, "/metadata/namespace").to_owned(),
                        group: group.clone(),
                        resource: resource.clone(),
                        verb: verb.clone(),
                        name: name.clone(),
                    }));
                }
            }
        }
    }
    grants
}

/// The accounts that `config/base` makes, as `namespace:name`.
pub(crate) fn accounts(base: &[Value]) -> Vec<String> {
    let accounts = base.iter().filter(|o| text(o, "/kind") == "ServiceAccount");
    accounts
        .map(|o| {
            let (namespace, name) = (text(o, "/metadata/namespace"), text(o, "/metadata/name"));
            format!("{namespace}:{name}")
        })
        .collect()
}

/// Every right that a binding in `config/base` gives to this account.
pub(crate) fn grants(base: &[Value], account: &str) -> Vec<Grant> {
    let mut grants = BTreeSet::new();
    for binding in base {
        let subjects = binding["subjects"].as_array().into_iter().flatten();
        let is_account = |subject: &Value| {
            let (namespace, name) = (text(subject, "/namespace"), text(subject, "/name"));
            format!("{namespace}:{name}") == account
        };
        if !subjects.into_iter().any(is_account) {
            continue;
        }
        let namespace = text(binding, "/metadata/namespace");
        let (kind, name) = (
            text(binding, "/roleRef/kind"),
            text(binding, "/roleRef/name"),
        );
        let roles = base.iter().filter(|role| {
            let own = text(role, "/metadata/namespace");
            text(role, "/kind") == kind
                && text(role, "/metadata/name") == name
                && (kind == "ClusterRole" || own == namespace)
        });
        for mut grant in roles.flat_map(grants_of) {
            namespace.clone_into(&mut grant.namespace);
            grants.insert(grant);
        }
    }
    grants.into_iter().collect()
}

/// Takes one right away.
pub(crate) fn without(base: &[Value], taken: &Grant) -> Vec<Value> {
    let mut objects = base.to_vec();
    for role in objects.iter_mut().filter(|object| is_role(object)) {
        if role_of(role) != taken.role {
            continue;
        }
        let left = grants_of(role).into_iter().filter(|grant| {
            (&grant.group, &grant.resource, &grant.verb, &grant.name)
                != (&taken.group, &taken.resource, &taken.verb, &taken.name)
        });
        let rules = left.map(|grant| {
            let mut rule = json!({
                "apiGroups": [grant.group], "resources": [grant.resource], "verbs": [grant.verb],
            });
            if let Some(name) = grant.name {
                rule["resourceNames"] = json!([name]);
            }
            rule
        });
        role["rules"] = rules.collect();
    }
    objects
}
