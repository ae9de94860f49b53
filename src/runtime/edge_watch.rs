//! How long a stream from an origin is kept, and who may play it meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Access, Error, StreamSpec, Supervisor, Wanted};
use crate::cluster::{Config, Lookup, StreamAccess};
use crate::media::StreamName;

/// A stream of an origin is kept for at least this long: the first viewers may still be waiting for it.
const KEPT_MIN: Duration = Duration::from_secs(12);

/// How often viewers are counted.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// How often the origins are asked again who may play.
const ASK_INTERVAL: Duration = Duration::from_secs(5);

/// The access rules that an origin told.
pub(super) fn access(told: &StreamAccess) -> Access {
    Access {
        // Nobody publishes here: the source is pulled.
        publish_token: None,
        play_token: told.play_token.clone(),
        srt_passphrase: told.srt_passphrase.clone(),
        open_publish: false,
        open_play: told.open_play,
    }
}

/// What becomes of a stream from an origin.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Stay,
    /// These rules are in force now.
    Admit(Access),
    /// It is given up, because of this.
    GiveUp(&'static str),
}

/// Decides how long a stream from an origin is kept. Pure: callers pass in what they see and the time.
struct Watch {
    idle: Duration,
    linger: Duration,
    started: Instant,
    viewed: Instant,
    confirmed: Instant,
}

impl Watch {
    fn new(config: &Config, now: Instant) -> Self {
        Self {
            idle: Duration::from_secs(config.idle_s.into()),
            linger: Duration::from_secs(config.linger_s.into()),
            started: now,
            viewed: now,
            confirmed: now,
        }
    }

    /// What follows from the number of viewers.
    fn count(&mut self, viewers: u32, now: Instant) -> Verdict {
        if viewers > 0 {
            self.viewed = now;
        }
        let kept_enough = now.saturating_duration_since(self.started) >= KEPT_MIN;
        match kept_enough && now.saturating_duration_since(self.viewed) >= self.idle {
            true => Verdict::GiveUp("nobody watches it any more"),
            false => Verdict::Stay,
        }
    }

    /// What follows from the answer of the origins.
    fn hear(&mut self, lookup: &Lookup, now: Instant) -> Verdict {
        match lookup {
            Lookup::Found(found) => {
                self.confirmed = now;
                Verdict::Admit(access(&found.access))
            }
            Lookup::Nowhere => Verdict::GiveUp("no origin has it any more"),
            Lookup::Unreachable => {
                let unheard = now.saturating_duration_since(self.confirmed);
                match unheard >= self.linger {
                    true => Verdict::GiveUp("no origin answers"),
                    false => Verdict::Stay,
                }
            }
        }
    }
}

/// Follows a stream from an origin until it is given up or another has removed it.
pub(super) async fn follow(supervisor: Supervisor, name: StreamName) {
    let origins = Arc::clone(&supervisor.shared().options.origins);
    let mut watch = Watch::new(origins.config(), Instant::now());
    let mut asked = Instant::now();
    loop {
        tokio::time::sleep(COUNT_INTERVAL).await;
        let viewers = match supervisor.snapshot(&name).await {
            Ok(snapshot) => snapshot.viewers.values().sum(),
            Err(Error::Restarting(_)) => continue,
            Err(_) => return,
        };
        let mut verdict = watch.count(viewers, Instant::now());
        if verdict == Verdict::Stay && asked.elapsed() >= ASK_INTERVAL {
            let lookup = origins.lookup(&name).await;
            asked = Instant::now();
            verdict = watch.hear(&lookup, asked);
        }
        let goes_on = match verdict {
            Verdict::Stay => true,
            Verdict::Admit(access) => supervisor.admit_from_origin(&name, access),
            Verdict::GiveUp(why) => {
                if supervisor.remove_from_origin(&name).await {
                    tracing::info!(stream = %name, why, "no longer brought from its origin");
                }
                false
            }
        };
        if !goes_on {
            return;
        }
    }
}

impl Wanted {
    /// The same with other access rules.
    fn with_access(&self, access: Access) -> Self {
        let spec = StreamSpec { access, ..(*self.spec).clone() };
        Self { spec: Arc::new(spec), preset: Arc::clone(&self.preset) }
    }
}

impl Supervisor {
    /// Puts new access rules in force. False if the stream is not one from an origin any more.
    fn admit_from_origin(&self, name: &StreamName, access: Access) -> bool {
        let Some(entry) = self.shared().entry(name) else { return false };
        let mut is_from_origin = false;
        entry.wanted.send_if_modified(|wanted| {
            is_from_origin = wanted.spec.is_from_origin();
            let differs = is_from_origin && wanted.spec.access != access;
            if differs {
                *wanted = wanted.with_access(access);
            }
            differs
        });
        is_from_origin
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Found;

    fn found(token: &str) -> Lookup {
        let access = StreamAccess {
            live: true,
            live_ms: Some(1),
            open_play: false,
            play_token: Some(token.into()),
            srt_passphrase: None,
            srt_port: Some(1),
        };
        Lookup::Found(Arc::new(Found { origin: "a".into(), host: "a".into(), access }))
    }

    #[test]
    fn it_stays_with_viewers_and_goes_some_time_after_the_last() {
        let config = Config { idle_s: 20, ..Config::default() };
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let mut watch = Watch::new(&config, start);
        assert_eq!(watch.count(0, at(19)), Verdict::Stay);
        assert_eq!(watch.count(1, at(19)), Verdict::Stay);
        assert_eq!(watch.count(0, at(38)), Verdict::Stay);
        assert!(matches!(watch.count(0, at(39)), Verdict::GiveUp(_)));
        let mut hasty = Watch::new(&Config { idle_s: 1, ..config }, start);
        assert_eq!(hasty.count(0, at(11)), Verdict::Stay, "the first viewers may be waiting");
        assert!(matches!(hasty.count(0, at(12)), Verdict::GiveUp(_)));
    }

    #[test]
    fn what_the_origin_says_holds_until_it_has_been_silent_for_too_long() {
        let config = Config { linger_s: 60, ..Config::default() };
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let mut watch = Watch::new(&config, start);
        assert_eq!(watch.hear(&Lookup::Unreachable, at(59)), Verdict::Stay);
        let Verdict::Admit(access) = watch.hear(&found("new"), at(59)) else {
            panic!("it is told")
        };
        assert_eq!(access.play_token.as_deref(), Some("new"));
        assert!(access.publish_token.is_none() && !access.open_publish);
        assert_eq!(watch.hear(&Lookup::Unreachable, at(118)), Verdict::Stay);
        assert_eq!(watch.hear(&Lookup::Unreachable, at(119)), Verdict::GiveUp("no origin answers"));
        assert!(matches!(watch.hear(&Lookup::Nowhere, at(60)), Verdict::GiveUp(_)));
    }
}
