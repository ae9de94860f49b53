//! The registry of sources: one line for each kind.

use serde::{Deserialize, Serialize};

use super::source::{PulledSource, SourceContext};
use super::{demo, file, origin, relay, rist, rtsp, srt, test};
use crate::flow::Error;
use crate::media::{InvalidSetting, Protocol};

macro_rules! sources {
    ($($(#[$meta:meta])+ $name:ident($kind:ty),)+) => {
        /// Where a stream's media comes from.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(tag = "type", rename_all = "lowercase")]
        pub enum SourceSpec {
            /// A publisher connects by SRT, RTMP or WHIP.
            #[default]
            Publish,
            $($(#[$meta])+ $name($kind),)+
        }

        impl SourceSpec {
            /// How it is connected. `None` if it is published: the publisher chooses.
            pub fn protocol(&self) -> Option<Protocol> {
                match self {
                    Self::Publish => None,
                    $(Self::$name(_) => Some(<$kind>::PROTOCOL),)+
                }
            }

            /// Whether opening it reads files that the admin names; such a read may hang.
            pub fn reads_files(&self) -> bool {
                match self {
                    Self::Publish => false,
                    $(Self::$name(_) => <$kind>::READS_FILES,)+
                }
            }

            /// Where it is, for display: without secrets.
            pub fn shown(&self) -> String {
                match self {
                    Self::Publish => "publishers".into(),
                    $(Self::$name(source) => source.shown(),)+
                }
            }

            /// Checks the settings without any effect.
            ///
            /// # Errors
            /// The first setting that cannot be used.
            pub fn check(&self) -> Result<(), InvalidSetting> {
                match self {
                    Self::Publish => Ok(()),
                    $(Self::$name(source) => source.check(),)+
                }
            }

            /// Delivers media until the intake is cancelled.
            ///
            /// # Errors
            /// Why it cannot be opened, or has ended.
            pub async fn run(self, context: SourceContext) -> Result<(), Error> {
                if !self.reads_files() {
                    context.status.set_running();
                }
                match self {
                    Self::Publish => Err(Error::build("source", "it is published, not pulled")),
                    $(Self::$name(source) => source.run(context).await,)+
                }
            }
        }
    };
}

sources! {
    /// Pulled from an SRT listener.
    Srt(srt::pull::SrtSource),
    /// Received or pulled by RIST.
    Rist(rist::RistSource),
    /// Pulled from an RTSP server, such as a camera.
    Rtsp(rtsp::RtspSource),
    /// A media file, played in real time in an endless loop.
    File(file::FileSource),
    /// Test pattern with a flash and a beep each second.
    Test(test::TestSource),
    /// Test pattern with a synthesised voice in noise, for a demonstration.
    Demo(demo::DemoSource),
    /// Another stream of this appliance.
    Stream(relay::StreamSource),
    /// The stream of the same name of another appliance of the cluster. Only the appliance itself
    /// makes it, so it is no part of the API.
    #[serde(skip_deserializing)]
    Origin(origin::OriginSource),
}
