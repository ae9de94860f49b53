//! Descriptions of browsers, and malformed ones.

use proptest::prelude::*;

use super::*;
use crate::media::{Codec, Format, H264Profile, Kind};

/// Chromium 156 as a viewer, reduced to the relevant lines.
const CHROMIUM: &str = include_str!("../../../tests/data/chromium-recvonly.sdp");

fn chromium() -> Description {
    Description::parse(CHROMIUM).expect("a browser's own offer")
}

fn h264(profile: H264Profile) -> Format {
    let mut format = Format::new(Codec::H264);
    format.video.profile = Some(profile);
    format
}

#[test]
fn a_browser_says_what_it_takes() {
    let accepts = chromium().accepts();
    let video = accepts.video.expect("video is offered");
    assert_eq!(video.codecs, VIDEO_CODECS);
    assert!(!video.reorders, "WebRTC cannot carry B-frames");
    assert!(!chromium().is_of_webrtcbin());
    for profile in [H264Profile::ConstrainedBaseline, H264Profile::Main, H264Profile::High] {
        assert_eq!(video.objection(&h264(profile)), None);
    }
    assert!(video.objection(&h264(H264Profile::Other)).is_some());
    assert_eq!(accepts.audio.expect("audio is offered").codecs, [Codec::Opus]);
}

#[test]
fn the_payload_type_is_that_of_the_streams_own_profile() {
    let check = |format: Format, expect: Option<(u8, Option<u8>)>| {
        let choice = chromium().choose_for(&format);
        assert_eq!(choice.map(|c| (c.payload.pt, c.rtx)), expect, "{format}");
    };
    check(Format::new(Codec::Vp8), Some((96, Some(97))));
    check(Format::new(Codec::Vp9), Some((98, Some(99))));
    check(Format::new(Codec::Opus), Some((111, None)));
    check(h264(H264Profile::ConstrainedBaseline), Some((108, Some(109))));
    check(h264(H264Profile::Baseline), Some((102, Some(103))));
    check(h264(H264Profile::Main), Some((116, Some(117))));
    // Only 4:4:4 Predictive is offered above Main; its decoders decode High.
    check(h264(H264Profile::High), Some((41, Some(42))));
    check(h264(H264Profile::Other), None);
    check(Format::new(Codec::Aac), None);
    let mut b_frames = h264(H264Profile::Main);
    b_frames.video.reorders = true;
    check(b_frames, None);
}

#[test]
fn offers_of_webrtcbin_are_known_by_their_sections() {
    for (first, second, expect) in [("video0", "audio1", true), ("video0", "1", false)] {
        let offer = CHROMIUM.replace("BUNDLE 0 1", &format!("BUNDLE {first} {second}"));
        let offer = offer.replace("a=mid:0", &format!("a=mid:{first}"));
        let offer = offer.replace("a=mid:1", &format!("a=mid:{second}"));
        let offer = Description::parse(&offer).expect("valid");
        assert_eq!(offer.is_of_webrtcbin(), expect, "{first} {second}");
    }
}

#[test]
fn webrtcbin_sees_only_what_was_chosen() {
    let offer = chromium();
    let choices: Vec<Choice> = [h264(H264Profile::Main), Format::new(Codec::Opus)]
        .iter()
        .filter_map(|f| offer.choose_for(f))
        .collect();
    offer.check(&choices).expect("complete");
    let reduced = reduced_offer(&offer, &choices);
    let read = Description::parse(&reduced).expect("our own text");
    assert_eq!(read.bundle, ["0", "1"]);
    let pts: Vec<Vec<u8>> =
        read.media.iter().map(|m| m.payloads.iter().map(|p| p.pt).collect()).collect();
    assert_eq!(pts, [vec![116, 117], vec![111]]);
    assert!(!reduced.contains("profile-level-id"), "compared literally by webrtcbin");
    assert!(!reduced.contains(".local"), "names are not looked up for strangers");
    assert!(!reduced.contains("transport-cc"), "nobody would act on it");
}

