//! How likely each code is, given those before it in its packet: a small net per stage, in integers.
//!
//! Both ends must find the same frequencies to the last bit, so nothing here is a float, and no sum
//! can overflow: [`Context::read`] refuses weights with which one could.

use crate::LATENT_VALUES;
use crate::codes::{ENTRIES, STAGES_MAX};
use crate::range::TOTAL;
use crate::weights::{ModelError, Weights};

/// Sums of entries that a net looks at: of this frame, of the one before, of the one before that.
const SUMS: usize = 3;
const INPUTS: usize = SUMS * LATENT_VALUES;
const HIDDEN: usize = 48;
/// What the output looks at: the hidden values, and the sum of this frame.
const OUT_INPUTS: usize = HIDDEN + LATENT_VALUES;
/// Frames into the packet: none before it, one, or more.
const AGES: usize = 3;
/// Largest input, in sixteenths: far above what speech makes.
const INPUT_MAX: i32 = 2047;
/// Largest hidden value.
const HIDDEN_MAX: i32 = 1023;
/// Largest shift of a sum.
const SHIFT_MAX: i32 = 24;
/// Entries of the table of powers.
const POWERS: usize = 384;
/// Value of the first of them: e^0.
const POWER_MAX: i32 = 65_536;
/// Frequencies that are shared by likelihood; every code has one besides.
const SHARED: i32 = TOTAL as i32 - ENTRIES as i32;
/// Largest start of a sum: with it the difference of any two sums stays below 2^31.
const START_MAX: i32 = 1 << 29;

/// A sum of entries, in sixteenths.
pub(crate) type Sum = [i32; LATENT_VALUES];

pub(crate) struct Context {
    entries: Vec<[[i16; LATENT_VALUES]; ENTRIES]>,
    stages: Vec<Net>,
    powers: [i32; POWERS],
}

struct Net {
    hidden: [[i16; INPUTS]; HIDDEN],
    hidden_start: [[i32; HIDDEN]; AGES],
    out: [[i16; OUT_INPUTS]; ENTRIES],
    out_start: [[i32; ENTRIES]; AGES],
    shifts: [i32; 2],
}

impl Context {
    pub(crate) fn read(weights: &Weights) -> Result<Self, ModelError> {
        let n = STAGES_MAX;
        let byte = (-128, 127);
        let start = (-START_MAX, START_MAX);
        let word = (i16::MIN.into(), i16::MAX.into());
        let entries = weights.integers("context.books", &[n, ENTRIES, LATENT_VALUES], word)?;
        let hidden = weights.integers("context.hidden.weight", &[n, HIDDEN, INPUTS], byte)?;
        let hidden_start = weights.integers("context.hidden.bias", &[n, AGES, HIDDEN], start)?;
        let out = weights.integers("context.out.weight", &[n, ENTRIES, OUT_INPUTS], byte)?;
        let out_start = weights.integers("context.out.bias", &[n, AGES, ENTRIES], start)?;
        let shifts = weights.integers("context.shift", &[n, 2], (0, SHIFT_MAX))?;
        let table = weights.integers("context.exp", &[POWERS], (0, POWER_MAX))?;
        let mut powers = [0; POWERS];
        powers.copy_from_slice(&table);
        // Some code is always likeliest, so that frequencies are never shared by nobody.
        powers[0] = powers[0].max(1);
        let (entries, hidden, out) = (short(&entries), short(&hidden), short(&out));
        let hidden = hidden.as_chunks().0.as_chunks().0;
        let hidden_start = hidden_start.as_chunks().0.as_chunks().0;
        let out = out.as_chunks().0.as_chunks().0;
        let out_start = out_start.as_chunks().0.as_chunks().0;
        let shifts = shifts.as_chunks().0;
        let net = |stage: usize| Net {
            hidden: hidden[stage],
            hidden_start: hidden_start[stage],
            out: out[stage],
            out_start: out_start[stage],
            shifts: shifts[stage],
        };
        let stages = (0..STAGES_MAX).map(net).collect();
        Ok(Self { entries: entries.as_chunks().0.as_chunks().0.to_vec(), stages, powers })
    }

    /// Adds an entry to a sum.
    pub(crate) fn add(&self, stage: usize, code: u8, sum: &mut Sum) {
        let entry = &self.entries[stage][usize::from(code)];
        sum.iter_mut().zip(entry).for_each(|(sum, value)| *sum += i32::from(*value));
    }

    /// Frequencies of the codes of a stage, which are 2^15 together and each at least 1. `past`: the
    /// sums of the two frames before in the packet, zeros where there is none; `age`: how many there
    /// are.
    pub(crate) fn frequencies(
        &self,
        stage: usize,
        age: usize,
        now: &Sum,
        past: [&Sum; 2],
    ) -> [u32; ENTRIES] {
        let net = &self.stages[stage];
        let mut inputs = [0; INPUTS];
        for (to, from) in inputs.iter_mut().zip(now.iter().chain(past[0]).chain(past[1])) {
            *to = (*from).clamp(-INPUT_MAX, INPUT_MAX) as i16;
        }
        let age = age.min(AGES - 1);
        let mut seen = [0; OUT_INPUTS];
        for ((to, row), start) in seen.iter_mut().zip(&net.hidden).zip(&net.hidden_start[age]) {
            *to = ((start + dot(row, &inputs)) >> net.shifts[0]).clamp(0, HIDDEN_MAX) as i16;
        }
        seen[HIDDEN..].copy_from_slice(&inputs[..LATENT_VALUES]);
        let mut logits = [0; ENTRIES];
        for ((to, row), start) in logits.iter_mut().zip(&net.out).zip(&net.out_start[age]) {
            *to = (start + dot(row, &seen)) >> net.shifts[1];
        }
        self.shares(&logits)
    }

    fn shares(&self, logits: &[i32; ENTRIES]) -> [u32; ENTRIES] {
        let most = logits.iter().copied().max().unwrap_or(0);
        let powers = logits.map(|l| self.powers[((most - l) as usize).min(POWERS - 1)]);
        let sum: i32 = powers.iter().sum();
        let mut shares = powers.map(|p| (1 + p * SHARED / sum) as u32);
        let rest = TOTAL - shares.iter().sum::<u32>();
        if let Some(at) = logits.iter().position(|l| *l == most) {
            shares[at] += rest;
        }
        shares
    }
}

fn short(values: &[i32]) -> Vec<i16> {
    values.iter().map(|v| *v as i16).collect()
}

fn dot(a: &[i16], b: &[i16]) -> i32 {
    a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}
