//! Minimum pace of request bodies.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures::{Stream, StreamExt};
use tokio::time::Instant;

/// Minimum mean rate of a body, in bytes per second.
const BODY_BYTES_PER_S_MIN: u64 = 16 << 10;

/// The body stalled or arrived too slowly.
#[derive(Debug, thiserror::Error)]
#[error("the body came too slowly")]
pub(super) struct TooSlow;

/// Middleware: reading a body fails with [`TooSlow`] if nothing arrives for `grace`, or if the mean
/// rate after that time is below [`BODY_BYTES_PER_S_MIN`].
pub(super) async fn bound(State(grace): State<Duration>, request: Request, next: Next) -> Response {
    let request = request.map(|body| if body.is_end_stream() { body } else { paced(body, grace) });
    next.run(request).await
}

fn paced(body: Body, grace: Duration) -> Body {
    Body::from_stream(chunks(body.into_data_stream(), Pace::new(grace, Instant::now())))
}

/// The chunks of a body until its end or the first error.
fn chunks<S>(body: S, pace: Pace) -> impl Stream<Item = Result<Bytes, axum::BoxError>>
where
    S: Stream<Item = Result<Bytes, axum::Error>> + Unpin,
{
    futures::stream::unfold(Some((body, pace)), |state| async {
        let (mut body, mut pace) = state?;
        match tokio::time::timeout_at(pace.deadline(Instant::now()), body.next()).await {
            Ok(None) => None,
            Ok(Some(Ok(chunk))) => {
                pace.received += chunk.len() as u64;
                Some((Ok(chunk), Some((body, pace))))
            }
            Ok(Some(Err(error))) => Some((Err(error.into()), None)),
            Err(_) => Some((Err(TooSlow.into()), None)),
        }
    })
}

/// Progress of a body.
struct Pace {
    since: Instant,
    grace: Duration,
    /// Bytes received.
    received: u64,
}

impl Pace {
    fn new(grace: Duration, since: Instant) -> Self {
        Self { since, grace, received: 0 }
    }

    /// The time by which the next chunk must arrive.
    fn deadline(&self, now: Instant) -> Instant {
        let earned = Duration::from_secs(self.received / BODY_BYTES_PER_S_MIN);
        (self.since + self.grace + earned).min(now + self.grace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_may_pause_and_may_not_drip() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::new(Duration::from_secs(20), start);
        assert_eq!(pace.deadline(start), after(20));
        pace.received = 100;
        assert_eq!(pace.deadline(after(15)), after(20), "a drop earns nothing");
        pace.received = BODY_BYTES_PER_S_MIN * 10;
        assert_eq!(pace.deadline(after(15)), after(30));
        pace.received = BODY_BYTES_PER_S_MIN * 1000;
        assert_eq!(pace.deadline(after(15)), after(35), "what came fast is no credit for a pause");
    }

    #[tokio::test]
    async fn a_body_that_stands_still_fails() {
        let (mut to, from) = futures::channel::mpsc::unbounded::<Result<Bytes, axum::Error>>();
        let body = chunks(from, Pace::new(Duration::from_millis(100), Instant::now()));
        let mut body = std::pin::pin!(body);
        // A chunk that has arrived is accepted, however late it is read.
        to.start_send(Ok(Bytes::from_static(b"x"))).expect("open");
        assert!(body.next().await.is_some_and(|chunk| chunk.is_ok()));
        let error = body.next().await.expect("an end").expect_err("too slow");
        assert!(error.is::<TooSlow>(), "{error}");
        assert!(body.next().await.is_none());
    }
}
