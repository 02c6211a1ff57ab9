"""The words of generated problems: families of stories in a terse and a rich style. Data, no code.

The terse style keeps one short sentence per operation and few names and items, for models of a million
parameters; the rich style varies. Changing a word changes every mixture made from it.
"""

from __future__ import annotations

from collections.abc import Mapping

from echochamber.corpora.wording import Move, PairWording, Wording

FRACTIONS = {
    2: "half", 3: "a third", 4: "a quarter", 5: "a fifth", 6: "a sixth",
    7: "a seventh", 8: "an eighth", 9: "a ninth", 10: "a tenth",
}  # fmt: skip

NAMES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "terse": (("Tom", "He"), ("Ann", "She"), ("Sam", "He"), ("Eva", "She")),
    "rich": (
        ("Tom", "He"), ("Ann", "She"), ("Sam", "He"), ("Eva", "She"), ("Omar", "He"), ("Priya", "She"),
        ("Diego", "He"), ("Mei", "She"), ("Jonas", "He"), ("Amina", "She"), ("Kofi", "He"), ("Lucia", "She"),
        ("Ravi", "He"), ("Ingrid", "She"), ("Mateo", "He"), ("Aisha", "She"), ("Pavel", "He"), ("Zoe", "She"),
        ("Hiro", "He"), ("Nadia", "She"), ("Liam", "He"), ("Ella", "She"), ("Emeka", "He"), ("Rosa", "She"),
    ),
}  # fmt: skip

_TERSE_ITEMS = ("pens", "cards", "balls", "cups")
_RICH_ITEMS = (
    "pens", "cards", "balls", "cups", "marbles", "stickers", "beads", "buttons", "ribbons", "crayons",
    "kites", "candles", "shells", "stamps", "badges", "blocks", "balloons", "bracelets",
)  # fmt: skip

_SHARE = Move("x / n", ("{n} friends share them equally. How many {item} each?",))

_POSSESSIONS: Mapping[str, Wording] = {
    "terse": Wording(
        items=_TERSE_ITEMS,
        openings=(
            Move("n", ("{name} has {n} {item}.",)),
            Move("m + n", ("{name} has {m} red and {n} blue {item}.",)),
            Move("m * n", ("{name} has {m} bags of {n} {item}.",)),
        ),
        events=(
            Move("x + n", ("{He} gets {n} more.",)),
            Move("x - n", ("{He} loses {n}.",)),
            Move("x * n", ("{He} makes it {n} times as many.",)),
            Move("x / n", ("{He} keeps one of {n} equal parts.",)),
            Move("x + m * n", ("{He} gets {m} bags of {n}.",)),
            Move("x - m * n", ("{He} gives {m} friends {n} each.",)),
        ),
        endings=(_SHARE,),
        questions=("How many {item} now?",),
        unit="{item}",
        claim="{name} has",
    ),
    "rich": Wording(
        items=_RICH_ITEMS,
        openings=(
            Move(
                "n",
                (
                    "{name} has {n} {item}.",
                    "{name} owns {n} {item}.",
                    "In the morning {name} had {n} {item}.",
                ),
            ),
            Move(
                "m + n",
                (
                    "{name} has {m} red {item} and {n} blue {item}.",
                    "{name} keeps {m} {item} in a drawer and {n} {item} on a shelf.",
                ),
            ),
            Move(
                "m * n",
                (
                    "{name} has {m} bags with {n} {item} in each.",
                    "{name} buys {m} boxes, and every box holds {n} {item}.",
                ),
            ),
            Move(
                "m / n",
                ("{m} {item} are shared equally among {n} children. {name} takes one child's share.",),
            ),
        ),
        events=(
            Move(
                "x + n",
                ("{He} finds {n} more.", "A friend gives {name} {n} more.", "Later {he} buys another {n}."),
            ),
            Move(
                "x - n",
                ("{He} loses {n} of them.", "{He} gives {n} of them away.", "Then {n} of them break."),
            ),
            Move("x * n", ("By the end of the month {he} has {n} times as many as that.",)),
            Move(
                "x / n",
                ("{He} divides them into {n} equal piles and keeps only one pile.",),
            ),
            Move(
                "x + m * n",
                (
                    "{He} then buys {m} packs of {n}.",
                    "Each of {m} cousins gives {name} {n} more.",
                ),
            ),
            Move(
                "x - m * n",
                (
                    "{He} gives {n} to each of {m} friends.",
                    "{He} fills {m} bags with {n} each and sells those bags.",
                ),
            ),
            Move("x + x * n", ("Then {he} wins {n} times as many as {he} already has, on top of those.",)),
            Move("x - x / n", ("{He} gives away {fraction} of them.",)),
        ),
        endings=(
            Move(
                "x / n",
                (
                    "{He} shares all of them equally among {n} friends. How many {item} does each one get?",
                    "All of them are packed equally into {n} boxes. How many {item} are in each box?",
                ),
            ),
        ),
        questions=(
            "How many {item} does {name} have now?",
            "How many {item} does {he} have in the end?",
            "What is the number of {item} that {name} has now?",
        ),
        unit="{item}",
        claim="{name} then has",
    ),
}

