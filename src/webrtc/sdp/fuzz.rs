//! Fuzz tests with malicious descriptions, up to our answer.

use super::{
    Candidate, Choice, Description, Direction, Fragment, LocalTransport, SdpAnswer, answer,
    reduced_offer, restart_answer,
};
use crate::fuzz;
use crate::media::{Codec, Format, Kind};

/// An accepted offer leads to a text that we can parse, and to an answer with one section for each
/// section of the offer.
#[test]
fn fuzz_sdp_offer() {
    let chromium = include_bytes!("../../../tests/data/chromium-recvonly.sdp");
    fuzz::run_with("sdp-offer", &[chromium], |bytes| {
        let Ok(offer) = Description::parse(&String::from_utf8_lossy(bytes)) else { return };
        let codecs = [Codec::Vp8, Codec::H264, Codec::Av1, Codec::Vp9, Codec::H265];
        let choices: Vec<Choice> =
            [offer.choose_from(Kind::Video, &codecs), offer.choose_for(&Format::new(Codec::Opus))]
                .into_iter()
                .flatten()
                .collect();
        if choices.is_empty() || offer.check(&choices).is_err() {
            return;
        }
        let reduced = reduced_offer(&offer, &choices);
        let description = Description::parse(&reduced).expect("our own text is read");
        let local =
            LocalTransport { description, announced: Vec::new(), is_lite: false, session_id: 1 };
        let direction = Direction::SendOnly;
        let parts = SdpAnswer { offer: &offer, choices: &choices, audio_channels: 2, direction };
        let text = answer(&parts, &local);
        let sections = text.lines().filter(|line| line.starts_with("m=")).count();
        assert_eq!(sections, offer.media.len(), "{text}");
    });
}

#[test]
fn fuzz_sdp_fragment() {
    let address = [std::net::IpAddr::from([192, 0, 2, 1])];
    fuzz::run("sdp-fragment", |bytes| {
        let Ok(fragment) = Fragment::parse(&String::from_utf8_lossy(bytes)) else { return };
        let tag = super::Media::default();
        let text = restart_answer(&tag, &[], &fragment, &address);
        assert!(Fragment::parse(&text).is_ok(), "our own text is read: {text}");
    });
}

/// An accepted candidate is written so that it parses to the same value.
#[test]
fn fuzz_ice_candidate() {
    fuzz::run("ice-candidate", |bytes| {
        let Some(candidate) = Candidate::parse(&String::from_utf8_lossy(bytes)) else { return };
        assert_eq!(Candidate::parse(&candidate.to_string()), Some(candidate));
    });
}
