"""Tables that textbooks of generalized linear models have used for decades, each with its source."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["beetles", "clotting", "orings", "ships", "ucb_admissions", "warpbreaks"]

Table = dict[str, np.ndarray[Any, Any]]


def beetles() -> Table:
    """Beetles killed by five hours of carbon disulphide at eight log10 doses (mg/l).

    Source: Bliss (1935), Annals of Applied Biology 22, 134-167; in Dobson & Barnett, *An Introduction to Generalized
    Linear Models*.

    >>> import etamu as em
    >>> int(em.datasets.beetles()["killed"].sum())
    291
    """
    return {
        "dose": np.array([1.6907, 1.7242, 1.7552, 1.7842, 1.8113, 1.8369, 1.8610, 1.8839]),
        "n": np.array([59, 60, 62, 56, 63, 59, 62, 60]),
        "killed": np.array([6, 13, 18, 28, 52, 53, 61, 60]),
    }


def clotting() -> Table:
    """Clotting times of blood (seconds) for nine percentages u of plasma and two lots of agent.

    Source: Hurn, Barker & Magath (1945); in McCullagh & Nelder, *Generalized Linear Models* (1989), section 8.4.2.

    >>> import etamu as em
    >>> em.datasets.clotting()["lot1"][:3]
    array([118.,  58.,  42.])
    """
    return {
        "u": np.array([5.0, 10, 15, 20, 30, 40, 60, 80, 100]),
        "lot1": np.array([118.0, 58, 42, 35, 27, 25, 21, 19, 18]),
        "lot2": np.array([69.0, 35, 26, 21, 18, 16, 13, 12, 12]),
    }


def orings() -> Table:
    """Damaged O-rings out of six on 23 space-shuttle launches, with the temperature at launch (degrees Fahrenheit).

    Source: Presidential Commission on the Space Shuttle Challenger Accident (1986); Dalal, Fowlkes & Hoadley (1989),
    JASA 84, doi:10.1080/01621459.1989.10478858.

    >>> import etamu as em
    >>> int(em.datasets.orings()["damaged"].sum())
    11
    """
    temperature = [53, 57, 58, 63, 66, 67, 67, 67, 68, 69, 70, 70, 70, 70, 72, 73, 75, 75, 76, 76, 78, 79, 81]
    damaged = [5, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]
    return {"temperature": np.array(temperature), "damaged": np.array(damaged), "n": np.full(23, 6)}


def ships() -> Table:
    """Wave-damage incidents of cargo ships by type, years of construction and period of operation, with months of service.

    Source: J. Crilley and L. N. Hemingway of Lloyd's Register; in McCullagh & Nelder (1989), section 6.3.2.  Rows with no
    service are kept (six of forty); leave them out for a rate.

    >>> import etamu as em
    >>> int(em.datasets.ships()["incidents"].sum())
    356
    """
    service = [
        *(127, 63, 1095, 1095, 1512, 3353, 0, 2244, 44882, 17176, 28609, 20370, 7064, 13099, 0, 7117, 1179, 552, 781, 676),
        *(783, 1948, 0, 274, 251, 105, 288, 192, 349, 1208, 0, 2051, 45, 0, 789, 437, 1157, 2161, 0, 542),
    ]
    incidents = [
        *(0, 0, 3, 4, 6, 18, 0, 11, 39, 29, 58, 53, 12, 44, 0, 18, 1, 1, 0, 1),
        *(6, 2, 0, 1, 0, 0, 0, 0, 2, 11, 0, 4, 0, 0, 7, 7, 5, 12, 0, 1),
    ]
    return {
        "type": np.repeat(list("ABCDE"), 8),
        "year": np.tile(np.repeat([60, 65, 70, 75], 2), 5),
        "period": np.tile([60, 75], 20),
        "service": np.array(service),
        "incidents": np.array(incidents),
    }


def ucb_admissions() -> Table:
    """Admissions to the six largest graduate departments at Berkeley in 1973, by sex and department.

    Source: Bickel, Hammel & O'Connell (1975), Science 187, doi:10.1126/science.187.4175.398.

    >>> import etamu as em
    >>> int(em.datasets.ucb_admissions()["applied"].sum())
    4526
    """
    admitted = np.array([512, 89, 353, 17, 120, 202, 138, 131, 53, 94, 22, 24])
    rejected = np.array([313, 19, 207, 8, 205, 391, 279, 244, 138, 299, 351, 317])
    return {
        "dept": np.repeat(list("ABCDEF"), 2),
        "gender": np.tile(["Male", "Female"], 6),
        "admitted": admitted,
        "rejected": rejected,
        "applied": admitted + rejected,
    }


def warpbreaks() -> Table:
    """Warp breaks per loom for two wools and three tensions, nine looms each.

    Source: Tippett (1950), *Technological Applications of Statistics*; Tukey (1977), *Exploratory Data Analysis*.

    >>> import etamu as em
    >>> int(em.datasets.warpbreaks()["breaks"].sum())
    1520
    """
    breaks = [
        *(26, 30, 54, 25, 70, 52, 51, 26, 67, 18, 21, 29, 17, 12, 18, 35, 30, 36, 36, 21, 24, 18, 10, 43, 28, 15, 26),
        *(27, 14, 29, 19, 29, 31, 41, 20, 44, 42, 26, 19, 16, 39, 28, 21, 39, 29, 20, 21, 24, 17, 13, 15, 15, 16, 28),
    ]
    return {
        "breaks": np.array(breaks),
        "wool": np.repeat(["A", "B"], 27),
        "tension": np.tile(np.repeat(["L", "M", "H"], 9), 2),
    }
