"""A throw-away Latchkey with made-up data, for looking at its pages in a real browser."""
