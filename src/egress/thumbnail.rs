//! Small JPEG pictures of a stream.
/// About to land.
///
/// # Errors
/// Always.
pub async fn run(
    t: crate::flow::Task,
    _i: crate::flow::Feed,
    _u: tokio::sync::watch::Sender<Option<bytes::Bytes>>,
) -> Result<(), crate::flow::Error> {
    t.cancel.cancelled().await;
    Ok(())
}
