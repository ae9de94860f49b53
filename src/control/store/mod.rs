//! What survives a restart: a file per table.
