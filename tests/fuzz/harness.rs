//! A small mutational fuzzer for the parsers of this crate, on stable Rust.
//!
//! Each target has a folder in `tests/fuzz/corpus/` with real inputs and every input that ever
//! found a fault. These run first, unchanged; then mutations of them until the time ends. A mutated
//! real input passes the checks at the front of a parser, which arbitrary bytes (proptest) rarely
//! do. Coverage-guided fuzzers need a nightly compiler or an engine to install; seeds that reach
//! every branch replace them here.
//!
//! `AURALINK_FUZZ_SECONDS` sets the time per target; the default is one second. With the variable
//! the mutations differ in each run and the seed is printed; without it they are always the same,
//! so that a test does not fail by chance.

use std::cell::RefCell;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Longest mutated input, bytes, unless a seed is longer.
const LENGTH_MAX: usize = 16 << 10;

/// A parser that takes longer for one input hangs. Generous, for loaded test machines.
const CASE_MAX: Duration = Duration::from_secs(10);

/// Most mutations of one input.
const MUTATIONS_MAX: usize = 8;

/// Attempts to shorten a failing input.
const SHORTENINGS_MAX: usize = 256;

/// Numbers at the limits of fields.
const EDGES: [u32; 12] =
    [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

/// Runs a parser over the corpus of `target` and mutations of it.
///
/// # Panics
/// If the parser panics or hangs; the input is then in `target/fuzz/`.
pub(crate) fn run(target: &str, parse: impl FnMut(&[u8])) {
    run_with(target, &[], parse);
}

/// The same with more seeds, from elsewhere in the tree.
pub(crate) fn run_with(target: &str, more: &[&[u8]], parse: impl FnMut(&[u8])) {
    let seconds = std::env::var("AURALINK_FUZZ_SECONDS").ok().and_then(|s| s.parse::<f64>().ok());
    let seed = if seconds.is_some() { rand::rng().random() } else { 0 };
    let (start, limit) = (Instant::now(), Duration::from_secs_f64(seconds.unwrap_or(1.0)));
    let mut seeds = corpus(target);
    seeds.extend(more.iter().map(|seed| seed.to_vec()));
    assert!(!seeds.is_empty(), "{target}: tests/fuzz/corpus/{target}/ has no seed");
    let check = Check { target, parse: RefCell::new(parse) };
    seeds.iter().for_each(|input| check.one(input));
    let mut mutator = Mutator { rng: StdRng::seed_from_u64(seed), seeds: &seeds };
    let mut cases = 0_u64;
    while start.elapsed() < limit {
        for _ in 0..64 {
            check.one(&mutator.make());
        }
        cases += 64;
    }
    let kept = seeds.len();
    eprintln!("{target}: {kept} of the corpus, {cases} mutations of them (seed {seed})");
}

/// The stored inputs of a target, in the order of their names.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = root().join("tests/fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).expect("a file of the corpus is readable")).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs one input and stores it if it fails.
struct Check<'a, F> {
    target: &'a str,
    parse: RefCell<F>,
}

impl<F: FnMut(&[u8])> Check<'_, F> {
    fn one(&self, input: &[u8]) {
        let started = Instant::now();
        if self.fails(input) {
            let shortest = self.shortened(input);
            panic!("{}: a panic by {}", self.target, self.keep(&shortest));
        }
        let took = started.elapsed();
        assert!(took < CASE_MAX, "{}: {took:?} for {}", self.target, self.keep(input));
    }

    fn fails(&self, input: &[u8]) -> bool {
        let mut parse = self.parse.borrow_mut();
        catch_unwind(AssertUnwindSafe(|| parse(input))).is_err()
    }

    /// A shorter input that fails too, found by removing ever smaller pieces.
    fn shortened(&self, input: &[u8]) -> Vec<u8> {
        let (mut best, mut tries) = (input.to_vec(), 0);
        let mut piece = best.len() / 2;
        while piece > 0 && tries < SHORTENINGS_MAX {
            let mut at = 0;
            while at < best.len() && tries < SHORTENINGS_MAX {
                let end = (at + piece).min(best.len());
                let candidate = [&best[..at], &best[end..]].concat();
                tries += 1;
                if self.fails(&candidate) {
                    best = candidate;
                } else {
                    at = end;
                }
            }
            piece /= 2;
        }
        best
    }

    /// Writes an input to a file; returns what to do with it.
    fn keep(&self, input: &[u8]) -> String {
        let folder = root().join("target/fuzz").join(self.target);
        let sum = input
            .iter()
            .fold(0xcbf2_9ce4_u32, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
        let path = folder.join(format!("{sum:08x}"));
        let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, input));
        let start = input[..input.len().min(64)].escape_ascii();
        match written {
            Ok(()) => format!(
                "{} ({} bytes: {start}); copy it to tests/fuzz/corpus/{} and mend the parser",
                path.display(),
                input.len(),
                self.target
            ),
            Err(error) => format!("{} bytes, which cannot be kept ({error}): {start}", input.len()),
        }
    }
}

/// Makes inputs out of seeds.
struct Mutator<'a> {
    rng: StdRng,
    seeds: &'a [Vec<u8>],
}

impl Mutator<'_> {
    fn make(&mut self) -> Vec<u8> {
        let mut input = self.seed().to_vec();
        let longest = LENGTH_MAX.max(input.len());
        for _ in 0..self.rng.random_range(1..=MUTATIONS_MAX) {
            self.mutate(&mut input);
        }
        input.truncate(longest);
        input
    }

    fn seed(&mut self) -> &[u8] {
        let index = self.rng.random_range(0..self.seeds.len());
        &self.seeds[index]
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let (at, end) = self.range(input.len());
        match self.rng.random_range(0..10) {
            0 => {
                input.drain(at..end);
            }
            1 => input.truncate(at),
            2 => {
                let piece = input[at..end].to_vec();
                let to = self.rng.random_range(0..=input.len());
                input.splice(to..to, piece);
            }
            3 => {
                let other = self.seed().to_vec();
                let (from, to) = self.range(other.len());
                input.splice(at..end, other[from..to].iter().copied());
            }
            4 => {
                let mut fresh = vec![0; self.rng.random_range(1..16)];
                self.rng.fill(&mut fresh[..]);
                input.splice(at..at, fresh);
            }
            5 => self.put_number(input, at),
            6 => {
                let edge = EDGES[self.rng.random_range(0..EDGES.len())];
                input.splice(at..end, edge.to_string().into_bytes());
            }
            7 => {
                let byte = *b"\0\xff \t\n\r\"'\\/:;,.=?&%#{}[]()<>-+*@!".get(at % 34).unwrap_or(&0);
                input.insert(at, byte);
            }
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.rng.random_range(0..8);
                }
            }
        }
    }

    /// A range within `length` bytes, preferably short.
    fn range(&mut self, length: usize) -> (usize, usize) {
        let at = self.rng.random_range(0..=length);
        let longest = 1 << self.rng.random_range(0..12);
        (at, length.min(at + self.rng.random_range(0..=longest)))
    }

    /// Overwrites a field with a number at a limit of its range, in either byte order.
    fn put_number(&mut self, input: &mut [u8], at: usize) {
        let edge = EDGES[self.rng.random_range(0..EDGES.len())];
        let mut bytes = edge.to_be_bytes()[self.rng.random_range(0..4)..].to_vec();
        if self.rng.random() {
            bytes.reverse();
        }
        let room = input.len().saturating_sub(at).min(bytes.len());
        input[at..at + room].copy_from_slice(&bytes[..room]);
    }
}
