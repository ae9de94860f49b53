//! The server against real peers.

mod publishers;
