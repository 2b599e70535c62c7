"""The WSGI application. It starts only with keys that fit the database."""

import os

from config.startup import refusals_in_one_line, verify

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

with refusals_in_one_line():
    from django.core.wsgi import get_wsgi_application

    application = get_wsgi_application()
    verify()
