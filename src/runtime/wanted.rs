//! The wanted state of a stream: its spec and the preset that it names. This value alone determines
//! what runs. Its edits are pure functions.

use std::sync::Arc;

use super::spec::OUTPUTS_MAX;
use super::{Error, OutputSpec, Preset, StreamSpec};
use crate::media::{Format, Rung, StreamName};
use crate::process::{captions, denoise};

/// A spec that was checked against the appliance, and its preset. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// What the admin wants.
    pub spec: Arc<StreamSpec>,
    /// The preset that the spec names.
    pub preset: Arc<Preset>,
}

impl StreamSpec {
    /// The noise suppression settings. `None` if the graph has none.
    pub(super) fn denoise_with(&self, preset: &Preset) -> Option<denoise::Settings> {
        self.denoise.clone().or_else(|| preset.denoise.clone())
    }

    /// The caption settings. `None` if the graph has none.
    pub(super) fn captions_with(&self, preset: &Preset) -> Option<captions::Settings> {
        self.captions.clone().or_else(|| preset.captions.clone())
    }

    /// The ladder of qualities.
    pub(super) fn ladder_with<'a>(&'a self, preset: &'a Preset) -> &'a [Rung] {
        self.ladder.as_ref().unwrap_or(&preset.ladder)
    }

    /// The rungs of the ladder that are below a source, the largest first.
    pub(super) fn rungs_of<'a>(
        &'a self,
        preset: &'a Preset,
        source: &'a Format,
    ) -> impl Iterator<Item = Rung> + 'a {
        let ladder = self.ladder_with(preset);
        let mut rungs: Vec<Rung> =
            ladder.iter().copied().filter(|rung| rung.is_below(&source.video)).collect();
        rungs.sort_by(|a, b| b.cmp(a));
        rungs.into_iter()
    }

    /// The outputs of the preset and of the stream. An output of the stream replaces the preset's
    /// output of the same id.
    pub(super) fn outputs_with(&self, preset: &Preset) -> Vec<OutputSpec> {
        let own = &self.outputs;
        let inherited = preset.outputs.iter().filter(|p| own.iter().all(|o| o.id != p.id));
        inherited.chain(own).cloned().collect()
    }
}

impl Preset {
    /// Whether an output comes from the preset.
    pub(super) fn has_output(&self, id: &StreamName) -> bool {
        self.outputs.iter().any(|output| output.id == *id)
    }
}

impl Wanted {
    /// Checks the spec together with its preset.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Limit`].
    pub(super) fn new(spec: StreamSpec, preset: Preset) -> Result<Self, Error> {
        spec.validate()?;
        if spec.outputs_with(&preset).len() > OUTPUTS_MAX {
            return Err(Error::Limit("outputs of a stream"));
        }
        Ok(Self { spec: Arc::new(spec), preset: Arc::new(preset) })
    }

    /// The noise suppression settings. `None` if the graph has none.
    pub fn denoise(&self) -> Option<denoise::Settings> {
        self.spec.denoise_with(&self.preset)
    }

    /// The caption settings. `None` if the graph has none.
    pub fn captions(&self) -> Option<captions::Settings> {
        self.spec.captions_with(&self.preset)
    }

    /// The spec of an output of the stream or the preset, including address and token.
    ///
    /// # Errors
    /// [`Error::UnknownOutput`].
    pub fn output(&self, id: &StreamName) -> Result<OutputSpec, Error> {
        let found = self.spec.outputs_with(&self.preset).into_iter().find(|o| o.id == *id);
        found.ok_or_else(|| self.unknown_output(id))
    }

    /// The spec with one more output.
    ///
    /// # Errors
    /// [`Error::OutputExists`], [`Error::Invalid`].
    pub fn with_output(&self, output: OutputSpec) -> Result<StreamSpec, Error> {
        output.kind.check()?;
        if self.output(&output.id).is_ok() {
            let name = self.spec.name.to_string();
            return Err(Error::OutputExists(name, output.id.to_string()));
        }
        let mut spec = (*self.spec).clone();
        spec.outputs.push(output);
        Ok(spec)
    }

