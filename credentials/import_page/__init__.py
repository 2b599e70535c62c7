"""Importing a file in the browser: upload, look at what it would do, confirm.

Between the two steps the file is one sealed value in the database, for an hour at most; it is never
written to a disk. What is stored, and what is refused, is decided by `credentials.importing`, as for
the API and the command.
"""
