"""The function libraries of Kubernetes' environments."""

from __future__ import annotations

import time

import pytest

from apimachinery.cel.env import Env
from apimachinery.cel.library.authz import Answer, Authorizer, Check, ResourceCheck
from apimachinery.cel.types import DYN_TYPE, STRING_TYPE, opaque, struct
from tests.apimachinery.cel.support import complaints, failure, value

TRUE = """
'tacocat'.charAt(3) == 'o' && 'tacocat'.charAt(7) == ''
'hello mellow'.indexOf('ello') == 1 && 'hello mellow'.indexOf('ello', 2) == 7 && 'x'.indexOf('y') == -1 && ''.indexOf('') == 0
'hello mellow'.lastIndexOf('ello') == 7 && 'hello mellow'.lastIndexOf('ello', 6) == 1
['a', 'b'].join() == 'ab' && ['a', 'b'].join('-') == 'a-b' && [].join() == ''
'TacoCat Æ'.lowerAscii() == 'tacocat Æ' && 'TacoCat æ'.upperAscii() == 'TACOCAT æ'
'hello'.replace('l', 'w') == 'hewwo' && 'hello'.replace('l', 'w', 1) == 'hewlo' && 'ab'.replace('', '-') == '-a-b-'
'a b c'.split(' ') == ['a', 'b', 'c'] && 'a b c'.split(' ', 2) == ['a', 'b c'] && 'a'.split('', 0) == []
'ab'.split('') == ['a', 'b']
'tacocat'.substring(4) == 'cat' && 'tacocat'.substring(0, 4) == 'taco' && 'ta©o'.substring(2, 3) == '©'
'  \\t trim\\n '.trim() == 'trim'
strings.quote('a"b\\n') == '"a\\\\"b\\\\n"'
'%s is %d years and %.2f m, %%'.format(['Al', 7, 1.5]) == 'Al is 7 years and 1.50 m, %'
'%x %X %o %b'.format([255, 'hi', 8, true]) == 'ff 6869 10 1'
'%s %s %s'.format([[1, 2], {'k': 1.5}, null]) == '[1, 2] {"k":1.500000} null'
'%e'.format([1234.5]) == '1.234500×10⁰³'
sets.contains([1, 2], [2]) && !sets.contains([1], [2]) && sets.equivalent([1, 1, 2], [2, 1]) && sets.intersects([1], [1, 2])
sets.contains([1], []) && !sets.intersects([], [1]) && sets.equivalent([], [])
[1, 2, 2, 3].isSorted() && !['b', 'a'].isSorted() && [].isSorted() && [1.5, 0.5].sum() == 2.0 && [1, 2].sum() == 3 && [].sum() == 0
[duration('1m'), duration('1s')].sum() == duration('61s') && [3, 1, 2].min() == 1 && ['a', 'c'].max() == 'c'
[1, 2, 2].indexOf(2) == 1 && [1, 2, 2].lastIndexOf(2) == 2 && [1].indexOf(5) == -1
[1, 2, 3, 4].slice(1, 3) == [2, 3] && [[1], [2, 3]].flatten() == [1, 2, 3] && [3, 1, 2].sort() == [1, 2, 3]
[1, 1, 2].distinct() == [1, 2] && [1, 2].reverse() == [2, 1] && lists.range(3) == [0, 1, 2]
[{'n': 'b'}, {'n': 'a'}].sortBy(e, e.n) == [{'n': 'a'}, {'n': 'b'}]
'abc 123 def 456'.find('[0-9]+') == '123' && 'abc'.find('[0-9]+') == '' && 'a1b2c3'.findAll('[0-9]') == ['1', '2', '3']
'a1b2c3'.findAll('[0-9]', 2) == ['1', '2'] && 'Ünï'.matches('^\\\\pL+$')
url('https://user@example.com:80/path?k=a&k=b&j=c#f').getScheme() == 'https'
url('https://example.com:80/').getHost() == 'example.com:80' && url('https://[::1]:80/').getHostname() == '::1'
url('https://example.com:80/p%20q').getPort() == '80' && url('https://a.b/p%20q').getEscapedPath() == '/p%20q'
url('https://a.b/?k=a&k=b&j=c').getQuery() == {'k': ['a', 'b'], 'j': ['c']} && isURL('/path') && !isURL('../rel')
url('https://a.b/') == url('https://a.b/')
isQuantity('1.5Gi') && !isQuantity('1.5 Gi') && quantity('1Gi') == quantity('1024Mi') && quantity('50k').isInteger()
quantity('50k').add(quantity('20')) == quantity('50020') && quantity('50k').sub(20) == quantity('49980')
sign(quantity('-1')) == -1
quantity('1').isLessThan(quantity('2')) && quantity('2').isGreaterThan(quantity('1'))
quantity('1k').compareTo(quantity('1000')) == 0
quantity('50').asInteger() == 50 && quantity('50.703').asApproximateFloat() == 50.703
isIP('127.0.0.1') && !isIP('127.0.0.01') && !isIP('::ffff:1.2.3.4') && ip('::1').family() == 6 && ip('1.2.3.4').family() == 4
ip('::1').isLoopback() && ip('0.0.0.0').isUnspecified() && ip('224.0.0.1').isLinkLocalMulticast()
ip('fe80::1').isLinkLocalUnicast()
ip('8.8.8.8').isGlobalUnicast() && string(ip('2001:db8::0:1')) == '2001:db8::1' && ip.isCanonical('2001:db8::1')
!ip.isCanonical('2001:DB8::1')
isCIDR('10.0.0.0/8') && !isCIDR('10.0.0.0') && cidr('10.0.0.0/8').containsIP('10.1.2.3')
!cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))
cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8')
cidr('10.1.2.3/8').prefixLength() == 8
cidr('192.168.0.0/24').ip() == ip('192.168.0.0') && string(cidr('2001:db8::/32')) == '2001:db8::/32'
!format.dns1123Label().validate('ok-1').hasValue() && format.dns1123Label().validate('Not OK').hasValue()
format.named('dns1123Label').hasValue() && !format.named('nonsense').hasValue()
!format.uuid().validate('123e4567-e89b-12d3-a456-426614174000').hasValue()
isSemver('1.2.3-rc.1+b') && !isSemver('v1.2') && isSemver('v1.2', true) && semver('1.2.3').minor() == 2
semver('1.0.0-a').isLessThan(semver('1.0.0')) && semver('1.0.0').compareTo(semver('1.0.0+x')) == 0
semver('v1', true) == semver('1.0.0')
"""


