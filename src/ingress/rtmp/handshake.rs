//! The RTMP handshake (Adobe RTMP 1.0, section 5.2): 1536 bytes each way, echoed.
//!
//! The undocumented variant with digests is not offered: the zero version bytes tell clients that
//! this is the plain one.

use std::io;

use rand::RngCore;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Length of C1, S1, C2 and S2.
const BLOCK_BYTES: usize = 1536;

/// The only version of unencrypted RTMP.
const RTMP_VERSION: u8 = 3;

/// Performs the handshake. The caller sets a time limit.
///
/// # Errors
/// If the client disconnects or uses another protocol.
pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    let version = stream.read_u8().await?;
    if version != RTMP_VERSION {
        let guess = match version {
            0x16 => " (this looks like TLS: use the RTMPS port, or rtmp:// instead of rtmps://)",
            b'G' | b'P' | b'H' | b'O' => " (this looks like HTTP: this port speaks RTMP only)",
            6 => " (RTMPE is not supported; use RTMPS)",
            _ => "",
        };
        let message = format!("not RTMP: the first byte is {version:#04x}, not 3{guess}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let mut c1 = vec![0; BLOCK_BYTES];
    stream.read_exact(&mut c1).await?;

    let mut answer = vec![0; 1 + 2 * BLOCK_BYTES];
    answer[0] = RTMP_VERSION;
    // S1: time 0, version 0, then random bytes. S2: C1 unchanged.
    rand::rng().fill_bytes(&mut answer[9..=BLOCK_BYTES]);
    answer[1 + BLOCK_BYTES..].copy_from_slice(&c1);
    stream.write_all(&answer).await?;
    stream.flush().await?;

    // C2 echoes S1. It is not checked, because some encoders get it wrong.
    stream.read_exact(&mut c1).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rtmp_rs::protocol::handshake::{Handshake, HandshakeRole};

    use super::*;

    #[tokio::test]
    async fn an_independent_client_is_greeted() {
        let (mut ours, mut theirs) = tokio::io::duplex(8192);
        let server = tokio::spawn(async move { accept(&mut ours).await });
        let mut client = Handshake::new(HandshakeRole::Client);
        let hello = client.generate_initial().expect("a client begins");
        theirs.write_all(&hello).await.expect("writes");
        let mut answer = vec![0; 1 + 2 * BLOCK_BYTES];
        theirs.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(&answer[1 + BLOCK_BYTES..], &hello[1..], "S2 echoes C1");
        let reply = client.process(&mut Bytes::from(answer)).expect("valid").expect("C2");
        theirs.write_all(&reply).await.expect("writes");
        server.await.expect("no panic").expect("greeted");
    }

    #[tokio::test]
    async fn other_protocols_are_named() {
        let check = async |bytes: &'static [u8], expect: &str| {
            let (mut ours, mut theirs) = tokio::io::duplex(8192);
            theirs.write_all(bytes).await.expect("writes");
            drop(theirs);
            let error = accept(&mut ours).await.expect_err("refused").to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(b"GET / HTTP/1.1\r\n\r\n", "HTTP").await;
        check(&[0x16, 3, 1, 2, 0], "TLS").await;
        check(&[3, 0, 0, 0], "eof").await;
    }
}
