//! The messages of a reader.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::flow::{CaptionFeeds, CueFeed};
use crate::media::{Cue, Language, Origin, Stage, Word};

/// A feed `captions.<tag>` with that language.
pub(super) fn feed(tag: &str) -> CueFeed {
    crate::init().expect("GStreamer starts");
    CueFeed::new(format!("captions.{tag}"), tag.parse().expect("a language"))
}

/// A cue of one word, in English.
pub(super) fn cue(id: u64, stage: Stage, text: &str) -> Cue {
    let (start, end) = (Duration::from_millis(100), Duration::from_millis(900));
    let word = Word { text: text.into(), start, end, confidence: 0.91234 };
    Cue {
        id,
        language: Language::english(),
        stage,
        start,
        end,
        text: text.into(),
        words: Arc::new([word]),
        ends_sentence: false,
        origin: Arc::new(Origin { engine: "test".into(), model: Some("m@1".into()) }),
        speaker: None,
    }
}

fn in_language(tag: &str, cue: Cue) -> Cue {
    Cue { language: tag.parse().expect("a language"), ..cue }
}

/// The next message as JSON, without its time fields.
async fn next(reader: &mut Reader) -> serde_json::Value {
    let next = tokio::time::timeout(Duration::from_secs(10), reader.next());
    let (_, message) = next.await.expect("in time").expect("the stream is there");
    let mut json: serde_json::Value = serde_json::from_str(&message.to_json()).expect("JSON");
    let fields = json.as_object_mut().expect("an object");
    ["now_ms", "wall_ms", "age_ms"].iter().for_each(|name| drop(fields.remove(*name)));
    json
}

#[tokio::test]
async fn a_reader_is_told_what_there_is_and_then_what_is_said() {
    let (english, caption_feeds) = (feed("en"), CaptionFeeds::default());
    caption_feeds.set(vec![english.clone()]);
    for id in 1..=3 {
        english.publish(cue(id, Stage::Committed, "before"));
    }
    let mut reader = Reader::new(&caption_feeds, Selection::everything(), 2);
    let hello = serde_json::json!({ "type": "hello", "version": 1,
        "languages": [{ "tag": "en", "name": "English", "original": true }] });
    assert_eq!(next(&mut reader).await, hello);
    assert_eq!(next(&mut reader).await["id"], 2);
    assert_eq!(next(&mut reader).await["id"], 3);
    english.publish(cue(4, Stage::Partial, "hello"));
    let expect = serde_json::json!({ "type": "cue", "id": 4, "language": "en", "stage": "partial",
        "start_ms": 100, "end_ms": 900, "text": "hello", "ends_sentence": false, "engine": "test",
        "model": "m@1", "words": [
            { "text": "hello", "start_ms": 100, "end_ms": 900, "confidence": 0.912 }] });
    // Confidence has thousandths, within 32-bit precision.
    let mut said = next(&mut reader).await;
    let sure = said["words"][0]["confidence"].as_f64().expect("a number");
    said["words"][0]["confidence"] = ((sure * 1000.0).round() / 1000.0).into();
    assert_eq!(said, expect);
    let spanish = feed("es");
    caption_feeds.set(vec![english, spanish.clone()]);
    let hello = next(&mut reader).await;
    assert_eq!((&hello["type"], &hello["languages"][1]["tag"]), (&"hello".into(), &"es".into()));
    spanish.publish(in_language("es", cue(1, Stage::Committed, "hola")));
    assert_eq!(next(&mut reader).await["text"], "hola", "nothing is missed of what was told");
    drop(caption_feeds);
    assert!(reader.next().await.is_none(), "the stream is gone");
}

