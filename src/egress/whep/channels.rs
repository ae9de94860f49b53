//! The data channels of a viewer.

use std::convert::Infallible;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::offer::captions;
use super::quality::{self, QualityChoice};
use crate::flow::CaptionFeeds;
use auralink_sfu as sfu;

/// Most data channels that wait for the one of their label that is served.
pub(super) const CHANNELS_MAX: usize = 4;

/// Serves the data channels of a viewer, one of each label at a time; never returns.
pub(super) async fn serve(
    mut opened: mpsc::Receiver<sfu::Channel>,
    caption_feeds: CaptionFeeds,
    choice: Arc<QualityChoice>,
) -> Infallible {
    let (tell_captions, mut for_captions) = mpsc::channel(CHANNELS_MAX);
    let (tell_quality, mut for_quality) = mpsc::channel(CHANNELS_MAX);
    let sort = async {
        while let Some(channel) = opened.recv().await {
            let tell = match channel.label() {
                quality::LABEL => &tell_quality,
                _ => &tell_captions,
            };
            // The session bounds the number of channels.
            let _ = tell.try_send(channel);
        }
        std::future::pending::<Infallible>().await
    };
    let serve_captions = async {
        while let Some(channel) = for_captions.recv().await {
            captions(channel, &caption_feeds).await;
        }
        std::future::pending::<Infallible>().await
    };
    let serve_quality = async {
        while let Some(channel) = for_quality.recv().await {
            choice.serve(channel).await;
        }
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        never = sort => never,
        never = serve_captions => never,
        never = serve_quality => never,
    }
}
