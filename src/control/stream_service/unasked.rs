//! Streams that do not come from the API: those of the configuration file, the demo, and at start
//! those of the database.

use super::{Owner, StreamService};
use crate::control::problem::Error;
use crate::control::store::{self, StoredStream};
use crate::media::{IgnorePoison, StreamName};
use crate::runtime::StreamSpec;

/// The effect of a changed configuration file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// New streams.
    pub create: Vec<StreamSpec>,
    /// Streams with changed settings.
    pub update: Vec<StreamSpec>,
    /// Removed streams.
    pub remove: Vec<StreamName>,
}

impl StreamService {
    /// Starts a stream of the configuration file or the demo. Missing tokens are taken from the
    /// database, or generated and stored there.
    ///
    /// # Errors
    /// Errors of the supervisor and the database.
    pub async fn declare(&self, mut spec: StreamSpec, owner: Owner) -> Result<(), Error> {
        let name = spec.name.clone();
        self.begin(&name, move |stream_service| async move {
            stream_service.fill_tokens(&mut spec).await?;
            let wanted = stream_service.0.supervisor.check(spec)?;
            stream_service.add(wanted, owner, async |_| Ok(())).await
        })
        .await
    }

    /// Starts every stream of the database. A stream that cannot be started is logged, listed by
    /// [`Self::lost`] and kept in the database, so that an update which rejects it loses nothing.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn restore(&self) -> Result<(), store::Error> {
        for StoredStream { name, spec } in self.0.store.streams.list().await? {
            let started = match spec {
                Ok(spec) => self.start_stored(spec).await.map_err(|e| e.to_string()),
                Err(error) => Err(error),
            };
            if let Err(error) = started {
                tracing::error!(stream = %name, %error, "stored stream not started");
                self.0.lost.write().ignore_poison().insert(name, error);
            }
        }
        Ok(())
    }

    async fn start_stored(&self, spec: StreamSpec) -> Result<(), Error> {
        let name = spec.name.clone();
        if let Some(problem) = spec.access.outdated() {
            tracing::warn!(stream = %name, problem, "a weak secret: PATCH the stream");
        }
        self.begin(&name, move |stream_service| async move {
            let wanted = stream_service.0.supervisor.check(spec)?;
            stream_service.add(wanted, Owner::Api, async |_| Ok(())).await
        })
        .await
    }

    /// Applies a changed configuration file. Returns the failures, as text.
    pub async fn apply(&self, changes: Changes) -> Vec<String> {
        let mut failed = Vec::new();
        for name in changes.remove {
            if let Err(e) = self.withdraw(&name).await {
                failed.push(format!("stream `{name}` is not removed: {e}"));
            }
        }
        for spec in changes.update {
            let name = spec.name.clone();
            if let Err(e) = self.declare_anew(spec).await {
                failed.push(format!("stream `{name}` is not changed: {e}"));
            }
        }
        for spec in changes.create {
            let name = spec.name.clone();
            if let Err(e) = self.declare(spec, Owner::Config).await {
                failed.push(format!("stream `{name}` is not created: {e}"));
            }
        }
        failed
    }

    async fn withdraw(&self, name: &StreamName) -> Result<(), Error> {
        let id = name.clone();
        self.begin(name, move |stream_service| async move {
            stream_service.0.supervisor.remove(&id).await?;
            stream_service.set_owner(&id, None);
            Ok(())
        })
        .await
    }

    async fn declare_anew(&self, mut spec: StreamSpec) -> Result<(), Error> {
        let name = spec.name.clone();
        self.begin(&name, move |stream_service| async move {
            stream_service.0.supervisor.wanted(&spec.name)?;
            stream_service.fill_tokens(&mut spec).await?;
            stream_service.0.supervisor.apply(stream_service.0.supervisor.check(spec)?);
            Ok(())
        })
        .await
    }
}
