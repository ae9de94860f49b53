-- Tokens that were made for streams of the configuration file, which names none.
CREATE TABLE stream_access (
    stream        TEXT NOT NULL PRIMARY KEY,
    publish_token TEXT NOT NULL,
    play_token    TEXT NOT NULL
) STRICT;
