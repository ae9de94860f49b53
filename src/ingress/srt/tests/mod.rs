//! The listener and the puller with real peers: ffmpeg, srt-live-transmit and hostile ones.

mod bench;
mod leak;
mod play;
mod publish;
mod refuse;
