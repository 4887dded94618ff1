"""Compares what was seen with what is expected."""

from __future__ import annotations

from typing import Any


def judge(expect: dict[str, Any], seen: dict[str, Any]) -> list[str]:
    """Return what differs, a sentence each."""
    wrongs = [wrong for key, wanted in expect.items() if (wrong := _check(key, wanted, seen))]
    if wrongs and seen.get("code") and "code" not in expect:
        wrongs.append(f"it failed: {_short({key: seen.get(key) for key in ('code', 'reason', 'metadata')})}")
    return wrongs


def _check(key: str, wanted: Any, seen: dict[str, Any]) -> str:
    if key == "text_has":
        text = seen.get("text") or ""
        missing = [part for part in wanted if part not in text]
        return f"text lacks {missing}: {_short(text)}" if missing else ""
    if key == "results_have":
        results = seen.get("results") or []
        fits = len(results) == len(wanted) and all(w in r for w, r in zip(wanted, results, strict=True))
        return "" if fits else f"results: {_short(results)}, wanted {wanted}"
    if key == "results_lack":
        results = seen.get("results") or []
        found = [part for part in wanted if any(part in result for result in results)]
        return f"results hold {found}: {_short(results)}" if found or not results else ""
    if key == "metadata_has":
        metadata = seen.get("metadata") or {}
        return "" if wanted.items() <= metadata.items() else f"metadata: {metadata}, wanted {wanted}"
    if key == "whole_log":
        events, replay = seen.get("events"), seen.get("replay")
        return "" if events and events == replay else f"events {events}, replay {replay}"
    if key == "connections":
        return (
            "" if seen["connections"] <= wanted else f"connections: {seen['connections']}, at most {wanted}"
        )
    value = seen.get(key)
    return "" if value == wanted and key in seen else f"{key}: {_short(value)}, wanted {_short(wanted)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}… ({len(text)} characters)"
