//! How media comes in: one file or folder per protocol.
