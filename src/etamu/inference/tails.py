"""Logarithms of tail probabilities, for p-values that no double can hold.

Below 1e-280 the upper tails follow from their continued fraction or series: log Gamma(a, x) and log I_x(a, b) by Lentz's method.

Reference: Press, Teukolsky, Vetterling & Flannery (2007), *Numerical Recipes*, 6.2 and 6.4.
"""

from __future__ import annotations

import math

__all__ = ["log_chi2", "log_f", "log_normal", "log_t", "shown"]

_SMALL = 1e-280


def log_normal(z: float) -> float:
    """Log P(|Z| > |z|).

    >>> round(log_normal(1.959963984540054), 6) == round(math.log(0.05), 6)
    True
    """
    from scipy.special import log_ndtr

    return float(log_ndtr(-abs(z))) + math.log(2)


def log_chi2(x: float, df: float) -> float:
    """Log P(X > x) of chi-squared.

    >>> round(log_chi2(2000.0, 1) / math.log(10), 1)
    -436.0
    """
    from scipy.special import gammaincc, gammaln

    if not x > 0:
        return 0.0 if x <= 0 else math.nan
    a, h = df / 2, x / 2
    p = float(gammaincc(a, h))
    if p > _SMALL:
        return math.log(p)
    return float(-h + a * math.log(h) - gammaln(a) + math.log(_fraction_gamma(a, h))) if math.isfinite(h) else -math.inf


def _fraction_gamma(a: float, x: float) -> float:
    b = x + 1 - a
    c, d = 1e300, 1 / b
    out = d
    for k in range(1, 500):
        an = -k * (k - a)
        b += 2
        d = 1 / (an * d + b)
        c = b + an / c
        out *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return out


def log_t(t: float, df: float) -> float:
    """Log P(|T| > |t|) of Student's t."""
    return log_f(t * t, 1.0, df)


def log_f(x: float, df: float, residual: float) -> float:
    """Log P(F > x) of Fisher's F: log I_y(residual/2, df/2), y = residual / (residual + df x)."""
    from scipy.special import betainc, betaln

    if not x > 0:
        return 0.0 if x <= 0 else math.nan
    if not math.isfinite(x):
        return -math.inf
    a, b = residual / 2, df / 2
    y = residual / (residual + df * x)
    p = float(betainc(a, b, y))
    if p > 0.5:  # the other tail, whose argument does not round to 1
        return math.log1p(-float(betainc(b, a, df * x / (residual + df * x))))
    if p > _SMALL:
        return math.log(p)
    total = term = 1.0  # the hypergeometric series of I_y for small y
    for k in range(10_000):
        term *= (a + b + k) / (a + 1 + k) * y
        total += term
        if term < 1e-16 * total:
            break
    return float(a * math.log(y) + b * math.log1p(-y) - math.log(a) - betaln(a, b) + math.log(total))


def shown(log_p: float, digits: int = 3) -> str:
    """The p-value as text, however small.

    >>> shown(math.log(0.0314)), shown(-1004.0)
    ('0.0314', '9.30e-437')
    """
    if math.isnan(log_p):
        return "nan"
    if log_p > -6.9:
        return f"{math.exp(log_p):.{digits}g}"
    if log_p == -math.inf:
        return "0"
    exponent = math.floor(log_p / math.log(10))
    mantissa = math.exp(log_p - exponent * math.log(10))
    if round(mantissa, digits - 1) >= 10:
        mantissa, exponent = mantissa / 10, exponent + 1
    return f"{mantissa:.{digits - 1}f}e{exponent:+03d}"
