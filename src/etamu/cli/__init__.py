"""The command line: ``etamu fit``, ``predict``, ``path``, ``cv``, ``derive``, ``lesson``, ``demo``."""

from __future__ import annotations

import sys

try:
    import click
    import rich  # noqa: F401
except ImportError:  # pragma: no cover - the message is the point
    sys.exit("The command line needs two more packages: pip install 'etamu[cli]'")

import etamu as em
from etamu.cli import learning, models, penalised

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(em.__version__, prog_name="etamu")
def main() -> None:
    """Generalized linear models from the command line."""


for _command in (models.fit, models.predict, penalised.path, penalised.cv, learning.derive, learning.lesson, learning.demo):
    main.add_command(_command)