#[tokio::test]
async fn only_what_was_asked_for_is_told() {
    let (english, brazil, caption_feeds) = (feed("en"), feed("pt-BR"), CaptionFeeds::default());
    caption_feeds.set(vec![english.clone(), brazil.clone()]);
    let check = async |list: Option<&str>, partial: bool, expect: &[&str]| {
        let selection = Selection::of(list, partial).expect("languages");
        let mut reader = Reader::new(&caption_feeds, selection, 0);
        assert_eq!(next(&mut reader).await["type"], "hello");
        english.publish(cue(1, Stage::Partial, "one?"));
        english.publish(cue(1, Stage::Committed, "one"));
        brazil.publish(in_language("pt-BR", cue(1, Stage::Committed, "um")));
        // The order between feeds is not guaranteed.
        let mut said = Vec::new();
        while said.len() < expect.len() {
            said.push(next(&mut reader).await["text"].as_str().expect("text").to_owned());
        }
        said.sort();
        assert_eq!(said, expect, "{list:?}");
        let more = tokio::time::timeout(Duration::from_millis(20), reader.next());
        assert!(more.await.is_err(), "{list:?}: nothing else");
    };
    check(None, true, &["one", "one?", "um"]).await;
    check(None, false, &["one", "um"]).await;
    check(Some("pt"), true, &["um"]).await;
    check(Some("pt-br"), true, &["um"]).await;
    check(Some("original"), false, &["one"]).await;
    check(Some("fr,original"), true, &["one", "one?"]).await;
    assert!(Selection::of(Some("en,??"), true).is_err());
}

#[tokio::test]
async fn a_language_that_is_spoken_and_translated_comes_once() {
    crate::init().expect("GStreamer starts");
    let (auto, english) = (CueFeed::new("captions.auto", Language::undetermined()), feed("en"));
    let caption_feeds = CaptionFeeds::default();
    caption_feeds.set(vec![auto.clone(), english.clone()]);
    let check = async |list: &str, expect: &[&str]| {
        let selection = Selection::of(Some(list), true).expect("languages");
        let mut reader = Reader::new(&caption_feeds, selection, 0);
        auto.publish(in_language("de", cue(1, Stage::Committed, "guten Abend")));
        english.publish(cue(1, Stage::Committed, "good evening"));
        auto.publish(cue(2, Stage::Committed, "and good night"));
        english.publish(cue(2, Stage::Committed, "and good night"));
        let mut said = Vec::new();
        let read = async {
            while let Some((_, message)) = reader.next().await {
                if let Message::Cue(cue) = message {
                    said.push(cue.text);
                }
            }
        };
        assert!(tokio::time::timeout(Duration::from_millis(50), read).await.is_err());
        said.sort();
        assert_eq!(said, expect, "{list}");
    };
    check("en", &["and good night", "good evening"]).await;
    check("de", &["guten Abend"]).await;
    check("original", &["and good night", "guten Abend"]).await;
}

#[tokio::test]
async fn a_reader_may_choose_again_and_a_detected_language_is_told() {
    crate::init().expect("GStreamer starts");
    let auto = CueFeed::new("captions.auto", Language::undetermined());
    let caption_feeds = CaptionFeeds::default();
    caption_feeds.set(vec![auto.clone()]);
    let mut reader = Reader::new(&caption_feeds, Selection::everything(), 0);
    assert_eq!(next(&mut reader).await["languages"][0]["tag"], "und");
    auto.publish(in_language("fr", cue(1, Stage::Committed, "bonjour")));
    assert_eq!(next(&mut reader).await["languages"][0]["name"], "français");
    assert_eq!(next(&mut reader).await["text"], "bonjour");
    for wrong in ["", "{}", "{\"type\":\"select\",\"languages\":[\"no such\"]}", "[1]"] {
        assert!(reader.command(wrong).is_err(), "{wrong}");
    }
    reader.command("{\"type\":\"select\",\"languages\":[\"de\"]}").expect("a command");
    auto.publish(in_language("fr", cue(2, Stage::Committed, "adieu")));
    auto.publish(in_language("de", cue(3, Stage::Committed, "hallo")));
    assert_eq!(next(&mut reader).await["languages"][0]["tag"], "de");
    assert_eq!(next(&mut reader).await["text"], "hallo");
}
