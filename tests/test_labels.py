"""Labels are coded the same way whatever holds them: codes and levels equal a slow definition in plain Python."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import etamu as em
from etamu import errors
from etamu.design.frames import as_table
from etamu.design.labels import level_name

pd, pl, pa = pytest.importorskip("pandas"), pytest.importorskip("polars"), pytest.importorskip("pyarrow")


def encode(column, levels=None):
    return as_table({"g": column}).labels("g", levels)


def absent(value):
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def slow(values, own=None, levels=None):
    """The definition: distinct values that occur, sorted or in the column's own order; -1 missing, -2 not among given levels."""
    found = []
    for value in values:
        if not absent(value) and value not in found:
            found.append(value)
    if levels is None:
        if own is not None:
            levels = [v for v in own if v in found]
        else:
            try:
                levels = sorted(found)
            except TypeError:
                levels = sorted(found, key=lambda v: (type(v).__name__, str(v)))
    levels = list(levels)
    return [-1 if absent(v) else levels.index(v) if v in levels else -2 for v in values], tuple(levels)


def check(column, values, own=None, levels=None):
    found = encode(column, levels)
    codes, expected = slow(values, own, levels)
    assert found.levels == expected
    assert found.codes.tolist() == codes
    assert found.codes.dtype.kind == "i"
    assert [type(v) for v in found.levels] == [type(v) for v in expected]


TEXT = ["b", "a", "", "b", "nan", "Z", "ä", "a"]
GAPS = ["b", None, "a", "b", None]


# ---- NumPy and lists ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [TEXT, ["x"] * 4, [str(k) for k in range(300)] * 2], ids=["text", "one", "many"])
def test_numpy_text(values):
    for column in (np.array(values), np.array(values, dtype=object), values, np.array(values * 2)[::-1][: len(values)][::-1]):
        check(column, values)
    plain = [v.encode() for v in values if v.isascii()]
    check(np.array(plain, dtype="S"), plain)


