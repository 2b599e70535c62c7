"""The WSGI application. It starts only with keys that fit the database."""

import gc
import os

from config.startup import refusals_in_one_line, verify

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

with refusals_in_one_line():
    from django.core.wsgi import get_wsgi_application

    from config.concurrency_limit import InTurn

    application = InTurn(get_wsgi_application())
    verify()

# What was loaded stays: looking through it for garbage again and again would stall requests.
gc.collect()
gc.freeze()
