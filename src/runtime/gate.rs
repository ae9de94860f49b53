//! The gate by which all protocols reach the streams.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::Supervisor;
use super::admission::{ask, judge, report, sit_down};
use super::command::Command;
use crate::egress::hls;
use crate::flow::{Admission, Gate, Hello, Intake, Refusal, Seat, SourceReport};
use crate::media::Accepts;

impl Gate for Supervisor {
    fn admit(&self, hello: &Hello) -> Result<Admission, Refusal> {
        let verdict = judge(self.shared(), hello).map(|(_, admission)| admission);
        verdict.inspect_err(|refusal| report(self.shared(), hello, refusal))
    }

    fn publish(
        &self,
        hello: Hello,
        source: Arc<SourceReport>,
    ) -> BoxFuture<'static, Result<Intake, Refusal>> {
        let shared = self.shared().clone();
        async move {
            let command = |reply| Command::Publish { hello: hello.clone(), report: source, reply };
            let granted = match judge(&shared, &hello) {
                Ok((entry, _)) => ask(&entry, command).await,
                Err(refusal) => Err(refusal),
            };
            granted.inspect_err(|refusal| report(&shared, &hello, refusal))
        }
        .boxed()
    }

    fn play(&self, hello: Hello, accepts: Accepts) -> BoxFuture<'static, Result<Seat, Refusal>> {
        let shared = self.shared().clone();
        async move {
            let granted = match judge(&shared, &hello) {
                Ok((entry, _)) => sit_down(&entry, hello.protocol, accepts).await,
                Err(refusal) => Err(refusal),
            };
            granted.inspect_err(|refusal| report(&shared, &hello, refusal))
        }
        .boxed()
    }

    fn report_refusal(&self, hello: &Hello, refusal: &Refusal) {
        report(self.shared(), hello, refusal);
    }
}

impl Supervisor {
    /// The HLS segments of a stream. Segmenting starts with the first request.
    ///
    /// # Errors
    /// The refusal of the player.
    pub async fn open_hls(&self, hello: Hello) -> Result<Arc<hls::Shelf>, Refusal> {
        let granted = match judge(self.shared(), &hello) {
            Ok((entry, _)) => ask(&entry, Command::OpenHls).await,
            Err(refusal) => Err(refusal),
        };
        granted.inspect_err(|refusal| report(self.shared(), &hello, refusal))
    }
}
