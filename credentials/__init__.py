"""Credentials: import, list, read, update, delete; over two APIs, the admin and by command."""
