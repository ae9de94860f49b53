//! Fuzzes access units with captions.

use std::time::Duration;

use super::schedule::Frame;
use super::testing::cue;
use super::{Captioner, Existing, Mode, Services, Settings, VideoCodec, cc_data, sei, vtt};
use crate::fuzz;

/// Captions of a source are read and replaced by ours, and the result still has its picture.
#[test]
fn fuzz_captions_in_pictures() {
    let services: Services = "cc1=en,cc3=en,s1=en".parse().expect("valid");
    fuzz::run("access-unit", |bytes| {
        for codec in [VideoCodec::H264, VideoCodec::H265] {
            let Some(head) = sei::inspect(bytes, codec) else { continue };
            let rewritten = head.rewrite(bytes, &head.captions);
            let whole = [&rewritten.head[..], &bytes[rewritten.tail..]].concat();
            let again = sei::inspect(&whole, codec).expect("the picture is still there");
            let kept = head.captions.len().min(cc_data::TRIPLETS_MAX);
            assert_eq!(again.captions, head.captions[..kept]);
            for existing in [Existing::Keep, Existing::Replace] {
                let services = services.clone();
                let settings = Settings { services, mode: Mode::default(), existing };
                let mut captioner = Captioner::new(settings, codec);
                captioner.push(&cue(1, 0.0, 1.0, "some words"));
                for number in 0..4 {
                    let pts = Duration::from_millis(number * 33);
                    let duration = Some(Duration::from_millis(33));
                    captioner.frame(bytes, Frame { pts, dts: Some(pts), duration });
                }
            }
        }
        let triplets = cc_data::read(bytes);
        assert!(triplets.len() <= cc_data::TRIPLETS_MAX);
    });
}

#[test]
fn fuzz_vtt_settings() {
    fuzz::run("vtt-settings", |bytes| {
        let _ = vtt::Style::with_settings(&String::from_utf8_lossy(bytes));
    });
}
