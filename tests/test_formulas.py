"""Formulas against R's model.matrix, and the promises of learning and encoding: batches, order, files, unseen and missing labels."""

import csv
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etamu import errors
from etamu.design import functions
from etamu.design.columns import Column, Levels
from etamu.design.encode import DesignSpec, Scan, encode, learn, offset_of, weights_of
from etamu.design.frames import as_table
from etamu.design.missing import complete_rows
from etamu.design.moments import Moments
from etamu.design.sketch import EXACT, POINTS, Sketch
from etamu.design.terms import read_formula

HERE = Path(__file__).parent / "reference" / "formulas"
REFERENCE = json.loads((HERE / "formulas.json").read_text())
with (HERE / "data.csv").open() as file:
    ROWS = list(csv.DictReader(file))
DATA = {k: np.array([float(r[k]) if k in "xzky" else r[k] for r in ROWS]) for k in ROWS[0]}
TABLE = as_table(DATA)


def matrix(formula, data, new=None, **policy):
    table = as_table(data)
    design = encode(learn(read_formula(formula), table), table if new is None else as_table(new), **policy)
    return design.block(slice(0, design.rows))


def names(formula, data=None):
    table = as_table(DATA if data is None else data)
    return encode(learn(read_formula(formula), table), table).names


# ---- R decides ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda c: c["etamu"])
def test_model_matrix_of_r(case):
    mine, theirs = matrix(case["etamu"], DATA), np.array(case["matrix"])
    if case["etamu"] == "~ poly(z, 2):b":  # several numeric columns times a factor come numeric column by numeric column
        theirs = theirs[:, [0, 1, 3, 2, 4]]
    np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", REFERENCE["predict"], ids=lambda c: c["etamu"])
def test_new_values_get_the_training_basis(case):
    np.testing.assert_allclose(matrix(case["etamu"], DATA, {"x": case["new_x"]}), case["matrix"], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("formula", "same"),
    [
        ("~ a:b + b:d", ["a[p]:b[v]", "b[u]:d[d2]"]),  # b is inside a:b, so d has contrasts: R's rule is about parts of earlier terms
        ("~ a - (1 + b)", ["a[p]", "a[r]"]),
        ("~ a - (b - 1)", ["Intercept", "a[q]"]),
        ("~ b:a + a", ["Intercept", "a[q]", "a[r]", "b[v]:a[p]"]),
    ],
)
def test_corners_of_r_s_rules(formula, same):
    assert set(same) <= set(names(formula))
    assert not {"b[u]:d[d1]", "a[q]:d[d1]"} & set(names(formula))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("~ a*b", "~ a + b + a:b"),
        ("~ a/b", "~ a + a:b"),
        ("~ (a + b)^2 - b", "~ a + a:b"),
        ("~ a %in% b", "~ a:b"),
        ("~ factor(k)", "~ C(k)"),
        ("~ C(a, contr.sum)", '~ C(a, "sum")'),
        ("~ C(a, Sum)", "~ C(a, contrast=sum)"),
        ('~ C(a, Treatment("q"))', '~ C(a, base="q")'),
        ('~ C(a, contr.treatment(base="q"))', '~ C(a, treatment, base="q")'),
        ("~ cut(x, [-1, 0, 1])", "~ cut(x, breaks=c(-Inf, 1, 0, -1, Inf))"),
        ("~ bs(x, 5)", "~ bs(x, df=5, degree=3)"),
        ("~ bs(z, df=4, Boundary.knots=c(0, 10))", "~ bs(z, df=4, bounds=[0, 10])"),
        ("~ x:x", "~ x"),
        ("~ (x + z)^9", "~ (x + z)^2"),
        ("~ a*poly(x, 2) - a", "~ poly(x, 2) + a:poly(x, 2)"),
        ("~ `x` + `a`", "~ x + a"),
        ("~ +x", "~ x"),
        ("~ x + x - z", "~ x"),
        ("~ log1p(I(x^2)) + 1", "~ 1 + log1p(x^2)"),
    ],
)
def test_two_spellings_of_one_model(one, other):
    np.testing.assert_array_equal(matrix(one, DATA), matrix(other, DATA))


