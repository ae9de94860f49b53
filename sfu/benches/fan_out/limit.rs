//! The least that a core can do: encrypt packets (AES-GCM, RFC 7714) and send them a frame at a time.

use std::net::UdpSocket;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};

use crate::stream::{FRAME_PACKETS, PAYLOAD_BYTES};
use crate::thread;

/// Bytes of an RTP header and of the tag behind the payload.
const HEADER_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// Destinations, so that caches are used as with a crowd.
const DESTINATIONS: usize = 100;

/// Frames that are sent.
const FRAMES: u32 = 20_000;

/// Time of one packet.
pub(crate) fn packet_cost() -> Duration {
    let receivers: Vec<UdpSocket> =
        (0..DESTINATIONS).map(|_| UdpSocket::bind("127.0.0.1:0").expect("a port")).collect();
    let addresses: Vec<_> = receivers.iter().map(|r| r.local_addr().expect("bound")).collect();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let state = UdpSocketState::new(UdpSockRef::from(&socket)).expect("a socket");
    let keys: Vec<LessSafeKey> = (0..DESTINATIONS)
        .map(|n| LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[n as u8; 32]).expect("32 bytes")))
        .collect();
    let payload = vec![7; PAYLOAD_BYTES];
    let mut frame = Vec::new();
    let size = HEADER_BYTES + PAYLOAD_BYTES + TAG_BYTES;
    let thread = thread::own();
    let before = thread.cpu_time();
    for number in 0..FRAMES {
        let (to, key) = at(&addresses, &keys, number);
        frame.clear();
        for packet in 0..FRAME_PACKETS {
            let start = frame.len();
            frame.extend([0x80; HEADER_BYTES]);
            frame.extend_from_slice(&payload);
            let mut nonce = [0; NONCE_LEN];
            nonce[..4].copy_from_slice(&number.to_be_bytes());
            nonce[4] = packet as u8;
            let (header, body) = frame[start..].split_at_mut(HEADER_BYTES);
            let nonce = Nonce::assume_unique_for_key(nonce);
            let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&*header), body);
            frame.extend_from_slice(tag.expect("short enough").as_ref());
        }
        let transmit = Transmit {
            destination: to,
            ecn: None,
            contents: &frame,
            segment_size: Some(size),
            src_ip: None,
        };
        state.try_send(UdpSockRef::from(&socket), &transmit).expect("loopback");
    }
    (thread.cpu_time() - before) / FRAMES / FRAME_PACKETS as u32
}

fn at<'a, A: Copy, K>(addresses: &[A], keys: &'a [K], number: u32) -> (A, &'a K) {
    let index = number as usize % addresses.len();
    (addresses[index], &keys[index])
}
