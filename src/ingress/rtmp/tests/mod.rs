//! The server with real peers, well-behaved and hostile ones.

mod enhanced;
mod hostile;
mod publishers;
mod returns;
