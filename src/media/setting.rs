//! Settings that cannot be used.

/// A setting of a source or an output that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSetting {
    /// The field, as the API names it.
    pub field: &'static str,
    /// What is wrong with it, as text that repeats no secret.
    pub message: String,
}

impl InvalidSetting {
    /// `Err` with this field if something is wrong with it.
    ///
    /// # Errors
    /// The problem, if there is one.
    pub fn check(field: &'static str, problem: Option<String>) -> Result<(), Self> {
        problem.map_or(Ok(()), |message| Err(Self { field, message }))
    }
}
