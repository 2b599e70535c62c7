"""Revocation of grants at the provider: the policy, the schedule and the task of the worker."""
