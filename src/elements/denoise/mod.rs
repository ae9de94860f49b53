//! auralinkdenoise: noise suppression for raw sound.
