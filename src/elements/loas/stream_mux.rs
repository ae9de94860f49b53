//! The header of a LOAS frame (ISO/IEC 14496-3, 1.7.2 and 1.7.3).

/// Bytes of an `AudioSyncStream` header.
pub(super) const HEADER_BYTES: usize = 3;

/// The first eleven bits of each frame.
const SYNC_WORD_CODE: u32 = 0x2b7;

/// Sample rates by index (table 1.18), Hz.
const RATES_HZ: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// What a decoder needs before the first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Config {
    /// Sample rate of the core coder, Hz; a frame has 1024 of its samples.
    pub(super) rate_hz: u32,
    /// Number of channels, 1-8.
    pub(super) channels: u32,
}

/// What the beginning of a frame contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// The configuration of the previous frame applies.
    AsBefore,
    /// A configuration.
    Configured(Config),
    /// A configuration that this parser does not understand.
    Unknown,
}

/// Length of the frame that begins here, header included; `None` if none begins.
pub(super) fn frame_bytes(bytes: &[u8]) -> Option<usize> {
    let header: [u8; HEADER_BYTES] = bytes.get(..HEADER_BYTES)?.try_into().ok()?;
    let header = u32::from_be_bytes([0, header[0], header[1], header[2]]);
    let length = (header & 0x1fff) as usize;
    (header >> 13 == SYNC_WORD_CODE && length > 0).then_some(HEADER_BYTES + length)
}

/// Bytes until the first possible frame; all of them if there is none.
pub(super) fn bytes_before_sync(bytes: &[u8]) -> usize {
    let begins = |pair: &[u8]| pair[0] == 0x56 && pair[1] & 0xe0 == 0xe0;
    // The last byte may be the first of a frame.
    bytes.windows(2).position(begins).unwrap_or(bytes.len().saturating_sub(1))
}

/// Parses the `AudioMuxElement` of a whole frame.
pub(super) fn head(frame: &[u8]) -> Head {
    let mut bits = Bits { bytes: frame.get(HEADER_BYTES..).unwrap_or_default(), at: 0 };
    match bits.take(1) {
        Some(1) => Head::AsBefore,
        Some(_) => config(&mut bits).map_or(Head::Unknown, Head::Configured),
        None => Head::Unknown,
    }
}

/// `StreamMuxConfig`, up to the first programme's first layer.
fn config(bits: &mut Bits<'_>) -> Option<Config> {
    let version = bits.take(1)?;
    if version == 1 {
        let is_reserved = bits.take(1)? == 1;
        if is_reserved {
            return None;
        }
        bits.latm_value()?;
    }
    // allStreamsSameTimeFraming, numSubFrames, numProgram, numLayer
    bits.take(1 + 6 + 4 + 3)?;
    if version == 1 {
        bits.latm_value()?;
    }
    audio_specific_config(bits)
}

fn audio_specific_config(bits: &mut Bits<'_>) -> Option<Config> {
    // ISO/IEC 14496-3, 1.6.2.1: values that a longer field follows.
    const ESCAPED_TYPE: u32 = 31;
    const ESCAPED_RATE_INDEX: u32 = 15;
    if bits.take(5)? == ESCAPED_TYPE {
        bits.take(6)?;
    }
    let rate_hz = match bits.take(4)? {
        ESCAPED_RATE_INDEX => bits.take(24)?,
        index => *RATES_HZ.get(index as usize)?,
    };
    let channels = match bits.take(4)? {
        7 => 8,
        configuration @ 1..=6 => configuration,
        _ => return None,
    };
    (rate_hz > 0).then_some(Config { rate_hz, channels })
}

/// Reads bits, the most significant of each byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// Reads at most 32 bits.
    fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for at in self.at..self.at + count {
            let byte = self.bytes.get(at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - at % 8) & 1);
        }
        self.at += count;
        Some(value)
    }

    /// `LatmGetValue`: one to four bytes.
    fn latm_value(&mut self) -> Option<u32> {
        let more = self.take(2)? as usize;
        self.take(8 * (more + 1))
    }
}
