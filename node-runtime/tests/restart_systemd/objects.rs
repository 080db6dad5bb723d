//! The stand-in's units and jobs as objects.

use zbus::interface;

use crate::standin::{Shared, Unit};

pub(crate) struct UnitObject(pub(crate) Shared, pub(crate) String);

impl UnitObject {
    fn get<T>(&self, missing: T, read: impl Fn(&Unit) -> T) -> T {
        let state = self.0.lock().unwrap();
        state.units.get(&self.1).map_or(missing, read)
    }
}

#[interface(name = "org.freedesktop.systemd1.Unit")]
impl UnitObject {
    #[zbus(property)]
    fn id(&self) -> String {
        self.1.clone()
    }

    #[zbus(property)]
    fn load_state(&self) -> String {
        self.get("not-found", |unit| unit.load).to_owned()
    }

    #[zbus(property)]
    fn active_state(&self) -> String {
        self.get("inactive", |unit| unit.active).to_owned()
    }

    #[zbus(property)]
    fn sub_state(&self) -> String {
        self.get("dead", |unit| unit.sub).to_owned()
    }

    #[zbus(property, name = "InvocationID")]
    fn invocation_id(&self) -> Vec<u8> {
        self.get(Vec::new(), |unit| vec![unit.invocation; 16])
    }
}

pub(crate) struct ServiceObject(pub(crate) Shared, pub(crate) String);

impl ServiceObject {
    fn get<T>(&self, missing: T, read: impl Fn(&Unit) -> T) -> T {
        let state = self.0.lock().unwrap();
        state.units.get(&self.1).map_or(missing, read)
    }
}

#[interface(name = "org.freedesktop.systemd1.Service")]
impl ServiceObject {
    #[zbus(property, name = "MainPID")]
    fn main_pid(&self) -> u32 {
        self.get(0, |unit| unit.main_pid)
    }

    #[zbus(property)]
    fn result(&self) -> String {
        self.get("success", |unit| unit.result).to_owned()
    }

    #[zbus(property, name = "NRestarts")]
    fn n_restarts(&self) -> u32 {
        self.get(0, |unit| unit.restarts)
    }
}

/// Its state.
pub(crate) struct JobObject(pub(crate) &'static str);

#[interface(name = "org.freedesktop.systemd1.Job")]
impl JobObject {
    #[zbus(property)]
    fn state(&self) -> &'static str {
        self.0
    }
}
