//! What the operator and the agent tell of themselves: the HTTP server of metrics and health, the
//! metrics of the process, and how log lines are written.

#[cfg(any(test, feature = "testing"))]
#[allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::missing_panics_doc
)]
pub mod exposition;
mod format;
pub mod log;
pub mod process;
mod pulse;
mod serve;

pub use self::format::Format;
pub use self::pulse::Pulse;
pub use self::serve::{Address, BindError, OFF, Page, Pages, listen, spawn};
