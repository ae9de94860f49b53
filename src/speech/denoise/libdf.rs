//! The few functions of DeepFilterNet's library in use, loaded at run time.
//!
//! Types and semantics from `libDF/src/capi.rs` of DeepFilterNet 0.5.6. Its errors abort the process,
//! so it gets verified weights and finite samples only.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr::{self, NonNull};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW, Symbol};

use super::enhancer::Enhancer;
use super::frame::{FRAME_SAMPLES, Frame};

/// `RTLD_NODELETE` of glibc's `dlfcn.h`: values of its threads outlive a network.
const RTLD_NODELETE: c_int = 0x1000;

/// No limit: the mix with the original limits the attenuation, for both engines alike.
const ATTENUATION_UNLIMITED_DB: f32 = 100.0;

/// Strength of the post-filter when it is on: the default of DeepFilterNet's own programs.
const POST_FILTER_BETA_FACTOR: f32 = 0.02;

type State = *mut c_void;

struct Functions {
    process: unsafe extern "C" fn(State, *const f32, *mut f32) -> f32,
    set_post_filter_beta: unsafe extern "C" fn(State, f32),
    free: unsafe extern "C" fn(State),
}

/// One channel's network.
pub(super) struct Network {
    functions: Functions,
    state: NonNull<c_void>,
}

// SAFETY: the state owns all of its memory and is used by one thread at a time, through `&mut self`.
unsafe impl Send for Network {}

fn symbol<T: Copy>(library: &Library, name: &str) -> Result<T, String> {
    // SAFETY: each caller names the type that the library's source declares for this function.
    let found: Result<Symbol<T>, _> = unsafe { library.get(name.as_bytes()) };
    found.map(|f| *f).map_err(|e| format!("DeepFilterNet's library has no {name}: {e}"))
}

impl Network {
    /// Loads verified weights, which takes about half a second.
    ///
    /// # Errors
    /// In words: the library does not open, or is another one.
    pub(super) fn new(library: &Path, weights: &Path) -> Result<Self, String> {
        type Create = unsafe extern "C" fn(*const c_char, f32, *const c_char) -> State;
        type FrameLength = unsafe extern "C" fn(State) -> usize;
        // The library aborts the process over a path that is not UTF-8.
        let path = weights.to_str().ok_or("the path of the weights is not UTF-8")?;
        let path = CString::new(path).map_err(|_| "the path has a zero byte".to_owned())?;
        let flags = RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE;
        // SAFETY: opening runs the library's initialisers, and a Rust library has none with effects.
        let opened = unsafe { Library::open(Some(library), flags) };
        let library = opened.map_err(|e| format!("cannot open {}: {e}", library.display()))?;
        let create: Create = symbol(&library, "df_create")?;
        let frame_length: FrameLength = symbol(&library, "df_get_frame_length")?;
        let functions = Functions {
            process: symbol(&library, "df_process_frame")?,
            set_post_filter_beta: symbol(&library, "df_set_post_filter_beta")?,
            free: symbol(&library, "df_free")?,
        };
        // SAFETY: the path is a C string; no log level means no log.
        let state = unsafe { create(path.as_ptr(), ATTENUATION_UNLIMITED_DB, ptr::null()) };
        let state = NonNull::new(state).ok_or("DeepFilterNet does not start")?;
        // From here on it is freed when dropped.
        let network = Self { functions, state };
        // SAFETY: the state is valid.
        let length = unsafe { frame_length(state.as_ptr()) };
        if length != FRAME_SAMPLES {
            return Err(format!("DeepFilterNet takes {length} samples, not {FRAME_SAMPLES}"));
        }
        Ok(network)
    }
}

impl Enhancer for Network {
    fn clean(&mut self, frame: &Frame, cleaned: &mut Frame) {
        // SAFETY: the state is valid, and both frames have the length that `new` has checked.
        unsafe {
            (self.functions.process)(self.state.as_ptr(), frame.as_ptr(), cleaned.as_mut_ptr());
        }
    }

    fn set_post_filter(&mut self, on: bool) {
        let beta = if on { POST_FILTER_BETA_FACTOR } else { 0.0 };
        // SAFETY: the state is valid.
        unsafe { (self.functions.set_post_filter_beta)(self.state.as_ptr(), beta) };
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // SAFETY: the state is valid and not used afterwards; the library is never unloaded.
        unsafe { (self.functions.free)(self.state.as_ptr()) };
    }
}
