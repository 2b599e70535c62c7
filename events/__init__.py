"""The append-only trail: who did what to which object, when; names of keys, never values."""
