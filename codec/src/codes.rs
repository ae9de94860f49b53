//! The codes of one frame.

/// Most stages that the quantiser has.
pub const STAGES_MAX: usize = 46;

/// Entries of a stage's codebook: a code has 4 bits.
pub const ENTRIES: usize = 16;

/// The codes of one frame, coarse stage first; each is below [`ENTRIES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codes {
    codes: [u8; STAGES_MAX],
    stages: u8,
}

impl Default for Codes {
    fn default() -> Self {
        Self { codes: [0; STAGES_MAX], stages: 0 }
    }
}

impl Codes {
    /// Takes at most [`STAGES_MAX`] codes; only the lowest 4 bits of each count.
    pub fn new(codes: &[u8]) -> Self {
        codes.iter().take(STAGES_MAX).fold(Self::default(), |mut all, code| {
            all.push(*code);
            all
        })
    }

    /// Appends a finer stage, if there is room.
    pub fn push(&mut self, code: u8) {
        if let Some(to) = self.codes.get_mut(usize::from(self.stages)) {
            *to = code % ENTRIES as u8;
            self.stages += 1;
        }
    }

    /// The codes, coarse stage first.
    pub fn as_slice(&self) -> &[u8] {
        &self.codes[..self.stages()]
    }

    /// Number of stages.
    pub fn stages(&self) -> usize {
        usize::from(self.stages)
    }

    /// The same frame with at most this many stages: fewer bits, coarser audio.
    pub fn truncated(&self, stages: usize) -> Self {
        Self::new(&self.codes[..self.stages().min(stages)])
    }
}
