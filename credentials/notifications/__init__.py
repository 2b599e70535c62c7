"""Mail to the owners of credentials (`mail`), and to staff about incidents (`incidents`, `digest`)."""
