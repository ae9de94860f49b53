-- The words of a cue, made by the program (control/store/postgres/tsearch.rs): without a text search
-- configuration they do not depend on the locale and the extensions of the server.
ALTER TABLE cue ADD COLUMN word_index tsvector NOT NULL;

-- Rare words come from this index. For common words the newest cues are read one by one. Every search reads
-- the list of what is not in the index yet, so that list is short (in KiB).
CREATE INDEX cue_by_word ON cue USING gin (word_index) WITH (gin_pending_list_limit = 256);
