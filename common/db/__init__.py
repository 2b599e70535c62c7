"""Database helpers: the two SQL dialects, the clock, ids, lookups and bulk inserts."""
