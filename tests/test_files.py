"""Files read part by part give the fit of the same rows in memory, and what is wrong with a file is said of that file."""

import gc
import os
import threading
import weakref
from itertools import pairwise

import numpy as np
import pytest

import etamu as em
from etamu import errors
from etamu.design import batches
from etamu.design.columns import Column
from etamu.solvers.base import Status
from etamu.sources import memory
from etamu.sources.cache import Cache
from etamu.sources.streamed import Streamed

pa = pytest.importorskip("pyarrow")
csv, parquet = pytest.importorskip("pyarrow.csv"), pytest.importorskip("pyarrow.parquet")
N = 1500


@pytest.fixture(autouse=True)
def small_parts(monkeypatch, tmp_path):
    """Parts of a few hundred rows, of which some are held, so that small files are streamed; and nothing is left behind."""
    monkeypatch.setattr("etamu.files._HELD", 400)
    monkeypatch.setattr(batches, "_ROWS", 330)
    monkeypatch.setattr(batches, "_BLOCK", 1 << 14)
    yield
    assert [t.name for t in threading.enumerate() if t.name == "etamu-ahead"] == []
    if os.path.isdir("/proc/self/fd"):
        gc.collect()
        links = [f"/proc/self/fd/{f}" for f in os.listdir("/proc/self/fd")]
        assert [t for t in (os.readlink(x) for x in links if os.path.islink(x)) if t.startswith(str(tmp_path))] == []


def rows(n=N, seed=0):
    rng = np.random.default_rng(seed)
    x, z, big = rng.normal(size=n), rng.integers(0, 6, n), rng.integers(0, 280, n)
    g, h = np.array(list("abcd"))[rng.integers(0, 4, n)], np.array(["p", "q", "r"])[rng.integers(0, 3, n)]
    e, w = rng.uniform(0.2, 2.0, n), rng.integers(0, 4, n).astype(float)
    eta = 0.4 * x + 0.3 * (g == "b") - 0.2 * z
    tried = rng.integers(1, 9, n)
    won = rng.binomial(tried, 1 / (1 + np.exp(-eta)))
    return {
        "x": x, "z": z, "g": g.tolist(), "h": h.tolist(), "e": e, "w": w, "f": rng.integers(0, 4, n), "big": big,
        "count": rng.poisson(np.exp(eta + 0.5) * e), "size": rng.gamma(3.0, np.exp(eta) / 3.0) + 1e-3, "real": eta + rng.normal(size=n),
        "answer": np.where(rng.random(n) < 1 / (1 + np.exp(-eta)), "yes", "no").tolist(), "class": np.array(["u", "v", "t"])[rng.integers(0, 3, n)].tolist(),
        "won": won, "lost": tried - won, "claims": rng.gamma(2.0, np.exp(eta)) * (rng.random(n) < 0.5),
    }  # fmt: skip


def with_gaps(table):
    """Nulls in numbers, labels, the response and the weights."""
    rng = np.random.default_rng(9)
    out = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        gone = rng.random(len(column)) < (0.04 if name in ("x", "g", "count", "w") else 0.0)
        out[name] = pa.array(column.to_pylist(), mask=gone)
    return pa.table(out)


def write(folder, table, files=1, group=400):
    """The rows in that many Parquet files of unequal length, with several row groups each."""
    folder.mkdir(exist_ok=True)
    edges = [0, *sorted(np.random.default_rng(1).choice(np.arange(1, table.num_rows), files - 1, replace=False).tolist()), table.num_rows]
    for k, (a, b) in enumerate(pairwise(edges)):
        parquet.write_table(table.slice(a, b - a), folder / f"part-{k}.parquet", row_group_size=group)
    return folder


def streamed(formula, path, **how):
    fit = em.glm(formula, path, **how)
    assert isinstance(fit.problem, Streamed)
    return fit


def assert_same_fit(a, b):
    assert a.names == b.names
    assert (a.status, a.aliased, a.response_levels, a.class_names) == (b.status, b.aliased, b.response_levels, b.class_names)
    np.testing.assert_allclose(a.coef, b.coef, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(a.stderror(), b.stderror(), rtol=1e-7)
    np.testing.assert_allclose(a.pearson, b.pearson, rtol=1e-7)  # of the last pass, before the last step
    assert (a.nobs, a.df_residual, a.rank) == (b.nobs, b.df_residual, b.rank)
    for name in ("deviance", "null_deviance", *(("loglik", "aic", "bic") if a.family.likelihood else ())):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-9, err_msg=name)