@pytest.mark.parametrize("kind", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i4", ">u8"])
def test_numpy_integers(kind):
    info = np.iinfo(kind)
    values = [7, 3, 7, 0, 3, 100]
    check(np.array(values, dtype=kind), values)
    ends = [int(info.max), int(info.min), int(info.max), 5]
    check(np.array(ends, dtype=kind), ends)
    near = [int(info.max), int(info.max) - 3, int(info.max)]
    check(np.array(near, dtype=kind), near)
    low = [int(info.min) + 1, int(info.min), int(info.min)]
    check(np.array(low, dtype=kind), low)
    check(np.repeat(np.array(values, dtype=kind), 3)[::3], values)
    check(np.zeros(0, dtype=kind), [])


def test_integers_far_apart_are_sorted_not_counted():
    for values in ([0, 1 << 20, 5, 0], [0, (1 << 20) - 1, 5, 0], [0, (1 << 20) + 1, 5], [-(1 << 40), 1 << 40, 3], [-(1 << 63), (1 << 63) - 1]):
        check(np.array(values), values)


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_numpy_floats(kind):
    nan, inf = math.nan, math.inf
    for values in ([2.0, 1.0, 2.0], [0.5, nan, -1.25, 0.5], [nan, nan], [inf, 1.0, -inf], [1.0, nan, 3.0], [], [-0.0, 0.0, 1.0]):
        check(np.array(values, dtype=kind), values)
    if kind == "f8":
        for values in ([1e10, 2.0, 1e10], [2.0**31, 1.0], [2.0**31 - 1, 1.0], [1e300, -1e300, 1e-300]):
            check(np.array(values, dtype=kind), values)


def test_numpy_booleans():
    for values in ([True, False, True], [True, True], [False], []):
        check(np.array(values, dtype=bool), values)
        check(np.array(values, dtype=object), values)


def test_objects_with_missing_values():
    for values in (
        GAPS,
        ["a", math.nan, "b"],
        [None, None],
        [1, None, 0],
        [True, None, False],
        ["b", 1, "a", 2.5, None],
        [pd.NA, "x"],
        [1.5, np.float64("nan"), 2],
    ):
        column = np.empty(len(values), dtype=object)
        column[:] = values
        check(column, values)


@given(st.lists(st.sampled_from(["a", "b", "", "é", "aa", "10", "9", None]), max_size=30))
def test_text_is_coded_alike_by_every_library(values):
    column = np.empty(len(values), dtype=object)
    column[:] = values
    for held in (
        column,
        pd.Series(values, dtype=object),
        pd.Series(values, dtype="str"),
        pd.Series(values, dtype="string"),
        pl.Series(values, dtype=pl.String),
        pl.Series(values, dtype=pl.Categorical),
        pa.chunked_array([pa.array(values, pa.string())]),
        pa.chunked_array([pa.array(values[:7], pa.string()), pa.array(values[7:], pa.string())]).dictionary_encode(),
    ):
        check(held, values)


@given(st.lists(st.sampled_from([0, 1, 2, -5, 300, 1 << 21, None]), max_size=30))
def test_whole_numbers_are_coded_alike_by_every_library(values):
    column = np.empty(len(values), dtype=object)
    column[:] = values
    held = [column, pd.Series(values, dtype="Int64"), pl.Series(values, dtype=pl.Int64), pa.chunked_array([pa.array(values, pa.int64())])]
    if None not in values:
        held += [np.array(values, dtype="i8"), pd.Series(values, dtype="int32"), pl.Series(values, dtype=pl.Int32)]
    for series in held:
        check(series, values)


# ---- frames -------------------------------------------------------------------------------------------------------


def test_pandas_columns():
    check(pd.Series(GAPS, dtype=object), GAPS)
    check(pd.Series(["b", math.nan, "a"], dtype=object), ["b", None, "a"])
    for kind in ("str", "string", "string[python]"):
        check(pd.Series(GAPS, dtype=kind), GAPS)
    for values in ([3, None, 1], [3, 1, 3]):
        for kind in ("Int64", "Int8", "UInt32"):
            check(pd.Series(values, dtype=kind), values)
    for values in ([True, None, False], [True, True], [False, True]):
        check(pd.Series(values, dtype="boolean"), values)
    check(pd.Series([1.5, None, -2.0], dtype="Float64"), [1.5, None, -2.0])
    check(pd.Series([1.5, math.nan, -2.0]), [1.5, None, -2.0])
    check(pd.Series([2, 1, 2], index=[7, 7, 9]), [2, 1, 2])
    check(pd.Series([], dtype=object), [])
    check(pd.Series([None, None], dtype="string"), [None, None])
    check(pd.Series(["a", 1, None, 2.5], dtype=object), ["a", 1, None, 2.5])


@pytest.mark.parametrize("ordered", [False, True])
def test_pandas_categories_keep_their_own_order_without_unused_ones(ordered):
    own = ["low", "unused", "high", "mid"]
    values = ["high", "low", None, "mid", "low"]
    check(pd.Series(pd.Categorical(values, own, ordered=ordered)), values, own)
    check(pd.Series(pd.Categorical([None, None], own, ordered=ordered)), [None, None], own)
    check(pd.Series(pd.Categorical([30, 10, None], [30, 20, 10], ordered=ordered)), [30, 10, None], [30, 20, 10])
    check(pd.Series(pd.Categorical([2.5, 1.5], [2.5, 1.5], ordered=ordered)), [2.5, 1.5], [2.5, 1.5])
    check(pd.Series(pd.Categorical([True, False], [True, False], ordered=ordered)), [True, False], [True, False])
    many = [f"c{k}" for k in range(400)][::-1]
    check(pd.Series(pd.Categorical(many[5:300], many, ordered=ordered)), many[5:300], many)


def test_polars_columns():
    check(pl.Series(GAPS), GAPS)
    check(pl.Series(GAPS, dtype=pl.Categorical), GAPS)
    own = ["z", "b", "unused", "a"]
    check(pl.Series(GAPS, dtype=pl.Enum(own)), GAPS, own)
    check(pl.Series([None, None], dtype=pl.Enum(own)), [None, None], own)
    for kind in (pl.Int8, pl.Int64, pl.UInt16):
        check(pl.Series([3, None, 1], dtype=kind), [3, None, 1])
        check(pl.Series([3, 3, 1], dtype=kind), [3, 3, 1])
    check(pl.Series([True, None, False]), [True, None, False])
    check(pl.Series([True, True]), [True, True])
    check(pl.Series([1.5, math.nan, None, 2.0]), [1.5, None, None, 2.0])
    check(pl.Series([1.5, math.nan, 2.0]), [1.5, None, 2.0])
    for kind in (pl.String, pl.Categorical, pl.Int64, pl.Boolean, pl.Float64):
        check(pl.Series([], dtype=kind), [])
        check(pl.Series([None, None], dtype=kind), [None, None])
    joined = pl.concat([pl.Series(["b", "a"], dtype=pl.Categorical), pl.Series(["c", "a"], dtype=pl.Categorical)])
    check(joined, ["b", "a", "c", "a"])
    check(joined[1:3], ["a", "c"])


def test_arrow_columns():
    for kind in (pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.int32(), pa.large_string())):
        check(pa.chunked_array([pa.array(GAPS, kind)]), GAPS)
        check(pa.chunked_array([pa.array(GAPS, kind), pa.array(["z", None], kind), pa.array([], kind)]), [*GAPS, "z", None])
        check(pa.chunked_array([pa.array(["q", *GAPS], kind)]).slice(1, 4), GAPS[:4])
        check(pa.chunked_array([], kind), [])
        check(pa.chunked_array([pa.array([None, None], kind)]), [None, None])
    for kind in (pa.int64(), pa.uint8(), pa.int16()):
        check(pa.chunked_array([pa.array([3, None, 1], kind)]), [3, None, 1])
        check(pa.chunked_array([pa.array([3, 1], kind), pa.array([2], kind)]), [3, 1, 2])
    check(pa.chunked_array([pa.array([True, None, False])]), [True, None, False])
    check(pa.chunked_array([pa.array([1.5, None, math.nan])]), [1.5, None, None])
    check(pa.chunked_array([pa.nulls(3)]), [None] * 3)


