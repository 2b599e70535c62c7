"""The scenarios of `tools/prove_refresh.py`: each is a function of a stage that returns its checks."""