FITS = {
    "poisson with exposure": ("count ~ x + g + C(z)", {"family": "poisson", "exposure": "e"}),
    "poisson with offset expression": ("count ~ x + g", {"family": "poisson", "offset": "log(e)"}),
    "poisson with offset in the formula": ("count ~ x + g + offset(log(e))", {"family": "poisson"}),
    "gamma with weights": ("size ~ x + g + h", {"family": "gamma", "link": "log", "weights": "w"}),
    "weights that are an expression": ("size ~ x + g", {"family": "gamma", "link": "log", "weights": "w * e"}),
    "inverse gaussian": ("size ~ x + g", {"family": "inverse_gaussian", "link": "log"}),
    "binomial with text": ("answer ~ x + g", {"family": "binomial"}),
    "probit with text": ("answer ~ x + g", {"family": "binomial", "link": "probit"}),
    "binomial counts": ("cbind(won, lost) ~ x + g", {"family": "binomial"}),
    "multinomial": ("class ~ x + g", {"family": "multinomial"}),
    "multinomial without reference": ("class ~ x + g", {"family": em.families.Multinomial(reference=None)}),
    "multinomial with weights": ("class ~ x + h", {"family": em.families.Multinomial(reference="t"), "weights": "w"}),
    "frequency": ("count ~ x + g", {"family": "poisson", "frequency": "f"}),
    "frequency and weights": ("size ~ x + g", {"family": "gamma", "link": "log", "frequency": "f", "weights": "w"}),
    "gaussian with frequency": ("real ~ x + g", {"frequency": "f"}),
    "tweedie": ("claims ~ x + g", {"family": "tweedie(1.5)", "weights": "e"}),
    "negative binomial": ("count ~ x + g", {"family": "negative_binomial(2)"}),
    "quasi-poisson": ("count ~ x + g", {"family": "quasi-poisson"}),
    "no intercept": ("real ~ 0 + g + x", {}),
    "intercept only": ("count ~ 1", {"family": "poisson", "exposure": "e"}),
    "interaction": ("real ~ x * g + g:h", {}),
    "spline": ("count ~ bs(x, df=5) + g", {"family": "poisson"}),
    "natural spline and polynomial": ("real ~ ns(x, df=4) + poly(z, 2)", {}),
    "standardised": ("real ~ scale(x) + center(z) + g", {}),
    "many levels": ("real ~ x + C(big) + g", {}),
    "every other column": ("count ~ .", {"family": "poisson"}),
}


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("files", [1, 4])
def test_a_streamed_fit_is_the_fit_in_memory(name, files, tmp_path):
    formula, how = FITS[name]
    table = pa.table(rows())
    if formula.endswith("."):
        table = table.select(["count", "x", "g", "h", "z"])
    folder = write(tmp_path / "rows", table, files)
    fit = streamed(formula, folder / "*.parquet" if files > 1 else folder / "part-0.parquet", **how)
    assert_same_fit(fit, em.glm(formula, table, **how))


@pytest.mark.parametrize("group", [70, 330, 331, 5000])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_row_groups_smaller_and_larger_than_a_part(group, threads, tmp_path):
    """Row groups are read by any thread, pieces of larger ones in line: the same rows, in the same order."""
    table = pa.table(rows(3000))
    folder = write(tmp_path / "rows", table, 2, group=group)
    control = em.Control(threads=threads)
    fit = streamed("count ~ x + g", folder, family="poisson", offset="log(e)", control=control)
    assert_same_fit(fit, em.glm("count ~ x + g", table, family="poisson", offset="log(e)"))
    np.testing.assert_array_equal(fit.predict(folder), np.concatenate([fit.predict(p) for p in sorted(folder.iterdir())]))
    sizes = [part.rows for part in batches.open_files(folder).parts()]
    assert sizes == [part.num_rows for part in batches.open_files(folder)]
    assert max(sizes) <= min(group, 330)
    for row in (2050, 2345):  # one among those that are held, one that is not
        bad = table.to_pydict()
        bad["count"][row] = -1
        parquet.write_table(pa.table(bad), tmp_path / "bad.parquet", row_group_size=group)
        with pytest.raises(errors.ResponseError, match=f"row {row} "):
            em.glm("count ~ x + g", tmp_path / "bad.parquet", family="poisson", control=control)


@pytest.mark.parametrize(
    "name", ["poisson with exposure", "gamma with weights", "binomial with text", "multinomial", "frequency", "tweedie", "spline", "interaction"]
)
def test_a_fit_that_starts_from_the_rows_that_are_held(name, tmp_path, monkeypatch):
    monkeypatch.setattr("etamu.starting._SAMPLE_FROM", 1000)
    formula, how = FITS[name]
    table = pa.table(rows(6000))
    fit = streamed(formula, write(tmp_path / "rows", table, 2, group=1500), **how)
    assert fit.converged
    assert_same_fit(fit, em.glm(formula, table, **how))