def test_arrow_dictionaries_that_differ_from_chunk_to_chunk():
    def chunk(indices, dictionary, ordered=False):
        return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int8()), pa.array(dictionary), ordered=ordered)

    column = pa.chunked_array([chunk([0, 1, None], ["b", "a"]), chunk([0, 0, 2], ["c", "x", "a"]), chunk([1], ["b", "d"])])
    check(column, ["b", "a", None, "c", "c", "a", "d"])  # the order of a dictionary is an accident
    own = ["mid", "low", "high"]
    check(pa.chunked_array([chunk([2, 0, None], own, True)]), ["high", "mid", None], own)
    check(pa.chunked_array([chunk([2, 0], own, True), chunk([1, 1], own, True)]), ["high", "mid", "low", "low"], own)
    check(pa.chunked_array([chunk([0, 1, 0], [30, 10])]), [30, 10, 30])


# ---- given levels -------------------------------------------------------------------------------------------------


def test_given_levels_name_missing_and_unknown_values():
    levels = ("c", "a")
    values = ["a", "b", None, "c", "zz"]
    column = np.array(values, dtype=object)
    for held in (
        column, pd.Series(values), pd.Series(pd.Categorical(values)), pl.Series(values), pl.Series(values, dtype=pl.Categorical),
        pa.chunked_array([pa.array(values)]), pa.chunked_array([pa.array(values[:2]), pa.array(values[2:])]).dictionary_encode(),
    ):  # fmt: skip
        check(held, values, levels=levels)
        assert encode(held, levels).codes.tolist() == [1, -2, -1, 0, -2]
    check(np.array([1, 5, 3]), [1, 5, 3], levels=(3, 1))
    check(np.array([1.0, 5.0, math.nan]), [1.0, 5.0, None], levels=(3, 1))
    check(np.array([True, False]), [True, False], levels=(True,))
    check(np.array([], dtype=object), [], levels=levels)
    many = tuple(range(40_000))
    check(np.array([39_999, 0, 40_000]), [39_999, 0, 40_000], levels=many)


@pytest.mark.parametrize("count", [126, 127, 128, 129, 32_767, 32_768])
def test_codes_are_wide_enough(count):
    values = np.arange(count)[::-1]
    found = encode(values)
    np.testing.assert_array_equal(found.codes, values)
    assert found.codes.min() == 0
    assert encode(np.array([count - 1, count]), tuple(range(count))).codes.tolist() == [count - 1, -2]


def test_containers_are_refused():
    lists = np.empty(2, dtype=object)
    lists[:] = [[1], [2, 3]]
    for column in (
        lists, pd.Series([[1], [2]]), pd.Series([{"a": 1}, {"b": 2}]), pl.Series([[1], [2]]), pl.Series([{"a": 1}, {"a": 2}]),
        pa.chunked_array([pa.array([[1], [2]])]), pa.chunked_array([pa.array([{"a": 1}])]),
    ):  # fmt: skip
        with pytest.raises(errors.DataError, match="lists or other containers"):
            encode(column)
        with pytest.raises(errors.DataError, match="lists or other containers"):
            encode(column, ("a", "b"))


