//! Rules for the tokens and the SRT passphrase of a stream.

use super::{Access, Error};
use crate::media::{passphrase_problem, token_problem};

impl Access {
    /// The first secret that cannot be accepted as new: its field and the reason.
    fn problem(&self) -> Option<(&'static str, String)> {
        let token = |field, text: &Option<String>| {
            text.as_deref().and_then(token_problem).map(|problem| (field, problem))
        };
        let passphrase = || {
            let text = self.srt_passphrase.as_deref();
            text.and_then(passphrase_problem).map(|problem| ("srt_passphrase", problem))
        };
        token("publish_token", &self.publish_token)
            .or_else(|| token("play_token", &self.play_token))
            .or_else(passphrase)
    }

    /// Checks the secrets that an admin sets. A secret equal to the one in `before` stays valid: it
    /// was accepted under earlier rules, and encoders already use it.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field; the secret is not repeated.
    pub fn check_new(&self, before: Option<&Access>) -> Result<(), Error> {
        let changed = |new: &Option<String>, old: fn(&Access) -> &Option<String>| {
            new.clone().filter(|_| before.map(old) != Some(new))
        };
        let changed = Access {
            publish_token: changed(&self.publish_token, |access| &access.publish_token),
            play_token: changed(&self.play_token, |access| &access.play_token),
            srt_passphrase: changed(&self.srt_passphrase, |access| &access.srt_passphrase),
            ..Access::default()
        };
        match changed.problem() {
            None => Ok(()),
            Some((field, message)) => {
                Err(Error::Invalid { field: format!("access.{field}"), message })
            }
        }
    }

    /// Why a stored secret breaks today's rules, for the log. The secret keeps working.
    pub fn outdated(&self) -> Option<String> {
        self.problem().map(|(field, message)| format!("access.{field}: {message}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(publish: &str, passphrase: Option<&str>) -> Access {
        Access {
            publish_token: Some(publish.into()),
            srt_passphrase: passphrase.map(str::to_owned),
            ..Access::default()
        }
    }

    #[test]
    fn what_is_new_is_checked_and_what_was_there_stays() {
        let check = |new: &Access, before: Option<&Access>, expect: &str| {
            let told = new.check_new(before).map_or_else(|e| e.to_string(), |()| "ok".into());
            assert!(told.contains(expect), "{told}");
        };
        let (weak, strong) = (access("x", None), access("change-me-please", None));
        check(&strong, None, "ok");
        check(&Access::default(), None, "ok");
        check(&weak, None, "`access.publish_token`: a token has at least 8");
        check(&weak, Some(&strong), "at least 8");
        check(&weak, Some(&weak), "ok");
        check(&access("change-me-please", Some("letters&more")), None, "`access.srt_passphrase`");
        assert_eq!(strong.outdated(), None);
        assert!(weak.outdated().expect("one character").starts_with("access.publish_token"));
    }
}
