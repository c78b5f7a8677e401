# Penalised splines as mgcv fits them: writes smooths.json beside this file (the data, and the numbers of every fit).
# Run:  Rscript make_smooths.R        (R with mgcv)
#
# The inner and the outer iteration are made to end late, so that what is written is the optimum and not the road to it; the dispersion is
# Pearson's over n - edf (mgcv's default multiplies it by Fletcher's correction). Numbers have 17 significant digits.
suppressMessages(library(mgcv))
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE)[1]))
tight <- gam.control(epsilon = 1e-13, maxit = 400, newton = list(conv.tol = 1e-9), mgcv.tol = 1e-13, mgcv.half = 60, scale.est = "pearson")

json <- function(x) {
  if (is.list(x)) return(paste0("{", paste0('"', names(x), '": ', vapply(x, json, ""), collapse = ",\n"), "}"))
  many <- length(x) != 1 || inherits(x, "AsIs")
  x <- as.vector(unclass(x))
  s <- if (is.character(x)) paste0('"', x, '"') else ifelse(is.finite(x), sprintf("%.17g", as.numeric(x)), "null")
  if (many) paste0("[", paste(s, collapse = ", "), "]") else s
}

set.seed(20)
n <- 240
x <- runif(n); z <- round(rnorm(n), 3); g <- sample(c("a", "b", "c"), n, TRUE)
w <- round(runif(n, 0.5, 2), 2); offset <- round(runif(n, -0.5, 0.5), 3); trials <- sample(1:6, n, TRUE)
eta <- sin(6 * x) + 0.25 * z^2 - 0.4 + 0.4 * (g == "b")
data <- data.frame(
  x, z, g, w, offset, trials, y = eta + 0.5 * rnorm(n), count = rpois(n, exp(eta + offset)), hit = rbinom(n, 1, plogis(2 * eta)),
  share = rbinom(n, trials, plogis(eta)) / trials, amount = rgamma(n, 3, 3 / exp(eta)), half = 1 / rgamma(n, 3, 2 * exp(-eta)))
new <- data.frame(x = c(-0.2, 0.3, 0.9995, 1.4), z = c(0.5, -5, 5, 1), g = c("a", "b", "c", "a"), offset = c(0, 0.1, 0.2, 0.3))

rows <- seq(1, n, 5)  # whose fitted values are written

told <- function(formula, family, method, weights = NULL) {
  environment(formula) <- environment()
  from <- function(start) gam(formula, data = data, family = family, method = method, weights = weights, control = tight, optimizer = c("outer", "newton"), in.out = start)
  fit <- from(NULL)
  if (method == "GCV.Cp" && !is.null(fit$outer.info$conv)) {  # which may have two minima: the better one
    other <- from(list(sp = 50 * fit$sp, scale = 1))
    if (other$gcv.ubre < fit$gcv.ubre) fit <- other
  }
  how <- fit$outer.info$conv  # NULL for a gaussian fit by GCV, which mgcv solves another way
  if (!is.null(how) && how != "full convergence") stop(deparse(formula), ": ", how)
  table <- summary(fit)$s.table
  link <- predict(fit, se.fit = TRUE)
  ahead <- predict(fit, new, se.fit = TRUE)
  list(score = as.numeric(fit$gcv.ubre), smoothing = I(fit$sp / vapply(fit$smooth, function(s) s$S.scale, 0)), edf = I(table[, "edf"]), ref_df = I(table[, "Ref.df"]),
       p = I(table[, "p-value"]), total = sum(fit$edf), dispersion = fit$sig2, deviance = deviance(fit), aic = fit$aic,
       fitted = I(fitted(fit)[rows]), se = I(link$se.fit[rows]), new = I(ahead$fit), new_se = I(ahead$se.fit))
}

fits <- list(
  "gaussian" = told(y ~ s(x, bs = "ps", k = 20, m = c(2, 2)), gaussian(), "REML"),
  "gaussian gcv" = told(y ~ s(x, bs = "ps", k = 20, m = c(2, 2)), gaussian(), "GCV.Cp"),
  "gaussian weights" = told(y ~ g + s(x, bs = "ps", k = 20, m = c(2, 2)) + s(z, bs = "ps", k = 12, m = c(2, 2)), gaussian(), "REML", w),
  "gaussian weights gcv" = told(y ~ g + s(x, bs = "ps", k = 20, m = c(2, 2)) + s(z, bs = "ps", k = 12, m = c(2, 2)), gaussian(), "GCV.Cp", w),
  "gaussian other orders" = told(y ~ z + s(x, bs = "ps", k = 15, m = c(1, 3)), gaussian(), "REML"),
  "gaussian by level" = told(y ~ g + s(x, bs = "ps", k = 10, m = c(2, 2), by = factor(g)), gaussian(), "REML"),
  "gaussian log" = told(half ~ s(x, bs = "ps", k = 20, m = c(2, 2)), gaussian("log"), "REML"),
  "binomial" = told(hit ~ s(x, bs = "ps", k = 20, m = c(2, 2)) + s(z, bs = "ps", k = 20, m = c(2, 2)), binomial(), "REML"),
  "binomial gcv" = told(hit ~ s(x, bs = "ps", k = 20, m = c(2, 2)) + s(z, bs = "ps", k = 20, m = c(2, 2)), binomial(), "GCV.Cp"),
  "binomial trials probit" = told(share ~ s(x, bs = "ps", k = 20, m = c(2, 2)), binomial("probit"), "REML", trials),
  "binomial trials cloglog gcv" = told(share ~ s(x, bs = "ps", k = 20, m = c(2, 2)), binomial("cloglog"), "GCV.Cp", trials),
  "poisson offset" = told(count ~ g + s(x, bs = "ps", k = 20, m = c(2, 2)) + s(z, bs = "ps", k = 12, m = c(2, 2)) + offset(offset), poisson(), "REML"),
  "poisson offset gcv" = told(count ~ g + s(x, bs = "ps", k = 20, m = c(2, 2)) + s(z, bs = "ps", k = 12, m = c(2, 2)) + offset(offset), poisson(), "GCV.Cp"),
  "gamma log" = told(amount ~ s(x, bs = "ps", k = 20, m = c(2, 2)) + s(z, bs = "ps", k = 20, m = c(2, 2)), Gamma("log"), "REML"),
  "gamma log gcv" = told(amount ~ s(x, bs = "ps", k = 20, m = c(2, 2)) + s(z, bs = "ps", k = 20, m = c(2, 2)), Gamma("log"), "GCV.Cp"),
  "gamma log weights" = told(amount ~ g + s(x, bs = "ps", k = 20, m = c(2, 2)), Gamma("log"), "REML", w),
  "inverse_gaussian log" = told(half ~ s(x, bs = "ps", k = 20, m = c(2, 2)), inverse.gaussian("log"), "REML"),
  "quasi-poisson" = told(count ~ s(x, bs = "ps", k = 20, m = c(2, 2)) + offset(offset), quasipoisson(), "REML"))
writeLines(json(list(data = lapply(data, I), new = lapply(new, I), fits = fits)), file.path(here, "smooths.json"))
