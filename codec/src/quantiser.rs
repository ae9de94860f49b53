//! The residual quantiser: a frame's latent as the sum of one entry per stage.

use crate::codes::{Codes, ENTRIES, STAGES_MAX};
use crate::kernel::{Matrix, Pieces};
use crate::weights::{ModelError, Weights};
use crate::{LATENT_VALUES, Latent};

/// Paths that the search keeps. One is greedy; 64 are no better than 16.
const PATHS: usize = 16;

pub(crate) struct Quantiser {
    stages: Vec<Stage>,
}

struct Stage {
    entries: [Latent; ENTRIES],
    /// Residual -> for each entry, half its square less its product with the residual.
    scores: Matrix,
}

/// A choice of entries so far.
#[derive(Clone, Copy)]
struct Path {
    residual: Latent,
    /// Path of the stage before, and the entry that was added to it.
    from: (u8, u8),
}

impl Quantiser {
    pub(crate) fn read(weights: &Weights) -> Result<Self, ModelError> {
        let shape = [STAGES_MAX, ENTRIES, LATENT_VALUES];
        let values = weights.floats("books", &shape)?;
        let (entries, _) = values.as_chunks::<LATENT_VALUES>();
        let stages = entries.as_chunks::<ENTRIES>().0.iter().map(Stage::new).collect();
        Ok(Self { stages })
    }

    pub(crate) fn sum(&self, codes: &Codes) -> Latent {
        let mut sum = [0.0; LATENT_VALUES];
        for (stage, code) in self.stages.iter().zip(codes.as_slice()) {
            let entry = &stage.entries[usize::from(*code)];
            sum.iter_mut().zip(entry).for_each(|(sum, value)| *sum += value);
        }
        sum
    }

    /// The codes with the least squared error among the paths that were kept.
    pub(crate) fn search(&self, latent: &Latent, stages: usize) -> Codes {
        let stages = &self.stages[..stages.min(STAGES_MAX)];
        let mut paths = vec![Path { residual: *latent, from: (0, 0) }];
        let mut history = Vec::with_capacity(stages.len());
        for stage in stages {
            paths = stage.extend(&paths);
            history.push(paths.iter().map(|p| p.from).collect::<Vec<_>>());
        }
        let errors = paths.iter().map(|p| power(&p.residual));
        let best = errors.enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
        let mut at = best.map_or(0, |(at, _)| at);
        let mut codes = [0; STAGES_MAX];
        for (code, stage) in codes.iter_mut().zip(&history).rev() {
            let (before, entry) = stage[at];
            (*code, at) = (entry, before.into());
        }
        Codes::new(&codes[..stages.len()])
    }
}

impl Stage {
    fn new(entries: &[Latent; ENTRIES]) -> Self {
        let halves = entries.iter().map(|e| power(e) / 2.0).collect();
        let scores =
            Matrix::new((LATENT_VALUES, ENTRIES), halves, |_, value, entry| -entries[entry][value]);
        Self { entries: *entries, scores }
    }

    /// The best paths that have one entry more.
    fn extend(&self, paths: &[Path]) -> Vec<Path> {
        let residuals: Vec<f32> = paths.iter().flat_map(|p| p.residual).collect();
        let rows: Vec<usize> = (0..paths.len()).map(|row| row * LATENT_VALUES).collect();
        let pieces = Pieces { taps: 1, width: LATENT_VALUES, distance: 0 };
        let mut scores = vec![0.0; paths.len() * ENTRIES];
        self.scores.times(&residuals, &rows, pieces, &mut scores);
        let mut candidates: Vec<(f32, u16)> = Vec::with_capacity(scores.len());
        for ((at, path), scores) in paths.iter().enumerate().zip(scores.chunks_exact(ENTRIES)) {
            let before = power(&path.residual) / 2.0;
            let candidate =
                |(entry, score): (usize, &f32)| (before + score, (at * ENTRIES + entry) as u16);
            candidates.extend(scores.iter().enumerate().map(candidate));
        }
        if candidates.len() > PATHS {
            candidates.select_nth_unstable_by(PATHS - 1, |a, b| a.0.total_cmp(&b.0));
            candidates.truncate(PATHS);
        }
        let path = |(_, which): &(f32, u16)| {
            let (at, entry) = (usize::from(*which) / ENTRIES, usize::from(*which) % ENTRIES);
            let mut residual = paths[at].residual;
            residual.iter_mut().zip(&self.entries[entry]).for_each(|(r, value)| *r -= value);
            Path { residual, from: (at as u8, entry as u8) }
        };
        candidates.iter().map(path).collect()
    }
}

fn power(values: &Latent) -> f32 {
    // Sums of eight lanes, so that it is vectors of any width.
    let mut sums = [0.0; 8];
    for values in values.as_chunks::<8>().0 {
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value * value);
    }
    sums.iter().sum()
}
