//! Resolves formats and consumers to the nodes between them.

use super::plan::{Op, Plan, PlanConsumer, PlanInput, PlanNode, Route, Words, captions_feed};
use crate::media::{Accept, Codec, Dubs, Format, Kind, Language, Memory, Rung};

/// Plans the nodes between the source and all consumers.
///
/// Consumers that accept the same feed share it, so a stream is encoded once per codec, whatever
/// the number of consumers.
pub fn plan(ask: &PlanInput) -> Plan {
    let mut plan = Plan::default();
    plan.add_words(ask);
    for want in &ask.wants {
        let route = plan.route(ask, want);
        plan.routes.insert(want.id.clone(), route);
    }
    plan
}

impl Plan {
    /// Captions are made even without readers: they are archived, and a new reader finds them
    /// running.
    fn add_words(&mut self, ask: &PlanInput) {
        let Some(words) = ask.words.as_ref().filter(|words| has_words(ask, words)) else { return };
        let why = "the stream wants captions";
        let heard = ask.audio.as_ref().filter(|_| !words.pushed);
        let sound = heard.map(|audio| self.raw(Kind::Audio, audio, ask.denoise, why));
        let sound: Vec<String> = sound.into_iter().collect();
        let original = words.original();
        self.node("transcribe".into(), Op::Transcribe, sound, original.clone(), why);
        for to in words.translations() {
            let op = Op::Translate { to: to.clone() };
            let why = "the stream wants this language";
            self.node(format!("translate.{to}"), op, [original.clone()], captions_feed(to), why);
        }
    }

    /// The feeds of one consumer, with the nodes that fill them.
    fn route(&mut self, ask: &PlanInput, want: &PlanConsumer) -> Route {
        let mut route = Route::default();
        if let (Some(source), Some(accept)) = (&ask.video, &want.accepts.video) {
            let layer = ask.layer(accept);
            let found = match layer {
                Some(layer) => Ok((layer.feed.clone(), layer.format.codec)),
                None => self.media(ask, Kind::Video, source, accept, &want.id),
            };
            match found {
                Ok((feed, codec)) => route.video = Some(self.embed(ask, want, feed, codec)),
                Err(problem) => route.problems.push(problem),
            }
        }
        let text = ask.words.as_ref().filter(|_| want.accepts.captions.text);
        if let Some(words) = text.filter(|words| has_words(ask, words)) {
            route.captions = words.feeds();
        }
        let Some(source) = &ask.audio else { return route };
        let Some(accept) = &want.accepts.audio else { return route };
        match self.media(ask, Kind::Audio, source, accept, &want.id) {
            Ok((feed, _)) => route.audio = Some(feed),
            Err(problem) => route.problems.push(problem),
        }
        if let Some(words) = &ask.words {
            self.add_dubs(ask, words, source, accept, want, &mut route);
        }
        route
    }

    /// Adds the languages that a consumer wants the audio in.
    fn add_dubs(
        &mut self,
        ask: &PlanInput,
        words: &Words,
        source: &Format,
        accept: &Accept,
        want: &PlanConsumer,
        route: &mut Route,
    ) {
        for language in &words.dub {
            let wanted = match &want.accepts.dubs {
                Dubs::None => false,
                Dubs::One(one) => one == language,
                Dubs::All => true,
            };
            if !wanted {
                continue;
            }
            match self.dub(ask, words, language, source, accept, &want.id) {
                Ok(feed) if want.accepts.dubs == Dubs::All => {
                    route.dubs.push((language.clone(), feed));
                }
                Ok(feed) => route.audio = Some(feed),
                Err(problem) => route.problems.push(problem),
            }
        }
    }

    /// The feed of one kind for one consumer, with its codec; adds the nodes that fill it.
    fn media(
        &mut self,
        ask: &PlanInput,
        kind: Kind,
        source: &Format,
        accept: &Accept,
        who: &str,
    ) -> Result<(String, Codec), String> {
        let clean = ask.denoise && kind == Kind::Audio;
        let objection = match accept.objection(source) {
            None if !clean => return Ok((kind.as_str().to_owned(), source.codec)),
            None => "its sound passes noise suppression".to_owned(),
            Some(objection) => objection,
        };
        let how = Conversion::of(ask, source, accept)
            .map_err(|missing| format!("{kind}: {objection}, and {missing}"))?;
        let why = format!("{who}: {objection}");
        let raw = self.raw(kind, source, clean, &why);
        let stem = if clean { "audio.clean" } else { kind.as_str() };
        Ok(self.make(how, raw, stem, &why))
    }

    /// Copies a raw feed to another memory if necessary, and encodes it into `stem.codec` or leaves
    /// it raw.
    fn make(&mut self, how: Conversion, raw: String, stem: &str, why: &str) -> (String, Codec) {
        let raw = match how.transfer {
            Some(to) => self.transfer(raw, to, why),
            None => raw,
        };
        match how.target {
            Target::Raw(codec) => (raw, codec),
            Target::Encoded { codec, encoder, rung } => {
                let size = rung.map(|rung| format!(".{rung}")).unwrap_or_default();
                let output = format!("{stem}.{codec}{size}");
                let op = Op::Encode { codec, encoder, rung };
                self.node(format!("encode.{output}"), op, [raw], output.clone(), why);
                (output, codec)
            }
        }
    }

