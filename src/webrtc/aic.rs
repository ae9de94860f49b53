//! AIC-A in session descriptions (docs/aic-rtp.md section 6).

use super::sdp::Payload;
pub(crate) use crate::aic::hints::URI as HINTS_URI;
use crate::aic::{self, weights};

/// Encoding name in `a=rtpmap`.
pub(crate) const NAME: &str = "AIC-A";

/// RTP clock rate in Hz.
pub(crate) const CLOCK_RATE_HZ: u32 = 16_000;

/// Message of encoder and decoder elements: AIC-A is no longer usable, with the reason.
pub(crate) const UNAVAILABLE: &str = "aic-unavailable";

/// Message of the decoder element: AIC-A is usable again.
pub(crate) const AVAILABLE: &str = "aic-available";

/// Message of the encoder element: the codec of its output has changed.
pub(crate) const CODEC: &str = "aic-codec";

/// Message of the decoder element: the sender's hints on a packet, from the header extension
/// `aic-hints`.
pub(crate) const HINTS: &str = "auralink-aic-hints";

/// The reason in such a message, as text.
pub(crate) fn reason(message: &gst::StructureRef) -> String {
    let text = |field: &str| message.get::<String>(field).unwrap_or_default();
    match (text("reason"), text("detail")) {
        (reason, detail) if detail.is_empty() => reason,
        (reason, detail) => format!("{reason}: {detail}"),
    }
}

/// The model used for coding, as 8 hexadecimal digits; `None` if AIC-A is not usable because the
/// engine or the weights are missing.
pub(crate) fn model() -> Option<String> {
    aic::available().ok().map(|(_, id)| weights::text(id))
}

/// Whether a payload is AIC-A with our model.
pub(crate) fn is_ours(payload: &Payload) -> bool {
    let aic = payload.name.eq_ignore_ascii_case(NAME) && payload.clock_rate == CLOCK_RATE_HZ;
    let named = payload.parameter("model").map(str::to_ascii_lowercase);
    aic && named.is_some() && named == model()
}