def test_column_names():
    assert names("~ x*a + log(z)") == ["Intercept", "x", "a[q]", "a[r]", "log(z)", "x:a[q]", "x:a[r]"]
    assert names("~ 0 + C(k)") == ["k[1]", "k[2]", "k[3]", "k[4]", "k[5]"]
    assert names("~ C(a, sum) + C(d, helmert)")[1:4] == ["a[sum p]", "a[sum q]", "d[helmert d2]"]
    assert names("~ C(d, poly)") == ["Intercept", "d[poly 1]", "d[poly 2]", "d[poly 3]"]
    assert names("~ cut(x, [-1, 0, 1])")[1:] == ["cut(x, [-1, 0, 1])[(-1,0]]", "cut(x, [-1, 0, 1])[(0,1]]", "cut(x, [-1, 0, 1])[(1,inf]]"]
    assert names("~ poly(x, 2):z") == ["Intercept", "poly(x, 2)[1]:z", "poly(x, 2)[2]:z"]
    assert names("~ I(x + z + 1) + I((x - z)^2) + I(x - (z - 1))")[1:] == ["I(x + z + 1)", "I((x - z)^2)", "I(x - (z - 1))"]


def test_no_two_columns_share_a_name():
    for formula in ("~ a + C(a)", "~ a + C(a, sum) - 1", '~ C(a) + C(a, base="q") + C(a, levels=["r", "q", "p"])'):
        found = names(formula)
        assert len(set(found)) == len(found)
    odd = {"g": np.array([1, "1", 1.5, "x"], dtype=object), "Intercept": [1.0, 2, 3, 4]}
    found = names("~ g + Intercept", odd)
    assert len(set(found)) == len(found) == 5


# ---- the parts that a design is made of -----------------------------------------------------------------------------


def test_parts_are_columns_in_place_and_codes():
    data = {"x": np.arange(6.0), "n": np.arange(6), "g": np.array(list("abcabc")), "h": np.array(list("uvuvuu"))}
    table = as_table(data)
    design = encode(learn(read_formula("~ x + n + g + g:h + g:x + C(h, sum)"), table), table)
    constant, x, n, g, contrast, gh, gx = design.parts
    assert isinstance(constant, Column)
    assert constant.values is None
    assert x.values is data["x"]
    assert n.values is data["n"]
    assert isinstance(g, Levels)
    assert g.slots.tolist() == [-1, 0, 1]
    assert isinstance(contrast, Column)
    assert contrast.table is not None
    assert isinstance(gh, Levels)
    assert gh.codes.dtype == np.uint8
    assert isinstance(gx, Levels)
    assert gx.times is data["x"]


@pytest.mark.parametrize("count", [2, 3, 17, 300])
def test_indicators_of_all_levels_sum_to_one(count):
    rng = np.random.default_rng(count)
    data = {"g": rng.integers(0, count, 500), "h": rng.integers(0, 3, 500), "x": rng.normal(size=500)}
    for formula in ("~ 0 + C(g)", "~ 0 + C(g):C(h)", "~ 0 + bin(x, 7)", "~ 0 + C(g):cut(x, [0])", "~ 0 + bs(x, df=6, intercept=True)"):
        np.testing.assert_allclose(matrix(formula, data).sum(axis=1), 1.0, rtol=1e-12)


def test_rows_encode_one_by_one():
    order = np.random.default_rng(0).permutation(len(DATA["x"]))
    spec = learn(read_formula("~ a*b + ns(x, df=3):d + C(a, sum):x + bin(z, 3) + cr(z, df=3) + scale(x)"), TABLE)
    table = as_table({k: v[order] for k, v in DATA.items()})
    np.testing.assert_array_equal(encode(spec, table).block(slice(0, 36)), encode(spec, TABLE).block(order))


