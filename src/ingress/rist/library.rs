//! The few functions of librist in use, loaded at run time, behind a safe receiver.
//!
//! For Debian's librist4 (API 4.2 and later); types and semantics from `librist/receiver.h`,
//! `peer.h`, `headers.h` and `stats.h` of 0.2.7.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use libloading::{Library, Symbol};

/// The library, under the name that Debian gives it.
const LIBRIST: &str = "librist.so.4";

/// `RIST_LOG_DISABLE`.
const LOG_DISABLE: c_int = -1;

/// Whether the library opens on this machine.
pub(super) fn is_there() -> bool {
    // SAFETY: opening runs the library's initialisers, and librist has none with effects.
    unsafe { Library::new(LIBRIST).is_ok() }
}

/// How often librist reports its statistics, in milliseconds.
const STATS_INTERVAL_MS: c_int = 1000;

/// Any of the library's opaque objects.
type Object = *mut c_void;

/// `enum rist_profile`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Profile {
    /// TR-06-1: RTP and RTCP on two neighbouring ports, no encryption.
    Simple = 0,
    /// TR-06-2: one port, callers behind a firewall, encryption.
    Main = 1,
}

/// The beginning of `struct rist_data_block`; the rest is not read.
#[repr(C)]
struct DataBlock {
    payload: *const u8,
    payload_len: usize,
}

/// The beginning of `struct rist_stats`; the rest is not read.
#[repr(C)]
struct StatsContainer {
    json_size: u32,
    stats_json: *const c_char,
}

type StatsCallback = extern "C" fn(*mut c_void, *const StatsContainer) -> c_int;

struct Functions {
    destroy: unsafe extern "C" fn(Object) -> c_int,
    read: unsafe extern "C" fn(Object, *mut *mut DataBlock, c_int) -> c_int,
    free_block: unsafe extern "C" fn(*mut *mut DataBlock),
}

/// Running totals of a receiver.
#[derive(Debug, Default)]
pub(super) struct RistStats {
    /// Packets that were lost and not recovered in time.
    pub(super) lost: AtomicU64,
    /// Mean round trip to the senders, in milliseconds.
    pub(super) rtt_ms: AtomicU64,
}

/// A running receiver with one peer. Its threads are librist's own.
pub(super) struct Receiver {
    functions: Functions,
    context: Object,
    stats: Box<RistStats>,
    // The last field, so that it is closed after the context is destroyed.
    _library: Library,
}

// SAFETY: librist locks its contexts; reading and destroying are serialised by `&self` and `Drop`.
unsafe impl Send for Receiver {}
// SAFETY: as above; `rist_receiver_data_read2` may be called from several threads.
unsafe impl Sync for Receiver {}

fn symbol<T: Copy>(library: &Library, name: &str) -> Result<T, String> {
    // SAFETY: each caller names the type that the library's header declares for this function.
    let found: Result<Symbol<T>, _> = unsafe { library.get(name.as_bytes()) };
    found.map(|f| *f).map_err(|e| format!("librist has no {name}: {e}"))
}

impl Receiver {
    /// Starts a receiver: a listener for `rist://@address:port`, a caller for `rist://host:port`.
    /// Options in the address are those of librist: `buffer`, `secret`, `aes-type` and others.
    ///
    /// # Errors
    /// In words: librist is missing, the address is wrong, the port is taken.
    pub(super) fn start(address: &str, profile: Profile) -> Result<Self, String> {
        type Create = unsafe extern "C" fn(*mut Object, c_int, Object) -> c_int;
        type Parse = unsafe extern "C" fn(*const c_char, *mut Object) -> c_int;
        type FreeConfig = unsafe extern "C" fn(*mut Object) -> c_int;
        type AddPeer = unsafe extern "C" fn(Object, *mut Object, Object) -> c_int;
        type Start = unsafe extern "C" fn(Object) -> c_int;
        type SetStats = unsafe extern "C" fn(Object, c_int, StatsCallback, Object) -> c_int;
        // SAFETY: opening runs the library's initialisers, and librist has none with effects.
        let library = unsafe { Library::new(LIBRIST) }
            .map_err(|e| format!("cannot open {LIBRIST} ({e}): install librist4"))?;
        let create: Create = symbol(&library, "rist_receiver_create")?;
        let parse: Parse = symbol(&library, "rist_parse_address2")?;
        let free_config: FreeConfig = symbol(&library, "rist_peer_config_free2")?;
        let add_peer: AddPeer = symbol(&library, "rist_peer_create")?;
        let start: Start = symbol(&library, "rist_start")?;
        let set_stats: SetStats = symbol(&library, "rist_stats_callback_set")?;
        let functions = Functions {
            destroy: symbol(&library, "rist_destroy")?,
            read: symbol(&library, "rist_receiver_data_read2")?,
            free_block: symbol(&library, "rist_receiver_data_block_free2")?,
        };
        silence(&library)?;
        let address =
            CString::new(address).map_err(|_| "the address has a zero byte".to_owned())?;
        let mut context = ptr::null_mut();
        // SAFETY: `context` is valid for the call; no logging settings means the global ones.
        if unsafe { create(&raw mut context, profile as c_int, ptr::null_mut()) } != 0 {
            return Err("librist cannot make a receiver".to_owned());
        }
        // From here on it is destroyed when dropped.
        let receiver = Self { functions, context, stats: Box::default(), _library: library };
        let (mut config, mut peer) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the address is a C string; librist allocates the configuration.
        if unsafe { parse(address.as_ptr(), &raw mut config) } != 0 {
            return Err("librist cannot read the address".to_owned());
        }
        // SAFETY: context and configuration are valid; librist copies the configuration.
        let added = unsafe {
            let added = add_peer(context, &raw mut peer, config);
            free_config(&raw mut config);
            added
        };
        if added != 0 {
            return Err(
                "librist cannot open the address: it is taken, or not of this machine".into()
            );
        }
        let stats = ptr::from_ref::<RistStats>(&receiver.stats).cast_mut().cast();
        // SAFETY: the box outlives the context, which stops its threads when it is destroyed.
        if unsafe { set_stats(context, STATS_INTERVAL_MS, on_stats, stats) } != 0 {
            return Err("librist reports no statistics".to_owned());
        }
        // SAFETY: the context is valid.
        if unsafe { start(context) } != 0 {
            return Err("librist cannot start".to_owned());
        }
        Ok(receiver)
    }

