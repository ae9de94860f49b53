//! The gate by which all protocols reach the streams.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::Supervisor;
use super::admission::{ask, judge, report, subscribe};
use super::command::Command;
use super::edges::admit_for_now;
use crate::egress::segments::SegmentStore;
use crate::flow::{AccessRequest, Admission, Gate, Intake, Refusal, SourceReport, Subscription};
use crate::media::Accepts;

impl Gate for Supervisor {
    fn admit(&self, access_request: &AccessRequest) -> Result<Admission, Refusal> {
        let verdict = judge(self.shared(), access_request).map(|(_, admission)| admission);
        let verdict =
            verdict.or_else(|refusal| admit_for_now(self.shared(), access_request).ok_or(refusal));
        verdict.inspect_err(|refusal| report(self.shared(), access_request, refusal))
    }

    fn prepare(&self, access_request: AccessRequest) -> BoxFuture<'static, Result<(), Refusal>> {
        let supervisor = self.clone();
        async move {
            let brought = supervisor.bring(&access_request).await;
            brought.inspect_err(|refusal| report(supervisor.shared(), &access_request, refusal))
        }
        .boxed()
    }

    fn publish(
        &self,
        access_request: AccessRequest,
        source: Arc<SourceReport>,
    ) -> BoxFuture<'static, Result<Intake, Refusal>> {
        let shared = self.shared().clone();
        async move {
            let command = |reply| Command::Publish {
                access_request: access_request.clone(),
                report: source,
                reply,
            };
            let granted = match judge(&shared, &access_request) {
                Ok((entry, _)) => ask(&entry, command).await,
                Err(refusal) => Err(refusal),
            };
            granted.inspect_err(|refusal| report(&shared, &access_request, refusal))
        }
        .boxed()
    }

    fn play(
        &self,
        access_request: AccessRequest,
        accepts: Accepts,
    ) -> BoxFuture<'static, Result<Subscription, Refusal>> {
        let (shared, brought) = (self.shared().clone(), self.prepare(access_request.clone()));
        async move {
            brought.await?;
            let granted = match judge(&shared, &access_request) {
                Ok((entry, _)) => subscribe(&entry, access_request.protocol, accepts).await,
                Err(refusal) => Err(refusal),
            };
            granted.inspect_err(|refusal| report(&shared, &access_request, refusal))
        }
        .boxed()
    }

    fn report_refusal(&self, access_request: &AccessRequest, refusal: &Refusal) {
        report(self.shared(), access_request, refusal);
    }
}

impl Supervisor {
    /// The segments of a stream. Segmenting starts with the first request.
    ///
    /// # Errors
    /// The refusal of the player.
    pub async fn open_segments(
        &self,
        access_request: AccessRequest,
    ) -> Result<Arc<SegmentStore>, Refusal> {
        self.prepare(access_request.clone()).await?;
        let protocol = access_request.protocol;
        let granted = match judge(self.shared(), &access_request) {
            Ok((entry, _)) => ask(&entry, |reply| Command::OpenSegments { protocol, reply }).await,
            Err(refusal) => Err(refusal),
        };
        granted.inspect_err(|refusal| report(self.shared(), &access_request, refusal))
    }
}
