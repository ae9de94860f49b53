//! A media file as an endless live source.
