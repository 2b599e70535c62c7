"""What all REST endpoints share: views, parsers, serializers, filters, query parameters, ETags."""