@pytest.mark.parametrize("name", ["poisson with exposure", "gamma with weights", "binomial with text", "multinomial", "frequency", "spline"])
def test_a_csv_file_and_a_folder_of_them(name, tmp_path):
    formula, how = FITS[name]
    table = pa.table(rows())
    csv.write_csv(table, tmp_path / "rows.csv")
    memory = em.glm(formula, table, **how)
    assert_same_fit(streamed(formula, str(tmp_path / "rows.csv"), **how), memory)
    (tmp_path / "folder").mkdir()
    for k, a in enumerate((0, 400, 1100)):
        csv.write_csv(table.slice(a, (400, 700, 400)[k]), tmp_path / "folder" / f"{k}.csv")
    assert_same_fit(streamed(formula, tmp_path / "folder", **how), memory)


@pytest.mark.parametrize("formula", ["count ~ x + g", "count ~ bs(x, df=4) + g", "count ~ x * g"])
@pytest.mark.parametrize("weights", [None, "w"])
def test_rows_with_gaps_are_dropped_as_in_memory(formula, weights, tmp_path):
    table = with_gaps(pa.table(rows()))
    folder = write(tmp_path / "rows", table, 3)
    how = {"family": "poisson", "weights": weights, "missing": "drop"}
    fit = streamed(formula, folder, **how)
    assert fit.nobs < N
    assert_same_fit(fit, em.glm(formula, table, **how))


def test_missing_labels_as_a_level(tmp_path):
    table = pa.table(rows())
    gone = np.zeros(N, dtype=bool)
    gone[1200::7] = True  # in the last parts only
    table = table.set_column(table.schema.get_field_index("g"), "g", pa.array(table["g"].to_pylist(), mask=gone))
    fit = streamed("count ~ x + g", write(tmp_path / "rows", table), family="poisson", missing="level")
    assert "g[missing]" in fit.names
    assert_same_fit(fit, em.glm("count ~ x + g", table, family="poisson", missing="level"))


@pytest.mark.parametrize("name", ["poisson with exposure", "multinomial", "spline", "many levels"])
def test_the_same_bits_for_any_number_of_threads_and_of_readings(name, tmp_path):
    formula, how = FITS[name]
    folder = write(tmp_path / "rows", pa.table(rows()), 3)
    first = streamed(formula, folder, control=em.Control(threads=1), **how)
    for threads in (2, 5):
        fit = streamed(formula, folder, control=em.Control(threads=threads), **how)
        np.testing.assert_array_equal(fit.coef, first.coef)
        np.testing.assert_array_equal(fit.stderror(), first.stderror())
        assert (fit.deviance, fit.null_deviance, fit.loglik, fit.pearson) == (first.deviance, first.null_deviance, first.loglik, first.pearson)
        assert fit.trace == first.trace


def test_levels_that_only_the_last_rows_hold(tmp_path):
    table = rows()
    table["g"][-3:] = ["rare"] * 3
    table["class"][-30:] = ["a late class"] * 30
    table["answer"] = ["no"] * (N - 40) + ["yes"] * 40
    table = pa.table(table)
    folder = write(tmp_path / "rows", table, 2)
    for formula, family in (("count ~ x + g", "poisson"), ("answer ~ x", "binomial"), ("class ~ x", "multinomial")):
        assert_same_fit(streamed(formula, folder, family=family), em.glm(formula, table, family=family))


def test_dictionaries_that_differ_between_row_groups(tmp_path):
    table = pa.table(rows())
    coded = table.set_column(table.schema.get_field_index("g"), "g", table["g"].dictionary_encode())
    path = tmp_path / "rows.parquet"
    with parquet.ParquetWriter(path, coded.schema) as writer:
        for a in range(0, N, 250):
            part = table.slice(a, 250).sort_by([("g", "descending" if a % 500 else "ascending")])
            writer.write_table(part.set_column(part.schema.get_field_index("g"), "g", part["g"].combine_chunks().dictionary_encode()))
    assert_same_fit(streamed("count ~ x + g", path, family="poisson"), em.glm("count ~ x + g", table, family="poisson"))


def test_categories_with_an_order_keep_it(tmp_path):
    table = pa.table(rows())
    own = pa.array(["d", "b", "unused", "a", "c"])
    codes = pa.array([own.to_pylist().index(v) for v in table["g"].to_pylist()], pa.int8())
    coded = table.set_column(table.schema.get_field_index("g"), "g", pa.DictionaryArray.from_arrays(codes, own, ordered=True))
    fit = streamed("count ~ x + g", write(tmp_path / "rows", coded, 2), family="poisson")
    assert fit.names == ("Intercept", "x", "g[b]", "g[a]", "g[c]")
    assert_same_fit(fit, em.glm("count ~ x + g", coded, family="poisson"))


@pytest.mark.parametrize("solver", ["newton", "lbfgs", "newton-cg"])
def test_every_solver_reads_files(solver, tmp_path):
    table = pa.table(rows())
    folder = write(tmp_path / "rows", table, 2)
    for name in ("gamma with weights", "poisson with exposure"):
        formula, how = FITS[name]
        a, b = streamed(formula, folder, solver=solver, **how), em.glm(formula, table, **how)
        assert a.converged
        np.testing.assert_allclose(a.coef, b.coef, rtol=1e-7, atol=1e-8)  # other ways end within 1e-9 standard errors
        np.testing.assert_allclose(a.stderror(), b.stderror(), rtol=1e-7)


