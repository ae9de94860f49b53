//! The decoder of AIC-A for the web page (`web/voice-worker.js`).
//!
//! The page writes bytes to where [`input`] says, then calls [`load`] once with weights and
//! [`decode`] with each block of an `.aic` file, or [`packet`] with each packet of a live voice. There
//! is one decoder in an instance.

#![expect(unsafe_code, reason = "the names of exports; no code here is unsafe")]

use std::cell::RefCell;

use auralink_codec::container::{BLOCK_BYTES, Block};
use auralink_codec::packet::Coded;
use auralink_codec::{DecoderState, Listener, Model};

/// Most lost frames that are filled before a packet: 2 s.
const LOST_FRAMES_MAX: u32 = 100;

struct Decoder {
    model: Model,
    /// Of a live voice.
    listener: Listener,
    state: DecoderState,
    /// Time behind the last block, in samples.
    end: u64,
    first: u64,
    sound: Vec<f32>,
}

thread_local! {
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static DECODER: RefCell<Option<Decoder>> = const { RefCell::new(None) };
}

/// Address of room for this many bytes, until the next call.
#[unsafe(no_mangle)]
pub extern "C" fn input(bytes: usize) -> *mut u8 {
    INPUT.with_borrow_mut(|input| {
        input.clear();
        input.resize(bytes, 0);
        input.shrink_to_fit();
        input.as_mut_ptr()
    })
}

/// Reads the weights in the input; 1 if they are those of this network, else 0.
#[unsafe(no_mangle)]
pub extern "C" fn load() -> i32 {
    let model = INPUT.with_borrow(|input| Model::read(input));
    DECODER.with_borrow_mut(|decoder| {
        *decoder = model.ok().map(|model| {
            let (state, listener) = (model.decoder_state(), Listener::new(&model));
            Decoder { model, listener, state, end: 0, first: 0, sound: Vec::new() }
        });
        i32::from(decoder.is_some())
    })
}

/// Decodes the block in the input. Returns its samples; 0: the file ends here; -1: the block is
/// damaged, or there are no weights.
#[unsafe(no_mangle)]
pub extern "C" fn decode() -> i32 {
    let block = INPUT.with_borrow(|input| input.first_chunk::<BLOCK_BYTES>().and_then(Block::read));
    DECODER.with_borrow_mut(|decoder| {
        let (Some(decoder), Some(block)) = (decoder, block) else { return -1 };
        if block.first != decoder.end {
            decoder.state = decoder.model.decoder_state();
        }
        decoder.sound = decoder.model.decode(&block, &mut decoder.state);
        (decoder.first, decoder.end) = (block.first, block.end());
        decoder.sound.len() as i32
    })
}

/// Decodes the packet in the input, behind this many lost frames. Returns the samples of all; -1: the
/// packet is damaged, or there are no weights.
#[unsafe(no_mangle)]
pub extern "C" fn packet(lost_frames: u32) -> i32 {
    let coded = INPUT.with_borrow(|input| Coded::read(input));
    DECODER.with_borrow_mut(|decoder| {
        let (Some(decoder), Ok(coded)) = (decoder, coded) else { return -1 };
        let Ok(packet) = coded.open(&decoder.model) else { return -1 };
        decoder.sound.clear();
        let lost = (0..lost_frames.min(LOST_FRAMES_MAX)).map(|_| None);
        for codes in lost.chain(packet.frames.iter().map(Some)) {
            decoder.sound.extend(decoder.listener.frame(&decoder.model, codes));
        }
        decoder.sound.len() as i32
    })
}

/// Time of the first sample of the last block, in samples since the start of the file.
#[unsafe(no_mangle)]
pub extern "C" fn first() -> f64 {
    DECODER.with_borrow(|decoder| decoder.as_ref().map_or(0.0, |decoder| decoder.first as f64))
}

/// Address of the samples of the last block or packet (32-bit floats, 16 kHz, -1 to 1).
#[unsafe(no_mangle)]
pub extern "C" fn sound() -> *const f32 {
    DECODER.with_borrow(|decoder| {
        decoder.as_ref().map_or(std::ptr::null(), |decoder| decoder.sound.as_ptr())
    })
}
