"""The only room that sees a key: keyring, sealing, the sealed field, index key, fingerprints."""
