-- The newest cues of a stream: an index has the id as its last column.
CREATE INDEX cue_by_stream ON cue (stream);

-- The cues of a time in all streams.
CREATE INDEX cue_by_start ON cue (start_ms);
