//! From what flows and what is wanted to the nodes between.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::media::{Accept, Accepts, Codec, Format, Kind};

/// Everything a plan depends on.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// The stream's pictures, when it has any.
    pub video: Option<Format>,
    /// The stream's sound, when it has any.
    pub audio: Option<Format>,
    /// Whether sound passes noise suppression.
    pub denoise: bool,
    /// Who consumes.
    pub wants: Vec<Want>,
    /// The encoder to use for each codec that this machine can encode.
    pub encoders: BTreeMap<Codec, String>,
}

/// One consumer, as the plan sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// Its name: `record`, `push.youtube`, `whep.3` …
    pub id: String,
    /// What it can take.
    pub accepts: Accepts,
}

/// What a process node does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Op {
    /// Compressed to raw.
    Decode,
    /// Noise suppression of raw sound.
    Denoise,
    /// Raw to compressed.
    Encode {
        /// Into this codec.
        codec: Codec,
        /// By this GStreamer element.
        encoder: String,
    },
}

/// One process node between two feeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanNode {
    /// Unique within the stream: `decode.audio`, `denoise`, `encode.video.h264`.
    pub name: String,
    /// What it does.
    pub op: Op,
    /// The feed that it takes.
    pub input: String,
    /// The feed that it fills.
    pub output: String,
    /// Why it is there: the consumer and its objection.
    pub why: String,
}

/// Which feeds a consumer gets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Route {
    /// Feed of pictures.
    pub video: Option<String>,
    /// Feed of sound.
    pub audio: Option<String>,
    /// What the consumer could take and does not get, and why.
    pub problems: Vec<String>,
}

impl Route {
    /// Whether there is nothing to consume.
    pub fn is_empty(&self) -> bool {
        self.video.is_none() && self.audio.is_none()
    }

    /// The feed of a kind.
    pub fn of(&self, kind: Kind) -> Option<&String> {
        match kind {
            Kind::Video => self.video.as_ref(),
            Kind::Audio => self.audio.as_ref(),
        }
    }
}

/// Process nodes in the order media flows, and the feeds of every consumer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Plan {
    /// Process nodes.
    pub nodes: Vec<PlanNode>,
    /// Feeds of each consumer, by its id.
    pub routes: BTreeMap<String, Route>,
}

/// Resolves what is wanted from what is there.
///
/// Consumers that can take the same feed share it, so a stream is encoded once per codec whatever
/// the number of consumers.
pub fn plan(ask: &Ask) -> Plan {
    let mut plan = Plan::default();
    for want in &ask.wants {
        let mut route = Route::default();
        for kind in Kind::ALL {
            let source = match kind {
                Kind::Video => &ask.video,
                Kind::Audio => &ask.audio,
            };
            let (Some(source), Some(accept)) = (source, want.accepts.of(kind)) else { continue };
            match plan.route(ask, kind, source, accept, &want.id) {
                Ok(feed) if kind == Kind::Video => route.video = Some(feed),
                Ok(feed) => route.audio = Some(feed),
                Err(problem) => route.problems.push(problem),
            }
        }
        plan.routes.insert(want.id.clone(), route);
    }
    plan
}

impl Plan {
    /// The feed of one kind for one consumer, with the nodes that fill it.
    fn route(
        &mut self,
        ask: &Ask,
        kind: Kind,
        source: &Format,
        accept: &Accept,
        who: &str,
    ) -> Result<String, String> {
        let clean = ask.denoise && kind == Kind::Audio;
        let objection = match accept.objection(source) {
            None if !clean => return Ok(kind.as_str().to_owned()),
            None => "its sound passes noise suppression".to_owned(),
            Some(objection) => objection,
        };
        let raw_codec = match kind {
            Kind::Video => Codec::RawVideo,
            Kind::Audio => Codec::RawAudio,
        };
        let takes_raw = accept.codecs.contains(&raw_codec);
        let choice = accept.codecs.iter().find_map(|c| Some((*c, ask.encoders.get(c)?)));
        if choice.is_none() && !takes_raw {
            let wanted = accept.codecs.iter().map(|c| c.as_str()).collect::<Vec<_>>().join(", ");
            return Err(format!("{kind}: {objection}, and no encoder works for {wanted}"));
        }
        let why = format!("{who}: {objection}");
        let raw = self.raw(kind, source, clean, &why);
        let Some((codec, encoder)) = choice.filter(|_| !takes_raw) else { return Ok(raw) };
        let stem = if clean { "audio.clean" } else { kind.as_str() };
        let output = format!("{stem}.{codec}");
        let op = Op::Encode { codec, encoder: encoder.clone() };
        self.node(format!("encode.{output}"), op, raw, output.clone(), &why);
        Ok(output)
    }

    /// The raw feed of one kind, cleaned or not.
    fn raw(&mut self, kind: Kind, source: &Format, clean: bool, why: &str) -> String {
        let mut feed = kind.as_str().to_owned();
        if !source.codec.is_raw() {
            let output = format!("{kind}.raw");
            self.node(format!("decode.{kind}"), Op::Decode, feed, output.clone(), why);
            feed = output;
        }
        if clean {
            let output = "audio.clean".to_owned();
            self.node("denoise".into(), Op::Denoise, feed, output.clone(), "the stream wants it");
            feed = output;
        }
        feed
    }

    fn node(&mut self, name: String, op: Op, input: String, output: String, why: &str) {
        if self.nodes.iter().all(|n| n.name != name) {
            self.nodes.push(PlanNode { name, op, input, output, why: why.to_owned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::H264Profile;

    fn browser() -> Accepts {
        let video = Accept {
            codecs: vec![Codec::H264, Codec::Vp8, Codec::Vp9, Codec::Av1],
            reorders: false,
            h264_profiles: vec![H264Profile::ConstrainedBaseline, H264Profile::High],
        };
        Accepts { video: Some(video), audio: Some(Accept::any_of([Codec::Opus])) }
    }

    fn file() -> Accepts {
        Accepts {
            video: Some(Accept::any_of([Codec::H264, Codec::H265])),
            audio: Some(Accept::any_of([Codec::Aac, Codec::Opus])),
        }
    }

    fn format(codec: Codec, reorders: bool) -> Format {
        let mut format = Format::new(codec);
        format.video.reorders = reorders;
        format
    }

    fn check(video: Format, audio: Codec, denoise: bool, encoders: &[Codec], expect: &str) {
        let ask = Ask {
            video: Some(video),
            audio: Some(Format::new(audio)),
            denoise,
            wants: vec![
                Want { id: "whep".into(), accepts: browser() },
                Want { id: "record".into(), accepts: file() },
            ],
            encoders: encoders.iter().map(|c| (*c, format!("{c}enc"))).collect(),
        };
        let plan = plan(&ask);
        let mut lines: Vec<String> =
            plan.nodes.iter().map(|n| format!("{}>{}>{}", n.input, n.name, n.output)).collect();
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
        let ask = Ask {
            video: Some(format(Codec::H264, true)),
            audio: Some(Format::new(Codec::Opus)),
            wants: vec![Want { id: "whep".into(), accepts: browser() }],
            ..Ask::default()
        };
        let route = plan(&ask).routes.remove("whep").expect("planned");
        assert_eq!(route.video, None);
        assert_eq!(route.audio.as_deref(), Some("audio"));
        assert_eq!(
            route.problems,
            [
                "video: h264 with B-frames is not accepted, and no encoder works for h264, vp8, vp9, av1"
            ]
        );
    }
}
