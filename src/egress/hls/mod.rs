//! HLS with CMAF segments.
