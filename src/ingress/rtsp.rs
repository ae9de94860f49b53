//! RTSP: pulls from cameras.