def test_how_levels_are_written():
    assert [level_name(v) for v in (1, 1.0, 2.5, "1", True, -0.0, 1e20)] == ["1", "1", "2.5", "1", "True", "0", "100000000000000000000"]


# ---- the same fit -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("formula", ["y ~ x + g + C(k)", "y ~ g * x + b", "y ~ 0 + g + x + x:C(k)", "y ~ bs(x, df=4) + g:C(k)"])
def test_the_same_bits_from_every_container(formula, tmp_path):
    import pyarrow.parquet as parquet

    rng = np.random.default_rng(0)
    n = 500
    plain = {
        "x": rng.normal(size=n), "g": np.array(["u", "vv", "w", "a"])[rng.integers(0, 4, n)], "k": rng.integers(5, 8, n), "b": rng.random(n) < 0.5,
        "y": rng.poisson(2.0, n),
    }  # fmt: skip
    arrow = pa.table({k: v.tolist() for k, v in plain.items()})
    parquet.write_table(arrow, tmp_path / "rows.parquet", row_group_size=128)
    cut = pa.concat_tables([arrow.slice(a, 150) for a in range(0, n, 150)])
    where = cut.schema.get_field_index("g")
    pieces = pa.chunked_array([chunk.dictionary_encode() for chunk in cut.column("g").chunks])
    frame = pd.DataFrame(plain)
    held = {
        "lists": {k: v.tolist() for k, v in plain.items()},
        "objects": plain | {"g": plain["g"].astype(object)},
        "pandas": frame,
        "pandas, nullable": frame.convert_dtypes(),
        "pandas, categories": frame.astype({"g": "category", "k": "category"}),
        "pandas, shuffled index": frame.set_index(rng.permutation(n)),
        "polars": pl.DataFrame(plain),
        "polars, categories": pl.DataFrame(plain).with_columns(pl.col("g").cast(pl.Categorical)),
        "arrow": arrow,
        "arrow, chunks": cut,
        "arrow, dictionaries": cut.set_column(where, "g", pieces),
        "parquet": str(tmp_path / "rows.parquet"),
    }
    base = em.glm(formula, plain, family="poisson")
    for name, data in held.items():
        fit = em.glm(formula, data, family="poisson")
        assert fit.names == base.names, name
        np.testing.assert_array_equal(fit.coef, base.coef, err_msg=name)
        np.testing.assert_array_equal(fit.stderror(), base.stderror(), err_msg=name)
        assert fit.deviance == base.deviance
        if name != "parquet":
            np.testing.assert_array_equal(base.predict(data), base.predict(plain), err_msg=name)


# ---- once wrong ----


def test_bug_null_inside_a_dictionary():
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0]), pa.array(["a", None]))
    from etamu.design.frames import as_table

    found = as_table(pa.table({"g": column})).labels("g")
    assert (found.codes.tolist(), found.levels) == ([0, -1, 0], ("a",))


def test_bug_repeated_value_inside_a_dictionary():
    from etamu.design.frames import as_table

    found = as_table(pa.table({"g": pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), pa.array(["a", "a", "b"]))})).labels("g")
    assert (found.codes.tolist(), found.levels) == ([0, 0, 1], ("a", "b"))


def test_bug_pandas_arrow_dictionary():
    from etamu.design.frames import as_table

    s = pd.Series(["b", "a", None], dtype=pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string())))
    assert as_table({"g": s}).labels("g").codes.tolist() == [1, 0, -1]


def test_bug_half_floats_as_labels():
    from etamu.design.frames import as_table

    assert as_table({"g": np.float16([2, 1, 2])}).labels("g").levels == (1.0, 2.0)


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("end", [0, 2**62, 2**63, 2**64 - 10])
def test_labels_are_counted_as_they_are_coded(built, end, monkeypatch):
    if not built:
        monkeypatch.setattr("etamu.elementary.core", None)
    column = np.array([end + k for k in (0, 4, 1, 1, 5, 0)], dtype=np.uint64) - np.uint64(3 if end else 0)
    table = as_table({"g": column})
    counts, absent, row = table.count("g")
    found = table.labels("g")
    assert (list(counts), absent, row) == (list(found.levels), 0, 0)
    assert list(counts.values()) == np.bincount(found.codes).tolist()
    mixed = as_table({"g": np.array(["b", None, "a", math.nan, "b"], dtype=object)})
    assert mixed.count("g") == ({"a": 1, "b": 2}, 2, 1)
