# Reference for bias reduction, penalised likelihood and the existence of estimates: writes bias.json beside this file and
# its data under bias/.  Run from this folder:  Rscript make_bias.R        (R with brglm2, MASS and lpSolve)
#
# Bias-reduced fits are brglm2's, at steps below 1e-12. Where brglm2 lacks the family (negative binomial of fixed theta) the
# same equations are solved below by scoring; that solver is held against brglm2 on every fit without a dispersion.
# All data are read back from their CSV with levels in alphabetical order, so any reader sees what R saw.
suppressMessages({library(brglm2); library(MASS); library(lpSolve)})
invisible(Sys.setlocale("LC_COLLATE", "C"))
options(warn = 1)
dir.create("bias", showWarnings = FALSE)

json <- function(v, indent = "") {
  if (is.null(v)) return("null")
  names_of <- names(v)
  if (is.list(v) || !is.null(names_of)) {
    inner <- paste0(indent, " ")
    parts <- vapply(seq_along(v), function(i) json(if (is.list(v)) v[[i]] else unname(v[i]), inner), "")
    if (is.null(names_of)) return(paste0("[", paste(parts, collapse = ", "), "]"))
    parts <- paste0('"', names_of, '": ', parts)
    return(if (is.list(v)) paste0("{\n", inner, paste(parts, collapse = paste0(",\n", inner)), "}") else paste0("{", paste(parts, collapse = ", "), "}"))
  }
  if (length(v) == 0) return("[]")
  text <- if (is.character(v)) paste0('"', gsub('"', '\\\\"', v), '"') else if (is.logical(v)) ifelse(is.na(v), "null", tolower(v)) else
    ifelse(is.finite(v), sprintf("%.17g", v), "null")
  if (length(v) == 1 && !inherits(v, "AsIs")) text else paste0("[", paste(text, collapse = ", "), "]")
}
keep_csv <- function(d, file) {
  d[] <- lapply(d, function(v) if (is.double(v)) ifelse(as.numeric(format(v, digits = 15)) == v, format(v, digits = 15, trim = TRUE), sprintf("%.17g", v)) else v)
  write.csv(d, file.path("bias", file), row.names = FALSE, quote = FALSE)
}
read <- function(file) read.csv(file.path("bias", file), stringsAsFactors = TRUE)
levels_of <- function(d) { v <- lapply(Filter(is.factor, d), function(f) I(levels(f))); if (length(v)) v else NULL }

# ---- data ----
keep_csv(endometrial, "endometrial.csv")
keep_csv(transform(lizards, proportion = grahami / (grahami + opalinus), trials = grahami + opalinus), "lizards.csv")
keep_csv(transform(aids, proportion = symptomatic / (symptomatic + asymptomatic), trials = symptomatic + asymptomatic), "aids.csv")
keep_csv(transform(coalition[c("duration", "fract", "numst2")], w = rep(1:3, length.out = nrow(coalition))), "coalition.csv")
keep_csv(mtcars[c("mpg", "wt", "hp")], "mtcars.csv")
keep_csv(data.frame(y = c(2, 0, 3, 1, 5, 2, 1, 4, 0, 2, 6, 3, 0, 1, 0, 2, 1, 3, 0, 0, 0, 0, 0, 0),
  x1 = c(0.3, -1.2, 0.8, -0.4, 1.5, 0.1, -0.7, 1.1, -1.6, 0.2, 1.9, 0.6, -0.9, 0.4, -1.1, 0.7, -0.2, 1.3, -0.5, 0.9, -1.4, 0, 0.5, -0.8),
  g = rep(c("a", "b", "c", "d"), each = 6), offset = rep(c(0, 0.5, -0.25, 1, -0.5, 0.75), 4), w = rep(c(1, 2, 1, 3), 6)), "counts.csv")
keep_csv(data.frame(y = c(0.8, 1.4, 2.9, 0.5, 1.1, 3.6, 0.9, 1.7, 2.2, 0.6, 1.3, 4.8, 0.7, 2.4, 1.9, 1.0, 3.1, 0.4, 1.6, 2.7),
  x1 = c(0.1, 0.5, 1.2, -0.6, 0.2, 1.4, -0.2, 0.9, 0.7, -0.9, 0.4, 1.8, -0.3, 1.0, 0.6, 0, 1.3, -1.1, 0.3, 1.1),
  g = rep(c("a", "b"), 10)), "positive.csv")

