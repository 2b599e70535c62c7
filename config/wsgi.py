"""The WSGI application. It starts only with keys that fit the database."""

import gc
import os

from config.startup import exit_on_bad_configuration, verify_startup

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

with exit_on_bad_configuration():
    from django.core.wsgi import get_wsgi_application

    from config.concurrency_limit import ConcurrencyLimit

    application = ConcurrencyLimit(get_wsgi_application())
    verify_startup()

# Loaded modules stay in memory. Excluding them from collection keeps requests from stalling.
gc.collect()
gc.freeze()
