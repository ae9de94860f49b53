//! stub
use serde::Deserialize;
/// `[stt]`: how speech becomes text.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}