# ---- the adjusted score of a model without a dispersion parameter ----
# U + A with h the leverages of sqrt(W) X and d1, d2 the derivatives of the mean in eta:
#   AS_mean: A = X'(h d2/d1)/2;  MPL_Jeffreys: A = X'(h (2 d2/d1 - V' d1/V))/2;
#   AS_median: AS_mean + I b, b_j = [I^-1]_j X'(h_j (d1 V'/(6V) - d2/(2 d1))), h_j the leverages under [I^-1]_j [I^-1]_j' / [I^-1]_jj
second <- list(logit = function(e) { m <- plogis(e); m * (1 - m) * (1 - 2 * m) }, probit = function(e) -e * dnorm(e),
  cloglog = function(e) exp(e - exp(e)) * (1 - exp(e)), log = exp)
slope <- function(family, mu) if (family$family == "binomial") 1 - 2 * mu else if (family$family == "poisson") rep(1, length(mu)) else 1 + 2 * mu / theta
theta <- 2
adjusted <- function(type, X, y, w, offset, family, beta) {
  eta <- drop(X %*% beta) + offset; mu <- family$linkinv(eta); d1 <- family$mu.eta(eta); d2 <- second[[family$link]](eta)
  V <- family$variance(mu); dV <- slope(family, mu); W <- w * d1^2 / V
  info <- crossprod(X, W * X); inverse <- solve(info); h <- rowSums((X %*% inverse) * X) * W
  A <- switch(type, ML = 0 * beta, MPL_Jeffreys = crossprod(X, h * (2 * d2 / d1 - dV * d1 / V)) / 2, crossprod(X, h * d2 / d1) / 2)
  if (type == "AS_median") A <- A + info %*% sapply(seq_along(beta), function(j) {
    r <- inverse[j, ]; hj <- (X %*% r)^2 / r[j] * W
    sum(r * crossprod(X, hj * (d1 * dV / (6 * V) - d2 / (2 * d1)))) })
  list(score = drop(crossprod(X, w * d1 * (y - mu) / V) + A), inverse = inverse)
}
scoring <- function(type, X, y, w, offset, family, beta, steps = 2000) {
  for (k in seq_len(steps)) {
    s <- adjusted(type, X, y, w, offset, family, beta)
    step <- drop(s$inverse %*% s$score)
    beta <- beta + step
    if (max(abs(step)) < 1e-14 * (1 + max(abs(beta)))) break
  }
  list(beta = beta, iterations = k, converged = k < steps)
}

# ---- existence: the largest set of rows whose predictor can go to infinity without the likelihood falling ----
# A gamma >= 0 may be strict, E gamma = 0 may not; maximise the number of strict rows by linear programming.
certify <- function(A, E) {
  n <- nrow(A); p <- ncol(A); blank <- matrix(0, nrow(E), n)
  M <- rbind(cbind(A, -A, -diag(n)), cbind(E, -E, blank), cbind(matrix(0, n, 2 * p), diag(n)))
  r <- lp("max", c(rep(0, 2 * p), rep(1, n)), M, c(rep(">=", n), rep("=", nrow(E)), rep("<=", n)), c(rep(0, n + nrow(E)), rep(1, n)))
  z <- r$solution[2 * p + 1:n]; gamma <- r$solution[1:p] - r$solution[p + 1:p]
  stopifnot(r$status == 0, all(abs(z) < 1e-7 | abs(z - 1) < 1e-7))
  list(strict = z > 0.5, direction = ifelse(abs(gamma) < 1e-9, 0, gamma / max(abs(gamma), 1e-9)))
}
cone <- function(X, y, w, kind) {
  rows <- which(w > 0); y <- y[rows]; X <- X[rows, , drop = FALSE]
  ends <- if (kind == "binomial") y == 0 | y == 1 else if (kind == "poisson") y == 0 else rep(FALSE, length(y))
  sign <- if (kind == "binomial") ifelse(y == 1, 1, -1) else rep(-1, length(y))
  out <- list(rows = integer(), direction = NULL)
  if (any(ends)) {
    r <- certify(X[ends, , drop = FALSE] * sign[ends], X[!ends, , drop = FALSE])
    if (any(r$strict)) out <- list(rows = rows[ends][r$strict], direction = setNames(r$direction, colnames(X)))
  }
  out
}
rank_of <- function(M) if (nrow(M)) qr(M)$rank else 0
estimable <- function(R, names) names[vapply(seq_along(names), function(j) rank_of(rbind(R, diag(length(names))[j, ])) == rank_of(R), TRUE)]

