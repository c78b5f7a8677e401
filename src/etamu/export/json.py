"""A fitted model as JSON: what predicts and what reports, without the data.  Text is read as data, never as code."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from etamu.design.encode import DesignSpec
from etamu.errors import EtamuError, ModelFileError, SpecificationError, UndefinedStatisticError, chosen
from etamu.export.plain import array as _array
from etamu.export.plain import number as _number
from etamu.export.plain import plain as _plain
from etamu.families import ALIASES, FAMILIES, Family, Multinomial, NegativeBinomial, Quasi, Tweedie
from etamu.inference.active import Active, ActiveRow
from etamu.inference.selected import Penalised, written
from etamu.inference.smooth_terms import Smoothing, Term
from etamu.links import LINKS, Link, is_power, power, resolve_link
from etamu.model import Fit
from etamu.penalties.recorded import Recorded
from etamu.solvers.base import Status, Step, Trace

__all__ = ["FORMAT", "load", "save"]

FORMAT = 1


def _family_to_dict(family: Family) -> dict[str, Any]:
    if hasattr(family, "definition"):  # a derived one, which its text defines
        return dict(family.definition())
    if FAMILIES.get(family.name) is not type(family):
        raise SpecificationError(f"family {family.name!r} is defined in your own code, which a model file does not carry; keep coef and vcov() instead.")
    out: dict[str, Any] = {"name": family.name}
    if isinstance(family, Tweedie):
        out["power"] = family.power
    elif isinstance(family, NegativeBinomial):
        out["theta"] = family.theta
    elif isinstance(family, Multinomial):
        out["reference"] = family.reference
    elif isinstance(family, Quasi):
        if not isinstance(family.variance_function, str):
            raise SpecificationError("a quasi family with your own variance function cannot be written to a file; name the variance instead.")
        out["variance"] = family.variance_function
    return out


def _link_to_dict(link: Link, family: Family) -> dict[str, Any]:
    if LINKS.get(link.name) is link:
        return {"name": link.name}
    if is_power(link):
        return {"name": "power", "parameter": link.parameter}
    if link.name == family.canonical and hasattr(family, "canonical_link"):
        return {"name": "canonical"}
    raise SpecificationError(f"link {link.name!r} is defined in your own code, which a model file does not carry; keep coef and vcov() instead.")


def _statistics(fit: Fit) -> dict[str, Any]:
    """Numbers that need the data, worked out before it is left behind."""
    found: dict[str, Any] = {"pearson": fit.pearson}
    if fit.penalised is None or not fit.penalised.selects:  # after a selection there is no covariance
        found |= {"unscaled": fit._unscaled, "error_bound": fit.error_bound}
    for name in ("null_deviance", "loglik"):
        try:
            found[name] = getattr(fit, name)
        except EtamuError:
            continue
    if "dispersion" in fit.known:  # of a bias-reduced fit, which Pearson's sum does not give
        found["dispersion"] = fit.dispersion
    return {k: _plain(v) for k, v in found.items()}


def _penalised_to_dict(record: Penalised | None) -> dict[str, Any] | None:
    """What is known of a penalised solution, its penalty as text."""
    if record is None:
        return None
    numbers = {k: _plain(getattr(record, k)) for k in ("objective", "residual", "edf", "relaxed")}
    return {"penalty": written(record), **numbers, "selects": record.selects, "constrained": record.constrained, "nonzero": list(record.nonzero)}


def _read_penalised(data: Any, names: tuple[str, ...]) -> Penalised | None:
    if data is None:
        return None
    nonzero = tuple(map(str, data["nonzero"]))
    if not set(nonzero) <= set(names):
        raise ModelFileError("the file's nonzero coefficients are none of its coefficients.")
    relaxed = None if data["relaxed"] is None else float(data["relaxed"])
    objective, residual, edf = (float(_number(data[k])) for k in ("objective", "residual", "edf"))
    return Penalised(Recorded(str(data["penalty"])), objective, residual, edf, bool(data["selects"]), nonzero, bool(data["constrained"]), relaxed)


def _shape_to_dict(fit: Fit) -> dict[str, Any] | None:
    """The estimated parameter of the family, without its profile."""
    return None if fit.shape is None else {k: _plain(getattr(fit.shape, k)) for k in ("name", "estimate", "stderror", "loglik")}


def _plain_active(active: Active) -> dict[str, Any]:
    """The constraints that hold with equality."""
    numbers = ("primal", "dual", "complementarity")
    return {
        "rows": [[row.description, row.kind, _plain(row.value), _plain(row.multiplier)] for row in active],
        "matrix": _plain(active.matrix),
        "value": _plain(active.value),
        "inequalities": active.inequalities,
        **{k: _plain(getattr(active, k)) for k in numbers},
    }


def _read_active(data: Any, width: int) -> Active | None:
    if data is None:
        return None
    rows = tuple(ActiveRow(str(text), chosen("kind", kind, ["lower", "upper", "equal"]), float(v), float(mu)) for text, kind, v, mu in data["rows"])
    matrix, value = np.reshape(_array(data["matrix"]), (-1, width)), _array(data["value"])
    if value.shape != (len(matrix),) or len(rows) > len(matrix) or not (np.isfinite(matrix).all() and np.isfinite(value).all()):
        raise ModelFileError("the file's active constraints are damaged.")
    return Active(rows, matrix, value, bool(data["inequalities"]), *(float(_number(data[k])) for k in ("primal", "dual", "complementarity")))


def _smoothing_to_dict(smoothing: Smoothing | None) -> dict[str, Any] | None:
    """The smooths, without the penalty that refits would need."""
    if smoothing is None:
        return None
    terms = [[t.name, list(t.columns), *map(_plain, (t.smoothing, t.edf, t.ref_df, t.statistic, t.p_value))] for t in smoothing.terms]
    return {"criterion": smoothing.criterion, "score": _plain(smoothing.score), "terms": terms, "edf": _plain(smoothing.edf)}


def _read_smoothing(data: Any, width: int) -> Smoothing | None:
    if data is None:
        return None
    terms = [Term(str(name), tuple(map(int, columns)), *(float(_number(v)) for v in values)) for name, columns, *values in data["terms"]]
    edf = _array(data["edf"])
    if edf.ndim != 1 or len(edf) > width or any(not 0 <= c < width for t in terms for c in t.columns):
        raise ModelFileError("the file's smooths do not match its coefficients.")
    return Smoothing(chosen("criterion", data["criterion"], ["reml", "gcv", "ubre"]), float(_number(data["score"])), tuple(terms), edf)


def _read_shape(data: Any) -> Any:
    if data is None:
        return None
    from etamu.inference.shape import Shape

    def profile(value: float) -> float:
        raise UndefinedStatisticError("this model was loaded from a file and does not carry its data; refit it for a profile.")

    estimate, stderror, loglik = (float(_number(data[k])) for k in ("estimate", "stderror", "loglik"))
    return Shape(str(data["name"]), estimate, stderror, loglik, profile)


def save(fit: Fit, path: Any) -> None:
    """Write the model; the file appears whole or not at all."""
    trace = fit.trace
    content = {
        "etamu": FORMAT,
        "family": _family_to_dict(fit.family),
        "link": _link_to_dict(fit.link, fit.family),
        "names": list(fit.names),
        "coef": _plain(fit.coef),
        "status": fit.status.name,
        "deviance": _plain(fit.deviance),
        "nobs": _plain(fit.nobs),
        "rank": fit.rank,
        "intercept": bool(fit.intercept),
        "aliased": list(fit.aliased),
        "diverging": list(fit.diverging),
        "design": None if fit.spec is None else fit.spec.to_dict(),
        "offset_given": fit.offset_given,
        "exposure": fit.exposure,
        "offset": fit.offset,
        "response_levels": None if fit.response_levels is None else _plain(fit.response_levels),
        "class_names": None if fit.class_names is None else list(fit.class_names),
        "bias": fit.bias,
        "active": None if fit.active is None else _plain_active(fit.active),
        "smoothing": _smoothing_to_dict(fit.smoothing),
        "penalised": _penalised_to_dict(fit.penalised),
        "shape": _shape_to_dict(fit),
        "known": _statistics(fit),
        "trace": {
            "solver": trace.solver,
            "reason": trace.reason,
            "total_rows": trace.total_rows,
            "notes": list(trace.notes),
            "steps": [[s.rows, s.order, s.arithmetic, _plain(s.deviance), _plain(s.decrement), s.note] for s in trace.steps[-200:]],
        },
    }
    text = json.dumps(content, indent=1, allow_nan=False)
    if not isinstance(path, (str, os.PathLike)):
        raise SpecificationError(f"`path` is a {type(path).__name__}; pass a file name.")
    target = Path(path)
    if not target.parent.is_dir():
        raise ModelFileError(f"`path` {str(path)!r}: the folder {str(target.parent)!r} does not exist; create it first.")
    if target.is_dir():
        raise ModelFileError(f"`path` {str(path)!r} is a folder; pass a file name.")
    handle, temporary = tempfile.mkstemp(dir=target.parent or ".", prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load(path: Any) -> Fit:
    """Read a model written by :func:`save`.

    Raises
    ------
    ModelFileError : not a model file, a damaged one, or one of a newer format.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise SpecificationError(f"`path` is a {type(path).__name__}; pass a file name.")
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise ModelFileError(f"`path` {str(path)!r} {reason}; pass a file written by fit.save.") from None
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{str(path)!r} is not an etamu model: {error}.") from None
    if not isinstance(content, dict) or "etamu" not in content:
        raise ModelFileError(f"{str(path)!r} is not an etamu model; write one with fit.save(path).")
    if content["etamu"] != FORMAT:
        raise ModelFileError(f"{str(path)!r} has model format {content['etamu']!r}, but this etamu reads {FORMAT}; update etamu or refit.")
    try:
        return _from_dict(content)
    except ModelFileError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError) as error:
        raise ModelFileError(f"{str(path)!r} is damaged: {type(error).__name__} {error}.") from None


