"""The product's settings, with the bare view for its only URL."""

from config.settings import *  # noqa: F403

ROOT_URLCONF = "bench.django_view"
