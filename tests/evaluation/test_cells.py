from echochamber.evaluation import BASE, Cell

CELL = Cell("grpo", "grpo", "pico", "even", 0, "learning_rate=0.001", "test")


def test_only_a_point_of_a_sweep_has_its_label_in_the_name() -> None:
    assert CELL.name == "grpo [learning_rate=0.001]"
    assert Cell("grpo", "grpo", "pico", "even", 0).name == "grpo"


def test_a_cell_survives_a_row() -> None:
    for cell in (CELL, CELL.on(None), CELL.over_seeds(), CELL.on(None).over_seeds()):
        assert Cell.of({"stage": "rl", **cell.columns, "step": 3}) == cell
    assert list(CELL.columns) == ["arm", "algorithm", "size", "mixture", "seed", "sweep", "benchmark"]
    assert "seed" not in CELL.over_seeds().columns and "benchmark" not in CELL.on(None).columns


def test_the_base_of_a_cell_is_of_the_same_model_and_seed() -> None:
    base = CELL.base()
    assert base.is_base and not CELL.is_base
    assert base == Cell(BASE, BASE, "pico", "even", 0, "", "test")
    assert CELL.base(CELL.sweep).sweep == CELL.sweep
