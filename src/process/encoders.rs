//! Which encoders really work on this machine.
