"""The REST API: views, serializers, filters, responses."""
