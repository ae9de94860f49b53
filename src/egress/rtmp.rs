//! RTMP(S): pushes FLV to a server.
/// Takes nothing yet.
pub fn accepts() -> crate::media::Accepts {
    Default::default()
}
/// About to land.
///
/// # Errors
/// Always.
pub async fn run(
    _t: crate::flow::Task,
    _i: crate::flow::Inputs,
    _u: String,
) -> Result<(), crate::flow::Error> {
    Err(crate::flow::Error::build("this node", "it is about to land"))
}
