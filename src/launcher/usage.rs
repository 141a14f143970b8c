use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::model::Usage;

/// Tells what one instance uses, when asked; nothing is measured before.
pub trait Gauge: std::fmt::Debug + Send + Sync {
    /// `None` where nobody can tell.
    fn read(self: Arc<Self>) -> BoxFuture<'static, Option<Usage>>;
}