@pytest.mark.parametrize("counts", [(256, 1), (1, 256), (16, 16), (200, 3), (127, 2)])
def test_codes_of_products_fit_their_type(counts):
    rows = np.arange(800)
    data = {"g": rows % counts[0], "h": (rows * 7) % counts[1]}
    one = matrix("~ 0 + C(g):C(h)", data)
    np.testing.assert_array_equal(one.argmax(axis=1), data["g"] + counts[0] * data["h"])
    np.testing.assert_array_equal(one.sum(axis=1), 1)


def test_bins_hold_equal_shares():
    x = np.random.default_rng(1).normal(size=1000)
    counts = matrix("~ 0 + bin(x, 8)", {"x": x}).sum(axis=0)
    np.testing.assert_array_equal(counts, np.full(8, 125))
    tied = matrix("~ 0 + bin(x, 4)", {"x": np.r_[np.zeros(90), np.arange(1, 11)]})
    assert (tied.sum(axis=0) > 0).all()


def test_intervals_are_closed_on_the_right():
    m = matrix("~ 0 + cut(x, [0, 1])", {"x": [-1, 0, 0.5, 1, 2, np.inf, -np.inf]})
    np.testing.assert_array_equal(m.argmax(axis=1), [0, 0, 1, 1, 2, 2, 0])


def test_natural_cubic_regression_spline():
    from scipy.interpolate import CubicSpline

    x = np.sort(np.random.default_rng(2).gamma(2, 1, 150))
    m = matrix("~ cr(x, df=4)", {"x": x})
    np.testing.assert_allclose(m[:, 1:].mean(axis=0), 0, atol=1e-14)
    knots = np.quantile(x, np.linspace(0, 1, 5))
    target = CubicSpline(knots, [1.0, -2, 0, 3, 1], bc_type="natural")(x)
    assert np.abs(m @ np.linalg.lstsq(m, target, rcond=None)[0] - target).max() < 1e-12
    beyond = matrix("~ cr(x, df=4)", {"x": x}, {"x": x[-1] + np.array([0.0, 1, 2, 3])})
    np.testing.assert_allclose(np.diff(beyond, n=2, axis=0), 0, atol=1e-12)


def test_splines_beyond_their_bounds():
    x = DATA["x"]
    far = {"x": x.max() + np.arange(8.0)}
    np.testing.assert_allclose(np.diff(matrix("~ ns(x, df=4)", DATA, far), n=2, axis=0), 0, atol=1e-11)
    cubic = matrix("~ bs(x, df=5)", DATA, far)
    np.testing.assert_allclose(np.diff(cubic, n=4, axis=0), 0, atol=1e-9 * np.abs(cubic).max())


def test_standardised_columns_inside_arithmetic():
    z = (DATA["x"] - DATA["x"].mean()) / DATA["x"].std(ddof=1)
    np.testing.assert_allclose(matrix("~ I(scale(x)^2) + exp(-center(log(z)))", DATA)[:, 1], z**2, atol=1e-14)
    with pytest.raises(errors.FormulaError, match="learns from the data"):
        read_formula("~ poly(scale(x), 2)")
    with pytest.raises(errors.DataError, match="constant"):
        matrix("~ scale(x)", {"x": [2.0, 2.0, 2.0]})


@pytest.mark.parametrize("degree", [1, 4, 9])
@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_polynomials_are_orthonormal_wherever_x_lies(degree, shift):
    x = np.random.default_rng(degree).lognormal(sigma=1.5, size=400) + shift
    m = matrix(f"~ poly(x, {degree})", {"x": x})
    np.testing.assert_allclose(m[:, 1:].T @ m, np.eye(degree + 1)[1:], atol=1e-9)


# ---- learning: batches, merging, files ------------------------------------------------------------------------------

EVERYTHING = (
    "y ~ a*b + poly(x, 3) + bs(z, df=5) + ns(x, knots=[-0.5, 1]) + cr(z, df=4):a + bin(x, 4) + cut(z, [2, 5])"
    " + C(k, sum):scale(x) + center(z) + I(center(x)^2) + log(z) + offset(x) + weights(z)"
)


