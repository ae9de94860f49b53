-- Every committed cue, for search.
CREATE TABLE cue (
    -- Grows with time and is never used twice: newest first is highest first.
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    stream        TEXT NOT NULL,
    language      TEXT NOT NULL,
    -- The number that the feed gave it; a translation has that of its original.
    number        INTEGER NOT NULL,
    -- Running time of the process that made it, and wall-clock time since 1970, in milliseconds.
    running_ms    INTEGER NOT NULL,
    start_ms      INTEGER NOT NULL,
    end_ms        INTEGER NOT NULL,
    text          TEXT NOT NULL,
    -- [[word, start, end, confidence], …], times in milliseconds after start_ms.
    words         TEXT NOT NULL CONSTRAINT cue_words_json CHECK (json_valid(words)),
    ends_sentence INTEGER NOT NULL,
    engine        TEXT NOT NULL,
    model         TEXT
) STRICT;

-- Transcripts read one stream in its order; retention looks for the oldest of it.
CREATE INDEX cue_by_time ON cue (stream, start_ms);

-- How long the cues of a stream are kept, in days; 0 is for ever. It outlives the stream, as its
-- cues do.
CREATE TABLE cue_retention (
    stream TEXT NOT NULL PRIMARY KEY,
    days   INTEGER NOT NULL
) STRICT;

-- The index of words; the text itself is only in `cue`.
CREATE VIRTUAL TABLE cue_text USING fts5 (
    text,
    content = 'cue',
    content_rowid = 'id',
    tokenize = "unicode61 remove_diacritics 2"
);

CREATE TRIGGER cue_inserted AFTER INSERT ON cue BEGIN
    INSERT INTO cue_text (rowid, text) VALUES (new.id, new.text);
END;

CREATE TRIGGER cue_deleted AFTER DELETE ON cue BEGIN
    INSERT INTO cue_text (cue_text, rowid, text) VALUES ('delete', old.id, old.text);
END;

CREATE TRIGGER cue_changed AFTER UPDATE OF text ON cue BEGIN
    INSERT INTO cue_text (cue_text, rowid, text) VALUES ('delete', old.id, old.text);
    INSERT INTO cue_text (rowid, text) VALUES (new.id, new.text);
END;
