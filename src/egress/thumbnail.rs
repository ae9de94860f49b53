//! Small JPEG pictures of a stream.
