//! One supervised node: whether it should run, whether it runs, and how its last run ended.

use std::time::{Duration, Instant};

use super::NodeState;
use super::fault::{Fault, RECOVERED_AFTER};
use super::job::Job;
use crate::flow::Task;
use crate::graph::Route;
use crate::media::Backoff;

/// A process node without a consumer is kept this long, in case a viewer returns.
pub(super) const IDLE_KEPT: Duration = Duration::from_secs(5);

/// Pauses between restarts: 0.5-30 s; a run of 30 s resets them.
pub(super) const RESTARTS: Backoff =
    Backoff::new(Duration::from_millis(500), Duration::from_secs(30), Duration::from_secs(30));

/// A supervised node of a stream. Pure: callers pass in the time, and it starts nothing itself.
pub(super) struct Worker {
    /// What it runs.
    pub(super) job: Job,
    /// Why the plan includes it, as text.
    pub(super) why: String,
    /// Feeds that it reads.
    pub(super) route: Route,
    /// Feeds that it fills.
    pub(super) outputs: Vec<String>,
    /// Whether it should run.
    pub(super) desired: bool,
    /// Since when it has had no consumer.
    pub(super) idle_since: Option<Instant>,
    /// Number of restarts after a failure.
    pub(super) restarts: u32,
    /// The failure that ended its last run, until it is cleared.
    pub(super) fault: Option<Fault>,
    /// Since when the current run has been healthy.
    well_since: Option<Instant>,
    life: Life,
    backoff: Backoff,
}

enum Life {
    Idle,
    Running { run: u64, task: Task, since: Instant },
    Waiting { until: Instant },
}

impl Worker {
    /// A worker that should run and is not launched yet.
    pub(super) fn new(job: Job, why: impl Into<String>, route: Route) -> Self {
        Self {
            job,
            why: why.into(),
            route,
            outputs: Vec::new(),
            desired: true,
            idle_since: None,
            restarts: 0,
            fault: None,
            well_since: None,
            life: Life::Idle,
            backoff: RESTARTS,
        }
    }

