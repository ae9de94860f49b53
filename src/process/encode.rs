//! Raw to compressed.
