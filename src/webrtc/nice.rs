//! ICE restarts, which `webrtcbin` does not support, by three functions of libnice.
//!
//! `webrtcbin` keeps its agent for life, and leaves changes of its behaviour to us. libnice is
//! already loaded by `webrtcbin`'s plugin, so it is opened by name and needs no headers. After a
//! restart the agent checks anew with new credentials, on the same sockets; media stays on the old
//! path until a new one is found (RFC 8445 section 9).

#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int, c_uint};
use std::sync::OnceLock;

use gst::glib::{self, translate::FromGlibPtrFull};
use gst::prelude::*;
use libloading::Library;

use super::sdp::Fragment;

/// Name on Debian and derivatives; `webrtcbin` links to the same library.
const LIBRARY: &str = "libnice.so.10";

type RestartStream = unsafe extern "C" fn(*mut glib::gobject_ffi::GObject, c_uint) -> c_int;
type SetRemoteCredentials = unsafe extern "C" fn(
    *mut glib::gobject_ffi::GObject,
    c_uint,
    *const c_char,
    *const c_char,
) -> c_int;
type GenerateStreamSdp =
    unsafe extern "C" fn(*mut glib::gobject_ffi::GObject, c_uint, c_int) -> *mut c_char;

/// The functions of libnice that we call.
struct Nice {
    restart_stream: RestartStream,
    set_remote_credentials: SetRemoteCredentials,
    generate_local_stream_sdp: GenerateStreamSdp,
    /// Keeps the functions loaded.
    _library: Library,
}

/// The agent of a connection and its only stream: all media are bundled on one transport.
pub(super) struct Transport {
    agent: glib::Object,
    stream: u32,
}

impl Transport {
    /// The transport of a `webrtcbin` that has an offer.
    pub(super) fn of(bin: &gst::Element) -> Option<Self> {
        let bin = bin.downcast_ref::<gst::Bin>()?;
        let elements = bin.iterate_recurse().into_iter().flatten();
        let mut sources = elements.filter(|e| e.factory().is_some_and(|f| f.name() == "nicesrc"));
        let source = sources.next()?;
        let agent = source.property::<Option<glib::Object>>("agent")?;
        Some(Self { agent, stream: source.property("stream") })
    }

    /// Begins a new ICE generation: sets the peer's new credentials and creates ours; returns ours
    /// with our candidates.
    ///
    /// # Errors
    /// The reason of failure.
    pub(super) fn restart(&self, ufrag: &str, password: &str) -> Result<Fragment, String> {
        let nice = Nice::get().map_err(Clone::clone)?;
        let text = |text: &str| CString::new(text).map_err(|e| e.to_string());
        let (ufrag, password) = (text(ufrag)?, text(password)?);
        let agent: *mut glib::gobject_ffi::GObject = self.agent.as_ptr();
        // SAFETY: `agent` is a live NiceAgent, held by `self`, which locks itself in each call; the
        // strings end with a zero byte and are copied.
        let done = unsafe {
            (nice.restart_stream)(agent, self.stream) != 0
                && (nice.set_remote_credentials)(
                    agent,
                    self.stream,
                    ufrag.as_ptr(),
                    password.as_ptr(),
                ) != 0
        };
        if !done {
            return Err("the ICE agent has no such stream".into());
        }
        // SAFETY: as above; the result is null or ours to free.
        let own: Option<glib::GString> = unsafe {
            let text = (nice.generate_local_stream_sdp)(agent, self.stream, 0);
            (!text.is_null()).then(|| glib::GString::from_glib_full(text))
        };
        let own = own.ok_or("the ICE agent has no credentials")?;
        Fragment::parse(&own).map_err(|e| e.to_string())
    }
}

impl Nice {
    fn get() -> Result<&'static Self, &'static String> {
        static NICE: OnceLock<Result<Nice, String>> = OnceLock::new();
        NICE.get_or_init(|| Self::open().map_err(|e| format!("libnice cannot be used: {e}")))
            .as_ref()
    }

    fn open() -> Result<Self, libloading::Error> {
        // SAFETY: libnice is already loaded, so opening it again runs no code; the three types are
        // those of its header `agent.h`, unchanged since version 0.1.4.
        unsafe {
            let library = Library::new(LIBRARY)?;
            Ok(Self {
                restart_stream: *library.get(c"nice_agent_restart_stream")?,
                set_remote_credentials: *library.get(c"nice_agent_set_remote_credentials")?,
                generate_local_stream_sdp: *library.get(c"nice_agent_generate_local_stream_sdp")?,
                _library: library,
            })
        }
    }
}
