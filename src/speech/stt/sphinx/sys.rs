//! The few functions of PocketSphinx in use, loaded at run time.
//!
//! For Debian's libpocketsphinx3 and libsphinxbase3 (0.8+5prealpha). Their errors abort the
//! process, so this runs only in a child.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{self, NonNull};

use libloading::{Library, Symbol};

/// Any of the library's opaque objects.
type Object = *mut c_void;

/// The libraries, under the names that Debian gives them.
const POCKETSPHINX: &str = "libpocketsphinx.so.3";
const SPHINXBASE: &str = "libsphinxbase.so.3";

/// Weight of a grammar against the sound: PocketSphinx's default (`-lw`).
const LANGUAGE_WEIGHT_FACTOR: f32 = 6.5;

/// Whether the library opens on this machine.
pub(super) fn is_there() -> bool {
    // SAFETY: opening runs the library's initialisers, and PocketSphinx has none.
    unsafe { Library::new(POCKETSPHINX).is_ok() }
}

struct Functions {
    start: unsafe extern "C" fn(Object) -> c_int,
    end: unsafe extern "C" fn(Object) -> c_int,
    process: unsafe extern "C" fn(Object, *const i16, usize, c_int, c_int) -> c_int,
    free: unsafe extern "C" fn(Object) -> c_int,
    segments: unsafe extern "C" fn(Object) -> Object,
    next: unsafe extern "C" fn(Object) -> Object,
    word: unsafe extern "C" fn(Object) -> *const c_char,
    frames: unsafe extern "C" fn(Object, *mut c_int, *mut c_int),
    probability: unsafe extern "C" fn(Object, *mut i32, *mut i32, *mut i32) -> i32,
    logmath: unsafe extern "C" fn(Object) -> Object,
    exp: unsafe extern "C" fn(Object, c_int) -> f64,
    grammar: GrammarFunctions,
    set_search: unsafe extern "C" fn(Object, *const c_char) -> c_int,
    add_word: unsafe extern "C" fn(Object, *const c_char, *const c_char, c_int) -> c_int,
    lookup: unsafe extern "C" fn(Object, *const c_char) -> *mut c_char,
    release_text: unsafe extern "C" fn(*mut c_void),
}

/// `ps_set_jsgf_string` does all of this, but never frees the grammar (8 KiB each).
struct GrammarFunctions {
    parse: unsafe extern "C" fn(*const c_char, Object) -> Object,
    rule: unsafe extern "C" fn(Object) -> Object,
    build: unsafe extern "C" fn(Object, Object, Object, f32) -> Object,
    set: unsafe extern "C" fn(Object, *const c_char, Object) -> c_int,
    free_built: unsafe extern "C" fn(Object) -> c_int,
    free: unsafe extern "C" fn(Object),
}

/// A decoded word: text with its variant (`the(2)`), first and last frame, posterior.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Segment {
    pub(super) word: String,
    pub(super) first: u32,
    pub(super) last: u32,
    /// Probability given the lattice, 0-1; 1 until the utterance has ended.
    pub(super) posterior: f32,
}

/// A decoder with its model, used by one thread at a time.
pub(super) struct Decoder {
    functions: Functions,
    decoder: NonNull<c_void>,
    // The last field, so that it is closed after the decoder is freed.
    _libraries: [Library; 2],
}

fn symbol<T: Copy>(library: &Library, name: &str) -> Result<T, String> {
    // SAFETY: each caller names the type that the library's header declares for this function.
    let found: Result<Symbol<T>, _> = unsafe { library.get(name.as_bytes()) };
    found.map(|f| *f).map_err(|e| format!("PocketSphinx has no {name}: {e}"))
}

