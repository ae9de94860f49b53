//! Tokens of publishers and viewers that are generated anew or kept in the database.

use super::owner::not_ours;
use super::{Owner, Part, StreamService};
use crate::control::precondition::Precondition;
use crate::control::problem::Error;
use crate::control::store::Tokens;
use crate::media::{StreamName, new_token};
use crate::runtime::{StreamSpec, Wanted};

impl StreamService {
    /// Generates new tokens for a stream; the old ones become invalid.
    ///
    /// # Errors
    /// `config_owned` if the configuration file names the tokens; errors of the supervisor and the
    /// database.
    pub async fn rotate_tokens(&self, name: &StreamName) -> Result<(), Error> {
        let owner = self.owner(name);
        if owner == Some(Owner::Edge) {
            return Err(not_ours(name, owner));
        }
        if owner == Some(Owner::Api) {
            let without_tokens = |before: &Wanted| {
                let mut spec = (*before.spec).clone();
                (spec.access.publish_token, spec.access.play_token) = (None, None);
                Ok(spec)
            };
            let changed = self.change(name, Part::Whole, Precondition::Any, without_tokens).await;
            return changed.map(|_| ());
        }
        let id = name.clone();
        self.begin(name, move |stream_service| async move {
            let mut spec = stream_service.0.supervisor.spec(&id)?;
            let access = &mut spec.access;
            let by_us = stream_service.tokens(&id).await?.is_some_and(|kept| {
                access.publish_token.as_ref() == Some(&kept.publish)
                    && access.play_token.as_ref() == Some(&kept.play)
            });
            if !by_us {
                return Err(not_ours(&id, owner));
            }
            let made = Tokens { publish: new_token(), play: new_token() };
            stream_service.keep_tokens(&id, &made).await?;
            access.publish_token = Some(made.publish);
            access.play_token = Some(made.play);
            stream_service.0.supervisor.apply(stream_service.0.supervisor.check(spec)?);
            Ok(())
        })
        .await
    }

    /// Adds missing tokens from the database, or generates them and stores them there.
    pub(super) async fn fill_tokens(&self, spec: &mut StreamSpec) -> Result<(), Error> {
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
        let read = self.0.store.access.tokens(name.as_str()).await;
        read.map_err(|e| Error::reading("reading the stream's tokens", &e))
    }

    async fn keep_tokens(&self, name: &StreamName, tokens: &Tokens) -> Result<(), Error> {
        self.stored(self.0.store.access.set_tokens(name.as_str(), tokens).await)
    }
}
