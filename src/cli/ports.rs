//! The listening ports of the appliance.

use std::sync::Arc;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::control::origin::Endpoints;
use crate::control::server::Server;
use crate::flow::Gate;
use crate::ingress::{rtmp, srt};

/// All ports, open but not served yet.
pub(super) struct Ports {
    pub(super) api: Server,
    pub(super) publishers: Publishers,
}

/// The ports of non-HTTP protocols.
pub(super) struct Publishers {
    rtmp: Option<rtmp::Server>,
    srt: Option<srt::Server>,
}

impl Ports {
    /// Opens the configured ports.
    ///
    /// # Errors
    /// A port is in use by another program, a certificate cannot be read, or settings contradict
    /// each other.
    pub(super) async fn open(config: &Config) -> anyhow::Result<Self> {
        let api = Server::bind(&config.api).await?;
        let rtmp = match config.rtmp.enabled {
            true => Some(rtmp::Server::bind(config.rtmp.clone()).await?),
            false => None,
        };
        let srt = config.srt.enabled.then(|| srt::Server::bind(config.srt.clone())).transpose()?;
        Ok(Self { api, publishers: Publishers { rtmp, srt } })
    }

    /// The port numbers.
    pub(super) fn endpoints(&self) -> Endpoints {
        let Publishers { rtmp, srt } = &self.publishers;
        Endpoints {
            http: self.api.address().port(),
            https: self.api.tls().is_some(),
            srt: srt.as_ref().and_then(|s| s.local_address().ok()).map(|a| a.port()),
            rtmp: rtmp.as_ref().and_then(rtmp::Server::address).map(|a| a.port()),
            rtmps: rtmp.as_ref().and_then(rtmp::Server::tls_address).map(|a| a.port()),
        }
    }
}

impl Publishers {
    /// Serves until `stop`, with each protocol in a task of `servers`.
    pub(super) fn serve(
        self,
        gate: &Arc<dyn Gate>,
        stop: &CancellationToken,
        servers: &mut JoinSet<anyhow::Result<()>>,
    ) {
        if let Some(rtmp) = self.rtmp {
            let (gate, until) = (gate.clone(), stop.clone());
            servers.spawn(async move {
                rtmp.run(gate, until).await;
                Ok(())
            });
        }
        if let Some(srt) = self.srt {
            let (gate, until) = (gate.clone(), stop.clone());
            let run = async move { srt.run(gate, until).await.context("the SRT server ended") };
            servers.spawn(run);
        }
    }
}

/// URL of the page for a browser on this machine.
pub(super) fn page(config: &Config, endpoints: &Endpoints) -> String {
    let scheme = if endpoints.https { "https" } else { "http" };
    let ip = config.api.listen.ip();
    let host = match ip {
        _ if ip.is_unspecified() => "localhost".to_owned(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        std::net::IpAddr::V4(ip) => ip.to_string(),
    };
    format!("{scheme}://{host}:{}/", endpoints.http)
}
