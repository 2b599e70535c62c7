"""Revoke grants at the provider: policy, schedule, the worker's task."""