# ---- bias-reduced fits ----
types <- c("ML", "correction", "AS_mean", "AS_median", "AS_mixed", "MPL_Jeffreys")
describe <- function(fit, dispersion, warned) list(coef = coef(fit), stderror = summary(fit)$coefficients[, 2], dispersion = dispersion,
  adjusted_score_max = max(abs(fit$grad), na.rm = TRUE), scaled_score_max = max(abs(fit$grad[names(coef(fit))]) * summary(fit)$coefficients[, 2]),
  deviance = fit$deviance, converged = fit$converged, iterations = fit$iter,
  warnings = I(unique(grep("non-integer", warned, value = TRUE, invert = TRUE))))   # those are of its adjusted starting responses
with_warnings <- function(expr) { warned <- character(); value <- withCallingHandlers(expr, warning = function(w) { warned <<- c(warned, conditionMessage(w)); invokeRestart("muffleWarning") }); list(value, warned) }
fits <- list()
case <- function(name, file, formula, family, response, weights = NULL, offset = NULL) {
  d <- read(file); d$.w <- if (is.null(weights)) 1 else d[[weights]]; d$.o <- if (is.null(offset)) 0 else d[[offset]]
  formula <- as.formula(formula); none <- family$family %in% c("binomial", "poisson")
  entry <- list(file = file, formula = deparse1(formula), response = response, family = family$family, link = family$link, weights = weights, offset = offset,
    levels = levels_of(d[intersect(all.vars(formula), names(d))]), nobs = nrow(d), solver = "brglm2")
  frame <- model.frame(formula, d); X <- model.matrix(formula, d); Y <- model.response(frame)
  w <- if (is.matrix(Y)) rowSums(Y) * d$.w else d$.w; Y <- if (is.matrix(Y)) Y[, 1] / rowSums(Y) else Y
  if (none) { c0 <- cone(X, Y, w, family$family); entry$separated <- length(c0$rows) > 0 }
  runs <- list()
  for (type in types) for (transformation in if (!none && type %in% c("AS_mean", "MPL_Jeffreys")) c("identity", "log") else "identity") {
    r <- tryCatch(with_warnings(do.call(glm, c(list(formula, family = family, data = d, method = "brglmFit", type = type, transformation = transformation,
      epsilon = 1e-12, maxit = 10000, slowit = 1), if (!is.null(weights)) list(weights = d$.w), if (!is.null(offset)) list(offset = d$.o)))),
      error = function(e) { message(name, " ", type, " fails: ", conditionMessage(e)); NULL })
    if (is.null(r)) next
    key <- if (transformation == "identity") type else paste(type, transformation)
    runs[[key]] <- describe(r[[1]], r[[1]]$dispersion, r[[2]])
    if (none && entry$separated && type %in% c("ML", "correction")) runs[[key]]$converged <- FALSE   # the maximum is at infinity: its numbers mean nothing
    if (!runs[[key]]$converged) message(name, " ", key, " does not converge: max |score| x SE ", signif(runs[[key]]$scaled_score_max, 3), " after ", r[[1]]$iter)
    if (none && runs[[key]]$converged) {
      own <- scoring(type, X, Y, w, d$.o, family, coef(r[[1]]), if (type == "correction") 0 else 2000)
      gap <- if (type == "correction") {
        ml <- scoring("ML", X, Y, w, d$.o, family, coef(r[[1]]))$beta; s <- adjusted("AS_mean", X, Y, w, d$.o, family, ml)
        max(abs(coef(r[[1]]) - ml - s$inverse %*% s$score)) } else max(abs(own$beta - coef(r[[1]])))
      if (gap > 1e-9) message(name, " ", key, ": brglm2 and own scoring differ by ", signif(gap, 3))
    }
  }
  entry$fits <- runs
  fits[[name]] <<- entry
}
yes_no <- list(successes = "grahami", failures = "opalinus", proportion = "proportion", trials = "trials")
for (link in c("logit", "probit", "cloglog")) case(paste("endometrial", link), "endometrial.csv", "HG ~ NV + PI + EH", binomial(link), "HG")
case("lizards logit", "lizards.csv", "cbind(grahami, opalinus) ~ height + diameter + light + time", binomial(), yes_no)
case("aids logit", "aids.csv", "cbind(symptomatic, asymptomatic) ~ race + AZT", binomial(), list(successes = "symptomatic", failures = "asymptomatic", proportion = "proportion", trials = "trials"))
for (link in c("inverse", "log")) case(paste("coalition", link), "coalition.csv", "duration ~ fract + numst2", Gamma(link), "duration")
case("coalition log weighted", "coalition.csv", "duration ~ fract + numst2", Gamma("log"), "duration", weights = "w")
case("counts", "counts.csv", "y ~ x1 + g", poisson(), "y", offset = "offset")
case("counts weighted", "counts.csv", "y ~ x1 + g", poisson(), "y", weights = "w", offset = "offset")
case("positive", "positive.csv", "y ~ x1 + g", inverse.gaussian("log"), "y")
case("mtcars", "mtcars.csv", "mpg ~ wt + hp", gaussian(), "mpg")

