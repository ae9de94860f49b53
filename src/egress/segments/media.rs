//! What a player fetches: from memory, or from the disk.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use tokio::fs::File;

use super::SegmentError;

/// Longest wait until a file of the DVR window is open.
const OPEN_MAX: Duration = Duration::from_secs(10);

/// A segment as players get it.
#[derive(Debug)]
pub enum Media {
    /// Its parts, shared with the segment store.
    Memory(VecDeque<Bytes>),
    /// Its file in the DVR window, and the length of that in bytes.
    Disk(File, u64),
}

#[cfg(test)]
impl Media {
    /// All of it.
    pub(in crate::egress) async fn bytes(self) -> Vec<u8> {
        match self {
            Self::Memory(parts) => parts.into_iter().flatten().collect(),
            Self::Disk(mut file, length) => {
                let mut bytes = Vec::new();
                let read = tokio::io::AsyncReadExt::read_to_end(&mut file, &mut bytes).await;
                assert_eq!(read.expect("the file is read") as u64, length);
                bytes
            }
        }
    }

    /// The same, of captions.
    pub(in crate::egress) async fn text(self) -> String {
        String::from_utf8(self.bytes().await).expect("text")
    }
}

/// Where a segment is.
#[derive(Debug)]
pub(super) enum Place {
    Memory(VecDeque<Bytes>),
    Disk(PathBuf),
}

impl Place {
    /// Opens the file, if it is one. A segment whose file is missing has left the window.
    pub(super) async fn open(self) -> Result<Media, SegmentError> {
        let path = match self {
            Self::Memory(parts) => return Ok(Media::Memory(parts)),
            Self::Disk(path) => path,
        };
        let opened = async {
            let file = File::open(&path).await?;
            let length = file.metadata().await?.len();
            Ok((file, length))
        };
        match tokio::time::timeout(OPEN_MAX, opened).await {
            Ok(Ok((file, length))) => Ok(Media::Disk(file, length)),
            Ok(Err(error)) => Err(missing(&path, &error)),
            Err(_) => Err(SegmentError::Late),
        }
    }
}

fn missing(path: &std::path::Path, error: &io::Error) -> SegmentError {
    if error.kind() != io::ErrorKind::NotFound {
        tracing::warn!(path = %path.display(), %error, "a segment of the DVR window cannot be read");
    }
    SegmentError::Gone
}
