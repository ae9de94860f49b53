//! The captions of one video stream: words in, caption data for each frame out.

use std::time::Duration;

use super::cc_data::{Field, NOTHING, TRIPLETS_MAX, Triplet, packet, triplets_of};
use super::dtvcc::{Dtvcc, DtvccStats};
use super::existing::{Existing, Moves, Source, Theirs};
use super::line21::{Line21, Line21Stats};
use super::mapping::{Mode, Service, Services};
use super::nal::VideoCodec;
use super::schedule::{Frame, Piece, Schedule, ScheduleStats, Slot};
use super::sei::{self, Rewritten};
use crate::media::Cue;

/// Most CEA-608 pairs in one frame, regardless of its duration.
const PAIRS_MAX: usize = 12;

/// Most bytes of service blocks in a packet.
const PACKET_BLOCK_BYTES_MAX: usize = 127;

/// Settings of a captioner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Which service carries which language.
    pub services: Services,
    /// How captions appear on screen.
    pub mode: Mode,
    /// What happens to captions of the source.
    pub existing: Existing,
}

/// Running totals of a captioner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Access units that arrived.
    pub frames: u64,
    /// Access units that were changed: with captions of ours or changed ones of the source.
    pub rewritten: u64,
    /// Access units without a picture.
    pub unread: u64,
    /// Frames that had captions of the source.
    pub existing: u64,
    /// DTVCC packets of the source that could not be moved.
    pub unmoved: u64,
    /// Totals of each CEA-608 channel.
    pub line21: Vec<(Service, Line21Stats)>,
    /// Totals of each CEA-708 service.
    pub dtvcc: Vec<(Service, DtvccStats)>,
    /// Totals of the frame scheduling.
    pub schedule: ScheduleStats,
}

/// Our captions for one frame.
#[derive(Debug, Default)]
struct Content {
    pairs: Vec<(Field, [u8; 2])>,
    blocks: Vec<u8>,
    /// Number of its DTVCC packet, if it has one.
    sequence: Option<u8>,
    /// Number of triplets in the frame.
    count: usize,
}

impl Piece for Content {
    fn absorb(&mut self, earlier: Self) -> bool {
        if self.pairs.len() + earlier.pairs.len() > PAIRS_MAX
            || self.blocks.len() + earlier.blocks.len() > PACKET_BLOCK_BYTES_MAX / 2
        {
            return false;
        }
        self.pairs.splice(0..0, earlier.pairs);
        self.blocks.splice(0..0, earlier.blocks);
        self.sequence = self.sequence.or(earlier.sequence);
        true
    }
}

/// Words in, caption data out, for one video stream.
pub struct Captioner {
    settings: Settings,
    codec: VideoCodec,
    schedule: Schedule<Content>,
    maker: Maker,
    frames: u64,
    rewritten: u64,
    unread: u64,
    existing: u64,
}

/// Produces the content of frames, in the order of presentation.
struct Maker {
    line21: Line21,
    dtvcc: Dtvcc,
    source: Source,
    moves: Moves,
    /// Time for which CEA-608 pairs are still to be sent.
    owed: Duration,
    /// The field that is next.
    field: Field,
    sequence: u8,
    /// Whether the previous frame had service blocks.
    spoke: bool,
}

impl Captioner {
    /// A captioner for a stream of this codec.
    pub fn new(settings: Settings, codec: VideoCodec) -> Self {
        let services = || settings.services.iter().map(|(service, _)| service);
        let moves = match &settings.existing {
            Existing::Move(moves) => moves.clone(),
            Existing::Keep | Existing::Replace => Moves::default(),
        };
        let maker = Maker {
            line21: Line21::new(services(), settings.mode),
            dtvcc: Dtvcc::new(services(), settings.mode),
            source: Source::default(),
            moves,
            owed: Duration::ZERO,
            field: Field::One,
            sequence: 0,
            spoke: false,
        };
        let schedule = Schedule::default();
        Self { settings, codec, schedule, maker, frames: 0, rewritten: 0, unread: 0, existing: 0 }
    }

    /// Sets the codec of the stream from the next frame on.
    pub fn set_codec(&mut self, codec: VideoCodec) {
        self.codec = codec;
    }

    /// Adds a committed cue to every service of its language; returns their number. Its times are
    /// of the same clock as those of frames.
    pub fn push(&mut self, cue: &Cue) -> usize {
        let of_language = |(service, language): (Service, &crate::media::Language)| {
            language.same_language(&cue.language).then_some(service)
        };
        let services: Vec<Service> =
            self.settings.services.iter().filter_map(of_language).collect();
        services.iter().for_each(|service| self.push_to(*service, cue));
        services.len()
    }

    /// Adds a committed cue to one service, whatever its language.
    pub fn push_to(&mut self, service: Service, cue: &Cue) {
        self.maker.line21.push(service, cue);
        self.maker.dtvcc.push(service, cue);
    }

    /// Returns the access unit of a frame with its captions; `None` if it stays unchanged. Frames
    /// come in decoding order.
    pub fn frame(&mut self, unit: &[u8], frame: Frame) -> Option<Rewritten> {
        self.frames += 1;
        let keeps = self.settings.existing == Existing::Keep;
        if keeps && self.settings.services.is_empty() {
            return None;
        }
        let Some(head) = sei::inspect(unit, self.codec) else {
            self.unread += 1;
            return None;
        };
        self.existing += u64::from(!head.captions.is_empty());
        let reordered = self.schedule.is_reordered();
        let theirs = match self.settings.existing {
            Existing::Replace => Theirs::default(),
            _ => self.maker.source.take(&head.captions, &self.maker.moves, frame.pts, reordered),
        };
        let made = if self.settings.services.is_empty() && !self.maker.moves.moves_services() {
            None
        } else {
            let maker = &mut self.maker;
            let span = frame.duration.unwrap_or_default();
            let content = self.schedule.take(frame, |slot| maker.make(slot));
            Some(
                content
                    .unwrap_or_else(|| Content { count: triplets_of(span), ..Content::default() }),
            )
        };
        let triplets = self.maker.merge(made, theirs, frame.pts);
        if triplets == head.captions {
            return None;
        }
        self.rewritten += 1;
        Some(head.rewrite(unit, &triplets))
    }

