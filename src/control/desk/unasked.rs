//! Streams that nobody asks the API for: those of the configuration file, the demo, and at the start
//! those of the database.

use std::sync::PoisonError;

use super::{Desk, Owner};
use crate::control::api::Error;
use crate::control::store;
use crate::media::StreamName;
use crate::runtime::StreamSpec;

/// What a changed configuration file asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Streams that are new.
    pub create: Vec<StreamSpec>,
    /// Streams that say something else than before.
    pub update: Vec<StreamSpec>,
    /// Streams that are gone.
    pub remove: Vec<StreamName>,
}

impl Desk {
    /// Starts a stream of the configuration file or the demo. Tokens that it lacks are taken from
    /// the database, or made and kept there.
    ///
    /// # Errors
    /// What the supervisor or the database refuse.
    pub async fn declare(&self, mut spec: StreamSpec, owner: Owner) -> Result<(), Error> {
        let name = spec.name.clone();
        self.begin(&name, move |desk| async move {
            desk.fill_tokens(&mut spec).await?;
            let wanted = desk.0.supervisor.check(spec)?;
            desk.add(wanted, owner, async |_| Ok(())).await
        })
        .await
    }

    /// Starts every stream of the database. One that cannot be started is told in the log and by
    /// [`Self::lost`], and kept in the database, so that nothing is lost by an update that refuses
    /// it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn restore(&self) -> Result<(), store::Error> {
        for (name, spec) in self.0.store.streams().await? {
            let started = match spec {
                Ok(spec) => self.start_stored(spec).await.map_err(|e| e.to_string()),
                Err(error) => Err(error),
            };
            if let Err(error) = started {
                tracing::error!(stream = %name, %error, "stored stream not started");
                self.0.lost.write().unwrap_or_else(PoisonError::into_inner).insert(name, error);
            }
        }
        Ok(())
    }

    async fn start_stored(&self, spec: StreamSpec) -> Result<(), Error> {
        let name = spec.name.clone();
        if let Some(problem) = spec.access.outdated() {
            tracing::warn!(stream = %name, problem, "a weak secret: PATCH the stream");
        }
        self.begin(&name, move |desk| async move {
            let wanted = desk.0.supervisor.check(spec)?;
            desk.add(wanted, Owner::Api, async |_| Ok(())).await
        })
        .await
    }

    /// Does what a changed configuration file asks for; returns what could not be done, in words.
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
        self.begin(name, move |desk| async move {
            desk.0.supervisor.remove(&id).await?;
            desk.set_owner(&id, None);
            Ok(())
        })
        .await
    }

    async fn declare_anew(&self, mut spec: StreamSpec) -> Result<(), Error> {
        let name = spec.name.clone();
        self.begin(&name, move |desk| async move {
            desk.0.supervisor.wanted(&spec.name)?;
            desk.fill_tokens(&mut spec).await?;
            desk.0.supervisor.apply(desk.0.supervisor.check(spec)?);
            Ok(())
        })
        .await
    }
}
