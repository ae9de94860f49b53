//! Changes to streams: keeps the database, the running streams and the configuration file in step.
//!
//! Every stream has one [`Owner`]. A change is stored first and then applied: a change that cannot
//! be stored never takes effect, and an acknowledged one survives a restart. Changes of one stream
//! are serialised, each based on the result of the previous one. A change that has begun completes
//! even if its caller is gone.
//!
//! This file has the operations of the API. `unasked` has the streams that do not come from the
//! API, `tokens` new tokens and those kept in the database, `owner` what may be changed of a stream.

mod owner;
mod tokens;
mod unasked;

pub use owner::{Owner, Part};
pub use unasked::Changes;

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use tokio::sync::Mutex;

use self::owner::not_ours;
use super::locks::StreamLocks;
use super::precondition::Precondition;
use super::problem::{Code, Error};
use super::store::{self, Store};
use super::writable::{StoreProblem, Writable};
use crate::media::{IgnorePoison, StreamName, new_token};
use crate::runtime::{StreamSpec, Supervisor, Wanted};

/// A handle to the stream service. Cheap to clone.
#[derive(Clone)]
pub struct StreamService(Arc<Inner>);

struct Inner {
    supervisor: Supervisor,
    store: Store,
    owners: RwLock<BTreeMap<StreamName, Owner>>,
    /// Streams of the database that could not be started, with the reasons.
    lost: RwLock<BTreeMap<String, String>>,
    /// Held during a whole change of a stream.
    changing: StreamLocks,
    /// Held while a stream is added, so that the checks of its name and of the stream limit stay
    /// valid until it is stored and started.
    adding: Mutex<()>,
    writable: Writable,
}

impl StreamService {
    /// A stream service without streams.
    pub fn new(supervisor: Supervisor, store: Store) -> Self {
        Self(Arc::new(Inner {
            supervisor,
            writable: Writable::new(store.database.clone()),
            store,
            owners: RwLock::default(),
            lost: RwLock::default(),
            changing: StreamLocks::default(),
            adding: Mutex::default(),
        }))
    }

    /// The running streams.
    pub fn supervisor(&self) -> &Supervisor {
        &self.0.supervisor
    }

    /// The owner of a stream. `None` if there is no such stream.
    pub fn owner(&self, name: &StreamName) -> Option<Owner> {
        if self.0.supervisor.spec(name).is_ok_and(|spec| spec.is_from_origin()) {
            return Some(Owner::Edge);
        }
        self.0.owners.read().ignore_poison().get(name).copied()
    }

    /// Streams of the database that could not be started, by name, with the reasons.
    pub fn lost(&self) -> BTreeMap<String, String> {
        self.0.lost.read().ignore_poison().clone()
    }

    /// Why changes cannot be stored. `None` if they can.
    pub async fn store_problem(&self) -> Option<StoreProblem> {
        self.0.writable.problem().await
    }

    fn set_owner(&self, name: &StreamName, owner: Option<Owner>) {
        // A stream of this name was created or removed, which clears the entry.
        self.0.lost.write().ignore_poison().remove(name.as_str());
        let mut owners = self.0.owners.write().ignore_poison();
        match owner {
            Some(owner) => owners.insert(name.clone(), owner),
            None => owners.remove(name),
        };
    }

    /// Makes one change of a stream after the earlier ones, in its own task: a caller that leaves
    /// while it waits changes nothing, and one that leaves later interrupts nothing.
    async fn begin<T, F>(
        &self,
        name: &StreamName,
        change: impl FnOnce(Self) -> F,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let turn = self.0.changing.lock(name).await;
        let change = change(self.clone());
        let task = tokio::spawn(async move {
            let _turn = turn;
            change.await
        });
        task.await.unwrap_or_else(|panic| Err(Error::internal("changing the stream", &panic)))
    }

    /// Adds a stream: stores it with `store`, then starts it. The caller holds the lock of the
    /// stream.
    async fn add(
        &self,
        wanted: Wanted,
        owner: Owner,
        store: impl AsyncFnOnce(&StreamSpec) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let _adding = self.0.adding.lock().await;
        // A stream of this appliance takes the place of one of the same name from an origin.
        self.0.supervisor.remove_from_origin(&wanted.spec.name).await;
        self.0.supervisor.check_room(&wanted.spec.name)?;
        store(&wanted.spec).await?;
        self.set_owner(&wanted.spec.name, Some(owner));
        self.0.supervisor.apply(wanted);
        Ok(())
    }

