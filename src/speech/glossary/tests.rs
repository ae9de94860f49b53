use proptest::prelude::*;

use super::*;

fn lang(tag: &str) -> Language {
    tag.parse().expect("a language")
}

fn glossary() -> Glossary {
    serde_json::from_str(
        r#"{"terms": ["AuraLink", "Kofi Annan", "東京"],
            "replacements": [
                {"from": "aura link", "to": "AuraLink"},
                {"from": "link", "to": "liaison", "language": "fr"},
                {"from": "board of trade", "to": "Cámara de Comercio", "language": "es"},
                {"from": "ordenador", "to": "computadora", "language": "es-MX"},
                {"from": "um", "to": "", "language": "en"}],
            "masked": ["ass", "dämlich", "блин"]}"#,
    )
    .expect("reads")
}

#[track_caller]
fn check(language: &str, text: &str, expect: &str) {
    assert_eq!(glossary().apply(text, &lang(language)), expect);
}

#[test]
fn whole_words_are_replaced_in_their_language() {
    check("en", "Welcome to aura  link.", "Welcome to aura  link.");
    check("en", "Welcome to Aura Link.", "Welcome to AuraLink.");
    check("en", "welcome to auralink, kofi annan!", "welcome to AuraLink, Kofi Annan!");
    check("en", "a link", "a link");
    check("fr", "a link", "a liaison");
    check("fr", "an aura link", "an AuraLink");
    check("es", "un ordenador", "un ordenador");
    check("es-MX", "un Ordenador", "un computadora");
    check("en", "It is, um, about um five.", "It is, about five.");
}

#[test]
fn masked_words_are_whole_words_in_any_script() {
    check("en", "You ass! A class of ASSETS, ass-like.", "You ***! A class of ASSETS, ***-like.");
    check("de", "DÄMLICH, undämlich", "*******, undämlich");
    check("ru", "Блин! блины", "****! блины");
    // An accent as a character of its own belongs to the word.
    check("en", "ass\u{301}", "ass\u{301}");
}

#[test]
fn scripts_without_spaces_need_no_boundary() {
    assert_eq!(glossary().fixed("私は東京に住む", &lang("en")), [(6..12, "東京".to_owned())]);
}

#[test]
fn terms_and_translations_of_the_target_survive() {
    let fixed = |target| glossary().fixed("Kofi Annan of the Board of Trade", &lang(target));
    let name = (0..10, "Kofi Annan".to_owned());
    assert_eq!(fixed("es"), [name.clone(), (18..32, "Cámara de Comercio".to_owned())]);
    assert_eq!(fixed("fr"), [name]);
}

#[test]
fn sizes_are_limited_and_the_field_is_named() {
    let check = |change: &dyn Fn(&mut Glossary), expect: &str| {
        let mut glossary = glossary();
        change(&mut glossary);
        let outcome = glossary.validate().map_or_else(|e| e.to_string(), |()| "ok".into());
        assert_eq!(outcome, expect);
    };
    check(&|_| (), "ok");
    check(&|g| g.terms[1] = " ".into(), "`terms[1]`: 1-100 characters");
    check(&|g| g.masked[2] = "x".repeat(101), "`masked[2]`: 1-100 characters");
    check(&|g| g.masked = vec!["x".into(); 501], "`masked`: at most 500 entries");
    check(
        &|g| g.replacements[4].from = "a\nb".into(),
        "`replacements[4].from`: no line breaks and no control characters",
    );
}

proptest! {
    #[test]
    fn any_text_goes_through(text in ".{0,80}", term in ".{1,5}", to in ".{0,5}") {
        let glossary = Glossary {
            terms: vec![term.clone()],
            replacements: vec![Replacement { from: term.clone(), to, language: None }],
            masked: vec![term.clone()],
        };
        let en = lang("en");
        glossary.apply(&text, &en);
        let mut end = 0;
        for (at, _) in glossary.fixed(&text, &en) {
            prop_assert!(at.start >= end && text.get(at.clone()).is_some());
            end = at.end;
        }
    }

    #[test]
    fn what_a_glossary_does_not_know_is_left_alone(text in "[b-z .,ß]{0,60}") {
        prop_assert_eq!(Glossary::default().apply(&text, &lang("de")), text.clone());
        let other = Glossary { masked: vec!["aaa".into()], ..Glossary::default() };
        prop_assert_eq!(other.apply(&text, &lang("de")), text);
    }
}
