//! The listener and the puller against real peers: ffmpeg, srt-live-transmit and rude ones.

mod bench;
mod leak;
mod play;
mod publish;
mod refuse;
