//! Arbitrary bytes for the range decoder, the packets, the files and the elements of AIC-A: refused or
//! decoded, in bounded time and memory. `make fuzz-aic` takes ten minutes.

use std::io::Cursor;
use std::time::Duration;

use auralink::aic::container::{BLOCK_BYTES, HEADER_BYTES, Header, Part, Reader, seal};
use auralink::aic::engine::Codec;
use auralink::aic::packet::{Coded, FRAMES_MAX, REDUNDANT_FRAMES_MAX};
use auralink::aic::weights;
use auralink_codec::Listener;
use gst_check::Harness;

use crate::alone;
use crate::harness::run;

/// Limit on the growth of the process's memory over all packets of a run, in bytes.
const GROWTH_MAX: u64 = 64 << 20;

/// Runs a target and checks that its memory is released.
fn bounded(target: &str, parse: impl FnMut(&[u8])) {
    let before = resident();
    run(target, parse);
    let grown = resident().saturating_sub(before);
    assert!(grown < GROWTH_MAX, "{target}: {grown} bytes more memory");
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|p| p.parse::<u64>().ok());
    pages.unwrap_or_default() * 4096
}

/// What the range decoder accepts is what the encoder writes, and is at most 200 codes of work.
#[test]
fn fuzz_aic_packet() {
    let _alone = alone();
    let codec = Codec::shared();
    codec.wait(Duration::from_secs(60)).expect("weights of the source tree");
    let model = codec.loaded().expect("loaded");
    let mut listener = Listener::new(&model);
    bounded("aic-payload", |bytes| {
        let Ok(packet) = Coded::read(bytes).and_then(|coded| coded.open(&model)) else { return };
        assert!(
            packet.frames.len() <= FRAMES_MAX && packet.redundant.len() <= REDUNDANT_FRAMES_MAX
        );
        assert_eq!(packet.write(&model).as_deref(), Ok(bytes));
        for codes in packet.redundant.iter().chain(&packet.frames) {
            assert!(listener.frame(&model, Some(codes)).iter().all(|x| x.is_finite()));
        }
    });
}

/// Files with damage anywhere, read to their end and from any moment; and the same with checksums that
/// hold.
#[test]
fn fuzz_aic_container() {
    let _alone = alone();
    bounded("aic-file", |bytes| {
        read_file(bytes);
        let mut sealed = bytes.to_vec();
        if let Some((header, blocks)) = sealed.split_first_chunk_mut::<HEADER_BYTES>() {
            *header = Header { model: [0; 4], start_ms: 0 }.bytes();
            blocks.as_chunks_mut::<BLOCK_BYTES>().0.iter_mut().for_each(seal);
        }
        read_file(&sealed);
    });
}

fn read_file(bytes: &[u8]) {
    let Ok(mut reader) = Reader::new(Cursor::new(bytes)) else { return };
    let (end, _) = reader.end().expect("memory can be read");
    for at in [0, end / 2, u64::from_le_bytes(first(bytes))] {
        reader.seek(at).expect("memory can be read");
        let mut last = 0;
        for part in reader.by_ref() {
            if let Part::Block(block) = part.expect("memory can be read") {
                assert!(block.first >= last, "blocks overlap");
                last = block.end();
            }
        }
    }
}

/// The first eight bytes of an input, to seek by.
fn first(bytes: &[u8]) -> [u8; 8] {
    std::array::from_fn(|i| bytes.get(24 + i).copied().unwrap_or(0))
}

/// Packets as they are, and behind a valid header.
#[test]
fn fuzz_aic_depayloader() {
    let _alone = alone();
    let mut harness = Harness::new("rtpaicdepay");
    harness.set_src_caps_str(
        "application/x-rtp,media=audio,clock-rate=16000,encoding-name=AIC-A,payload=102,model=(string)00000000",
    );
    let mut seq = 0_u16;
    bounded("aic-payload", |payload| {
        seq = seq.wrapping_add(1);
        let mut honest = [0x80, 102].to_vec();
        honest.extend(seq.to_be_bytes());
        honest.extend((u32::from(seq) * 320).to_be_bytes());
        honest.extend(7_u32.to_be_bytes());
        honest.extend(payload);
        for bytes in [honest, payload.to_vec()] {
            let _ = harness.push(gst::Buffer::from_mut_slice(bytes));
            while let Some(out) = harness.try_pull() {
                assert!(out.size() <= auralink::aic::payload::PAYLOAD_BYTES_MAX);
            }
        }
    });
}

/// Payloads at times that depend on the packets.
#[test]
fn fuzz_aic_decoder() {
    let _alone = alone();
    let mut harness = Harness::new("auralinkaicdec");
    let codec = Codec::shared();
    codec.wait(Duration::from_secs(60)).expect("weights of the source tree");
    let model = weights::text(codec.model().unwrap_or(weights::NO_MODEL));
    harness.set_src_caps_str(&format!("audio/x-aic,rate=16000,channels=1,model=(string){model}"));
    let mut at = 0_u64;
    bounded("aic-payload", |bytes| {
        // Mostly the next frame; sometimes seconds or hours later.
        let later_ms = match bytes {
            [.., a, 0xf0..=0xff] => u64::from(*a) * 20,
            [.., a, b, 0xef] => u64::from(*a) << (*b % 56),
            _ => 20,
        };
        at = at.wrapping_add(later_ms.wrapping_mul(1_000_000)) % (1 << 62);
        let mut buffer = gst::Buffer::from_mut_slice(bytes.to_vec());
        buffer.get_mut().expect("sole owner").set_pts(gst::ClockTime::from_nseconds(at));
        harness.push(buffer).expect("goes on");
        while let Some(out) = harness.try_pull() {
            let map = out.map_readable().expect("readable");
            // At most two seconds of missing frames and a packet of 140 ms, in stereo.
            assert!(map.len() <= 8 * 48 * 2_140, "{} bytes", map.len());
            let finite = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]).is_finite();
            assert!(map.chunks_exact(4).all(finite));
        }
    });
}