# Negative binomial of fixed theta: brglm2 has no such family, so own scoring.
nb <- negative.binomial(theta)
for (formula in c("y ~ x1 + g", "y ~ x1")) {
  d <- read("counts.csv"); X <- model.matrix(as.formula(formula), d); runs <- list()
  lost <- length(cone(X, d$y, rep(1, 24), "poisson")$rows) > 0
  start <- coef(lm(log(d$y + 0.5) - d$offset ~ X - 1)); names(start) <- colnames(X)
  for (type in c(if (!lost) c("ML", "correction"), "AS_mean", "AS_median", "MPL_Jeffreys")) {
    r <- scoring(if (type == "correction") "ML" else type, X, d$y, rep(1, 24), d$offset, nb, start)
    if (type == "correction") { s <- adjusted("AS_mean", X, d$y, rep(1, 24), d$offset, nb, r$beta); r$beta <- r$beta + drop(s$inverse %*% s$score) }
    s <- adjusted(if (type == "correction") "AS_mean" else type, X, d$y, rep(1, 24), d$offset, nb, r$beta)
    mu <- exp(drop(X %*% r$beta) + d$offset)
    runs[[type]] <- list(coef = r$beta, stderror = setNames(sqrt(diag(s$inverse)), names(start)), dispersion = 1, adjusted_score_max = max(abs(s$score)),
      scaled_score_max = max(abs(s$score) * sqrt(diag(s$inverse))), deviance = sum(nb$dev.resids(d$y, mu, rep(1, 24))), converged = r$converged, iterations = r$iterations, warnings = I(character()))
    if (!r$converged) message("negative binomial ", formula, " ", type, " does not converge")
  }
  fits[[paste("counts negative binomial", formula)]] <- list(file = "counts.csv", formula = formula, response = "y", family = "negative_binomial", theta = theta, link = "log",
    weights = NULL, offset = "offset", levels = levels_of(d[intersect(all.vars(as.formula(formula)), names(d))]), nobs = 24, solver = "own scoring", separated = lost, fits = runs)
}

