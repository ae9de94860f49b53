//! The writable properties and the statistics.

use gst::glib;
use gst::prelude::*;

use super::{CaptionExisting, CaptionMode};
use crate::captions::{Existing, MappingError, Moves, Settings, Stats};

/// The properties as set; validated when the element starts.
#[derive(Clone, Debug, Default)]
pub(super) struct Properties {
    pub(super) services: String,
    pub(super) mode: CaptionMode,
    pub(super) existing: CaptionExisting,
    pub(super) moves: String,
}

/// Why properties are refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum PropertiesError {
    #[error("services: {0}")]
    Services(#[source] MappingError),
    #[error("moves: {0}")]
    Moves(#[source] MappingError),
    #[error(
        "services: {0} is in the way of captions that the source has and that move there: use \
         another service, or other moves"
    )]
    InTheWay(crate::captions::Service),
}

impl Properties {
    /// Parses the properties.
    pub(super) fn settings(&self) -> Result<Settings, PropertiesError> {
        let services = self.services.parse().map_err(PropertiesError::Services)?;
        let existing = match self.existing {
            CaptionExisting::Keep => Existing::Keep,
            CaptionExisting::Replace => Existing::Replace,
            CaptionExisting::Move => {
                let moves: Moves = self.moves.parse().map_err(PropertiesError::Moves)?;
                if let Some(service) = moves.in_the_way(&services) {
                    return Err(PropertiesError::InTheWay(service));
                }
                Existing::Move(moves)
            }
        };
        Ok(Settings { services, mode: self.mode.into(), existing })
    }
}

/// The properties; all may change while the element is stopped.
pub(super) fn specs() -> Vec<glib::ParamSpec> {
    vec![
        glib::ParamSpecString::builder("services")
            .nick("Services")
            .blurb("Which service carries which language: cc1=en,cc3=es,s1=en,s2=es")
            .mutable_ready()
            .build(),
        glib::ParamSpecEnum::builder::<CaptionMode>("mode")
            .nick("Mode")
            .blurb("How captions move on screen")
            .mutable_ready()
            .build(),
        glib::ParamSpecEnum::builder::<CaptionExisting>("existing")
            .nick("Existing captions")
            .blurb("What becomes of captions that the source has")
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("moves")
            .nick("Moves")
            .blurb("Where captions of the source move with existing=move: cc1=cc3,s1=s2")
            .mutable_ready()
            .build(),
        glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
            .nick("Statistics")
            .blurb("What was sent, dropped and found; per service words, late, unspelled, yielded")
            .read_only()
            .build(),
    ]
}

/// The statistics as a structure: `frames`, `rewritten` …, and `words-cc1`, `late-cc1` … per
/// service.
pub(super) fn stats(stats: &Stats) -> gst::Structure {
    let mut out = gst::Structure::builder("auralink-caption-stats")
        .field("frames", stats.frames)
        .field("rewritten", stats.rewritten)
        .field("unread", stats.unread)
        .field("existing", stats.existing)
        .field("unmoved", stats.unmoved)
        .field("lost", stats.schedule.lost)
        .field("unplanned", stats.schedule.unplanned)
        .field("jumps", stats.schedule.jumps)
        .build();
    let mut add = |service, counts: [(&str, u64); 4]| {
        for (name, count) in counts {
            out.set(format!("{name}-{service}"), count);
        }
    };
    for (service, s) in &stats.line21 {
        let counts = [
            ("words", s.words),
            ("late", s.late),
            ("unspelled", s.unspelled),
            ("yielded", s.yielded),
        ];
        add(*service, counts);
    }
    for (service, s) in &stats.dtvcc {
        let counts = [
            ("words", s.words),
            ("late", s.late),
            ("unspelled", s.unspelled),
            ("yielded", s.yielded),
        ];
        add(*service, counts);
    }
    out
}