#[test]
fn the_answer_has_every_section_of_the_offer_in_order() {
    let extra = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n";
    let offer = Description::parse(&format!("{CHROMIUM}{extra}")).expect("valid");
    let choices: Vec<Choice> = offer.choose_for(&Format::new(Codec::Opus)).into_iter().collect();
    let own = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\na=setup:active\r\n\
        a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=ssrc:7 cname:x\r\n\
        a=fingerprint:sha-256 AA:BB\r\na=candidate:1 1 UDP 500 10.0.0.1 4000 typ host\r\n";
    let local = LocalTransport {
        description: Description::parse(own).expect("valid"),
        announced: vec!["203.0.113.5".parse().expect("valid")],
        is_lite: false,
        session_id: 1,
    };
    let direction = Direction::SendOnly;
    let parts = SdpAnswer { offer: &offer, choices: &choices, audio_channels: 2, direction };
    let text = answer(&parts, &local);
    let lines: Vec<&str> = text.lines().collect();
    let sections: Vec<&&str> = lines.iter().filter(|l| l.starts_with("m=")).collect();
    assert_eq!(*sections[0], "m=video 9 UDP/TLS/RTP/SAVPF 96", "idle, on the same transport");
    assert_eq!(*sections[1], "m=audio 9 UDP/TLS/RTP/SAVPF 111");
    assert_eq!(*sections[2], "m=application 0 UDP/DTLS/SCTP webrtc-datachannel");
    for line in [
        "a=group:BUNDLE 0 1",
        "a=fmtp:111 minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1",
        "a=candidate:1 1 UDP 500 10.0.0.1 4000 typ host",
        "a=candidate:1a0 1 UDP 499 203.0.113.5 4000 typ host",
        "a=ssrc:7 cname:x",
    ] {
        assert!(lines.contains(&line), "`{line}` is not in\n{text}");
    }
    let video = text.split("m=").nth(1).expect("a section");
    for line in ["a=inactive", "a=ice-ufrag:abcd", "a=fingerprint:sha-256 AA:BB", "a=setup:active"]
    {
        assert!(video.contains(line), "`{line}` is not in\n{video}");
    }
    let tag: Vec<&str> = offer.transported(&choices).map(|m| m.mid.as_str()).collect();
    assert_eq!(tag, ["0", "1"]);
}

