//! Packets of real speech, some of them lost.

use opusic_c::{Decoder, SampleRate};

use super::*;
use crate::aic::resample::Up;

const VOICE: OpusSettings = OpusSettings { bitrate: 9_000, frames: 3, loss: 0, voice: true };

/// Six seconds of a voice at 48 kHz in frames; `None`, noted, without the test data.
fn speech() -> Option<Vec<Vec<f32>>> {
    let bytes = std::fs::read(crate::needs::test_data("speech/jfk.wav")?).expect("readable");
    let at = bytes.windows(4).position(|w| w == b"data").expect("a WAV file") + 8;
    let sample = |b: &[u8; 2]| f32::from(i16::from_le_bytes(*b)) / 32_768.0;
    let narrow: Vec<f32> = bytes[at..].as_chunks().0.iter().map(sample).take(96_000).collect();
    let (mut up, mut wide) = (Up::default(), Vec::new());
    up.push(&narrow, &mut wide);
    Some(wide.chunks_exact(WIDE_FRAME_SAMPLES).map(<[f32]>::to_vec).collect())
}

fn encode(speech: &[Vec<f32>], settings: OpusSettings) -> Vec<OpusPacket> {
    let mut encoder = OpusEncoder::new(1).expect("starts");
    let mut packet = |frame: &Vec<f32>| encoder.frame(frame, true, &settings).expect("encodes");
    speech.iter().filter_map(&mut packet).collect()
}

/// The audio of these packets, without those that `lost` names; what follows a loss repairs it as far
/// as `repair` allows.
fn decode(packets: &[OpusPacket], lost: impl Fn(usize) -> bool, repair: bool) -> Vec<f32> {
    let mut decoder = OpusDecoder::new(1).expect("starts");
    let (mut audio, mut missing) = (Vec::new(), 0);
    for (at, packet) in packets.iter().enumerate() {
        if lost(at) {
            missing += packet.frames;
            continue;
        }
        let again = if repair { missing.min(redundancy(&packet.bytes)) } else { 0 };
        (0..missing - again).for_each(|_| audio.extend(decoder.lost().expect("conceals")));
        if again > 0 {
            audio.extend(decoder.before(&packet.bytes, again).expect("repairs"));
        }
        missing = 0;
        audio.extend(decoder.packet(&packet.bytes).expect("decodes"));
    }
    audio
}

/// How far loudness strays from that of `wanted`, in dB: mean over the 10 ms that have speech.
fn stray(audio: &[f32], wanted: &[f32]) -> f32 {
    let level = |x: &[f32]| 10.0 * (x.iter().map(|x| x * x).sum::<f32>() / 480.0 + 1e-7).log10();
    let pairs = audio.chunks(480).zip(wanted.chunks(480)).map(|(a, b)| (level(a), level(b)));
    let strays: Vec<f32> = pairs.filter(|(_, b)| *b > -45.0).map(|(a, b)| (a - b).abs()).collect();
    strays.iter().sum::<f32>() / strays.len() as f32
}

#[test]
fn a_voice_of_a_low_rate_is_wideband_in_one_long_frame() {
    let Some(speech) = speech() else { return };
    for frames in 1..=3 {
        let packets = encode(&speech, OpusSettings { frames, ..VOICE });
        assert_eq!(packets.len(), speech.len() / frames);
        for packet in &packets[1..] {
            let toc = packet.bytes[0];
            // Configurations 8 to 11 are SILK in wideband of 10, 20, 40 and 60 ms (RFC 6716 section 3.1).
            assert_eq!((usize::from(toc >> 3), toc & 3), (8 + frames, 0), "{frames}: {toc:#x}");
        }
        let bytes: usize = packets.iter().map(|p| p.bytes.len()).sum();
        let bps = bytes as f64 * 8.0 * 50.0 / speech.len() as f64;
        assert!((6_000.0..11_000.0).contains(&bps), "{frames}: {bps} bit/s");
    }
}

#[test]
fn nolace_changes_what_a_decoder_without_it_makes() {
    let Some(speech) = speech() else { return };
    let packets = encode(&speech, VOICE);
    let mut plain = Decoder::new(Channels::Mono, SampleRate::Hz48000).expect("starts");
    let mut without = Vec::new();
    for packet in &packets {
        let mut audio = vec![0.0; 3 * WIDE_FRAME_SAMPLES];
        plain.decode_float_to_slice(&packet.bytes, &mut audio, false).expect("decodes");
        without.extend(audio);
    }
    let with = decode(&packets, |_| false, false);
    let power = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>();
    let less: Vec<f32> = with.iter().zip(&without).map(|(a, b)| a - b).collect();
    let share = power(&less) / power(&without);
    assert!((0.001..1.0).contains(&share), "{share}");
}

#[test]
fn a_packet_restores_the_lost_one_before_it() {
    let Some(speech) = speech() else { return };
    for frames in [1, 3] {
        let packets = encode(&speech, OpusSettings { bitrate: 20_000, frames, loss: 20, ..VOICE });
        let whole = decode(&packets, |_| false, false);
        let lost = |at: usize| at % 4 == 2;
        let (bridged, restored) = (decode(&packets, lost, false), decode(&packets, lost, true));
        assert_eq!((bridged.len(), restored.len()), (whole.len(), whole.len()));
        let (bridged, restored) = (stray(&bridged, &whole), stray(&restored, &whole));
        assert!(restored < 0.6 * bridged, "{frames}: {restored} dB, {bridged} dB without");
    }
}

#[test]
fn frames_that_wait_leave_when_another_codec_goes_on() {
    let mut encoder = OpusEncoder::new(2).expect("starts");
    let frame = [0.1; 2 * WIDE_FRAME_SAMPLES];
    let mut next = |wanted| encoder.frame(&frame, wanted, &VOICE).expect("encodes");
    let sent: Vec<_> =
        [true, true, false, true, true, true].map(&mut next).map(|p| p.map(|p| p.frames)).into();
    assert_eq!(sent, [None, None, Some(2), None, None, Some(3)]);
    assert_eq!(encoder.finish(), Ok(None));
}

#[test]
fn damaged_packets_are_errors_and_the_stream_goes_on() {
    let mut decoder = OpusDecoder::new(2).expect("starts");
    for bytes in [&[0x7b, 0x7f, 0xff][..], &[0x7b, 0x40], &[0x4b], &[0xff; 40]] {
        let _ = redundancy(bytes);
        assert!(decoder.packet(bytes).is_err(), "{bytes:?}");
        assert_eq!(decoder.before(bytes, 2).map_or(0, |a| a.len()) % 3_840, 0);
    }
    assert_eq!(decoder.lost().expect("conceals").len(), 2 * WIDE_FRAME_SAMPLES);
}
