//! Probes which encoders work on this machine.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::encoder_probe::{self, Trial};
use super::encoder_settings::{RECIPES, Recipe};
use crate::media::Codec;

/// A working encoder, chosen for a codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoder {
    /// The codec that it produces.
    pub codec: Codec,
    /// Factory name, as `gst-inspect-1.0` knows it.
    pub factory: String,
}

/// What became of one encoder that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Probed {
    /// What it makes.
    #[schema(value_type = String)]
    pub codec: Codec,
    /// Factory name, as `gst-inspect-1.0` knows it.
    pub factory: String,
    /// Whether it encoded frames.
    pub works: bool,
    /// Whether it is the one used for its codec.
    pub chosen: bool,
    /// Why it is chosen, passed over or does not work, in words.
    pub reason: String,
    /// How long it took to start and encode five small frames, in milliseconds.
    pub millis: f64,
}

/// All known encoders, tested on this machine, per codec in the order of preference. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub struct Encoders(Arc<Vec<Probed>>);

impl Encoders {
    /// Tests every encoder: each encodes five small frames, all at the same time. On an idle
    /// machine this takes well under a second. GStreamer must be initialised.
    ///
    /// `preferred` names, per codec, the factories to be used before all others.
    ///
    /// Blocks, about four and a half seconds if an encoder hangs; call it before the server starts,
    /// or through `spawn_blocking`.
    pub fn probe(preferred: &BTreeMap<Codec, Vec<String>>) -> Self {
        Self::from_trials(&encoder_probe::here(&[]), preferred)
    }

    /// The same in a separate process, so that an encoder that aborts does not end this one.
    ///
    /// `child` builds the command that prints [`encoder_probe::here`] as one line of JSON, for the
    /// factories in its arguments, or for all. If that process cannot be started, this process
    /// tests them.
    pub fn probe_apart(
        preferred: &BTreeMap<Codec, Vec<String>>,
        child: impl Fn() -> std::process::Command,
    ) -> Self {
        let trials = encoder_probe::apart(child).unwrap_or_else(|error| {
            tracing::warn!(%error, "encoders are tried in this process");
            encoder_probe::here(&[])
        });
        Self::from_trials(&trials, preferred)
    }

    fn from_trials(trials: &[Trial], preferred: &BTreeMap<Codec, Vec<String>>) -> Self {
        let probed = |recipe: &Recipe| {
            let trial = trials.iter().find(|t| t.factory == recipe.factory);
            let outcome = trial.map_or(Err("it was not tried"), |t| {
                t.outcome.as_ref().map(|ms| *ms).map_err(String::as_str)
            });
            Probed {
                codec: recipe.codec,
                factory: recipe.factory.to_owned(),
                works: outcome.is_ok(),
                chosen: false,
                reason: outcome.err().unwrap_or_default().to_owned(),
                millis: outcome.unwrap_or_default(),
            }
        };
        Self(Arc::new(choose(RECIPES.iter().map(probed).collect(), preferred)))
    }

    /// The encoder to use for a codec; `None` if none works.
    pub fn best(&self, codec: Codec) -> Option<Encoder> {
        let chosen = self.0.iter().find(|probed| probed.codec == codec && probed.chosen)?;
        Some(Encoder { codec, factory: chosen.factory.clone() })
    }

    /// All tested encoders.
    pub fn list(&self) -> &[Probed] {
        &self.0
    }
}

#[cfg(test)]
impl Encoders {
    /// The same encoders without those for `codec`.
    pub(super) fn none_for(codec: Codec, all: &Self) -> Self {
        Self(Arc::new(all.0.iter().filter(|probed| probed.codec != codec).cloned().collect()))
    }
}

/// Sorts the tested encoders, the preferred ones first, marks the first working one of each codec
/// and sets the reasons.
fn choose(mut list: Vec<Probed>, preferred: &BTreeMap<Codec, Vec<String>>) -> Vec<Probed> {
    for (codec, factories) in preferred {
        for factory in factories {
            if !list.iter().any(|p| p.codec == *codec && p.factory == *factory) {
                tracing::warn!(%codec, %factory, "preferred encoder is not one that we can drive");
            }
        }
    }
    let wish = |probed: &Probed| {
        let wishes = preferred.get(&probed.codec)?;
        wishes.iter().position(|factory| *factory == probed.factory)
    };
    // Stable: encoders without a preference keep their order.
    list.sort_by_key(|probed| (probed.codec, wish(probed).unwrap_or(usize::MAX)));
    let mut chosen: Option<(Codec, String)> = None;
    for probed in &mut list {
        if !probed.works {
            continue;
        }
        match &chosen {
            Some((codec, first)) if *codec == probed.codec => {
                probed.reason = format!("works, but {first} comes first");
            }
            _ => {
                probed.chosen = true;
                let why = if wish(probed).is_some() { "preferred" } else { "first that works" };
                probed.reason = why.to_owned();
                chosen = Some((probed.codec, probed.factory.clone()));
            }
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probed(codec: Codec, factory: &str, works: bool) -> Probed {
        Probed {
            codec,
            factory: factory.into(),
            works,
            chosen: false,
            reason: "broken".into(),
            millis: 1.0,
        }
    }

    fn check(preferred: &[&str], expect: &str) {
        let list = vec![
            probed(Codec::H264, "gpu", false),
            probed(Codec::H264, "fast", true),
            probed(Codec::H264, "slow", true),
            probed(Codec::Opus, "opus", true),
        ];
        let wishes = preferred.iter().map(|factory| (*factory).to_owned()).collect();
        let encoders = Encoders(Arc::new(choose(list, &BTreeMap::from([(Codec::H264, wishes)]))));
        let best = encoders.best(Codec::H264).expect("one works");
        assert_eq!(best.factory, expect, "preferring {preferred:?}");
        assert_eq!(encoders.best(Codec::Opus).map(|e| e.factory).as_deref(), Some("opus"));
        assert_eq!(encoders.best(Codec::Vp8), None);
    }

    #[test]
    fn the_first_that_works_is_chosen_unless_another_is_preferred() {
        check(&[], "fast");
        check(&["slow"], "slow");
        check(&["gpu", "slow"], "slow");
        check(&["unheard-of"], "fast");
    }

    #[test]
    fn what_this_machine_has_is_really_tried() {
        gst::init().expect("GStreamer starts");
        let encoders = Encoders::probe(&BTreeMap::new());
        for probed in encoders.list() {
            let installed = gst::ElementFactory::find(&probed.factory).is_some();
            assert!(installed || !probed.works, "{probed:?}");
            assert_eq!(probed.works, probed.millis > 0.0, "{probed:?}");
            assert!(!probed.reason.is_empty(), "{probed:?}");
        }
        // The Debian packages that the appliance depends on provide these.
        for codec in [Codec::H264, Codec::Vp8, Codec::Opus, Codec::Aac] {
            assert!(encoders.best(codec).is_some(), "{codec}: {:#?}", encoders.list());
        }
    }
}
