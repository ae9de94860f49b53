//! What viewers see while the source is gone.
