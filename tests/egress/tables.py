"""Rows of tests that are words."""


def split_words(text: str) -> list[str]:
    return text.split()