def test_a_start_and_observed_information(tmp_path):
    table = pa.table(rows())
    folder = write(tmp_path / "rows", table, 2)
    how = {"family": "gamma", "link": "log", "control": em.Control(information="observed")}
    base = em.glm("size ~ x + g", table, **how)
    assert_same_fit(streamed("size ~ x + g", folder, **how), base)
    again = streamed("size ~ x + g", folder, start=base.coef, **how)
    np.testing.assert_allclose(again.coef, base.coef, rtol=1e-9)
    assert again.trace.passes <= 2


def test_aliased_and_separated_columns_of_files(tmp_path):
    data = rows()
    data["twice"] = 2.0 * data["x"] + 1.0
    data["none"] = np.where(np.array(data["g"]) == "c", 0, data["count"])
    data["off"] = np.where(np.array(data["g"]) == "d", 0.0, 1.0)
    table = pa.table(data)
    folder = write(tmp_path / "rows", table, 2)
    fit = streamed("count ~ x + twice + g", folder, family="poisson")
    assert fit.aliased == ("twice",)
    assert_same_fit(fit, em.glm("count ~ x + twice + g", table, family="poisson"))
    fit = streamed("count ~ x + g", folder, family="poisson", weights="off")
    assert fit.aliased == ("g[d]",)
    assert_same_fit(fit, em.glm("count ~ x + g", table, family="poisson", weights="off"))
    fit = streamed("none ~ x + g", folder, family="poisson")
    assert fit.status is Status.SEPARATED
    assert fit.diverging == ("g[c]",)


def test_weights_that_are_zero_in_all_but_one_part(tmp_path):
    data = rows()
    for keep in (slice(0, 200), slice(1300, N)):
        data["some"] = np.zeros(N)
        data["some"][keep] = 1.0
        table = pa.table(data)
        folder = write(tmp_path / "rows", table, 3)
        assert_same_fit(streamed("count ~ x + g", folder, family="poisson", weights="some"), em.glm("count ~ x + g", table, family="poisson", weights="some"))


def test_an_empty_file_and_empty_row_groups_among_others(tmp_path):
    table = pa.table(rows())
    folder = write(tmp_path / "rows", table, 2)
    parquet.write_table(table.slice(0, 0), folder / "part-00.parquet")
    with parquet.ParquetWriter(folder / "part-5.parquet", table.schema) as writer:
        writer.write_table(table.slice(0, 0))
        writer.write_table(table.slice(0, 10))
    whole = pa.concat_tables([table, table.slice(0, 10)])
    assert_same_fit(streamed("count ~ x + g", folder, family="poisson"), em.glm("count ~ x + g", whole, family="poisson"))


def test_few_rows_are_held_and_give_the_bits_of_a_table(tmp_path):
    table = pa.table(rows(300))
    folder = write(tmp_path / "rows", table, 2, group=50)
    a, b = em.glm("count ~ x + g", folder, family="poisson"), em.glm("count ~ x + g", table, family="poisson")
    assert not isinstance(a.problem, Streamed)
    np.testing.assert_array_equal(a.coef, b.coef)
    np.testing.assert_array_equal(a.stderror(), b.stderror())


def test_the_trace_counts_passes_over_the_files(tmp_path, monkeypatch):
    folder = write(tmp_path / "rows", pa.table(rows()), 3)
    opened = []
    parts = batches._parquet_parts
    monkeypatch.setattr(batches, "_parquet_parts", lambda path, columns: opened.append(path) or parts(path, columns))
    fit = streamed("count ~ x + g", folder, family="poisson")
    full = [s for s in fit.trace.steps if s.rows >= N]
    assert fit.trace.passes == len(full) > 1
    assert f"{N:,} rows" in str(fit.trace)
    assert len(opened) == 3 * (1 + len(full))  # one scan, then the passes


def test_only_columns_that_are_used_are_read(tmp_path, monkeypatch):
    folder = write(tmp_path / "rows", pa.table(rows()), 2)
    seen = set()
    parts = batches._parquet_parts
    monkeypatch.setattr(batches, "_parquet_parts", lambda path, columns: seen.add(tuple(sorted(columns))) or parts(path, columns))
    streamed("count ~ x + log(size) + offset(log(e))", folder, family="poisson", weights="w")
    assert seen == {("count", "e", "size", "w", "x")}


