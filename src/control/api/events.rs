//! `/api/v1/events`: changes as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event as Sent, KeepAlive};
use futures::{Stream, StreamExt};
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

use super::{ApiState, Failures};
use crate::runtime::Event;

/// Follows all changes as server-sent events.
///
/// The type of an event is its `event` field. A client that reads too slowly gets `lagged` with the
/// number of missed events and should read the streams again.
#[utoipa::path(get, path = "/api/v1/events", tag = "system",
    responses((status = 200, body = Event, content_type = "text/event-stream"), Failures))]
pub(super) async fn follow_events(
    State(state): State<ApiState>,
) -> Sse<impl Stream<Item = Result<Sent, Infallible>>> {
    let events = BroadcastStream::new(state.supervisor().events()).map(|event| Ok(sent(event)));
    let ended = state.shutdown.clone().cancelled_owned();
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(15));
    Sse::new(events.take_until(ended)).keep_alive(keep_alive)
}

fn sent(event: Result<Event, BroadcastStreamRecvError>) -> Sent {
    let missed = |n: u64| Sent::default().event("lagged").data(format!("{{\"missed\":{n}}}"));
    match event {
        Ok(event) => {
            // Events always serialise. Otherwise `lagged` makes the client read everything again.
            let named = Sent::default().event(name(&event));
            named.json_data(&event).unwrap_or_else(|_| missed(1))
        }
        Err(BroadcastStreamRecvError::Lagged(n)) => missed(n),
    }
}

fn name(event: &Event) -> &'static str {
    match event {
        Event::StreamCreated { .. } => "stream_created",
        Event::StreamRemoved { .. } => "stream_removed",
        Event::StateChanged { .. } => "state_changed",
        Event::StreamChanged { .. } => "stream_changed",
        Event::Refused { .. } => "refused",
        Event::StreamFailed { .. } => "stream_failed",
        Event::NodeFailed { .. } => "node_failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_event_is_the_tag_in_its_body() {
        let stream = || "s".to_owned();
        for event in [
            Event::StreamCreated { stream: stream() },
            Event::StreamRemoved { stream: stream() },
            Event::StateChanged { stream: stream(), state: crate::runtime::StreamState::Live },
            Event::StreamChanged { stream: stream() },
            Event::StreamFailed { stream: stream(), error: stream() },
            Event::NodeFailed { stream: stream(), node: stream(), error: stream(), hint: stream() },
        ] {
            let body = serde_json::to_value(&event).expect("JSON");
            assert_eq!(body["event"], name(&event));
        }
    }
}
