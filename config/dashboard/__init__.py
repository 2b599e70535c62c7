"""The admin's first page: what is broken, what will be, and how much there is of what.

Nothing is counted when somebody looks: at a million credentials that alone takes a second. The
figures are one row, made anew by the worker every few minutes, and the page says how old they are.
The lists beside them are a few rows each, read from an index.
"""
