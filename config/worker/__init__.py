"""The worker process, which does what is due. There is no queue: the tables say what is due.

Any number of workers on any machines share the work, because each task claims a row by one
conditional UPDATE. A worker that is killed loses nothing: its leases expire, and others claim them.
"""
