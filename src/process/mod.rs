//! What is done to media between feeds.