    /// Copies raw video to another memory.
    fn transfer(&mut self, raw: String, to: Memory, why: &str) -> String {
        let output = format!("{raw}.{}", to.as_str());
        self.node(format!("transfer.{output}"), Op::Transfer { to }, [raw], output.clone(), why);
        output
    }

    /// Audio in another language for one consumer; adds the nodes that fill it.
    fn dub(
        &mut self,
        ask: &PlanInput,
        words: &Words,
        language: &Language,
        source: &Format,
        accept: &Accept,
        who: &str,
    ) -> Result<String, String> {
        let how = Conversion::of(ask, source, accept)
            .map_err(|missing| format!("sound in {language}: {missing}"))?;
        let why = format!("{who}: it wants the sound in {language}");
        let under = self.raw(Kind::Audio, source, ask.denoise, &why);
        let voice = format!("audio.{language}");
        let op = Op::Speak { language: language.clone() };
        let inputs = [under, words.feed(Some(language))];
        self.node(format!("speak.{language}"), op, inputs, voice.clone(), &why);
        Ok(self.make(how, voice.clone(), &voice, &why).0)
    }

    /// Embeds captions in video that can carry them, for a consumer that passes them on.
    fn embed(
        &mut self,
        ask: &PlanInput,
        want: &PlanConsumer,
        feed: String,
        codec: Codec,
    ) -> String {
        let Some(words) = ask.words.as_ref().filter(|w| !w.embed.is_empty()) else { return feed };
        let carries = matches!(codec, Codec::H264 | Codec::H265);
        if !want.accepts.captions.embedded || !carries || !has_words(ask, words) {
            return feed;
        }
        let output = format!("{feed}.captions");
        let mut inputs = vec![feed];
        for language in &words.embed {
            let captions = words.feed(language.as_ref());
            if !inputs.contains(&captions) {
                inputs.push(captions);
            }
        }
        let why = format!("{}: it passes captions on inside the video", want.id);
        self.node(format!("embed.{}", inputs[0]), Op::Embed, inputs, output.clone(), &why);
        output
    }

    /// The raw feed of one kind, cleaned if `clean`.
    fn raw(&mut self, kind: Kind, source: &Format, clean: bool, why: &str) -> String {
        let mut feed = kind.as_str().to_owned();
        if !source.codec.is_raw() {
            let output = format!("{kind}.raw");
            self.node(format!("decode.{kind}"), Op::Decode, [feed], output.clone(), why);
            feed = output;
        }
        if clean {
            let output = "audio.clean".to_owned();
            let why = "the stream wants it";
            self.node("denoise".into(), Op::Denoise, [feed], output.clone(), why);
            feed = output;
        }
        feed
    }

    fn node(
        &mut self,
        name: String,
        op: Op,
        inputs: impl Into<Vec<String>>,
        output: String,
        why: &str,
    ) {
        if self.nodes.iter().all(|n| n.name != name) {
            self.nodes.push(PlanNode { name, op, inputs: inputs.into(), output, why: why.into() });
        }
    }
}

/// Whether the stream has captions: it has audio, or they are pushed.
fn has_words(ask: &PlanInput, words: &Words) -> bool {
    ask.audio.is_some() || words.pushed
}

/// Where the frames of a source lie once they are raw: decoders write to system memory.
fn raw_memory(source: &Format) -> Memory {
    if source.codec.is_raw() { source.memory } else { Memory::System }
}

/// How media that a consumer does not accept as it is gets converted, once it is raw.
struct Conversion {
    /// The memory that the raw frames are copied to; `None` if they stay where they are.
    transfer: Option<Memory>,
    target: Target,
}

enum Target {
    Raw(Codec),
    Encoded { codec: Codec, encoder: String, rung: Option<Rung> },
}

impl Conversion {
    /// The conversion of a source, once it is raw.
    ///
    /// # Errors
    /// What this machine lacks for it, in words.
    fn of(ask: &PlanInput, source: &Format, accept: &Accept) -> Result<Self, String> {
        let memory = raw_memory(source);
        let raw = match source.kind() {
            Kind::Video => Codec::RawVideo,
            Kind::Audio => Codec::RawAudio,
        };
        let (target, memories) = if accept.codecs.contains(&raw) {
            (Target::Raw(raw), accept.memories.as_slice())
        } else {
            // Encoders read system memory.
            (Target::encoded(ask, source, accept)?, [Memory::System].as_slice())
        };
        let transfer = memories.first().filter(|_| !memories.contains(&memory)).copied();
        match transfer {
            Some(to) if !ask.cuda => Err(no_cuda(memory, to)),
            transfer => Ok(Self { transfer, target }),
        }
    }
}

impl Target {
    fn encoded(ask: &PlanInput, source: &Format, accept: &Accept) -> Result<Self, String> {
        let rung = accept.rung.filter(|rung| rung.is_below(&source.video));
        let encoded = |c: &Codec| {
            let encoder = ask.encoders.get(c)?.clone();
            Some(Self::Encoded { codec: *c, encoder, rung })
        };
        accept.codecs.iter().find_map(encoded).ok_or_else(|| no_encoder(accept))
    }
}

fn no_encoder(accept: &Accept) -> String {
    let wanted = accept.codecs.iter().map(|c| c.as_str()).collect::<Vec<_>>().join(", ");
    format!("no encoder works for {wanted}")
}

fn no_cuda(from: Memory, to: Memory) -> String {
    format!("this machine has no CUDA to copy frames from {from} to {to}")
}

#[cfg(test)]
mod tests;