    /// Whether it should be launched now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.desired
            && match self.life {
                Life::Idle => true,
                Life::Running { .. } => false,
                Life::Waiting { until } => now >= until,
            }
    }

    /// The next time at which it needs attention without other events: to be launched, to be
    /// stopped after `idle_kept` without a consumer, or to be forgotten.
    pub(super) fn due(&self, now: Instant, idle_kept: Duration) -> Option<Instant> {
        let launch = match self.life {
            Life::Idle => Some(now),
            Life::Running { .. } => None,
            Life::Waiting { until } => Some(until),
        };
        let launch = launch.filter(|_| self.desired);
        let let_go = self.idle_since.filter(|_| self.desired).map(|since| since + idle_kept);
        let forget = self.is_done().then_some(now);
        [launch, let_go, forget].into_iter().flatten().min()
    }

    /// Whether it has no consumer and has ended.
    pub(super) fn is_done(&self) -> bool {
        self.idle_since.is_some() && !self.desired && !self.is_alive()
    }

    /// Records that run number `run` was launched.
    pub(super) fn launched(&mut self, run: u64, task: Task, now: Instant) {
        self.life = Life::Running { run, task, since: now };
    }

    /// Asks the current run to end. A desired worker restarts at once.
    pub(super) fn cancel(&mut self) {
        match &self.life {
            Life::Running { task, .. } => task.cancel.cancel(),
            Life::Waiting { .. } | Life::Idle => self.life = Life::Idle,
        }
    }

    /// Replaces its job and restarts it. Faults of the old job are cleared.
    pub(super) fn change(&mut self, job: Job) {
        self.job = job;
        self.fault = None;
        self.backoff.reset();
        self.cancel();
    }

    /// It should no longer run.
    pub(super) fn stop(&mut self) {
        self.desired = false;
        self.cancel();
    }

    /// Its input is unusable: it stops until its route changes.
    pub(super) fn cannot(&mut self, problem: &str) {
        self.stop();
        // Every plan repeats the check; the time of the fault is that of the first one.
        if self.fault.as_ref().is_none_or(|fault| fault.message != problem) {
            let hint = "publish what it takes; `auralink doctor` says which encoders work here";
            self.fault = Some(Fault::now(problem, hint));
        }
    }

    /// It should run. Past failures no longer delay its start.
    pub(super) fn want(&mut self) {
        if !self.desired {
            self.desired = true;
            self.backoff.reset();
        }
    }

    /// Records that run number `run` has ended. Returns true if it was the current run and failed.
    pub(super) fn exited(
        &mut self,
        run: u64,
        outcome: &Result<(), Fault>,
        now: Instant,
        jitter: f64,
    ) -> bool {
        let Life::Running { run: current, task, since } = &self.life else { return false };
        if *current != run {
            return false;
        }
        let asked = task.cancel.is_cancelled();
        let lasted = now.saturating_duration_since(*since);
        match outcome {
            Err(fault) if !asked => {
                self.fault = Some(fault.clone());
                self.restarts += 1;
                let until = now + self.backoff.pause_with_jitter(lasted, jitter);
                self.life = Life::Waiting { until };
                true
            }
            // A node that ends without an error and without being asked restarts after a pause,
            // never in a tight loop.
            Ok(()) if !asked => {
                self.life =
                    Life::Waiting { until: now + self.backoff.pause_with_jitter(lasted, jitter) };
                false
            }
            _ => {
                self.life = Life::Idle;
                false
            }
        }
    }

    /// Clears the fault when the node has run well for [`RECOVERED_AFTER`].
    pub(super) fn look(&mut self, now: Instant) {
        if self.state() != NodeState::Running {
            self.well_since = None;
            return;
        }
        let since = *self.well_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= RECOVERED_AFTER {
            self.fault = None;
        }
    }

    /// Whether a run is under way.
    pub(super) fn is_alive(&self) -> bool {
        matches!(self.life, Life::Running { .. })
    }

    /// The task of the current run.
    pub(super) fn task(&self) -> Option<&Task> {
        match &self.life {
            Life::Running { task, .. } => Some(task),
            Life::Idle | Life::Waiting { .. } => None,
        }
    }

    /// Its state in the API.
    pub(super) fn state(&self) -> NodeState {
        match &self.life {
            Life::Running { task, .. } if task.status.is_running() => NodeState::Running,
            Life::Running { .. } => NodeState::Starting,
            Life::Waiting { .. } => NodeState::Waiting,
            Life::Idle if self.desired => NodeState::Starting,
            Life::Idle => NodeState::Standby,
        }
    }

    /// Time until the next launch.
    pub(super) fn retry_in(&self, now: Instant) -> Option<Duration> {
        match self.life {
            Life::Waiting { until } => Some(until.saturating_duration_since(now)),
            Life::Idle | Life::Running { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker() -> Worker {
        Worker::new(Job::Thumbnail, "test", Route::default())
    }

    fn broken() -> Result<(), Fault> {
        Err(Fault::now("broken", "mend it"))
    }

    #[test]
    fn a_failure_waits_and_a_cancelled_run_starts_again_at_once() {
        let mut worker = worker();
        let t0 = Instant::now();
        assert!(worker.is_due(t0));
        worker.launched(1, Task::new("x"), t0);
        assert!(!worker.is_due(t0));
        assert!(worker.exited(1, &broken(), t0, 0.0));
        assert!(!worker.is_due(t0));
        assert!(worker.is_due(t0 + Duration::from_millis(500)));
        worker.launched(2, Task::new("x"), t0);
        worker.cancel();
        assert!(!worker.exited(2, &broken(), t0, 0.0));
        assert!(worker.is_due(t0));
    }

    #[test]
    fn a_fault_is_over_when_the_node_has_run_well_for_a_minute() {
        let mut worker = worker();
        let t0 = Instant::now();
        let after = |seconds| t0 + Duration::from_secs(seconds);
        worker.launched(1, Task::new("x"), t0);
        worker.exited(1, &broken(), t0, 0.0);
        let is_there_after = |worker: &mut Worker, seconds| {
            worker.look(after(seconds));
            worker.fault.is_some()
        };
        assert!(is_there_after(&mut worker, 100), "it waits: nothing has ended");
        let task = Task::new("x");
        worker.launched(2, task.clone(), after(100));
        assert!(is_there_after(&mut worker, 170), "no media flows yet");
        task.status.set_running();
        assert!(is_there_after(&mut worker, 171));
        assert!(is_there_after(&mut worker, 230), "it has run well for 59 s");
        assert!(!is_there_after(&mut worker, 231));
        worker.exited(2, &broken(), after(240), 0.0);
        assert!(is_there_after(&mut worker, 241), "the next fault is a new one");
    }

    #[test]
    fn another_job_starts_at_once_and_without_the_fault_of_the_old_one() {
        let mut worker = worker();
        let t0 = Instant::now();
        worker.launched(1, Task::new("x"), t0);
        worker.exited(1, &broken(), t0, 0.0);
        assert!(!worker.is_due(t0));
        worker.change(Job::Segments);
        assert!(worker.is_due(t0) && worker.fault.is_none());
    }

    #[test]
    fn it_says_when_there_is_something_to_do() {
        const KEPT: Duration = Duration::from_secs(5);
        let t0 = Instant::now();
        let after = |seconds| t0 + Duration::from_secs(seconds);
        let mut worker = worker();
        assert_eq!(worker.due(t0, KEPT), Some(t0), "it is to be launched");
        worker.launched(1, Task::new("x"), t0);
        assert_eq!(worker.due(t0, KEPT), None, "it runs");
        worker.idle_since = Some(after(1));
        assert_eq!(worker.due(t0, KEPT), Some(after(6)), "nobody needs it");
        worker.exited(1, &broken(), after(2), 0.0);
        assert_eq!(worker.due(after(2), KEPT), Some(t0 + Duration::from_millis(2500)));
        worker.stop();
        assert_eq!(worker.due(after(3), KEPT), Some(after(3)), "it is to be forgotten");
        worker.idle_since = None;
        assert_eq!(worker.due(after(3), KEPT), None, "stopped, and still of the stream");
    }

    #[test]
    fn an_older_run_does_not_end_the_current_one() {
        let mut worker = worker();
        let t0 = Instant::now();
        worker.launched(2, Task::new("x"), t0);
        assert!(!worker.exited(1, &broken(), t0, 0.0));
        assert!(worker.is_alive());
        worker.stop();
        worker.exited(2, &Ok(()), t0, 0.0);
        assert_eq!(worker.state(), NodeState::Standby);
    }
}
