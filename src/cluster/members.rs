//! The appliances that are known by Redis. Pure: callers pass in what they read and the time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::balance::{self, Candidate};
use super::client::Origin;
use super::record::{ApplianceId, Record, ToldStream};
use super::{Holding, Wish};
use crate::media::StreamName;

/// Most appliances without a record that are remembered.
const ABSENT_COUNT_MAX: usize = 256;

/// Another appliance of the cluster.
pub(super) struct Member {
    pub(super) origin: Arc<Origin>,
    /// Clients that this appliance has sent there since it told last.
    pub(super) sent: u64,
    /// What it told last.
    pub(super) record: Record,
    /// Whether Redis had its record when it was read last.
    pub(super) is_present: bool,
    /// Since when it has been absent while Redis has answered.
    absent_since: Option<Instant>,
}

impl Member {
    fn candidate(&self, name: &StreamName) -> Candidate {
        let record = &self.record;
        let holding = match record.stream(name) {
            Some(ToldStream { live: true, .. }) => Holding::OnAir,
            Some(_) => Holding::Name,
            None if record.pulled.contains(name) => Holding::Copy,
            None => Holding::Nothing,
        };
        Candidate::new(holding, &record.load, record.load.viewers + self.sent)
    }
}

/// Who may have a stream.
pub(super) struct Named {
    /// Those to ask.
    pub(super) members: Vec<(ApplianceId, Arc<Origin>)>,
    /// Whether any record names the stream.
    pub(super) is_told: bool,
}

/// The other appliances.
#[derive(Default)]
pub(super) struct Members(BTreeMap<ApplianceId, Member>);

impl Members {
    /// Takes in what Redis has now. Who is absent is asked for the streams that it had for `kept`
    /// longer: it may only have lost Redis, and the viewers of its streams wait for it on the slate.
    pub(super) fn merge(
        &mut self,
        read: Vec<(ApplianceId, Arc<Origin>, Record)>,
        kept: Duration,
        now: Instant,
    ) {
        for member in self.0.values_mut() {
            member.is_present = false;
            member.absent_since.get_or_insert(now);
        }
        for (id, origin, record) in read {
            let member = Member { origin, record, sent: 0, is_present: true, absent_since: None };
            self.0.insert(id, member);
        }
        let is_kept = |since: Instant| now.saturating_duration_since(since) < kept;
        self.0.retain(|_, member| member.absent_since.is_none_or(is_kept));
        let absent = self.0.values().filter(|member| !member.is_present).count();
        if absent > ABSENT_COUNT_MAX {
            self.0.retain(|_, member| member.is_present);
        }
    }

    /// Redis does not answer: nobody's absence counts.
    pub(super) fn hold(&mut self) {
        for member in self.0.values_mut() {
            member.absent_since = None;
        }
    }

    /// Those that told of a stream or did not tell of all their streams.
    pub(super) fn named(&self, name: &StreamName) -> Named {
        let mut is_told = false;
        let mut may_have = |member: &Member| {
            let told = member.record.stream(name).is_some();
            is_told |= told;
            told || (!member.record.names_all && member.is_present)
        };
        let asked = self.0.iter().filter(|(_, member)| may_have(member));
        let members = asked.map(|(id, member)| (id.clone(), Arc::clone(&member.origin))).collect();
        Named { members, is_told }
    }

    /// All.
    pub(super) fn all(&self) -> Vec<(ApplianceId, Arc<Origin>)> {
        self.0.iter().map(|(id, member)| (id.clone(), Arc::clone(&member.origin))).collect()
    }

    /// Whether another one than that at `pulled` has a publisher of the stream on air.
    pub(super) fn on_air_elsewhere(&self, name: &StreamName, pulled: &str) -> bool {
        self.0.values().any(|member| {
            let live = member.record.stream(name).is_some_and(|stream| stream.live);
            live && member.is_present && member.origin.shown() != pulled
        })
    }

    /// The address of the appliance that should serve a client instead of this one, `here`.
    pub(super) fn better(
        &mut self,
        wish: Wish,
        name: &StreamName,
        here: &Candidate,
    ) -> Option<String> {
        let takes = |member: &&mut Member| member.is_present && member.record.public.is_some();
        let mut members: Vec<&mut Member> = self.0.values_mut().filter(takes).collect();
        let others: Vec<Candidate> = members.iter().map(|member| member.candidate(name)).collect();
        let member = members.get_mut(balance::better(wish, here, &others)?)?;
        member.sent += 1;
        member.record.public.clone()
    }

    /// One.
    pub(super) fn get(&self, id: &ApplianceId) -> Option<&Member> {
        self.0.get(id)
    }

    /// Each.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&ApplianceId, &Member)> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::super::client::Caller;
    use super::super::record::Told;
    use super::super::{ApplianceLoad, Config};
    use super::*;

