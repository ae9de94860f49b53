use proptest::prelude::*;
use rtmp_rs::protocol::chunk::{ChunkEncoder, RtmpChunk};

use super::*;

fn message(timestamp: u32, kind: u8, payload: Vec<u8>) -> Message {
    Message { kind, stream: 1, timestamp, payload: payload.into() }
}

/// Decodes bytes that arrive in pieces of this size.
fn decode_all(bytes: &[u8], piece: usize) -> Result<Vec<Message>, Error> {
    let mut decoder = Decoder::new(Limits::PUBLISHER);
    let (mut input, mut messages) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        input.extend_from_slice(piece);
        while let Some(message) = decoder.decode(&mut input)? {
            messages.push(message);
        }
    }
    Ok(messages)
}

#[test]
fn interleaved_messages_of_all_header_formats_come_out_whole() {
    let mut bytes = Vec::new();
    // Format 0 on chunk stream 4: 200 bytes of video, of which 128 arrive now.
    bytes.extend([0x04, 0, 0, 100, 0, 0, 200, VIDEO_MESSAGE_TYPE, 1, 0, 0, 0]);
    bytes.extend([7; 128]);
    // Format 0 on chunk stream 6, complete.
    bytes.extend([0x06, 0, 0, 101, 0, 0, 3, AUDIO_MESSAGE_TYPE, 1, 0, 0, 0, 1, 2, 3]);
    bytes.push(0xc4);
    bytes.extend([7; 72]);
    // Format 1, 2 and 3 with deltas of 20 on chunk stream 6.
    bytes.extend([0x46, 0, 0, 20, 0, 0, 1, AUDIO_MESSAGE_TYPE, 9]);
    bytes.extend([0x86, 0, 0, 20, 8]);
    bytes.extend([0xc6, 7]);
    for piece in [1, 2, 5, 1000] {
        let messages = decode_all(&bytes, piece).expect("valid chunks");
        let seen: Vec<_> =
            messages.iter().map(|m| (m.timestamp, m.kind, m.payload.len())).collect();
        let expect = [
            (101, AUDIO_MESSAGE_TYPE, 3),
            (100, VIDEO_MESSAGE_TYPE, 200),
            (121, AUDIO_MESSAGE_TYPE, 1),
            (141, AUDIO_MESSAGE_TYPE, 1),
            (161, AUDIO_MESSAGE_TYPE, 1),
        ];
        assert_eq!(seen, expect, "in pieces of {piece}");
    }
}

#[test]
fn extended_timestamps_are_read_from_senders_that_repeat_them_and_that_do_not() {
    let head = [0x04, 0xff, 0xff, 0xff, 0, 0, 200, VIDEO_MESSAGE_TYPE, 1, 0, 0, 0, 0x01, 0, 0, 9];
    for repeat in [true, false] {
        let mut bytes = head.to_vec();
        bytes.extend([7; 128]);
        bytes.push(0xc4);
        if repeat {
            bytes.extend([0x01, 0, 0, 9]);
        }
        bytes.extend([7; 72]);
        let messages = decode_all(&bytes, 3).expect("valid chunks");
        assert_eq!(
            messages,
            [message(0x0100_0009, VIDEO_MESSAGE_TYPE, vec![7; 200])],
            "repeats: {repeat}"
        );
    }
}

#[test]
fn announced_sizes_cost_nothing_and_held_bytes_are_bounded() {
    let mut decoder = Decoder::new(Limits::STRANGER);
    let huge = [0x04, 0, 0, 0, 0xff, 0xff, 0xff, VIDEO_MESSAGE_TYPE, 1, 0, 0, 0];
    let result = decoder.decode(&mut BytesMut::from(&huge[..]));
    assert!(matches!(result, Err(Error::MessageTooLarge { .. })), "{result:?}");

    // Many partially sent messages on many chunk streams.
    let mut decoder = Decoder::new(Limits::STRANGER);
    let failed = (2..64).find_map(|id| {
        let mut chunk = vec![id, 0, 0, 0, 0, 0xff, 0, VIDEO_MESSAGE_TYPE, 1, 0, 0, 0];
        chunk.extend([0; 128]);
        decoder.decode(&mut BytesMut::from(&chunk[..])).err()
    });
    assert!(matches!(failed, Some(Error::TooMuchHeld(_))), "{failed:?}");
}

