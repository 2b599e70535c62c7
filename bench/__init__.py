"""Measurements: `tools/with-postgres python -m bench.run`. docs/performance.md has their results."""
