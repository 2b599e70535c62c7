"""The WSGI application. It starts only with keys that fit the database."""

import gc
import os

from config.startup import exit_on_bad_configuration, verify_startup

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

with exit_on_bad_configuration():
    import django

    django.setup(set_prefix=False)
    from config.concurrency_limit import ConcurrencyLimit
    from config.wsgi_handler import Handler

    application = ConcurrencyLimit(Handler())
    verify_startup()

# Loaded modules stay in memory. Excluding them from collection keeps requests from stalling.
gc.collect()
gc.freeze()
