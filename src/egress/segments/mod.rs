//! CMAF media (ISO/IEC 23000-19): the bytes of tracks, segments and recordings.

pub mod fmp4;
