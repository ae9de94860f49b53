//! Trickled candidates (`application/trickle-ice-sdpfrag`, RFC 8840).

use super::candidate::is_ice_text;
use super::{Candidate, Invalid, TEXT_BYTES_MAX};

/// Most candidates in one fragment.
const CANDIDATES_MAX: usize = 64;

/// Update that a peer sends after its offer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    /// User name fragment of its ICE generation; a new one requests an ICE restart.
    pub ufrag: Option<String>,
    /// Password of that generation.
    pub password: Option<String>,
    /// Candidates. All media share one transport, so their sections do not matter.
    pub candidates: Vec<Candidate>,
}

impl Fragment {
    /// Parses a fragment.
    ///
    /// # Errors
    /// [`Invalid`] when it is too large or malformed.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Invalid::new(format!("it is larger than {} KiB", TEXT_BYTES_MAX >> 10)));
        }
        let mut fragment = Self::default();
        for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
            if !line.contains('=') {
                return Err(Invalid::new("a line without `=`"));
            }
            let Some((name, value)) = line.strip_prefix("a=").and_then(|a| a.split_once(':'))
            else {
                continue;
            };
            let ice_text = || (is_ice_text(value) && value.len() <= 256).then(|| value.to_owned());
            match name {
                "ice-ufrag" => fragment.ufrag = fragment.ufrag.take().or_else(ice_text),
                "ice-pwd" => fragment.password = fragment.password.take().or_else(ice_text),
                "candidate" if fragment.candidates.len() < CANDIDATES_MAX => {
                    fragment.candidates.extend(Candidate::parse(value));
                }
                _ => {}
            }
        }
        Ok(fragment)
    }
}