    /// Creates a stream for the API. Missing tokens are generated.
    ///
    /// # Errors
    /// Errors of the supervisor and the database.
    pub async fn create(&self, mut spec: StreamSpec) -> Result<Wanted, Error> {
        spec.access.check_new(None)?;
        make_tokens(&mut spec);
        let wanted = self.0.supervisor.check(spec)?;
        let made = wanted.clone();
        self.begin(&wanted.spec.name, move |stream_service| async move {
            let streams = stream_service.0.store.streams.clone();
            let store = async |spec: &StreamSpec| match streams.insert(spec).await {
                // Stored but not running: the last start could not start it.
                Err(store::Error::Exists(_)) => stream_service.stored(streams.update(spec).await),
                other => stream_service.stored(other),
            };
            stream_service.add(made, Owner::Api, store).await
        })
        .await?;
        Ok(wanted)
    }

    /// Changes a stream. `edit` returns the new spec from the current wanted state; other changes
    /// wait meanwhile. Missing tokens are generated. Returns the new wanted state.
    ///
    /// # Errors
    /// `config_owned`, `precondition_failed`, and errors of `edit`, the supervisor and the
    /// database.
    pub async fn change(
        &self,
        name: &StreamName,
        part: Part,
        precondition: Precondition,
        edit: impl FnOnce(&Wanted) -> Result<StreamSpec, Error> + Send + 'static,
    ) -> Result<Wanted, Error> {
        let id = name.clone();
        self.begin(name, move |stream_service| async move {
            let before = stream_service.open(&id, part, &precondition)?;
            let mut spec = edit(&before)?;
            spec.access.check_new(Some(&before.spec.access))?;
            make_tokens(&mut spec);
            if spec == *before.spec {
                return Ok(before);
            }
            let wanted = stream_service.0.supervisor.check(spec)?;
            if stream_service.owner(&id) == Some(Owner::Api) {
                let updated = stream_service.0.store.streams.update(&wanted.spec).await;
                stream_service.stored(updated)?;
            }
            stream_service.0.supervisor.apply(wanted.clone());
            Ok(wanted)
        })
        .await
    }

    /// Removes a stream of the API.
    ///
    /// # Errors
    /// `config_owned`, `precondition_failed`, `unknown_stream`, and errors of the database.
    pub async fn remove(&self, name: &StreamName, precondition: Precondition) -> Result<(), Error> {
        let id = name.clone();
        self.begin(name, move |stream_service| async move {
            let before = match stream_service.lost().contains_key(id.as_str()) {
                true => None,
                false => Some(stream_service.open(&id, Part::Whole, &precondition)?),
            };
            stream_service.stored(stream_service.0.store.streams.delete(id.as_str()).await)?;
            stream_service.set_owner(&id, None);
            if before.is_some() {
                stream_service.0.supervisor.remove(&id).await?;
            }
            let captions = before.and_then(|wanted| wanted.captions());
            if captions.is_some_and(|captions| !captions.keep_deleted) {
                let forgotten = stream_service.0.store.cues.delete(id.as_str(), i64::MAX).await;
                forgotten.map_err(|e| Error::reading("forgetting what was said", &e))?;
            }
            Ok(())
        })
        .await
    }

    /// The wanted state of a stream, if this part of it may be changed.
    fn open(
        &self,
        name: &StreamName,
        part: Part,
        precondition: &Precondition,
    ) -> Result<Wanted, Error> {
        let wanted = self.0.supervisor.wanted(name)?;
        let owner = self.owner(name);
        if !part.is_open_to(owner) {
            return Err(not_ours(name, owner));
        }
        precondition.check(&wanted.spec)?;
        Ok(wanted)
    }

    /// Notes whether the database accepts changes.
    fn stored(&self, outcome: Result<(), store::Error>) -> Result<(), Error> {
        self.0.writable.note(&outcome);
        outcome.map_err(|error| match error {
            store::Error::Missing(_) => Error::internal("storing the change", &error),
            error => {
                let message = match &error {
                    store::Error::Away { .. } => {
                        "the database does not answer: the change could not be stored, so it is not made"
                    }
                    _ => "the change could not be stored, so it is not made",
                };
                Error::new(Code::NotStored, message, error.hint()).logged(&error)
            }
        })
    }
}

/// Generates the tokens that a spec lacks.
fn make_tokens(spec: &mut StreamSpec) {
    spec.access.publish_token.get_or_insert_with(new_token);
    spec.access.play_token.get_or_insert_with(new_token);
}
