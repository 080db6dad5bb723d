//! Which hosts are asked for an image's signatures, in which order, and how each is reached.

use std::rc::Rc;

use policy::reference::Reference;
use policy::verifier::{Access, Limits};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::OnceCell;

use super::body::Budget;
use super::client::Clients;
use super::error::RegistryError;
use super::login::Login;
use super::transport::{ATTEMPTS, Ways};
use super::{Registry, tls};
use crate::credentials::Target;
use crate::environment::Environment;
use crate::hosts::{self, Host};

/// The registries that may hold an image's signatures, in the order in which they are asked.
#[derive(Debug)]
pub struct Registries<'a> {
    registries: Vec<Registry<'a>>,
    notes: Vec<String>,
}

impl<'a> Registries<'a> {
    /// Clients for the repository of `image` at each host that may be asked. Reads the node's
    /// configuration of hosts; opens no connection.
    pub fn new(
        image: &Reference,
        access: &'a Access,
        environment: &'a Environment,
        limits: &Limits,
    ) -> Result<Self, RegistryError> {
        Self::with_bundles(image, access, environment, limits, tls::HOST_BUNDLES)
    }

    pub(super) fn with_bundles(
        image: &Reference,
        access: &'a Access,
        environment: &'a Environment,
        limits: &Limits,
        bundles: tls::Bundles,
    ) -> Result<Self, RegistryError> {
        let internal = |cause: String| RegistryError::Internal { cause };
        let root = environment.root();
        let found = hosts::of(image.host(), &access.config_paths, &root);
        let found = found.map_err(|error| internal(error.to_string()))?;
        crate::limits::make_room(limits);
        let clients = Rc::new(Clients::new(environment, bundles));
        let time = crate::limits::deadline(limits) / 2;
        let mut registries = Vec::new();
        for host in found.hosts {
            let can = host.capabilities;
            // containerd refuses a pull whose certificates cannot be read, for whichever host.
            let client = clients.get(&host)?;
            if !can.pull || !(can.resolve || can.referrers) {
                continue;
            }
            let mirror = host.is_mirror_of(image.host());
            let name = if mirror {
                &host.address.authority
            } else {
                image.host()
            };
            let target = Target::new(format!("{name}/{}", image.path()));
            registries.push(Registry {
                header: header(&host)?,
                namespace: mirror.then(|| image.host().to_owned()),
                path: image.path().to_owned(),
                object_limit: limits.max_object_bytes,
                budget: Budget::default(),
                attempts: 1,
                base: OnceCell::new(),
                login: Login::new(target, access, environment, root.clone(), time),
                ways: Ways {
                    host,
                    own: client,
                    clients: Rc::clone(&clients),
                },
            });
        }
        let Some((last, mirrors)) = registries.split_last_mut() else {
            let host = image.host();
            let cause = format!(
                "no host for images of {host} may be asked: hosts.toml names none with the capabilities `pull` and `resolve`"
            );
            return Err(internal(cause));
        };
        // Where there is another host to ask, trying again is a waste of time.
        last.attempts = ATTEMPTS;
        // What one serves takes nothing from what another may: a flood at a mirror would hide the
        // signatures of the origin. All together they are as much as the limit says.
        let total = limits.max_total_bytes;
        let each = total / 2 / (mirrors.len() as u64).max(1);
        for mirror in mirrors.iter_mut() {
            mirror.budget = Budget::new(each);
        }
        last.budget = Budget::new(total - each * mirrors.len() as u64);
        Ok(Self {
            registries,
            notes: found.notes,
        })
    }

    /// The registries in their order, at least one.
    #[must_use]
    pub fn as_slice(&self) -> &[Registry<'a>] {
        &self.registries
    }

    /// What was passed over in the configuration, in words for a message.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// The headers that `hosts.toml` adds to every request.
fn header(host: &Host) -> Result<HeaderMap, RegistryError> {
    let mut map = HeaderMap::new();
    for (name, value) in &host.header {
        let bad = || RegistryError::Internal {
            // The value may be a secret.
            cause: format!("hosts.toml: {} is no header", crate::reason::quoted(name)),
        };
        let name = HeaderName::try_from(name).map_err(|_| bad())?;
        let mut value = HeaderValue::try_from(value).map_err(|_| bad())?;
        value.set_sensitive(true);
        map.append(name, value);
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_a_share_of_the_bytes_and_the_last_one_half() {
        let node = tempfile::tempdir().unwrap();
        let folder = node.path().join("a.example");
        std::fs::create_dir(&folder).unwrap();
        let access = Access {
            config_paths: vec![node.path().to_str().unwrap().to_owned()],
            ..Access::none()
        };
        let environment = Environment::default();
        let image = Reference::parse("a.example/app:v1").unwrap();
        let limits = Limits {
            max_total_bytes: 1000,
            ..Limits::default()
        };
        for (mirrors, shares) in [
            (0, &[1000][..]),
            (1, &[500, 500]),
            (3, &[166, 166, 166, 502]),
        ] {
            let host = |number: u32| format!("[host.'https://m{number}.example']\n");
            let text: String = (0..mirrors).map(host).collect();
            std::fs::write(folder.join("hosts.toml"), text).unwrap();
            let registries = Registries::new(&image, &access, &environment, &limits).unwrap();
            let budgets = registries.as_slice().iter();
            let found: Vec<u64> = budgets.map(|registry| registry.budget.total()).collect();
            assert_eq!(found, shares);
        }
    }
}