def _read_family(data: dict[str, Any]) -> Family:
    if "log_partition" in data:
        from etamu.derivation import derive

        found: Any = derive(str(data["log_partition"]), name=data["name"], dispersion=data["dispersion"], **data["parameters"])
        return found.generic  # type: ignore[no-any-return]
    name = ALIASES.get(data["name"], data["name"])
    arguments = {k: v for k, v in data.items() if k != "name"}
    return FAMILIES[name](**arguments)


def _read_link(data: dict[str, Any], family: Family) -> Link:
    if data["name"] == "power":
        return power(float(data["parameter"]))
    if data["name"] in ("canonical", "nb") and hasattr(family, "canonical_link"):
        return family.canonical_link()  # type: ignore[no-any-return]
    return resolve_link(data["name"])


def _check_shapes(data: dict[str, Any], names: tuple[str, ...], coef: np.ndarray[Any, Any], known: dict[str, Any]) -> None:
    """Parts that must agree with each other; a file that was cut or altered is refused here rather than later."""
    if not isinstance(data["names"], list) or coef.ndim not in (1, 2) or coef.shape[0] != len(names):
        raise ModelFileError(f"the file has {len(names)} names for {coef.shape[0] if coef.ndim else 0} coefficients.")
    if "unscaled" in known:
        known["unscaled"] = np.reshape(known["unscaled"], (coef.size, coef.size))
    if "error_bound" in known:
        known["error_bound"] = np.reshape(known["error_bound"], coef.shape)
    selected = data.get("penalised") is not None and bool(data["penalised"]["selects"])
    if not {"pearson", *(() if selected else ("unscaled", "error_bound"))} <= set(known):
        raise ModelFileError("the file lacks the statistics of the fit.")
    classes = data["class_names"]
    if (coef.ndim == 2) != (classes is not None) or (classes is not None and (len(classes) != coef.shape[1] or len(data["response_levels"]) < 2)):
        raise ModelFileError("the file's classes do not match its coefficients.")
    if data.get("bias") not in (None, "mean", "median", "mixed", "jeffreys", "ridge", "smooth", "penalty"):
        raise ModelFileError(f"the file names a bias reduction {data['bias']!r} that does not exist.")
    if not (isinstance(data["nobs"], (int, float)) and data["nobs"] > 0):
        raise ModelFileError(f"the file says it has {data['nobs']!r} observations.")


