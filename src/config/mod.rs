//! The configuration file: composes each room's own settings.
