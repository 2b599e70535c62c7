"""Real processes of Latchkey against a provider and a database that fail on purpose.

`tools/chaos.py` and `tools/prove_refresh.py` are the programs. They need PostgreSQL's server programs
and nothing else: cluster, provider, mail server and every process are their own, on loopback.
"""
