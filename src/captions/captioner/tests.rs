//! A whole captioner on minimal access units.

use cea608_types::{Cea608, Cea608State};
use cea708_types::CCDataParser;

use super::*;
use crate::captions::cc_data::{read, write};
use crate::captions::testing::{cue, language};

/// An access unit: a delimiter and a slice.
const UNIT: &[u8] = &[0, 0, 0, 1, 9, 0x10, 0, 0, 1, 0x41, 0x9a, 0, 0, 3, 1];

fn captioner(services: &str, existing: Existing) -> Captioner {
    let services = services.parse().expect("valid services");
    let settings = Settings { services, existing, ..Settings::default() };
    Captioner::new(settings, VideoCodec::H264)
}

/// Sends frames in decoding order, with two late ones between each pair of others, and returns the
/// access units in the order of presentation.
fn play(captioner: &mut Captioner, units: &[Vec<u8>], from: f64) -> Vec<Vec<u8>> {
    let step = 1001.0 / 30_000.0;
    let mut order: Vec<usize> = Vec::new();
    for group in (0..units.len()).collect::<Vec<_>>().chunks(3) {
        order.extend(group.last());
        order.extend(&group[..group.len() - 1]);
    }
    let mut out = vec![Vec::new(); units.len()];
    for (n, place) in order.into_iter().enumerate() {
        let at = |n: f64| Duration::from_secs_f64(from + n * step);
        let frame = Frame {
            pts: at(place as f64 + 2.0),
            dts: Some(at(n as f64)),
            duration: Some(Duration::from_secs_f64(step)),
        };
        out[place] = match captioner.frame(&units[place], frame) {
            Some(made) => [&made.head, &units[place][made.tail..]].concat(),
            None => units[place].clone(),
        };
    }
    out
}

fn captions(units: &[Vec<u8>]) -> Vec<Vec<Triplet>> {
    let of = |unit: &Vec<u8>| sei::inspect(unit, VideoCodec::H264).expect("a picture").captions;
    units.iter().map(of).collect()
}

/// The text of a line 21 channel, rows separated by a space.
fn line21(units: &[Vec<u8>], service: u8) -> String {
    let field = if service <= 2 { 0xfc } else { 0xfd };
    let (mut state, mut said) = (Cea608State::default(), String::new());
    for triplet in captions(units).iter().flatten().filter(|t| t.0[0] == field) {
        match state.decode([triplet.0[1], triplet.0[2]]).expect("parity is right") {
            Some(Cea608::Text(text)) if text.channel.id() == (service - 1) % 2 + 1 => {
                said.extend([text.char1, text.char2].into_iter().flatten());
            }
            Some(Cea608::CarriageReturn(_)) => said.push(' '),
            _ => {}
        }
    }
    said.trim().to_owned()
}

fn dtvcc(units: &[Vec<u8>], service: u8) -> String {
    let (mut parser, mut said, mut last) = (CCDataParser::new(), String::new(), None);
    for triplets in captions(units) {
        let bytes = write(&triplets);
        parser.push(&bytes[..bytes.len() - 1]).expect("parses");
        while let Some(packet) = parser.pop_packet() {
            let sequence = packet.sequence_no();
            assert!(last.is_none_or(|last| (last + 1) % 4 == sequence), "{last:?} {sequence}");
            last = Some(sequence);
            for block in packet.services().iter().filter(|s| s.number() == service) {
                let chars = block.codes().iter().filter_map(|code| match code {
                    cea708_types::tables::Code::CR => Some(' '),
                    code => code.char(),
                });
                said.extend(chars.filter(|c| !c.is_control()));
            }
        }
    }
    said
}

const ENGLISH: &str = "And so my fellow Americans, ask not what your country can do for you";
const SPANISH: &str = "no preguntes qué puede hacer tu país por ti";

#[test]
fn every_service_has_its_language_in_the_order_of_presentation() {
    let mut ours = captioner("cc1=en,cc3=es,s1=en,s2=es", Existing::Replace);
    let blank = vec![UNIT.to_vec(); 240];
    play(&mut ours, &blank[..30], 0.0);
    assert_eq!(ours.push(&cue(1, 1.0, 2.0, ENGLISH)), 2);
    let spanish = Cue { language: language("es-MX"), ..cue(1, 1.0, 2.0, SPANISH) };
    assert_eq!(ours.push(&spanish), 2);
    let out = play(&mut ours, &blank, 1.001);
    assert_eq!((line21(&out, 1), line21(&out, 3)), (ENGLISH.into(), SPANISH.into()));
    assert_eq!((dtvcc(&out, 1), dtvcc(&out, 2)), (ENGLISH.into(), SPANISH.into()));
    for triplets in captions(&out) {
        assert_eq!(triplets.len(), 20, "600 triplets in a second");
        assert_eq!(triplets.iter().filter(|t| t.0[0] & 0x06 == 4).count(), 2, "a pair a field");
    }
    let stats = ours.stats();
    assert_eq!((stats.frames, stats.rewritten, stats.schedule.lost), (270, 270, 0));
}

