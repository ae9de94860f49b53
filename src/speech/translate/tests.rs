//! All engines together, remote ones as real servers that speak their protocols.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::*;
use crate::speech::http::tests::{serve, unfinished};

fn lang(tag: &str) -> Language {
    tag.parse().expect("a language")
}

fn request(text: &str, from: &str, to: &str) -> Request {
    Request {
        text: text.into(),
        from: lang(from),
        to: lang(to),
        engines: Vec::new(),
        context: None,
        glossary: Arc::new(Glossary { terms: vec!["Kofi Annan".into()], ..Glossary::default() }),
    }
}

type EngineSwitches = Arc<Mutex<Vec<String>>>;

fn translators(config: &str) -> (Translators, EngineSwitches) {
    let told = EngineSwitches::default();
    let into = told.clone();
    let on_switch: OnSwitch = Arc::new(move |s| {
        let to = s.to.as_deref().unwrap_or("nobody");
        into.lock().expect("no panic").push(format!("{}→{to}", s.from));
    });
    let config: Config = toml::from_str(config).expect("a configuration");
    assert_eq!(config.problems(), []);
    (Translators::new(&config, None, on_switch).expect("sets up"), told)
}

/// LibreTranslate as documented: it needs a key, and "translates" by reversing the words, so that
/// stand-ins change places.
fn libretranslate() -> Router {
    let languages = || async {
        Json(json!([
            {"code": "en", "name": "English", "targets": ["en", "es", "zh-Hans"]},
            {"code": "es", "name": "Spanish", "targets": ["en"]},
        ]))
    };
    let translate = |Json(body): Json<Value>| async move {
        if body["api_key"] != "the-key" {
            let error = json!({"error": "Visit https://portal to get an API key"});
            return (StatusCode::FORBIDDEN, Json(error));
        }
        let words: Vec<&str> = body["q"].as_str().expect("text").split(' ').rev().collect();
        (StatusCode::OK, Json(json!({"translatedText": words.join(" ")})))
    };
    Router::new().route("/languages", get(languages)).route("/translate", post(translate))
}

#[tokio::test]
async fn libretranslate_translates_and_says_what_it_can() {
    let base = serve(libretranslate()).await;
    let config = |key: &str| {
        format!(
            "engines = [\"libretranslate\"]\nlibretranslate = {{ url = \"{base}\", key = \"{key}\" }}"
        )
    };
    let (translators, _) = translators(&config("the-key"));
    assert!(translators.pairs().is_empty());
    translators.refresh().await;
    let pairs: Vec<String> =
        translators.pairs().iter().map(|p| format!("{}>{}", p.from, p.to)).collect();
    assert_eq!(pairs, ["en>es", "en>zh-Hans", "es>en"]);
    let done = translators.translate(&request("I met Kofi Annan", "en-GB", "es")).await;
    let done = done.expect("translates");
    assert_eq!((done.text.as_str(), done.engine), ("Kofi Annan met I", "libretranslate"));
    let none = translators.translate(&request("x", "es", "zh")).await.expect_err("no such pair");
    assert!(matches!(none, Error::NoRoute { .. }), "{none}");

    let (stranger, _) = self::translators(&config("wrong-key"));
    let refused = stranger.translate(&request("Hi", "en", "es")).await.expect_err("refused");
    assert!(refused.to_string().contains("answered 403: Visit"), "{refused}");
    assert!(!format!("{refused:?}").contains("wrong-key"));
    let resting = stranger.translate(&request("Hi", "en", "es")).await.expect_err("rests");
    assert!(matches!(resting, Error::Resting { .. }), "{resting}");
}

#[tokio::test]
async fn openai_translates_with_bearer_key() {
    let chat = |headers: axum::http::HeaderMap, Json(body): Json<Value>| async move {
        assert_eq!(headers["authorization"], "Bearer the-key");
        let said = body["messages"][1]["content"].as_str().expect("text").to_uppercase();
        Json(json!({
            "id": "chatcmpl-1", "object": "chat.completion", "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop",
                         "message": {"role": "assistant", "content": said, "refusal": null}}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
        }))
    };
    let base = serve(Router::new().route("/v1/chat/completions", post(chat))).await;
    let (translators, told) = translators(&format!(
        "engines = [\"openai\"]\n[openai]\nurl = \"{base}/v1\"\nkey = \"the-key\"\nmodel = \"m\""
    ));
    let done = translators.translate(&request("kofi annan spoke", "en", "ja")).await;
    let done = done.expect("translates");
    // The glossary's spelling applies whatever the model writes.
    assert_eq!(done.text, "Kofi Annan SPOKE");
    assert_eq!((done.engine, done.model.as_deref()), ("openai", Some("m")));
    assert!(told.lock().expect("no panic").is_empty());
}