    /// Waits for the next packet and appends its payload. Returns false if none came in time.
    ///
    /// # Errors
    /// librist cannot read any more.
    pub(super) fn read(&self, into: &mut Vec<u8>, timeout: Duration) -> Result<bool, String> {
        let ms = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
        let mut block: *mut DataBlock = ptr::null_mut();
        // SAFETY: the context is valid; librist sets `block` to a block that is ours, or leaves it.
        let queued = unsafe { (self.functions.read)(self.context, &raw mut block, ms) };
        if queued < 0 {
            return Err(format!("librist reports error {queued}"));
        }
        if queued == 0 || block.is_null() {
            return Ok(false);
        }
        // SAFETY: a block has as many bytes as it says, until it is freed here.
        unsafe {
            let DataBlock { payload, payload_len } = block.read();
            if !payload.is_null() {
                into.extend_from_slice(std::slice::from_raw_parts(payload, payload_len));
            }
            (self.functions.free_block)(&raw mut block);
        }
        Ok(true)
    }

    /// Running totals.
    pub(super) fn stats(&self) -> &RistStats {
        &self.stats
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // SAFETY: the context is valid and not used afterwards.
        unsafe { (self.functions.destroy)(self.context) };
    }
}

/// Turns off librist's own log on standard error: it repeats addresses with their secrets.
fn silence(library: &Library) -> Result<(), String> {
    type LogCallback = Option<extern "C" fn(Object, c_int, *const c_char) -> c_int>;
    type SetLog =
        unsafe extern "C" fn(*mut Object, c_int, LogCallback, Object, *mut c_char, Object) -> c_int;
    type FreeLog = unsafe extern "C" fn(*mut Object) -> c_int;
    let set: SetLog = symbol(library, "rist_logging_set")?;
    let free: FreeLog = symbol(library, "rist_logging_settings_free2")?;
    let mut settings = ptr::null_mut();
    // SAFETY: librist allocates the settings, copies them to its global ones, and we free ours.
    let set = unsafe {
        let null = ptr::null_mut();
        let set = set(&raw mut settings, LOG_DISABLE, None, null, ptr::null_mut(), null);
        free(&raw mut settings);
        set
    };
    if set == 0 { Ok(()) } else { Err("librist does not take log settings".to_owned()) }
}

extern "C" fn on_stats(stats: *mut c_void, container: *const StatsContainer) -> c_int {
    if stats.is_null() || container.is_null() {
        return 0;
    }
    // SAFETY: librist passes the pointer that it was given, to a box that outlives the context, and
    // a container with this many bytes of JSON.
    let (stats, json) = unsafe {
        let StatsContainer { json_size, stats_json } = container.read();
        if stats_json.is_null() {
            return 0;
        }
        let json = std::slice::from_raw_parts(stats_json.cast::<u8>(), json_size as usize);
        (&*stats.cast::<RistStats>(), json)
    };
    stats.add(json);
    0
}

impl RistStats {
    /// Adds a report: `{"receiver-stats": {"flowinstant": {"stats": {"lost": 0, …}, …}}}`.
    fn add(&self, json: &[u8]) {
        let text = json.strip_suffix(&[0]).unwrap_or(json);
        let Ok(report) = serde_json::from_slice::<serde_json::Value>(text) else { return };
        let flow = &report["receiver-stats"]["flowinstant"];
        if let Some(lost) = flow["stats"]["lost"].as_u64() {
            self.lost.fetch_add(lost, Ordering::Relaxed);
        }
        let peers = flow["peers"].as_array().into_iter().flatten();
        let rtts: Vec<f64> = peers.filter_map(|peer| peer["stats"]["avg_rtt"].as_f64()).collect();
        if !rtts.is_empty() {
            let mean = rtts.iter().sum::<f64>() / rtts.len() as f64;
            self.rtt_ms.store(mean.round() as u64, Ordering::Relaxed);
        }
    }
}
