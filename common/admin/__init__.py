"""Base classes of the admin: model admin, forms, filters, keyset pagination, formatting."""
