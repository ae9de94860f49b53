use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use super::*;
use crate::media::Secret;

const TOKEN: &str = "a-token-of-the-cluster-0123456789";

/// An origin that counts what it is asked.
async fn origin() -> (String, Arc<AtomicUsize>) {
    async fn answer(
        State(asked): State<Arc<AtomicUsize>>,
        headers: HeaderMap,
    ) -> impl IntoResponse {
        asked.fetch_add(1, Ordering::Relaxed);
        let shown = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        if shown != Some(&format!("Bearer {TOKEN}")) {
            return (StatusCode::UNAUTHORIZED, String::new());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let text = r#"{"live":true,"open_play":true,"play_token":null,"srt_passphrase":null,
            "srt_port":8890}"#;
        (StatusCode::OK, text.into())
    }
    let asked = Arc::<AtomicUsize>::default();
    let router = Router::new()
        .route("/api/v1/cluster/streams/here", get(answer))
        .with_state(Arc::clone(&asked));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://{address}"), asked)
}

async fn origins(token: &str, origins: Vec<String>) -> Origins {
    let config = Config { token: Secret::new(token), origins, ..Config::default() };
    Origins::new(&config).await.expect("an address")
}

#[tokio::test]
async fn a_crowd_asks_once_and_a_missing_stream_is_remembered() {
    let (url, asked) = origin().await;
    let directory = origins(TOKEN, vec![url.clone()]).await;
    let (here, gone) = ("here".parse().expect("a name"), "gone".parse().expect("a name"));
    let crowd = futures::future::join_all((0..100).map(|_| directory.lookup(&here))).await;
    assert!(
        crowd.iter().all(|lookup| matches!(lookup, Lookup::Found(found) if found.origin == url))
    );
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert_eq!(directory.lookup(&gone).await, Lookup::Nowhere);
    assert_eq!(directory.known(&gone), Some(Lookup::Nowhere));
    // A viewer that hangs up takes no answer away from the others.
    let other = origins(TOKEN, vec![url]).await;
    let (first, second) = (other.lookup(&here), other.lookup(&here));
    let hung_up = tokio::time::timeout(Duration::from_millis(10), first).await;
    assert!(hung_up.is_err());
    assert!(matches!(second.await, Lookup::Found(_)));
}

#[tokio::test]
async fn without_the_token_or_the_origin_nothing_is_found() {
    let (url, _) = origin().await;
    let here = "here".parse().expect("a name");
    let wrong = origins("another-token-of-a-cluster-98765", vec![url.clone()]).await;
    assert_eq!(wrong.lookup(&here).await, Lookup::Unreachable);
    // It takes connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", silent.local_addr().expect("it is bound"));
    let one_silent = origins(TOKEN, vec![address.clone(), url]).await;
    assert!(matches!(one_silent.lookup(&here).await, Lookup::Found(_)));
    let all_silent = origins(TOKEN, vec![address]).await;
    assert_eq!(all_silent.lookup(&here).await, Lookup::Unreachable);
    assert_eq!(Origins::default().lookup(&here).await, Lookup::Nowhere);
}

#[test]
fn names_that_strangers_make_up_stay_few() {
    let directory = Origins::default();
    let now = Instant::now();
    for number in 0..NAMES_COUNT_MAX {
        let name = format!("name-{number}").parse().expect("a name");
        let answer = directory.answer(&name, now).expect("a place");
        answer.set((now, Lookup::Nowhere)).expect("it is empty");
    }
    let one_more = "one-more".parse().expect("a name");
    assert!(directory.answer(&one_more, now).is_none());
    assert!(directory.answer(&one_more, now + ANSWER_KEPT).is_some());
    assert_eq!(directory.answers.lock().ignore_poison().len(), 1);
}
