"""The only package that sees a key: keyring, sealing, the sealed field, index key, fingerprints."""
