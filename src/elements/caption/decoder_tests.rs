//! What independent programs decode: ffmpeg (CEA-608) and mux.js (CEA-608 and CEA-708), from real
//! encoders with reordered frames, through the containers that carry captions.

use std::path::{Path, PathBuf};
use std::process::Command;

use gst::prelude::*;

use super::Caption;
use super::tests::cue;
use crate::media::Cue;

const ENGLISH: [&str; 3] = [
    "And so my fellow Americans, ask not what your country can do for you",
    "ask what you can do for your country.",
    "It's the 2nd café of señor Müller: 100% naïve!",
];
const SPANISH: [&str; 3] =
    ["no preguntes qué puede hacer tu país por ti", "pregunta qué puedes hacer", "¡Así es!"];

/// Cues two seconds apart from the first second on.
fn cues(texts: &[&str], language: &str) -> Vec<Cue> {
    let language: crate::media::Language = language.parse().expect("a language");
    let made = texts.iter().zip(0..).map(|(text, n)| {
        let start = 1.0 + f64::from(n) * 2.0;
        Cue { language: language.clone(), ..cue(start, start + 1.5, text) }
    });
    made.collect()
}

/// Plays a description with an `auralinkcaption` named `c` to its end, with these cues.
fn play(description: &str, cues: &[Cue]) -> gst::Structure {
    gst::init().expect("GStreamer starts");
    crate::init().expect("registers");
    let pipeline = gst::parse::launch(description).unwrap_or_else(|e| panic!("{description}: {e}"));
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("a pipeline");
    let element = pipeline.by_name("c").and_downcast::<Caption>().expect("a caption element");
    // The element accepts cues once it runs; data flows only after the whole pipeline does.
    pipeline.set_state(gst::State::Ready).expect("gets ready");
    element.set_state(gst::State::Paused).expect("starts");
    cues.iter().for_each(|cue| assert!(element.push(cue) > 0));
    pipeline.set_state(gst::State::Playing).expect("plays");
    let bus = pipeline.bus().expect("a bus");
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = bus.timed_pop_filtered(gst::ClockTime::from_seconds(120), &ends).expect("it ends");
    assert_eq!(end.type_(), gst::MessageType::Eos, "{description}: {end:?}");
    let stats = element.property("stats");
    pipeline.set_state(gst::State::Null).expect("stops");
    stats
}

/// Nine seconds of H.264 or H.265 with reordered frames.
fn encoder(codec: &str, rate: &str, frames: u32) -> String {
    let encoder = match codec {
        "h265" => {
            "x265enc speed-preset=ultrafast option-string=bframes=3:b-adapt=0 ! h265parse \
                   ! video/x-h265,stream-format=byte-stream,alignment=au"
        }
        _ => {
            "x264enc speed-preset=ultrafast b-adapt=false bframes=2 key-int-max=60 ! h264parse \
              ! video/x-h264,stream-format=byte-stream,alignment=au"
        }
    };
    format!(
        "videotestsrc num-buffers={frames} ! video/x-raw,format=I420,width=320,height=180,\
         framerate={rate} ! {encoder}"
    )
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Words that ffmpeg's CEA-608 decoder reads from a field; rolled-up rows count once.
fn ffmpeg(file: &Path, field: &str) -> String {
    let source = format!("movie={}[out0+subcc]", file.display());
    let srt = run(Command::new("ffmpeg")
        .args(["-v", "error", "-data_field", field, "-f", "lavfi", "-i", &source])
        .args(["-map", "0:s", "-c:s", "srt", "-f", "srt", "-"]));
    let mut rows: Vec<String> = Vec::new();
    for shown in srt.split("\n\n") {
        let lines = shown.lines().skip_while(|line| !line.contains("-->")).skip(1);
        let fresh: Vec<String> = lines.map(plain).filter(|line| !line.is_empty()).collect();
        // The first of the displayed rows may have been displayed before.
        let known = (0..=fresh.len()).rev().find(|n| rows.ends_with(&fresh[..*n])).unwrap_or(0);
        rows.extend_from_slice(&fresh[known..]);
    }
    rows.join(" ")
}

/// A line without tags and position, with plain apostrophes.
fn plain(line: &str) -> String {
    let mut text = String::new();
    let mut depth = 0;
    for c in line.replace("{\\an7}", "").replace("\\h", " ").chars() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            '’' => text.push('\''),
            c if depth == 0 => text.push(c),
            _ => {}
        }
    }
    text.trim().to_owned()
}

/// Words that mux.js reads, by channel or service; `None` if it is not installed.
fn muxjs(file: &Path, stream: &str) -> Option<String> {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    if !clients.join("node_modules/mux.js").exists() {
        crate::needs::skip("mux.js, from `make setup`");
        return None;
    }
    let said =
        run(Command::new("node").arg(clients.join("captions.mjs")).arg(file).args(["1", "2", "3"]));
    let mut rows: Vec<String> = Vec::new();
    for line in said.lines() {
        let caption: serde_json::Value = serde_json::from_str(line).expect("JSON");
        if caption["stream"] != stream {
            continue;
        }
        let text = caption["text"].as_str().unwrap_or_default();
        let fresh: Vec<String> = text.lines().map(plain).filter(|l| !l.is_empty()).collect();
        let known = (0..=fresh.len()).rev().find(|n| rows.ends_with(&fresh[..*n])).unwrap_or(0);
        rows.extend_from_slice(&fresh[known..]);
    }
    Some(rows.join(" "))
}

fn folder() -> (tempfile::TempDir, impl Fn(&str) -> PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    (folder, move |name: &str| path.join(name))
}