# ---- penalised likelihood of the logistic model ----
# l*(beta) = sum log likelihood + log det(X'W(beta)X) / 2, X always the full design, also where a coefficient is held fixed (as logistf).
d <- read("endometrial.csv"); X <- model.matrix(HG ~ NV + PI + EH, d); y <- d$HG; p <- ncol(X)
penalised <- function(b) { eta <- drop(X %*% b); m <- plogis(eta); sum(y * eta - ifelse(eta > 0, eta + log1p(exp(-eta)), log1p(exp(eta)))) + as.numeric(determinant(crossprod(X, m * (1 - m) * X))$modulus) / 2 }
climb <- function(free, b) {
  for (k in 1:5000) {
    s <- adjusted("MPL_Jeffreys", X, y, rep(1, 79), 0, binomial(), b)
    step <- solve(solve(s$inverse)[free, free], s$score[free])
    while (any(abs(step) > 5)) step <- step / 2
    b[free] <- b[free] + step
    if (max(abs(step)) < 1e-14 * (1 + max(abs(b)))) break
  }
  if (k == 5000 && max(abs(s$score[free])) > 1e-9) message("penalised climb stops at score ", max(abs(s$score[free])))
  b
}
best <- climb(1:p, rep(0, p)); top <- penalised(best); cut <- qchisq(0.95, 1)
profile_at <- function(j, value) { b <- best; b[j] <- value; climb(setdiff(1:p, j), b) }
drop_at <- function(j, value) 2 * (top - penalised(profile_at(j, value)))
simplex <- optim(rep(0, p) + best * 0.9, function(b) -penalised(b), method = "BFGS", control = list(reltol = 1e-15, maxit = 1000))
stopifnot(abs(simplex$value + top) < 1e-8)
s <- adjusted("MPL_Jeffreys", X, y, rep(1, 79), 0, binomial(), best); se <- sqrt(diag(s$inverse))
one <- function(j) {
  restricted <- profile_at(j, 0); lr <- drop_at(j, 0)
  side <- function(sign) { far <- best[j] + sign * se[j]; while (drop_at(j, far) < cut) far <- far + sign * se[j]; uniroot(function(v) drop_at(j, v) - cut, sort(c(best[j], far)), tol = 1e-13)$root }
  list(restricted_coef = setNames(restricted, colnames(X)), restricted_loglik = penalised(restricted), statistic = lr, p_value = pchisq(lr, 1, lower.tail = FALSE), lower = side(-1), upper = side(1))
}
penalised_entry <- list(file = "endometrial.csv", formula = "HG ~ NV + PI + EH", family = "binomial", link = "logit", level = 0.95,
  definition = "l*(b) = sum(y eta - log(1 + exp(eta))) + log det(X'W(b)X) / 2 with W = mu (1 - mu) and X the full design, also where coefficient j is held fixed; statistic = 2 (max l* - max l* at b_j = 0); limits: the two b_j where 2 (max l* - max l* at b_j) = qchisq(0.95, 1)",
  coef = setNames(best, colnames(X)), stderror = setNames(se, colnames(X)), penalised_loglik = top, loglik = top - as.numeric(determinant(solve(s$inverse))$modulus) / 2,
  adjusted_score_max = max(abs(s$score)), coefficients = setNames(lapply(1:p, one), colnames(X)))

