//! WHIP (RFC 9725): browsers and OBS publish by WebRTC.
