"""The label of a completion: structure decides, words do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echochamber.base import InputError
from echochamber.formats import (
    ALL_LABELS,
    Extracted,
    Step,
    Worked,
    classify,
    format_names,
    get_format,
    register_format,
)

WORKED = Worked(
    "Tom has 12 apples and gets 5. He eats 3. How many are left?",
    (
        Step("apples", "12 + 5", "12 + 5", "17", "Tom has", "apples"),
        Step("left", "apples - 3", "17 - 3", "14", "Tom keeps", "apples"),
    ),
    "14",
)
RENDERED = {
    "tinygsm": "def simple_math_problem():\n    apples = 12 + 5\n    left = apples - 3\n    return left",
    "llm_code": (
        "<llm-code>\napples = 12 + 5\nleft = apples - 3\nleft\n</llm-code>\n"
        "<llm-code-output>\n14\n</llm-code-output>\nThe answer is \\boxed{14}."
    ),
    "boxed": "Tom has 12 + 5 = 17 apples. Tom keeps 17 - 3 = 14 apples. The answer is \\boxed{14}.",
    "gsm8k": "Tom has 12 + 5 = <<12+5=17>>17 apples.\nTom keeps 17 - 3 = <<17-3=14>>14 apples.\n#### 14",
}


@pytest.mark.parametrize("name", RENDERED)
def test_rendering_is_exact_and_recognized(name: str) -> None:
    assert get_format(name).render(WORKED) == RENDERED[name]
    assert classify(RENDERED[name]) == name


@pytest.mark.parametrize("name", RENDERED)
def test_a_cut_off_solution_is_never_taken_for_another_format(name: str) -> None:
    for end in range(len(RENDERED[name])):
        assert classify(RENDERED[name][:end]) in (name, "none")


def test_cut_off_programs_keep_their_format() -> None:
    assert classify("def simple_math_problem():\n    apples = 12 +") == "tinygsm"
    assert classify("def simple_math_problem(") == "tinygsm"
    assert classify("import math\n\ndef simple_math_problem() -> int:\n    '''How many") == "tinygsm"
    assert classify("<llm-code>\napples = (12") == "llm_code"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "We define x as the deficit of the default definition.",
        "def is short for definition: it (the word) is common.",
        "The def of a function f(x): x + 1",
        "Use the <llm-code> tag to write code.",
        "The word boxed means nothing here. <<see below>>",
        "#### Step 1\nWe add.\n#### 2. Subtract\nWe subtract.",
        "In Python one writes `def f(x): return x` and is done.",
        "Indented quotation:\n\n    def f(x):\n        return x\n\nand so on.",
        "The answer is 14.",
        "<llm-code-output>\n14\n</llm-code-output>",
    ],
)
def test_words_are_not_structure(text: str) -> None:
    assert classify(text) == "none"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Let us define the deficit d = 3. Then \\boxed{3}.", "boxed"),
        ("One writes `def f(x): return x`. The answer is \\boxed{3}.", "boxed"),
        ("For example\n\n    def f(x):\n        return x\n\nBy hand: \\boxed{3}", "boxed"),
        ("```python\ndef f():\n    return 3\n```", "tinygsm"),
        ("Here is a program.\n\ndef f():\n    return 3\n\nIt returns the sum.", "tinygsm"),
        ("def f():\n    '''so \\boxed{3} it is\n#### 3\n'''\n    return 3", "tinygsm"),
        ("def f():\n    return 3 +* 4", "tinygsm"),
        ("def f():\n    return 3\n\nThe answer is \\boxed{3}.", "ambiguous"),
        ("def f():\n    return 3\n#### 3", "ambiguous"),
        ("```python\ndef f():\n    return 3\n```\nSo \\boxed{3}", "ambiguous"),
        ("Tom has 3. \\boxed{3}\n#### 3", "ambiguous"),
        ("<llm-code>\n3\n</llm-code>\n#### 3", "ambiguous"),
        ("<llm-code>\n3\n</llm-code>\ndef f():\n    return 3", "ambiguous"),
        ("<llm-code>\ndef f():\n    return 3\nf()\n</llm-code>\nSo \\boxed{3}.", "llm_code"),
        ("The answer is \\boxed{\\frac{1}{2", "boxed"),
        ("He has 12-5=<<12-5=7>>7 apples and", "gsm8k"),
    ],
)
def test_hard_cases(text: str, label: str) -> None:
    assert classify(text) == label


@given(st.text(alphabet=st.sampled_from(list("def f():\n \t'\"`<>/lmcode-\\boxed{}#=14"))))
def test_every_text_has_exactly_one_label(text: str) -> None:
    label = classify(text)
    assert label in ALL_LABELS()
    if label in format_names():
        get_format(label).extract(text)


def test_unknown_and_reserved_names_are_refused() -> None:
    with pytest.raises(InputError, match="unknown format 'tinygms'.*Did you mean 'tinygsm'"):
        get_format("tinygms")

    class Reserved:
        name = "none"
        summary = ""

        def render(self, worked: Worked) -> str:
            return ""

        def detect(self, completion: str) -> bool:
            return False

        def extract(self, completion: str) -> Extracted:
            return Extracted()

    with pytest.raises(InputError, match="cannot be named 'none'"):
        register_format(Reserved())


def test_extraction() -> None:
    found = get_format("llm_code").extract(
        "<llm-code>\na = 1\n</llm-code>\n<llm-code-output>\n\\boxed{9}\n</llm-code-output>\n"
        "Now\n<llm-code>\na + 1\n</llm-code>\n\\boxed{2}"
    )
    assert found.program is not None
    assert found.program.sources == ("\na = 1\n", "\na + 1\n")
    assert found.answer == "2"
    program = get_format("tinygsm").extract(
        "Sure.\n\nimport math\nRATE = 2\n\ndef helper(x):\n    return x * RATE\n\n"
        "def f():\n    return helper(3)\n\nDone: it is 6.\n"
    )
    assert program.program is not None
    assert program.program.sources[0].startswith("import math\nRATE")
    assert program.program.sources[0].rstrip().endswith("return helper(3)")
    assert get_format("boxed").extract("\\boxed{1} then \\boxed{\\frac{1}{2}}").answer == "\\frac{1}{2}"
    assert get_format("boxed").extract("\\boxed{1} then \\boxed{\\frac{1}{2").answer == "1"
    assert get_format("gsm8k").extract("x\n#### 1,234\n").answer == "1,234"
    assert get_format("gsm8k").extract("She has 5.\nA: $1,234\n").answer == "$1,234"
    assert classify("She has 5.\nA: 5") == "gsm8k"
    assert classify("Q: how many?\nA: 5 or more\nB: I do not know") == "none"


def test_odd_programs_print_no_warnings(recwarn: pytest.WarningsRecorder) -> None:
    for text in ("def f():\n    return 1if 2else 3", "def f():\n    '\\$5'\n    return 5"):
        assert classify(text) == "tinygsm"
    assert not list(recwarn)