def scanned(formula, pieces):
    scan = Scan(read_formula(formula))
    for piece in pieces:
        scan.add(as_table({k: v[piece] for k, v in DATA.items()}))
    return scan


@given(st.lists(st.integers(0, 36), max_size=6), st.booleans())
@settings(max_examples=30, deadline=None, derandomize=True)
def test_batches_learn_what_the_whole_does(cuts, tree):
    edges = [0, *sorted(cuts), 36]
    pieces = [slice(a, b) for a, b in pairwise(edges)]
    if tree:
        scan = scanned(EVERYTHING, pieces[:1])
        for piece in pieces[1:]:
            scan.merge(scanned(EVERYTHING, [piece]))
    else:
        scan = scanned(EVERYTHING, pieces)
    one, many = learn(read_formula(EVERYTHING), TABLE), scan.finish()
    assert one.factors == many.factors
    np.testing.assert_allclose(encode(many, TABLE).block(slice(0, 36)), encode(one, TABLE).block(slice(0, 36)), rtol=0, atol=1e-10)
    assert [state["knots"] for _, state in one.learnt if "knots" in state] == [state["knots"] for _, state in many.learnt if "knots" in state]


@pytest.mark.parametrize("formula", [c["etamu"] for c in REFERENCE["cases"]] + [EVERYTHING])
def test_a_spec_survives_json(formula):
    spec = learn(read_formula(formula), TABLE)
    read = DesignSpec.from_dict(json.loads(json.dumps(spec.to_dict(), allow_nan=False)))
    assert read == spec
    one, other = encode(spec, TABLE), encode(read, TABLE)
    assert one.names == other.names
    np.testing.assert_array_equal(one.block(slice(0, 36)), other.block(slice(0, 36)))


def paths(value, at=()):
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*at, key))


@pytest.mark.parametrize("junk", [None, "text", -1, [], {}, [None], 1.5])
def test_a_damaged_spec_is_refused_or_still_encodes(junk):
    whole = learn(read_formula("~ C(a, base='q')*poly(x, 2) + bs(z, df=4) + scale(x) + cut(x, [0])"), TABLE).to_dict()
    for path in paths(whole):
        copy = json.loads(json.dumps({"top": whole}))
        inner = copy
        for key in ("top", *path)[:-1]:
            inner = inner[key]
        inner[("top", *path)[-1]] = junk
        try:
            spec = DesignSpec.from_dict(copy["top"])
            encode(spec, TABLE)
        except (KeyError, TypeError, ValueError):
            pass


def test_levels_of_categories_keep_their_order():
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    order = ["low", "mid", "high"]
    parts = [["low", "high"], ["mid", "low"]]
    for series in (lambda v: pd.Series(pd.Categorical(v, categories=order)), lambda v: pl.Series(v, dtype=pl.Enum(order))):
        scan = Scan(read_formula("~ g"))
        for part in parts:
            scan.add(as_table({"g": series(part)}))
        assert scan.finish().factors[0][1].levels == tuple(order)
    pa = pytest.importorskip("pyarrow")
    for ordered, levels in [(True, tuple(order)), (False, ("high", "low", "mid"))]:
        kind = pa.dictionary(pa.int8(), pa.string(), ordered)
        scan = Scan(read_formula("~ g"))
        for part in parts:
            codes = pa.array([order.index(p) for p in part], pa.int8())
            scan.add(as_table({"g": pa.chunked_array([pa.DictionaryArray.from_arrays(codes, order, ordered=ordered)], type=kind)}))
        assert scan.finish().factors[0][1].levels == levels
    plain = Scan(read_formula("~ g"))
    for part in parts:
        plain.add(as_table({"g": part}))
    assert plain.finish().factors[0][1].levels == ("high", "low", "mid")


