//! Where streams are ordered: keeps the running streams, the database and the configuration file
//! in step.
//!
//! Every stream has one [`Owner`]. Changes are made one at a time; a change that cannot be stored
//! is undone.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;
use tokio::sync::{Mutex, MutexGuard};

use super::api::{Code, Error};
use super::store::{self, Store, Tokens};
use crate::media::{StreamName, new_token};
use crate::process::{captions, denoise};
use crate::runtime::{OutputSpec, StreamSpec, Supervisor};

/// Who decides about a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// The API; the database keeps it.
    Api,
    /// The configuration file. What the API changes lasts until the next start.
    Config,
    /// The appliance itself: the demo.
    Demo,
}

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

/// A handle on the desk. Cheap to clone.
#[derive(Clone)]
pub struct Desk(Arc<Inner>);

struct Inner {
    supervisor: Supervisor,
    store: Store,
    owners: RwLock<BTreeMap<StreamName, Owner>>,
    /// Streams of the database that could not be started, and why.
    lost: RwLock<BTreeMap<String, String>>,
    /// Held across a whole change, so that the database sees changes in the order of the streams.
    changing: Mutex<()>,
}

impl Desk {
    /// A desk without streams.
    pub fn new(supervisor: Supervisor, store: Store) -> Self {
        let (owners, lost) = (RwLock::default(), RwLock::default());
        Self(Arc::new(Inner { supervisor, store, owners, lost, changing: Mutex::default() }))
    }

    /// The streams themselves.
    pub fn supervisor(&self) -> &Supervisor {
        &self.0.supervisor
    }

    /// Who decides about a stream; `None` when there is no such stream.
    pub fn owner(&self, name: &StreamName) -> Option<Owner> {
        self.0.owners.read().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }

    /// Streams of the database that do not run since the start, by name, each with the reason.
    pub fn lost(&self) -> BTreeMap<String, String> {
        self.0.lost.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_owner(&self, name: &StreamName, owner: Option<Owner>) {
        // Whoever makes a stream of this name has found the remedy.
        self.0.lost.write().unwrap_or_else(PoisonError::into_inner).remove(name.as_str());
        let mut owners = self.0.owners.write().unwrap_or_else(PoisonError::into_inner);
        match owner {
            Some(owner) => owners.insert(name.clone(), owner),
            None => owners.remove(name),
        };
    }

    async fn change(&self) -> MutexGuard<'_, ()> {
        self.0.changing.lock().await
    }

    /// Starts a stream of the configuration file or the demo. Tokens that it lacks are taken from
    /// the database, or made and kept there.
    ///
    /// # Errors
    /// What the supervisor or the database refuse.
    pub async fn declare(&self, mut spec: StreamSpec, owner: Owner) -> Result<(), Error> {
        let _change = self.change().await;
        self.fill_tokens(&mut spec).await?;
        let name = spec.name.clone();
        self.0.supervisor.create(spec).await?;
        self.set_owner(&name, Some(owner));
        Ok(())
    }