#[test]
fn what_is_not_used_and_has_a_transport_of_its_own_is_refused() {
    let check = |offer: &str, idle: bool| {
        let offer = Description::parse(offer).expect("valid");
        let choices: Vec<Choice> =
            offer.choose_for(&Format::new(Codec::Opus)).into_iter().collect();
        assert_eq!(offer.is_idle(0, &choices), idle);
        assert!(!offer.is_idle(1, &choices), "it is used");
    };
    check(CHROMIUM, true);
    check(&CHROMIUM.replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 1"), false);
    check(&CHROMIUM.replacen("a=ice-ufrag:", "a=ice-ufrag:x", 1), false);
    check(&CHROMIUM.replacen("m=video 9", "m=video 0", 1), false);
    check(&CHROMIUM.replacen("a=recvonly", "a=sendonly", 1), false);
}

/// Data channel sections of browsers, bundled with the rest.
fn with_data(offer: &str) -> String {
    let data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n\
        a=ice-ufrag:ke+x\r\na=ice-pwd:cvtYg/OE1JwWxZQ20+fPDSvO\r\na=setup:actpass\r\n\
        a=mid:2\r\na=sctp-port:5001\r\na=max-message-size:262144\r\n";
    format!("{}{data}", offer.replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 0 1 2"))
}

#[test]
fn data_channels_go_along_when_they_share_the_transport() {
    let check = |offer: &str, taken: bool| {
        let offer = Description::parse(offer).expect("valid");
        let choices: Vec<Choice> =
            offer.choose_for(&Format::new(Codec::Opus)).into_iter().collect();
        let reduced = reduced_offer(&offer, &choices);
        let seen = Description::parse(&reduced).expect("our own text");
        let local =
            LocalTransport { description: seen, announced: vec![], is_lite: false, session_id: 1 };
        let direction = Direction::SendOnly;
        let parts = SdpAnswer { offer: &offer, choices: &choices, audio_channels: 1, direction };
        let text = answer(&parts, &local);
        let port = if taken { "9" } else { "0" };
        let line = format!("m=application {port} UDP/DTLS/SCTP webrtc-datachannel");
        assert!(text.lines().any(|l| l == line), "`{line}` is not in\n{text}");
        let group = if taken { "a=group:BUNDLE 0 1 2" } else { "a=group:BUNDLE 0 1" };
        assert!(text.lines().any(|l| l == group), "`{group}` is not in\n{text}");
        assert_eq!(reduced.contains("a=sctp-port:5001\r\na=max-message-size:65536"), taken);
        assert_eq!(text.contains("a=max-message-size:65536"), taken);
    };
    let offer = with_data(CHROMIUM);
    check(&offer, true);
    check(&offer.replace("a=group:BUNDLE 0 1 2", "a=group:BUNDLE 0 1"), false);
    check(&offer.replace("a=sctp-port:5001", "a=sctp-port:0"), false);
    check(&offer.replace("9 UDP/DTLS/SCTP", "0 UDP/DTLS/SCTP"), false);
    check(
        &offer.replace(
            "UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:ke+x",
            "UDP/DTLS/SCTP webrtc-datachannel\r\na=ice-ufrag:other",
        ),
        false,
    );
    let offer = Description::parse(&offer).expect("valid").without_data();
    let choices: Vec<Choice> = offer.choose_for(&Format::new(Codec::Opus)).into_iter().collect();
    assert!(offer.data_section(&choices).is_none());
}

#[test]
fn a_publisher_is_taken_at_the_codec_that_we_like_best() {
    let offer = Description::parse(&CHROMIUM.replace("a=recvonly", "a=sendonly")).expect("valid");
    assert_eq!(offer.accepts(), crate::media::Accepts::default(), "it takes nothing");
    let choice = offer.choose_from(Kind::Video, &[Codec::Vp9, Codec::H264]).expect("offered");
    assert_eq!((choice.codec, choice.payload.pt, choice.rtx), (Codec::Vp9, 98, Some(99)));
    assert_eq!(transport_cc(&choice, &offer.media[0]), Some(4));
}

#[test]
fn what_is_wrong_is_said() {
    let check = |text: &str, part: &str| {
        let offer = Description::parse(text);
        let wrong = match offer {
            Err(e) => e.to_string(),
            Ok(offer) => {
                let choices: Vec<Choice> =
                    offer.choose_for(&Format::new(Codec::Vp8)).into_iter().collect();
                offer.check(&choices).expect_err("unusable").to_string()
            }
        };
        assert!(wrong.contains(part), "`{wrong}` does not say `{part}`");
    };
    let without = |line: &str| {
        let keep = |l: &&str| !l.starts_with(line);
        CHROMIUM.lines().filter(keep).collect::<Vec<_>>().join("\r\n")
    };
    check("", "v=0");
    check("v=0\r\nnonsense", "no `=`");
    check("v=0\r\ns=-", "no media section");
    check(&without("a=mid"), "no a=mid");
    check(&CHROMIUM.replace("a=mid:1", "a=mid:0"), "twice");
    check(&without("a=rtcp-mux"), "a=rtcp-mux");
    check(&without("a=fingerprint"), "a=fingerprint");
    check(&without("a=ice-"), "a=ice-ufrag");
    check(&without("a=rtpmap:96 "), "no audio or video");
    check(&CHROMIUM.replace("a=setup:actpass", "a=setup:maybe"), "a=setup");
    check(&format!("v=0\r\n{}", "m=audio 9 x 0\r\n".repeat(17)), "more than 16");
    check(&format!("v=0{}", " ".repeat(TEXT_BYTES_MAX)), "larger");
}

#[test]
fn trickled_candidates_are_read_and_a_restart_is_seen() {
    let text = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 RTP/AVP 0\r\n\
        a=mid:0\r\na=candidate:1 1 udp 5 192.0.2.1 6 typ host\r\na=candidate:x\r\na=end-of-candidates";
    let fragment = Fragment::parse(text).expect("valid");
    assert_eq!(fragment.ufrag.as_deref(), Some("EsAw"));
    assert_eq!(fragment.candidates.len(), 1);
    assert!(Fragment::parse("what is this").is_err());
}

proptest! {
    #[test]
    fn any_text_is_survived(text in ".{0,400}") {
        let _ = Description::parse(&text);
        let _ = Description::parse(&format!("v=0\r\n{text}"));
        let _ = Fragment::parse(&text);
        let _ = Candidate::parse(&text);
    }

    /// A browser's offer with lines removed, duplicated, swapped and damaged: every accepted offer
    /// leads to well-formed text.
    #[test]
    fn a_mangled_offer_is_refused_or_written_back_whole(
        edits in prop::collection::vec((0usize..160, 0u8..4, "[ -~]{0,20}"), 0..12)
    ) {
        let mut lines: Vec<String> = with_data(CHROMIUM).lines().map(str::to_owned).collect();
        for (at, edit, text) in edits {
            let at = at % lines.len();
            match edit {
                0 => drop(lines.remove(at)),
                1 => lines.insert(at, lines[at].clone()),
                2 => lines[at].push_str(&text),
                _ => lines[at].truncate(at % 30),
            }
            if lines.is_empty() {
                break;
            }
        }
        let Ok(offer) = Description::parse(&lines.join("\r\n")) else { return Ok(()) };
        let formats = [h264(H264Profile::Main), Format::new(Codec::Opus)];
        let choices: Vec<Choice> = formats.iter().filter_map(|f| offer.choose_for(f)).collect();
        if offer.check(&choices).is_err() {
            return Ok(());
        }
        let reduced = reduced_offer(&offer, &choices);
        let read = Description::parse(&reduced);
        prop_assert!(read.is_ok(), "{:?} in\n{}", read, reduced);
        let local = LocalTransport { description: read.expect("checked"), announced: vec![], is_lite: false, session_id: 1 };
        let direction = Direction::SendOnly;
        let parts = SdpAnswer { offer: &offer, choices: &choices, audio_channels: 1, direction };
        let text = answer(&parts, &local);
        let sections = text.lines().filter(|l| l.starts_with("m=")).count();
        prop_assert_eq!(sections, offer.media.len());
    }
}
