"""Tables of words for parametrized tests."""


def split_words(text: str) -> list[str]:
    return text.split()