def test_the_verbs_of_a_streamed_fit(tmp_path):
    table = pa.table(rows())
    folder = write(tmp_path / "rows", table, 3)
    for name in ("poisson with exposure", "gamma with weights", "binomial with text", "multinomial", "spline", "many levels"):
        formula, how = FITS[name]
        a, b = streamed(formula, folder, **how), em.glm(formula, table, **how)
        np.testing.assert_allclose(a.confint(), b.confint(), rtol=1e-7, atol=1e-8)
        np.testing.assert_allclose(a.fitted, b.fitted, rtol=1e-8)
        np.testing.assert_allclose(a.predict(table), b.predict(table), rtol=1e-8)
        np.testing.assert_allclose(a.predict(kind="link"), b.predict(kind="link"), rtol=1e-8, atol=1e-8)
        assert len(a.coef_table().estimate) == len(a.labels)
        assert str(a.summary()).splitlines()[0] == str(b.summary()).splitlines()[0]
        assert "<table>" in a._repr_html_()
        assert a.digits > 5


@pytest.mark.parametrize("name", ["poisson with exposure", "gamma with weights", "binomial with text", "multinomial", "spline"])
def test_a_streamed_fit_is_saved_and_loaded(name, tmp_path):
    formula, how = FITS[name]
    table = pa.table(rows())
    fit = streamed(formula, write(tmp_path / "rows", table, 3), **how)
    fit.save(tmp_path / "model.json")
    loaded = em.load(tmp_path / "model.json")
    np.testing.assert_array_equal(loaded.coef, fit.coef)
    np.testing.assert_array_equal(loaded.vcov(), fit.vcov())
    np.testing.assert_array_equal(loaded.predict(table), fit.predict(table))
    assert str(loaded.summary()) == str(fit.summary())
    assert (loaded.loglik, loaded.null_deviance, loaded.nobs) == (fit.loglik, fit.null_deviance, fit.nobs)


# ---- what goes wrong ----------------------------------------------------------------------------------------------


def four_files(folder, change=None, name=None):
    """Four files, the third of which holds ``change(values)`` instead of a column's values (None: not the column at all)."""
    data = rows()
    folder.mkdir(exist_ok=True)
    for k in range(4):
        part = pa.table({n: v[k * 375 : (k + 1) * 375] for n, v in data.items()})
        if k == 2 and name is not None:
            at = part.schema.get_field_index(name)
            part = part.remove_column(at) if change is None else part.set_column(at, name, pa.array(change(part[name].to_pylist())))
        parquet.write_table(part, folder / f"p{k}.parquet", row_group_size=200)
    return folder


def holding(value, row=31):
    return lambda values: [*values[:row], value, *values[row + 1 :]]


def test_paths_that_match_nothing(tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "no.parquet", tmp_path / "no*.csv", tmp_path / "empty", str(tmp_path / "no" / "no.csv")):
        with pytest.raises(errors.DataError, match="matches no file"):
            em.glm("count ~ x", path, family="poisson")
    (tmp_path / "rows.txt2").write_text("a")
    with pytest.raises(errors.SpecificationError, match=r"must end in \.parquet"):
        em.glm("count ~ x", tmp_path / "rows.txt2")
    folder = four_files(tmp_path / "mixed")
    (folder / "z.csv").write_text("x,count\n1,2\n")
    with pytest.raises(errors.SpecificationError, match="all files must end in"):
        em.glm("count ~ x", folder)


@pytest.mark.parametrize("damage", ["truncated", "nothing", "text"])
def test_a_damaged_parquet_file_is_named(damage, tmp_path):
    folder = four_files(tmp_path / "rows")
    path = folder / "p2.parquet"
    path.write_bytes({"truncated": path.read_bytes()[:5000], "nothing": b"", "text": b"hello " * 1000}[damage])
    with pytest.raises(errors.DataError, match=r"file '.*p2\.parquet', its footer, cannot be read: .*Nothing was fitted"):
        em.glm("count ~ x + g", folder, family="poisson")


def test_a_damaged_row_group_is_named(tmp_path):
    folder = four_files(tmp_path / "rows")
    path = folder / "p2.parquet"
    chunk = parquet.ParquetFile(path).metadata.row_group(1).column(0)
    raw, at = bytearray(path.read_bytes()), chunk.dictionary_page_offset or chunk.data_page_offset
    raw[at : at + 60] = b"\xff" * 60  # the head of a page; values within one are only guarded by checksums, which few files have
    path.write_bytes(bytes(raw))
    with pytest.raises(errors.DataError, match=r"file '.*p2\.parquet', row group 1, cannot be read"):
        em.glm("count ~ x + g", folder, family="poisson")