_MONEY: Mapping[str, Wording] = {
    "terse": Wording(
        items=("dollars",),
        openings=(
            Move("n", ("{name} has ${n}.",)),
            Move("m * n", ("{name} works {m} hours at ${n}.",)),
        ),
        events=(
            Move("x + n", ("{He} earns ${n}.",)),
            Move("x - n", ("{He} pays ${n}.",)),
            Move("x + m * n", ("{He} works {m} hours at ${n}.",)),
            Move("x - m * n", ("{He} buys {m} cups at ${n}.",)),
        ),
        endings=(Move("x / n", ("{He} splits it {n} ways. How much each?",)),),
        questions=("How much money now?",),
        unit="dollars",
        claim="{name} has",
    ),
    "rich": Wording(
        items=("dollars",),
        openings=(
            Move("n", ("{name} has ${n}.", "{name} starts the week with ${n}.")),
            Move("m + n", ("{name} has ${m} in a wallet and ${n} in a jar.",)),
            Move("m * n", ("{name} works {m} hours and earns ${n} an hour.",)),
            Move("m / n", ("{n} neighbours split a prize of ${m} equally, and {name} is one of them.",)),
        ),
        events=(
            Move(
                "x + n",
                ("{He} earns ${n} more.", "An uncle gives {name} ${n}.", "{He} finds ${n} in a coat."),
            ),
            Move("x - n", ("{He} spends ${n}.", "{He} pays ${n} for a ticket.", "{He} donates ${n}.")),
            Move("x * n", ("A lucky bet makes {his} money {n} times as much.",)),
            Move("x / n", ("{He} divides the money into {n} equal parts and keeps one of them.",)),
            Move(
                "x + m * n",
                ("{He} then works {m} hours for ${n} an hour.", "{He} sells {m} drawings for ${n} each."),
            ),
            Move(
                "x - m * n",
                ("{He} buys {m} notebooks that cost ${n} each.", "{He} pays ${n} a day for {m} days."),
            ),
            Move("x - x / n", ("{He} spends {fraction} of the money.",)),
        ),
        endings=(
            Move(
                "x / n",
                ("{He} splits all of it equally between {n} people. How many dollars does each person get?",),
            ),
        ),
        questions=(
            "How many dollars does {name} have now?",
            "How much money does {he} have left, in dollars?",
        ),
        unit="dollars",
        claim="{name} then has",
    ),
}

