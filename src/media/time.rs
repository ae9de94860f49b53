//! Maps a source's timestamps to the appliance's clock.

use std::time::Duration;

use super::Kind;

/// Nanoseconds per millisecond and per second.
const NS_PER_MS: i128 = 1_000_000;
const NS_PER_S: i128 = 1000 * NS_PER_MS;

/// A timestamp this far behind the previous one of its track belongs to another time base. Smaller
/// steps are reordering or jitter.
const STEP_BACK_MAX_NS: i128 = 500 * NS_PER_MS;

/// A timestamp that advances by this much more than the elapsed time belongs to another time base,
/// if it is also this far ahead of the clock.
const STEP_AHEAD_MAX_NS: i128 = NS_PER_S;

/// Most that a track may be ahead of the clock: a publisher may begin with stored media, or its
/// clock may be fast.
const AHEAD_MAX_NS: i128 = 20 * NS_PER_S;

/// Most that a track may be late: longer than a connection may stall without being closed.
const LATE_MAX_NS: i128 = 20 * NS_PER_S;

/// The second track takes the time base of the first if that puts it this close to the clock.
const APART_MAX_NS: i128 = 10 * NS_PER_S;

/// How far ahead of the clock media begins after [`Timeline::restart`], so that neither track lies
/// behind what another source has sent until now.
const RESTART_MARGIN_NS: i128 = 200 * NS_PER_MS;

/// A time base of a source that sends as it captures may still move back this long after it began:
/// its first packets may have waited for a connection, and the rest then comes early.
const SETTLE_NS: i128 = 2 * NS_PER_S;

/// A sample this much ahead of the clock, from such a source, moves its time base back. Less than a
/// frame interval is jitter.
const EARLY_MAX_NS: i128 = 20 * NS_PER_MS;

/// A track whose time base the other track moves back follows by this share of the time that passes
/// in it, 1/10: its presentation times, which may advance by less than its decode times, then do not
/// step back.
const FOLLOW_DIVISOR: i128 = 10;

/// Least distance of a new time base from the end of the old one.
const STEP_MIN_NS: i128 = NS_PER_MS;

/// Maps timestamps of one publisher, which start anywhere and may jump, to running time of the
/// shared clock. One timeline serves both tracks of a publisher, so that they stay in sync.
///
/// Media that arrives late keeps its place: it is not lost, and the source's timestamps state where
/// it belongs. A new time base begins only if these timestamps are discontinuous, or are more than
/// 20 s off the clock. [`Drift`] follows a clock that is faster or slower than ours.
#[derive(Debug, Default)]
pub struct Timeline {
    /// The newest time base; `None` before the first sample.
    base: Option<Base>,
    tracks: [Track; 2],
    drift: Drift,
    /// Whether the source sends as it captures, and nothing stored.
    is_live: bool,
    /// How far ahead of the clock the next time base begins.
    margin_ns: i128,
    /// The next time base begins no earlier than this running time.
    not_before_ns: i128,
}

/// Running time minus source time, without drift correction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Base {
    offset_ns: i128,
    /// Until this running time it may move back.
    settles_until_ns: i128,
    /// Sequence number of the time base.
    number: u64,
}

/// One track of the publisher. It keeps its time base when the other track begins a new one: the
/// two jump at different moments.
#[derive(Clone, Copy, Debug, Default)]
struct Track {
    base: Option<Base>,
    last: Option<Last>,
    /// How far it still has to follow its time base back.
    behind_ns: i128,
    /// The next sample must take another time base.
    must_change: bool,
}

/// The newest sample of a track, in ns.
#[derive(Clone, Copy, Debug)]
struct Last {
    source: i128,
    arrived: i128,
    at: i128,
}

impl Track {
    /// The track's time base if a sample continues it, else `None`.
    fn continues(&self, source: i128, now: i128, drift_ns: i128) -> Option<Base> {
        let (base, last) = (self.base?, self.last?);
        let ahead = source + base.offset_ns + drift_ns - now;
        let step = source - last.source;
        let leap = step - (now - last.arrived);
        let jumps_ahead = step.min(leap).min(ahead) > STEP_AHEAD_MAX_NS;
        let continues = !self.must_change
            && step >= -STEP_BACK_MAX_NS
            && !jumps_ahead
            && (-LATE_MAX_NS..=AHEAD_MAX_NS).contains(&ahead);
        continues.then_some(base)
    }
}

impl Timeline {
    /// The timeline of a source that sends as it captures: what comes early shows that the first
    /// samples were late.
    pub fn live() -> Self {
        Self { is_live: true, ..Self::default() }
    }

    /// The running time of a sample of the track of this kind: `source` is the publisher's decode
    /// time, `now` the running time of its arrival.
    ///
    /// The first sample of a time base is placed at `now`, or after the track's previous sample.
    pub fn map(&mut self, kind: Kind, source: Duration, now: Duration) -> Duration {
        let (source, now) = (nanoseconds(source), nanoseconds(now));
        self.drift.advance(now);
        let track = self.tracks[index(kind)];
        let base = track
            .continues(source, now, self.drift.added_ns)
            .unwrap_or_else(|| self.change_base(track, source, now));
        let track = if track.base == Some(base) { track } else { Track::default() };
        let (at, behind_ns) = self.place(kind, track, base, source, now);
        self.tracks[index(kind)] = Track {
            base: Some(base),
            last: Some(Last { source, arrived: now, at }),
            behind_ns,
            must_change: false,
        };
        self.drift.measure(now - at, now);
        Duration::from_nanos(u64::try_from(at.max(0)).unwrap_or(u64::MAX))
    }

