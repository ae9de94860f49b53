use bytes::BytesMut;

use super::*;
use crate::ingress::rtmp::chunk::{Decoder, Limits};

fn command(values: &[Value]) -> Message {
    let payload = amf::encode(values).into();
    Message { kind: chunk::COMMAND_MESSAGE_TYPE, stream: 1, timestamp: 0, payload }
}

fn connect(app: &str) -> Message {
    let object = Value::object([("app", Value::text(app))]);
    command(&[Value::text("connect"), Value::Number(1.0), object])
}

fn publish(key: &str) -> Message {
    let name = [Value::text("publish"), Value::Number(5.0), Value::Null, Value::text(key)];
    command(&name)
}

/// The events and answered commands of a session that receives these messages.
fn talk(messages: Vec<Message>) -> (Vec<Event>, Vec<Vec<Value>>) {
    let (mut session, mut events) = (Session::default(), Vec::new());
    for message in messages {
        session.handle(message, &mut events).expect("understood");
    }
    let mut output = BytesMut::from(&session.take_output()[..]);
    let mut decoder = Decoder::new(Limits::STRANGER);
    let mut answers = Vec::new();
    while let Some(message) = decoder.decode(&mut output).expect("valid chunks") {
        if message.kind == chunk::COMMAND_MESSAGE_TYPE {
            answers.push(amf::decode(&message.payload).expect("valid AMF"));
        }
    }
    (events, answers)
}

#[test]
fn an_encoder_comes_to_publish() {
    let media =
        |kind, timestamp| Message { kind, stream: 1, timestamp, payload: Bytes::from_static(b"x") };
    let (events, answers) = talk(vec![
        connect("/live/"),
        media(chunk::VIDEO_MESSAGE_TYPE, 1),
        command(&[Value::text("createStream"), Value::Number(4.0), Value::Null]),
        publish("studio-1?token=x"),
        media(chunk::AUDIO_MESSAGE_TYPE, 7),
        command(&[Value::text("deleteStream"), Value::Number(6.0)]),
    ]);
    let payload = Bytes::from_static(b"x");
    let expect = [
        Event::Publish { key: "studio-1?token=x".into() },
        Event::Media { kind: Kind::Audio, timestamp: 7, payload },
        Event::Unpublish,
    ];
    assert_eq!(events, expect, "media before publish is dropped");
    let code = answers[0][3].get("code").and_then(Value::as_str);
    assert_eq!(code, Some("NetConnection.Connect.Success"));
    assert_eq!(answers[1][3], Value::Number(1.0), "the first message stream");
}

#[test]
fn wrong_applications_and_players_are_told_what_to_do() {
    let (events, answers) = talk(vec![connect("vod")]);
    assert!(matches!(&events[..], [Event::Refused(m)] if m.contains("rtmp://HOST/live")));
    assert_eq!(answers[0][0].as_str(), Some("_error"));

    let play = command(&[Value::text("play"), Value::Number(2.0), Value::Null, Value::text("s")]);
    let (events, answers) = talk(vec![connect("live"), play]);
    assert!(matches!(&events[..], [Event::Refused(m)] if m.contains("WHEP")));
    assert_eq!(answers[1][3].get("code").and_then(Value::as_str), Some("NetStream.Play.Failed"));
}

#[test]
fn order_and_numbers_are_minded() {
    let refused = |messages: Vec<Message>| {
        let (mut session, mut events) = (Session::default(), Vec::new());
        let error = messages.into_iter().find_map(|m| session.handle(m, &mut events).err());
        error.expect("an error").to_string()
    };
    assert!(refused(vec![publish("a")]).contains("`publish` before `connect`"));
    let create = command(&[Value::text("createStream"), Value::Number(4.0), Value::Null]);
    let mut many = vec![connect("live")];
    many.extend(vec![create; 9]);
    assert!(refused(many).contains("over 8"));
    let garbage = Message {
        kind: chunk::COMMAND_MESSAGE_TYPE,
        stream: 0,
        timestamp: 0,
        payload: Bytes::from_static(b"\x42"),
    };
    assert!(refused(vec![garbage]).contains("not an AMF0 marker"));
}

#[test]
fn pings_are_answered_and_bytes_acknowledged() {
    let (mut session, mut events) = (Session::default(), Vec::new());
    let payload = Bytes::from_static(&[0, 6, 1, 2, 3, 4]);
    let ping = Message { kind: chunk::USER_CONTROL_MESSAGE_TYPE, stream: 0, timestamp: 0, payload };
    session.handle(ping, &mut events).expect("understood");
    assert!(session.take_output().ends_with(&[0, 7, 1, 2, 3, 4]));
    session.received(WINDOW_BYTES as usize - 1);
    assert!(session.take_output().ends_with(&(WINDOW_BYTES - 1).to_be_bytes()));
    session.received(100);
    assert!(session.take_output().is_empty());
}

proptest::proptest! {
    #[test]
    fn any_messages_are_survived(
        messages in proptest::collection::vec((0u8..24, proptest::prelude::any::<Vec<u8>>()), 0..9),
    ) {
        let (mut session, mut events) = (Session::default(), Vec::new());
        for (kind, payload) in messages {
            let message = Message { kind, stream: 1, timestamp: 0, payload: payload.into() };
            let _ = session.handle(message, &mut events);
        }
    }
}
