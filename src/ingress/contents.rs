//! The tracks of a media file, and which of them a stream takes.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use gst::prelude::*;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::flow::files::Opened;
use crate::flow::{Blame, Error, Node, Tracks, containers, kind_of};
use crate::media::Offered;
use crate::mpegts::{Tables, Taken};

/// How long to wait for the first media of each track, which carries its language.
const MEDIA_WAIT_MAX: Duration = Duration::from_secs(3);

/// Bytes to read for the tables of a transport stream, which repeat several times a second.
const TABLES_BYTES_MAX: u64 = 8 << 20;

/// Which tracks of a file are taken.
#[derive(Debug, Default)]
pub(super) enum Chosen {
    /// The first track of each kind: nothing more is known about the file.
    #[default]
    First,
    /// Tracks from the tables of a transport stream.
    Transport(Taken),
    /// Labels of tracks by the name of their `parsebin` pad; `None` if a track is not taken.
    Pads(BTreeMap<String, Option<String>>),
}

impl Chosen {
    /// Applies the stream's track choice. Tracks that are not taken are listed in its notes.
    ///
    /// # Errors
    /// If the requested program is not in the file.
    pub(super) async fn new(
        file: &Opened,
        tables: Option<&Tables>,
        tracks: &Tracks,
    ) -> Result<Self, Error> {
        if let Some(tables) = tables.filter(|tables| !tables.numbers().is_empty()) {
            return Self::of_transport(tables, tracks);
        }
        let (wish, notes) = tracks.choice.without_numbers();
        notes.into_iter().for_each(|note| tracks.report.note(note));
        let found = look(file, tracks).await?;
        let offered: Vec<Offered> =
            found.iter().enumerate().map(|(index, found)| found.offered(index)).collect();
        let picked = wish.pick(&offered, "the file");
        picked.notes.into_iter().for_each(|note| tracks.report.note(note));
        // Tracks that are neither video nor audio are noted where their pad cannot be connected.
        let media = offered.into_iter().enumerate().filter(|(_, track)| track.kind.is_some());
        let named = media.map(|(index, track)| {
            let taken = picked.taken.contains(&index).then_some(track.label);
            (found[index].pad.clone(), taken)
        });
        Ok(Self::Pads(named.collect()))
    }

    fn of_transport(tables: &Tables, tracks: &Tracks) -> Result<Self, Error> {
        let taken = Taken::choose(tables, &tracks.choice);
        taken.notes.iter().for_each(|note| tracks.report.note(note));
        let there = taken.program.is_some_and(|number| tables.numbers().contains(&number));
        match (there, taken.notes.first()) {
            (false, Some(note)) => {
                Err(Error::refused(Blame::Input, note, "correct `tracks.program` of the stream"))
            }
            _ => Ok(Self::Transport(taken)),
        }
    }

    /// Selects the program in the demuxer, once `parsebin` has plugged it.
    pub(super) fn steer(&self, parsebin: &gst::Element) {
        let (Self::Transport(Taken { program: Some(program), .. }), Some(bin)) =
            (self, parsebin.downcast_ref::<gst::Bin>())
        else {
            return;
        };
        let program = i32::from(*program);
        bin.connect_element_added(move |_, element| {
            if element.factory().is_some_and(|factory| factory.name() == "tsdemux") {
                element.set_property("program-number", program);
            }
        });
    }

    /// The label of a pad's track. `None` if the track is not taken.
    pub(super) fn of_pad(&self, pad: &gst::Pad) -> Option<String> {
        let unknown = || Some(format!("track `{}`", pad.name()));
        match self {
            Self::First => unknown(),
            Self::Transport(taken) => taken.of_stream(&pad.stream_id().unwrap_or_default()),
            Self::Pads(pads) => pads.get(pad.name().as_str()).cloned().unwrap_or_else(unknown),
        }
    }
}

/// Reads the tables of a transport stream that begins with `head`. Blocks.
pub(super) fn read_tables(head: &[u8], file: &mut impl Read) -> std::io::Result<Tables> {
    let mut tables = Tables::default();
    tables.push(head);
    let (mut rest, mut piece) = (file.take(TABLES_BYTES_MAX), vec![0; 256 << 10]);
    while !tables.are_complete() {
        match rest.read(&mut piece)? {
            0 => break,
            length => tables.push(&piece[..length]),
        };
    }
    Ok(tables)
}

