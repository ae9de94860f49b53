//! The properties of both elements. Each class needs its own, because a ParamSpec belongs to one
//! class.

use gst::glib;
use gst::prelude::*;

use super::DenoiseEngine;
use crate::speech::denoise::{Engine, Selection, Strength};

/// Values of the properties.
#[derive(Clone, Debug, Default)]
pub(super) struct Properties {
    pub(super) strength: Strength,
    pub(super) selection: Selection,
}

impl Properties {
    pub(super) fn set(&mut self, name: &str, value: &glib::Value) {
        let Self { strength, selection } = self;
        let switch = || value.get().expect("type checked upstream");
        let number = || value.get().expect("type checked upstream");
        match name {
            "enabled" => strength.enabled = switch(),
            "mix" => strength.mix = number(),
            "max-attenuation-db" => strength.max_attenuation_db = number(),
            "engine" => {
                let engine: DenoiseEngine = value.get().expect("type checked upstream");
                selection.engine = match engine {
                    DenoiseEngine::Auto => Engine::Auto,
                    DenoiseEngine::Dfn3 => Engine::Dfn3,
                    DenoiseEngine::Rnnoise => Engine::Rnnoise,
                };
            }
            "post-filter" => selection.post_filter = switch(),
            "models" => {
                let named: Option<String> = value.get().expect("type checked upstream");
                // No name among them is the current folder, as an empty list would have.
                let folders = |list: &String| {
                    let folders = std::env::split_paths(list);
                    folders.filter(|folder| !folder.as_os_str().is_empty()).collect()
                };
                selection.folders = named.as_ref().map(folders);
            }
            "wait" => selection.wait = switch(),
            name => unreachable!("no writable property `{name}`"),
        }
    }

    pub(super) fn get(&self, name: &str) -> glib::Value {
        let Self { strength, selection } = self;
        match name {
            "enabled" => strength.enabled.to_value(),
            "mix" => strength.mix.to_value(),
            "max-attenuation-db" => strength.max_attenuation_db.to_value(),
            "engine" => match selection.engine {
                Engine::Auto => DenoiseEngine::Auto.to_value(),
                Engine::Dfn3 => DenoiseEngine::Dfn3.to_value(),
                Engine::Rnnoise => DenoiseEngine::Rnnoise.to_value(),
            },
            "post-filter" => selection.post_filter.to_value(),
            "models" => {
                let joined = selection.folders.as_ref().map(std::env::join_paths);
                let joined = joined.and_then(Result::ok);
                joined.map(|list| list.to_string_lossy().into_owned()).to_value()
            }
            "wait" => selection.wait.to_value(),
            name => unreachable!("no property `{name}`"),
        }
    }
}

/// The properties. All may change while playing.
pub(super) fn specs() -> Vec<glib::ParamSpec> {
    let Properties { strength, selection } = Properties::default();
    let switch = |name, nick, blurb, default| {
        let switch = glib::ParamSpecBoolean::builder(name).nick(nick).blurb(blurb);
        switch.default_value(default).mutable_playing().build()
    };
    vec![
        switch(
            "enabled",
            "Enabled",
            "Off passes the sound through untouched, at the same latency",
            strength.enabled,
        ),
        glib::ParamSpecFloat::builder("mix")
            .nick("Mix")
            .blurb("Share of the cleaned sound in the output")
            .minimum(0.0)
            .maximum(1.0)
            .default_value(strength.mix)
            .mutable_playing()
            .build(),
        glib::ParamSpecFloat::builder("max-attenuation-db")
            .nick("Maximum attenuation")
            .blurb("Noise is lowered by at most this much, in dB")
            .minimum(0.0)
            .maximum(100.0)
            .default_value(strength.max_attenuation_db)
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder::<DenoiseEngine>("engine")
            .nick("Engine")
            .blurb("What removes the noise")
            .mutable_playing()
            .build(),
        switch(
            "post-filter",
            "Post-filter",
            "DeepFilterNet lowers more of the noise, at some cost in the voice",
            selection.post_filter,
        ),
        glib::ParamSpecString::builder("models")
            .nick("Models")
            .blurb(
                "Folders with models, joined by colons; none: $AURALINK_MODELS, \
                 /var/lib/auralink/models and ./models",
            )
            .mutable_playing()
            .build(),
        switch(
            "wait",
            "Wait",
            "For files: the first sound waits for DeepFilterNet, which then may take its time",
            selection.wait,
        ),
        glib::ParamSpecFloat::builder("speech-probability")
            .nick("Speech probability")
            .blurb("How likely the last 10 ms hold speech")
            .minimum(0.0)
            .maximum(1.0)
            .read_only()
            .build(),
    ]
}
