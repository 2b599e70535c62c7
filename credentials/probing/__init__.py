"""Checks whether credentials work: by the worker (`tasks`) and by callers (`on_demand`)."""
