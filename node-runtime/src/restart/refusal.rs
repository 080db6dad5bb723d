//! What an error on the bus means for a restart.

use zbus::fdo;

use super::deadline::Deadline;
use super::error::RestartError;
use super::state::Vanishing;

/// Errors of systemd's own, sd-bus's `BUS_ERROR_*`.
const PREFIX: &str = "org.freedesktop.systemd1.";

/// What is asked of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Restart,
    Reload,
    LookUp,
}

impl Action {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::LookUp => "look up",
        }
    }
}

/// The deadline passed.
pub(super) fn late(doing: String, deadline: Deadline, job: Option<String>) -> RestartError {
    RestartError::Deadline {
        doing,
        after: deadline.budget(),
        job,
    }
}

/// The error for a call that failed. `asked`: the job may have been queued already.
pub(super) fn refusal(action: Action, unit: &str, asked: bool, error: zbus::Error) -> RestartError {
    let name_of_unit = || unit.to_owned();
    let denied = |detail: &str| RestartError::AccessDenied {
        action: action.name(),
        unit: name_of_unit(),
        detail: detail.to_owned(),
    };
    if let Some(how) = vanishing(&error) {
        return if asked {
            RestartError::Vanished {
                action: action.name(),
                unit: name_of_unit(),
                how,
            }
        } else {
            let doing = format!("looking at {unit}");
            RestartError::Gone { doing, how }
        };
    }
    match &error {
        zbus::Error::FDO(refused) => match &**refused {
            fdo::Error::AccessDenied(detail)
            | fdo::Error::AuthFailed(detail)
            | fdo::Error::InteractiveAuthorizationRequired(detail) => denied(detail),
            _ => unusable(action, unit, error),
        },
        zbus::Error::MethodError(name, detail, _) => {
            let detail = detail.as_deref().unwrap_or("no reason given");
            match name.strip_prefix(PREFIX) {
                Some("NoSuchUnit") => RestartError::UnitNotFound {
                    unit: name_of_unit(),
                },
                Some("UnitMasked") => RestartError::Masked {
                    unit: name_of_unit(),
                },
                Some("JobTypeNotApplicable") => RestartError::NotReloadable {
                    unit: name_of_unit(),
                },
                _ => RestartError::Refused {
                    action: action.name(),
                    unit: name_of_unit(),
                    name: name.to_string(),
                    detail: detail.to_owned(),
                },
            }
        }
        _ => unusable(action, unit, error),
    }
}

fn unusable(action: Action, unit: &str, source: zbus::Error) -> RestartError {
    let doing = format!("asked to {} {unit}", action.name());
    RestartError::Reply { doing, source }
}

/// Whether the one that was asked, or the bus between, is gone.
fn vanishing(error: &zbus::Error) -> Option<Vanishing> {
    match error {
        zbus::Error::InputOutput(_) => Some(Vanishing::BusClosed),
        zbus::Error::FDO(error) => match &**error {
            fdo::Error::Disconnected(_) | fdo::Error::IOError(_) => Some(Vanishing::BusClosed),
            fdo::Error::NoReply(_)
            | fdo::Error::ServiceUnknown(_)
            | fdo::Error::NameHasNoOwner(_) => Some(Vanishing::ManagerLeft),
            fdo::Error::ZBus(error) => vanishing(error),
            _ => None,
        },
        _ => None,
    }
}

/// Whether the object that was asked is not there.
pub(super) fn is_unknown_object(error: &zbus::Error) -> bool {
    let zbus::Error::FDO(error) = error else {
        return false;
    };
    matches!(
        &**error,
        fdo::Error::UnknownObject(_)
            | fdo::Error::UnknownInterface(_)
            | fdo::Error::UnknownMethod(_)
            | fdo::Error::UnknownProperty(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(asked: bool, error: fdo::Error) -> RestartError {
        refusal(Action::Restart, "crio.service", asked, error.into())
    }

    #[test]
    fn polkit_asking_for_a_person_is_a_denial() {
        let error = refused(
            true,
            fdo::Error::InteractiveAuthorizationRequired("ask".into()),
        );
        assert!(
            matches!(&error, RestartError::AccessDenied { detail, .. } if detail == "ask"),
            "{error}"
        );
    }

    #[test]
    fn before_the_request_nothing_was_asked_and_after_it_nobody_knows() {
        let gone = || fdo::Error::NoReply("gone".into());
        let error = refused(false, gone());
        assert!(matches!(error, RestartError::Gone { .. }), "{error}");
        let error = refused(true, gone());
        assert!(
            matches!(
                error,
                RestartError::Vanished {
                    how: Vanishing::ManagerLeft,
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn an_error_that_no_part_of_the_interface_has_is_said_as_it_is() {
        let error = refused(true, fdo::Error::InvalidArgs("odd".into()));
        assert!(error.to_string().contains("odd"), "{error}");
    }
}
