//! Captions of the source: kept, replaced, or moved to another channel or service.

use std::str::FromStr;
use std::time::Duration;

use super::cc_data::{Field, Kind, NOTHING, Triplet, with_parity};
use super::mapping::{MappingError, Service, Services};

/// How long after its last caption data the source counts as using a field or services.
const PRESENCE_TIMEOUT: Duration = Duration::from_secs(10);

/// What happens to captions of the source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// They stay, and ours yield: in the line 21 fields that the source uses, and in all of CEA-708
    /// if the source has any service.
    #[default]
    Keep,
    /// They are removed.
    Replace,
    /// They move, and ours take their place. Those without a move stay, as with `Keep`.
    Move(Moves),
}

/// Where captions of the source move: `cc1=cc3,s1=s2`.
///
/// The two channels of a field share its bytes, so both move to the same field; one without a move
/// of its own takes the channel that the other leaves free. Nothing moves from the second field to
/// the first, which may not carry the second field's other data (XDS).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// Target of each field.
    fields: [Option<Field>; 2],
    /// Target channel (0 or 1) of each channel of each field.
    channels: [[u8; 2]; 2],
    services: Vec<(u8, u8)>,
}

impl FromStr for Moves {
    type Err = MappingError;

    fn from_str(text: &str) -> Result<Self, MappingError> {
        let mut moves = Self { channels: [[0, 1]; 2], ..Self::default() };
        let mut named: Vec<Service> = Vec::new();
        for entry in text.split(',').map(str::trim).filter(|e| !e.is_empty()) {
            let (from, to) =
                entry.split_once('=').ok_or_else(|| MappingError::Entry(entry.to_owned()))?;
            let (from, to): (Service, Service) = (from.parse()?, to.parse()?);
            if named.contains(&from) {
                return Err(MappingError::Twice(from));
            }
            named.push(from);
            moves.add(from, to, &named)?;
        }
        Ok(moves)
    }
}

impl Moves {
    fn add(&mut self, from: Service, to: Service, named: &[Service]) -> Result<(), MappingError> {
        match (from, to) {
            (Service::Digital(from), Service::Digital(to)) => self.services.push((from, to)),
            (Service::Cc(a), Service::Cc(b)) => {
                let (Some(source), Some(target)) = (from.field(), to.field()) else {
                    return Err(MappingError::Kind(from, to));
                };
                if source > target {
                    return Err(MappingError::Backwards(from, to));
                }
                if self.fields[source.index()].is_some_and(|field| field != target) {
                    return Err(MappingError::Apart(from, to));
                }
                self.fields[source.index()] = Some(target);
                let (a, b) = ((a - 1) % 2, (b - 1) % 2);
                let other = 1 - usize::from(a);
                let channels = &mut self.channels[source.index()];
                channels[usize::from(a)] = b;
                let sibling = Service::Cc(source.index() as u8 * 2 + other as u8 + 1);
                if !named.contains(&sibling) {
                    channels[other] = 1 - b;
                } else if channels[other] == b {
                    return Err(MappingError::Twice(to));
                }
            }
            _ => return Err(MappingError::Kind(from, to)),
        }
        Ok(())
    }

    /// The first of our services that conflicts with a move.
    pub fn in_the_way(&self, services: &Services) -> Option<Service> {
        let targets: Vec<Field> = self.fields.iter().copied().flatten().collect();
        let hit = |service: &Service| match *service {
            Service::Cc(_) => service.field().is_some_and(|field| targets.contains(&field)),
            Service::Digital(n) => self.services.iter().any(|(_, to)| *to == n),
        };
        services.iter().map(|(service, _)| service).find(hit)
    }

    /// Whether services move.
    pub(super) fn moves_services(&self) -> bool {
        !self.services.is_empty()
    }

    /// Moves a pair: its target field and bytes.
    fn pair(&self, field: Field, [a, b]: [u8; 2]) -> (Field, [u8; 2]) {
        let Some(target) = self.fields[field.index()] else { return (field, [a, b]) };
        let (mut first, second) = (a & 0x7f, b & 0x7f);
        if (0x10..0x20).contains(&first) {
            let channel = self.channels[field.index()][usize::from(first >> 3 & 1)];
            first = first & 0x17 | channel << 3;
            // Miscellaneous control codes contain the field.
            if (0x20..0x30).contains(&second) && matches!(first & 0x17, 0x14 | 0x15) {
                first = first & !1 | target as u8;
            }
        }
        (target, [with_parity(first), with_parity(second)])
    }