def _from_dict(data: dict[str, Any]) -> Fit:
    family = _read_family(data["family"])
    known = {k: (_array(v) if isinstance(v, list) else _number(v)) for k, v in data["known"].items()}
    coef = _array(data["coef"])
    names = tuple(map(str, data["names"]))
    _check_shapes(data, names, coef, known)
    trace = data["trace"]
    steps = tuple(Step(float(r), int(o), str(a), float(_number(d)), None if c is None else float(_number(c)), str(n)) for r, o, a, d, c, n in trace["steps"])
    levels = data["response_levels"]
    return Fit(
        names=names,
        coef=coef,
        family=family,
        link=_read_link(data["link"], family),
        status=Status[data["status"]],
        trace=Trace(str(trace["solver"]), str(trace["reason"]), steps, float(trace["total_rows"]), tuple(trace["notes"])),
        deviance=float(_number(data["deviance"])),
        nobs=_number(data["nobs"]),
        rank=int(data["rank"]),
        intercept=bool(data["intercept"]),
        aliased=tuple(data["aliased"]),
        diverging=tuple(data["diverging"]),
        spec=None if data["design"] is None else DesignSpec.from_dict(data["design"]),
        offset_given=bool(data["offset_given"]),
        exposure=data["exposure"],
        offset=data["offset"],
        response_levels=None if levels is None else tuple(_number(levels)),
        class_names=None if data["class_names"] is None else tuple(data["class_names"]),
        bias=data.get("bias"),
        active=_read_active(data.get("active"), len(names)),
        smoothing=_read_smoothing(data.get("smoothing"), len(names)),
        penalised=_read_penalised(data.get("penalised"), names),
        shape=_read_shape(data.get("shape")),
        known=known,
    )