# ---- existence: explicit sets whose answer is known ----
existence <- list()
settle <- function(X, y, w, family) {   # the fit of the rows that stay, on columns of full rank among them
  keep <- qr(X); keep <- sort(keep$pivot[seq_len(keep$rank)])
  f <- suppressWarnings(glm.fit(X[, keep, drop = FALSE], y, w, family = family, control = list(epsilon = 1e-15, maxit = 200), intercept = FALSE))
  coef(f)
}
exists_case <- function(name, kind, formula, d, rows, reason) {
  keep_csv(d, paste0("separation_", name, ".csv")); d <- read(paste0("separation_", name, ".csv"))
  formula <- as.formula(formula); X <- model.matrix(formula, d); w <- if ("weights" %in% names(d)) d$weights else rep(1, nrow(d))
  qx <- qr(X[w > 0, ]); aliased <- colnames(X)[setdiff(seq_len(ncol(X)), qx$pivot[seq_len(qx$rank)])]
  r <- cone(X, d$y, w, kind)
  if (!identical(sort(r$rows) - 1, as.numeric(rows))) stop(name, ": expected rows ", paste(rows, collapse = " "), ", programme finds ", paste(r$rows - 1, collapse = " "))
  Z <- X[, setdiff(colnames(X), aliased), drop = FALSE]; stay <- setdiff(which(w > 0), r$rows)
  finite <- estimable(Z[stay, , drop = FALSE], colnames(Z))
  values <- if (length(finite)) settle(Z[stay, , drop = FALSE], d$y[stay], w[stay], switch(kind, binomial = binomial(), poisson = poisson(), gamma = Gamma("log")))[finite]
  existence[[name]] <<- list(file = paste0("separation_", name, ".csv"), family = kind, link = if (kind == "binomial") "logit" else "log", formula = deparse1(formula), weights = if ("weights" %in% names(d)) "weights",
    levels = levels_of(d), separated = length(rows) > 0, separated_rows = I(rows), direction = r$direction, aliased = I(aliased), finite = I(finite), finite_coef = values, reason = reason)
}
exists_case("complete", "binomial", "y ~ x1", data.frame(y = rep(0:1, each = 4), x1 = 1:8), 0:7, "x1 - 4.5 has the sign of y in every row")
exists_case("quasi", "binomial", "y ~ x1", data.frame(y = rep(0:1, each = 4), x1 = c(1:4, 4:7)), c(0:2, 5:7), "x1 - 4 has the sign of y or is zero, where both outcomes occur")
exists_case("overlap", "binomial", "y ~ x1 + x2", data.frame(y = c(1, 0, 0, 1, 0, 1, 0, 1), x1 = 1:8, x2 = c(3, 1, 4, 1, 5, 9, 2, 6)), (0:0)[0], "the outcomes overlap")
exists_case("level", "binomial", "y ~ x1 + g", data.frame(y = c(0, 1, 0, 1, 0, 0, 1, 0, 1, 1, 1), x1 = c(1:4, 1:4, 1, 3, 5), g = rep(c("a", "b", "c"), c(4, 4, 3))), 8:10, "every row of level c is one, levels a and b overlap")
exists_case("combination", "binomial", "y ~ x1 + x2 + x3", data.frame(y = c(0, 0, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0, 1), x1 = c(0, 3, 1, 5, 2, 6, 6, 0, 0, 1, 1, 2, 4, 0),
  x2 = c(5, 1, 1, 4, 5, 5, 0, 4, 2, 1, 4, 0, 1, 4), x3 = c(6, 6, 4, 2, 3, 3, 4, 2, 2, 2, 5, 2, 5, 4)), c(0, 1, 2, 3, 4, 5, 6, 7), "x1 + x2 - x3 has the sign of y or is zero; no two of the columns separate")
