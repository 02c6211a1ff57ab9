"""What pydantic-monty 1.4.0 was found to support: names, modules and their members, methods.

Each list was made by trying every public name of CPython 3.11 in the
interpreter; what could reach outside a program (`open`, `eval`, `getattr`,
`os`, `sys`) was then left out on purpose.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


BUILTINS = _words(
    "ArithmeticError AssertionError AttributeError Exception False ImportError IndexError KeyError "
    "LookupError MemoryError ModuleNotFoundError NameError None NotImplementedError OverflowError "
    "RecursionError RuntimeError StopIteration SyntaxError True TypeError ValueError "
    "ZeroDivisionError __name__ abs all any bin bool chr dict divmod enumerate filter float format "
    "frozenset hex int isinstance iter len list map max min next object oct ord pow print range repr "
    "reversed round set sorted str sum tuple zip"
)

MODULES: dict[str, frozenset[str]] = {
    "math": _words(
        "acos acosh asin asinh atan atan2 atanh cbrt ceil comb copysign cos cosh degrees dist e erf erfc "
        "exp exp2 expm1 fabs factorial floor fmod frexp fsum gamma gcd hypot inf isclose isfinite isinf "
        "isnan isqrt lcm ldexp lgamma log log10 log1p log2 modf nan nextafter perm pi pow prod radians "
        "remainder sin sinh sqrt tan tanh tau trunc ulp"
    ),
    "datetime": _words("date datetime time timedelta timezone"),
    "time": _words(
        "altzone asctime ctime daylight gmtime localtime mktime monotonic monotonic_ns perf_counter "
        "perf_counter_ns process_time process_time_ns strftime strptime thread_time time time_ns timezone "
        "tzname"
    ),
    "decimal": _words(
        "Decimal ROUND_05UP ROUND_CEILING ROUND_DOWN ROUND_FLOOR ROUND_HALF_DOWN ROUND_HALF_EVEN "
        "ROUND_HALF_UP ROUND_UP getcontext"
    ),
    "re": _words(
        "DOTALL I IGNORECASE M MULTILINE S compile escape findall finditer fullmatch match search split sub"
    ),
    "itertools": _words(
        "accumulate chain combinations combinations_with_replacement compress count cycle dropwhile "
        "filterfalse groupby islice pairwise permutations product repeat starmap takewhile tee "
        "zip_longest"
    ),
    "collections": _words("Counter defaultdict deque namedtuple"),
    "functools": _words("cache lru_cache partial reduce"),
    "bisect": _words("bisect bisect_left bisect_right insort insort_left insort_right"),
    "copy": _words("copy deepcopy"),
    "typing": _words(
        "Annotated Any Callable ClassVar Dict Final FrozenSet Generator Iterable Iterator List Literal "
        "Mapping Optional Sequence Set Tuple Type Union"
    ),
}

# Of str, list, dict, set, tuple, deque, Counter, re.Match, Decimal, date and datetime.
METHODS = _words(
    "add append appendleft capitalize casefold center clear combine copy count date difference "
    "discard elements end endswith expandtabs extend extendleft find format fromkeys get group groups "
    "index insert intersection isalnum isalpha isascii isdecimal isdigit isdisjoint isidentifier "
    "islower isnumeric isoformat isoweekday isspace issubset issuperset istitle isupper items join "
    "keys ljust lower lstrip most_common now partition pop popitem popleft quantize remove "
    "removeprefix removesuffix replace reverse rfind rindex rjust rotate rpartition rsplit rstrip "
    "setdefault sort span split splitlines sqrt start startswith strftime strip strptime swapcase "
    "symmetric_difference time title today total_seconds union update upper values weekday zfill"
)

# Attributes that hold values rather than methods.
FIELDS = _words("day days hour microsecond microseconds minute month second seconds year")
