"""Health that tells the truth: evidence in, a status with its reasons out, and people told once.

`states` is the machine, without tables; `services` the only writer of health; `probes` ask the
provider; `due` and `mail` are what the worker runs; `checking` is what callers start.
"""