/// A source with captions in CC1 and in service 1.
fn source() -> Vec<Vec<u8>> {
    let mut source = captioner("cc1=en,s1=en", Existing::Replace);
    play(&mut source, &vec![UNIT.to_vec(); 30], 0.0);
    source.push(&cue(1, 1.0, 2.0, "theirs comes first"));
    play(&mut source, &vec![UNIT.to_vec(); 150], 1.001)
}

fn with(existing: Existing, services: &str) -> (Vec<Vec<u8>>, Stats) {
    let mut ours = captioner(services, existing);
    // The order of frames is learnt from the first ones.
    play(&mut ours, &vec![UNIT.to_vec(); 30], 0.0);
    ours.push(&Cue { language: language("es"), ..cue(1, 2.0, 3.0, SPANISH) });
    let out = play(&mut ours, &source(), 1.001);
    (out, ours.stats())
}

#[test]
fn captions_of_the_source_are_kept_and_ours_give_way() {
    let (out, stats) = with(Existing::Keep, "cc1=es,cc3=es,s1=es");
    assert_eq!((line21(&out, 1), line21(&out, 3)), ("theirs comes first".into(), SPANISH.into()));
    assert_eq!(dtvcc(&out, 1), "theirs comes first");
    let yielded: u64 = stats.line21.iter().map(|(_, s)| s.yielded).sum();
    assert_eq!(yielded, SPANISH.split(' ').count() as u64);
}

#[test]
fn captions_of_the_source_are_replaced() {
    let (out, _) = with(Existing::Replace, "cc1=es,s1=es");
    assert_eq!((line21(&out, 1), dtvcc(&out, 1)), (SPANISH.into(), SPANISH.into()));
    let (out, _) = with(Existing::Replace, "");
    assert!(out.iter().all(|unit| unit == UNIT), "and taken out where there are none of ours");
}

#[test]
fn captions_of_the_source_move() {
    let moves = Existing::Move("cc1=cc3,s1=s2".parse().expect("valid"));
    for services in ["cc1=es,s1=es", ""] {
        let (out, stats) = with(moves.clone(), services);
        let expect = if services.is_empty() { "" } else { SPANISH };
        assert_eq!(line21(&out, 3), "theirs comes first", "{services}");
        assert_eq!(dtvcc(&out, 2), "theirs comes first", "{services}");
        assert_eq!((line21(&out, 1), dtvcc(&out, 1)), (expect.into(), expect.into()));
        assert_eq!(stats.unmoved, 0);
    }
}

#[test]
fn a_source_without_captions_is_untouched_where_there_is_nothing_to_do() {
    let mut idle = captioner("", Existing::Keep);
    let frame = Frame { pts: Duration::ZERO, dts: None, duration: None };
    assert_eq!(idle.frame(UNIT, frame), None);
    let mut ours = captioner("cc1=en", Existing::Keep);
    assert_eq!(ours.frame(&[1, 2, 3], frame), None);
    assert_eq!(ours.stats().unread, 1);
}

#[test]
fn frame_rates_have_their_counts() {
    for (rate, triplets, pairs) in [(25.0, 24, 60), (50.0, 12, 60), (60.0, 10, 60), (15.0, 31, 60)]
    {
        let mut ours = captioner("cc1=en", Existing::Keep);
        let mut sent = 0;
        for n in 0..rate as u32 {
            let span = Duration::from_secs_f64(1.0 / rate);
            let frame = Frame { pts: span * n, dts: None, duration: Some(span) };
            let made = ours.frame(UNIT, frame).expect("captions");
            let whole = [&made.head, &UNIT[made.tail..]].concat();
            let found = &captions(&[whole])[0];
            assert_eq!(found.len(), triplets, "{rate}");
            sent += found.iter().filter(|t| t.0[0] & 0x06 == 4).count();
            assert_eq!(read(&write(found)), *found);
        }
        assert!(sent.abs_diff(pairs) <= 1, "{rate}: {sent} pairs in a second");
    }
}

#[test]
#[ignore = "prints what a frame costs; meaningful with --release only"]
fn what_a_frame_costs() {
    let mut unit = UNIT.to_vec();
    unit.resize(50_000, 0x55);
    for services in ["cc1=en", "cc1=en,cc3=es,s1=en,s2=es"] {
        let mut ours = captioner(services, Existing::Keep);
        let started = std::time::Instant::now();
        let count = 200_000;
        for n in 0..count {
            let at = Duration::from_secs_f64(f64::from(n) / 30.0);
            if n % 60 == 0 {
                ours.push(&cue(1, at.as_secs_f64(), at.as_secs_f64() + 2.0, ENGLISH));
                let spanish = Cue { language: language("es"), ..cue(1, 0.0, 1.0, SPANISH) };
                ours.push(&spanish);
            }
            let frame = Frame { pts: at, dts: None, duration: None };
            assert!(ours.frame(&unit, frame).is_some());
        }
        eprintln!(
            "{services}: {} ns a frame",
            started.elapsed().as_nanos() / u128::from(count as u32)
        );
    }
}