@pytest.mark.parametrize("most", [100_000, 1000])
def test_a_footer_that_promises_more_rows_is_found_out(most, tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "_ROWS", most)
    path = tmp_path / "rows.parquet"
    parquet.write_table(pa.table({"y": np.arange(5000.0)}), path, compression="none", use_dictionary=False)
    raw = bytearray(path.read_bytes())
    footer = len(raw) - 8 - int.from_bytes(raw[-8:-4], "little")
    old, new = (bytes([v * 2 & 127 | 128, v * 2 >> 7]) for v in (5000, 6000))  # zigzag varints of two bytes
    assert raw.count(old, footer) > 0
    raw[footer:] = bytes(raw[footer:]).replace(old, new)
    path.write_bytes(bytes(raw))
    assert parquet.ParquetFile(path).metadata.row_group(0).num_rows == 6000
    with pytest.raises(errors.DataError, match=r"row group 0, (holds 5000 rows, but its footer tells of 6000|cannot be read)"):
        list(batches.open_files(path))


def test_a_row_group_that_arrow_gives_in_two_is_read_whole(tmp_path, monkeypatch):
    """As it does where text takes more than 2 GB."""
    table = pa.table(rows(300))
    parquet.write_table(table, tmp_path / "rows.parquet")
    pieces = batches._pieces

    def halves(file, path, group, columns, size, use_threads):
        return pieces(file, path, group, columns, size // 2 + 1, use_threads)

    monkeypatch.setattr(batches, "_pieces", halves)
    found = list(batches.open_files(tmp_path / "rows.parquet"))
    assert [part.num_rows for part in found] == [300]
    assert found[0].to_pydict() == table.to_pydict()


def test_a_file_that_is_lost_between_passes_is_named(tmp_path):
    folder = four_files(tmp_path / "rows")

    def lose(step):
        (folder / "p2.parquet").unlink(missing_ok=True)

    with pytest.raises(errors.DataError, match=r"file '.*p2\.parquet'"):
        em.glm("count ~ x + g", folder, family="poisson", control=em.Control(progress=lose))


def test_a_progress_callback_may_stop_a_streamed_fit(tmp_path):
    folder = four_files(tmp_path / "rows")

    def stop(step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        em.glm("count ~ x + g", folder, family="poisson", control=em.Control(progress=stop))


@pytest.mark.parametrize("name", ["x", "count", "g"])
def test_a_missing_column_is_named_with_its_file(name, tmp_path):
    folder = four_files(tmp_path / "rows", None, name)
    with pytest.raises(errors.DataError, match=rf"file '.*p2\.parquet' has no column '{name}'"):
        em.glm("count ~ x + g", folder, family="poisson")


@pytest.mark.parametrize(
    ("name", "change"), [("x", lambda v: [str(t) for t in v]), ("g", lambda v: list(range(len(v)))), ("count", lambda v: [t > 0 for t in v])]
)
def test_a_column_of_another_type_is_named_with_its_file(name, change, tmp_path):
    folder = four_files(tmp_path / "rows", change, name)
    with pytest.raises(errors.DataError, match=rf"column '{name}' is \w+ in '.*p2\.parquet' but \w+ in '.*p0\.parquet'"):
        em.glm("count ~ x + g", folder, family="poisson")


def test_a_column_that_is_not_used_may_be_missing_or_of_another_type(tmp_path):
    base = em.glm("count ~ x + g", four_files(tmp_path / "a"), family="poisson")
    for change in (None, lambda v: [str(t) for t in v]):
        fit = em.glm("count ~ x + g", four_files(tmp_path / "b", change, "h" if change is None else "size"), family="poisson")
        np.testing.assert_array_equal(fit.coef, base.coef)


def test_unknown_columns_and_arrays_beside_files(tmp_path):
    folder = four_files(tmp_path / "rows")
    for formula, how in (("count ~ x + nope", {}), ("nope ~ x", {}), ("count ~ x", {"weights": "nope"}), ("count ~ x", {"exposure": "nope"})):
        with pytest.raises(errors.UnknownNameError, match="'nope' does not exist"):
            em.glm(formula, folder, family="poisson", **how)
    for name in ("weights", "frequency", "offset", "exposure"):
        with pytest.raises(errors.SpecificationError, match=f"`{name}` is a ndarray, but `data` are files"):
            em.glm("count ~ x", folder, family="poisson", **{name: np.ones(N)})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_in_a_later_file(value, tmp_path):
    folder = four_files(tmp_path / "rows", holding(value), "x")
    with pytest.raises(errors.DataError, match=rf"`x` \(1 rows, the first is row {2 * 375 + 31}\)"):
        em.glm("count ~ x + g", folder, family="poisson")


def test_nulls_in_a_later_file(tmp_path):
    with pytest.raises(errors.MissingValueError, match="`x` has 1 missing value"):
        em.glm("count ~ x + g", four_files(tmp_path / "x", holding(None), "x"), family="poisson")
    with pytest.raises(errors.MissingValueError, match="`count` has 1 missing value"):
        em.glm("count ~ x + g", four_files(tmp_path / "y", holding(None), "count"), family="poisson")
    with pytest.raises(errors.MissingValueError, match=rf"`g` has 1 missing value, the first in row {2 * 375 + 31}"):
        em.glm("count ~ x + g", four_files(tmp_path / "g", holding(None), "g"), family="poisson")
    with pytest.raises(errors.MissingValueError, match="missing"):
        em.glm("answer ~ x + g", four_files(tmp_path / "a", holding(None), "answer"), family="binomial")


VALUES = [
    ("count", -1, "count ~ x", {}, errors.ResponseError, r"`y` is -1 in row \d+ .*outside the support"),
    ("w", -1.0, "count ~ x", {"weights": "w"}, errors.WeightError, r"`weights` is -1.0 in row \d+ .*0 or more"),
    ("w", -1.0, "count ~ x", {"frequency": "w"}, errors.WeightError, r"`frequency` is -1.0 in row \d+ "),
    ("w", np.nan, "count ~ x", {"weights": "w"}, errors.WeightError, r"`weights` is nan in row \d+ "),
    ("e", 0.0, "count ~ x", {"exposure": "e"}, errors.DataError, r"`exposure` is 0.0 in row \d+ "),
    ("e", 0.0, "count ~ x + log(e)", {}, errors.DataError, r"`log\(e\)` is -inf in row \d+ "),
    ("e", 0.0, "count ~ x + offset(log(e))", {}, errors.DataError, r"`offset\(log\(e\)\)` is -inf in row \d+ "),
    ("x", np.inf, "count ~ bs(x, df=4)", {}, errors.DataError, r"`x` is inf in row \d+ "),
    ("x", np.nan, "count ~ scale(x)", {}, errors.DataError, r"`scale\(x\)` is nan in row \d+ "),
    ("size", np.nan, "size ~ x", {"family": "gamma"}, errors.MissingValueError, r"`y` is missing \(nan\) in row \d+ "),
    ("size", 0.0, "size ~ x", {"family": "gamma"}, errors.ResponseError, r"`y` is 0.0 in row \d+ .*outside the support"),
    ("answer", "maybe", "answer ~ x", {"family": "binomial"}, errors.ResponseError, "3 levels .*'maybe'"),
    ("won", -1, "cbind(won, lost) ~ x", {"family": "binomial"}, errors.ResponseError, "negative counts"),
]


@pytest.mark.parametrize(("name", "value", "formula", "how", "error", "message"), VALUES)
def test_a_value_that_cannot_be_in_a_later_part(name, value, formula, how, error, message, tmp_path):
    folder = four_files(tmp_path / "rows", holding(value), name)
    with pytest.raises(error, match=message):
        em.glm(formula, folder, **{"family": "poisson", **how})


def test_rows_that_leave_nothing_to_fit(tmp_path):
    table = pa.table(rows())
    path = tmp_path / "empty.parquet"
    parquet.write_table(table.slice(0, 0), path)
    for missing in ("raise", "drop"):
        with pytest.raises(errors.NotEnoughDataError, match="0 rows"):
            em.glm("count ~ x + g", path, family="poisson", missing=missing)
    none = table.set_column(0, "x", pa.nulls(N, pa.float64()))
    with pytest.raises(errors.NotEnoughDataError, match="0 rows"):
        em.glm("count ~ x + g", write(tmp_path / "none", none, 2), family="poisson", missing="drop")
    zero = table.set_column(table.schema.get_field_index("count"), "count", pa.array(np.zeros(N)))
    with pytest.raises(errors.ResponseError, match="`y` is 0 in every row"):
        em.glm("count ~ x + g", write(tmp_path / "zero", zero, 2), family="poisson")
    weightless = table.set_column(table.schema.get_field_index("w"), "w", pa.array(np.zeros(N)))
    with pytest.raises(errors.WeightError, match="all zero"):
        em.glm("count ~ x + g", write(tmp_path / "weightless", weightless, 2), family="poisson", weights="w")
    one = table.set_column(table.schema.get_field_index("answer"), "answer", pa.array(["no"] * N))
    with pytest.raises(errors.ResponseError, match=r"`y` has 1 level|one class only"):
        em.glm("answer ~ x + g", write(tmp_path / "one", one, 2), family="binomial")
    with pytest.raises(errors.ResponseError, match="one class only"):
        em.glm("answer ~ x + g", tmp_path / "one", family="multinomial")


def csv_lines(tmp_path):
    csv.write_csv(pa.table({k: v for k, v in rows().items() if k in ("x", "g", "count")}), tmp_path / "rows.csv")
    return (tmp_path / "rows.csv").read_text().splitlines()


@pytest.mark.parametrize(("line", "words"), [("1,2", "Expected 3 columns, got 2"), ("1,2,3,4", "Expected 3 columns, got 4"), ('text,"a",1', "'?text'?")])
def test_a_bad_csv_row_is_named_with_its_file(line, words, tmp_path):
    lines = csv_lines(tmp_path)
    lines[1000] = line
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    with pytest.raises(errors.DataError, match=rf"file '.*rows\.csv', block \d+, cannot be read: .*#1001.*{words}"):
        em.glm("count ~ x + g", tmp_path / "rows.csv", family="poisson")


def test_csv_files_with_nothing_in_them(tmp_path):
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(errors.DataError, match=r"file '.*a\.csv', its first block, cannot be read: Empty CSV"):
        em.glm("count ~ x", tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("x,count\n")
    with pytest.raises(errors.NotEnoughDataError, match="0 rows"):
        em.glm("count ~ x", tmp_path / "a.csv")


def test_a_gap_in_a_csv_file_is_a_missing_number(tmp_path):
    lines = csv_lines(tmp_path)
    lines[1000] = ',"a",3'
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    with pytest.raises(errors.MissingValueError, match="`x` has 1 missing value"):
        em.glm("count ~ x + g", tmp_path / "rows.csv", family="poisson")
    fit = streamed("count ~ x + g", tmp_path / "rows.csv", family="poisson", missing="drop")
    data = rows()
    keep = np.arange(N) != 999
    assert_same_fit(fit, em.glm("count ~ x + g", {k: np.asarray(v)[keep] for k, v in data.items()}, family="poisson"))


# ---- once wrong ----


def test_bug_boolean_response(tmp_path):
    data = rows()
    data["flag"] = [v == "yes" for v in data["answer"]]
    table = pa.table(data)
    assert_same_fit(streamed("flag ~ x + g", write(tmp_path / "rows", table, 2), family="binomial"), em.glm("flag ~ x + g", table, family="binomial"))


@pytest.mark.parametrize(("name", "value", "formula", "how", "error", "message"), [v for v in VALUES if r"\d+" in v[5]])
def test_bug_the_row_of_a_bad_value_counts_from_the_first_file(name, value, formula, how, error, message, tmp_path):
    folder = four_files(tmp_path / "rows", holding(value), name)
    with pytest.raises(error, match=message.replace(r"\d+", str(2 * 375 + 31))):
        em.glm(formula, folder, **{"family": "poisson", **how})


def test_bug_two_columns_of_one_name_in_a_csv(tmp_path):
    (tmp_path / "dup.csv").write_text("x,x,y\n" + "1,2,3\n2,1,4\n" * 500)
    with pytest.raises(errors.DataError, match="'x'"):
        em.glm("y ~ x", tmp_path / "dup.csv")


@pytest.mark.parametrize("cached", [True, False])
def test_a_streamed_fit_keeps_none_of_the_parts_it_has_read(cached, tmp_path, small_parts, monkeypatch):
    """Memory is bounded whatever the size of the files: what is remembered of a part dies with it."""
    seen = []
    sums = memory.Memory.sum

    def watched(self, request):
        seen.extend(weakref.ref(part.values) for part in self.problem.design.parts if isinstance(part, Column) and part.values is not None)
        return sums(self, request)

    monkeypatch.setattr(memory.Memory, "sum", watched)
    folder = write(tmp_path / "rows", pa.table(rows()), 3)
    fit = streamed("count ~ x + g", folder, family="poisson", cache=str(tmp_path) if cached else None)
    gc.collect()
    sample = max((step.rows for step in fit.trace.steps if step.rows < N), default=0)
    alive = [r() for r in seen if r() is not None]
    assert len(seen) > 10
    assert sum(len(a) for a in {id(a): a for a in alive}.values()) <= sample


def test_progress_tells_rows_within_a_pass(tmp_path, small_parts):
    told = []
    path = write(tmp_path / "rows", pa.table(rows()), 2)
    fit = em.glm("count ~ x + g", path, family="poisson", control=em.Control(progress=told.append))
    assert {"scanned", "so far"} <= {step.note for step in told}
    last = [step.rows for step in told if step.note == "scanned"]
    assert last == sorted(last)
    assert last[-1] == fit.nobs


def test_two_passes_at_once_write_apart(tmp_path):
    """A pass that another one overtakes, or that stops half-way, leaves no hole in what is read back."""
    problem = em.glm("count ~ x + g", pa.table(rows()), family="poisson", exposure="e").problem
    made = [lambda: problem, lambda: None, lambda: problem.keep([0, 1])]
    cache = Cache(str(tmp_path))
    next(cache.through(lambda: iter(made)))()  # stops after one part
    passes = [list(cache.through(lambda: iter(made))) for _ in range(2)]
    for pair in zip(*passes, strict=True):
        for make in reversed(pair):
            make()
    found = [make() for make in cache.through(lambda: pytest.fail("read again"))]
    for a, b in zip(found, [problem, problem.keep([0, 1])], strict=True):
        np.testing.assert_array_equal(a.y, b.y)
        np.testing.assert_array_equal(a.offset, b.offset)
        np.testing.assert_array_equal(a.design.block(slice(0, a.rows)), b.design.block(slice(0, b.rows)))
    assert list(tmp_path.iterdir()) == []
