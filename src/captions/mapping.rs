//! Which caption service carries which language, and how captions appear on screen.

use std::fmt;
use std::str::FromStr;

use super::cc_data::Field;
use crate::media::Language;

/// A caption service of a programme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// A CEA-608 channel, CC1 to CC4.
    Cc(u8),
    /// A CEA-708 service, 1 to 6.
    Digital(u8),
}

impl Service {
    /// The line 21 field that carries the channel; `None` for CEA-708 services.
    pub fn field(self) -> Option<Field> {
        match self {
            Service::Cc(1 | 2) => Some(Field::One),
            Service::Cc(_) => Some(Field::Two),
            Service::Digital(_) => None,
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Service::Cc(n) => write!(f, "cc{n}"),
            Service::Digital(n) => write!(f, "s{n}"),
        }
    }
}

/// Why a mapping is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MappingError {
    /// No such service.
    #[error("`{}` is no caption service: use cc1 to cc4 or s1 to s6", shortened(.0))]
    Service(String),
    /// An entry without `=`.
    #[error("`{}` is no entry: use service=language pairs such as cc1=en,s1=en", shortened(.0))]
    Entry(String),
    /// Not a language.
    #[error(transparent)]
    Language(#[from] crate::media::LanguageError),
    /// The same service twice.
    #[error("{0} is named twice: a service carries one language")]
    Twice(Service),
    /// Not a mode.
    #[error("`{}` is no mode: use roll-up-2, roll-up-3, roll-up-4 or pop-on", shortened(.0))]
    Mode(String),
    /// A move between 608 and 708.
    #[error(
        "{0} cannot move to {1}: 608 channels move to 608 channels, 708 services to 708 services"
    )]
    Kind(Service, Service),
    /// A move from the second field to the first.
    #[error(
        "{0} cannot move to {1}: the second field carries programme data that the first may not"
    )]
    Backwards(Service, Service),
    /// Moves of one field to two fields.
    #[error("{0} cannot move to {1}: both channels of a field move to the same field")]
    Apart(Service, Service),
}

/// The beginning of an invalid input, for a message.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect::<String>().escape_debug().to_string()
}

impl FromStr for Service {
    type Err = MappingError;

    fn from_str(text: &str) -> Result<Self, MappingError> {
        let text = text.trim().to_ascii_lowercase();
        match text.as_bytes() {
            [b'c', b'c', n @ b'1'..=b'4'] => Ok(Service::Cc(n - b'0')),
            [b's', n @ b'1'..=b'6'] => Ok(Service::Digital(n - b'0')),
            _ => Err(MappingError::Service(text)),
        }
    }
}

/// The language of each service: `cc1=en,cc3=es,s1=en,s2=es`. May be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Services(Vec<(Service, Language)>);

impl Services {
    /// Each service with its language, in the given order.
    pub fn iter(&self) -> impl Iterator<Item = (Service, &Language)> {
        self.0.iter().map(|(service, language)| (*service, language))
    }

    /// Whether there are no services.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Services {
    type Err = MappingError;

    fn from_str(text: &str) -> Result<Self, MappingError> {
        let mut services: Vec<(Service, Language)> = Vec::new();
        for entry in text.split(',').map(str::trim).filter(|e| !e.is_empty()) {
            let (service, language) =
                entry.split_once('=').ok_or_else(|| MappingError::Entry(entry.to_owned()))?;
            let service: Service = service.parse()?;
            if services.iter().any(|(other, _)| *other == service) {
                return Err(MappingError::Twice(service));
            }
            services.push((service, language.trim().parse()?));
        }
        Ok(Self(services))
    }
}

impl fmt::Display for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (service, language)) in self.iter().enumerate() {
            write!(f, "{}{service}={language}", if n > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

/// How captions appear on screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Word by word at the bottom, 2 to 4 rows that roll up: live.
    RollUp(u8),
    /// A whole text at once, loaded before it is displayed: for text known in advance.
    PopOn,
}

impl Default for Mode {
    /// Two rows cover the least of the picture.
    fn default() -> Self {
        Mode::RollUp(2)
    }
}

impl FromStr for Mode {
    type Err = MappingError;

    fn from_str(text: &str) -> Result<Self, MappingError> {
        match text {
            "roll-up-2" => Ok(Mode::RollUp(2)),
            "roll-up-3" => Ok(Mode::RollUp(3)),
            "roll-up-4" => Ok(Mode::RollUp(4)),
            "pop-on" => Ok(Mode::PopOn),
            _ => Err(MappingError::Mode(text.to_owned())),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mode::RollUp(rows) => write!(f, "roll-up-{rows}"),
            Mode::PopOn => f.write_str("pop-on"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_read_and_written_back() {
        for text in ["", "cc1=en", "cc1=en,cc3=es,s1=en,s2=pt-BR"] {
            assert_eq!(text.parse::<Services>().map(|s| s.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(" CC1=EN , ".parse::<Services>().map(|s| s.to_string()), Ok("cc1=en".into()));
        for bad in ["cc5=en", "cc1", "s0=en", "s7=en", "cc1=english", "cc1=en,cc1=es", "ccé=en"] {
            assert!(bad.parse::<Services>().is_err(), "{bad}");
        }
    }

    #[test]
    fn modes_are_read_and_written_back() {
        for text in ["roll-up-2", "roll-up-3", "roll-up-4", "pop-on"] {
            assert_eq!(text.parse::<Mode>().map(|m| m.to_string()), Ok(text.to_owned()));
        }
        assert!("roll-up-5".parse::<Mode>().is_err());
    }
}