fn both() -> Vec<Cue> {
    [cues(&ENGLISH, "en"), cues(&SPANISH, "es")].concat()
}

const ALL: &str = "services=cc1=en,cc3=es,s1=en,s2=es";

#[test]
fn ffmpeg_and_muxjs_read_every_word_of_a_stream_with_reordered_frames() {
    for (rate, frames, mode) in [
        ("30000/1001", 390, "roll-up-2"),
        ("25/1", 325, "roll-up-3"),
        ("60/1", 780, "roll-up-4"),
        ("50/1", 650, "pop-on"),
    ] {
        let (_kept, at) = folder();
        let (ts, encoder) = (at("x.ts"), encoder("h264", rate, frames));
        let out = format!("mpegtsmux ! filesink location={}", ts.display());
        let caption = format!("auralinkcaption name=c {ALL} mode={mode}");
        let stats = play(&format!("{encoder} ! {caption} ! {out}"), &both());
        assert_eq!(stats.get::<u64>("lost"), Ok(0), "{stats}");
        let (english, spanish) = (ENGLISH.join(" "), SPANISH.join(" "));
        assert_eq!(ffmpeg(&ts, "first"), english, "{rate} {mode}: CC1");
        assert_eq!(ffmpeg(&ts, "second"), spanish, "{rate} {mode}: CC3");
        for (stream, expect) in
            [("CC1", &english), ("CC3", &spanish), ("cc708_1", &english), ("cc708_2", &spanish)]
        {
            if let Some(read) = muxjs(&ts, stream) {
                assert_eq!(&read.replace('’', "'"), expect, "{rate} {mode}: {stream}");
            }
        }
    }
}

#[test]
fn captions_travel_in_every_container_and_in_h265() {
    let encoder = |codec| encoder(codec, "30/1", 330);
    for (codec, name, mux) in [
        ("h264", "x.mp4", "h264parse ! mp4mux"),
        ("h264", "x.flv", "h264parse ! flvmux"),
        ("h264", "x.mkv", "h264parse ! matroskamux"),
        ("h265", "y.ts", "h265parse ! mpegtsmux"),
        ("h265", "y.mp4", "h265parse ! mp4mux"),
    ] {
        let (_kept, at) = folder();
        let file = at(name);
        let out = format!("{mux} ! filesink location={}", file.display());
        let encoder = encoder(codec);
        play(&format!("{encoder} ! auralinkcaption name=c {ALL} ! {out}"), &both());
        assert_eq!(ffmpeg(&file, "first"), ENGLISH.join(" "), "{codec} {name}");
    }
}

#[test]
fn a_file_of_ffmpeg_with_a_pyramid_of_frames_gets_captions() {
    let (_kept, at) = folder();
    let (input, ts) = (at("in.mp4"), at("out.ts"));
    run(Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=30:d=11"])
        .args(["-c:v", "libx264", "-bf", "4", "-b_strategy", "2", "-x264-params"])
        .args(["b-pyramid=normal:keyint=90"])
        .arg(&input));
    let (from, to) = (input.display(), ts.display());
    let stats = play(
        &format!(
            "filesrc location={from} ! qtdemux ! h264parse \
             ! video/x-h264,stream-format=byte-stream,alignment=au ! auralinkcaption name=c {ALL} \
             ! mpegtsmux ! filesink location={to}"
        ),
        &both(),
    );
    assert_eq!(ffmpeg(&ts, "first"), ENGLISH.join(" "), "{stats}");
    if let Some(read) = muxjs(&ts, "cc708_2") {
        assert_eq!(read, SPANISH.join(" "), "{stats}");
    }
}

#[test]
fn captions_of_the_source_are_kept_replaced_or_moved() {
    let (_kept, at) = folder();
    let first = at("source.ts");
    let encoder = encoder("h264", "30/1", 330);
    let out = format!("mpegtsmux ! filesink location={}", first.display());
    let caption = "auralinkcaption name=c services=cc1=en,s1=en";
    play(&format!("{encoder} ! {caption} ! {out}"), &cues(&ENGLISH, "en"));
    let input = format!(
        "filesrc location={} ! tsdemux ! h264parse \
         ! video/x-h264,stream-format=byte-stream,alignment=au",
        first.display()
    );
    let (english, spanish) = (ENGLISH.join(" "), SPANISH.join(" "));
    let check = |settings: &str, expect: [(&str, &str); 2], digital: [(&str, &str); 2]| {
        let ts = at("again.ts");
        let out = format!("mpegtsmux ! filesink location={}", ts.display());
        let stats = play(
            &format!("{input} ! auralinkcaption name=c {settings} ! {out}"),
            &cues(&SPANISH, "es"),
        );
        for (field, text) in expect {
            assert_eq!(ffmpeg(&ts, field), text, "{settings} {stats}");
        }
        for (service, text) in digital {
            if let Some(read) = muxjs(&ts, service) {
                assert_eq!(read, text, "{settings} {service} {stats}");
            }
        }
    };
    check(
        "services=cc1=es,cc3=es,s1=es existing=keep",
        [("first", &english), ("second", &spanish)],
        [("cc708_1", &english), ("cc708_2", "")],
    );
    check(
        "services=cc1=es,s1=es existing=replace",
        [("first", &spanish), ("second", "")],
        [("cc708_1", &spanish), ("cc708_2", "")],
    );
    check(
        "services=cc1=es,s1=es existing=move moves=cc1=cc3,s1=s2",
        [("first", &spanish), ("second", &english)],
        [("cc708_1", &spanish), ("cc708_2", &english)],
    );
}
