"""Kinds of covariance of the coefficients, for every verb that takes ``vcov=``.

>>> import etamu as em
>>> fit = em.glm("breaks ~ wool + tension", em.datasets.warpbreaks(), family="poisson")
>>> fit.stderror(vcov=em.vcov.HC(3)).round(3)
array([0.112, 0.113, 0.135, 0.131])
"""

from etamu.inference.kinds import Information
from etamu.inference.resample import Bootstrap, Jackknife
from etamu.inference.sandwich import HAC, HC, Cluster

__all__ = ["HAC", "HC", "Bootstrap", "Cluster", "Information", "Jackknife"]
