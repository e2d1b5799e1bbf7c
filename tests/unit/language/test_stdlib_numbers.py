"""Numbers in the standard library: the façades give Python's own answers."""

from __future__ import annotations

import pytest

from tests.unit.language.support import answers_of_python, assert_same

PROGRAMS = {
    "math": """
        import math
        from math import ceil, floor, sqrt, pi, isclose
        return (ceil(1.2), floor(-1.2), sqrt(16), round(pi, 5), math.e > 2, math.gcd(12, 18, 6), math.lcm(4, 6), math.factorial(10), math.comb(5, 2), math.perm(5, 2), math.prod([1, 2, 3], start=2), math.fsum([0.1] * 10), math.log(8, 2), math.log10(1000), math.log2(8),
                math.exp(0), math.hypot(3, 4), math.dist([0, 0], [3, 4]), math.degrees(pi), math.radians(180) == pi, math.sin(0), math.atan2(1, 1), isclose(0.1 + 0.2, 0.3), math.isnan(math.nan), math.isinf(math.inf), math.trunc(-2.7), math.modf(2.5), math.copysign(1, -0.0),
                math.isqrt(17), math.fmod(7, -3), math.frexp(8), math.ulp(1.0) < 1e-15, math.cbrt(27), math.nextafter(1, 2) > 1)
    """,
    "math_errors": """
        import math
        errors = []
        for f in (lambda: math.sqrt(-1), lambda: math.log(0), lambda: math.factorial(-1), lambda: math.exp(1e4), lambda: math.floor("x"), lambda: math.nope):
            try:
                f()
            except (ValueError, OverflowError, TypeError, AttributeError) as e:
                errors.append(type(e).__name__)
        return errors
    """,
    "statistics": """
        import statistics
        from statistics import mean, median, stdev, StatisticsError, NormalDist
        from fractions import Fraction
        from decimal import Decimal
        data = [1, 2, 2, 3, 4, 7, 9]
        try:
            mean([])
        except StatisticsError as e:
            error = str(e)
        slope, intercept = statistics.linear_regression([1, 2, 3], [2, 4, 6])
        return (mean(data), median(data), statistics.mode(data), statistics.multimode("aabb"), round(stdev(data), 4), round(statistics.pvariance(data), 4), statistics.quantiles(data, n=4), statistics.fmean(data, weights=[1] * 7), statistics.geometric_mean([1, 4]), statistics.harmonic_mean([40, 60]),
                statistics.median_low([1, 2]), statistics.median_grouped(data), mean([Fraction(1, 2), Fraction(1, 4)]), mean([Decimal("0.5"), Decimal("1.5")]), round(statistics.correlation([1, 2, 3], [1, 2, 4]), 3), statistics.covariance([1, 2], [3, 5]), slope, intercept, error, round(NormalDist(10, 2).cdf(12), 4))
    """,
    "decimal": """
        from decimal import Decimal, ROUND_HALF_UP, ROUND_DOWN, getcontext, localcontext, InvalidOperation, DivisionByZero, Context, setcontext
        import decimal
        price = Decimal("19.99")
        total = price * 3
        errors = []
        for f in (lambda: Decimal("x"), lambda: Decimal(1) / 0, lambda: Decimal(1) + 1.5):
            try:
                f()
            except (InvalidOperation, DivisionByZero, TypeError) as e:
                errors.append(type(e).__name__)
        with localcontext() as ctx:
            ctx.prec = 5
            short = Decimal(1) / 3
        getcontext().prec = 28
        return (total, total.quantize(Decimal("0.1"), rounding=ROUND_HALF_UP), (total / 7).quantize(Decimal("0.01"), ROUND_DOWN), Decimal("0.1") + Decimal("0.2") == Decimal("0.3"), Decimal("1.10").normalize(), str(Decimal("1E+3")), f"{Decimal('1234.5'):,.2f}", int(Decimal("3.9")), float(Decimal("0.5")),
                Decimal(1) / 3, short, Decimal("-1.5").copy_abs(), max(Decimal(1), Decimal(2)), sum([Decimal("0.1")] * 3), Decimal("1.5").as_tuple(), Decimal.from_float(0.5), Decimal("NaN").is_nan(), Decimal(2) ** 10, Decimal(2).sqrt(), divmod(Decimal(7), 2), round(Decimal("2.675"), 2),
                sorted([Decimal("2"), Decimal("1")]), hash(Decimal(1)) == hash(1), errors, decimal.Decimal("5") // 2, Context(prec=3).divide(Decimal(1), Decimal(3)), Decimal("1_000.5"), Decimal((0, (1, 2), -1)))
    """,
    "fractions": """
        from fractions import Fraction
        f = Fraction(3, 4)
        return f + Fraction(1, 4), f * 2, Fraction("0.125"), Fraction(0.5), f.numerator, f.denominator, float(f), round(Fraction(7, 3)), Fraction("22/7").limit_denominator(5), f > 0.5, str(f), f ** 2, sum([Fraction(1, 3)] * 3), divmod(Fraction(7, 2), 1), f"{Fraction(1, 3)}"
    """,
    "random": """
        import random
        from random import Random, choice, sample, shuffle, seed
        r = Random(42)
        seed(7)
        own = list(range(5))
        shuffle(own)
        class Dice(random.Random):
            def roll(self): return self.randint(1, 6)
        return (r.random(), r.randint(1, 100), r.choice("abc"), r.sample(range(50), 3), r.choices(["a", "b"], weights=[9, 1], k=4), r.uniform(1, 2), r.gauss(0, 1), r.randrange(0, 100, 5), r.getrandbits(16), r.betavariate(1, 2), own, random.random(), choice([1, 2, 3]), sample([1, 2, 3], 2),
                Dice(1).roll(), random.Random("seed").random(), r.triangular(0, 1, 0.5), r.expovariate(1), r.randbytes(3), 0 <= random.SystemRandom().random() < 1)
    """,
    "cmath_and_operator": """
        import cmath, operator
        from operator import add, mul, itemgetter, contains, not_, truth, concat, countOf, indexOf, neg, xor, floordiv, setitem, getitem, delitem, iadd, call
        from functools import reduce
        d = {}
        setitem(d, "k", 1)
        return cmath.sqrt(-1), cmath.phase(1j), cmath.polar(1), reduce(add, [1, 2, 3]), reduce(mul, range(1, 6)), contains("abc", "b"), not_(0), truth([]), concat([1], [2]), countOf("aab", "a"), indexOf("abc", "c"), getitem(d, "k"), iadd([1], [2]), operator.length_hint([1, 2]), operator.eq(1, 1.0), operator.is_(None, None), call(len, "ab"), neg(1), xor(5, 3), floordiv(7, 2)
    """,
    "hashing_and_secrets": """
        import hashlib, hmac, secrets, base64, binascii, zlib, uuid
        body, key = '{"a":1}'.encode(), b"secret"
        signature = hmac.new(key, body, hashlib.sha256).hexdigest()
        h = hashlib.md5(usedforsecurity=False)
        h.update(b"a")
        h.update(b"b")
        copied = h.copy()
        return (hashlib.sha256(body).hexdigest(), h.hexdigest(), copied.digest() == h.digest(), h.name, h.digest_size, hashlib.new("sha1", b"x").hexdigest(), hashlib.sha3_256(b"").hexdigest()[:8], hashlib.blake2b(b"x", digest_size=8, key=b"k").hexdigest(), "sha256" in hashlib.algorithms_available,
                hashlib.pbkdf2_hmac("sha256", b"pw", b"salt", 10).hex()[:10], hashlib.scrypt(b"pw", salt=b"s", n=2, r=1, p=1, dklen=4).hex(), signature, hmac.compare_digest(signature, signature), hmac.digest(key, body, "sha1").hex(), base64.b64encode(hmac.new(key, body, "sha512").digest()).decode()[:10],
                len(secrets.token_hex(8)), len(secrets.token_bytes(5)), len(secrets.token_urlsafe(16)) >= 16, secrets.choice(["x"]), 0 <= secrets.randbelow(5) < 5, secrets.compare_digest("a", "a"), zlib.crc32(b"abc"), zlib.adler32(b"abc"), binascii.crc32(b"abc"), hashlib.shake_128(b"a").hexdigest(4))
    """,
    "encodings_of_bytes": """
        import base64, binascii
        from base64 import b64encode, b64decode, urlsafe_b64encode, urlsafe_b64decode, b32encode, b32decode, b16encode, b85encode, b85decode, a85encode
        token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0"
        payload = token.split(".")[1]
        errors = []
        for f in (lambda: b64decode("abc"), lambda: b64decode("a$b=", validate=True), lambda: binascii.unhexlify("xyz")):
            try:
                f()
            except binascii.Error as e:
                errors.append(str(e))
        return (b64encode(b"\\xff\\xfe").decode(), b64decode("aGk="), urlsafe_b64encode(b"\\xfb\\xff"), urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), b32encode(b"hi"), b32decode("NBUQ===="), b16encode(b"hi"), b85decode(b85encode(b"hello")), a85encode(b"hi"), binascii.hexlify(b"ab", "-"), binascii.unhexlify("6162"),
                binascii.b2a_base64(b"x", newline=False), errors, base64.encodebytes(b"x" * 60))
    """,
}

python = answers_of_python(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, python: dict[str, str]) -> None:
    """The program gives Python's own answer."""
    assert_same(PROGRAMS[name], python[name])
