"""Which providers there are, as data: one file each in `data/`, read once and checked at start-up."""