    /// Running totals.
    pub fn stats(&self) -> Stats {
        Stats {
            frames: self.frames,
            rewritten: self.rewritten,
            unread: self.unread,
            existing: self.existing,
            unmoved: self.maker.source.unmoved,
            line21: self.maker.line21.stats().collect(),
            dtvcc: self.maker.dtvcc.stats().collect(),
            schedule: self.schedule.stats(),
        }
    }
}

impl Maker {
    /// Makes the content for the frame of a slot.
    fn make(&mut self, slot: Slot) -> Content {
        let count = triplets_of(slot.span);
        for field in Field::BOTH {
            if self.source.has_field(field, slot.at) {
                self.line21.give_way(field, slot.at);
            }
        }
        let pairs = self.pairs(slot);
        if self.source.has_services(slot.at) {
            self.dtvcc.give_way(slot.at);
            return Content { pairs, count, ..Content::default() };
        }
        // A packet has one header byte, and each triplet carries two bytes.
        let room = (count.saturating_sub(pairs.len()) * 2).saturating_sub(1);
        let blocks = self.dtvcc.blocks(slot.at, room.min(PACKET_BLOCK_BYTES_MAX));
        // If services of the source are put into our packets, every frame has a packet. Some
        // decoders (mux.js) process a packet only when the next one begins, so an empty one
        // follows.
        let ends = std::mem::replace(&mut self.spoke, !blocks.is_empty());
        let has_packet = self.spoke || ends || self.moves.moves_services();
        let sequence = has_packet.then_some(self.sequence);
        self.sequence = self.sequence.wrapping_add(u8::from(has_packet));
        Content { pairs, blocks, sequence, count }
    }

    /// The due CEA-608 pairs, alternating between the fields: 59.94 per second.
    fn pairs(&mut self, slot: Slot) -> Vec<(Field, [u8; 2])> {
        /// Two fields per frame of 30000/1001 Hz, with one pair each (CEA-608).
        const PAIR_INTERVAL: Duration = Duration::from_nanos(1_001_000_000 / 60);
        self.owed += slot.span;
        let mut pairs = Vec::new();
        // Timestamps are rounded; tolerates a tenth of a pair.
        while self.owed + PAIR_INTERVAL / 10 >= PAIR_INTERVAL && pairs.len() < PAIRS_MAX {
            self.owed = self.owed.saturating_sub(PAIR_INTERVAL);
            let pair = self.line21.pair(self.field, slot.at).unwrap_or(NOTHING);
            pairs.push((self.field, pair));
            self.field = if self.field == Field::One { Field::Two } else { Field::One };
        }
        // A backlog of more than one pair is dropped.
        self.owed = self.owed.min(PAIR_INTERVAL);
        pairs
    }

    /// Merges ours with those of the source. Each field, and CEA-708, belongs to one of them.
    fn merge(&mut self, ours: Option<Content>, theirs: Theirs, at: Duration) -> Vec<Triplet> {
        let count = ours.as_ref().map_or(0, |ours| ours.count);
        let Content { pairs, mut blocks, sequence, .. } = ours.unwrap_or_default();
        let held: [bool; 2] = Field::BOTH.map(|field| self.source.has_field(field, at));
        let is_theirs = |field: Field| held[field.index()];
        let mut merged: Vec<Triplet> = Vec::with_capacity(TRIPLETS_MAX);
        let mut own = pairs.into_iter().filter(|(field, _)| !is_theirs(*field)).peekable();
        let mut others = Field::BOTH.into_iter().flat_map(|field| {
            let pairs = if is_theirs(field) { &theirs.pairs[field.index()][..] } else { &[] };
            pairs.iter().map(move |pair| (field, *pair))
        });
        // Alternates, so that the first pair of each field comes first.
        while own.peek().is_some() || merged.is_empty() {
            let before = merged.len();
            merged.extend(own.next().map(|(field, pair)| Triplet::line21(field, pair)));
            merged.extend(others.next().map(|(field, pair)| Triplet::line21(field, pair)));
            if merged.len() == before {
                break;
            }
        }
        merged.extend(others.map(|(field, pair)| Triplet::line21(field, pair)));
        if !theirs.triplets.is_empty() {
            merged.extend(theirs.triplets);
        } else if let Some(sequence) = sequence.filter(|_| !self.source.has_services(at)) {
            let room = (TRIPLETS_MAX - merged.len().min(TRIPLETS_MAX)) * 2;
            if blocks.len() + theirs.blocks.len() < room {
                blocks.splice(0..0, theirs.blocks);
            } else {
                self.source.unmoved += 1;
            }
            merged.extend(packet(sequence, &blocks));
        } else {
            self.source.unmoved += u64::from(!theirs.blocks.is_empty());
        }
        merged.truncate(TRIPLETS_MAX);
        let full = count.max(merged.len());
        merged.resize(full, Triplet::PADDING);
        merged
    }
}

#[cfg(test)]
mod tests;