impl Decoder {
    /// A decoder with settings as on PocketSphinx's command line: `-hmm`, folder, …
    pub(super) fn new(settings: &[String]) -> Result<Self, String> {
        let open = |name: &str| {
            // SAFETY: opening runs the libraries' initialisers, and they have none.
            unsafe { Library::new(name) }.map_err(|e| format!("cannot open {name}: {e}"))
        };
        let (sphinx, base) = (open(POCKETSPHINX)?, open(SPHINXBASE)?);
        type Definitions = unsafe extern "C" fn() -> Object;
        type Parse =
            unsafe extern "C" fn(Object, Object, c_int, *const *const c_char, c_int) -> Object;
        type Init = unsafe extern "C" fn(Object) -> Object;
        type Release = unsafe extern "C" fn(Object) -> c_int;
        let definitions: Definitions = symbol(&sphinx, "ps_args")?;
        let parse: Parse = symbol(&base, "cmd_ln_parse_r")?;
        let init: Init = symbol(&sphinx, "ps_init")?;
        let release: Release = symbol(&base, "cmd_ln_free_r")?;
        let functions = Functions {
            start: symbol(&sphinx, "ps_start_utt")?,
            end: symbol(&sphinx, "ps_end_utt")?,
            process: symbol(&sphinx, "ps_process_raw")?,
            free: symbol(&sphinx, "ps_free")?,
            segments: symbol(&sphinx, "ps_seg_iter")?,
            next: symbol(&sphinx, "ps_seg_next")?,
            word: symbol(&sphinx, "ps_seg_word")?,
            frames: symbol(&sphinx, "ps_seg_frames")?,
            probability: symbol(&sphinx, "ps_seg_prob")?,
            logmath: symbol(&sphinx, "ps_get_logmath")?,
            exp: symbol(&base, "logmath_exp")?,
            grammar: GrammarFunctions {
                parse: symbol(&base, "jsgf_parse_string")?,
                rule: symbol(&base, "jsgf_get_public_rule")?,
                build: symbol(&base, "jsgf_build_fsg")?,
                set: symbol(&sphinx, "ps_set_fsg")?,
                free_built: symbol(&base, "fsg_model_free")?,
                free: symbol(&base, "jsgf_grammar_free")?,
            },
            set_search: symbol(&sphinx, "ps_set_search")?,
            add_word: symbol(&sphinx, "ps_add_word")?,
            lookup: symbol(&sphinx, "ps_lookup_word")?,
            release_text: symbol(&base, "ckd_free")?,
        };
        let text = |s: &str| CString::new(s).map_err(|_| "a setting has a zero byte".to_owned());
        let mut arguments = vec![text("auralink")?];
        for setting in settings {
            arguments.push(text(setting)?);
        }
        let pointers: Vec<_> = arguments.iter().map(|a| a.as_ptr()).collect();
        let count = c_int::try_from(pointers.len()).map_err(|_| "too many settings".to_owned())?;
        // SAFETY: the definitions are static; the pointers live through the call, which copies the
        // texts; ps_init retains the configuration, so our reference is released.
        let decoder = unsafe {
            let config = parse(ptr::null_mut(), definitions(), count, pointers.as_ptr(), 1);
            if config.is_null() {
                return Err("PocketSphinx refuses its settings".to_owned());
            }
            let decoder = init(config);
            release(config);
            decoder
        };
        let decoder =
            NonNull::new(decoder).ok_or("PocketSphinx does not start: is its model complete?")?;
        Ok(Self { functions, decoder, _libraries: [sphinx, base] })
    }

    /// Begins an utterance.
    pub(super) fn start(&mut self) -> Result<(), String> {
        // SAFETY: the decoder is alive until `drop`.
        let ok = unsafe { (self.functions.start)(self.decoder.as_ptr()) };
        if ok == 0 { Ok(()) } else { Err("PocketSphinx does not begin an utterance".into()) }
    }

    /// Takes audio, 16 kHz mono. `whole`: it is all of the utterance.
    pub(super) fn process(&mut self, samples: &[i16], whole: bool) -> Result<(), String> {
        // SAFETY: the decoder is alive; pointer and length are of one slice, which it only reads.
        let frames = unsafe {
            (self.functions.process)(
                self.decoder.as_ptr(),
                samples.as_ptr(),
                samples.len(),
                0,
                whole.into(),
            )
        };
        if frames < 0 { Err("PocketSphinx does not take the sound".into()) } else { Ok(()) }
    }

