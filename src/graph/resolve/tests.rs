//! Plans for sources and consumers of all kinds.

use super::*;
use crate::graph::plan::{Plan, PlanConsumer, PlanInput, PlanLayer, Words};
use crate::media::{Accepts, Captions, H264Profile};

fn browser() -> Accepts {
    let video = Accept {
        reorders: false,
        recovery_points: false,
        h264_profiles: vec![H264Profile::ConstrainedBaseline, H264Profile::High],
        ..Accept::any_of([Codec::H264, Codec::Vp8, Codec::Vp9, Codec::Av1])
    };
    Accepts::media(Some(video), Some(Accept::any_of([Codec::Opus])))
}

fn file() -> Accepts {
    let video = Accept::any_of([Codec::H264, Codec::H265]);
    Accepts::media(Some(video), Some(Accept::any_of([Codec::Aac, Codec::Opus])))
}

fn format(codec: Codec, reorders: bool) -> Format {
    let mut format = Format::new(codec);
    format.video.reorders = reorders;
    format
}

fn check(video: Format, audio: Codec, denoise: bool, encoders: &[Codec], expect: &str) {
    let ask = PlanInput {
        video: Some(video),
        layers: vec![],
        audio: Some(Format::new(audio)),
        denoise,
        words: None,
        wants: vec![
            PlanConsumer { id: "whep".into(), accepts: browser() },
            PlanConsumer { id: "record".into(), accepts: file() },
        ],
        encoders: encoders.iter().map(|c| (*c, format!("{c}enc"))).collect(),
        cuda: false,
    };
    let plan = plan(&ask);
    let mut lines: Vec<String> = plan
        .nodes
        .iter()
        .map(|n| format!("{}>{}>{}", n.inputs.join("&"), n.name, n.output))
        .collect();
    for (id, route) in &plan.routes {
        let feed = |f: &Option<String>| f.clone().unwrap_or_else(|| "-".into());
        lines.push(format!("{id}={}+{}", feed(&route.video), feed(&route.audio)));
    }
    assert_eq!(lines.join(" "), expect);
}

const ALL: [Codec; 4] = [Codec::H264, Codec::Vp8, Codec::Opus, Codec::Aac];

#[test]
fn nothing_stands_between_when_everybody_takes_what_is_there() {
    let source = format(Codec::H264, false);
    check(source, Codec::Opus, false, &ALL, "record=video+audio whep=video+audio");
}

#[test]
fn aac_becomes_opus_for_browsers_only() {
    check(
        format(Codec::H264, false),
        Codec::Aac,
        false,
        &ALL,
        "audio>decode.audio>audio.raw audio.raw>encode.audio.opus>audio.opus \
         record=video+audio whep=video+audio.opus",
    );
}

#[test]
fn b_frames_are_encoded_anew_for_browsers_only() {
    check(
        format(Codec::H264, true),
        Codec::Opus,
        false,
        &ALL,
        "video>decode.video>video.raw video.raw>encode.video.h264>video.h264 \
         record=video+audio whep=video.h264+audio",
    );
}

#[test]
fn the_next_codec_is_taken_when_the_first_has_no_encoder() {
    check(
        format(Codec::H265, true),
        Codec::Opus,
        false,
        &[Codec::Vp8],
        "video>decode.video>video.raw video.raw>encode.video.vp8>video.vp8 \
         record=video+audio whep=video.vp8+audio",
    );
}

#[test]
fn cleaned_sound_is_decoded_once_and_encoded_per_codec() {
    check(
        format(Codec::Vp8, false),
        Codec::Opus,
        true,
        &ALL,
        "audio>decode.audio>audio.raw audio.raw>denoise>audio.clean \
         audio.clean>encode.audio.clean.opus>audio.clean.opus \
         video>decode.video>video.raw video.raw>encode.video.h264>video.h264 \
         audio.clean>encode.audio.clean.aac>audio.clean.aac \
         record=video.h264+audio.clean.aac whep=video+audio.clean.opus",
    );
}

#[test]
fn what_cannot_be_made_is_said_and_the_rest_goes_on() {
    let ask = PlanInput {
        video: Some(format(Codec::H264, true)),
        audio: Some(Format::new(Codec::Opus)),
        wants: vec![PlanConsumer { id: "whep".into(), accepts: browser() }],
        ..PlanInput::default()
    };
    let route = plan(&ask).routes.remove("whep").expect("planned");
    assert_eq!(route.video, None);
    assert_eq!(route.audio.as_deref(), Some("audio"));
    assert_eq!(
        route.problems,
        ["video: h264 with B-frames is not accepted, and no encoder works for h264, vp8, vp9, av1"]
    );
}

fn language(tag: &str) -> Language {
    tag.parse().expect("a language")
}

