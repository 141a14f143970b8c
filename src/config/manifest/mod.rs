//! `func.yaml`, `func.yml` and `func.json`: what a function folder says about itself.
//!
//! Two schemas share one file format. Without `schema_version` the folder deploys a *route* of the
//! v1 API; with `schema_version: 20180708` it deploys a *function with triggers* of the v2 API.
//! Both become one [`Manifest`] of model types.
//!
//! The file comes from strangers as often as not, so its size, the number of its nodes and what
//! its anchors expand to are bounded before anything looks at the content, and every error is one
//! line that names the key, its value and what is allowed.
//!
//! Start at [`Manifest::parse`]; [`bump_patch`] edits the version and leaves the rest as it was.

mod bump;
mod error;
mod field;
mod indexing;
mod name;
mod parse;
mod tree;
mod version;

pub use bump::bump_patch;
pub use error::ManifestError;
pub(in crate::config) use error::one_line;
pub(in crate::config) use field::Fields;
pub(in crate::config) use field::{annotations, config};
pub use indexing::{FunctionOverride, Indexing};
pub use name::check_name;
pub(in crate::config) use parse::read_bounded;
pub use parse::{Deployment, ExpectedConfig, Manifest, TriggerSpec};
pub use tree::MAX_MANIFEST_BYTES;
pub(in crate::config) use tree::read_mapping;
pub use version::Version;

#[cfg(test)]
mod tests;