_BUS: Mapping[str, Wording] = {
    "terse": Wording(
        items=("people",),
        openings=(
            Move("n", ("A bus has {n} people.",)),
            Move("m * n", ("A bus has {m} rows of {n} people.",)),
        ),
        events=(
            Move("x + n", ("{n} get on.",)),
            Move("x - n", ("{n} get off.",)),
            Move("x + m * n", ("{m} groups of {n} get on.",)),
            Move("x - m * n", ("{m} groups of {n} get off.",)),
        ),
        endings=(Move("x / n", ("They form {n} equal teams. How many in a team?",)),),
        questions=("How many people now?",),
        unit="people",
        claim="The bus has",
    ),
    "rich": Wording(
        items=("people",),
        openings=(
            Move("n", ("A train leaves the station with {n} people.", "A bus carries {n} people.")),
            Move("m + n", ("A ferry takes {m} adults and {n} children on board.",)),
            Move("m * n", ("A bus has {m} full rows with {n} people in each row.",)),
        ),
        events=(
            Move("x + n", ("At the next stop {n} people get on.", "Then {n} more people come on board.")),
            Move("x - n", ("At the next stop {n} people get off.", "Then {n} of the people leave.")),
            Move("x + m * n", ("At the market {m} families of {n} get on.",)),
            Move("x - m * n", ("At the school {m} groups of {n} get off.",)),
            Move("x / n", ("Only one in every {n} people stays on board at the next stop.",)),
            Move("x - x / n", ("At the harbour {fraction} of the people get off.",)),
        ),
        endings=(
            Move(
                "x / n",
                ("At the end everybody joins one of {n} equal tour groups. How many people are in each?",),
            ),
        ),
        questions=("How many people are on board now?", "How many people remain on board?"),
        unit="people",
        claim="On board there are then",
    ),
}

_BAKERY: Mapping[str, Wording] = {
    "terse": Wording(
        items=("buns", "pies"),
        openings=(
            Move("n", ("A shop bakes {n} {item}.",)),
            Move("m * n", ("A shop bakes {m} trays of {n} {item}.",)),
        ),
        events=(
            Move("x + n", ("It bakes {n} more.",)),
            Move("x - n", ("It sells {n}.",)),
            Move("x + m * n", ("It bakes {m} trays of {n}.",)),
            Move("x - m * n", ("It sells {m} boxes of {n}.",)),
        ),
        endings=(Move("x / n", ("It fills {n} equal boxes. How many {item} in a box?",)),),
        questions=("How many {item} now?",),
        unit="{item}",
        claim="The shop has",
    ),
    "rich": Wording(
        items=("buns", "pies", "muffins", "pretzels", "cookies", "tarts", "rolls"),
        openings=(
            Move("n", ("A bakery has {n} {item} on the counter.", "{name} bakes {n} {item} for the shop.")),
            Move("m + n", ("A bakery makes {m} {item} before dawn and {n} {item} after breakfast.",)),
            Move("m * n", ("A bakery makes {m} trays of {item} with {n} on every tray.",)),
        ),
        events=(
            Move("x + n", ("Another {n} come out of the oven.", "The baker adds {n} more.")),
            Move("x - n", ("A customer buys {n} of them.", "The baker throws out {n} that burned.")),
            Move("x * n", ("For the fair the baker raises the stock to {n} times that number.",)),
            Move("x + m * n", ("The oven delivers {m} more trays of {n}.",)),
            Move("x - m * n", ("{m} customers buy {n} each.", "The shop delivers {m} boxes of {n}.")),
            Move("x - x / n", ("By noon {fraction} of them are sold.",)),
            Move(
                "x / n", ("The stock is divided equally among {n} shops, and this shop keeps its own part.",)
            ),
        ),
        endings=(
            Move("x / n", ("They are put into {n} equal baskets. How many {item} does a basket hold?",)),
        ),
        questions=("How many {item} does the shop have now?", "How many {item} are left in the shop?"),
        unit="{item}",
        claim="The shop then has",
    ),
}

