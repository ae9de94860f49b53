//! Arbitrary bytes from the network and from disk: refused or decoded, in bounded memory.
//!
//! A second each by default; `make fuzz-aic` sets `AURALINK_FUZZ_SECONDS` to 600 in all.

use std::time::{Duration, Instant};

use auralink::aic::container::Reader;
use auralink::aic::engine::Codec;
use auralink::aic::packet::{Codes, Packet};
use auralink::aic::payload::Payload;
use auralink::aic::weights;
use gst_check::Harness;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::alone;

/// What all of this may add to the memory of the process.
const GROWTH_MAX: u64 = 64 << 20;

/// Runs at least one round, and rounds until this test's share of the time is over.
fn fuzz<S: Strategy>(what: &str, strategy: &S, mut body: impl FnMut(S::Value)) {
    let seconds = std::env::var("AURALINK_FUZZ_SECONDS").ok().and_then(|s| s.parse::<f64>().ok());
    let (start, limit) =
        (Instant::now(), Duration::from_secs_f64(seconds.map_or(1.0, |s| s / 4.0)));
    let (mut cases, mut before) = (0_u64, None);
    while cases == 0 || start.elapsed() < limit {
        let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
        let body = std::cell::RefCell::new(&mut body);
        let run = TestRunner::new(config).run(strategy, |value| {
            (body.borrow_mut())(value);
            Ok(())
        });
        run.unwrap_or_else(|error| panic!("{what}: {error}"));
        cases += 64;
        // The first round fills caches and pools.
        before.get_or_insert_with(resident);
    }
    let grown = resident().saturating_sub(before.unwrap_or_default());
    eprintln!("{what}: {cases} cases in {:.1?}, {} KiB more memory", start.elapsed(), grown >> 10);
    assert!(grown < GROWTH_MAX, "{grown} bytes more");
}

/// Bytes of memory that this process holds.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|p| p.parse::<u64>().ok());
    pages.unwrap_or_default() * 4096
}

/// Any bytes, and valid payloads with a byte changed.
fn payloads() -> impl Strategy<Value = Vec<u8>> {
    let frames = vec(vec(0_u16..1024, 3), 1..=4);
    let valid = (frames, any::<bool>()).prop_map(|(frames, comfort)| {
        let frames = frames.iter().map(|c| Codes::new(c)).collect();
        Packet { frames, comfort, ..Packet::default() }.write().expect("valid")
    });
    let opus = vec(any::<u8>(), 1..400).prop_map(|o| Payload::Opus(o).write().expect("valid"));
    let base = prop_oneof![vec(any::<u8>(), 0..200), valid, opus, vec(any::<u8>(), 1200..1400)];
    (base, any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut bytes, at, with)| {
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] ^= with & (with >> 1);
        }
        bytes
    })
}

#[test]
fn packets() {
    fuzz("payload", &payloads(), |bytes| {
        if let Ok(payload) = Payload::read(&bytes) {
            assert_eq!(payload.write().expect("was read"), bytes);
        }
    });
}

#[test]
fn files() {
    let header = b"AICA\x01\0\0\0\x01\x02\x03\x04\0\0\0\0\0\0\0\0\0\0\x02\xbc";
    fuzz("file", &(any::<bool>(), vec(any::<u8>(), 0..600)), |(honest, bytes)| {
        let bytes = if honest { [&header[..], &bytes].concat() } else { bytes };
        if let Ok(reader) = Reader::new(&*bytes) {
            assert!(reader.count() <= bytes.len());
        }
    });
}

#[test]
fn depayloader() {
    let _alone = alone();
    let mut harness = Harness::new("rtpaicdepay");
    harness.set_src_caps_str(
        "application/x-rtp,media=audio,clock-rate=16000,encoding-name=AIC-A,payload=102,model=(string)00000000",
    );
    let mut seq = 0_u16;
    let packets = (any::<bool>(), vec(any::<u8>(), 0..60), payloads());
    fuzz("depayloader", &packets, |(honest, head, payload)| {
        let mut bytes = head;
        if honest {
            seq = seq.wrapping_add(1);
            bytes = [0x80, 102].to_vec();
            bytes.extend(seq.to_be_bytes());
            bytes.extend((u32::from(seq) * 320).to_be_bytes());
            bytes.extend(7_u32.to_be_bytes());
        }
        bytes.extend(payload);
        let _ = harness.push(gst::Buffer::from_mut_slice(bytes));
        while let Some(out) = harness.try_pull() {
            assert!(out.size() <= auralink::aic::payload::PAYLOAD_MAX);
        }
    });
}

#[test]
fn decoder() {
    let _alone = alone();
    let mut harness = Harness::new("auralinkaicdec");
    // With an engine its own model, so that what is valid goes through the network.
    let codec = Codec::shared();
    if let Err(error) = codec.wait(Duration::from_secs(60)) {
        eprintln!("without the network: {error}");
    }
    let model = weights::text(codec.model().unwrap_or(weights::NO_MODEL));
    harness.set_src_caps_str(&format!("audio/x-aic,rate=16000,channels=1,model=(string){model}"));
    let packets = (payloads(), prop_oneof![Just(20_u64), 0..5000_u64, any::<u64>()]);
    let mut at = 0_u64;
    fuzz("decoder", &packets, |(bytes, later)| {
        at = at.wrapping_add(later.wrapping_mul(1_000_000)) % (1 << 62);
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        buffer.get_mut().expect("sole owner").set_pts(gst::ClockTime::from_nseconds(at));
        harness.push(buffer).expect("goes on");
        while let Some(out) = harness.try_pull() {
            let map = out.map_readable().expect("readable");
            // Two seconds of what is missing, and a packet of at most 140 ms, in stereo.
            assert!(map.len() <= 8 * 48 * 2_140, "{} bytes", map.len());
            let finite = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]).is_finite();
            assert!(map.chunks_exact(4).all(finite));
        }
    });
}
