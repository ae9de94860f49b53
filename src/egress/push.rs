//! A push to a server, by SRT or RTMP: the scheme of its address decides.

use serde::{Deserialize, Serialize};

use super::output::{OutputContext, StreamOutput};
use super::{rtmp, srt};
use crate::flow::Error;
use crate::media::{Accepts, InvalidSetting, url_problem, url_without_secrets};

/// A server that the stream is sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PushOutput {
    /// `srt://…`, `rtmp://…` or `rtmps://…`. Only `GET …/spec` returns its keys and passphrases.
    #[schema(example = "rtmp://server/app/key")]
    url: String,
}

impl PushOutput {
    /// A push to this address.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into() }
    }

    fn is_srt(&self) -> bool {
        self.url.starts_with("srt:")
    }
}

impl StreamOutput for PushOutput {
    fn shown(&self) -> String {
        url_without_secrets(&self.url)
    }

    fn accepts(&self) -> Accepts {
        if self.is_srt() { srt::accepts() } else { rtmp::accepts() }
    }

    fn check(&self) -> Result<(), InvalidSetting> {
        InvalidSetting::check("url", url_problem(&self.url, &["srt", "rtmp", "rtmps"]))
    }

    async fn run(self, context: OutputContext) -> Result<(), Error> {
        let OutputContext { task, inputs, .. } = context;
        match self.is_srt() {
            true => srt::run(task, inputs, &self.url).await,
            false => rtmp::run(task, inputs, self.url).await,
        }
    }
}
