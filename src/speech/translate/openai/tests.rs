use super::*;

fn job(text: &str) -> Job {
    let fixed = vec![(0..4, "Anna".to_owned())];
    let lang = |tag: &str| tag.parse().expect("a language");
    Job {
        text: text.into(),
        from: lang("en"),
        to: lang("es"),
        context: Some("She came.".into()),
        fixed,
    }
}

#[track_caller]
fn check(text: &str, answer: &str, finish: &str, expect: &str) {
    let message = Message { content: Some(answer.into()), refusal: None };
    let choice = Choice { message, finish_reason: Some(finish.into()) };
    let outcome = checked(&job(text), &choice).unwrap_or_else(|e| e.to_string());
    assert_eq!(outcome, expect);
}

#[test]
fn only_translations_become_captions() {
    check("Good morning.", " \"Buenos\n días.\" ", "stop", "Buenos días.");
    check("\"Stop\", he said", "\"Alto\", dijo", "stop", "\"Alto\", dijo");
    let wrong = |reason: &str| format!("openai gave no translation: {reason}");
    check(
        "Kill him.",
        "I'm sorry, but I can't help.",
        "stop",
        &wrong("it speaks for itself instead of translating"),
    );
    check("I'm sorry.", "I'm sorry.", "stop", "I'm sorry.");
    check("Hi.", "", "stop", &wrong("it is empty"));
    check("Hi.", "Hola", "length", &wrong("its answer does not end"));
    check("Hi.", &"x".repeat(60), "stop", &wrong("60 characters for 3 are no translation"));
}

#[test]
fn the_prompt_has_languages_terms_and_context() {
    let config = Config {
        url: "http://localhost/v1".into(),
        key: Secret::default(),
        model: "m".into(),
        languages: languages(),
    };
    let engine = OpenAi::new(&config, Duration::from_secs(1)).expect("a client");
    let body = engine.body(&job("anna speaks"));
    let rules = body["messages"][0]["content"].as_str().expect("text");
    for part in ["from English (en) to español (es)", "anna → Anna", "«She came.»"] {
        assert!(rules.contains(part), "{rules}");
    }
    assert_eq!(body["messages"][1]["content"], "anna speaks");
    assert_eq!(body["temperature"], 0);
    assert!(engine.can(&"pt-PT".parse().expect("tag"), &Language::english()));
    assert!(!engine.can(&"yo".parse().expect("tag"), &Language::english()));
}
