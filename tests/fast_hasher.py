"""The password hasher of tests: as fast as MD5, and bounded as the product's."""

from __future__ import annotations

from django.contrib.auth.hashers import MD5PasswordHasher

from accounts.password_hashing import BoundedHasherMixin


class FastPasswordHasher(BoundedHasherMixin, MD5PasswordHasher):
    pass
