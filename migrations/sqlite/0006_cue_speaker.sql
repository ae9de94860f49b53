-- Label of who spoke, where speakers are told apart.
ALTER TABLE cue ADD COLUMN speaker TEXT;
