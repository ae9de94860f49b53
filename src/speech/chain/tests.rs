//! Engines here are plain functions of the request's number, which is all that the chain needs.

use super::*;

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
enum Wrong {
    #[error("{0} is broken")]
    Engine(&'static str),
    #[error("the text is")]
    Text,
    #[error("{0} is late")]
    Late(String),
}

impl Failure for Wrong {
    fn blames_engine(&self) -> bool {
        *self != Self::Text
    }
    fn retry_after(&self) -> Option<Duration> {
        None
    }
    fn timed_out(engine: &str, _: Duration) -> Self {
        Self::Late(engine.to_owned())
    }
}

type EngineSwitches = Arc<Mutex<Vec<String>>>;

/// A chain of engines that consist of a name only.
fn chain(names: &[&'static str]) -> (Chain<&'static str>, EngineSwitches) {
    let told = EngineSwitches::default();
    let into = told.clone();
    let on_switch: OnSwitch = Arc::new(move |s: &Switch| {
        let to = s.to.as_deref().unwrap_or("nobody");
        into.lock().ignore_poison().push(format!("{} {}→{to}: {}", s.route, s.from, s.reason));
    });
    let mut chain = Chain::new("translate", on_switch);
    for name in names {
        chain.push(name, Arc::new(*name), Duration::from_secs(5));
    }
    (chain, told)
}

async fn ask(
    chain: &Chain<&'static str>,
    preferred: &[&str],
    answer: impl Fn(&'static str) -> Result<(), Wrong>,
) -> Result<&'static str, Option<Wrong>> {
    let preferred: Vec<String> = preferred.iter().map(ToString::to_string).collect();
    chain
        .run("en→es", &preferred, |_| true, |e| Box::pin(std::future::ready(answer(*e))))
        .await
        .map(|(_, name)| name)
}

#[tokio::test]
async fn a_broken_engine_is_asked_once_and_the_switch_is_told_once() {
    let (chain, told) = chain(&["a", "b"]);
    let broken = |name| if name == "a" { Err(Wrong::Engine("a")) } else { Ok(()) };
    assert_eq!(ask(&chain, &[], broken).await, Ok("b"));
    for _ in 0..3 {
        let untouched = |name| if name == "a" { panic!("it rests") } else { Ok(()) };
        assert_eq!(ask(&chain, &[], untouched).await, Ok("b"));
    }
    assert_eq!(*told.lock().ignore_poison(), ["en→es a→b: a is broken"]);
    let states = chain.states();
    assert!(!states[0].up && states[0].failed == 1 && states[0].retry_in_ms.is_some());
    assert_eq!(states[0].last_error.as_deref(), Some("a is broken"));
    assert!(states[1].up && states[1].answered == 4);
}

#[tokio::test]
async fn nobody_left_is_told_and_so_is_the_return() {
    let (chain, told) = chain(&["a"]);
    assert_eq!(ask(&chain, &[], |_| Ok(())).await, Ok("a"));
    assert_eq!(ask(&chain, &[], |_| Err(Wrong::Engine("a"))).await, Err(Some(Wrong::Engine("a"))));
    assert_eq!(ask(&chain, &[], |_| panic!("it rests")).await, Err(None));
    chain.slots[0].health.lock().ignore_poison().breaker = Breaker::default();
    assert_eq!(ask(&chain, &[], |_| Ok(())).await, Ok("a"));
    let told = told.lock().ignore_poison().clone();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0], "en→es a→nobody: a is broken");
    assert!(told[1].starts_with("en→es →a"), "{told:?}");
}

#[tokio::test]
async fn what_is_wrong_with_a_text_does_not_rest_an_engine() {
    let (chain, _) = chain(&["a", "b"]);
    let picky = |name| if name == "a" { Err(Wrong::Text) } else { Ok(()) };
    assert_eq!(ask(&chain, &[], picky).await, Ok("b"));
    assert_eq!(ask(&chain, &[], |_| Ok(())).await, Ok("a"));
}

#[tokio::test]
async fn preference_orders_and_limits() {
    let (chain, _) = chain(&["a", "b", "c"]);
    assert_eq!(ask(&chain, &["c", "a"], |_| Ok(())).await, Ok("c"));
    let only_b = |name| if name == "b" { Ok(()) } else { Err(Wrong::Text) };
    assert_eq!(ask(&chain, &["c", "a"], only_b).await, Err(Some(Wrong::Text)));
    assert_eq!(ask(&chain, &["x"], |_| Ok(())).await, Err(None));
}

#[tokio::test]
async fn a_late_engine_is_left_behind() {
    let (mut chain, told) = chain(&[]);
    chain.push("a", Arc::new("a"), Duration::from_millis(20));
    chain.push("b", Arc::new("b"), Duration::from_secs(5));
    let slow = |e: Arc<&'static str>| -> BoxFuture<'static, Result<(), Wrong>> {
        if *e == "a" { Box::pin(std::future::pending()) } else { Box::pin(async { Ok(()) }) }
    };
    let done = chain.run("x", &[], |_| true, slow).await.expect("b does it");
    assert_eq!(done.1, "b");
    assert_eq!(*told.lock().ignore_poison(), ["x a→b: a is late"]);
}
