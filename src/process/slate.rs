//! What viewers see while the source is gone.
use crate::flow::Writer;
use crate::media::Format;
pub async fn run(
    t: crate::flow::Task,
    _v: Option<(Writer, Format)>,
    _a: Option<(Writer, Format)>,
    _n: &str,
    _e: &super::encoders::Encoders,
) -> Result<(), crate::flow::Error> {
    t.cancel.cancelled().await;
    Ok(())
}
