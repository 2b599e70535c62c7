"""The other documented API (Fishnet's): a bare list without values, on the same rows."""