#[test]
fn wrong_order_is_refused_in_words() {
    let check = |bytes: &[u8], expect: Error| assert_eq!(decode_all(bytes, 9), Err(expect));
    check(&[0xc4, 1, 2], Error::NoPredecessor);
    check(
        &[0x02, 0, 0, 0, 0, 0, 4, SET_CHUNK_SIZE_MESSAGE_TYPE, 0, 0, 0, 0, 0, 0, 0, 0],
        Error::ChunkSize,
    );
    let mut twice = vec![0x04, 0, 0, 0, 0, 0, 200, VIDEO_MESSAGE_TYPE, 1, 0, 0, 0];
    twice.extend([7; 128]);
    twice.extend([0x04, 0, 0, 0, 0, 0, 9, VIDEO_MESSAGE_TYPE, 1, 0, 0, 0]);
    check(&twice, Error::Interrupted);
}

#[test]
fn an_abort_gives_back_what_was_held() {
    let mut bytes = vec![0x04, 0, 0, 0, 0, 0, 200, VIDEO_MESSAGE_TYPE, 1, 0, 0, 0];
    bytes.extend([7; 128]);
    bytes.extend([0x02, 0, 0, 0, 0, 0, 4, ABORT_MESSAGE_TYPE, 0, 0, 0, 0, 0, 0, 0, 4]);
    bytes.extend([0x04, 0, 0, 5, 0, 0, 1, VIDEO_MESSAGE_TYPE, 1, 0, 0, 0, 42]);
    assert_eq!(decode_all(&bytes, 50), Ok(vec![message(5, VIDEO_MESSAGE_TYPE, vec![42])]));
}

proptest! {
    #[test]
    fn reads_back_what_it_writes(
        sent in prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u8>(), 1..900)), 1..8),
        piece in 1usize..400,
    ) {
        let mut bytes = Vec::new();
        let video = |(t, p)| message(t, VIDEO_MESSAGE_TYPE, p);
        let sent: Vec<_> = sent.into_iter().map(video).collect();
        for message in &sent {
            encode(message, 4, FIRST_CHUNK_BYTES, &mut bytes);
        }
        prop_assert_eq!(decode_all(&bytes, piece), Ok(sent));
    }

    #[test]
    fn reads_what_an_independent_encoder_writes(
        sent in prop::collection::vec((0u32..1000, prop::collection::vec(any::<u8>(), 1..900)), 1..12),
        piece in 1usize..400,
    ) {
        let (mut encoder, mut bytes, mut timestamp) = (ChunkEncoder::new(), BytesMut::new(), 0);
        let mut expected = Vec::new();
        for (step, payload) in sent {
            timestamp += step;
            let chunk = RtmpChunk {
                csid: 4,
                timestamp,
                message_type: VIDEO_MESSAGE_TYPE,
                stream_id: 1,
                payload: payload.clone().into(),
            };
            encoder.encode(&chunk, &mut bytes);
            expected.push(message(timestamp, VIDEO_MESSAGE_TYPE, payload));
        }
        prop_assert_eq!(decode_all(&bytes, piece), Ok(expected));
    }

    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>, piece in 1usize..50) {
        let _ = decode_all(&bytes, piece);
    }

    #[test]
    fn any_bytes_after_a_valid_header_are_survived(bytes: Vec<u8>, id in 2u8..64) {
        let mut all = vec![id, 0xff, 0xff, 0xff, 0, 0, 40, VIDEO_MESSAGE_TYPE, 1, 0, 0, 0];
        all.extend(bytes);
        let _ = decode_all(&all, 7);
    }
}
