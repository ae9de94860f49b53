//! The range coder: symbols with frequencies out of 2^15 <-> bytes.
//!
//! Byte by byte with 32 bits of state, carries propagate into bytes already written. A reader takes
//! zeros past the end, so the writer leaves out what zeros say.

/// Bits of the sum of all frequencies.
pub(crate) const TOTAL_BITS: u32 = 15;

/// Sum of all frequencies.
pub(crate) const TOTAL: u32 = 1 << TOTAL_BITS;

/// Below this range the top byte is settled.
const SETTLED: u32 = 1 << 24;

/// A symbol's place among all: where its frequencies start, and how many they are.
pub(crate) type Place = (u32, u32);

pub(crate) struct RangeWriter {
    low: u32,
    range: u32,
    bytes: Vec<u8>,
}

impl RangeWriter {
    pub(crate) fn new() -> Self {
        Self { low: 0, range: u32::MAX, bytes: Vec::new() }
    }

    pub(crate) fn put(&mut self, (start, count): Place) {
        let share = self.range >> TOTAL_BITS;
        let (low, over) = self.low.overflowing_add(start * share);
        if over {
            self.carry();
        }
        (self.low, self.range) = (low, count * share);
        while self.range < SETTLED {
            self.bytes.push((self.low >> 24) as u8);
            (self.low, self.range) = (self.low << 8, self.range << 8);
        }
    }

    fn carry(&mut self) {
        for byte in self.bytes.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                break;
            }
        }
    }

    /// The fewest bytes that, followed by zeros, say these symbols.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let (low, end) = (u64::from(self.low), u64::from(self.low) + u64::from(self.range));
        // A byte is always enough, since the range is not below 2^24; often none is needed.
        for (step, is_byte) in [(1_u64 << 32, false), (1 << 24, true)] {
            let value = low.next_multiple_of(step);
            if value < end {
                if value >> 32 != 0 {
                    self.carry();
                }
                if is_byte {
                    self.bytes.push((value >> 24) as u8);
                }
                break;
            }
        }
        let used = self.bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        self.bytes.truncate(used);
        self.bytes
    }
}

pub(crate) struct RangeReader<'a> {
    value: u32,
    range: u32,
    rest: std::slice::Iter<'a, u8>,
}

impl<'a> RangeReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let mut reader = Self { value: 0, range: u32::MAX, rest: bytes.iter() };
        for _ in 0..4 {
            reader.shift();
        }
        reader
    }

    fn shift(&mut self) {
        let next = self.rest.next().copied().unwrap_or(0);
        self.value = self.value << 8 | u32::from(next);
    }

    /// The frequency that the bytes point at, which is of the next symbol; `None` if no writer
    /// writes such bytes.
    pub(crate) fn peek(&self) -> Option<u32> {
        let at = self.value / (self.range >> TOTAL_BITS);
        (at < TOTAL).then_some(at)
    }

    /// Goes on behind a symbol that has the frequency of [`Self::peek`].
    pub(crate) fn take(&mut self, (start, count): Place) {
        let share = self.range >> TOTAL_BITS;
        self.value -= start * share;
        self.range = count * share;
        while self.range < SETTLED {
            self.shift();
            self.range <<= 8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(places: &[Place]) -> Vec<u8> {
        let mut writer = RangeWriter::new();
        places.iter().for_each(|place| writer.put(*place));
        writer.finish()
    }

    #[test]
    fn zeros_at_the_end_are_left_out() {
        assert!(written(&[]).is_empty());
        assert!(written(&[(0, 1); 3]).is_empty());
        assert!(written(&[(0, TOTAL - 1); 200]).is_empty());
    }

    #[test]
    fn a_carry_goes_as_far_as_it_must() {
        // The last symbols of all: many bytes of 0xff, then one step beyond them.
        let mut places = vec![(TOTAL - 1, 1); 4];
        places.push((1, TOTAL - 1));
        for count in 0..40 {
            places.push((TOTAL / 2 - count, TOTAL / 2));
            let bytes = written(&places);
            let mut reader = RangeReader::new(&bytes);
            for (start, count) in &places {
                let at = reader.peek().expect("written");
                assert!((*start..start + count).contains(&at));
                reader.take((*start, *count));
            }
        }
    }
}
