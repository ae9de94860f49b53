-- Tokens of the API, each with a role. Of a token only its hash is kept.
CREATE TABLE api_token (
    id         TEXT NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL,
    role       TEXT NOT NULL,
    -- SHA-256 of the token, in hexadecimal digits.
    sha256     TEXT NOT NULL UNIQUE,
    -- Wall-clock time since 1970, in milliseconds.
    created_ms INTEGER NOT NULL,
    -- NULL if it does not expire.
    expires_ms INTEGER
) STRICT;
