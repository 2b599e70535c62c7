"""The base of all admin pages: model admins backed by services, forms, filters, formatting."""
