//! RTMP and RTMPS: the server that OBS and ffmpeg publish to.
