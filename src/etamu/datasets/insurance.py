"""A motor insurance portfolio of any size, with the relativities that made it."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["RELATIVITIES", "make_insurance"]

# log relativities of claim frequency; the first level of each factor is the base
RELATIVITIES: dict[str, dict[str, float]] = {
    "area": {"A": 0.0, "B": 0.06, "C": 0.12, "D": 0.22, "E": 0.31, "F": 0.38},
    "fuel": {"diesel": 0.0, "petrol": -0.11},
    "use": {"private": 0.0, "work": 0.18},
    "brand": {f"B{k}": round(0.05 * np.sin(2.0 * k) if k > 1 else 0.0, 4) for k in range(1, 12)},
    "region": {f"R{k:02d}": round(0.15 * np.cos(1.7 * k) - 0.15 * np.cos(1.7) if k > 1 else 0.0, 4) for k in range(1, 23)},
    "power": {str(k): round(0.035 * (k - 4), 4) for k in range(4, 16)},
}


def make_insurance(n: int = 100_000, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """Policies with exposure, rating factors, claim counts and claim amounts.

    Claim counts are Poisson with mean exposure * exp(intercept + relativities + a curve in driver age + 0.0045 * bonus), so
    that ``em.glm("claims ~ area + fuel + ...", data, family="poisson", exposure="exposure")`` recovers :data:`RELATIVITIES`;
    the mean claim is gamma with a shape of 1.2 and grows with the vehicle's power.  About 95 % of policies have no claim.

    >>> import etamu as em
    >>> data = em.datasets.make_insurance(1000)
    >>> sorted(data)[:4]
    ['age', 'amount', 'area', 'average']
    """
    rng = np.random.default_rng(seed)
    exposure = np.where(rng.random(n) < 0.45, 1.0, np.maximum(rng.beta(1.1, 1.4, n), 1 / 365))
    age = np.clip(np.round(18 + rng.gamma(4.2, 6.5, n)), 18, 95).astype(np.int64)
    vehicle_age = np.minimum(rng.geometric(0.13, n) - 1, 30).astype(np.int64)
    bonus = np.maximum(50, np.round(50 + 60 * np.exp(-(age - 18) / 9) + rng.exponential(9, n) - 6)).astype(np.int64)
    factors = {name: _draw(rng, list(table), n) for name, table in RELATIVITIES.items()}
    eta = -2.9 + 0.55 * np.exp(-(age - 18) / 7.0) + 0.0035 * np.maximum(age - 70, 0) + 0.0045 * (bonus - 50) - 0.012 * vehicle_age
    for name, table in RELATIVITIES.items():
        eta += np.array(list(table.values()))[factors[name]]
    claims = rng.poisson(exposure * np.exp(eta))
    mean_cost = np.exp(7.1 + 0.03 * (factors["power"]) - 0.01 * vehicle_age)
    total = np.where(claims > 0, rng.gamma(1.2 * np.maximum(claims, 1), mean_cost / 1.2), 0.0)
    columns: dict[str, np.ndarray[Any, Any]] = {
        "exposure": exposure,
        "age": age,
        "vehicle_age": vehicle_age,
        "bonus": bonus,
        "claims": claims,
        "amount": np.round(total, 2),
        "average": np.round(np.divide(total, claims, out=np.zeros(n), where=claims > 0), 2),
    }
    for name, table in RELATIVITIES.items():
        labels = np.array([int(k) for k in table] if name == "power" else list(table))
        columns[name] = labels[factors[name]]
    return columns


def _draw(rng: np.random.Generator, levels: list[str], n: int) -> np.ndarray[Any, Any]:
    """Level codes with shares that fall off, as they do in portfolios."""
    share = 1.0 / (1.0 + 0.35 * np.arange(len(levels)))
    return rng.choice(len(levels), size=n, p=share / share.sum())
