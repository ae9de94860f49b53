//! The real Apertium of Debian; tests print that they are skipped if it is not installed.

use super::*;

fn lang(tag: &str) -> Language {
    tag.parse().expect("a language")
}

fn engine(idle_s: u32) -> Option<Apertium> {
    let engine = Apertium::new(&Config { idle_s, ..Config::default() });
    if engine.can(&lang("en"), &lang("fr")) {
        return Some(engine);
    }
    crate::needs::skip("apertium-eng-spa and apertium-fr-es");
    None
}

async fn translate(engine: &Apertium, from: &str, to: &str, text: &str) -> String {
    let (from, to) = (lang(from), lang(to));
    let fixed = match text.find("Blork") {
        Some(at) => vec![(at..at + 5, "BLORK!".to_owned())],
        None => Vec::new(),
    };
    let job = Job { text: text.into(), from, to, context: None, fixed };
    engine.translate(&job).await.expect("translates").text
}

#[tokio::test]
async fn sentences_keep_names_punctuation_and_order() {
    let Some(engine) = engine(60) else { return };
    let text = "The president of the United States arrived yesterday in Blork.";
    let es = translate(&engine, "en", "es", text).await;
    assert_eq!(es, "El presidente de los Estados Unidos llegó ayer en BLORK!.");
    let fr = translate(&engine, "en", "fr", text).await;
    assert!(fr.contains("États-Unis") && fr.contains("BLORK!") && fr.ends_with('.'), "{fr}");
    assert_eq!(translate(&engine, "es", "pt-BR", "La casa es roja.").await, "A casa é vermelha.");
}

#[tokio::test]
async fn nothing_in_a_text_disturbs_the_next() {
    let Some(engine) = engine(60) else { return };
    let nasty = [
        "^hello<n>$ [formatted] {x} \\ / @ # * + ~ < > \" ' ` $HOME `id` ; | & \u{7f}",
        "a\0b\nc\rd",
        "[[]] ^^ $$ \\",
        "  .  ",
        "日本語 🎉 e\u{301}",
    ];
    for text in nasty {
        let answer = translate(&engine, "en", "es", text).await;
        assert!(!answer.contains(['\0', '\n']), "{answer:?}");
        assert_eq!(translate(&engine, "en", "es", "The house is red.").await, "La casa es roja.");
    }
    let answer = translate(&engine, "en", "es", nasty[0]).await;
    for part in ["[", "{", "\\", "@", "#", "*", "$", "|"] {
        assert!(answer.contains(part), "{part} is lost: {answer}");
    }
}

#[tokio::test]
async fn a_killed_pipeline_is_replaced_with_the_next_sentence() {
    let Some(engine) = engine(60) else { return };
    assert_eq!(translate(&engine, "en", "es", "Hello.").await, "Hola.");
    let first = engine.processes();
    let [(mode, group)] = &first[..] else { panic!("{first:?}") };
    assert_eq!(mode, "eng-spa");
    let group = rustix::process::Pid::from_raw(*group).expect("a group");
    // Kills first the group, then only its first program, as the out-of-memory killer would.
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL).expect("kills");
    assert_eq!(translate(&engine, "en", "es", "Hello.").await, "Hola.");
    let second = engine.processes();
    assert_ne!(first, second);
    let leader = rustix::process::Pid::from_raw(second[0].1).expect("a process");
    rustix::process::kill_process(leader, rustix::process::Signal::KILL).expect("kills");
    assert_eq!(translate(&engine, "en", "es", "The house is red.").await, "La casa es roja.");
}

#[tokio::test]
async fn many_at_once_are_answered_each_with_its_own_and_a_flood_is_refused() {
    let Some(engine) = engine(60) else { return };
    let texts: Vec<String> = (0..20).map(|n| format!("The house is number {n}.")).collect();
    let answers = texts.iter().map(|text| translate(&engine, "en", "es", text));
    for (n, answer) in futures::future::join_all(answers).await.iter().enumerate() {
        assert!(answer.ends_with(&format!("{n}.")), "{n}: {answer}");
    }
    let worker = engine.worker("eng-spa");
    let flood = (0..100).map(|_| worker.translate("The house is red.".into()));
    let refused = futures::future::join_all(flood).await.into_iter().filter(Result::is_err).count();
    assert!((1..=70).contains(&refused), "{refused} of 100 were refused");
}

#[tokio::test]
async fn idle_processes_end_and_come_back() {
    let Some(engine) = engine(1) else { return };
    assert_eq!(translate(&engine, "en", "es", "Hello.").await, "Hola.");
    let (_, group) = engine.processes()[0];
    let group = rustix::process::Pid::from_raw(group).expect("a group");
    tokio::time::timeout(Duration::from_secs(20), async {
        while rustix::process::test_kill_process_group(group).is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("the processes end");
    assert!(engine.processes().is_empty());
    assert_eq!(translate(&engine, "en", "es", "Hello.").await, "Hola.");
}

#[tokio::test]
async fn every_installed_pair_translates() {
    let Some(engine) = engine(60) else { return };
    let pairs = engine.pairs();
    assert!(pairs.len() > 30, "{}", pairs.len());
    for pair in pairs.iter().filter(|p| p.via.is_empty()) {
        let answer = translate(&engine, pair.from.as_str(), pair.to.as_str(), "Blork 7.").await;
        assert!(answer.contains("BLORK!") && answer.contains('7'), "{pair:?}: {answer}");
    }
}

#[tokio::test]
async fn a_program_that_is_missing_is_an_error_in_words() {
    let folder = tempfile::tempdir().expect("temporary folder");
    std::fs::write(folder.path().join("eng-spa.mode"), "no-such-program 'x' | cat")
        .expect("writes");
    let engine = Apertium::new(&Config { modes: folder.path().into(), idle_s: 1 });
    let (from, to) = (lang("en"), lang("es"));
    let job = Job { text: "Hi".into(), from, to, context: None, fixed: Vec::new() };
    let error = engine.translate(&job).await.expect_err("cannot start").to_string();
    assert!(error.starts_with("cannot start `no-such-program`"), "{error}");
}

/// Mode files: shell pipelines, parsed without a shell.
#[test]
fn fuzz_apertium_mode() {
    crate::fuzz::run("apertium-mode", |bytes| {
        let _ = super::mode::parse(&String::from_utf8_lossy(bytes));
    });
}
