//! A publisher for what ffmpeg cannot or will not send, built on another library's protocol code.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use rtmp_rs::amf::{AmfValue, amf0};
use rtmp_rs::protocol::chunk::{ChunkDecoder, ChunkEncoder, RtmpChunk};
use rtmp_rs::protocol::handshake::{Handshake, HandshakeRole};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection after the handshake.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    encoder: ChunkEncoder,
    decoder: ChunkDecoder,
    input: BytesMut,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        let mut handshake = Handshake::new(HandshakeRole::Client);
        let hello = handshake.generate_initial().expect("a client begins");
        stream.write_all(&hello).await.expect("writes");
        let mut answer = vec![0; 3073];
        stream.read_exact(&mut answer).await.expect("an answer");
        let reply = handshake.process(&mut Bytes::from(answer)).expect("valid").expect("C2");
        stream.write_all(&reply).await.expect("writes");
        let (encoder, decoder) = (ChunkEncoder::new(), ChunkDecoder::new());
        Self { stream, encoder, decoder, input: BytesMut::new() }
    }

    /// A client that has been accepted as a publisher.
    pub(crate) async fn publish(address: SocketAddr, key: &str) -> Self {
        let mut client = Self::connect(address).await;
        client.ask_to_publish("live", key).await;
        let answer = client.await_command("onStatus").await;
        assert!(answer.contains("NetStream.Publish.Start"), "{answer}");
        client
    }

    pub(crate) async fn ask_to_publish(&mut self, app: &str, key: &str) {
        let app = [("app".to_owned(), AmfValue::String(app.into()))].into();
        let text = |t: &str| AmfValue::String(t.into());
        let number = AmfValue::Number;
        self.command(0, &[text("connect"), number(1.0), AmfValue::Object(app)]).await;
        self.command(0, &[text("createStream"), number(2.0), AmfValue::Null]).await;
        let publish = [
            text("publish"),
            number(3.0),
            AmfValue::Null,
            text(key),
            AmfValue::String("live".into()),
        ];
        self.command(1, &publish).await;
    }

    pub(crate) async fn command(&mut self, stream: u32, values: &[AmfValue]) {
        self.send(3, 20, stream, 0, amf0::encode_all(values)).await;
    }

    pub(crate) async fn send(
        &mut self,
        chunk_stream: u32,
        kind: u8,
        stream: u32,
        timestamp: u32,
        payload: impl Into<Bytes>,
    ) {
        let chunk = RtmpChunk {
            csid: chunk_stream,
            timestamp,
            message_type: kind,
            stream_id: stream,
            payload: payload.into(),
        };
        let mut out = BytesMut::new();
        self.encoder.encode(&chunk, &mut out);
        // The server may have closed already; its answer is read afterwards.
        let _ = self.stream.write_all(&out).await;
    }

    pub(crate) async fn video(&mut self, timestamp: u32, payload: impl Into<Bytes>) {
        self.send(6, 9, 1, timestamp, payload).await;
    }

    pub(crate) async fn audio(&mut self, timestamp: u32, payload: impl Into<Bytes>) {
        self.send(4, 8, 1, timestamp, payload).await;
    }

    /// The next command with this name, as text, or the last message of the server before it
    /// closes.
    pub(crate) async fn await_command(&mut self, name: &str) -> String {
        let wait = async {
            loop {
                while let Ok(Some(chunk)) = self.decoder.decode(&mut self.input) {
                    if chunk.message_type == 1 {
                        let size = u32::from_be_bytes(chunk.payload[..4].try_into().expect("4"));
                        self.decoder.set_chunk_size(size);
                    }
                    let values = amf0::decode_all(&chunk.payload).unwrap_or_default();
                    if chunk.message_type == 20 && values[0].as_str() == Some(name) {
                        return format!("{values:?}");
                    }
                }
                if self.stream.read_buf(&mut self.input).await.unwrap_or(0) == 0 {
                    return "hung up".to_owned();
                }
            }
        };
        let wait = tokio::time::timeout(std::time::Duration::from_secs(15), wait);
        wait.await.expect("an answer in time")
    }
}
