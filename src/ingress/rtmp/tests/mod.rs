//! The server against real peers, good and bad.

mod enhanced;
mod hostile;
mod publishers;
mod returns;
