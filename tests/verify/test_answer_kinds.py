# ruff: noqa: E501 - an answer reads best beside its gold answer
r"""What is paid and what is not, by kind of answer: the rows of the table in docs/grading.md."""

from collections.abc import Iterator

import pytest

from echochamber.base import InputError
from echochamber.verify import Grader, get_rules


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(workers=1) as shared:
        yield shared


PAID_ENDINGS = (
    "#### 72", "#### 072", "#### +72", "#### 72.0", "#### **72**", "#### _72_", "**#### 72**", "#### `72`", "#### 72,", "#### 72.",
    "#### 72</s>", "#### 72<|im_end|>", "#### 72 ####", "#### \\boxed{72}", "#### \\fbox{72}", "#### $\\boxed{72}$",
    "#### \\(72\\)", "#### \\$72.00", "#### 72 (clips)", "#### 72 clips.", "#### \\text{Total} = 72", "#### Answer: 72",
    "#### x = 72", "#### ７２", "####\u200f 72", "#### 72\nSo it is.", "A: 72", "A: 72.</s>\n", "#### 71.99999999999999",
    "\\boxed 72", "\\boxed{{72}}", "\\boxed{72}, put within \\boxed{} as asked", "\\fbox{72}", "\\boxed{72 \\, \\text{clips}}",
    "\\boxed{\\mathbf{72}}", "\\boxed{x = 72}", "\\boxed{71}, or rather \\boxed{72}", "$$\\boxed{72}$$</s>", "\\boxed{72^\\circ}",
    "\\boxed{72} and \\boxed{72}",
)  # fmt: skip
UNPAID_ENDINGS = (
    "#### 48 + 48/2", "#### 144/2", "#### 7.2*10^1", "\\boxed{\\frac{144}{2}}", "\\boxed{7.2 \\times 10^{1}}", "\\boxed{6^2 \\cdot 2}",
    "\\boxed{\\sqrt{5184}}", "#### 48 + 24 = 72", "#### 72 = 48 + 24", "#### 72 or 73", "#### 72, 73", "#### 72 73", "#### not 72",
    "#### about 72", "#### 72 million", "#### 72%", "#### -72", "#### −72", "#### 72.5", "#### 72.00001", "#### 7 2", "\\boxed{}",
    "\\boxed{72} and \\boxed{73}", "\\boxed{72j}", "\\boxed{72,00}", "\\boxed{nan}", "The total is **72**.", "#### seventy-two",
)  # fmt: skip


@pytest.mark.parametrize("rules", ["gsm8k", "aime"])
def test_endings(grader: Grader, rules: str) -> None:
    for texts, reward in ((PAID_ENDINGS, 1.0), (UNPAID_ENDINGS, 0.0)):
        verdicts = grader.grade(texts, ["72"] * len(texts), rules=rules)
        assert [text for text, v in zip(texts, verdicts, strict=True) if v.reward != reward] == []


def test_a_negative_answer_has_its_sign(grader: Grader) -> None:
    for text in ("#### −7", "#### - 7", "#### -$7", "#### \\boxed{-7}"):
        assert [v.reward for v in grader.grade([text, text], ["-7", "7"])] == [1.0, 0.0]


def test_a_fraction_that_is_no_whole_number_is_a_number(grader: Grader) -> None:
    texts = ["#### 7/2", "#### 3 1/2", "#### 3.5", "\\boxed{\\frac{7}{2}}", "#### 3½", "#### 14/4"]
    assert all(v.reward for v in grader.grade(texts, ["3.5"] * len(texts)))


PROGRAMS = {
    'print("Answer:", 72)': 1.0,
    'print("The answer is", 72)': 1.0,
    'print(72, "clips")': 1.0,
    "144/2": 1.0,
    "0.1*3*240": 1.0,
    "'72 clips'": 1.0,
    "[72]": 1.0,
    "'144/2'": 0.0,
    "'48+24'": 0.0,
    "72.00001": 0.0,
    "72.0000001": 0.0,
    'print("72 or 73")': 0.0,
    "print(0, 72)": 0.0,
    "[72, 73]": 0.0,
    "True": 0.0,
}


def test_values_of_programs(grader: Grader) -> None:
    texts = [f"<llm-code>\n{program}\n</llm-code>" for program in PROGRAMS]
    verdicts = grader.grade(texts, ["72"] * len(texts))
    assert {program: v.reward for program, v in zip(PROGRAMS, verdicts, strict=True)} == PROGRAMS


def test_a_program_s_list_is_what_the_gold_answer_is(grader: Grader) -> None:
    pairs = {
        ("[1, -2]", "-2,1"): 1.0,
        ("(1, -2)", "1,-2"): 1.0,
        ("[1, 2]", "(1,2)"): 1.0,
        ("{1, 2}", "\\{2,1\\}"): 1.0,
        ("(2, 1)", "(1,2)"): 0.0,
        ("[1, 3]", "1,2"): 0.0,
        ("'x**2 + 1'", "x^2+1"): 1.0,
        ("'sqrt(12)'", "2\\sqrt3"): 1.0,
    }
    texts = [f"<llm-code>\n{program}\n</llm-code>" for program, _ in pairs]
    verdicts = grader.grade(texts, [gold for _, gold in pairs], rules="math")
    assert {pair: v.reward for pair, v in zip(pairs, verdicts, strict=True)} == pairs


