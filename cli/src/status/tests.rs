//! The view and its texts, from objects as the API server has them.

mod names;
mod overview;
mod policy;