/// A preferred server that fails in some way, with `basic` behind it.
async fn falls_over(router: Router, expect: &str) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let counted = axum::middleware::from_fn(move |request, next: axum::middleware::Next| {
        count.fetch_add(1, Ordering::Relaxed);
        next.run(request)
    });
    let base = serve(router.layer(counted)).await;
    let (translators, told) = translators(&format!(
        "timeout_ms = 3000\n[openai]\nurl = \"{base}\"\nkey = \"the-key\"\nmodel = \"m\""
    ));
    if translators.basic().is_none() {
        crate::needs::skip("Apertium, which takes over from openai");
        return;
    }
    for _ in 0..3 {
        let done = translators.translate(&request("Hello.", "en", "es")).await.expect(expect);
        assert_eq!((done.text.as_str(), done.engine), ("Hola.", "basic"), "{expect}");
    }
    let openai = &translators.states()[0];
    let error = openai.last_error.clone().expect("an error");
    assert!(error.contains(expect), "{error}\n  instead of {expect}");
    assert_eq!(*told.lock().expect("no panic"), ["openai→basic"], "{expect}");
    if expect.contains("no translation") {
        assert!(openai.up, "an unsuitable answer says nothing about the next one");
    } else {
        assert!(!openai.up && openai.failed == 1, "{openai:?}");
        assert_eq!(asked.load(Ordering::Relaxed), 1, "{expect}: a dead server is asked once");
    }
}

fn chat(answer: impl Fn() -> axum::response::Response + Clone + Send + Sync + 'static) -> Router {
    Router::new().route("/chat/completions", post(move || std::future::ready(answer())))
}

#[tokio::test]
async fn each_failure_of_a_server_hands_over() {
    use axum::response::IntoResponse;
    let error = json!({"error": {"message": "Rate limit reached", "type": "requests"}});
    let limited = move || {
        (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "20")], Json(error.clone()))
            .into_response()
    };
    falls_over(chat(limited), "answered 429: Rate limit reached").await;
    falls_over(chat(|| StatusCode::UNAUTHORIZED.into_response()), "answered 401").await;
    falls_over(chat(|| (StatusCode::INTERNAL_SERVER_ERROR, "oops").into_response()), "500: oops")
        .await;
    falls_over(chat(|| "x".repeat(1 << 20).into_response()), "answered more than").await;
    let half = || unfinished("{\"choices\":", true).into_response();
    falls_over(chat(half), "gave no valid answer").await;
    falls_over(chat(|| Json(json!({"choices": []})).into_response()), "no choices").await;
    let chatty = || {
        let words = "I'm sorry, but I can't assist with that request.";
        Json(json!({"choices": [{"message": {"content": words}}]})).into_response()
    };
    falls_over(chat(chatty), "no translation").await;
    let hanging = || unfinished("{", false).into_response();
    falls_over(chat(hanging), "did not answer within").await;
}

#[tokio::test]
async fn texts_are_limited_and_the_same_language_passes() {
    let (translators, _) = translators("engines = [\"basic\"]");
    let same = translators.translate(&request("hello  kofi annan", "en", "en")).await;
    assert_eq!(same.expect("passes").text, "hello Kofi Annan");
    let long = translators.translate(&request(&"x".repeat(2001), "en", "es")).await;
    assert!(matches!(long, Err(Error::TooLong { .. })), "{long:?}");
    let none = translators.translate(&request("x", "en", "zu")).await;
    assert!(matches!(none, Err(Error::NoRoute { .. })), "{none:?}");
}

#[test]
fn settings_that_cannot_work_are_named() {
    let check = |text: &str, expect: &str| {
        let config: Config = toml::from_str(text).expect("parses");
        let fields: Vec<&str> = config.problems().iter().map(|(field, _)| *field).collect();
        assert_eq!(fields.join(" "), expect);
    };
    check("", "");
    check("engines = [\"babelfish\"]\ntimeout_ms = 1", "engines timeout_ms");
    check(
        "basic = { idle_s = 0 }\nlibretranslate = { url = \"x\" }",
        "basic.idle_s libretranslate.url",
    );
    check("openai = { url = \"http://x\", model = \"\" }", "openai.model");
    check("openai = { url = \"http://me:pw@x\", model = \"m\" }", "openai.url");
}
