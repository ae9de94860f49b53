//! Words as transcripts of read speech write them.

/// A word as a transcript of read speech writes it: `347` is four words, `mr` is `mister`.
pub(crate) fn spelled(word: &str) -> Vec<String> {
    let whole = match (word, word.parse::<usize>()) {
        (_, Ok(number)) if number < 1_000_000 => return number_words(number),
        ("mr", _) => "mister",
        ("mrs", _) => "missus",
        ("dr", _) => "doctor",
        _ => word,
    };
    vec![whole.to_owned()]
}

/// An English cardinal number below a million.
fn number_words(number: usize) -> Vec<String> {
    const ONES: &str = "zero one two three four five six seven eight nine ten eleven twelve \
        thirteen fourteen fifteen sixteen seventeen eighteen nineteen";
    const TENS: &str = "twenty thirty forty fifty sixty seventy eighty ninety";
    let pick = |names: &str, n: usize| names.split_whitespace().nth(n).map(str::to_owned);
    let joined = |high: usize, name: &str, low: usize, and: &str| -> Vec<String> {
        let mut words = number_words(high);
        words.push(name.into());
        if low > 0 {
            words.extend((low < 100 && !and.is_empty()).then(|| and.to_owned()));
            words.extend(number_words(low));
        }
        words
    };
    match number {
        0..20 => pick(ONES, number).into_iter().collect(),
        20..100 => {
            let ones = pick(ONES, number % 10).filter(|word| word != "zero");
            pick(TENS, number / 10 - 2).into_iter().chain(ones).collect()
        }
        100..1000 => joined(number / 100, "hundred", number % 100, "and"),
        _ => joined(number / 1000, "thousand", number % 1000, "and"),
    }
}

#[test]
fn numbers_are_compared_as_words() {
    let words = |word: &str| spelled(word).join(" ");
    assert_eq!(words("347"), "three hundred and forty seven");
    assert_eq!(words("20"), "twenty");
    assert_eq!(words("1005"), "one thousand and five");
    assert_eq!(words("mr"), "mister");
    assert_eq!(words("well"), "well");
}