    /// The spec with one output replaced by id. A replaced output of the preset becomes the
    /// stream's own.
    ///
    /// # Errors
    /// [`Error::UnknownOutput`], [`Error::Invalid`].
    pub fn with_changed_output(&self, output: OutputSpec) -> Result<StreamSpec, Error> {
        output.kind.check()?;
        self.output(&output.id)?;
        let mut spec = (*self.spec).clone();
        match spec.outputs.iter_mut().find(|own| own.id == output.id) {
            Some(own) => *own = output,
            None => spec.outputs.push(output),
        }
        Ok(spec)
    }

    /// The spec without one output.
    ///
    /// # Errors
    /// [`Error::UnknownOutput`]; [`Error::Invalid`] if it belongs to the preset.
    pub fn without_output(&self, id: &StreamName) -> Result<StreamSpec, Error> {
        if self.preset.has_output(id) {
            return Err(Error::Invalid {
                field: "id".into(),
                message: format!("output `{id}` comes from the preset: stop it instead"),
            });
        }
        self.output(id)?;
        let mut spec = (*self.spec).clone();
        spec.outputs.retain(|output| output.id != *id);
        Ok(spec)
    }

    fn unknown_output(&self, id: &StreamName) -> Error {
        Error::UnknownOutput(self.spec.name.to_string(), id.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{OutputKind, Presets};

    fn name(text: &str) -> StreamName {
        text.parse().expect("a name")
    }

    fn push(id: &str) -> OutputSpec {
        let url = "rtmp://h/a/k";
        OutputSpec {
            id: name(id),
            enabled: true,
            kind: OutputKind::Push(crate::egress::push::PushOutput::new(url)),
        }
    }

    /// A stream of the preset `record`, which has one output named `record`.
    fn wanted(outputs: Vec<OutputSpec>) -> Result<Wanted, Error> {
        let presets = Presets::load(None).expect("built-in presets read");
        let preset = presets.get("record").expect("there").clone();
        Wanted::new(StreamSpec { outputs, ..StreamSpec::new(name("a")) }, preset)
    }

    #[test]
    fn outputs_are_added_changed_and_taken_away_by_id() {
        let one = wanted(vec![push("x")]).expect("valid");
        let ids = |spec: StreamSpec| {
            spec.outputs.iter().map(|o| o.id.to_string()).collect::<Vec<_>>().join(" ")
        };
        let said = |outcome: Result<StreamSpec, Error>| match outcome {
            Ok(spec) => ids(spec),
            Err(error) => error.to_string(),
        };
        assert_eq!(said(one.with_output(push("y"))), "x y");
        assert_eq!(said(one.with_output(push("x"))), "stream `a` already has an output `x`");
        assert_eq!(
            said(one.with_output(push("record"))),
            "stream `a` already has an output `record`"
        );
        assert_eq!(said(one.with_changed_output(push("x"))), "x");
        assert_eq!(said(one.with_changed_output(push("record"))), "x record");
        assert_eq!(said(one.with_changed_output(push("y"))), "stream `a` has no output `y`");
        assert_eq!(said(one.without_output(&name("x"))), "");
        assert_eq!(said(one.without_output(&name("y"))), "stream `a` has no output `y`");
        let kept = said(one.without_output(&name("record")));
        assert!(kept.contains("comes from the preset"), "{kept}");
    }

    #[test]
    fn the_outputs_of_the_preset_count_towards_the_limit() {
        let many = |n: usize| wanted((0..n).map(|i| push(&format!("o{i}"))).collect());
        assert!(many(OUTPUTS_MAX - 1).is_ok());
        assert!(matches!(many(OUTPUTS_MAX), Err(Error::Limit(_))));
    }
}