    const KEPT: Duration = Duration::from_secs(60);

    fn record(url: &str, streams: &[(&str, bool)]) -> Record {
        let stream = |(name, live): &(&str, bool)| ToldStream {
            name: name.parse().expect("a name"),
            live: *live,
        };
        let streams = streams.iter().map(stream).collect();
        let (load, pulled) = (ApplianceLoad::default(), Vec::new());
        Record::new(url, Utc::now(), Told { load, streams, pulled })
    }

    type Read = (ApplianceId, Arc<Origin>, Record);

    #[tokio::test]
    async fn a_crowd_is_spread_before_the_others_tell_their_load_again() {
        let idle =
            |viewers_max| ApplianceLoad { viewers_max, streams_max: 1, ..Default::default() };
        let (mut a, mut b) = (read("http://a", &[]).await, read("http://b", &[]).await);
        (a.2.load, b.2.load) = (idle(10), idle(10));
        let studio: StreamName = "studio".parse().expect("a name");
        let here = Candidate::new(Holding::Copy, &idle(10), 10);
        let mut members = Members::default();
        members.merge(vec![a.clone(), b.clone()], KEPT, Instant::now());
        assert_eq!(members.better(Wish::Play, &studio, &here), None, "they take no clients");
        (a.2.public, b.2.public) = (Some("https://a".into()), Some("https://b".into()));
        members.merge(vec![a.clone(), b], KEPT, Instant::now());
        let sent: Vec<String> =
            std::iter::from_fn(|| members.better(Wish::Play, &studio, &here)).collect();
        for public in ["https://a", "https://b"] {
            assert_eq!(sent.iter().filter(|to| *to == public).count(), 10, "{sent:?}");
        }
        members.merge(vec![a], KEPT, Instant::now());
        assert_eq!(members.better(Wish::Play, &studio, &here).as_deref(), Some("https://a"));
    }

    async fn read(url: &str, streams: &[(&str, bool)]) -> Read {
        let caller = Caller::new(&Config::default()).await.expect("a client");
        let origin = Arc::new(caller.origin(url).expect("an address"));
        (ApplianceId::of(url), origin, record(url, streams))
    }

    fn named(members: &Members, name: &str) -> (Vec<String>, bool) {
        let named = members.named(&name.parse().expect("a name"));
        let mut shown: Vec<String> =
            named.members.iter().map(|(_, origin)| origin.shown()).collect();
        shown.sort();
        (shown, named.is_told)
    }

    #[tokio::test]
    async fn those_that_named_a_stream_are_asked_also_for_a_while_after_they_went() {
        let (a, b) =
            (read("http://a", &[("one", true)]).await, read("http://b", &[("two", false)]).await);
        let (now, mut members) = (Instant::now(), Members::default());
        members.merge(vec![a.clone(), b.clone()], KEPT, now);
        assert_eq!(named(&members, "one"), (vec!["http://a".into()], true));
        assert_eq!(named(&members, "none"), (Vec::new(), false));
        let one = "one".parse().expect("a name");
        assert!(members.on_air_elsewhere(&one, "http://b"));
        assert!(!members.on_air_elsewhere(&one, "http://a"));
        // `a` is away, but not while Redis is.
        members.merge(vec![b.clone()], KEPT, now);
        assert!(!members.on_air_elsewhere(&one, "http://b"), "nobody tells so any more");
        members.hold();
        members.merge(vec![b.clone()], KEPT, now + KEPT);
        assert_eq!(named(&members, "one"), (vec!["http://a".into()], true));
        assert!(!members.get(&a.0).expect("it is remembered").is_present);
        members.merge(vec![b], KEPT, now + 2 * KEPT);
        assert_eq!(named(&members, "one"), (Vec::new(), false));
        assert_eq!(members.all().len(), 1);
    }

    #[tokio::test]
    async fn one_that_does_not_name_all_its_streams_is_asked_for_any() {
        let (id, origin, mut told) = read("http://a", &[("one", true)]).await;
        told.names_all = false;
        let (now, mut members) = (Instant::now(), Members::default());
        members.merge(vec![(id, origin, told)], KEPT, now);
        assert_eq!(named(&members, "none"), (vec!["http://a".into()], false));
        members.merge(Vec::new(), KEPT, now);
        assert_eq!(named(&members, "none"), (Vec::new(), false));
        let mut crowd = Vec::new();
        let (_, origin, told) = read("http://a", &[]).await;
        for number in 0..=ABSENT_COUNT_MAX {
            let id = ApplianceId::of(&format!("http://a{number}"));
            crowd.push((id, Arc::clone(&origin), told.clone()));
        }
        members.merge(crowd, KEPT, now);
        members.merge(Vec::new(), KEPT, now);
        assert!(members.all().is_empty(), "the absent stay few");
    }
}
