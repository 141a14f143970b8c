use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::error::ApiError;
use crate::api::params::Segments;
use crate::api::reply;
use crate::api::router::ApiState;
use crate::api::v2::page::id;
use crate::model::{FnId, ScaleSample, ScaleStatus};
use crate::store::Resource;

/// What a function has of containers, what it should have, and why.
#[derive(Serialize, ToSchema)]
#[schema(as = Scale)]
pub(super) struct View {
    /// `demand`, `target` or `vote`.
    mode: &'static str,
    min: usize,
    max: usize,
    /// Containers that are busy or idle.
    have: usize,
    busy: usize,
    idle: usize,
    starting: usize,
    /// Calls that wait for a container.
    waiting: usize,
    /// Containers there should be, by the last decision.
    target: usize,
    /// `out`, `in` or `none`.
    vote: &'static str,
    /// Of the last decision.
    reason: String,
    /// Why the last container was of no use, while none is started for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    /// Seconds until the next start, while none is started.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    /// Memory that its containers use now, where that can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u64>,
    /// Processor time that they have used since their starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_seconds: Option<f64>,
    /// The oldest first; none in mode `demand`.
    samples: Vec<SampleView>,
}

/// One look at a function's load.
#[derive(Serialize, ToSchema)]
#[schema(as = ScaleSample)]
struct SampleView {
    /// How long ago it was taken.
    age_seconds: f64,
    waiting: usize,
    running: usize,
    have: usize,
}

impl From<ScaleSample> for SampleView {
    fn from(sample: ScaleSample) -> Self {
        Self {
            age_seconds: sample.age.as_secs_f64(),
            waiting: sample.waiting,
            running: sample.running,
            have: sample.have,
        }
    }
}

impl From<ScaleStatus> for View {
    fn from(status: ScaleStatus) -> Self {
        let (failure, retry) = status.failure.unzip();
        Self {
            mode: status.mode.as_str(),
            min: status.min,
            max: status.max,
            have: status.have,
            busy: status.busy,
            idle: status.idle,
            starting: status.starting,
            waiting: status.waiting,
            target: status.target,
            vote: status.vote,
            reason: status.reason,
            failure,
            retry_after: retry.map(|retry| retry.as_secs() + 1),
            memory_bytes: status.usage.map(|usage| usage.memory_bytes),
            cpu_seconds: status.usage.map(|usage| usage.cpu.as_secs_f64()),
            samples: status.samples.into_iter().map(SampleView::from).collect(),
        }
    }
}

/// Shows how many containers a function has on this server, and why.
#[utoipa::path(get, path = "/v2/fns/{id}/scale", tag = "fns", params(("id" = String, Path, description = "Id of the function.")), responses((status = 200, description = "Its containers on this server.", body = View)))]
pub(super) async fn scale(
    State(api): State<ApiState>,
    Segments(function): Segments<String>,
) -> Result<Response, ApiError> {
    let id: FnId = id(&function, Resource::Function)?;
    let callable = api.registry.catalog().function(id);
    let callable = callable.ok_or(ApiError::not_found(Resource::Function))?;
    Ok(reply::json(&View::from(api.runner.scale(&callable).await)))
}
