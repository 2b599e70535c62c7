"""Helpers of the REST API: views, serializers, filters, parsers and entity tags."""
