"""JSON merge patches (RFC 7396)."""

from __future__ import annotations


def merge_patch(target: object, patch: object) -> object:
    """Return `target` with `patch` merged: null removes, objects merge, other values replace."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged
