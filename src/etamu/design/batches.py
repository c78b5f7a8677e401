"""Files read part by part: Parquet by row groups, CSV by blocks, only the columns that are needed.

Row groups of Parquet are read by several threads, one each; pieces of very large ones, by all of pyarrow's threads, and blocks of CSV
one after another.  (A dataset scanner would do the same, but keeps what it has read; these readers let every part go.)  Which rows make
a part depends on the files and the number of columns alone: large parts cost less, but several are held at once.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from etamu.ahead import in_turn
from etamu.errors import DataError, SpecificationError, unknown

__all__ = ["FilePart", "Files", "open_files"]

_ROWS, _NUMBERS = 1 << 20, 1 << 23  # of a Parquet part, at most
_BUFFER = 1 << 20  # bytes that are read of a column at once
_BLOCK = 1 << 24  # bytes of a CSV part
_SUFFIXES = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".txt": "csv"}


@dataclass(frozen=True)
class FilePart:
    """Some rows of a file: how many, and what reads them as an Arrow table."""

    rows: int
    read: Callable[[], Any]


@dataclass(frozen=True)
class Files:
    """Files of one kind with the same columns, whose parts come as Arrow tables, in order, as often as wished."""

    paths: tuple[str, ...]
    kind: str
    columns: tuple[str, ...] | None = None

    def of(self, columns: Sequence[str]) -> Files:
        """The same files, of which only these columns are read."""
        return Files(self.paths, self.kind, tuple(columns))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of the first file."""
        return tuple(_schema(self.paths[0], self.kind))

    @property
    def rows(self) -> int | None:
        """How many rows there are, where the files say so."""
        if self.kind != "parquet":
            return None
        counts: list[int] = [_guarded(path, "its footer", lambda p=path: _parquet(p).metadata.num_rows) for path in self.paths]
        return sum(counts)

    def check(self) -> None:
        """Every file has the columns that are read, and of the first file's types."""
        first = _schema(self.paths[0], self.kind)
        wanted = self.columns if self.columns is not None else tuple(first)
        for name in wanted:
            if name not in first:
                raise unknown("column", name, first)
        for path in self.paths[1:]:
            schema = _schema(path, self.kind)
            for name in wanted:
                if name not in schema:
                    raise DataError(f"file {path!r} has no column {name!r}, but {self.paths[0]!r} has; all files need the same columns.")
                if schema[name] != first[name]:
                    raise DataError(
                        f"column {name!r} is {schema[name]} in {path!r} but {first[name]} in {self.paths[0]!r}; write all files with the same types."
                    )

    def __iter__(self) -> Iterator[Any]:
        with in_turn(self.parts(), lambda part: part.read(), threads=2, most=1) as tables:  # the next is read while one is in use
            yield from tables

    def parts(self) -> Iterator[FilePart]:
        """The parts, to be read by any thread."""
        for path in self.paths:
            yield from _parquet_parts(path, self.columns) if self.kind == "parquet" else _csv_parts(path, self.columns)


def open_files(path: str | os.PathLike[str]) -> Files:
    """The files of a path, a folder or a pattern such as ``claims/*.parquet``, in the order of their names."""
    text = os.fspath(path)
    if text and Path(text).is_dir():
        found = sorted(str(p) for p in Path(text).iterdir() if p.suffix.lower() in _SUFFIXES)
    elif glob.has_magic(text) and not Path(text).exists():
        found = sorted(glob.glob(text, recursive=True))
    else:
        found = [text] if text and Path(text).exists() else []
    if not found:
        raise DataError(f"`data` {text!r} matches no file; pass a Parquet or CSV file, a folder of them, or a pattern such as 'claims/*.parquet'.")
    kinds = {_SUFFIXES.get(Path(f).suffix.lower()) for f in found}
    if len(kinds) != 1 or None in kinds:
        raise SpecificationError(f"`data` {text!r}: all files must end in .parquet, or all in .csv; found {', '.join(map(repr, found[:3]))}.")
    return Files(tuple(found), str(kinds.pop()))


def _guarded(path: str, what: str, action: Any) -> Any:
    """Run; what goes wrong is said of the file and the place in it."""
    import pyarrow as pa

    try:
        return action()
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"file {path!r}, {what}, cannot be read: {str(error).splitlines()[0].rstrip('.')}. Nothing was fitted; mend or remove the file."
        ) from None


def _parquet(path: str, metadata: Any = None) -> Any:
    from pyarrow.parquet import ParquetFile

    return ParquetFile(path, metadata=metadata, pre_buffer=False, buffer_size=_BUFFER, memory_map=False, page_checksum_verification=True)


def _schema(path: str, kind: str) -> dict[str, str]:
    """Names and types of a file's columns."""
    if kind == "parquet":
        schema = _guarded(path, "its footer", lambda: _parquet(path).schema_arrow)
    else:
        schema = _guarded(path, "its first block", lambda: _csv(path, None).schema)
    twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if twice:
        raise DataError(f"file {path!r} has more than one column named {', '.join(map(repr, twice))}; rename them.")
    return {name: str(field) for name, field in zip(schema.names, schema.types, strict=True)}


def _parquet_parts(path: str, columns: Sequence[str] | None) -> Iterator[FilePart]:
    file = _guarded(path, "its footer", lambda: _parquet(path))
    most = max(1, min(_ROWS, _NUMBERS // max(1, len(file.schema_arrow.names if columns is None else columns))))
    for group in range(file.metadata.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if 0 < rows <= most:  # any thread may decode it, while others decode others
            yield FilePart(rows, partial(_row_group, path, file.metadata, group, columns))
        elif rows:
            yield from map(_decoded, _pieces(file, path, group, columns, most, use_threads=True))


def _row_group(path: str, metadata: Any, group: int, columns: Sequence[str] | None) -> Any:
    import pyarrow as pa

    file = _guarded(path, f"row group {group}", lambda: _parquet(path, metadata))
    tables = list(_pieces(file, path, group, columns, metadata.row_group(group).num_rows, use_threads=False))  # several where text is very long
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables)


def _pieces(file: Any, path: str, group: int, columns: Sequence[str] | None, rows: int, use_threads: bool) -> Iterator[Any]:
    """A row group as tables of so many rows, or fewer."""
    import pyarrow as pa

    told, found = file.metadata.row_group(group).num_rows, 0
    batches = file.iter_batches(batch_size=rows, row_groups=[group], columns=None if columns is None else list(columns), use_threads=use_threads)
    while (batch := _guarded(path, f"row group {group}", lambda: next(batches, None))) is not None:
        found += batch.num_rows
        yield pa.table(batch)
    if found != told:
        raise DataError(f"file {path!r}, row group {group}, holds {found} rows, but its footer tells of {told}. Nothing was fitted; mend or remove the file.")


def _decoded(table: Any) -> FilePart:
    return FilePart(table.num_rows, lambda: table)


def _csv(path: str, columns: Sequence[str] | None) -> Any:
    import pyarrow.csv as csv

    convert = csv.ConvertOptions(include_columns=None if columns is None else list(columns), strings_can_be_null=True)
    return csv.open_csv(path, read_options=csv.ReadOptions(block_size=_BLOCK, use_threads=False), convert_options=convert)


def _csv_parts(path: str, columns: Sequence[str] | None) -> Iterator[FilePart]:
    import pyarrow as pa

    reader = _guarded(path, "its first block", lambda: _csv(path, columns))
    block = 0
    while (batch := _guarded(path, f"block {block}", lambda: next(iter(reader), None))) is not None:
        block += 1
        yield _decoded(pa.table(batch))
