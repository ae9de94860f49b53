//! Explains why the media of an admitted publisher could not be used.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::flow::{Error, Refusal, RefusalKind, Tracks};

/// Advice for publishers of files.
const AT_ITS_PACE: &str = "send a file at its own pace: `-re` of ffmpeg, before `-i`";

/// The report to the owner of the stream for a publisher that ended like this. `None` if it just
/// left or fell silent after it had sent media. `please_send` names what to send instead.
pub(super) fn unusable(
    error: &Error,
    tracks: &Tracks,
    stayed: Duration,
    please_send: &str,
) -> Option<Refusal> {
    let came = tracks.video.age().is_some() || tracks.audio.age().is_some();
    let bytes = tracks.report.bytes.load(Ordering::Relaxed);
    explain(error, came, bytes, stayed, please_send).or_else(|| {
        let message = tracks.report.too_fast()?;
        Some(Refusal::new(RefusalKind::Unsupported, message, AT_ITS_PACE))
    })
}

fn explain(
    error: &Error,
    came: bool,
    bytes: u64,
    stayed: Duration,
    please_send: &str,
) -> Option<Refusal> {
    let refusal =
        |message: String, hint: &str| Some(Refusal::new(RefusalKind::Unsupported, message, hint));
    match error {
        Error::Ended | Error::Stalled(_) if came => None,
        Error::Ended | Error::Stalled(_) => {
            let seconds = stayed.as_secs_f64();
            let message = format!(
                "no picture and no sound came in the {seconds:.1} s that it was connected, only \
                 {bytes} bytes"
            );
            refusal(message, please_send)
        }
        error => refusal(error.to_string(), error.hint()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Blame;

    #[test]
    fn only_those_who_sent_nothing_useful_are_told_of() {
        let check = |error: Error, came: bool, expect: Option<(&str, &str)>| {
            let told = explain(&error, came, 7, Duration::from_millis(1500), "send MPEG-TS");
            let told = told.as_ref().map(|r| (&*r.message, &*r.hint));
            assert_eq!(told, expect, "{error}");
        };
        let nothing =
            "no picture and no sound came in the 1.5 s that it was connected, only 7 bytes";
        check(Error::Ended, true, None);
        check(Error::Ended, false, Some((nothing, "send MPEG-TS")));
        check(Error::Stalled(Duration::from_secs(10)), true, None);
        check(Error::Stalled(Duration::from_secs(10)), false, Some((nothing, "send MPEG-TS")));
        let broken = || Error::refused(Blame::Input, "the header is broken", "check the encoder");
        check(broken(), true, Some(("the header is broken", "check the encoder")));
    }
}
