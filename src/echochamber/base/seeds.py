"""Seeds derived from (root seed, purpose, index): no global random state anywhere."""

from __future__ import annotations

import hashlib


def derive_seed(root: int, purpose: str, *index: int) -> int:
    """A 63-bit seed that depends on all of its arguments and on nothing else.

    Different purposes give unrelated streams, so adding a consumer of
    randomness never shifts another one's numbers.
    """
    text = ":".join([str(root), purpose, *(str(part) for part in index)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1
