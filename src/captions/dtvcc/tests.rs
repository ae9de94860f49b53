//! Our packets as read by an independent CEA-708 parser.

use cea708_types::{CCDataParser, DTVCCPacket};

use super::*;
use crate::captions::cc_data::{packet, write};
use crate::captions::testing::{cue, spoken};

/// Packets of a period, one per frame at 25 frames a second.
fn packets(dtvcc: &mut Dtvcc, from: f64, to: f64) -> Vec<DTVCCPacket> {
    let mut parser = CCDataParser::new();
    let mut read = Vec::new();
    let count = ((to - from) * 25.0) as u32;
    for n in 0..count {
        let blocks = dtvcc.blocks(Duration::from_secs_f64(from + f64::from(n) / 25.0), 35);
        assert!(blocks.len() <= 35, "{}", blocks.len());
        if !blocks.is_empty() {
            let bytes = write(&packet(n as u8, &blocks));
            parser.push(&bytes[..bytes.len() - 1]).expect("parses");
            read.extend(std::iter::from_fn(|| parser.pop_packet()));
        }
    }
    read
}

/// Text of a service: `|` for a row, `#` for deleted windows, `=` for a displayed one.
fn read(packets: &[DTVCCPacket], service: u8) -> String {
    let blocks = packets.iter().flat_map(|p| p.services()).filter(|s| s.number() == service);
    let codes = blocks.flat_map(|s| s.codes());
    let text = codes.filter_map(|code| match code {
        Code::CR => Some('|'),
        Code::DeleteWindows(_) => Some('#'),
        Code::DisplayWindows(_) => Some('='),
        Code::P16(point) => char::from_u32(u32::from(*point)),
        code => code.char(),
    });
    text.filter(|c| !c.is_control()).collect()
}

fn dtvcc(services: &[u8], mode: Mode) -> Dtvcc {
    Dtvcc::new(services.iter().map(|n| Service::Digital(*n)), mode)
}

#[test]
fn words_of_every_script_roll_up_and_vanish() {
    let mut captions = dtvcc(&[1, 2, 6], Mode::RollUp(2));
    let english = "And so my fellow Americans, ask not what your country can do for you";
    captions.push(Service::Digital(1), &cue(1, 0.0, 1.0, english));
    captions.push(Service::Digital(2), &cue(1, 0.0, 1.0, "¿Qué? — œuvre 5 €"));
    captions.push(Service::Digital(6), &cue(1, 0.0, 1.0, "今日は мир שלום 😀"));
    let sent = packets(&mut captions, 0.0, 3.0);
    let expect = "And so my fellow Americans, ask|not what your country can do for|you";
    assert_eq!(read(&sent, 1), expect);
    assert_eq!(read(&sent, 2), "¿Qué? — œuvre 5 €");
    assert_eq!(read(&sent, 6), "今日は мир שלום");
    let silent = packets(&mut captions, 3.0, 6.0);
    assert_eq!((read(&silent, 1), read(&silent, 2), read(&silent, 6)), {
        ("#".into(), "#".into(), "#".into())
    });
    let unspelled: Vec<u64> = captions.stats().map(|(_, s)| s.unspelled).collect();
    assert_eq!(unspelled, [0, 0, 1]);
}

#[test]
fn a_text_appears_when_it_is_said() {
    let mut captions = dtvcc(&[1], Mode::PopOn);
    captions.push(Service::Digital(1), &spoken(1, "soon said", &[("soon said", 3.0, 5.0)]));
    assert_eq!(read(&packets(&mut captions, 0.0, 2.9), 1), "soon said");
    assert_eq!(read(&packets(&mut captions, 2.92, 4.9), 1), "#=");
    assert_eq!(read(&packets(&mut captions, 4.92, 6.0), 1), "#");
}

#[test]
fn six_services_share_the_packets() {
    let mut captions = dtvcc(&[1, 2, 3, 4, 5, 6], Mode::RollUp(3));
    let text = "one two three four five six seven eight nine ten";
    for service in 1..=6 {
        captions.push(Service::Digital(service), &cue(1, 0.0, 1.0, text));
    }
    let sent = packets(&mut captions, 0.0, 2.0);
    for service in 1..=6 {
        assert_eq!(read(&sent, service).replace('|', " "), text, "service {service}");
    }
}
