"""The first page of the admin: what is broken, what will expire, and how many credentials there are.

Rendering the page counts nothing: at a million credentials a count takes a second. The worker
counts every few minutes and stores the figures in one row, and the page displays their age. The
lists beside them are a few rows each, read from an index.
"""
