//! `/api/v1/system`: the appliance itself.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::Serialize;

use super::access::Endpoints;
use super::{ApiState, Failures};
use crate::control::elements::Missing;
use crate::control::machine::VoiceCodec;
use crate::gpu::Gpus;
use crate::process::encoders::Probed;
use crate::telemetry::Host;

/// The appliance.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct SystemView {
    /// Version of AuraLink.
    version: &'static str,
    /// Version of GStreamer.
    gstreamer: String,
    /// Seconds since it started.
    uptime_s: u64,
    /// Where publishers and players connect.
    endpoints: Endpoints,
    /// Processor, memory, disk.
    host: Host,
    /// GPUs, or why there are none.
    gpu: Gpus,
    /// The GPUs in words.
    gpu_text: String,
    /// Encoders that were tried at the start, and why each is used or not.
    encoders: Vec<Probed>,
    /// The voice codec of trunks, and the command that turns it on where it is off.
    voice_codec: VoiceCodec,
    /// What is off on this machine, and the command that turns it on.
    off: Vec<Missing>,
    /// Streams of the database that could not be started, each with the reason. Creating or
    /// deleting a stream of that name settles it.
    not_restored: BTreeMap<String, String>,
}

/// Version, machine, encoders, voice codec, and what is off with the command that turns it on.
#[utoipa::path(get, path = "/api/v1/system", tag = "system",
    responses((status = 200, body = SystemView), Failures))]
pub(super) async fn get_system(State(state): State<ApiState>) -> axum::Json<SystemView> {
    let machine = &state.machine;
    axum::Json(SystemView {
        version: env!("CARGO_PKG_VERSION"),
        gstreamer: machine.gstreamer.clone(),
        uptime_s: state.metrics.started().elapsed().as_secs(),
        endpoints: state.endpoints.clone(),
        host: Host::read(&state.recordings),
        gpu: machine.gpus.clone(),
        gpu_text: machine.gpus.summary(),
        encoders: machine.probed().to_vec(),
        voice_codec: machine.voice_codec.clone(),
        off: machine.missing.clone(),
        not_restored: state.desk.lost(),
    })
}
