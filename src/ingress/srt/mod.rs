//! SRT: one listener for publishers and players, and the caller that pulls.
