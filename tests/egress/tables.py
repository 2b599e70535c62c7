"""Rows of tests that are words."""


def words(text: str) -> list[str]:
    return text.split()
