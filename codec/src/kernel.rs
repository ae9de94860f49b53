//! Rows times a matrix, where nearly all of the time goes.
//!
//! The loops run over columns, so that the compiler makes vectors of any width of them. A row's sums
//! are always added in the same order: its result does not depend on the rows beside it.

/// Rows of the matrix that are added in one go, so that sums are loaded and stored less often. All
/// widths of the network are multiples of it.
const DEPTHS: usize = 4;

/// A matrix, or one per group of channels.
pub(crate) struct Matrix {
    /// `[group][depth][column]`.
    weights: Vec<f32>,
    /// Start of each sum: `[group][column]`.
    start: Vec<f32>,
    depth: usize,
    columns: usize,
}

/// Where a row's values are: `taps` pieces of `width` values, `distance` apart; a group's pieces
/// begin `width` after those of the group before it.
#[derive(Clone, Copy)]
pub(crate) struct Pieces {
    pub(crate) taps: usize,
    pub(crate) width: usize,
    pub(crate) distance: usize,
}

impl Matrix {
    /// The matrices of `weight(group, depth, column)`; `start` has groups x columns values.
    pub(crate) fn new(
        (depth, columns): (usize, usize),
        start: Vec<f32>,
        weight: impl Fn(usize, usize, usize) -> f32,
    ) -> Self {
        let size = depth * columns;
        let at = |at: usize| weight(at / size, at % size / columns, at % columns);
        let weights = (0..start.len() * depth).map(at).collect();
        Self { weights, start, depth, columns }
    }

    /// Columns of the result, all groups together.
    pub(crate) fn width(&self) -> usize {
        self.start.len()
    }

    /// The product of each row, whose first piece begins at its offset in `from`; `to` has
    /// [`Self::width`] values per row.
    pub(crate) fn times(&self, from: &[f32], rows: &[usize], pieces: Pieces, to: &mut [f32]) {
        debug_assert_eq!(pieces.taps * pieces.width, self.depth);
        debug_assert_eq!(to.len(), rows.len() * self.width());
        let job = Job { matrix: self, from, pieces };
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
        {
            // SAFETY: the processor has what the function is compiled for.
            #[expect(unsafe_code, reason = "instructions are chosen at run time")]
            unsafe {
                run_avx2(&job, rows, to);
            }
            return;
        }
        // NEON is part of every aarch64 and multiplies and adds in one step.
        const FUSED: bool = cfg!(target_arch = "aarch64");
        job.run::<FUSED>(rows, to);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2(job: &Job, rows: &[usize], to: &mut [f32]) {
    job.run::<true>(rows, to);
}

struct Job<'a> {
    matrix: &'a Matrix,
    from: &'a [f32],
    pieces: Pieces,
}

// All is inlined, so that it is compiled anew for each set of instructions.
impl Job<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(&self, rows: &[usize], to: &mut [f32]) {
        let width = self.matrix.width();
        for to in to.chunks_exact_mut(width) {
            to.copy_from_slice(&self.matrix.start);
        }
        let size = self.matrix.depth * self.matrix.columns;
        for (group, weights) in self.matrix.weights.chunks_exact(size).enumerate() {
            let column = group * self.matrix.columns;
            // Two rows at a time, so that weights are loaded half as often.
            for (rows, to) in rows.chunks(2).zip(to.chunks_mut(2 * width)) {
                let (one, two) = to.split_at_mut(width);
                let one = &mut one[column..][..self.matrix.columns];
                match rows {
                    [first, second] => {
                        let two = &mut two[column..][..self.matrix.columns];
                        self.pair::<FUSED>([*first, *second], group, weights, (one, two));
                    }
                    rows => {
                        let from = rows.first().map_or(0, |row| *row);
                        self.single::<FUSED>(from, group, weights, one);
                    }
                }
            }
        }
    }

    /// The values of a row, four at a time.
    #[inline(always)]
    fn values(&self, row: usize, group: usize, tap: usize) -> &[[f32; DEPTHS]] {
        let Pieces { width, distance, .. } = self.pieces;
        self.from[row + group * width + tap * distance..][..width].as_chunks().0
    }

    #[inline(always)]
    fn single<const FUSED: bool>(&self, row: usize, group: usize, weights: &[f32], to: &mut [f32]) {
        let mut weights = weights.chunks_exact(DEPTHS * to.len());
        for tap in 0..self.pieces.taps {
            for (x, weights) in self.values(row, group, tap).iter().zip(&mut weights) {
                let [a, b, c, d] = quarters(weights);
                for ((((to, a), b), c), d) in to.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                    *to = add::<FUSED>(*to, x, [*a, *b, *c, *d]);
                }
            }
        }
    }

    #[inline(always)]
    fn pair<const FUSED: bool>(
        &self,
        rows: [usize; 2],
        group: usize,
        weights: &[f32],
        (one, two): (&mut [f32], &mut [f32]),
    ) {
        let mut weights = weights.chunks_exact(DEPTHS * one.len());
        for tap in 0..self.pieces.taps {
            let [first, second] = rows.map(|row| self.values(row, group, tap));
            // The weights come last: a zip that ends first must not have taken any.
            for ((x, y), weights) in first.iter().zip(second).zip(&mut weights) {
                let [a, b, c, d] = quarters(weights);
                let sums = one.iter_mut().zip(two.iter_mut());
                for (((((one, two), a), b), c), d) in sums.zip(a).zip(b).zip(c).zip(d) {
                    let weights = [*a, *b, *c, *d];
                    *one = add::<FUSED>(*one, x, weights);
                    *two = add::<FUSED>(*two, y, weights);
                }
            }
        }
    }
}

/// Four rows of weights.
#[inline(always)]
fn quarters(weights: &[f32]) -> [&[f32]; DEPTHS] {
    let columns = weights.len() / DEPTHS;
    std::array::from_fn(|at| &weights[at * columns..][..columns])
}

#[inline(always)]
fn add<const FUSED: bool>(sum: f32, x: &[f32; DEPTHS], weights: [f32; DEPTHS]) -> f32 {
    x.iter().zip(weights).fold(
        sum,
        |sum, (x, weight)| {
            if FUSED { x.mul_add(weight, sum) } else { sum + x * weight }
        },
    )
}

/// In place: values below zero count three tenths.
pub(crate) fn leaky(values: &mut [f32]) {
    for value in values {
        *value = value.max(*value * LEAK_RATIO);
    }
}

/// Slope of the activation below zero, as in training.
pub(crate) const LEAK_RATIO: f32 = 0.3;

#[cfg(test)]
mod tests {
    use super::*;

    /// Values between -1 and 1 without a pattern.
    fn values(count: usize) -> Vec<f32> {
        (0..count).map(|i| (i * 7_919 % 1_009) as f32 / 504.5 - 1.0).collect()
    }

    /// Two groups of two taps, five rows.
    #[test]
    fn every_set_of_instructions_gives_the_product() {
        let (taps, width, columns, groups) = (2, 8, 24, 2);
        let weights = values(groups * taps * width * columns);
        let at = |group, depth, column| (group * taps * width + depth) * columns + column;
        let weight = |group, depth, column| weights[at(group, depth, column)];
        let matrix = Matrix::new((taps * width, columns), values(groups * columns), weight);
        let pieces = Pieces { taps, width, distance: groups * width };
        let rows: Vec<usize> = (0..5).map(|row| row * 16).collect();
        let from = values(16 * 5 + 16);
        let sum = |row: usize, column: usize| {
            let (group, own) = (column / columns, column % columns);
            let depths = (0..taps).flat_map(|tap| (0..width).map(move |at| (tap, at)));
            let products = depths.map(|(tap, at)| {
                let x = from[rows[row] + tap * pieces.distance + group * width + at];
                f64::from(x) * f64::from(weight(group, tap * width + at, own))
            });
            products.sum::<f64>() + f64::from(matrix.start[column])
        };
        let mut found = [(); 3].map(|()| vec![0.0; rows.len() * matrix.width()]);
        matrix.times(&from, &rows, pieces, &mut found[0]);
        let job = Job { matrix: &matrix, from: &from, pieces };
        job.run::<false>(&rows, &mut found[1]);
        job.run::<true>(&rows, &mut found[2]);
        for found in found {
            for (at, found) in found.iter().enumerate() {
                let wanted = sum(at / matrix.width(), at % matrix.width());
                assert!((f64::from(*found) - wanted).abs() < 1e-5, "{at}: {found}, not {wanted}");
            }
        }
    }
}