fn lines(plan: &Plan) -> String {
    let node = |n: &PlanNode| format!("{}>{}>{}", n.inputs.join("&"), n.name, n.output);
    let route = |(id, route): (&String, &Route)| {
        format!("{id}={}", route.feeds().cloned().collect::<Vec<_>>().join("+"))
    };
    let nodes = plan.nodes.iter().map(node);
    nodes.chain(plan.routes.iter().map(route)).collect::<Vec<_>>().join("\n")
}

fn spoken(words: Words, wants: Vec<PlanConsumer>) -> String {
    let ask = PlanInput {
        video: Some(format(Codec::H264, false)),
        layers: vec![],
        audio: Some(Format::new(Codec::Aac)),
        denoise: true,
        words: Some(words),
        wants,
        encoders: ALL.iter().map(|c| (*c, format!("{c}enc"))).collect(),
        cuda: false,
    };
    lines(&plan(&ask))
}

#[test]
fn captions_are_made_of_the_cleaned_sound_even_when_nobody_reads_them() {
    let words = Words { language: Some(language("en")), ..Words::default() };
    assert_eq!(
        spoken(words, vec![]),
        "audio>decode.audio>audio.raw\naudio.raw>denoise>audio.clean\n\
         audio.clean>transcribe>captions.en"
    );
}

#[test]
fn captions_that_are_pushed_take_no_sound_and_need_none() {
    let words = Words {
        language: Some(language("en")),
        pushed: true,
        translate: vec![language("es")],
        ..Words::default()
    };
    let text = Captions { text: true, embedded: false };
    let wants = || vec![PlanConsumer { id: "a".into(), accepts: file().with_captions(text) }];
    let ask = |audio| PlanInput {
        video: Some(format(Codec::H264, false)),
        layers: vec![],
        audio,
        denoise: false,
        words: Some(words.clone()),
        wants: wants(),
        encoders: Default::default(),
        cuda: false,
    };
    let captions = ">transcribe>captions.en\ncaptions.en>translate.es>captions.es\n";
    let silent = lines(&plan(&ask(None)));
    assert_eq!(silent, format!("{captions}a=video+captions.en+captions.es"));
    let loud = lines(&plan(&ask(Some(Format::new(Codec::Aac)))));
    assert_eq!(loud, format!("{captions}a=video+audio+captions.en+captions.es"));
}

#[test]
fn each_language_is_translated_once_and_spoken_only_for_who_wants_it() {
    let words = Words {
        language: Some(language("en")),
        translate: vec![language("es"), language("en")],
        dub: vec![language("es")],
        embed: vec![None, Some(language("es"))],
        ..Words::default()
    };
    let text = Captions { text: true, embedded: false };
    let inside = Captions { text: false, embedded: true };
    let hls = file().with_captions(text).with_dubs(Dubs::All);
    let wants = [("a", hls), ("b", browser()), ("c", file().with_captions(inside))];
    let want = |(id, accepts): (&str, Accepts)| PlanConsumer { id: id.into(), accepts };
    assert_eq!(
        spoken(words, wants.map(want).into()),
        "audio>decode.audio>audio.raw\naudio.raw>denoise>audio.clean\n\
         audio.clean>transcribe>captions.en\n\
         captions.en>translate.es>captions.es\n\
         audio.clean>encode.audio.clean.aac>audio.clean.aac\n\
         audio.clean&captions.es>speak.es>audio.es\n\
         audio.es>encode.audio.es.aac>audio.es.aac\n\
         audio.clean>encode.audio.clean.opus>audio.clean.opus\n\
         video&captions.en&captions.es>embed.video>video.captions\n\
         a=video+audio.clean.aac+captions.en+captions.es+audio.es.aac\n\
         b=video+audio.clean.opus\nc=video.captions+audio.clean.aac"
    );
}

#[test]
fn a_viewer_that_asks_for_a_language_hears_it_instead_of_the_original() {
    let words =
        Words { translate: vec![language("es")], dub: vec![language("es")], ..Words::default() };
    let wants = ["es", "fr"].map(|tag| PlanConsumer {
        id: tag.into(),
        accepts: browser().with_dubs(Dubs::One(language(tag))),
    });
    let planned = spoken(words, wants.into());
    assert!(planned.contains("audio.clean>transcribe>captions.auto"), "{planned}");
    assert!(planned.contains("es=video+audio.es.opus\n"), "{planned}");
    assert!(planned.ends_with("fr=video+audio.clean.opus"), "{planned}");
}

/// A source of video that lies in `from`, and one consumer that accepts raw video in `accepted` or
/// is encoded for.
fn in_memory(codec: Codec, from: Memory, accepted: Option<Memory>, cuda: bool) -> String {
    let mut source = Format::new(codec);
    source.memory = from;
    let accept = match accepted {
        Some(memory) => Accept { memories: vec![memory], ..Accept::any_of([Codec::RawVideo]) },
        None => Accept::any_of([Codec::Vp8]),
    };
    let ask = PlanInput {
        video: Some(source),
        wants: vec![PlanConsumer { id: "a".into(), accepts: Accepts::media(Some(accept), None) }],
        encoders: [(Codec::Vp8, "vp8enc".to_owned())].into(),
        cuda,
        ..PlanInput::default()
    };
    let plan = plan(&ask);
    let problems = plan.routes["a"].problems.join("; ");
    format!("{}{problems}", lines(&plan))
}

