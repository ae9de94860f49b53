//! Names of constants: a number ends in its unit or in what it counts, so that `60` is never a
//! guess.
//!
//! Read from the source with `syn`. Test files and code under `#[cfg(test)]` are left out.

use syn::visit::{self, Visit};
use syn::{GenericArgument, Ident, Item, PathArguments, Type};

use crate::imports::{attributes, is_for_tests};

/// Units of measures, relations without a unit, and kinds of numbers that name something.
const UNITS: &str = "NS US MS S DAYS TICKS HZ FPS BPS KBPS BITS BYTES DB DBFS LEVEL PX \
    RATIO FACTOR DIVISOR PERCENT PPM PPB PROBABILITY DEVIATIONS EPSILON \
    CODE ID INDEX MASK NUMBER TYPE VERSION";

/// Things that are counted.
const COUNTED: &str = "ADDRESSES ANSWERS ARENAS BREAKS BUFFERS CALLS CANDIDATES CHANNELS CHARS CHECKS \
    CHUNKS CLIPS COLUMNS COMMANDS CONNECTIONS COUNT CROSSINGS CUES DATAGRAMS DESCRIPTORS ENTRIES EVENTS FAILURES \
    FIELDS FILES FRAGMENTS FRAMES HITS HOPS HYPOTHESES ITEMS LANGUAGES LAYERS LEVELS LINES MEETINGS \
    MESSAGES MISTAKES NOTES NUMBERS OUTPUTS PACKETS PAIRS PIECES POSITIONS PROCESSES PUBLISHERS \
    RECORDINGS REDIRECTS REFUSALS REQUESTS ROUTES ROWS RUNGS SAMPLES SECTIONS SESSIONS SLOTS SPEAKERS \
    STAGES STARTS STEPS STREAMS TAPS TEXTS THREADS THUMBNAILS TIMESTAMPS TOKENS TRIES TRIPLETS TYPES \
    UNITS VALUES VIEWERS WORDS";

/// What a constant's type says about its name.
enum Kind {
    /// The type knows no unit: the name says it.
    Number,
    /// The type has the unit.
    Time,
}

/// Constants of a piece of code with a name that says too little.
#[derive(Default)]
struct Constants {
    vague: Vec<String>,
}

impl Constants {
    fn check(&mut self, name: &Ident, ty: &Type) {
        let name = name.to_string();
        let clear = match kind(ty) {
            Some(Kind::Number) => ends_in_its_unit(&name),
            Some(Kind::Time) => name.contains('_'),
            None => true,
        };
        if !clear {
            self.vague.push(name);
        }
    }
}

fn kind(ty: &Type) -> Option<Kind> {
    let path = match ty {
        // Byte strings have no unit.
        Type::Array(array) => return kind(&array.elem).filter(|_| !is_byte(&array.elem)),
        Type::Path(path) => &path.path,
        _ => return None,
    };
    let last = path.segments.last()?;
    match last.ident.to_string().as_str() {
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" | "i8" | "i16" | "i32" | "i64" | "i128"
        | "isize" | "f32" | "f64" => Some(Kind::Number),
        "Duration" | "ClockTime" => Some(Kind::Time),
        "Range" | "RangeInclusive" => match &last.arguments {
            PathArguments::AngleBracketed(of) => of.args.iter().find_map(|of| match of {
                GenericArgument::Type(of) => kind(of),
                _ => None,
            }),
            _ => None,
        },
        _ => None,
    }
}

fn is_byte(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.path.is_ident("u8"))
}

/// `RETRY_DELAY_MS`, `QUEUE_BYTES_MAX`, `QUEUE_MAX_BYTES`, `VIEWERS_MAX`, `BYTES_PER_S_MIN`.
fn ends_in_its_unit(name: &str) -> bool {
    let words: Vec<&str> = name.split('_').collect();
    let bound = matches!(words.last(), Some(&("MAX" | "MIN")));
    let end = if bound { words.len() - 1 } else { words.len() };
    let end = words[..end].iter().position(|word| *word == "PER").unwrap_or(end);
    let mut known = UNITS.split_whitespace().chain(COUNTED.split_whitespace());
    words.len() > 1 && words[..end].last().is_some_and(|last| known.any(|unit| unit == *last))
}

impl<'a> Visit<'a> for Constants {
    fn visit_item(&mut self, item: &'a Item) {
        if is_for_tests(attributes(item)) {
            return;
        }
        match item {
            Item::Const(constant) => self.check(&constant.ident, &constant.ty),
            Item::Static(constant) => self.check(&constant.ident, &constant.ty),
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item_const(&mut self, constant: &'a syn::ImplItemConst) {
        self.check(&constant.ident, &constant.ty);
    }

    fn visit_trait_item_const(&mut self, constant: &'a syn::TraitItemConst) {
        self.check(&constant.ident, &constant.ty);
    }
}

/// Constants of a file whose names say too little.
pub(crate) fn vague(text: &str) -> Vec<String> {
    let mut constants = Constants::default();
    constants.visit_file(&syn::parse_file(text).expect("Rust"));
    constants.vague
}

/// Whether a file holds tests or helpers of tests.
pub(crate) fn is_test_file(path: &str) -> bool {
    let inside = ["/tests/", "/testing/"].iter().any(|folder| path.contains(folder));
    inside || ["tests.rs", "testing.rs"].iter().any(|name| path.ends_with(name))
}

#[test]
fn a_unit_is_the_last_word() {
    for good in [
        "RETRY_DELAY_MS",
        "QUEUE_BYTES_MAX",
        "WAIT_MAX_NS",
        "CUES_MAX",
        "BYTES_PER_S_MIN",
        "BYTES_PER_PX",
    ] {
        assert!(ends_in_its_unit(good), "{good}");
    }
    for bad in ["MAX", "FRAMES", "RETRY_DELAY", "QUEUE_MAX", "MS_DELAY", "PER_FRAME", "LOSS_MAX"] {
        assert!(!ends_in_its_unit(bad), "{bad}");
    }
}

#[test]
fn constants_are_found_wherever_they_are() {
    let text = "const RATE: u32 = 1; const MAGIC: [u8; 2] = [0; 2]; const RATES: [u32; 1] = [1];
        fn run() { const WAIT: Duration = WAIT_MAX; } impl Codec { const SPAN: Range<f32> = S; }
        #[cfg(test)] mod tests { const N: u8 = 1; }";
    assert_eq!(vague(text), ["RATE", "RATES", "WAIT", "SPAN"]);
}
