//! The codes of one packet <-> bytes.

use crate::LATENT_VALUES;
use crate::codes::{Codes, ENTRIES};
use crate::context::Sum;
use crate::network::Model;
use crate::range::{Place, RangeReader, RangeWriter};

const NOTHING: Sum = [0; LATENT_VALUES];

/// What is known of a packet while its frames are coded, oldest first.
struct Known {
    past: [Sum; 2],
    age: usize,
}

impl Known {
    fn new() -> Self {
        Self { past: [NOTHING; 2], age: 0 }
    }

    fn frame(&mut self, sum: Sum) {
        self.past = [sum, self.past[0]];
        self.age += 1;
    }
}

impl Model {
    /// The bytes of the frames of a packet, oldest first.
    pub fn pack<'a>(&self, frames: impl IntoIterator<Item = &'a Codes>) -> Vec<u8> {
        let (mut writer, mut known) = (RangeWriter::new(), Known::new());
        for frame in frames {
            let mut sum = NOTHING;
            for (stage, code) in frame.as_slice().iter().enumerate() {
                writer.put(place(&self.likely(stage, &sum, &known), *code));
                self.context.add(stage, *code, &mut sum);
            }
            known.frame(sum);
        }
        writer.finish()
    }

    /// The frames of a packet that has these numbers of stages, oldest first; `None` if the bytes
    /// are not exactly those that [`Self::pack`] makes of them.
    pub fn unpack(
        &self,
        stages: impl IntoIterator<Item = usize>,
        bytes: &[u8],
    ) -> Option<Vec<Codes>> {
        let (mut reader, mut known) = (RangeReader::new(bytes), Known::new());
        let (mut frames, mut again) = (Vec::new(), RangeWriter::new());
        for stages in stages {
            let (mut sum, mut codes) = (NOTHING, Codes::default());
            for stage in 0..stages {
                let shares = self.likely(stage, &sum, &known);
                let code = holder(&shares, reader.peek()?);
                let place = place(&shares, code);
                reader.take(place);
                again.put(place);
                codes.push(code);
                self.context.add(stage, code, &mut sum);
            }
            known.frame(sum);
            frames.push(codes);
        }
        (again.finish() == bytes).then_some(frames)
    }

    fn likely(&self, stage: usize, sum: &Sum, known: &Known) -> [u32; ENTRIES] {
        self.context.frequencies(stage, known.age, sum, [&known.past[0], &known.past[1]])
    }
}

fn place(shares: &[u32; ENTRIES], code: u8) -> Place {
    let code = usize::from(code);
    (shares[..code].iter().sum(), shares[code])
}

/// The code that holds this frequency.
fn holder(shares: &[u32; ENTRIES], at: u32) -> u8 {
    let mut end = 0;
    let ends = shares.iter().map(|share| {
        end += share;
        end
    });
    ends.take_while(|end| *end <= at).count() as u8
}
