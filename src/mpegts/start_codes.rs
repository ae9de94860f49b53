//! Repairs start codes that senders split.

use std::sync::Mutex;

use gst::prelude::*;

use crate::media::IgnorePoison;

/// Moves zero bytes at the end of a PES packet to the packet that they belong to.
///
/// Some senders (such as ffmpeg copying H.265) cut access units between the first and the second
/// byte of a four-byte start code. The parser then takes the lone zero for the beginning of the
/// next frame and gives that frame the time of this one. A zero before a start code carries no
/// data, so it is dropped. If no start code follows, it was payload and is put in front of the next
/// packet.
pub(super) fn join_start_codes(pad: &gst::Pad) {
    let held = Mutex::new(0_usize);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(buffer) = info.buffer_mut() else { return gst::PadProbeReturn::Ok };
        let mut held = held.lock().ignore_poison();
        let Ok(map) = buffer.map_readable() else { return gst::PadProbeReturn::Ok };
        let missing = if starts_with_code(&map) { 0 } else { *held };
        let zeros = map.iter().rev().take(4).take_while(|b| **b == 0).count();
        let size = map.len();
        drop(map);
        if zeros == size {
            return gst::PadProbeReturn::Ok;
        }
        *held = zeros;
        if zeros > 0 {
            buffer.make_mut().set_size(size - zeros);
        }
        if missing > 0 {
            let mut whole = gst::Buffer::from_mut_slice(vec![0_u8; missing]);
            let times = gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS;
            let _ = buffer.copy_into(whole.make_mut(), times, ..);
            whole.append(buffer.clone());
            *buffer = whole;
        }
        gst::PadProbeReturn::Ok
    });
}

fn starts_with_code(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0, 0, 1]) || bytes.starts_with(&[0, 0, 0, 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_go_where_they_belong() {
        gst::init().expect("GStreamer starts");
        let check = |sent: &[&[u8]], expect: &[&[u8]]| {
            let mut harness = gst_check::Harness::new("identity");
            harness.set_src_caps_str("video/x-h265");
            let identity = harness.element().expect("it has one");
            join_start_codes(&identity.static_pad("src").expect("it has one"));
            for bytes in sent {
                harness.push(gst::Buffer::from_slice(bytes.to_vec())).expect("it flows");
                let got = harness.pull().expect("one for one");
                let map = got.map_readable().expect("readable");
                let index = sent.iter().position(|s| s == bytes).expect("sent");
                assert_eq!(&map[..], expect[index], "buffer {index} of {sent:?}");
            }
        };
        check(&[&[0, 0, 1, 9, 7, 0], &[0, 0, 1, 9, 8]], &[&[0, 0, 1, 9, 7], &[0, 0, 1, 9, 8]]);
        check(&[&[0, 0, 1, 9, 7, 0, 0], &[3, 5]], &[&[0, 0, 1, 9, 7], &[0, 0, 3, 5]]);
        check(&[&[0, 0, 0, 1, 9], &[7, 7]], &[&[0, 0, 0, 1, 9], &[7, 7]]);
    }
}