    /// The number of a service after the move.
    fn service(&self, number: u8) -> u8 {
        self.services.iter().find(|(from, _)| *from == number).map_or(number, |(_, to)| *to)
    }

    /// Service blocks with their new numbers. Blocks of services beyond 6 stay unchanged; an
    /// incomplete one is dropped.
    fn blocks(&self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while let [header, after @ ..] = rest {
            let (number, size) = (header >> 5, usize::from(header & 0x1f));
            if number == 0 {
                break;
            }
            // Number 7 means that an extended number follows.
            let extended = usize::from(number == 7 && size > 0);
            let Some(body) = after.get(..size + extended) else { break };
            out.push(self.service(number) << 5 | size as u8);
            out.extend_from_slice(body);
            rest = &after[size + extended..];
        }
        out
    }
}

/// The captions of the source in one frame, after the move.
#[derive(Debug, Default)]
pub(super) struct Theirs {
    /// Pairs of each field, including those without content.
    pub(super) pairs: [Vec<[u8; 2]>; 2],
    /// CEA-708 triplets, unchanged.
    pub(super) triplets: Vec<Triplet>,
    /// Service blocks with their new numbers, if services move.
    pub(super) blocks: Vec<u8>,
}

/// Tracks the captions of the source.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// When each field and CEA-708 were last used.
    used: [Option<Duration>; 3],
    /// The packet in progress: its size, and the bytes so far.
    packet: Option<(usize, Vec<u8>)>,
    /// Packets that could not be moved because they were incomplete or split over reordered frames.
    pub(super) unmoved: u64,
}

impl Source {
    /// Takes the triplets of a frame. With `reordered`, a packet split over frames cannot be
    /// followed.
    pub(super) fn take(
        &mut self,
        triplets: &[Triplet],
        moves: &Moves,
        pts: Duration,
        reordered: bool,
    ) -> Theirs {
        let mut theirs = Theirs::default();
        if reordered && self.packet.take().is_some() {
            self.unmoved += 1;
        }
        for triplet in triplets {
            match triplet.kind() {
                Kind::Line21(field, pair) => {
                    let (field, pair) = moves.pair(field, pair);
                    self.used[field.index()] = Some(pts);
                    theirs.pairs[field.index()].push(pair);
                }
                Kind::Padding if triplet.0[0] & 0x06 == 0x04 => {
                    let from = if triplet.0[0] & 1 == 0 { Field::One } else { Field::Two };
                    let (field, _) = moves.pair(from, NOTHING);
                    theirs.pairs[field.index()].push(NOTHING);
                }
                Kind::Padding => {}
                Kind::Start(data) | Kind::Continued(data) if moves.moves_services() => {
                    let starts = matches!(triplet.kind(), Kind::Start(_));
                    if let Some(blocks) = self.follow(starts, data) {
                        theirs.blocks.extend(moves.blocks(&blocks));
                    }
                }
                Kind::Start(_) | Kind::Continued(_) => {
                    self.used[2] = Some(pts);
                    theirs.triplets.push(*triplet);
                }
            }
        }
        theirs
    }

    /// Assembles a packet; returns its service blocks when it is complete.
    fn follow(&mut self, starts: bool, data: [u8; 2]) -> Option<Vec<u8>> {
        if starts {
            self.unmoved += u64::from(self.packet.is_some());
            let pairs = usize::from(data[0] & 0x3f);
            let size = if pairs == 0 { 127 } else { pairs * 2 - 1 };
            self.packet = Some((size, vec![data[1]]));
        } else if let Some((_, bytes)) = &mut self.packet {
            bytes.extend(data);
        }
        let (_, bytes) = self.packet.take_if(|(size, bytes)| bytes.len() >= *size)?;
        Some(bytes)
    }

    /// Whether the source has captions in a field.
    pub(super) fn has_field(&self, field: Field, at: Duration) -> bool {
        is_recent(self.used[field.index()], at)
    }

    /// Whether the source has CEA-708 services that do not move.
    pub(super) fn has_services(&self, at: Duration) -> bool {
        is_recent(self.used[2], at)
    }
}

