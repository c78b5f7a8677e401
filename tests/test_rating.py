"""The README's tariff: its code as it stands there gives its table."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data" / "belgian_motor_1997.parquet"


@pytest.mark.skipif(not DATA.exists(), reason="the Belgian portfolio is not here; it is not part of the project")
def test_the_tariff(capsys):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code, shown = re.search(r"```python\n(import etamu as em\n\nrate = .*?)```\n\n```\n(.*?)```", text, re.S).groups()
    names: dict = {}
    exec(code.replace("belgian_motor_1997.parquet", DATA.as_posix()), names)
    assert capsys.readouterr().out.split() == shown.split()
    fit = names["fit"]
    assert fit.penalised.residual < 1e-8
    scale = [0.0, *(b for n, b in zip(fit.names, fit.coef) if n.startswith("bm["))]
    assert scale == sorted(scale)
