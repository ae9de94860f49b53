//! Sets str0m up for one viewer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::bwe::Bitrate;
use str0m::config::{DtlsCert, Fingerprint};
use str0m::format::{Codec, FormatParams};
use str0m::media::{Frequency, MediaKind, Mid};
use str0m::net::Protocol;
use str0m::rtp::Extension;
use str0m::{Candidate, IceCreds, Rtc};

use super::figures::FIGURES_INTERVAL;
use super::keys;
use super::texts::CHANNEL_BYTES_MAX;
use super::track::Track;
use super::{Credentials, Error, LocalEnd, LocalTrack, Terms};

/// Packets of a track that can be sent again: a second of 2 Mbit/s. Each costs about 80 bytes, and 450 in
/// str0m.
pub(super) const RESEND_PACKETS_MAX: usize = 256;

/// How long packets can be sent again: later they come too late to be shown.
pub(super) const RESEND_AGE_MAX: Duration = Duration::from_secs(1);

/// Share of retransmissions above which waiting ones are dropped: they would only add to congestion.
pub(super) const RESEND_RATIO_MAX: f32 = 0.15;

/// Interval of sender reports: players synchronise audio and video by them.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// A viewer's end of str0m.
pub(super) struct Prepared {
    pub(super) rtc: Rtc,
    pub(super) tracks: Vec<Track>,
    /// Our addresses.
    pub(super) locals: Vec<Candidate>,
    /// Our end, for the viewer.
    pub(super) local: LocalEnd,
}

/// Sets str0m up on these addresses of the machine.
///
/// # Errors
/// [`Error::Terms`], if str0m does not take them.
pub(super) fn prepare(
    terms: &Terms,
    (addresses, has_tcp): (&[SocketAddr], bool),
    certificate: &DtlsCert,
    now: Instant,
) -> Result<Prepared, Error> {
    let wrong = |e: String| Error::Terms(e);
    let mut rtc = configured(terms, certificate, now)?;
    let mut locals = Vec::new();
    // UDP first: str0m prefers what it knows first.
    for protocol in [Protocol::Udp, Protocol::Tcp].into_iter().take(1 + usize::from(has_tcp)) {
        for address in addresses {
            let candidate = Candidate::host(*address, protocol);
            let candidate = candidate.map_err(|e| wrong(e.to_string()))?;
            rtc.add_local_candidate(candidate.clone());
            locals.push(candidate);
        }
    }
    let mut api = rtc.direct_api();
    api.set_ice_controlling(false);
    api.set_remote_ice_credentials(creds(&terms.remote));
    let (hash, value) = &terms.fingerprint;
    let fingerprint: Fingerprint = format!("{hash} {value}").parse().map_err(wrong)?;
    api.set_remote_fingerprint(fingerprint);
    let tracks = add_tracks(&mut rtc, terms);
    let mut api = rtc.direct_api();
    let own = api.local_ice_credentials();
    let certificate = api.local_dtls_fingerprint().to_string();
    let (hash, value) = certificate.split_once(' ').unwrap_or_default();
    let local = LocalEnd {
        credentials: Credentials { ufrag: own.ufrag, password: own.pass },
        fingerprint: (hash.to_owned(), value.to_owned()),
        addresses: addresses.to_vec(),
        has_tcp,
        tracks: tracks.iter().map(|t| t.local).collect(),
    };
    api.start_dtls(terms.is_active).map_err(|e| wrong(e.to_string()))?;
    if terms.has_data {
        api.start_sctp(terms.is_active);
    }
    Ok(Prepared { rtc, tracks, locals, local })
}

fn add_tracks(rtc: &mut Rtc, terms: &Terms) -> Vec<Track> {
    let (mut api, has_estimate) = (rtc.direct_api(), terms.congestion.is_some());
    let mut add = |(index, terms): (usize, &super::TrackTerms)| {
        let rtx_ssrc = terms.rtx.map(|_| api.new_ssrc());
        let ssrc = api.new_ssrc();
        let kind = if terms.is_video { MediaKind::Video } else { MediaKind::Audio };
        // What str0m does not know it does not report on.
        if has_estimate {
            api.declare_media(mid(index), kind);
            let stream = api.declare_stream_tx(ssrc, rtx_ssrc, mid(index), None);
            let share = Some(RESEND_RATIO_MAX);
            stream.set_rtx_cache(RESEND_PACKETS_MAX, RESEND_AGE_MAX, share);
        }
        let local = LocalTrack { ssrc: *ssrc, rtx_ssrc: rtx_ssrc.map(|s| *s) };
        Track::new(terms.clone(), local)
    };
    terms.tracks.iter().enumerate().map(&mut add).collect()
}

fn configured(terms: &Terms, certificate: &DtlsCert, now: Instant) -> Result<Rtc, Error> {
    let mut config = Rtc::builder()
        .set_rtp_mode(true)
        .set_ice_lite(true)
        .set_crypto_provider(keys::provider())
        .enable_raw_packets(terms.congestion.is_none())
        .set_dtls_cert(certificate.clone())
        .set_rtcp_report_interval_audio(REPORT_INTERVAL)
        .set_rtcp_report_interval_video(REPORT_INTERVAL)
        .set_stats_interval(Some(FIGURES_INTERVAL))
        .set_sctp_max_buffered_amount(CHANNEL_BYTES_MAX)
        .clear_extension_map()
        .clear_codecs();
    for track in &terms.tracks {
        // With RTP as input, str0m only needs to know video from audio.
        let (codec, channels) = match track.is_video {
            true => (Codec::H264, None),
            false => (Codec::Opus, Some(2)),
        };
        let clock_rate = Frequency::new(track.clock_rate_hz)
            .ok_or_else(|| Error::Terms("a clock rate of zero".into()))?;
        let (pt, rtx) = (track.payload_type.into(), track.rtx.map(Into::into));
        let format = FormatParams::default();
        config.codec_config().add_config(pt, rtx, codec, clock_rate, channels, format);
    }
    if let Some(congestion) = terms.congestion {
        let initial = u64::from(congestion.initial_kbps);
        config = config
            .set_extension(congestion.extension_id, Extension::TransportSequenceNumber)
            .enable_bwe(Some(Bitrate::kbps(initial)));
    }
    Ok(config.build(now))
}

/// Credentials in str0m's form.
pub(super) fn creds(credentials: &Credentials) -> IceCreds {
    IceCreds { ufrag: credentials.ufrag.clone(), pass: credentials.password.clone() }
}

/// str0m's name of a track. It is not sent.
pub(super) fn mid(index: usize) -> Mid {
    Mid::from(&*index.to_string())
}
