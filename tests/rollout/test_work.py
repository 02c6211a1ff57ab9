"""How the work is split into batches."""

from contract import PROMPTS

from echochamber.rollout.work import split_work


def test_memory_is_bounded_by_splitting() -> None:
    columns = [len(p) + 8 for p in PROMPTS]
    batches = list(split_work(columns, 12, max_rows=10**6, max_columns=80))
    for units in batches:
        longest = max(columns[unit.prompt] for unit in units)
        assert sum(unit.count for unit in units) * longest <= 80
    samples = [(u.prompt, s) for units in batches for u in units for s in range(u.first, u.first + u.count)]
    assert sorted(samples) == [(p, s) for p in range(len(PROMPTS)) for s in range(12)]
