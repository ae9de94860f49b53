//! The changes that a reload must apply. Pure.

use super::Config;
use crate::control::stream_service::Changes;
use crate::media::StreamName;

/// The difference between the running and the wanted configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diff {
    /// Changes to streams.
    pub streams: Changes,
    /// Changed settings that take effect only after a restart.
    pub restart: Vec<&'static str>,
}

impl Diff {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Compares two configurations as written. A stream that is equal in both is in none of the lists,
/// so a reload does not affect it.
pub fn diff(old: &Config, new: &Config) -> Diff {
    let mut changes = Changes::default();
    for stream in &new.streams {
        match old.streams.iter().find(|s| s.name == stream.name) {
            None => changes.create.push(stream.clone()),
            Some(before) if before != stream => changes.update.push(stream.clone()),
            Some(_) => {}
        }
    }
    let gone = |name: &StreamName| !new.streams.iter().any(|s| s.name == *name);
    changes.remove = old.streams.iter().map(|s| s.name.clone()).filter(gone).collect();
    Diff { streams: changes, restart: sections_that_differ(old, new) }
}

/// Changed sections other than the streams. Destructured without `..`, so that the compiler reports
/// a section that is missing here.
fn sections_that_differ(old: &Config, new: &Config) -> Vec<&'static str> {
    let Config {
        state_dir,
        presets,
        demo,
        log,
        database,
        api,
        rtmp,
        srt,
        webrtc,
        cluster,
        sources,
        hls,
        recordings,
        stt,
        translate,
        tts,
        onnx,
        models,
        limits,
        streams: _,
    } = new;
    let sections = [
        ("state_dir", old.state_dir == *state_dir),
        ("presets", old.presets == *presets),
        ("demo", old.demo == *demo),
        ("log", old.log == *log),
        ("database", old.database == *database),
        ("api", old.api == *api),
        ("rtmp", old.rtmp == *rtmp),
        ("srt", old.srt == *srt),
        ("webrtc", old.webrtc == *webrtc),
        ("cluster", old.cluster == *cluster),
        ("sources", old.sources == *sources),
        ("hls", old.hls == *hls),
        ("recordings", old.recordings == *recordings),
        ("stt", old.stt == *stt),
        ("translate", old.translate == *translate),
        ("tts", old.tts == *tts),
        ("onnx", old.onnx == *onnx),
        ("models", old.models == *models),
        ("limits", old.limits == *limits),
    ];
    sections.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;
    use crate::runtime::StreamSpec;

    fn config(text: &str) -> Config {
        parse("f", text).expect("parses")
    }

    #[test]
    fn only_what_changed_is_touched() {
        let old = config(
            "[[streams]]\nname = \"same\"\n[[streams]]\nname = \"other\"\n[[streams]]\nname = \"gone\"\n",
        );
        let new = config(
            "[limits]\nviewers = 9\n[[streams]]\nname = \"new\"\n[[streams]]\nname = \"same\"\n\
             [[streams]]\nname = \"other\"\nlinger_s = 5\n",
        );
        let found = diff(&old, &new);
        let names = |list: &[StreamSpec]| -> Vec<String> {
            list.iter().map(|s| s.name.to_string()).collect()
        };
        assert_eq!(names(&found.streams.create), ["new"]);
        assert_eq!(names(&found.streams.update), ["other"]);
        assert_eq!(
            found.streams.remove.iter().map(StreamName::as_str).collect::<Vec<_>>(),
            ["gone"]
        );
        assert_eq!(found.restart, ["limits"]);
        assert!(diff(&new, &new).is_empty());
    }

    #[test]
    fn every_section_that_changed_is_named() {
        let new = config(
            "presets = \"/p\"\ndemo = true\n[log]\nlevel = \"warn\"\n[database]\nconnections_max = 9\n[api]\nopen_metrics = true\n\
             [rtmp]\nenabled = false\n[srt]\nenabled = false\n[webrtc]\nice_tcp = false\n[cluster]\nidle_s = 9\n\
             [hls]\nsegment_s = 3\n[recordings]\nfolder = \"/r\"\n[stt]\nthreads = 1\n\
             [translate]\ntimeout_ms = 300\n[tts]\ntimeout_ms = 300\n[onnx]\ndevice = \"cpu\"\n\
             [models]\nfolders = [\"/m\"]\n[limits]\nstreams = 1\n",
        );
        let expect = [
            "presets",
            "demo",
            "log",
            "database",
            "api",
            "rtmp",
            "srt",
            "webrtc",
            "cluster",
            "hls",
            "recordings",
            "stt",
            "translate",
            "tts",
            "onnx",
            "models",
            "limits",
        ];
        assert_eq!(diff(&config(""), &new).restart, expect);
    }

    #[test]
    fn order_in_the_file_does_not_matter() {
        let a = config("[[streams]]\nname = \"a\"\n[[streams]]\nname = \"b\"\n");
        let b = config("[[streams]]\nname = \"b\"\n[[streams]]\nname = \"a\"\n");
        assert!(diff(&a, &b).is_empty());
    }
}
