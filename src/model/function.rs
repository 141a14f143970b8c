use crate::model::{Annotations, AppId, Config, FnId, Format, Methods, Timestamp, TriggerId};

/// A function of the v2 API, called at `/invoke/{id}` and through its triggers.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Function {
    pub id: FnId,
    pub app_id: AppId,
    /// Unique within the app.
    pub name: String,
    pub image: String,
    pub format: Format,
    pub memory_mb: u64,
    pub timeout_secs: u32,
    pub idle_timeout_secs: u32,
    pub config: Config,
    pub annotations: Annotations,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// An HTTP path of an app that calls a function, at `/t/{app}{source}`.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Trigger {
    pub id: TriggerId,
    pub app_id: AppId,
    pub fn_id: FnId,
    /// Unique within the function.
    pub name: String,
    /// Starts with `/`, and may have parameters; no other of the app takes the same requests.
    pub source: String,
    pub annotations: Annotations,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Trigger {
    /// The methods that it takes; what another server stored may be none we know.
    pub fn methods(&self) -> Methods {
        Methods::of(&self.annotations).unwrap_or(Methods::ANY)
    }
}
