"""Every verb on a credential. Writes go through these functions only."""
