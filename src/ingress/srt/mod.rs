//! SRT: one listener for publishers and players, and the caller that pulls.

/// The caller that pulls.
pub mod pull {
    /// About to land.
    ///
    /// # Errors
    /// Always.
    pub async fn run(
        _intake: crate::flow::Intake,
        _url: &str,
        _passphrase: Option<crate::media::Secret>,
    ) -> Result<(), crate::flow::Error> {
        Err(crate::flow::Error::build("this node", "it is about to land"))
    }
}