    /// Ends an utterance: runs the second pass and finds the best path through the lattice.
    pub(super) fn end(&mut self) -> Result<(), String> {
        // SAFETY: the decoder is alive.
        let ok = unsafe { (self.functions.end)(self.decoder.as_ptr()) };
        if ok == 0 { Ok(()) } else { Err("PocketSphinx does not end an utterance".into()) }
    }

    /// Hears only what this grammar allows (JSGF), from the next utterance on.
    pub(super) fn set_grammar(&mut self, grammar: &str) -> Result<(), String> {
        let text = CString::new(grammar).map_err(|_| "a grammar has a zero byte".to_owned())?;
        let (decoder, name) = (self.decoder.as_ptr(), c"grammar".as_ptr());
        let f = &self.functions.grammar;
        // SAFETY: the decoder is alive, and retains what was built; the texts live through the calls,
        // which copy them; what is not null is valid until it is freed, once, and not used afterwards.
        let ok = unsafe {
            let parsed = (f.parse)(text.as_ptr(), ptr::null_mut());
            if parsed.is_null() {
                return Err("PocketSphinx does not understand a grammar".into());
            }
            let rule = (f.rule)(parsed);
            let logmath = (self.functions.logmath)(decoder);
            let built = match rule.is_null() {
                true => ptr::null_mut(),
                false => (f.build)(parsed, rule, logmath, LANGUAGE_WEIGHT_FACTOR),
            };
            let set = !built.is_null() && (f.set)(decoder, name, built) == 0;
            if !built.is_null() {
                (f.free_built)(built);
            }
            (f.free)(parsed);
            set && (self.functions.set_search)(decoder, name) == 0
        };
        if ok { Ok(()) } else { Err("PocketSphinx refuses a grammar".into()) }
    }

    /// Whether the dictionary has a word.
    pub(super) fn knows(&mut self, word: &str) -> bool {
        let Ok(word) = CString::new(word) else { return false };
        // SAFETY: the decoder is alive, and reads the word; the phones that it returns are ours.
        unsafe {
            let phones = (self.functions.lookup)(self.decoder.as_ptr(), word.as_ptr());
            if !phones.is_null() {
                (self.functions.release_text)(phones.cast());
            }
            !phones.is_null()
        }
    }

    /// Adds a word with its phones (`HH AH L OW`) to the dictionary, for the next grammar.
    pub(super) fn add_word(&mut self, word: &str, phones: &str) -> Result<(), String> {
        let text = |s: &str| CString::new(s).map_err(|_| "a word has a zero byte".to_owned());
        let (word, phones) = (text(word)?, text(phones)?);
        // SAFETY: the decoder is alive, and copies both texts.
        let id = unsafe {
            (self.functions.add_word)(self.decoder.as_ptr(), word.as_ptr(), phones.as_ptr(), 0)
        };
        if id < 0 { Err("PocketSphinx refuses a word".into()) } else { Ok(()) }
    }

    /// The words so far.
    pub(super) fn segments(&mut self, posteriors: bool) -> Vec<Segment> {
        let mut found = Vec::new();
        let f = &self.functions;
        // SAFETY: an iterator is valid until `next` returns null, which frees it; a word is valid
        // as long as its iterator stands on it, and is copied. The log-math object is the
        // decoder's own.
        unsafe {
            let logmath = (f.logmath)(self.decoder.as_ptr());
            let mut at = (f.segments)(self.decoder.as_ptr());
            while !at.is_null() {
                let (mut first, mut last) = (0, 0);
                (f.frames)(at, &raw mut first, &raw mut last);
                let word = (f.word)(at);
                let word = if word.is_null() { c"" } else { CStr::from_ptr(word) };
                let posterior = if posteriors {
                    let (mut a, mut l, mut b) = (0, 0, 0);
                    let log = (f.probability)(at, &raw mut a, &raw mut l, &raw mut b);
                    (f.exp)(logmath, log) as f32
                } else {
                    1.0
                };
                found.push(Segment {
                    word: word.to_string_lossy().into_owned(),
                    first: first.max(0) as u32,
                    last: last.max(first).max(0) as u32,
                    posterior,
                });
                at = (f.next)(at);
            }
        }
        found
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: freed once, by its owner; the libraries are still open.
        unsafe {
            (self.functions.free)(self.decoder.as_ptr());
        }
    }
}