fn is_recent(used: Option<Duration>, at: Duration) -> bool {
    used.is_some_and(|used| at.max(used) - at.min(used) < PRESENCE_TIMEOUT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::captions::cc_data::packet;

    fn moves(text: &str) -> Moves {
        text.parse().expect("valid moves")
    }

    #[test]
    fn channels_move_with_their_codes() {
        let check = |text: &str, from: (Field, [u8; 2]), to: (Field, [u8; 2])| {
            let (field, [a, b]) = moves(text).pair(from.0, from.1.map(with_parity));
            assert_eq!((field, [a & 0x7f, b & 0x7f]), to, "{text}");
        };
        use Field::{One, Two};
        // Resume caption loading, a preamble, text.
        check("cc1=cc3", (One, [0x14, 0x20]), (Two, [0x15, 0x20]));
        check("cc1=cc3", (One, [0x14, 0x70]), (Two, [0x14, 0x70]));
        check("cc1=cc3", (One, [0x1c, 0x2c]), (Two, [0x1d, 0x2c]));
        check("cc1=cc4", (One, [0x14, 0x20]), (Two, [0x1d, 0x20]));
        check("cc1=cc2", (One, [0x14, 0x20]), (One, [0x1c, 0x20]));
        check("cc1=cc2", (One, [0x1c, 0x20]), (One, [0x14, 0x20]));
        check("cc1=cc3", (One, [0x41, 0x42]), (Two, [0x41, 0x42]));
        check("cc1=cc3", (Two, [0x15, 0x20]), (Two, [0x15, 0x20]));
        check("s1=s2", (One, [0x14, 0x20]), (One, [0x14, 0x20]));
    }

    #[test]
    fn what_cannot_move_is_refused() {
        for bad in
            ["cc3=cc1", "cc1=s1", "cc1=cc2,cc2=cc3", "cc1=cc3,cc2=cc3", "cc1", "cc1=cc3,cc1=cc4"]
        {
            assert!(bad.parse::<Moves>().is_err(), "{bad}");
        }
        let services: Services = "cc1=en,s1=en".parse().expect("valid");
        assert_eq!(moves("cc1=cc3,s1=s2").in_the_way(&services), None);
        assert_eq!(moves("cc1=cc2").in_the_way(&services), Some(Service::Cc(1)));
        assert_eq!(moves("s2=s1").in_the_way(&services), Some(Service::Digital(1)));
    }

    #[test]
    fn services_move_with_their_blocks_even_over_frames() {
        let blocks = [0x23, b'a', b'b', b'c', 0x41, b'x', 0xe2, 0x09, 1, 2, 0];
        let sent = packet(1, &blocks);
        let mut source = Source::default();
        let moves = moves("s1=s5");
        let at = Duration::from_secs(1);
        assert!(source.take(&sent[..3], &moves, at, false).blocks.is_empty());
        let theirs = source.take(&sent[3..], &moves, at, false);
        assert_eq!(theirs.blocks, [0xa3, b'a', b'b', b'c', 0x41, b'x', 0xe2, 0x09, 1, 2]);
        source.take(&sent[..3], &moves, at, true);
        assert!(source.take(&sent[3..], &moves, at, true).blocks.is_empty());
        assert_eq!(source.unmoved, 1);
    }

    #[test]
    fn a_field_is_the_sources_until_it_has_been_silent() {
        let mut source = Source::default();
        let at = Duration::from_secs;
        let nothing = Triplet::line21(Field::One, NOTHING);
        source.take(&[nothing], &Moves::default(), at(50), false);
        assert!(!source.has_field(Field::One, at(50)));
        source.take(&[Triplet::line21(Field::One, [0x94, 0x20])], &Moves::default(), at(50), false);
        assert!(source.has_field(Field::One, at(59)) && !source.has_field(Field::Two, at(50)));
        assert!(!source.has_field(Field::One, at(61)));
    }

    proptest! {
        #[test]
        fn arbitrary_captions_do_no_harm(
            frames in proptest::collection::vec(
                proptest::collection::vec(any::<[u8; 3]>(), 0..31), 0..10),
            reordered: bool,
        ) {
            let mut source = Source::default();
            let moves = moves("cc1=cc4,s1=s6,s2=s1");
            for frame in frames {
                let triplets: Vec<Triplet> = frame.into_iter().map(Triplet).collect();
                source.take(&triplets, &moves, Duration::ZERO, reordered);
            }
        }
    }
}
