//! The least that a core can do: encrypt packets (AES-GCM, RFC 7714) and send them a frame at a time.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};

use crate::crowd;
use crate::stream::{FRAME_PACKETS, PAYLOAD_BYTES, SOUND_BYTES};
use crate::thread;

/// Bytes of an RTP header and of the tag behind the payload.
const HEADER_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// Destinations, so that caches are used as with a crowd.
const DESTINATIONS: usize = 100;

/// Frames that are sent.
const FRAMES: usize = 20_000;

/// Time of one packet, in the mean of video and sound.
pub(crate) fn packet_cost() -> Duration {
    let bind = || UdpSocket::bind((crowd::own_address(), 0)).expect("a port");
    let receivers: Vec<UdpSocket> = (0..DESTINATIONS).map(|_| bind()).collect();
    let addresses: Vec<_> = receivers.iter().map(|r| r.local_addr().expect("bound")).collect();
    let ends = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let ends = Arc::clone(&ends);
        move || read(&receivers, &ends)
    });
    let socket = bind();
    let state = UdpSocketState::new(UdpSockRef::from(&socket)).expect("a socket");
    let new =
        |n| LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[n as u8; 32]).expect("32 bytes"));
    let keys: Vec<LessSafeKey> = (0..DESTINATIONS).map(new).collect();
    let payload = vec![7; PAYLOAD_BYTES];
    let (mut burst, mut nonce, mut sent) = (Vec::new(), 0, 0);
    let mut send = |to: usize, packets: usize, bytes: usize| {
        burst.clear();
        for _ in 0..packets {
            nonce += 1;
            seal(&mut burst, &keys[to], nonce, &payload[..bytes]);
        }
        let transmit = Transmit {
            destination: addresses[to],
            ecn: None,
            contents: &burst,
            segment_size: (packets > 1).then_some(HEADER_BYTES + bytes + TAG_BYTES),
            src_ip: None,
        };
        state.try_send(UdpSockRef::from(&socket), &transmit).expect("there is room");
        sent += packets;
    };
    let thread = thread::own();
    let before = thread.cpu_time();
    for number in 0..FRAMES {
        let to = number % DESTINATIONS;
        send(to, FRAME_PACKETS, PAYLOAD_BYTES);
        // Five packets of sound for three frames.
        (5 * number / 3..5 * (number + 1) / 3).for_each(|_| send(to, 1, SOUND_BYTES));
    }
    let cost = (thread.cpu_time() - before) / u32::try_from(sent).expect("not many");
    ends.store(true, Ordering::Relaxed);
    reader.join().expect("it ends");
    cost
}

/// Reads what comes: a datagram that finds its queue full costs its sender less.
fn read(receivers: &[UdpSocket], ends: &AtomicBool) {
    let mut buffer = vec![0; 64 << 10];
    for receiver in receivers {
        receiver.set_nonblocking(true).expect("it can");
        let state = UdpSocketState::new(UdpSockRef::from(receiver)).expect("a socket");
        let _ = state.set_recv_buffer_size(UdpSockRef::from(receiver), crowd::RECEIVE_BUFFER_BYTES);
    }
    while !ends.load(Ordering::Relaxed) {
        for receiver in receivers {
            while receiver.recv(&mut buffer).is_ok() {}
        }
    }
}

/// Adds an encrypted packet to a burst.
fn seal(burst: &mut Vec<u8>, key: &LessSafeKey, number: u64, payload: &[u8]) {
    let start = burst.len();
    burst.extend([0x80; HEADER_BYTES]);
    burst.extend_from_slice(payload);
    let mut nonce = [0; NONCE_LEN];
    nonce[..8].copy_from_slice(&number.to_be_bytes());
    let (header, body) = burst[start..].split_at_mut(HEADER_BYTES);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&*header), body);
    burst.extend_from_slice(tag.expect("short enough").as_ref());
}
