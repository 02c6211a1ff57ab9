"""What the first screen says is what the numbers say."""

from recorded_run import share_of

from echochamber.analysis import percent
from echochamber.report.material import Material
from echochamber.report.opening import first_screen, openings, tiles, title


def test_tiles_are_the_first_arm_s_numbers(material: Material) -> None:
    found = {tile["label"]: tile for tile in tiles(openings(material)[0])}
    for label, greedy in (("pass@1 at T = 1, test", False), ("decoded greedily, test", True)):
        before, after = (
            share_of(material, arm, step, correct=True, greedy=greedy)
            for arm, step in (("base", 0), ("grpo", 40))
        )
        assert found[label]["value"] == f"{percent(before)} → {percent(after)}"
    before, after = (
        share_of(material, arm, step, format="llm_code") for arm, step in (("base", 0), ("grpo", 40))
    )
    tile = found["llm_code: took over"]
    assert tile["value"] == f"{percent(before)} → {percent(after)}"
    assert tile["color"] == material.primary[0].colors["llm_code"]


def test_titles(material: Material, several: Material) -> None:
    assert title([]) == "A base model, before any RL"
    assert title(openings(material)).startswith("In this run RL amplified llm_code and wiped out")
    assert title(openings(several)).startswith("RL amplified llm_code and wiped out")


def test_every_arm_is_described_and_the_control_is_named(material: Material) -> None:
    screen = first_screen(material)
    assert [arm.headline.trajectory.name for arm in screen["arms"]] == ["grpo", "random", "ppo"]
    assert {cell.arm for cell in screen["control_arms"]} == {"random"}
    [line] = screen["control_lines"]
    first, second = (share_of(material, arm, 40, correct=True) for arm in ("grpo", "random"))
    assert "is the twin of grpo" in line
    assert f"grpo minus random {100 * (first - second):+.1f} [" in line and "decoded greedily" in line


def test_a_base_model_alone_has_no_tiles(bare: Material) -> None:
    screen = first_screen(bare)
    assert (screen["main"], screen["tiles"], screen["arms"], screen["control_lines"]) == (None, [], [], [])