/// One track of a file.
#[derive(Clone, Debug)]
struct Found {
    /// Name of the pad.
    pad: String,
    caps: gst::Caps,
    /// Whether its first media has arrived, which carries its tags.
    came: bool,
    language: Option<String>,
}

impl Found {
    fn is_known(&self) -> bool {
        self.came || kind_of(&self.caps).is_none()
    }

    fn offered(&self, index: usize) -> Offered {
        let label = format!("track {}", index + 1);
        let media = self.caps.structure(0).map_or("unknown", |s| s.name().as_str());
        let mut name = format!("{label} ({media})");
        if let Some(language) = &self.language {
            name.push_str(&format!(", language {language}"));
        }
        let (kind, language) = (kind_of(&self.caps), self.language.clone());
        Offered { label, name, kind, pid: None, language }
    }
}

/// The tracks of a file, in the order of `parsebin`'s pads, which is always the same. A file that
/// cannot be read up to the first media of each track is refused only when it is played.
async fn look(file: &Opened, tracks: &Tracks) -> Result<Vec<Found>, Error> {
    let node = Node::parse("file look", "filesrc name=in ! parsebin name=demux")?;
    node.element("in")?.set_property("location", file.handle());
    let demux = node.element("demux")?;
    containers::guard(&demux);
    let (tell, mut all) = watch::channel(Vec::<Found>::new());
    let (tell, swallow) = (Arc::new(tell), tracks.clone());
    let pipeline = node.pipeline().downgrade();
    demux.connect_pad_added(move |_, pad| {
        let Some(pipeline) = pipeline.upgrade() else { return };
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let found = Found { pad: pad.name().into(), caps, came: false, language: None };
        tell.send_modify(|all| all.push(found));
        let tell = Arc::clone(&tell);
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, _| {
            let (name, language) = (pad.name(), language_of(pad));
            tell.send_modify(|all| {
                if let Some(found) = all.iter_mut().find(|found| found.pad == name.as_str()) {
                    (found.came, found.language) = (true, language);
                }
            });
            gst::PadProbeReturn::Remove
        });
        swallow.ignore_pad(&pipeline, pad, "", "");
    });
    node.start().await?;
    let known = async {
        let whole = |all: &Vec<Found>| !all.is_empty() && all.iter().all(Found::is_known);
        // The sender lives as long as the pipeline.
        let _ = all.wait_for(whole).await;
    };
    let never = CancellationToken::new();
    tokio::select! {
        () = known => {}
        // The end of the file, or an error.
        _ = node.run(&never) => {}
        () = tokio::time::sleep(MEDIA_WAIT_MAX) => {}
    }
    node.stop().await?;
    Ok(all.borrow().clone())
}

/// The language in the tags of a pad.
fn language_of(pad: &gst::Pad) -> Option<String> {
    let tags = (0..).map_while(|n| pad.sticky_event::<gst::event::Tag>(n));
    let languages = tags.filter_map(|event| {
        event.tag().get::<gst::tags::LanguageCode>().map(|code| code.get().to_owned())
    });
    // `und` is ISO 639-2 for undetermined.
    languages.map(|code| code.to_ascii_lowercase()).find(|code| code != "und")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A null packet (ISO/IEC 13818-1 2.4.3.3).
    const NULL: [u8; 188] = {
        let mut packet = [0xff; 188];
        (packet[0], packet[1], packet[3]) = (0x47, 0x1f, 0x10);
        packet
    };

    #[test]
    fn tables_that_come_late_are_found() {
        let made = std::process::Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", "sine=duration=1"])
            .args(["-c:a", "aac", "-f", "mpegts", "-"])
            .output()
            .expect("ffmpeg runs");
        let check = |nulls: usize, expect: &[u16]| {
            let file = [NULL.repeat(nulls), made.stdout.clone()].concat();
            let (head, mut rest) = file.split_at(file.len().min(1000 * NULL.len()));
            let tables = read_tables(head, &mut rest).expect("memory can be read");
            assert_eq!(tables.numbers(), expect, "behind {nulls} packets");
            assert_eq!(tables.are_complete(), !expect.is_empty());
        };
        check(0, &[1]);
        check(10_000, &[1]);
        // The file is then played without them.
        check(60_000, &[]);
    }
}
