use proptest::prelude::*;

use super::*;

#[test]
fn snippets_are_escaped_and_marked() {
    let check = |text: &str, marks: &[(usize, usize)], expect: &str| {
        let marks: Vec<_> = marks.iter().map(|(from, to)| *from..*to).collect();
        assert_eq!(snippet(text, &marks), expect);
    };
    check("a <b> & \"c\"", &[], "a &lt;b&gt; &amp; &quot;c&quot;");
    check("one two", &[(4, 7)], "one <mark>two</mark>");
    check("<x>", &[(1, 2)], "&lt;<mark>x</mark>&gt;");
    check("東京都", &[(0, 6), (3, 9)], "<mark>東京</mark><mark>都</mark>");
    check("é", &[(1, 2)], "é");
}

#[test]
fn the_word_under_a_mark_gives_the_time() {
    let words: Vec<CueWord> = ["so", "my", "so,", "fellow"]
        .iter()
        .zip(0..)
        .map(|(word, n)| CueWord {
            text: (*word).to_owned(),
            start_offset_ms: n * 100,
            end_offset_ms: n * 100 + 90,
            confidence: 1.0,
        })
        .collect();
    let text = "so my so, fellow";
    let check = |place: usize, expect: Option<i64>| {
        assert_eq!(said_after(text, &words, place), expect, "{place}");
    };
    check(0, Some(0));
    check(3, Some(100));
    check(6, Some(200));
    check(10, Some(300));
    check(99, None);
    assert_eq!(said_after("other text", &words, 0), None);
    assert_eq!(said_after(text, &[], 0), None);
}

#[test]
fn times_are_read_in_both_forms() {
    assert_eq!(time("from", "1764000000000").ok(), Some(1_764_000_000_000));
    assert_eq!(time("from", "2025-11-24T16:00:00Z").ok(), Some(1_764_000_000_000));
    assert_eq!(time("from", "2025-11-24T17:00:00.5+01:00").ok(), Some(1_764_000_000_500));
    for wrong in ["", "now", "2025-11-24", "1e9"] {
        let error = time("from", wrong).expect_err(wrong);
        assert!(error.to_string().starts_with("from: "), "{error}");
    }
}

proptest! {
    #[test]
    fn no_text_and_no_marks_break_a_snippet(
        text in "\\PC{0,40}",
        marks in proptest::collection::vec((0_usize..60, 0_usize..60), 0..5),
    ) {
        let marks: Vec<_> = marks.into_iter().map(|(a, b)| a.min(b)..a.max(b)).collect();
        let html = snippet(&text, &marks);
        let bare = html.replace("<mark>", "").replace("</mark>", "");
        prop_assert!(!bare.contains(['<', '>', '"', '\'']), "{html}");
        let back = bare.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"")
            .replace("&#39;", "'").replace("&amp;", "&");
        prop_assert_eq!(back, text);
    }
}
