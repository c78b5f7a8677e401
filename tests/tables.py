"""Reads the small tables that reference numbers belong to."""

import csv

import numpy as np


def read(path):
    """Columns of a CSV file by name: numbers where all are, else text."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    out = {}
    for key in rows[0]:
        values = [row[key] for row in rows]
        try:
            out[key] = np.array(values, dtype=float)
        except ValueError:
            out[key] = np.array(values)
    return out