exists_case("proportions", "binomial", "y ~ x1 + g", data.frame(y = c(0.25, 0.6, 1, 0.5, 0, 0.75, 0, 0, 0), x1 = c(1, 2, 3, 1, 2, 3, 1, 2, 3), g = rep(c("a", "b", "c"), each = 3), weights = c(4, 5, 3, 2, 4, 4, 3, 5, 2)), 6:8, "no success among the trials of level c")
exists_case("rank_deficient", "binomial", "y ~ x1 + x2 + x3", data.frame(y = c(0, 1, 0, 1, 0, 1, 1, 1, 1), x1 = c(1:6, 2, 3, 5), x2 = rep(0:1, c(6, 3)), x3 = c(1:6, 3, 4, 6)), 6:8, "x3 = x1 + x2, and every row with x2 = 1 is one")
exists_case("zero_weight", "binomial", "y ~ x1", data.frame(y = c(rep(0:1, each = 4), 1), x1 = c(1:8, 1), weights = c(rep(1, 8), 0)), 0:7, "the only overlapping row has no weight")
exists_case("poisson_level", "poisson", "y ~ x1 + g", data.frame(y = c(2, 0, 3, 1, 1, 4, 0, 2, 0, 0, 0, 0), x1 = rep(1:4, 3), g = rep(c("a", "b", "c"), each = 4)), 8:11, "every count of level c is zero")
exists_case("poisson_continuous", "poisson", "y ~ x1 + x2", data.frame(y = c(0, 0, 0, 3, 1, 2, 0, 4, 1, 2), x1 = 1:10, x2 = c(1.5, 2, 0, 0, 0, 0, 0.5, 0, 0, 0)), c(0, 1, 6), "x2 is positive only where y is zero, else zero")
exists_case("poisson_both_signs", "poisson", "y ~ x1 + x2", data.frame(y = c(0, 0, 0, 3, 1, 2, 0, 4, 1, 2), x1 = 1:10, x2 = c(1.5, -2, 0, 0, 0, 0, 0.5, 0, 0, 0)), (0:0)[0], "x2 is nonzero only where y is zero, but of both signs")
exists_case("poisson_mostly_zero", "poisson", "y ~ x1 + g", data.frame(y = c(2, 0, 3, 1, 1, 4, 0, 2, 1, 0, 0, 0), x1 = rep(1:4, 3), g = rep(c("a", "b", "c"), each = 4)), (0:0)[0], "one count of level c is positive")
exists_case("poisson_two_factors", "poisson", "y ~ g + h", data.frame(y = c(2, 1, 3, 4, 0, 1, 5, 2, 2, 0, 0), g = c("p", "p", "q", "q", "q", "r", "r", "s", "s", "p", "q"), h = c("u", "v", "u", "v", "u", "w", "z", "w", "z", "w", "z")),
  9:10, "positive counts join {p, q} with {u, v} and {r, s} with {w, z}; the only crossings, p-w and q-z, are zero; no level is all zero")
exists_case("gamma", "gamma", "y ~ x1 + g", data.frame(y = c(0.5, 1.2, 2.5, 6, 0.1, 0.2, 0.6, 1.1), x1 = rep(1:4, 2), g = rep(c("a", "b"), each = 4)), (0:0)[0], "positive responses pin every predictor from both sides")
# multinomial: a pair (row, class) is separated where the row's own class can gain on that class without bound; a row where any of its pairs is
d <- data.frame(y = c("a", "a", "a", "a", "b", "b", "b", "b", "c", "c", "c"), x1 = c(1, 2, 4, 3, 2, 3, 5, 4, 6, 7, 8))
keep_csv(d, "separation_multinomial.csv"); d <- read("separation_multinomial.csv"); X <- model.matrix(~ x1, d); classes <- levels(d$y)
names_of <- as.vector(outer(colnames(X), classes[-1], function(c, k) paste0(k, ":", c)))
unit <- function(k) as.numeric(classes[-1] == k)
pairs <- do.call(rbind, lapply(seq_len(nrow(d)), function(i) data.frame(row = i, class = setdiff(classes, d$y[i]))))
A <- t(mapply(function(i, k) kronecker(unit(d$y[i]) - unit(k), X[i, ]), pairs$row, pairs$class))
r <- certify(A, A[0, , drop = FALSE]); stopifnot(identical(pairs$class[r$strict] == "c" | d$y[pairs$row[r$strict]] == "c", rep(TRUE, sum(r$strict))), sum(r$strict) == 8 + 6)
finite <- estimable(A[!r$strict, ], names_of); ab <- d$y != "c"
existence$multinomial <- list(file = "separation_multinomial.csv", family = "multinomial", link = "logit", formula = "y ~ x1", weights = NULL, levels = levels_of(d), base = "a", separated = TRUE,
  separated_rows = I(sort(unique(pairs$row[r$strict])) - 1), separated_pairs = lapply(which(r$strict), function(i) list(pairs$row[i] - 1, pairs$class[i])),
  direction = setNames(r$direction, names_of), aliased = I(character()), finite = I(finite),
  finite_coef = setNames(settle(X[ab, ], as.numeric(d$y[ab] == "b"), rep(1, sum(ab)), binomial()), paste0("b:", colnames(X)))[finite], reason = "class c lies beyond x1 = 5.5, classes a and b before it and overlapping")

writeLines(json(list("made by" = paste0(R.version.string, ", brglm2 ", packageVersion("brglm2")), fits = fits, penalised = penalised_entry, existence = existence)), "bias.json")
