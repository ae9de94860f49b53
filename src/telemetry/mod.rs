//! Logs, metric names, health.