def test_the_sketch_is_exact_and_then_close():
    rng = np.random.default_rng(3)
    x = rng.normal(size=EXACT // 2).round(3)
    whole, shares = Sketch.of(x), np.linspace(0, 1, 101)
    parts = Sketch()
    for part in np.array_split(x, 7):
        parts = parts.merge(Sketch.of(part))
    np.testing.assert_array_equal(parts.values, whole.values)
    np.testing.assert_array_equal(parts.counts, whole.counts)
    np.testing.assert_allclose(whole.quantiles(shares), np.quantile(x, shares), atol=1e-14)
    many = rng.normal(size=10 * EXACT)
    sketch = Sketch()
    for part in np.array_split(many, 20):
        sketch = sketch.merge(Sketch.of(part))
    assert len(sketch.values) <= EXACT
    assert sketch.counts.sum() == len(many)
    ranks = np.searchsorted(np.sort(many), sketch.quantiles(shares)) / len(many)
    assert np.abs(ranks - shares).max() < 12 / POINTS
    assert len(Sketch.of(many).values) <= POINTS


@given(st.lists(st.floats(-1e6, 1e6).map(lambda v: round(v, 9)), min_size=2, max_size=40), st.integers(1, 39))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_moments_merge(values, cut):
    x = np.array(values)
    merged = Moments.of(x[:cut], 2).merge(Moments.of(x[cut:], 2))
    assert merged.n == len(x)
    size = max(np.abs(x).max(), 1e-300)
    np.testing.assert_allclose(merged.mean, x.mean(), rtol=0, atol=1e-13 * size)
    np.testing.assert_allclose(merged.deviation, x.std(ddof=1), rtol=0, atol=1e-10 * size)


def test_moments_of_sorted_batches_keep_their_digits():
    x = np.sort(np.random.default_rng(4).lognormal(sigma=2, size=5000))
    merged = Moments.of(x[:50], 4)
    for part in np.array_split(x[50:], 30):
        merged = merged.merge(Moments.of(part, 4))
    np.testing.assert_allclose(merged.orthonormal(), Moments.of(x, 4).orthonormal(), rtol=1e-9)


def test_merging_what_does_not_belong_together_is_refused():
    with pytest.raises(errors.SpecificationError, match="another formula"):
        scanned("~ a", [slice(0, 9)]).merge(scanned("~ b", [slice(0, 9)]))
    with pytest.raises(errors.NotEnoughDataError):
        Scan(read_formula("~ a")).finish()
    with pytest.raises(errors.UnknownNameError, match="missing"):
        scanned("~ a", [slice(0, 9)]).finish("ignore")


# ---- '.' ------------------------------------------------------------------------------------------------------------


def test_dot_is_every_other_column():
    data = {"y": [1.0, 2, 3], "x": [1.0, 2, 4], "n": [5.0, 6, 9], "g": ["u", "v", "v"], "odd name": [0.0, 1, 3]}
    table = as_table(data)
    for formula, text in [
        ("y ~ .", "y ~ x + n + g + `odd name`"),
        ("log(y) ~ . - g", "log(y) ~ x + n + g + `odd name` - g"),
        ("y ~ . + offset(log(n))", "y ~ x + g + `odd name` + offset(log(n))"),
        ("y ~ . + weights(n) + poly(x, 2)", "y ~ g + `odd name` + weights(n) + poly(x, 2)"),
        ("y ~ (.)^2 - 1", "y ~ (x + n + g + `odd name`)^2 - 1"),
        ("y ~ . + x:n", "y ~ x + n + g + `odd name` + x:n"),
        ("y ~ 0.5", None),
    ]:
        if text is None:
            with pytest.raises(errors.FormulaError):
                read_formula(formula)
            continue
        spec = learn(read_formula(formula), table)
        assert spec.formula.text == text
        assert spec.formula == read_formula(text)
        assert encode(spec, as_table({**data, "new": [1, 2, 3]})).names == encode(spec, table).names
    with pytest.raises(errors.FormulaError, match="none"):
        learn(read_formula("y ~ ."), as_table({"y": [1.0, 2]}))


def test_dot_sees_missing_values_everywhere():
    table = as_table({"y": [1.0, np.nan, 3], "x": [1.0, 2, np.nan], "g": ["u", "v", "v"]})
    assert complete_rows(table, read_formula("y ~ ."), [], {}).tolist() == [True, False, False]


# ---- weights, offsets, missing values, unseen levels -----------------------------------------------------------------


def test_weights_and_offsets_are_set_aside():
    spec = learn(read_formula("y ~ x + weights(k) + offset(z) + weights(z) + offset(log(k))"), TABLE)
    assert encode(spec, TABLE).names == ["Intercept", "x"]
    np.testing.assert_allclose(weights_of(spec, TABLE), DATA["k"] * DATA["z"])
    np.testing.assert_allclose(offset_of(spec, TABLE), DATA["z"] + np.log(DATA["k"]))
    assert weights_of(learn(read_formula("y ~ x"), TABLE), TABLE) is None


def test_every_variable_counts_as_used():
    columns = {n: np.ones(9) for n in "abcdefghy"}
    for row, name in enumerate("abcdefghy"):
        columns[name][row] = np.nan
    columns["sum"] = np.full(9, np.nan)  # a contrast's name is no column
    formula = read_formula("y ~ C(a, sum)*log(b) + bs(c, df=4) + cut(d + e, [1]) + I(scale(f)^2) + offset(g) + weights(h)")
    assert not complete_rows(as_table(columns), formula, [], {}).any()


def holes():
    return {"x": [1.0, 2, 3, 4, 5], "g": np.array(["b", None, "a", None, "b"], dtype=object)}


def test_missing_labels():
    with pytest.raises(errors.MissingValueError, match="`g` has 2 missing values, the first in row 1"):
        matrix("~ g", holes())
    table = as_table(holes())
    spec = learn(read_formula("~ g*x"), table, missing="level")
    design = encode(spec, table)
    assert design.names == ["Intercept", "g[b]", "g[missing]", "x", "g[b]:x", "g[missing]:x"]
    np.testing.assert_array_equal(design.block(slice(0, 5))[:, 2], [0, 1, 0, 1, 0])
    assert DesignSpec.from_dict(spec.to_dict()) == spec
    dropped = learn(read_formula("~ g"), table, missing="drop")
    with pytest.raises(errors.MissingValueError):
        encode(dropped, table)
    late = scanned("~ a", [slice(0, 36)]).add(as_table({"a": np.array(["p", None], dtype=object)}))
    with pytest.raises(errors.MissingValueError, match="row 37"):
        late.finish()


def test_missing_numbers_have_a_class_of_their_own_only_where_asked():
    data = {"x": [1.0, np.nan, 3, 4]}
    with pytest.raises(errors.MissingValueError, match="row 1"):
        matrix("~ cut(x, [2])", data)
    table = as_table(data)
    spec = learn(read_formula("~ cut(x, [2]) + bin(x, 2)"), table, missing="level")
    np.testing.assert_array_equal(encode(spec, table).block(slice(0, 4))[:, 2], [0, 1, 0, 0])
    assert np.isnan(matrix("~ x + x:x", data)[1, 1])  # told later, by name and row
    with pytest.raises(errors.DataError, match=r"`log\(x\)` is nan in row 1"):
        matrix("~ log(x)", data)
    with pytest.raises(errors.DataError, match="row 1"):
        matrix("~ bs(x, df=3)", data)


def test_unseen_levels():
    train, new = {"g": ["a", "b", "c"]}, {"g": ["c", "d", "a"]}
    with pytest.raises(errors.UnseenLevelError, match="'d' in row 1"):
        matrix("~ g", train, new)
    np.testing.assert_array_equal(matrix("~ 0 + g", train, new, unseen="base")[1], [1, 0, 0])
    np.testing.assert_array_equal(matrix('~ C(g, base="b")', train, new, unseen="base")[1], [1, 0, 0])
    with pytest.raises(errors.UnseenLevelError, match="no level for missing"):
        matrix("~ g", train, new, unseen="missing")
    with pytest.raises(errors.UnknownNameError, match="unseen"):
        matrix("~ g", train, new, unseen="zero")
    spec = learn(read_formula("~ 0 + g"), as_table(holes()), missing="level")
    np.testing.assert_array_equal(encode(spec, as_table(new | {"g": ["a", "z", None]}), unseen="missing").block(slice(0, 3))[:, 2], [0, 1, 1])


def test_levels_and_bases_that_are_written():
    data = {"k": np.array([3, 1, 2, 3]), "t": np.array([True, False, True, True])}
    assert names("~ C(k, levels=[3, 2, 1, 7])", data)[1:] == ["k[2]", "k[1]", "k[7]"]
    assert names("~ C(k, base=2)", data)[1:] == ["k[1]", "k[3]"]
    assert names("~ t", data)[1:] == ["t[True]"]
    assert names("~ C(t, base=True)", data)[1:] == ["t[False]"]
    with pytest.raises(errors.DataError, match="leaves out 3"):
        names("~ C(k, levels=[1, 2])", data)
    with pytest.raises(errors.UnknownNameError, match="base"):
        names("~ C(k, base=9)", data)


def test_every_kind_of_table_encodes_alike():
    pd, pl, pa = pytest.importorskip("pandas"), pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    plain = matrix(EVERYTHING, DATA)
    kinds = [pd.DataFrame(DATA), pd.DataFrame(DATA).convert_dtypes(), pl.DataFrame(DATA), pa.table({k: v.tolist() for k, v in DATA.items()})]
    for frame in kinds:
        np.testing.assert_array_equal(matrix(EVERYTHING, frame), plain)


# ---- functions of one's own -----------------------------------------------------------------------------------------


@pytest.fixture
def hinge():
    functions.register("hinge", lambda x, knot: np.maximum(x - knot, 0))
    yield
    functions.forget("hinge")


@pytest.mark.usefixtures("hinge")
def test_a_registered_function():
    np.testing.assert_allclose(matrix("~ hinge(x, 1.5) + I(2*hinge(log(z), 1)) + a:hinge(x, 0)", DATA)[:, 1], np.maximum(DATA["x"] - 1.5, 0))
    spec = learn(read_formula("~ hinge(x, 1)"), TABLE)
    functions.forget("hinge")
    with pytest.raises(errors.ModelFileError, match=r"hinge.*registered"):
        DesignSpec.from_dict(spec.to_dict())
    with pytest.raises(errors.UnknownNameError, match="hinge"):
        encode(spec, TABLE)


def test_registering_is_checked():
    for name, function in [("log", np.log), ("C", np.log), ("not a name", np.log), ("f", 3), (3, np.log), ("a.b", np.log)]:
        with pytest.raises(errors.SpecificationError):
            functions.register(name, function)
    functions.register("broken", lambda x: x[:2])
    try:
        with pytest.raises(errors.DataError, match="your function 'broken'"):
            matrix("~ broken(x)", DATA)
    finally:
        functions.forget("broken")


def test_no_rows_encode_to_no_rows():
    spec = learn(read_formula(EVERYTHING), TABLE)
    none = as_table({k: v[:0] for k, v in DATA.items()})
    assert encode(spec, none).block(slice(0, 0)).shape == (0, encode(spec, TABLE).width)
    with pytest.raises(errors.NotEnoughDataError):
        learn(spec.formula, none)
    assert Scan(read_formula("~ g")).add(as_table({"g": []})).add(as_table({"g": ["b", "a"]})).finish().factors[0][1].levels == ("a", "b")


def test_files_carry_the_whole_language(tmp_path):
    em = pytest.importorskip("etamu")
    data = {**DATA, "t": np.where(DATA["x"] > 0, np.inf, -1.0)}
    fit = em.glm("y ~ C(a, sum)*poly(x, 2) + bin(z, 3) + C(t) + scale(z)", data)
    fit.save(tmp_path / "m.json")
    np.testing.assert_array_equal(em.load(tmp_path / "m.json").predict(data), fit.predict(data))