# (answer, gold): by kind, those that are equal and those that are not.
EQUAL = {
    "names": [
        ("y=5, x=2", "x=2, y=5"), ("(x,y)=(4,9)", "(4,9)"), ("(y,x)=(9,4)", "(x,y)=(4,9)"), ("x=4, y=9", "(x,y)=(4,9)"),
        ("f^{-1}(x)=2x", "2x"), ("x_1=4, x_2=9", "4,9"), ("x = 5.0", "x=5"), ("5 = x", "x=5"), ("n=6,5,4", "n=4,5,6"),
    ],
    "lists, sets, tuples": [
        ("14, 37, \\text{ and } 65", "14, 37, 65"), ("4 and 9", "9, 4"), ("9,4", "\\{4,9\\}"), ("x=4 or x=9", "4,9"),
        ("\\{1,1,2\\}", "\\{1,2\\}"), ("(1,2),(3,4)", "(3,4),(1,2)"), ("3-2\\sqrt2, 3+2\\sqrt2", "3 \\pm 2\\sqrt2"),
        ("-2, 1-\\sqrt5, 1+\\sqrt5", "\\{1\\pm\\sqrt{5},-2\\}"), ("\\langle 1, 2 \\rangle", "(1,2)"),
    ],
    "inequalities and intervals": [
        ("x <= 2", "x \\le 2"), ("2 \\geq x", "x \\leq 2"), ("(-\\infty, 2]", "x \\leq 2"), ("-2≤x≤7", "x \\in [-2,7]"),
        ("7 >= x >= -2", "[-2,7]"), ("x<2 \\text{ or } x>3", "(-\\infty,2)\\cup(3,\\infty)"), ("-x > -1", "x < 1"),
        ("(3,+\\infty)\\cup(-\\infty,2)", "(-\\infty,2)\\cup(3,\\infty)"), ("x \\ne 3", "x != 3"), ("f(4)>f(1)", "f(1)<f(4)"),
    ],
    "equations": [
        ("y=-\\frac12x+\\frac56", "3x+6y-5=0"), ("2x+y=0", "y=-2x"), ("-34x-45y+20z-100=0", "34x+45y-20z+100=0"),
        ("x^2+y^2=4", "4-x^2=y^2"), ("y=\\frac{x-3}{2}", "x=2y+3"), ("2x+3", "y = 2x+3"),
    ],
    "values": [
        ("\\sec^2(y)", "\\tan^2(y)+1"), ("4.12310562561766", "\\sqrt{17}"), ("\\sqrt{2/n}", "\\frac{\\sqrt2}{\\sqrt{n}}"),
        ("12\\pi \\text{ cm}^2", "12π"), ("1{,}000\\pi", "1000\\pi"), ("1\\frac45", "9/5"), ("\\sqrt{x^2+2x+1}", "|x+1|"),
        ("\\frac13 \\approx 0.333", "\\frac13"), ("i\\sqrt2", "\\sqrt{2}i"), ("2516_{\\text{base } 8}", "2516_8"), ("0.\\bar{3}", "\\frac13"),
        ("x^2", "x²"), ("3:00 \\text{ PM}", "\\text{3:00 pm}"), ("\\sqrt[3]{-8}", "-2"), ("𝑥²+𝟏", "x^2+1"), ("α+β", "\\beta+\\alpha"), ("\\textbf{(C)}", "C"), ("e^{2\\ln 3}", "9"), ("2√3", "\\sqrt{12}"),
    ],
    "matrices": [
        ("\\left[\\begin{array}{cc}1 & 2 \\\\3 & 4\\end{array}\\right]", "\\begin{pmatrix}1 & 2 \\\\3 & 4\\end{pmatrix}"),
        ("(\\begin{pmatrix}0.5\\\\2\\\\\\end{pmatrix})", "\\begin{bmatrix}\\frac12\\\\2\\end{bmatrix}"),
        ("\\begin{pmatrix}1\\\\2\\end{pmatrix}+\\begin{pmatrix}3\\\\4\\end{pmatrix}", "\\begin{pmatrix}4\\\\6\\end{pmatrix}"),
    ],
}  # fmt: skip
DIFFERENT = {
    "names": [
        ("x=5, y=2", "x=2, y=5"), ("(x,y)=(9,4)", "(4,9)"), ("y=5", "x=5"), ("n=4,5,6", "n=5,6,7"), ("x=4, y=9", "4,9"),
        ("D = (0, 1.5)", "D = (0, 1)"), ("11a+c", "7=11a+c"), ("A", "A_1"),
    ],
    "lists, sets, tuples": [
        ("(5,2)", "\\{2,5\\}"), ("\\{2,5\\}", "(2,5)"), ("2,5", "(2,5)"), ("(2,5)", "2,5"), ("[2,5]", "(2,5)"), ("[2,5]", "\\{2,5\\}"),
        ("1,1,2", "1,2"), ("125,216", "216"), ("2021", "\\pm 2021"), ("21, 36, and 82", "19, 46, \\text{ and } 82"), ("7 \\text{ or } 8", "7"),
        ("1, 3, 5, \\ldots, 2n-1", "1, 2, \\ldots, n"), ("1:4:9:\\ldots", "1:2:3:\\ldots"), ("32, 349", "32349"),
    ],
    "inequalities and intervals": [
        ("x < 2", "x \\le 2"), ("[0,7.5]", "(0,7.5)"), ("x > -1", "x < 1"), ("(-\\infty,2]\\cup(3,\\infty)", "(-\\infty,2)\\cup(3,\\infty)"),
        ("f(1)<f(2)<f(4)", "f(2)<f(1)<f(4)"),
    ],
    "equations": [
        ("3x+4y+14=0", "3x-y+13=0"), ("y=2x-3", "y=2x+3"), ("2x=10", "x=5"), ("x^2+y^2=2", "x^2+y^2=4"), ("3x+6y-5", "3x+6y-5=0"),
    ],
    "values": [
        ("\\frac{1}{2^{88}}", "\\frac{1}{2^{89}}"), ("1-\\frac{1}{3^{50}}", "1-\\frac{1}{3^{51}}"), ("\\frac{1}{2004!}", "\\frac{1}{2006!}"),
        ("0", "10^{-12}"), ("1+\\frac{1}{\\mathrm{e}}", "1-\\frac{1}{\\mathrm{e}}"), ("\\sqrt{x^2}", "x"), ("4.123", "\\sqrt{17}"),
        ("2516", "2516_8"), ("2516_8", "2516"), ("2516_9", "2516_8"), ("3:00 \\text{ AM}", "\\text{3:00 PM}"), ("1:00", "12:00"),
        ("6\\sqrt(3)", "6"), ("0.333", "\\frac13"), ("-i\\sqrt2", "\\sqrt{2}i"), ("10^{10^{10}}", "7"), ("\\mathbb{Z}", "\\mathbb{R}"),
    ],
    "matrices": [
        ("\\begin{pmatrix}1 & 2\\end{pmatrix}", "\\begin{pmatrix}1 \\\\ 2\\end{pmatrix}"),
        ("\\begin{pmatrix}1 & 2 \\\\ 3 & 5\\end{pmatrix}", "\\begin{pmatrix}1 & 2 \\\\ 3 & 4\\end{pmatrix}"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", EQUAL)
def test_mathematics_by_kind(grader: Grader, kind: str) -> None:
    for pairs, reward in ((EQUAL[kind], 1.0), (DIFFERENT[kind], 0.0)):
        texts, golds = [f"\\boxed{{{answer}}}" for answer, _ in pairs], [gold for _, gold in pairs]
        verdicts = grader.grade(texts, golds, rules="math")
        assert [pair for pair, v in zip(pairs, verdicts, strict=True) if v.reward != reward] == []


NO_GOLDS = {
    "gsm8k": ("", " ", "about 85", "NaN", "see the figure", "7 or 8", "48 + 48/2", "None", "#### ", "inf"),
    "aime": ("", "1000", "-1", "2.5", "50%", "about 85", "x"),
    "math": ("", " ", "$ $", "about 85", "NaN", "None", "N/A", "?", "see the figure", "\\frac{1}{2", "\\boxed{}", "x" * 401),
}  # fmt: skip
GOLDS = {
    "gsm8k": ("72", "2.5", "1,234", "-7", "$18", "so it is <<1+1=2>>2.\n#### 2", "She has 5.\nA: 5", "\\boxed{7}"),
    "aime": ("0", "072", "999", "Thus \\boxed{204}."),
    "math": ("\\frac{1}{2}", "\\text{Evelyn}", "east", "Adding gives $\\boxed{\\frac{1}{2}}$.", "\\{1\\pm\\sqrt{5},-2\\}", "[0,1)"),
}  # fmt: skip


@pytest.mark.parametrize("rules", GOLDS)
def test_golds_that_cannot_be_graded_are_refused_in_one_sentence(rules: str) -> None:
    comparison = get_rules(rules)
    for gold in GOLDS[rules]:
        comparison.check_gold(gold)
    for gold in NO_GOLDS[rules]:
        with pytest.raises(
            InputError, match="^the gold answer '.*expected (e.g.|an integer from|.* such as) "
        ) as caught:
            comparison.check_gold(gold)
        assert len(str(caught.value)) < 200


def test_a_gold_answer_may_come_with_its_solution(grader: Grader) -> None:
    texts, golds = (
        ["\\boxed{\\frac12}", "#### 7"],
        ["Adding gives $\\boxed{\\frac{1}{2}}$.", "3+4=<<3+4=7>>7\n#### 7"],
    )
    assert all(v.reward for v in grader.grade(texts, golds, rules="math"))
