//! The publishers of a stream, and which of them is on air.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::Utc;
use tokio_util::sync::CancellationToken;

use super::Stream;
use super::publisher::Publisher;
use crate::flow::{
    self, AccessRequest, CaptionFeeds, CueFeed, Intake, Refusal, RefusalKind, SourceReport, Tracks,
};
use crate::graph::Route;
use crate::media::{IgnorePoison, Kind, Timeline, TrackChoice};
use crate::runtime::job::{Job, Slot};
use crate::runtime::switcher::{FROZEN_AFTER, OnAir};
use crate::runtime::worker::Worker;
use crate::runtime::{Conflict, Event, SourceSpec, StreamState};

impl Stream {
    /// Launches the pulls that the spec asks for.
    pub(super) fn start_sources(&mut self) {
        let backup = self.spec.backup.clone();
        let wanted = [(Slot::Source, Some(self.spec.source.clone())), (Slot::Backup, backup)];
        for (slot, source) in wanted {
            let Some(source) = source.filter(|s| *s != SourceSpec::Publish) else { continue };
            let worker = Worker::new(
                Job::Pull { source, slot },
                "the stream's source is pulled",
                Route::default(),
            );
            self.workers.insert(slot.as_str().to_owned(), worker);
        }
    }

    /// Applies changed sources: disconnects all publishers and starts the new pulls.
    pub(super) fn restart_sources(&mut self) {
        for publisher in &self.publishers {
            publisher.cancel.cancel();
        }
        for slot in [Slot::Source, Slot::Backup] {
            if let Some(mut worker) = self.workers.remove(slot.as_str()) {
                worker.stop();
            }
        }
        self.start_sources();
    }

    /// Admits a publisher that connected, or returns the refusal.
    pub(super) fn admit_publisher(
        &mut self,
        access_request: &AccessRequest,
        report: Arc<SourceReport>,
    ) -> Result<Intake, Refusal> {
        let takes = |spec: Option<&SourceSpec>| spec == Some(&SourceSpec::Publish);
        let source_open = takes(Some(&self.spec.source));
        let backup_open = takes(self.spec.backup.as_ref());
        let free = |slot| self.publishers.iter().all(|p| p.slot != slot);
        let slot = if source_open && free(Slot::Source) {
            Slot::Source
        } else if backup_open && free(Slot::Backup) {
            Slot::Backup
        } else if source_open {
            self.make_room(access_request)?;
            Slot::Source
        } else {
            return Err(Refusal::new(
                RefusalKind::Taken,
                format!("stream `{}` pulls its source, nobody can publish to it", self.spec.name),
                "publish to another stream, or set this stream's source to `publish`",
            ));
        };
        tracing::info!(stream = %self.spec.name, protocol = access_request.protocol.as_str(), peer = %access_request.peer,
            slot = slot.as_str(), "publisher connected");
        let intake = self.attach_publisher(slot, report);
        self.changed();
        Ok(intake)
    }

    /// The source's place is taken: the new publisher replaces the old one or is refused.
    fn make_room(&mut self, access_request: &AccessRequest) -> Result<(), Refusal> {
        let now = Instant::now();
        let frozen = |p: &Publisher| {
            let idle = p.health(now).age.unwrap_or_else(|| now.duration_since(p.connected));
            p.tracks.report.has_ended() || idle > FROZEN_AFTER
        };
        let replace = self.spec.on_conflict == Conflict::Replace;
        let Some(index) = self.publishers.iter().position(|p| p.slot == Slot::Source) else {
            return Ok(());
        };
        let present = &self.publishers[index];
        if !replace && !frozen(present) {
            let (protocol, peer) = (present.tracks.report.protocol, &present.tracks.report.peer);
            let message = format!(
                "stream `{}` is already published by {protocol} from {peer}",
                self.spec.name
            );
            let hint = "stop that publisher, or set `on_conflict` to `replace`";
            return Err(Refusal::new(RefusalKind::Taken, message, hint));
        }
        let replaced = self.publishers.remove(index);
        tracing::info!(stream = %self.spec.name, was = %replaced.tracks.report.peer,
            now = %access_request.peer, "publisher replaced");
        replaced.cancel.cancel();
        Ok(())
    }