#[test]
fn frames_are_copied_to_the_memory_that_a_consumer_accepts() {
    use Memory::{Cuda, System};
    assert_eq!(
        in_memory(Codec::H264, System, Some(Cuda), true),
        "video>decode.video>video.raw\n\
         video.raw>transfer.video.raw.cuda>video.raw.cuda\na=video.raw.cuda"
    );
    assert_eq!(
        in_memory(Codec::RawVideo, Cuda, Some(System), true),
        "video>transfer.video.system>video.system\na=video.system"
    );
    assert_eq!(
        in_memory(Codec::RawVideo, Cuda, None, true),
        "video>transfer.video.system>video.system\n\
         video.system>encode.video.vp8>video.vp8\na=video.vp8"
    );
    assert_eq!(in_memory(Codec::RawVideo, Cuda, Some(Cuda), false), "a=video");
    assert_eq!(in_memory(Codec::RawVideo, System, Some(System), false), "a=video");
}

#[test]
fn without_cuda_no_frames_are_copied_and_the_reason_is_given() {
    use Memory::{Cuda, System};
    let refused = |from, accepted| in_memory(Codec::RawVideo, from, accepted, false);
    assert_eq!(
        refused(System, Some(Cuda)),
        "a=video: rawvideo in system memory is not accepted, and this machine has no CUDA to copy \
         frames from system memory to CUDA memory"
    );
    assert_eq!(
        refused(Cuda, Some(System)),
        "a=video: rawvideo in CUDA memory is not accepted, and this machine has no CUDA to copy \
         frames from CUDA memory to system memory"
    );
    assert!(refused(Cuda, None).ends_with("from CUDA memory to system memory"));
}

#[test]
fn rungs_are_encoded_once_and_only_below_the_source() {
    let rung = |height| Some(Rung { height, kbps: Some(500) });
    let asks = |rung| {
        let mut accepts = browser();
        accepts.video = accepts.video.map(|video| Accept { rung, ..video });
        accepts
    };
    let mut video = format(Codec::H264, false);
    (video.video.width, video.video.height) = (1280, 720);
    let wants = [("a", rung(480)), ("b", rung(480)), ("c", rung(720)), ("d", None)];
    let wants = wants.map(|(id, rung)| PlanConsumer { id: id.into(), accepts: asks(rung) });
    let encoders = ALL.iter().map(|c| (*c, format!("{c}enc"))).collect();
    let ask = PlanInput { video: Some(video), wants: wants.into(), encoders, ..Default::default() };
    let plan = plan(&ask);
    let nodes: Vec<&str> = plan.nodes.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(nodes, ["decode.video", "encode.video.h264.480p"]);
    let feeds: Vec<_> = plan.routes.values().map(|route| route.video.as_deref()).collect();
    let made = Some("video.h264.480p");
    assert_eq!(feeds, [made, made, Some("video"), Some("video")]);
}

#[test]
fn a_layer_of_the_publisher_is_a_rung_for_those_who_take_layers() {
    let sized = |codec, height: u32| {
        let mut format = format(codec, false);
        (format.video.width, format.video.height) = (height * 16 / 9, height);
        format
    };
    let rung = |height| Rung { height, kbps: None };
    let asks = |height, layers| {
        let mut accepts = browser();
        accepts.video =
            accepts.video.map(|video| Accept { rung: Some(rung(height)), layers, ..video });
        accepts
    };
    let check = |codec, wants: &[(u32, bool)], expect: &[&str]| {
        let wants = wants.iter().map(|(height, layers)| PlanConsumer {
            id: format!("{height}.{layers}"),
            accepts: asks(*height, *layers),
        });
        let ask = PlanInput {
            video: Some(sized(codec, 720)),
            layers: vec![PlanLayer {
                feed: "video.layer.q".into(),
                rung: rung(180),
                format: sized(codec, 180),
            }],
            wants: wants.collect(),
            encoders: ALL.iter().map(|c| (*c, format!("{c}enc"))).collect(),
            ..Default::default()
        };
        let routes = plan(&ask).routes;
        let feeds: Vec<_> = routes.values().map(|r| r.video.clone().unwrap_or_default()).collect();
        assert_eq!(feeds, expect, "{codec}");
    };
    let segments = "video.h264.180p";
    check(Codec::H264, &[(180, false), (180, true)], &[segments, "video.layer.q"]);
    // No such layer, and one that the viewer does not decode.
    check(Codec::H264, &[(360, true)], &["video.h264.360p"]);
    check(Codec::H265, &[(180, true)], &["video.h264.180p"]);
}
