//! Video and audio of a file, counted by timestamps.

use std::path::Path;

use serde_json::Value;

use crate::support::client::output;
use crate::support::s;

/// Gaps in audio shorter than this are rounding, s.
const STEP_S: f64 = 0.005;

/// The media received of a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    pub(super) video: Option<Pictures>,
    pub(super) audio: Option<Sound>,
    /// Why nothing could be counted.
    pub(super) failure: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Pictures {
    pub(super) codec: String,
    pub(super) count: u64,
    /// Frames that are missing between the first and the last.
    pub(super) missing: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Sound {
    pub(super) codec: String,
    pub(super) seconds: f64,
    /// Missing audio between the first and the last sample, s.
    pub(super) missing_s: f64,
}

impl Counted {
    pub(super) fn failed(why: impl Into<String>) -> Self {
        Self { failure: Some(why.into()), ..Self::default() }
    }

    /// Only gaps, without media.
    pub(super) fn holes(pictures: u64, sound_s: f64) -> Self {
        let codec = String::new;
        Self {
            video: Some(Pictures { codec: codec(), count: 0, missing: pictures }),
            audio: Some(Sound { codec: codec(), seconds: 0.0, missing_s: sound_s }),
            failure: None,
        }
    }

    /// This many frames.
    pub(super) fn pictures(count: u64) -> Self {
        let pictures = Pictures { codec: String::new(), count, missing: 0 };
        Self { video: Some(pictures), ..Self::default() }
    }

    /// Concatenates two parts; what is missing between them is not counted.
    pub(super) fn and(mut self, other: Self) -> Self {
        match (&mut self.video, other.video) {
            (Some(all), Some(more)) => {
                all.count += more.count;
                all.missing += more.missing;
            }
            (none, more) => *none = none.take().or(more),
        }
        match (&mut self.audio, other.audio) {
            (Some(all), Some(more)) => {
                all.seconds += more.seconds;
                all.missing_s += more.missing_s;
            }
            (none, more) => *none = none.take().or(more),
        }
        self.failure = self.failure.or(other.failure);
        self
    }
}

/// Counts the media of a file of any container, without decoding.
pub(super) async fn file(path: &Path, fps: f64) -> Counted {
    let entries = "stream=index,codec_type,codec_name:packet=stream_index,pts_time,duration_time";
    let text = path.display().to_string();
    let args = ["-v", "error", "-of", "json", "-show_entries", entries, &text];
    let (_, said) = output("ffprobe", &args, s(60)).await;
    // Its complaints precede or follow the JSON object.
    let json = said.find('{').zip(said.rfind('}')).map(|(from, to)| &said[from..=to]);
    let probed: Value = json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    let mut counted = Counted::default();
    for stream in probed["streams"].as_array().into_iter().flatten() {
        let codec = stream["codec_name"].as_str().unwrap_or("unknown").to_owned();
        let packets = packets(&probed["packets"], &stream["index"]);
        match stream["codec_type"].as_str() {
            _ if packets.is_empty() => {}
            Some("video") => counted.video = Some(pictures(codec, &packets, fps)),
            Some("audio") => counted.audio = Some(sound(codec, &packets)),
            _ => {}
        }
    }
    if counted.video.is_none() && counted.audio.is_none() {
        counted.failure = Some(said.lines().next().unwrap_or("nothing is in it").to_owned());
    }
    counted
}

/// Time and duration of each packet of a stream, in order.
fn packets(all: &Value, index: &Value) -> Vec<(f64, f64)> {
    let number = |value: &Value| value.as_str().and_then(|text| text.parse::<f64>().ok());
    let mut found: Vec<(f64, f64)> = all
        .as_array()
        .into_iter()
        .flatten()
        .filter(|packet| &packet["stream_index"] == index)
        .filter_map(|p| Some((number(&p["pts_time"])?, number(&p["duration_time"]).unwrap_or(0.0))))
        .collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    // A duration that ffprobe does not know (Opus in fragments) lasts until the next packet.
    let mut last = 0.0;
    for index in 0..found.len() {
        if found[index].1 <= 0.0 {
            found[index].1 = found.get(index + 1).map_or(last, |next| next.0 - found[index].0);
        }
        last = found[index].1;
    }
    found
}

fn pictures(codec: String, packets: &[(f64, f64)], fps: f64) -> Pictures {
    let times: Vec<f64> = packets.iter().map(|(at, _)| *at).collect();
    Pictures { codec, count: times.len() as u64, missing: missing_pictures(&times, fps) }
}

/// Counts by the total time and by single steps, and takes the lower: a slightly wrong frame rate
/// is no gap, and neither is one uneven step.
pub(super) fn missing_pictures(times: &[f64], fps: f64) -> u64 {
    let [first, .., last] = times else { return 0 };
    let due = ((last - first) * fps).round() as u64 + 1;
    let in_steps: f64 =
        times.windows(2).map(|pair| ((pair[1] - pair[0]) * fps - 0.6).floor().max(0.0)).sum();
    due.saturating_sub(times.len() as u64).min(in_steps as u64)
}

/// MP4 hides gaps by stretching a packet until the next one; so durations are capped.
fn sound(codec: String, packets: &[(f64, f64)]) -> Sound {
    let mut lengths: Vec<f64> = packets.iter().map(|(_, length)| *length).collect();
    lengths.sort_by(f64::total_cmp);
    let usual = lengths.get(lengths.len() / 2).copied().unwrap_or_default();
    let packets: Vec<(f64, f64)> = packets
        .iter()
        .map(|(at, length)| (*at, if *length > usual + STEP_S { usual } else { *length }))
        .collect();
    let seconds = packets.iter().map(|(_, length)| length).sum();
    let steps = packets.windows(2).map(|pair| pair[1].0 - pair[0].0 - pair[0].1);
    Sound { codec, seconds, missing_s: steps.filter(|step| *step > STEP_S).sum() }
}

#[test]
fn holes_are_counted_and_jitter_is_not() {
    let at = |frames: &[f64]| frames.iter().map(|n| n / 25.0).collect::<Vec<_>>();
    let check = |frames: &[f64], expect: u64| {
        assert_eq!(missing_pictures(&at(frames), 25.0), expect, "{frames:?}");
    };
    check(&[0.0, 1.0, 2.0, 3.0], 0);
    check(&[0.0, 1.4, 2.1, 3.0], 0);
    check(&[0.0, 1.0, 3.0, 4.0], 1);
    check(&[0.0, 10.0], 9);
    check(&[5.0], 0);
}
