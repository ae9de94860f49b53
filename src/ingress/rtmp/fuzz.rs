//! Hostile bytes from publishers.

use bytes::{Bytes, BytesMut};

use super::chunk::{Decoder, Limits};
use super::session::Session;
use super::{amf, handshake, key, record, tag};
use crate::fuzz;
use crate::media::{Codec, Kind};

#[test]
fn fuzz_amf() {
    fuzz::run("amf", |bytes| {
        let _ = amf::decode(bytes);
    });
}

/// A connection after its handshake: chunks to messages to events. Its memory is bounded, however
/// the reads are split.
#[test]
fn fuzz_rtmp_connection() {
    fuzz::run("rtmp-connection", |bytes| {
        let step = bytes.first().map_or(1, |first| usize::from(*first) * 8 + 1);
        let (mut decoder, mut session) = (Decoder::new(Limits::STRANGER), Session::default());
        let (mut input, mut events) = (BytesMut::new(), Vec::new());
        for piece in bytes.chunks(step) {
            input.extend_from_slice(piece);
            session.received(piece.len());
            loop {
                let message = match decoder.decode(&mut input) {
                    Ok(Some(message)) => message,
                    Ok(None) => break,
                    Err(_) => return,
                };
                assert!(message.payload.len() <= Limits::STRANGER.message_bytes);
                if session.handle(message, &mut events).is_err() {
                    return;
                }
            }
            assert!(input.len() <= step + 32, "{} bytes lie unread", input.len());
            session.take_output();
        }
    });
}

/// The body of an audio or video message, and its possible configuration record.
#[test]
fn fuzz_flv_tag() {
    gst::init().expect("GStreamer starts");
    fuzz::run("flv-tag", |bytes| {
        let payload = Bytes::copy_from_slice(bytes);
        for kind in Kind::ALL {
            match tag::parse(kind, payload.clone()) {
                Ok(tag::Packet::Config { codec, record }) => {
                    let _ = record::caps(codec, &record);
                    let _ = record::missing_header(codec, &record, bytes);
                }
                Ok(tag::Packet::Frame { codec, data, .. }) => {
                    assert!(!data.is_empty() && codec.kind() == kind);
                    let _ = record::of_key_frame(codec, &data);
                }
                Ok(tag::Packet::Nothing) | Err(_) => {}
            }
        }
        for codec in Codec::ALL {
            let _ = record::caps(codec, &payload);
        }
        let parts = tag::split_aggregate(7, payload);
        assert!(parts.iter().map(|(_, _, data)| data.len()).sum::<usize>() <= bytes.len());
    });
}

#[test]
fn fuzz_rtmp_key() {
    fuzz::run("rtmp-key", |bytes| {
        let _ = key::parse(&String::from_utf8_lossy(bytes));
    });
}

#[test]
fn fuzz_rtmp_handshake() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    fuzz::run("rtmp-handshake", |bytes| {
        let mut stream = tokio::io::join(bytes, tokio::io::sink());
        let _ = runtime.block_on(handshake::accept(&mut stream));
    });
}
