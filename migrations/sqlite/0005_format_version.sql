-- Version of the JSON in a column (src/control/store/format.rs). Older rows are of version 1.
ALTER TABLE stream ADD COLUMN spec_version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE cue ADD COLUMN words_version INTEGER NOT NULL DEFAULT 1;
