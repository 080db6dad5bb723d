//! A connection to systemd.

use std::future::Future;
use std::path::Path;

use tokio::net::UnixStream;
use zbus::names::{BusName, OwnedUniqueName};
use zbus::proxy::CacheProperties;
use zbus::{Connection, OwnedObjectPath, fdo};

use super::bus::{self, ManagerProxy, ServiceProxy, UnitProxy};
use super::deadline::{Deadline, Passed};
use super::error::RestartError;
use super::refusal::{self, Action, refusal};
use super::target::Target;
use super::unit::UnitName;

/// Who owns systemd's name, from before it was first asked for.
pub(super) type Owners = fdo::NameOwnerChangedStream;

/// A connection to the one systemd that owned the name when it was made. Calls go to that one's
/// unique name: another that takes the name over knows nothing of our job.
pub(super) struct Manager {
    pub(super) connection: Connection,
    pub(super) owner: OwnedUniqueName,
    pub(super) proxy: ManagerProxy<'static>,
    pub(super) deadline: Deadline,
}

impl Manager {
    /// Connects to the bus and finds systemd on it.
    pub(super) async fn connect(
        bus: &Path,
        deadline: Deadline,
    ) -> Result<(Self, Owners), RestartError> {
        let passed = |Passed| {
            let doing = format!("talking to the system bus at {}", bus.display());
            refusal::late(doing, deadline, None)
        };
        let unreachable = |source| RestartError::Bus {
            bus: bus.to_owned(),
            source,
        };
        let refused = |source| RestartError::Handshake {
            bus: bus.to_owned(),
            source,
        };
        let stream = deadline.within(UnixStream::connect(bus)).await;
        let stream = stream.map_err(passed)?.map_err(unreachable)?;
        let stream = stream.into_std().map_err(unreachable)?;
        let building = zbus::connection::Builder::unix_stream(stream).build();
        let connection = deadline.within(building).await;
        let connection = connection.map_err(passed)?.map_err(refused)?;

        let asking = async {
            let daemon = fdo::DBusProxy::new(&connection).await?;
            // Before the owner is asked for, so that no change falls between the two.
            let owners = daemon
                .receive_name_owner_changed_with_args(&[(0, bus::NAME)])
                .await?;
            let owner = daemon.get_name_owner(BusName::try_from(bus::NAME)?).await;
            zbus::Result::Ok((owners, owner))
        };
        let (owners, owner) = deadline
            .within(asking)
            .await
            .map_err(passed)?
            .map_err(refused)?;
        let owner = owner.map_err(|error| match error {
            fdo::Error::NameHasNoOwner(_) => RestartError::NoManager {
                bus: bus.to_owned(),
            },
            other => refused(other.into()),
        })?;
        let proxy = ManagerProxy::builder(&connection)
            .destination(owner.clone())
            .build()
            .await
            .map_err(refused)?;
        let manager = Self {
            connection,
            owner,
            proxy,
            deadline,
        };
        Ok((manager, owners))
    }

    /// A call by the deadline; `doing` says what it is for.
    pub(super) async fn call<T>(
        &self,
        doing: impl Fn() -> String,
        call: impl Future<Output = zbus::Result<T>>,
    ) -> Result<zbus::Result<T>, RestartError> {
        self.deadline
            .within(call)
            .await
            .map_err(|Passed| refusal::late(doing(), self.deadline, None))
    }

    /// The unit of a process.
    pub(super) async fn unit_of(&self, pid: u32) -> zbus::Result<(String, u32)> {
        let path = self.proxy.get_unit_by_pid(pid).await?;
        let (unit, service) = self.unit(&path).await?;
        let name = unit.id().await?;
        // A scope has no main process.
        if !name.ends_with(".service") {
            return Ok((name, 0));
        }
        Ok((name, service.main_pid().await?))
    }

    async fn unit(
        &self,
        path: &OwnedObjectPath,
    ) -> zbus::Result<(UnitProxy<'static>, ServiceProxy<'static>)> {
        let unit = UnitProxy::builder(&self.connection)
            .destination(self.owner.clone())
            .path(path.clone())
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        let service = ServiceProxy::builder(&self.connection)
            .destination(self.owner.clone())
            .path(path.clone())
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        Ok((unit, service))
    }

    /// A unit that can be worked with, in memory.
    pub(super) async fn target(
        &self,
        name: &UnitName,
        action: Action,
    ) -> Result<Target<'_>, RestartError> {
        let loading = async {
            let path = self.proxy.load_unit(name.as_str()).await?;
            let (unit, service) = self.unit(&path).await?;
            let id = unit.id().await?;
            let load_state = unit.load_state().await?;
            Ok((unit, service, id, load_state))
        };
        let doing = || format!("looking at {name}");
        let loaded = self.call(doing, loading).await?;
        let (unit, service, id, load_state) =
            loaded.map_err(|error| refusal(action, name.as_str(), false, error))?;
        let unit_name = || name.to_string();
        match load_state.as_str() {
            "loaded" => Ok(Target {
                manager: self,
                action,
                id,
                unit,
                service,
                asked: false,
            }),
            "not-found" => Err(RestartError::UnitNotFound { unit: unit_name() }),
            "masked" => Err(RestartError::Masked { unit: unit_name() }),
            _ => Err(RestartError::BadUnit {
                unit: unit_name(),
                load_state,
            }),
        }
    }
}
