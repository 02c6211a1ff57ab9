"""Digests see values, and no order of keys."""

from echochamber.base import Config, digest


def test_digest_ignores_key_order_and_sees_values() -> None:
    class Some(Config):
        a: int = 1

    assert digest({"x": 1, "y": [Some()]}) == digest({"y": [{"a": 1}], "x": 1})
    assert digest({"x": 1}) != digest({"x": 2})
