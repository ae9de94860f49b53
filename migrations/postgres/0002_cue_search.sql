-- The words of a cue, made by the program (control/store/postgres/tsearch.rs): without a text search
-- configuration they do not depend on the locale and the extensions of the server.
ALTER TABLE cue ADD COLUMN word_index tsvector NOT NULL;

-- Rare words come from this index. For common words the newest cues are read one by one.
CREATE INDEX cue_by_word ON cue USING gin (word_index);
