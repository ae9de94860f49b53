//! RTMP(S): pushes FLV to a server.