_READING: Mapping[str, Wording] = {
    "terse": Wording(
        items=("pages",),
        openings=(
            Move("n", ("{name} reads {n} pages.",)),
            Move("m * n", ("{name} reads {n} pages a day for {m} days.",)),
        ),
        events=(
            Move("x + n", ("{He} reads {n} more.",)),
            Move("x + m * n", ("{He} reads {n} a day for {m} days.",)),
        ),
        endings=(
            Move("x / n", ("That took {n} days. How many pages a day?",)),
            Move("x - n", ("{n} were blank. How many pages had text?",)),
        ),
        questions=("How many pages in all?",),
        unit="pages",
        claim="{name} has read",
    ),
    "rich": Wording(
        items=("pages", "chapters", "poems", "letters"),
        openings=(
            Move("n", ("{name} reads {n} {item} on Monday.", "So far {name} has read {n} {item}.")),
            Move("m + n", ("{name} reads {m} {item} in the morning and {n} {item} at night.",)),
            Move("m * n", ("{name} reads {n} {item} a day for {m} days.",)),
        ),
        events=(
            Move("x + n", ("The next day {he} reads {n} more.", "{He} reads another {n} before bed.")),
            Move("x + m * n", ("Then {he} reads {n} a day for {m} days.",)),
            Move(
                "x + x * n",
                ("On holiday {he} reads {n} times as many as {he} has read so far, in addition.",),
            ),
        ),
        endings=(
            Move(
                "x / n",
                ("All of this took {n} days, with the same number each day. How many {item} is that a day?",),
            ),
            Move(
                "x - n",
                ("Of these, {n} were in French and the rest in English. How many {item} were in English?",),
            ),
            Move(
                "x * n", ("{name}'s sister has read {n} times as many. How many {item} has the sister read?",)
            ),
        ),
        questions=("How many {item} has {name} read in total?", "How many {item} has {he} read altogether?"),
        unit="{item}",
        claim="{name} has then read",
    ),
}

FAMILIES: Mapping[str, Mapping[str, Wording]] = {
    "possessions": _POSSESSIONS,
    "money": _MONEY,
    "bus": _BUS,
    "bakery": _BAKERY,
    "reading": _READING,
}


PAIRS: Mapping[str, PairWording] = {
    "terse": PairWording(
        items=_TERSE_ITEMS,
        first=("{name} has {n} {item}.",),
        second=("{name} has {n}.",),
        relations=(
            Move("x + n", ("{name} has {n} more.",)),
            Move("x - n", ("{name} has {n} fewer.",)),
            Move("x * n", ("{name} has {n} times as many.",)),
        ),
        events=(Move("x + n", ("{name} gets {n} more.",)), Move("x - n", ("{name} loses {n}.",))),
        together=("How many {item} together?",),
        more=("How many more has {name}?",),
        alone=("How many {item} has {name}?",),
    ),
    "rich": PairWording(
        items=_RICH_ITEMS,
        first=("{name} has {n} {item}.", "{name} collects {n} {item}."),
        second=("{name} has {n} {item}.", "{name} owns {n} {item}."),
        relations=(
            Move("x + n", ("{name} has {n} more {item} than {other}.",)),
            Move("x - n", ("{name} has {n} fewer {item} than {other}.",)),
            Move("x * n", ("{name} has {n} times as many {item} as {other}.",)),
            Move("x / n", ("{other} has {n} times as many {item} as {name}.",)),
        ),
        events=(
            Move("x + n", ("{name} gets {n} more.", "{name} buys another {n}.")),
            Move("x - n", ("{name} gives {n} to a teacher.", "{name} loses {n} of them.")),
            Move("x + m * n", ("{name} receives {m} packs of {n}.",)),
            Move("x - m * n", ("{name} gives {n} to each of {m} classmates.",)),
            Move("x * n", ("{name} trades until {name} has {n} times as many as before.",)),
        ),
        together=(
            "How many {item} do they have together?",
            "How many {item} do {name} and {other} have in total?",
        ),
        more=("How many more {item} does {name} have than {other}?",),
        alone=("How many {item} does {name} have?", "What is the number of {item} that {name} has?"),
    ),
}

DISTRACTORS: Mapping[str, tuple[str, ...]] = {
    "terse": ("{name} is {n}.", "{name} lives at number {n}."),
    "rich": (
        "{name} is {n} years old.",
        "It is {n} degrees outside.",
        "{name} lives at number {n} of the main street.",
        "The nearest library is {n} minutes away.",
        "{name}'s neighbour keeps {n} goldfish.",
    ),
}
