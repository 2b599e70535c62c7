"""What every room shares: strict JSON, text rules, errors, ids, the database's clock. No tables."""
