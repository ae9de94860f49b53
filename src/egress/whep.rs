//! WHEP: players in browsers by WebRTC.
