//! `/api/v1/system`: the state of the appliance.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::extract::Params;
use super::{ApiState, Code, Error, Failures};
use crate::aic;
use crate::control::cluster::DISK_TIMEOUT;
use crate::control::elements::Missing;
use crate::control::machine::VoiceCodec;
use crate::control::origin::Endpoints;
use crate::flow::{self, files};
use crate::gpu::Gpus;
use crate::process::encoders::Probed;
use crate::telemetry::Host;

/// The state of the appliance.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct SystemView {
    /// Version of AuraLink.
    version: &'static str,
    /// Version of GStreamer.
    gstreamer: String,
    /// Seconds since the start.
    uptime_s: u64,
    /// Ports for publishers and players.
    endpoints: Endpoints,
    /// State of the wall clock.
    clock: Clock,
    /// Processor, memory, disk.
    host: Host,
    /// GPUs, or why there are none.
    gpu: Gpus,
    /// The GPUs as text.
    gpu_text: String,
    /// Encoders that were tried at start, and why each is used or not.
    encoders: Vec<Probed>,
    /// The voice codec of trunks, and the command that enables it.
    voice_codec: VoiceCodec,
    /// Features that are off on this machine, and the commands that enable them.
    off: Vec<Missing>,
    /// Streams of the database that could not be started, each with the reason. Creating or
    /// deleting a stream of that name clears the entry.
    not_restored: BTreeMap<String, String>,
}

/// Steps of the wall clock and their effect.
#[derive(Serialize, utoipa::ToSchema)]
struct Clock {
    /// Size of the last step in seconds; negative if the clock was set back.
    step_s: Option<f64>,
    /// Time of that step, by the new clock.
    step_at: Option<DateTime<Utc>>,
    /// Whether recordings and captions are deleted by age: not within an hour after a step.
    deletes_by_age: bool,
}

impl Clock {
    fn now() -> Self {
        let steps = flow::known_steps();
        let step = steps.newest();
        Self {
            step_s: step.map(|step| step.by_ms() as f64 / 1000.0),
            step_at: step.and_then(|step| DateTime::from_timestamp_millis(step.after_ms)),
            deletes_by_age: flow::is_settled(),
        }
    }
}

/// Version, machine, encoders and voice codec; features that are off, with the commands that enable
/// them.
#[utoipa::path(get, path = "/api/v1/system", tag = "system",
    responses((status = 200, body = SystemView), Failures))]
pub(super) async fn get_system(State(state): State<ApiState>) -> axum::Json<SystemView> {
    let machine = &state.machine;
    let host = files::within(&state.recordings, DISK_TIMEOUT, Host::read).await.unwrap_or_default();
    axum::Json(SystemView {
        version: env!("CARGO_PKG_VERSION"),
        gstreamer: machine.gstreamer.clone(),
        uptime_s: state.metrics.started().elapsed().as_secs(),
        endpoints: state.endpoints.clone(),
        clock: Clock::now(),
        host,
        gpu: machine.gpus.clone(),
        gpu_text: machine.gpus.summary(),
        encoders: machine.probed().to_vec(),
        voice_codec: machine.voice_codec.clone(),
        off: machine.missing.clone(),
        not_restored: state.stream_service.lost(),
    })
}

/// The weights of the voice codec (safetensors), for players that decode recordings themselves.
#[utoipa::path(get, path = "/api/v1/voice-models/{id}", tag = "system",
    params(("id" = String, Path, description = "The model id, 8 hexadecimal digits.")),
    responses((status = 200, description = "They never change.", content_type = "application/octet-stream"), Failures))]
pub(super) async fn get_voice_model(Params(id): Params<String>) -> Result<Response, Error> {
    let unknown = || {
        let hint = "`voice_codec` of /api/v1/system has the model of this appliance";
        Error::new(Code::NotFound, "this appliance does not have that model", hint)
    };
    let wanted = aic::weights::parse(&id).ok_or_else(unknown)?;
    let read = move || match aic::available() {
        Ok((weights, id)) if id == wanted => weights.read().ok().map(|(bytes, _)| bytes),
        _ => None,
    };
    let read = tokio::task::spawn_blocking(read).await;
    let bytes = read.map_err(|panic| Error::internal("reading weights", &panic))?;
    let bytes = match bytes.ok_or_else(unknown)? {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CACHE_CONTROL, "private, max-age=31536000, immutable"),
    ];
    Ok((headers, bytes).into_response())
}