    /// The running time of a sample on its time base, and how far its track then has to follow that.
    /// If the base has just begun and the sample is early, the base moves back; what was placed
    /// before stays before the sample.
    fn place(
        &mut self,
        kind: Kind,
        track: Track,
        base: Base,
        source: i128,
        now: i128,
    ) -> (i128, i128) {
        let before = track.last.filter(|last| last.source < source);
        let passed = before.map_or(0, |last| source - last.source);
        let behind = (track.behind_ns - passed / FOLLOW_DIVISOR).max(0);
        let at = source + base.offset_ns + self.drift.added_ns + behind;
        let is_early = now < base.settles_until_ns && at - now > EARLY_MAX_NS;
        let early = if is_early { at - now } else { 0 };
        self.move_back(kind, base, (early - behind).max(0));
        let after = |last: Last| last.at + passed.min(STEP_MIN_NS);
        let at = before.map_or(at - early, |last| (at - early).max(after(last)));
        (at, (behind - early).max(0))
    }

    /// Moves the time base back; the other track follows in its own time.
    fn move_back(&mut self, kind: Kind, base: Base, by_ns: i128) {
        self.drift.added_ns -= by_ns;
        let other = &mut self.tracks[1 - index(kind)];
        if other.base == Some(base) {
            other.behind_ns += by_ns;
        }
    }

    /// Begins a new time base with the next sample. Call it when another source replaces this one
    /// for a while: late media then still lies behind what that source has sent.
    pub fn restart(&mut self) {
        self.base = None;
        self.margin_ns = RESTART_MARGIN_NS;
        self.tracks.iter_mut().for_each(|track| track.must_change = true);
        self.drift = Drift::default();
    }

    /// Delays the next time base until after this running time, which may lie ahead of the clock:
    /// an earlier publisher has sent media up to it, and nothing of this one may be lost.
    pub fn begin_after(&mut self, running: Duration) {
        self.not_before_ns = self.not_before_ns.max(nanoseconds(running) + STEP_MIN_NS);
    }

    /// The time base of a sample that does not continue its track's: the one that the other track
    /// has begun, if it fits, else a new one.
    fn change_base(&mut self, track: Track, source: i128, now: i128) -> Base {
        let near = |base: &Base| {
            let at = source + base.offset_ns + self.drift.added_ns;
            track.base != Some(*base) && (at - now).abs() <= APART_MAX_NS
        };
        if let Some(base) = self.base.filter(near) {
            return base;
        }
        let not_before = std::mem::take(&mut self.not_before_ns).min(now + AHEAD_MAX_NS);
        let from = (now + std::mem::take(&mut self.margin_ns)).max(not_before);
        let after = track.last.map_or(from, |last| last.at + STEP_MIN_NS);
        // A track too far ahead goes back to the clock.
        let at = if after > now + AHEAD_MAX_NS { from } else { from.max(after) };
        let number = self.base.map_or(0, |base| base.number) + 1;
        let settles = self.is_live && at == now;
        let settles_until_ns = if settles { now + SETTLE_NS } else { now };
        let offset_ns = at - source - self.drift.added_ns;
        let base = Base { offset_ns, settles_until_ns, number };
        self.base = Some(base);
        base
    }
}

/// Time over which the drift between the two clocks is measured.
const WINDOW_NS: i128 = 5 * NS_PER_S;

/// Time over which an early or late track is brought back, in seconds.
const RETURN_S: i128 = 20;

/// Highest rate of that: twice what a poor crystal needs, and far below what is noticeable.
const RATE_MAX_PPB: i128 = 1_000_000;

/// Offset beyond which a track is brought back faster.
const TOLERATED_NS: i128 = 4 * NS_PER_S;

/// Time over which the excess is corrected, in seconds: a clock that is 5 % fast settles 7 s ahead.
const HURRY_S: i128 = 60;

/// Follows a publisher's clock that is faster or slower than ours.
///
/// Samples may be late for many reasons but early for none, so the least delay in a window shows
/// the clock's drift.
#[derive(Debug, Default)]
struct Drift {
    /// Correction added to running times so far, in ns.
    added_ns: i128,
    /// Rate of its change, in ns per second.
    rate_ppb: i128,
    /// Start of the window, and the least delay in it.
    window: Option<(i128, i128)>,
    advanced: Option<i128>,
}

impl Drift {
    /// Advances time. A pause counts as one second, so that media after it makes no visible step.
    fn advance(&mut self, now: i128) {
        let passed = self.advanced.map_or(0, |then| (now - then).clamp(0, NS_PER_S));
        self.added_ns += passed * self.rate_ppb / NS_PER_S;
        self.advanced = Some(now);
    }

    /// Records that a sample arrived this late; negative if early.
    fn measure(&mut self, delay: i128, now: i128) {
        let (since, least) = self.window.map_or((now, delay), |(t, d)| (t, d.min(delay)));
        self.window = Some((since, least));
        if now - since >= WINDOW_NS {
            let excess = least - least.clamp(-TOLERATED_NS, TOLERATED_NS);
            let slow = (least / RETURN_S).clamp(-RATE_MAX_PPB, RATE_MAX_PPB);
            self.rate_ppb = slow + excess / HURRY_S;
            self.window = None;
        }
    }
}

fn index(kind: Kind) -> usize {
    match kind {
        Kind::Video => 0,
        Kind::Audio => 1,
    }
}

fn nanoseconds(time: Duration) -> i128 {
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX / 4)
}

#[cfg(test)]
mod tests;
