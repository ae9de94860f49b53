//! Checks the beginning of a ggml file before whisper.cpp reads it: from a file that is cut off
//! there, whisper.cpp silently builds a model that writes garbage.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// `ggml`, little-endian.
const GGML_MAGIC_NUMBER: u32 = 0x6767_6d6c;

/// The size of Whisper's vocabularies: English only, 99 languages, 100 languages.
const VOCABULARY_WORDS: std::ops::RangeInclusive<u32> = 51_864..=51_870;

/// Numbers in the header after the magic.
const HEADER_NUMBERS: usize = 11;

/// Longest word of a vocabulary, in bytes.
const WORD_BYTES_MAX: u32 = 1024;

/// Checks magic, dimensions, filters and vocabulary.
pub(super) fn check(path: &Path) -> Result<(), String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    read(&mut BufReader::new(file)).map_err(|e| match e.kind() {
        std::io::ErrorKind::UnexpectedEof => "it is cut off".to_owned(),
        _ => e.to_string(),
    })
}

fn read(from: &mut impl Read) -> std::io::Result<()> {
    let wrong = |reason: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, reason);
    if number(from)? != GGML_MAGIC_NUMBER {
        return Err(wrong("it is no ggml file"));
    }
    let mut header = [0; HEADER_NUMBERS];
    for value in &mut header {
        *value = number(from)?;
    }
    if !VOCABULARY_WORDS.contains(&header[0]) {
        return Err(wrong("it is no Whisper model"));
    }
    // Contexts, states, heads, layers of encoder and decoder, mel bands: all small and none zero.
    if header[1..10].iter().any(|n| !(1..=8192).contains(n)) {
        return Err(wrong("its dimensions are absurd"));
    }
    let (bands, bins) = (number(from)?, number(from)?);
    if bands != header[9] || bins > 4096 {
        return Err(wrong("its filters are absurd"));
    }
    skip(from, u64::from(bands) * u64::from(bins) * 4)?;
    let words = number(from)?;
    if words > *VOCABULARY_WORDS.end() {
        return Err(wrong("its vocabulary is absurd"));
    }
    for _ in 0..words {
        let word = number(from)?;
        if word > WORD_BYTES_MAX {
            return Err(wrong("its vocabulary is absurd"));
        }
        skip(from, word.into())?;
    }
    Ok(())
}

fn number(from: &mut impl Read) -> std::io::Result<u32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

/// Skips bytes, within the buffer if possible.
fn skip(from: &mut impl Read, bytes: u64) -> std::io::Result<()> {
    let skipped = std::io::copy(&mut from.take(bytes), &mut std::io::sink())?;
    if skipped < bytes { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A header with a vocabulary of two words.
    fn header(change: impl FnOnce(&mut Vec<u32>)) -> Vec<u8> {
        let mut numbers =
            vec![GGML_MAGIC_NUMBER, 51_865, 1500, 384, 6, 4, 448, 384, 6, 4, 80, 1, 80, 1];
        numbers.extend([0; 80]);
        numbers.push(2);
        change(&mut numbers);
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        for word in ["a", "bcd"] {
            bytes.extend((word.len() as u32).to_le_bytes());
            bytes.extend(word.as_bytes());
        }
        bytes
    }

    fn check(bytes: &[u8]) -> Result<(), String> {
        read(&mut Cursor::new(bytes)).map_err(|e| e.to_string())
    }

    #[test]
    fn only_whole_headers_of_whisper_pass() {
        let whole = header(|_| ());
        assert_eq!(check(&whole), Ok(()));
        for length in 0..whole.len() {
            assert!(check(&whole[..length]).is_err(), "{length} bytes");
        }
        assert!(check(&header(|n| n[0] = 1)).is_err());
        assert!(check(&header(|n| n[1] = 32_000)).is_err());
        assert!(check(&header(|n| n[5] = 0)).is_err());
        assert!(check(&header(|n| n[12] = 128)).is_err());
    }

    #[test]
    fn fuzz_whisper_header() {
        crate::fuzz::run("whisper-header", |bytes| {
            let _ = read(&mut &*bytes);
        });
    }
}
