"""The root of the API: errors, pagination, filtering, rendering and the OpenAPI document."""