    /// Starts every stream of the database. One that cannot be started is told in the log and by
    /// [`Self::lost`], and kept in the database, so that nothing is lost by an update that refuses
    /// it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn restore(&self) -> Result<(), store::Error> {
        let _change = self.change().await;
        for (name, spec) in self.0.store.streams().await? {
            let started = match spec {
                Ok(spec) => {
                    let name = spec.name.clone();
                    if let Some(problem) = spec.access.outdated() {
                        tracing::warn!(stream = %name, problem, "a weak secret: PATCH the stream");
                    }
                    self.0.supervisor.create(spec).await.map(|()| name).map_err(|e| e.to_string())
                }
                Err(error) => Err(error),
            };
            match started {
                Ok(name) => self.set_owner(&name, Some(Owner::Api)),
                Err(error) => {
                    tracing::error!(stream = %name, %error, "stored stream not started");
                    self.0.lost.write().unwrap_or_else(PoisonError::into_inner).insert(name, error);
                }
            }
        }
        Ok(())
    }

    /// Does what a changed configuration file asks for; returns what could not be done, in words.
    pub async fn apply(&self, changes: Changes) -> Vec<String> {
        let mut failed = Vec::new();
        for name in &changes.remove {
            let _change = self.change().await;
            match self.0.supervisor.remove(name).await {
                Ok(()) => self.set_owner(name, None),
                Err(e) => failed.push(format!("stream `{name}` is not removed: {e}")),
            }
        }
        for mut spec in changes.update {
            let _change = self.change().await;
            let name = spec.name.clone();
            let filled = self.fill_tokens(&mut spec).await;
            let done = match filled {
                Ok(()) => self.0.supervisor.update(spec).await.map_err(Error::from),
                Err(e) => Err(e),
            };
            if let Err(e) = done {
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

    /// Creates a stream for the API and keeps it. Tokens that it lacks are made.
    ///
    /// # Errors
    /// What the supervisor or the database refuse.
    pub async fn create(&self, mut spec: StreamSpec) -> Result<(), Error> {
        let _change = self.change().await;
        spec.access.check_new(None)?;
        make_tokens(&mut spec);
        let name = spec.name.clone();
        self.0.supervisor.create(spec).await?;
        let stored = match self.0.supervisor.spec(&name) {
            Ok(spec) => match self.0.store.insert_stream(&spec).await {
                // Stored, but not running: it could not be started at the last start.
                Err(store::Error::Exists(_)) => self.0.store.update_stream(&spec).await,
                other => other,
            },
            // Gone again already: there is nothing to keep.
            Err(_) => Ok(()),
        };
        if let Err(error) = stored {
            let _ = self.0.supervisor.remove(&name).await;
            return Err(Error::internal("storing the stream", &error));
        }
        self.set_owner(&name, Some(Owner::Api));
        Ok(())
    }

    /// Changes a stream of the API to another spec of the same name. Tokens that it lacks stay as
    /// they are.
    ///
    /// # Errors
    /// `config_owned`, and what the supervisor or the database refuse.
    pub async fn replace(&self, mut spec: StreamSpec) -> Result<(), Error> {
        let _change = self.change().await;
        let before = self.owned_by_api(&spec.name)?;
        spec.access.check_new(Some(&before.access))?;
        let access = &mut spec.access;
        access.publish_token = access.publish_token.take().or(before.access.publish_token.clone());
        access.play_token = access.play_token.take().or(before.access.play_token.clone());
        self.update_and_keep(spec, before).await
    }

    /// Removes a stream of the API.
    ///
    /// # Errors
    /// `config_owned`, `unknown_stream`.
    pub async fn remove(&self, name: &StreamName) -> Result<(), Error> {
        let change = self.change().await;
        let runs = !self.lost().contains_key(name.as_str());
        if runs {
            self.owned_by_api(name)?;
        }
        let captions = match runs {
            true => self.0.supervisor.snapshot(name).await?.captions,
            false => None,
        };
        // First from the database: if that fails the stream still runs, and nothing is half done.
        let deleted = self.0.store.delete_stream(name.as_str()).await;
        deleted.map_err(|e| Error::internal("forgetting the stream", &e))?;
        if runs {
            self.0.supervisor.remove(name).await?;
        }
        self.set_owner(name, None);
        // Years of captions take a while, and are nobody else's to wait for.
        drop(change);
        if captions.is_some_and(|captions| !captions.keep_deleted) {
            let forgotten = self.0.store.delete_cues(name.as_str(), i64::MAX).await;
            forgotten.map_err(|e| Error::internal("forgetting what was said", &e))?;
        }
        Ok(())
    }

    /// Adds an output to a stream.
    ///
    /// # Errors
    /// `config_owned`, and what the supervisor or the database refuse.
    pub async fn add_output(&self, name: &StreamName, output: OutputSpec) -> Result<(), Error> {
        let _change = self.change().await;
        self.not_config(name)?;
        self.0.supervisor.add_output(name, output).await?;
        self.keep(name).await
    }

    /// Changes what is asked of an output; `change` makes the new from the old.
    ///
    /// # Errors
    /// `config_owned`, and what `change`, the supervisor or the database refuse.
    pub async fn change_output(
        &self,
        name: &StreamName,
        id: &StreamName,
        change: impl FnOnce(&OutputSpec) -> Result<OutputSpec, Error>,
    ) -> Result<(), Error> {
        let _change = self.change().await;
        self.not_config(name)?;
        let before = self.0.supervisor.output(name, id)?;
        self.0.supervisor.change_output(name, change(&before)?).await?;
        let kept = self.keep(name).await;
        if kept.is_err() {
            let _ = self.0.supervisor.change_output(name, before).await;
        }
        kept
    }

    /// Takes an output away.
    ///
    /// # Errors
    /// `config_owned`, and what the supervisor or the database refuse.
    pub async fn remove_output(&self, name: &StreamName, id: &StreamName) -> Result<(), Error> {
        let _change = self.change().await;
        self.not_config(name)?;
        self.0.supervisor.remove_output(name, id).await?;
        self.keep(name).await
    }

    /// Starts or stops an output. On a stream of the configuration file it lasts until the next
    /// start.
    ///
    /// # Errors
    /// What the supervisor or the database refuse.
    pub async fn enable_output(
        &self,
        name: &StreamName,
        id: &StreamName,
        enabled: bool,
    ) -> Result<(), Error> {
        let _change = self.change().await;
        self.0.supervisor.enable_output(name, id, enabled).await?;
        self.keep(name).await
    }

    /// Changes noise suppression while the stream runs. On a stream of the configuration file it
    /// lasts until the next start.
    ///
    /// # Errors
    /// What the supervisor or the database refuse.
    pub async fn set_denoise(
        &self,
        name: &StreamName,
        settings: denoise::Settings,
    ) -> Result<(), Error> {
        let _change = self.change().await;
        self.0.supervisor.set_denoise(name, settings).await?;
        self.keep(name).await
    }

    /// Changes captions, translations and voices while the stream runs. On a stream of the
    /// configuration file it lasts until the next start.
    ///
    /// # Errors
    /// What the supervisor or the database refuse.
    pub async fn set_captions(
        &self,
        name: &StreamName,
        settings: captions::Settings,
    ) -> Result<(), Error> {
        let _change = self.change().await;
        self.0.supervisor.set_captions(name, settings).await?;
        self.keep(name).await
    }

    /// Makes new tokens for a stream; the old ones are worthless from now on.
    ///
    /// # Errors
    /// `config_owned` when the file itself names the tokens, and what the supervisor or the
    /// database refuse.
    pub async fn rotate_tokens(&self, name: &StreamName) -> Result<(), Error> {
        let _change = self.change().await;
        let before = self.0.supervisor.spec(name)?;
        let made = Tokens { publish: new_token(), play: new_token() };
        let mut spec = before.clone();
        spec.access.publish_token = Some(made.publish.clone());
        spec.access.play_token = Some(made.play.clone());
        if self.owner(name) == Some(Owner::Api) {
            return self.update_and_keep(spec, before).await;
        }
        let kept = self.tokens(name).await?;
        let by_us = kept.is_some_and(|kept| {
            before.access.publish_token.as_ref() == Some(&kept.publish)
                && before.access.play_token.as_ref() == Some(&kept.play)
        });
        if !by_us {
            return Err(config_owned(name));
        }
        self.keep_tokens(name, &made).await?;
        Ok(self.0.supervisor.update(spec).await?)
    }

    async fn update_and_keep(&self, spec: StreamSpec, before: StreamSpec) -> Result<(), Error> {
        let name = spec.name.clone();
        self.0.supervisor.update(spec).await?;
        let kept = self.keep(&name).await;
        if kept.is_err() {
            let _ = self.0.supervisor.update(before).await;
        }
        kept
    }

    /// Writes a stream of the API to the database as it now is.
    async fn keep(&self, name: &StreamName) -> Result<(), Error> {
        if self.owner(name) != Some(Owner::Api) {
            return Ok(());
        }
        let spec = self.0.supervisor.spec(name)?;
        let kept = self.0.store.update_stream(&spec).await;
        kept.map_err(|e| Error::internal("storing the change", &e))
    }

    fn owned_by_api(&self, name: &StreamName) -> Result<StreamSpec, Error> {
        let spec = self.0.supervisor.spec(name)?;
        match self.owner(name) {
            Some(Owner::Config | Owner::Demo) => Err(config_owned(name)),
            _ => Ok(spec),
        }
    }

    fn not_config(&self, name: &StreamName) -> Result<(), Error> {
        match self.owner(name) {
            Some(Owner::Config) => Err(config_owned(name)),
            _ => Ok(()),
        }
    }

    async fn fill_tokens(&self, spec: &mut StreamSpec) -> Result<(), Error> {
        if spec.access.publish_token.is_some() && spec.access.play_token.is_some() {
            return Ok(());
        }
        let kept = match self.tokens(&spec.name).await? {
            Some(kept) => kept,
            None => {
                let made = Tokens { publish: new_token(), play: new_token() };
                self.keep_tokens(&spec.name, &made).await?;
                made
            }
        };
        spec.access.publish_token.get_or_insert(kept.publish);
        spec.access.play_token.get_or_insert(kept.play);
        Ok(())
    }

    async fn tokens(&self, name: &StreamName) -> Result<Option<Tokens>, Error> {
        let read = self.0.store.tokens(name.as_str()).await;
        read.map_err(|e| Error::internal("reading the stream's tokens", &e))
    }

    async fn keep_tokens(&self, name: &StreamName, tokens: &Tokens) -> Result<(), Error> {
        let kept = self.0.store.set_tokens(name.as_str(), tokens).await;
        kept.map_err(|e| Error::internal("keeping the stream's tokens", &e))
    }
}

fn make_tokens(spec: &mut StreamSpec) {
    spec.access.publish_token.get_or_insert_with(new_token);
    spec.access.play_token.get_or_insert_with(new_token);
}

fn config_owned(name: &StreamName) -> Error {
    Error::new(
        Code::ConfigOwned,
        format!("stream `{name}` is not the API's to change for good"),
        "it is declared in the configuration file (or is the demo): edit [[streams]] there and \
         reload with `systemctl reload auralink`",
    )
}
