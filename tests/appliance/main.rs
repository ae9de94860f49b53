//! The appliance end to end: real publishers, real viewers, measured media.
//!
//! One binary for all tests, because linking takes longer than running. Two tests
//! have an appliance at a time, and one that measures time has it alone.

#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "the benches use the rest")]
mod support;

mod addresses;
mod cache;
mod captions;
mod cluster;
mod cluster_redirect;
mod cluster_redis;
mod connections;
mod dash;
mod doors;
mod dvr;
mod fan_out;
mod faults;
mod files;
mod hostile;
mod http;
mod inputs;
mod kills;
mod ladder;
mod leaks;
mod lifecycle;
mod outputs;
mod paths;
mod players;
mod postgres;
mod recordings;
mod refusals;
mod resilience;
mod retention;
mod rist;
mod secrets;
mod simulcast;
mod sync;
mod table;
mod timing;
mod tracks;
mod trunk;
mod viewers;
mod voice;
mod wanted;
mod webrtc;
mod words;
