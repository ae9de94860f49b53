//! Reads the tables of a transport stream: its programmes (PAT) and their tracks (PMT), ISO/IEC
//! 13818-1 2.4.4.

use std::collections::BTreeMap;

use super::elementary::{self, Elementary};

/// Size of a TS packet.
const PACKET_BYTES: usize = 188;

/// Largest section of these tables, header and CRC included.
const SECTION_BYTES_MAX: usize = 1024;

/// Most programmes, and most tracks of one programme, that are read; further ones are ignored.
const LIST_ITEMS_MAX: usize = 64;

/// One programme of a transport stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// Programme number, 1-65535.
    pub(super) number: u16,
    /// PID of its clock references.
    pub(super) clock: u16,
    /// Its tracks in the order of the PMT.
    pub(super) tracks: Vec<Elementary>,
}

/// Reads the tables of a transport stream as it passes.
#[derive(Debug, Default)]
pub struct Tables {
    /// Trailing bytes of an incomplete packet.
    rest: Vec<u8>,
    assemblies: BTreeMap<u16, Assembly>,
    /// Programme numbers and PIDs of their tables, by section of the PAT.
    associations: BTreeMap<u8, Vec<(u16, u16)>>,
    pat_version: Option<u8>,
    programs: BTreeMap<u16, Program>,
}

impl Tables {
    /// Reads further bytes; true if the known tables have changed.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        self.rest.extend_from_slice(bytes);
        let (data, mut at, mut changed) = (std::mem::take(&mut self.rest), 0, false);
        while data.len() - at >= PACKET_BYTES {
            if data[at] == 0x47 {
                changed |= self.packet(&data[at..at + PACKET_BYTES]);
                at += PACKET_BYTES;
            } else {
                let next = data[at..].iter().position(|b| *b == 0x47);
                at = next.map_or(data.len(), |n| at + n);
            }
        }
        self.rest.extend_from_slice(&data[at..]);
        changed
    }

    /// Numbers of all programmes, in the order of the PAT.
    pub fn numbers(&self) -> Vec<u16> {
        self.associations.values().flatten().map(|(number, _)| *number).collect()
    }

    /// Whether the tables of all programmes of the PAT have arrived.
    pub fn are_complete(&self) -> bool {
        let numbers = self.numbers();
        !numbers.is_empty() && numbers.iter().all(|number| self.programs.contains_key(number))
    }

    /// The programme of this number, if its table has arrived.
    pub(super) fn program(&self, number: u16) -> Option<&Program> {
        self.programs.get(&number)
    }

    fn packet(&mut self, packet: &[u8]) -> bool {
        let pid = u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
        let of_pmt = || self.associations.values().flatten().any(|(_, table)| *table == pid);
        if pid != 0 && !of_pmt() {
            return false;
        }
        let (broken, has_payload) = (packet[1] & 0x80 != 0, packet[3] & 0x10 != 0);
        let start = if packet[3] & 0x20 == 0 { 4 } else { 5 + usize::from(packet[4]) };
        let Some(payload) = packet.get(start..).filter(|_| has_payload && !broken) else {
            return false;
        };
        let begins = packet[1] & 0x40 != 0;
        let sections = self.assemblies.entry(pid).or_default().push(payload, begins);
        let mut changed = false;
        for section in sections {
            changed |= if pid == 0 { self.associate(&section) } else { self.map(&section) };
        }
        changed
    }

    /// Reads a section of the PAT.
    fn associate(&mut self, section: &[u8]) -> bool {
        let Some((head, body)) = body_of(section, 0) else { return false };
        if self.pat_version != Some(head.version) {
            self.associations.clear();
            self.pat_version = Some(head.version);
        }
        let pairs = body.chunks_exact(4).map(|c| (be16(c), be16(&c[2..]) & 0x1fff));
        // Number 0 is the network information table.
        let pairs: Vec<_> = pairs.filter(|(number, _)| *number != 0).take(LIST_ITEMS_MAX).collect();
        let before = self.associations.insert(head.number, pairs.clone());
        let numbers = self.numbers();
        self.programs.retain(|number, _| numbers.contains(number));
        before.as_ref() != Some(&pairs)
    }

    /// Reads the PMT of a programme, which is one section.
    fn map(&mut self, section: &[u8]) -> bool {
        let Some((head, body)) = body_of(section, 2) else { return false };
        let clock = body.get(..2).map_or(0, |b| be16(b) & 0x1fff);
        let information = body.get(2..4).map_or(0, |b| usize::from(be16(b) & 0x0fff));
        let Some(mut rest) = body.get(4 + information..) else { return false };
        let mut tracks = Vec::new();
        while let Some((fixed, behind)) = rest.split_at_checked(5) {
            let length = usize::from(be16(&fixed[3..]) & 0x0fff);
            let Some((descriptors, next)) = behind.split_at_checked(length) else { break };
            if tracks.len() < LIST_ITEMS_MAX {
                let pid = be16(&fixed[1..]) & 0x1fff;
                tracks.push(elementary::read(pid, fixed[0], descriptors));
            }
            rest = next;
        }
        let program = Program { number: head.id, clock, tracks };
        if !self.numbers().contains(&head.id) || self.programs.get(&head.id) == Some(&program) {
            return false;
        }
        self.programs.insert(head.id, program);
        true
    }
}

fn be16(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

/// Header fields of a section.
struct Head {
    /// Number of the transport stream or programme.
    id: u16,
    version: u8,
    /// Index of the section in its table.
    number: u8,
}

/// The body of a section between its header and its CRC; `None` if it is incomplete or not yet
/// current.
fn body_of(section: &[u8], table: u8) -> Option<(Head, &[u8])> {
    if section.len() < 12 || section[0] != table || section[5] & 1 == 0 || crc(section) != 0 {
        return None;
    }
    let head = Head { id: be16(&section[3..]), version: section[5] >> 1 & 31, number: section[6] };
    Some((head, &section[8..section.len() - 4]))
}

/// CRC-32 of annex A; zero over a section with its own CRC at the end.
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            if crc >> 31 == 1 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 }
        })
    })
}

/// Reassembles the sections of one PID from packets.
#[derive(Debug, Default)]
struct Assembly {
    data: Vec<u8>,
    /// The data begins at the start of a section.
    aligned: bool,
}

impl Assembly {
    /// Adds the payload of a packet; `begins` if a section begins in it.
    fn push(&mut self, payload: &[u8], begins: bool) -> Vec<Vec<u8>> {
        let mut sections = Vec::new();
        let mut payload = payload;
        if begins {
            let Some((pointer, behind)) = payload.split_first() else { return sections };
            let Some((end, start)) = behind.split_at_checked(usize::from(*pointer)) else {
                return sections;
            };
            self.extend(end, &mut sections);
            self.data.clear();
            self.aligned = true;
            payload = start;
        }
        self.extend(payload, &mut sections);
        sections
    }

    fn extend(&mut self, bytes: &[u8], sections: &mut Vec<Vec<u8>>) {
        if !self.aligned {
            return;
        }
        self.data.extend_from_slice(bytes);
        while let Some(length) = self.data.get(1..3).map(|b| 3 + usize::from(be16(b) & 0x0fff)) {
            // Stuffing fills the rest of a packet.
            if self.data[0] == 0xff || length > SECTION_BYTES_MAX {
                self.data.clear();
                self.aligned = false;
            } else if self.data.len() < length {
                break;
            } else {
                sections.push(self.data.drain(..length).collect());
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
