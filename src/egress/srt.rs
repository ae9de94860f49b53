//! SRT: pushes MPEG-TS to a listener.
