"""The process that does what is due. Nothing is queued: the tables themselves say what is to be done.

Any number of workers on any machines share the work, because each source claims a row by one
conditional UPDATE. A worker that is killed loses nothing: its leases end, and others go on.
"""
