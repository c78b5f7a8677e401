"""Writes mathematics.md: what every family under every link adds to score and information, as formulas in eta.

Run ``python docs/make_mathematics.py``; tests/test_mathematics.py checks the page and every formula on it against the row terms.
"""

from __future__ import annotations

from pathlib import Path

import sympy as sp

ETA, P, K = sp.Symbol("eta", real=True), sp.Symbol("p", positive=True), sp.Symbol("k", positive=True)
MU = sp.Symbol("mu", positive=True)
PHI = sp.Function("phi")(ETA)  # the normal density
CDF = sp.Function("Phi")(ETA)  # and distribution function

# mean and its derivative, as functions of eta
LINKS: dict[str, tuple[sp.Expr, sp.Expr]] = {
    "identity": (ETA, sp.Integer(1)),
    "log": (sp.exp(ETA), sp.exp(ETA)),
    "logit": (1 / (1 + sp.exp(-ETA)), sp.exp(-ETA) / (1 + sp.exp(-ETA)) ** 2),
    "probit": (CDF, PHI),
    "cloglog": (1 - sp.exp(-sp.exp(ETA)), sp.exp(ETA - sp.exp(ETA))),
    "loglog": (sp.exp(-sp.exp(-ETA)), sp.exp(-ETA - sp.exp(-ETA))),
    "cauchit": (sp.Rational(1, 2) + sp.atan(ETA) / sp.pi, 1 / (sp.pi * (1 + ETA**2))),
    "inverse": (1 / ETA, -1 / ETA**2),
    "inverse_squared": (ETA ** sp.Rational(-1, 2), -(ETA ** sp.Rational(-3, 2)) / 2),
    "sqrt": (ETA**2, 2 * ETA),
}
FAMILIES: dict[str, tuple[sp.Expr, str]] = {
    "gaussian": (sp.Integer(1), "McCullagh & Nelder (1989), chapter 3"),
    "binomial": (MU * (1 - MU), "McCullagh & Nelder (1989), chapter 4"),
    "poisson": (MU, "McCullagh & Nelder (1989), chapter 6"),
    "gamma": (MU**2, "McCullagh & Nelder (1989), chapter 8"),
    "inverse_gaussian": (MU**3, "Jorgensen (1997), section 2.1"),
    "tweedie": (MU**P, "Jorgensen (1997), chapter 4, with power p"),
    "negative_binomial": (MU + MU**2 / K, "Lawless, Canad. J. Statist. 15 (1987), doi:10.2307/3314912, with size k (`theta`)"),
}
UNIT = ("logit", "probit", "cloglog", "loglog", "cauchit")


def terms(family: str, link: str) -> tuple[sp.Expr, sp.Expr]:
    """mu'/V and mu'^2/V in eta."""
    variance, _ = FAMILIES[family]
    mean, slope = LINKS[link]
    spread = variance.subs(MU, mean)
    return _short(slope / spread), _short(slope**2 / spread)


def _short(e: sp.Expr) -> sp.Expr:
    positive = sp.Symbol("eta", positive=True)
    forms = [e, sp.simplify(e), sp.powsimp(sp.powdenest(e, force=True), force=True)]
    if not e.has(sp.exp, sp.atan):
        forms.append(sp.simplify(e.subs(ETA, positive)).subs(positive, ETA))
    return min(forms, key=sp.count_ops)


def _latex(e: sp.Expr) -> str:
    text = sp.latex(e)
    for written, wanted in (("phi^{2}", r"\varphi^2(\eta)"), ("phi", r"\varphi(\eta)"), ("Phi", r"\Phi(\eta)")):
        text = text.replace(rf"\{written}{{\left(\eta \right)}}", wanted)
    return text


def page() -> str:
    """The Markdown."""
    out = [
        "# The mathematics, family by family",
        "",
        "<!-- written by docs/make_mathematics.py -->",
        "",
        "Each row with predictor $\\eta = x'\\beta + o$ and weight $w$ adds $w\\,(y-\\mu)\\,\\frac{\\mu'}{V(\\mu)}\\,x$ to the score and",
        "$w\\,\\frac{\\mu'^2}{V(\\mu)}\\,xx'$ to the expected information. The tables give both factors as functions of $\\eta$ for every family and",
        "link. [Families and links](formulas.md) has the variances, deviances and log-partitions; the library computes all of them in other,",
        "tail-stable forms, and its tests compare the two. The quasi-families share the factors of the family whose variance they name.",
        "",
    ]
    for family, (variance, source) in FAMILIES.items():
        out += [f"## {family}", "", f"$V(\\mu) = {_latex(variance)}$. Source: {source}.", ""]
        out += ["| link | $\\mu$ | $\\mu'/V(\\mu)$ | $\\mu'^2/V(\\mu)$ |", "|---|---|---|---|"]
        for link, (mean, _) in LINKS.items():
            factor, weight = terms(family, link)
            out.append(f"| {link} | ${_latex(mean)}$ | ${_latex(factor)}$ | ${_latex(weight)}$ |")
        out.append("")
    out += [
        "## multinomial",
        "",
        "With softmax, $\\mu_k = e^{\\eta_k}/\\sum_j e^{\\eta_j}$: the score of class $k$ is $w\\,(y_k-\\mu_k)\\,x$, and the information of classes $k$",
        "and $l$ is $w\\,\\mu_k(\\delta_{kl}-\\mu_l)\\,xx'$. Source: McCullagh & Nelder (1989), chapter 5; Böhning, Ann. Inst. Statist. Math. 44",
        "(1992), doi:10.1007/BF00048682.",
        "",
    ]
    return "\n".join(out)


if __name__ == "__main__":
    (Path(__file__).parent / "mathematics.md").write_text(page(), encoding="utf-8")
