//! AIC-A in session descriptions (docs/aic-rtp.md section 6).

use super::sdp::Payload;
pub(crate) use crate::aic::hints::URI as HINTS_URI;
use crate::aic::{self, weights};

/// Its name in `a=rtpmap`.
pub(crate) const NAME: &str = "AIC-A";

/// Its RTP clock rate.
pub(crate) const CLOCK_RATE: u32 = 16_000;

/// Element message of encoder and decoder: AIC-A cannot be used any more, and why.
pub(crate) const UNAVAILABLE: &str = "aic-unavailable";

/// Element message of the decoder: it can be used again.
pub(crate) const AVAILABLE: &str = "aic-available";

/// Element message of the encoder: another codec than before goes out.
pub(crate) const CODEC: &str = "aic-codec";

/// Element message of the decoder: what the sender says of a packet, by the header extension
/// `aic-hints`.
pub(crate) const HINTS: &str = "auralink-aic-hints";

/// Why, in the words of such a message.
pub(crate) fn reason(message: &gst::StructureRef) -> String {
    let text = |field: &str| message.get::<String>(field).unwrap_or_default();
    match (text("reason"), text("detail")) {
        (reason, detail) if detail.is_empty() => reason,
        (reason, detail) => format!("{reason}: {detail}"),
    }
}

/// The model that this program codes with, as its 8 hexadecimal digits; `None` where AIC-A cannot
/// be used: no engine or no weights.
pub(crate) fn model() -> Option<String> {
    aic::available().ok().map(weights::text)
}

/// Whether a payload is AIC-A by our model.
pub(crate) fn is_ours(payload: &Payload) -> bool {
    let aic = payload.name.eq_ignore_ascii_case(NAME) && payload.clock_rate == CLOCK_RATE;
    let named = payload.parameter("model").map(str::to_ascii_lowercase);
    aic && named.is_some() && named == model()
}
