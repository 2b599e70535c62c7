"""Latchkey's WSGI application without request slots, which bench.request_slots compares."""

import config.wsgi  # noqa: F401 - it starts Django
from config.wsgi_handler import Handler

application = Handler()
