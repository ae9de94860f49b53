-- Streams made through the API. Those of the configuration file are not here.
CREATE TABLE stream (
    name       TEXT NOT NULL PRIMARY KEY,
    -- runtime::StreamSpec, tokens included: the file of this database is readable by its owner only.
    spec       TEXT NOT NULL CONSTRAINT stream_spec_json CHECK (json_valid(spec)),
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
