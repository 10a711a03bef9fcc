"""What expressions cost: estimated beforehand and counted when they run. The numbers are Kubernetes'."""

from __future__ import annotations

import pytest

from apimachinery.cel.env import Env
from apimachinery.cel.library.authz import Answer, Authorizer
from apimachinery.cel.types import INT_TYPE, list_of, struct
from tests.apimachinery.cel.support import DYNAMIC

ENV = Env({"authorizer": struct("kubernetes.authorization.Authorizer")})

# expression; estimated least and most; when run
ESTIMATED = [
    ("'ABCDEFGHIJ abcdefghij'.lowerAscii()", 3, 3, 3),
    ("'ABCDEFGHIJ abcdefghij'.upperAscii()", 3, 3, 3),
    ("strings.quote('ABCDEFGHIJ abcdefghij')", 3, 3, 3),
    ("'abc 123 def 123'.replace('123', '456')", 3, 3, 3),
    ("'abc 123 def 123'.replace('123', '')", 3, 3, 3),
    ("'abc 123 def 123'.split(' ')", 3, 3, 3),
    ("'abc 123 def 123'.substring(5)", 2, 2, 2),
    ("'  abc 123 def 123  '.trim()", 2, 2, 2),
    ("'abc 123 def 123'.findAll('123')", 2, 2, 2),
    ("authorizer.path('/healthz')", 2, 2, 2),
    ("authorizer.path('/healthz').check('get').allowed()", 350003, 350003, 350003),
    ('isQuantity("20")', 1, 1, 1),
    ('quantity("200M") == quantity("200M")', 3, 3, 3),
    ('quantity("50M").isLessThan(quantity("50Mi"))', 3, 3, 3),
    ('quantity("200M").compareTo(quantity("0.2G")) > 0', 4, 4, 4),
    ('quantity("50k").sub(quantity("20")) == quantity("49.98k")', 5, 5, 5),
    ('quantity("50k").add(20).sub(quantity("100k")).asInteger() > 0', 6, 6, 6),
    ('quantity("50k").asInteger() > 0', 3, 3, 3),
    ('quantity("50.703k").asApproximateFloat() > 0.0', 3, 3, 3),
    ('format.named("dns1123Subdomain").value().validate("my-name")', 34, 34, 17),
    ('format.named("dns1123Label").value() == format.named("dns1123Label").value()', 5, 11, 5),
    ("sets.contains([1], [])", 21, 21, 21),
    ("sets.contains([1], [1, 1])", 23, 23, 23),
    ("sets.contains([2, 1], [1])", 23, 23, 23),
    ("!sets.contains([1], [1, 2])", 24, 24, 24),
    ("sets.equivalent([1], [1])", 23, 23, 23),
    ("sets.equivalent([1, 1], [1])", 25, 25, 25),
    ("!sets.equivalent([2, 1], [1])", 26, 26, 26),
    ("sets.intersects([1], [1])", 22, 22, 22),
    ("sets.intersects([1, 1], [1])", 23, 23, 23),
    ("sets.intersects([1], [1, 2])", 23, 23, 23),
    ("!sets.intersects([1], [])", 22, 22, 22),
    ('semver("1.0.0")', 1, 1, 1),
    ('isSemver("1.0.0")', 1, 1, 1),
    ('semver("1.2.3").major()', 2, 2, 2),
    ('semver("1.2.3").patch()', 2, 2, 2),
    ('semver("1.1.0").isGreaterThan(semver("1.0.0"))', 3, 3, 3),
    ("{'a': 1, 'b': 2}.all(k, v, v > 0)", 37, 41, 41),
    ("{'a': 1, 'b': 2}.existsOne(k, v, v > 0)", 38, 40, 40),
    ("{'a': 1, 'b': 2}.transformMap(k, v, v < 5, v + 1)", 67, 75, 75),
    ("{'a': 1, 'b': 2}.transformMapEntry(k, v, v < 5, {k: v + 1})", 67, 135, 135),
    ("[1, 2].exists(i, v, v > 0)", 19, 23, 20),
    ("[1, 2].transformList(i, v, v + 1)", 49, 49, 49),
]  # fmt: skip

ARRAY = [1, 1, 2, 2, 3, 3, 4, 5]
# expression about a list of integers; when run, with constant parts worked out beforehand
RUN = [
    ("2 in self", 9),
    ("self.all(e, e > 0)", 42),
    ("self.exists(e, e > 2)", 35),
    ("self.exists_one(e, e > 4)", 21),
    ("!self.all(e, e < 2)", 20),
    ("!self.exists(e, e < 0)", 51),
    ("!self.exists_one(e, e == 2)", 24),
    ("size(self.filter(e, e % 2 == 0)) == 3", 67),
    ("self.map(e, e * 20).filter(e, e > 50).exists(e, e == 60)", 193),
    ("size(self) == 8", 3),
    ("self.all(i, e, e > 0)", 42),
    ("self.exists(i, e, e > 2)", 35),
    ("self.existsOne(i, e, e > 4)", 21),
    ("self.transformList(i, e, e > 2, e * 2).size() > 0", 76),
    ("self.transformList(i, e, e * 2).size() > 0", 116),
    ("self == [1, 1, 2, 2, 3, 3, 4, 5]", 2),
]  # fmt: skip
# the same about x, of which nothing is known
DYNAMIC_RUN = [("x.a == 1", 3), ("has(x.a)", 1), ("size(x.s) == 6", 4), ("x.s == 'abcdef'", 3)]


@pytest.mark.parametrize(("text", "least", "most", "run"), ESTIMATED)
def test_costs(text: str, least: int, most: int, run: int) -> None:
    checked = ENV.compile(text)
    assert tuple(checked.cost()) == (least, most)
    _, cost = checked.program(optimize=False).eval({"authorizer": Authorizer(lambda check: Answer(True))})
    assert cost == run


@pytest.mark.parametrize(("text", "run"), RUN)
def test_costs_of_programs(text: str, run: int) -> None:
    env = Env({"self": list_of(INT_TYPE)})
    assert env.compile(text).program().eval({"self": ARRAY})[1] == run


@pytest.mark.parametrize(("text", "run"), DYNAMIC_RUN)
def test_costs_of_programs_on_anything(text: str, run: int) -> None:
    assert DYNAMIC.compile(text).program().eval({"x": {"a": 1, "s": "abcdef", "l": [1, 2, 3]}})[1] == run


def test_a_short_cut_costs_less() -> None:
    program = DYNAMIC.compile("x.a == 1 || x.l.all(i, i > 0)").program()
    cheap = program.eval({"x": {"a": 1, "l": list(range(100))}})[1]
    dear = program.eval({"x": {"a": 2, "l": list(range(1, 100))}})[1]
    assert cheap < 10 < dear
