//! The logs that were asked for.

use kube::api::LogParams;

use crate::cmd::style::Style;

/// The selection of logs, and the form in which they are shown.
pub(super) struct Selection {
    /// One step, by its index.
    pub(super) only: Option<usize>,
    pub(super) attempt: Option<i64>,
    pub(super) container: Option<String>,
    pub(super) params: LogParams,
    pub(super) style: Style,
}
