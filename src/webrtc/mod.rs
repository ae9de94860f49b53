//! What WHIP and WHEP share: ICE settings, SDP, sessions.
