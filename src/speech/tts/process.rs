//! A program that speaks: text on standard input, audio on standard output.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::Error;
use crate::speech::EngineError;

/// Longest part of a program's error output that is kept, in bytes.
const ERROR_OUTPUT_BYTES_MAX: u64 = 400;

/// Whether there is such a program: a name on `$PATH`, or a path.
pub(super) fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    match program.contains('/') {
        true => Path::new(program).is_file(),
        false => std::env::split_paths(&path).any(|folder| folder.join(program).is_file()),
    }
}

/// Runs a program once; it is killed when the future is dropped. Output longer than `limit` bytes
/// is refused.
///
/// # Errors
/// [`EngineError::Start`], [`Error::Died`] for any exit status but 0, [`Error::Unsuitable`] for too much
/// audio.
pub(super) async fn run(
    engine: &'static str,
    program: &str,
    arguments: &[String],
    text: &str,
    limit: usize,
) -> Result<Vec<u8>, Error> {
    let start = |source| Error::from(EngineError::Start { program: program.to_owned(), source });
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(start)?;
    let (Some(mut input), Some(output), Some(complaints)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(start(std::io::Error::other("it has no pipes")));
    };
    let write = async move {
        // A program that ends early explains itself by its status.
        let _ = input.write_all(text.as_bytes()).await;
        drop(input);
    };
    let read = async {
        let mut audio = Vec::new();
        let cut = output.take(limit as u64 + 1).read_to_end(&mut audio).await;
        cut.map(|_| audio)
    };
    let listen = async {
        let mut words = Vec::new();
        let mut complaints = complaints;
        let _ = (&mut complaints).take(ERROR_OUTPUT_BYTES_MAX).read_to_end(&mut words).await;
        // Reads the rest so that the program does not block on writing.
        let _ = tokio::io::copy(&mut complaints, &mut tokio::io::sink()).await;
        words
    };
    let work = async {
        let ((), audio) = tokio::join!(write, read);
        let audio = audio.map_err(start)?;
        if audio.len() > limit {
            let reason = format!("more than {limit} bytes of sound");
            return Err(Error::Unsuitable { engine, reason });
        }
        Ok(audio)
    };
    // Too much audio ends this at once; else the error output ends when the program does.
    let (audio, words) = tokio::try_join!(work, async { Ok(listen.await) })?;
    let status = child.wait().await.map_err(start)?;
    if status.success() {
        return Ok(audio);
    }
    let words = String::from_utf8_lossy(&words);
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    Err(Error::Died { program: program.to_owned(), how: status.to_string(), words })
}
