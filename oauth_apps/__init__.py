"""OAuth apps: the clients that the customer registered at providers, and the OAuth 2 protocol.

There is no authorization flow here: `credentials.connect` has it, because it creates credentials.
"""