    /// Gives a publisher its place.
    pub(super) fn attach_publisher(&mut self, slot: Slot, report: Arc<SourceReport>) -> Intake {
        let id = self.id();
        if self.spec.tracks != TrackChoice::default() && !report.protocol.has_tracks() {
            let protocol = report.protocol;
            report.note(format!("`tracks` is not used: `{protocol}` has one track of each kind"));
        }
        let is_live = report.protocol.sends_live();
        let timeline = if is_live { Timeline::live() } else { Timeline::default() };
        let timeline = Arc::new(Mutex::new(timeline));
        let writer = |kind| {
            let writer = self.feed(kind).writer(Some(timeline.clone()));
            let signals = self.signals.clone();
            writer.on_change(move || signals.wake());
            writer
        };
        let (video, audio) = (writer(Kind::Video), writer(Kind::Audio));
        let tracks = Tracks::new(video, audio, report, self.spec.tracks.clone());
        let (cancel, captions) = (CancellationToken::new(), CaptionFeeds::default());
        self.publishers.push(Publisher {
            id,
            slot,
            tracks: tracks.clone(),
            timeline,
            captions: captions.clone(),
            cancel: cancel.clone(),
            since: Utc::now(),
            connected: Instant::now(),
            bytes_seen: 0,
            kbps: 0.0,
        });
        Intake {
            stream: self.spec.name.clone(),
            tracks,
            captions,
            cancel,
            on_drop: Some(self.signals.leave(id)),
        }
    }

    /// Removes a publisher that left. The programme then decides what is on air.
    pub(super) fn publisher_left(&mut self, id: u64) {
        let Some(index) = self.publishers.iter().position(|p| p.id == id) else { return };
        let gone = self.publishers.remove(index);
        tracing::info!(stream = %self.spec.name, protocol = gone.tracks.report.protocol.as_str(),
            peer = %gone.tracks.report.peer, slot = gone.slot.as_str(),
            bytes = gone.bytes(), "publisher left");
        self.decide(Instant::now());
        self.changed();
    }

    /// Disconnects the publisher on air.
    pub(super) fn kick(&mut self) {
        for publisher in self.publishers.iter().filter(|p| self.is_on_air(p)) {
            publisher.cancel.cancel();
        }
    }

    pub(super) fn is_on_air(&self, publisher: &Publisher) -> bool {
        match self.switcher.on_air() {
            OnAir::Source => publisher.slot == Slot::Source,
            OnAir::Backup => publisher.slot == Slot::Backup,
            OnAir::Nothing | OnAir::Slate => false,
        }
    }

    /// Captions that the publisher on air sends.
    pub(super) fn captions_of_source(&self) -> Vec<CueFeed> {
        let on_air = self.publishers.iter().find(|p| self.is_on_air(p));
        on_air.map(|p| p.captions.feeds()).unwrap_or_default()
    }

    /// Decides what is on air and applies it.
    pub(super) fn decide(&mut self, now: Instant) {
        let health = |slot| {
            let publisher = self.publishers.iter().find(|p| p.slot == slot);
            publisher.map(|p: &Publisher| p.health(now))
        };
        let linger = Duration::from_secs(self.spec.linger_s.into());
        let (source, backup) = (health(Slot::Source), health(Slot::Backup));
        let clock = flow::now().into();
        let on_air = self.switcher.decide(source, backup, linger, clock);
        for publisher in self.publishers.iter().filter(|p| self.is_on_air(p)) {
            publisher.tracks.video.activate();
            publisher.tracks.audio.activate();
        }
        let state = match on_air {
            OnAir::Nothing => StreamState::Idle,
            OnAir::Source => StreamState::Live,
            OnAir::Backup => StreamState::Backup,
            OnAir::Slate => StreamState::Slate,
        };
        if state != self.state {
            self.enter(state);
        }
    }

    /// The slate replaces a publisher that stalled. Media that it sends late is placed after the
    /// slate, and is not lost.
    fn expect_late_media(&self) {
        for publisher in &self.publishers {
            publisher.timeline.lock().ignore_poison().restart();
        }
    }

    fn enter(&mut self, state: StreamState) {
        tracing::info!(stream = %self.spec.name, from = self.state.as_str(), to = state.as_str(),
            "stream state");
        self.state = state;
        self.shown_state.send_replace(state);
        self.since = Utc::now();
        match state {
            StreamState::Slate => {
                self.expect_late_media();
                self.show_slate();
            }
            StreamState::Live => {
                self.hide_slate();
                self.last_fault = None;
            }
            StreamState::Backup => self.hide_slate(),
            StreamState::Idle | StreamState::Failed => {
                self.hide_slate();
                self.go_off_air();
            }
        }
        self.emit(Event::StateChanged { stream: self.spec.name.to_string(), state });
        self.sync_outputs();
    }
}