@pytest.mark.parametrize("text", TRUE.strip().splitlines())
def test_these_hold(text: str) -> None:
    assert value(text) is True


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'abc'.charAt(-1)", "index out of range: -1"),
        ("'abc'.substring(2, 1)", "invalid substring range. start: 2, end: 1"),
        ("'abc'.indexOf('a', -1)", "index out of range: -1"),
        ("'%d'.format([self])", "error during formatting: decimal clause can only be used on"),
        ("[].min()", "min called on empty list"),
        ("[].max()", "max called on empty list"),
        ("'abc'.find(self)", "error parsing regexp: missing argument to repetition operator: `*`"),
        ("url(self)", "URL parse error during conversion from string"),
        ("quantity(self)", "quantities must match the regular expression"),
        ("quantity('1.5').asInteger()", "cannot convert value to integer"),
        ("ip(self)", 'IP Address "*" parse error during conversion from string'),
        ("cidr(self)", "network address parse error during conversion from string"),
        ("semver(self)", "No Major.Minor.Patch elements found"),
        ("[1, 2].slice(1, 5)", "cannot slice(1, 5), list is length 2"),
    ],
)
def test_these_fail(text: str, expected: str) -> None:
    assert expected in failure(text, self="*")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'%d %d'.format([1])", "index 1 out of range"),
        ("['a'].find('x')", "found no matching overload for 'find' applied to 'list(string).(string)'"),
        ("'a'.reverse()", "found no matching overload for 'reverse' applied to 'string.()'"),
        ("quantity('1').sign()", "found no matching overload for 'sign' applied to 'kubernetes.Quantity.()'"),
    ],
)
def test_these_do_not_compile(text: str, expected: str) -> None:
    assert complaints(text) == [expected]


def test_regular_expressions_never_take_exponential_time() -> None:
    began = time.perf_counter()
    assert value("self.matches('^(a+)+$')", self="a" * 5000 + "!") is False
    assert value("self.matches('(a|aa)+$')", self="a" * 5000 + "!") is False
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("pattern", ["(?=a)", "(a)\\\\1", "(?<!a)b", "a{1001}", "("])
def test_patterns_that_re2_does_not_have_are_refused(pattern: str) -> None:
    assert complaints(f"'a'.matches('{pattern}')") == ["invalid matches argument"]


# -- authorizer

AUTHORIZED = Env(
    {
        "authorizer": struct("kubernetes.authorization.Authorizer"),
        "authorizer.requestResource": struct("kubernetes.authorization.ResourceCheck"),
        "s": STRING_TYPE,
        "d": DYN_TYPE,
    }
)


def test_authorization_checks_ask_the_host() -> None:
    asked: list[Check] = []

    def decide(check: Check) -> Answer:
        asked.append(check)
        if check.verb == "fail":
            return Answer(False, error="out of order")
        return Answer(check.verb == "get", "because")

    root = Authorizer(decide)
    own = ResourceCheck(decide, Check("", group="apps", resource="deployments", namespace="ns", name="d"))

    def ask(text: str) -> object:
        return value(text, AUTHORIZED, **{"authorizer": root, "authorizer.requestResource": own})

    assert ask("authorizer.path('/healthz').check('get').allowed()") is True
    assert asked[-1] == Check("get", path="/healthz")
    pods = "authorizer.group('').resource('pods').subresource('log').namespace('ns').name('p')"
    assert ask(f"{pods}.check('list').allowed()") is False
    assert asked[-1] == Check("list", resource="pods", subresource="log", namespace="ns", name="p")
    assert ask(f"{pods}.check('get').reason()") == "because"
    assert ask("authorizer.requestResource.check('get').allowed()") is True
    assert asked[-1].resource == "deployments"
    assert ask("authorizer.serviceAccount('ns', 'sa').group('').resource('pods').check('get').allowed()") is True
    assert asked[-1].service_account == ("ns", "sa")
    assert ask(f"{pods}.check('fail').errored() && {pods}.check('fail').error() == 'out of order'") is True
    selected = "authorizer.group('').resource('pods').fieldSelector('a=b').labelSelector('c')"
    assert ask(f"{selected}.check('get').allowed()") is True
    assert (asked[-1].field_selector, asked[-1].label_selector) == ("a=b", "c")


def test_authorization_checks_want_sense() -> None:
    assert complaints("authorizer.check('get')", AUTHORIZED)
    assert complaints("authorizer.group('').check('get')", AUTHORIZED)


def test_opaque_types_are_compared_by_value_only_with_their_like() -> None:
    assert complaints("quantity('1') == ip('1.1.1.1')")
    assert opaque("a") == opaque("a")
