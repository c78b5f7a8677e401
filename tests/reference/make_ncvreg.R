# Concave penalties by ncvreg and the group lasso by grpreg: writes ncvreg.json beside this file, with the data they were made of.
# Run from this folder:  Rscript make_ncvreg.R     (R with ncvreg and grpreg; seconds)
#
# Objectives, with a free intercept:  1/n sum_i unit_deviance_i / 2 + sum_j penalty(|b_j|), where the slope of the penalty is
#   MCP    max(alpha - t/gamma, 0)
#   SCAD   alpha for t <= alpha, max(gamma alpha - t, 0)/(gamma - 1) beyond
# and  sum_g alpha m_g |b_g|_2  for the group lasso, m_g the root of the size of the group.
#
# Both packages standardise the columns, and grpreg makes each group orthonormal; the columns here are so already (divisor n), so that
# nothing is left to undo.  Only what has the objectives above is here: for other families than gaussian ncvreg scales its penalties by the
# curvature of a majoriser.  Every solution is held against the conditions of a stationary point: "kkt" is the largest violation, and the
# concave objectives are convex in all b together (least eigenvalue of X'X/n above 1/gamma, for SCAD 1/(gamma - 1)), so it is the minimum.
suppressMessages({library(ncvreg); library(grpreg)})
RNGversion("4.0.0")
set.seed(21)
for (e in parse("make_glmnet.R")) if (identical(e[[1]], quote(`<-`)) && as.character(e[[2]])[1] %in% c("number", "json")) eval(e)   # its writers

# ---- data ----
n <- 120
orthonormal <- function(Z) sqrt(nrow(Z)) * qr.Q(qr(scale(Z, scale = FALSE)))
standard <- function(Z) { Z <- scale(Z, scale = FALSE); Z <- Z / rep(sqrt(colMeans(Z^2)), each = nrow(Z)); matrix(Z, nrow(Z)) }
common <- rnorm(n)
X <- standard(matrix(rnorm(n * 8), n) + 0.5 * common)
b <- c(1, -0.7, 0, 0.4, 0, 0, 0.15, 0)
plain <- list(X = X, gaussian = round(1 + drop(X %*% b) + rnorm(n), 2))
sizes <- c(1, 3, 2, 4, 2); groups <- rep(seq_along(sizes), sizes)
Z <- matrix(rnorm(n * sum(sizes)), n) + 0.5 * common
X <- do.call(cbind, lapply(seq_along(sizes), function(g) orthonormal(Z[, groups == g, drop = FALSE])))
b <- c(0.5, 0.8, -0.5, 0.3, 0, 0, -0.4, 0.1, 0.2, 0.3, 0.1, 0)
grouped <- list(X = X, groups = I(groups - 1), gaussian = round(1 + drop(X %*% b) + rnorm(n), 2), binomial = rbinom(n, 1, plogis(drop(X %*% b))), poisson = rpois(n, exp(0.5 + 0.5 * drop(X %*% b))))

# ---- conditions ----
mean_of <- list(gaussian = identity, binomial = plogis, poisson = exp)
gradient <- function(X, y, family, beta) { r <- (y - mean_of[[family]](beta[1] + drop(X %*% beta[-1]))) / length(y); list(constant = sum(r), score = drop(crossprod(X, r))) }
slopes <- list(MCP = function(t, a, g) pmax(a - t / g, 0), SCAD = function(t, a, g) ifelse(t <= a, a, pmax(g * a - t, 0) / (g - 1)))
fits <- list()
keep <- function(...) {
  entry <- list(...)
  stopifnot(entry$kkt < 1e-10)
  fits <<- c(fits, list(entry))
}
tight <- 1e-12
top <- max(abs(crossprod(plain$X, plain$gaussian - mean(plain$gaussian)))) / n
least <- min(eigen(crossprod(plain$X) / n)$values)
alphas <- signif(top * c(0.6, 0.3, 0.1, 0.03), 3)
for (penalty in c("MCP", "SCAD")) for (gamma in if (penalty == "MCP") c(3, 8) else c(3.7, 10)) {
  stopifnot(least > if (penalty == "MCP") 1 / gamma else 1 / (gamma - 1))
  run <- ncvreg(plain$X, plain$gaussian, penalty = penalty, gamma = gamma, lambda = alphas, eps = tight, max.iter = 1e6, warn = FALSE)
  stopifnot(length(run$lambda) == 4)
  for (k in 1:4) {
    beta <- unname(run$beta[, k]); g <- gradient(plain$X, plain$gaussian, "gaussian", beta); on <- beta[-1] != 0
    gap <- max(abs(g$constant), abs(g$score - slopes[[penalty]](abs(beta[-1]), alphas[k], gamma) * sign(beta[-1]))[on], (abs(g$score) - alphas[k])[!on], 0)
    keep(data = "plain", family = "gaussian", penalty = penalty, gamma = gamma, alpha = alphas[k], kkt = gap, intercept = beta[1], coef = I(beta[-1]))
  }
}
for (family in c("gaussian", "binomial", "poisson")) {
  y <- grouped[[family]]; m <- sqrt(sizes)
  size <- function(v) sqrt(tapply(v^2, groups, sum))
  alphas <- signif(max(size(crossprod(grouped$X, y - mean(y))) / m) / n * c(0.6, 0.3, 0.1, 0.03), 3)
  run <- grpreg(grouped$X, y, group = groups, penalty = "grLasso", family = family, lambda = alphas, eps = tight, max.iter = 1e6, group.multiplier = m)
  stopifnot(length(run$lambda) == 4)
  for (k in 1:4) {
    beta <- unname(run$beta[, k]); g <- gradient(grouped$X, y, family, beta); on <- size(beta[-1]) > 0
    unit <- beta[-1] / pmax(size(beta[-1])[groups], 1e-300)
    gap <- max(abs(g$constant), abs(g$score - alphas[k] * m[groups] * unit)[on[groups]], (size(g$score) - alphas[k] * m)[!on], 0)
    keep(data = "grouped", family = family, penalty = "group", alpha = alphas[k], kkt = gap, intercept = beta[1], coef = I(beta[-1]))
  }
}
writeLines(json(list(made_by = paste0(R.version.string, ", ncvreg ", packageVersion("ncvreg"), ", grpreg ", packageVersion("grpreg")),
  data = list(plain = plain, grouped = grouped), fits = fits)), "ncvreg.json")
