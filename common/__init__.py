"""Code that every package shares: strict JSON, text rules, errors, ids, the database's clock. No tables."""
