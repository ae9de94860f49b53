//! The child's side.

use std::fs::File;
use std::io::{self, BufReader};
use std::sync::mpsc;
use std::thread;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Frame;

/// Answers requests from standard input on standard output until the parent is gone.
///
/// Output that libraries print to standard output goes to standard error, so that it cannot break
/// the protocol. The process ends when standard input ends, even if a request hangs.
///
/// # Errors
/// If standard output is closed or a request does not parse.
pub fn serve<Q, A>(mut answer: impl FnMut(Q, &[u8]) -> Result<A, String>) -> io::Result<()>
where
    Q: DeserializeOwned,
    A: Serialize,
{
    serve_with_body(|question, body| answer(question, body).map(|header| (header, Vec::new())))
}

/// The same, for answers with a body of at most [`super::BODY_BYTES_MAX`].
///
/// # Errors
/// As [`serve`], and if a body is too long.
pub fn serve_with_body<Q, A>(
    mut answer: impl FnMut(Q, &[u8]) -> Result<(A, Vec<u8>), String>,
) -> io::Result<()>
where
    Q: DeserializeOwned,
    A: Serialize,
{
    let mut out = File::from(rustix::io::dup(rustix::stdio::stdout())?);
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    let (sender, requests) = mpsc::sync_channel::<Frame>(1);
    thread::Builder::new().name("requests".into()).spawn(move || {
        let mut from = BufReader::new(io::stdin());
        while let Ok(Some(frame)) = Frame::read(&mut from) {
            if sender.send(frame).is_err() {
                break;
            }
        }
        std::process::exit(0);
    })?;
    while let Ok(frame) = requests.recv() {
        let question = serde_json::from_slice(&frame.header).map_err(io::Error::other)?;
        let (header, body) = match answer(question, &frame.body) {
            Ok((header, body)) => (serde_json::to_vec(&header), body),
            Err(error) => (serde_json::to_vec(&serde_json::json!({ "error": error })), Vec::new()),
        };
        Frame { header: header.map_err(io::Error::other)?, body }.write(&mut out)?;
    }
    Ok(())
}
