# Reference inference by R for glm fits: writes inference.json beside this file.
# Run from this folder:  Rscript make_inference.R     (R with MASS, sandwich, car, AER, pscl, statmod; ten seconds)
#
# Every fit, and every refit made inside anova, drop1, car::Anova, profiles and the jackknife, iterates until its coefficients
# no longer move, so the numbers hold to about 1e-12. Numbers are written with 17 significant digits (jsonlite stops at 15),
# NA as null; a matrix is the list of its rows; a table is {"terms": [...], column: [...]}; a key R leaves undefined is absent.
suppressMessages({library(MASS); library(sandwich); library(car); library(AER); library(pscl); library(statmod)})
d <- read.csv("families.csv", stringsAsFactors = TRUE)
n <- nrow(d)
d$c1 <- (seq_len(n) - 1) %/% 8
d$c2 <- (seq_len(n) - 1) %% 10
d$frequency <- round(d$w) + 1

# ---- writing ----
json <- function(x, deep = 0) {
  if (is.null(x)) return("null")
  if (is.data.frame(x)) x <- as.list(x)
  if (is.matrix(x)) return(paste0("[", paste(apply(x, 1, function(r) json(I(unname(r)))), collapse = ", "), "]"))
  if (is.list(x)) {
    x <- x[!vapply(x, is.null, NA)]
    body <- vapply(names(x), function(k) paste0('"', k, '": ', json(x[[k]], deep + 1)), "")
    gap <- if (deep < 3) "\n" else " "
    return(paste0("{", if (deep < 3) "\n", paste(body, collapse = paste0(",", gap)), if (deep < 3) "\n", "}"))
  }
  many <- length(x) != 1 || inherits(x, "AsIs") || !is.null(names(x))
  x <- as.vector(unclass(x))
  s <- if (is.character(x)) paste0('"', x, '"') else ifelse(is.finite(x), sprintf("%.17g", as.numeric(x)), "null")
  if (many) paste0("[", paste(s, collapse = ", "), "]") else s
}
one <- function(x) unname(as.vector(x))                                 # a scalar without its name
table_of <- function(a, columns) {                                      # an anova-like data frame under our column names
  a <- as.data.frame(a)
  c(list(terms = I(rownames(a))), lapply(Filter(function(k) k %in% names(a), columns), function(k) I(as.numeric(a[[k]]))))
}
quietly <- function(e) suppressWarnings(suppressMessages(e))

# ---- fitting ----
# summary.glm takes the dispersion of negative.binomial(theta) as estimated; such a fit gets the class nb1 here, whose summary
# and vcov have dispersion 1, and so have rstandard, cooks.distance, predict, anova, drop1, add1, profile and car::Anova.
summary.nb1 <- function(object, dispersion = 1, ...) summary.glm(object, dispersion = 1, ...)
vcov.nb1 <- function(object, ...) summary.glm(object, dispersion = 1)$cov.scaled
tight <- glm.control(epsilon = 1e-300, maxit = 60)
settle <- function(formula, family, data = quote(d), weights = NULL, ...) {
  start <- NULL
  environment(formula) <- globalenv()
  for (k in 1:300) {
    call <- as.call(c(list(quote(glm), formula, family = family, data = data, control = tight), if (!is.null(weights)) list(weights = weights), list(...)))
    if (!is.null(start)) call$start <- start
    fit <- suppressWarnings(eval(call, globalenv()))
    if (!is.null(start) && k > 2 && max(abs(coef(fit) - start)) <= 1e-14 * max(abs(start))) break
    start <- coef(fit)
  }
  fit$call$start <- NULL
  if (startsWith(fit$family$family, "Negative Binomial")) class(fit) <- c("nb1", class(fit))
  fit
}
offset_of <- function(fit) if (is.null(fit$offset)) rep(0, length(fit$y)) else fit$offset
# glm.fit on columns x from a start, until the coefficients rest
refit <- function(fit, x, rows = seq_along(fit$y), offset = offset_of(fit), start = NULL) {
  for (k in 1:100) {
    z <- suppressWarnings(glm.fit(x[rows, , drop = FALSE], fit$y[rows], fit$prior.weights[rows], start = start, offset = offset[rows],
      family = fit$family, control = glm.control(epsilon = 1e-300, maxit = 20)))
    if (!is.null(start) && max(abs(z$coefficients - start)) <= 1e-13 * max(abs(start))) break
    start <- z$coefficients
  }
  z
}
known <- function(fit) inherits(fit, "nb1") || fit$family$family %in% c("binomial", "poisson")
phi_of <- function(fit) summary(fit)$dispersion                          # 1, or Pearson chi-squared / residual df

# ---- parts ----
residual_part <- function(fit) {
  i <- lm.influence(fit, do.coef = FALSE)
  h <- i$hat
  rd <- residuals(fit, "deviance"); rp <- residuals(fit, "pearson")
  out <- list(response = residuals(fit, "response"), working = residuals(fit, "working"), pearson = rp, deviance = rd,
    standardised_deviance = rstandard(fit, type = "deviance"), standardised_pearson = rstandard(fit, type = "pearson"),
    studentised = rstudent(fit), partial = residuals(fit, "partial"))
  phi <- phi_of(fit)                                                     # the formulas, phi = 1 for a known dispersion
  s <- sign(rd) * sqrt(rd^2 + h / (1 - h) * rp^2)
  stopifnot(all.equal(unname(out$standardised_deviance), unname(rd / sqrt(phi * (1 - h))), tolerance = 1e-13),
    all.equal(unname(out$standardised_pearson), unname(rp / sqrt(phi * (1 - h))), tolerance = 1e-13),
    all.equal(unname(out$studentised), unname(if (fit$family$family %in% c("binomial", "poisson")) s else s / i$sigma), tolerance = 1e-13))
  # rstudent has no dispersion argument: for negative binomial it divides by sigma(i); this one does not
  if (inherits(fit, "nb1")) out$studentised_dispersion1 <- s
  out
}
influence_part <- function(fit, one_step) {
  i <- lm.influence(fit)
  h <- i$hat; p <- fit$rank
  rd <- residuals(fit, "deviance"); rp <- residuals(fit, "pearson")
  out <- list(hat = hatvalues(fit), cook = cooks.distance(fit), dfbetas = dfbetas(fit), dffits = dffits(fit), covratio = covratio(fit), dfbeta = dfbeta(fit), sigma = i$sigma)
  sigma <- sqrt((sum(rd^2) - rd^2 / (1 - h)) / (n - p - 1))              # of deviance residuals, whatever the family
  star <- rd / (sigma * sqrt(1 - h))
  x <- model.matrix(fit); rw <- sqrt(fit$weights); unscaled <- summary.glm(fit)$cov.unscaled
  by <- function(r) (x * rw * r / (1 - h)) %*% unscaled                  # b - b(i) to one step, from residuals r
  phi <- phi_of(fit)
  eq <- function(a, b) stopifnot(all.equal(unname(a), unname(b), tolerance = 1e-10, check.attributes = FALSE))
  eq(out$sigma, sigma); eq(out$cook, rp^2 * h / ((1 - h)^2 * phi * p))
  eq(out$dffits, rd * sqrt(h) / (sigma * (1 - h))); eq(out$covratio, 1 / ((1 - h) * ((n - p - 1 + star^2) / (n - p))^p))
  eq(out$dfbeta, by(rd)); eq(out$dfbetas, by(rd) / outer(sigma, sqrt(diag(unscaled))))
  # R's dfbeta takes deviance residuals; the one-step change of the coefficients (Williams 1987) takes Pearson ones
  if (one_step) out$dfbeta_onestep <- by(rp)
  lapply(out, function(v) if (is.matrix(v)) unname(v) else v)
}
covariance_part <- function(fit) {
  hc <- sapply(c("HC0", "HC1", "HC2", "HC3", "HC4"), function(k) vcovHC(fit, type = k), simplify = FALSE)
  cl1 <- vcovCL(fit, cluster = d$c1, type = "HC1"); cl0 <- vcovCL(fit, cluster = d$c1, type = "HC0", cadjust = FALSE)
  two <- vcovCL(fit, cluster = data.frame(c1 = d$c1, c2 = d$c2), type = "HC1", multi0 = FALSE)
  hac <- NeweyWest(fit, lag = 3, prewhite = FALSE, adjust = FALSE, order.by = NULL)
  hac_adjusted <- NeweyWest(fit, lag = 3, prewhite = FALSE, adjust = TRUE, order.by = NULL)
  # the same by formula
  u <- model.matrix(fit) * as.vector(residuals(fit, "working") * fit$weights)
  a <- summary.glm(fit)$cov.unscaled; p <- fit$rank
  meat <- function(g) crossprod(rowsum(u, g)); groups <- function(g) length(unique(g))
  eq <- function(v, w) stopifnot(all.equal(unname(v), unname(w), tolerance = 1e-10, check.attributes = FALSE))
  both <- paste(d$c1, d$c2); scaled <- function(g) groups(g) / (groups(g) - 1) * meat(g)
  eq(cl0, a %*% meat(d$c1) %*% a); eq(cl1, (n - 1) / (n - p) * a %*% scaled(d$c1) %*% a)
  eq(two, (n - 1) / (n - p) * a %*% (scaled(d$c1) + scaled(d$c2) - scaled(both)) %*% a)
  m <- crossprod(u)
  for (l in 1:3) { g <- crossprod(u[1:(n - l), ], u[(l + 1):n, ]); m <- m + (1 - l / 4) * (g + t(g)) }
  eq(hac, a %*% m %*% a); eq(hac_adjusted, n / (n - p) * a %*% m %*% a)
  h <- hatvalues(fit)
  eq(hc$HC3, a %*% crossprod(u / (1 - h)) %*% a); eq(hc$HC1, n / (n - p) * a %*% crossprod(u) %*% a)
  list(HC = hc, CL1 = cl1, CL0 = cl0, CL_two = two, HAC3 = hac, HAC3_adjusted = hac_adjusted)
}
jackknife <- function(fit, g = seq_len(n)) {
  x <- model.matrix(fit); b0 <- coef(fit)
  b <- t(sapply(unique(g), function(k) refit(fit, x, which(g != k), start = b0)$coefficients))
  m <- nrow(b); e <- sweep(b, 2, colMeans(b))
  unname((m - 1) / m * crossprod(e))
}
profile_part <- function(fit) {
  x <- model.matrix(fit); b <- coef(fit); se <- sqrt(diag(vcov(fit))); off <- offset_of(fit); phi <- phi_of(fit)
  limit <- function(j, side) {
    root <- function(v) {
      z <- suppressWarnings(glm.fit(x[, -j, drop = FALSE], fit$y, fit$prior.weights, start = b[-j], offset = off + x[, j] * v, family = fit$family, control = tight))
      sqrt(max(z$deviance - fit$deviance, 0) / phi) - qnorm(.975)
    }
    reach <- 1.5
    while (root(b[j] + side * reach * se[j]) < 0) reach <- reach * 1.5
    uniroot(root, sort(c(b[j], b[j] + side * reach * se[j])), tol = 1e-11)$root
  }
  out <- cbind(sapply(seq_along(b), limit, -1), sapply(seq_along(b), limit, 1))
  list(profile = out, profile_confint = tryCatch(quietly(unname(confint(fit))), error = function(e) { message("confint: ", conditionMessage(e)); NULL }))
}
# score statistic, within columns x, of the fit z restricted to some of them; expected information, dispersion phi.
# R's own (anova, drop1, add1 with test = "Rao") takes weights one iteration old of a fit that stopped on its deviance, and so
# holds to about 1e-8 only; agree() checks ours against it.
score_statistic <- function(fit, z, x, phi) {
  m <- fit$family$mu.eta(z$linear.predictors); v <- fit$family$variance(z$fitted.values)
  u <- crossprod(x, fit$prior.weights * m / v * (fit$y - z$fitted.values))
  one(crossprod(u, solve(crossprod(x, fit$prior.weights * m^2 / v * x), u))) / phi
}
agree <- function(a, b) stopifnot(all(abs(a - b) <= 1e-6 * (abs(b) + 1e-3)))
test_part <- function(fit) {
  x <- model.matrix(fit); off <- offset_of(fit); phi <- phi_of(fit); rdf <- fit$df.residual
  plain <- setdiff(colnames(x), c("x1", "x2"))
  cases <- list(
    H1 = list("x1 = x2", cbind(x[, plain], x[, "x1"] + x[, "x2"]), off),
    H2 = list(c("gb = 0", "gc = 0"), x[, c("(Intercept)", "x1", "x2")], off),
    H3 = list("2*x1 + x2 = 0.5", cbind(x[, plain], x[, "x1"] - 2 * x[, "x2"]), off + 0.5 * x[, "x2"]))
  lapply(cases, function(k) {
    q <- length(k[[1]])
    w <- linearHypothesis(fit, k[[1]], test = "Chisq"); wf <- linearHypothesis(fit, k[[1]], test = "F")
    z <- refit(fit, k[[2]], offset = k[[3]])
    lr <- (z$deviance - fit$deviance) / phi
    rao <- score_statistic(fit, z, x, phi)
    if (q == 2) {
      a <- quietly(anova(fit, test = "Rao"))
      agree(rao, a$Rao[nrow(a)] / phi)
    }
    upper <- function(s) pchisq(s, q, lower.tail = FALSE)
    out <- list(df = q, wald = w$Chisq[2], p_wald = w[2, 4], lr = lr, p_lr = upper(lr), rao = rao, p_rao = upper(rao))
    if (!known(fit)) out <- c(out, list(resid_df = rdf, wald_F = wf$F[2], p_wald_F = wf[2, 4], lr_F = lr / q, p_lr_F = pf(lr / q, q, rdf, lower.tail = FALSE)))
    out
  })
}
car_part <- function(fit) {
  out <- list()
  for (type in c("II", "III")) for (test in c("LR", "Wald", if (!known(fit)) "F")) {
    a <- quietly(Anova(fit, type = type, test.statistic = test))
    s <- intersect(names(a), c("LR Chisq", "Chisq", "F value", "F values"))
    out[[paste(type, test)]] <- table_of(a, list(statistic = s, df = "Df", p = intersect(names(a), c("Pr(>Chisq)", "Pr(>F)"))))
  }
  out
}
sequence_part <- function(fit) {
  rule <- if (known(fit)) "Chisq" else "F"
  a <- quietly(anova(fit, test = rule)); r <- quietly(anova(fit, test = "Rao"))
  phi <- phi_of(fit)
  out <- table_of(a, list(df = "Df", deviance = "Deviance", resid_df = "Resid. Df", resid_dev = "Resid. Dev", statistic = "F", p = if (known(fit)) "Pr(>Chi)" else "Pr(>F)"))
  if (known(fit)) out$statistic <- out$deviance
  x <- model.matrix(fit); k <- attr(x, "assign")
  rao <- sapply(seq_len(max(k)), function(i) score_statistic(fit, refit(fit, x[, k < i, drop = FALSE]), x[, k <= i, drop = FALSE], phi))
  agree(rao, r$Rao[-1] / phi)                                             # anova prints Rao undivided, its p from Rao / phi
  out$rao <- I(c(NA, rao)); out$p_rao <- I(c(NA, pchisq(rao, a$Df[-1], lower.tail = FALSE)))
  out$test <- rule
  out
}
single_part <- function(fun, fit, full = fit, ...) {                       # add1: fit is the small model, full has every term
  lrt <- quietly(fun(fit, ..., test = "LRT")); r <- quietly(fun(fit, ..., test = "Rao"))
  out <- table_of(lrt, list(df = "Df", deviance = "Deviance", aic = "AIC", lrt = intersect(names(lrt), c("LRT", "scaled dev.")), p_lrt = "Pr(>Chi)"))
  x <- model.matrix(full); k <- attr(x, "assign"); labels <- attr(terms(full), "term.labels")
  adding <- identical(fun, add1); old <- c(0, match(attr(terms(fit), "term.labels"), labels))
  rao <- sapply(out$terms[-1], function(t) {
    i <- match(t, labels)
    small <- if (adding) k %in% old else k != i
    score_statistic(fit, refit(fit, x[, small, drop = FALSE]), x[, small | k == i, drop = FALSE], phi_of(fit))
  })
  # add1 gives the offset to the regression of its score test too, which is then no score statistic
  if (!adding || is.null(fit$offset)) agree(rao, r[[intersect(names(r), c("Rao score", "scaled Rao sc."))]][-1])
  out$rao <- I(c(NA, one(rao))); out$p_rao <- I(c(NA, pchisq(one(rao), lrt$Df[-1], lower.tail = FALSE)))
  if (!known(fit)) { f <- quietly(fun(fit, ..., test = "F")); out$F <- I(f[["F value"]]); out$p_F <- I(f[["Pr(>F)"]]) }
  out
}
prediction_part <- function(fit) {
  new <- d[1:5, ]; new$x1 <- new$x1 + 0.5
  link <- predict(fit, new, se.fit = TRUE, type = "link"); response <- predict(fit, new, se.fit = TRUE, type = "response")
  terms <- predict(fit, new, se.fit = TRUE, type = "terms")
  list(newdata = list(x1 = new$x1, x2 = new$x2, g = as.character(new$g), offset = new$offset),
    link = list(fit = link$fit, se = link$se.fit), response = list(fit = response$fit, se = response$se.fit),
    terms = list(names = I(colnames(terms$fit)), constant = one(attr(terms$fit, "constant")), fit = unname(matrix(terms$fit, 5)), se = unname(matrix(terms$se.fit, 5))))
}
measure_part <- function(fit) {
  ll <- tryCatch(as.numeric(logLik(fit)), error = function(e) NA); y <- fit$y; mu <- fitted(fit)
  x0 <- refit(fit, matrix(1, n, 1))                                       # intercept and offset
  out <- list(deviance_r2 = 1 - fit$deviance / x0$deviance, null_deviance = x0$deviance)
  stopifnot(abs(x0$deviance - fit$null.deviance) < 1e-10 * x0$deviance)
  if (is.finite(ll)) {
    k <- attr(logLik(fit), "df")
    empty <- fit
    empty[c("aic", "rank")] <- list(fit$family$aic(y, rep(1, n), x0$fitted.values, fit$prior.weights, x0$deviance) + 2, 1L)
    if (fit$family$family == "binomial" && any(fit$prior.weights != 1)) {
      m <- fit$prior.weights; empty$aic <- -2 * sum(dbinom(round(m * y), round(m), x0$fitted.values, log = TRUE)) + 2
    }
    l0 <- as.numeric(logLik(empty))
    cs <- 1 - exp(2 * (l0 - ll) / n)
    out <- c(out, list(loglik = ll, df_loglik = k, null_loglik = l0, AIC = AIC(fit), BIC = BIC(fit), AICc = AIC(fit) + 2 * k * (k + 1) / (n - k - 1),
      McFadden = 1 - ll / l0, CoxSnell = cs, Nagelkerke = cs / (1 - exp(2 * l0 / n))))
  }
  if (fit$family$family == "binomial" && all(y %in% 0:1)) {
    a <- mu[y == 1]; b <- mu[y == 0]
    out <- c(out, list(Tjur = mean(a) - mean(b), Brier = mean((y - mu)^2), AUC = mean(outer(a, b, function(s, t) (s > t) + 0.5 * (s == t)))))
  }
  out
}
diagnostic_part <- function(name, fit) {
  out <- list()
  # link test: eta^2 beside the whole model; Stata's linktest: y on eta and eta^2 (none with an offset)
  d$eta <<- fit$linear.predictors; d$eta2 <<- fit$linear.predictors^2
  again <- function(formula) {
    z <- settle(formula, fit$call$family, weights = fit$call$weights)
    s <- summary(z)$coefficients
    list(estimate = one(s["eta2", 1]), se = one(s["eta2", 2]), statistic = one(s["eta2", 3]), p = one(s["eta2", 4]), dispersion = phi_of(z), deviance = z$deviance)
  }
  out$link_test <- again(update(formula(fit), . ~ . + eta2))
  if (is.null(fit$offset)) out$link_test_stata <- again(update(formula(fit), . ~ eta + eta2))
  if (fit$family$family == "poisson") for (k in 1:2) {
    t <- dispersiontest(fit, trafo = k, alternative = "greater")
    out[[paste0("dispersion_test_", k)]] <- list(statistic = one(t$statistic), p = one(t$p.value), alpha = one(t$estimate))
  }
  if (fit$family$family == "binomial" && all(fit$y %in% 0:1)) {
    mu <- fitted(fit); y <- fit$y
    cuts <- cut(mu, quantile(mu, seq(0, 1, 0.1)), include.lowest = TRUE)
    size <- as.vector(table(cuts)); o <- as.vector(tapply(y, cuts, sum)); e <- as.vector(tapply(mu, cuts, sum))
    s <- sum((o - e)^2 / e + ((size - o) - (size - e))^2 / (size - e))
    out$hosmer_lemeshow <- list(statistic = s, df = 8, p = pchisq(s, 8, lower.tail = FALSE), size = size, observed = o, expected = e)
  }
  out
}
shape_gamma <- function(fit) {
  s <- gamma.shape(fit, it.lim = 100, eps.max = 1e-12)
  list(alpha = s$alpha, SE = s$SE, dispersion = gamma.dispersion(fit, it.lim = 100, eps.max = 1e-12))
}
shape_nb <- function(formula, weights = NULL) {
  theta <- 1
  for (k in 1:500) {
    fit <- settle(formula, as.call(list(quote(negative.binomial), theta)), weights = weights)
    w <- fit$prior.weights
    t <- quietly(theta.ml(fit$y, fitted(fit), sum(w), w, limit = 100, eps = 1e-12))
    if (abs(t - theta) <= 1e-13 * theta) break
    theta <- as.vector(t)
  }
  if (k == 500 && abs(t - theta) > 1e-11 * theta) message("theta of ", deparse(formula), " still moves: ", t - theta)
  y <- fit$y; mu <- fitted(fit); th <- theta
  ll <- sum(w * (lgamma(th + y) - lgamma(th) - lgamma(y + 1) + th * log(th) + y * log(mu) - (th + y) * log(th + mu)))
  mass <- quietly(eval(as.call(c(list(quote(glm.nb), formula, data = quote(d), control = glm.control(epsilon = 1e-14, maxit = 500)), if (!is.null(weights)) list(weights = weights)))))
  stopifnot(abs(mass$theta - th) < 1e-6 * th, max(abs(coef(mass) - coef(fit))) < 1e-7, abs(mass$twologlik / 2 - ll) < 1e-9 * abs(ll))
  list(fit = fit, json = list(theta = th, SE_theta = attr(t, "SE"), coef = coef(fit), stderror = sqrt(diag(vcov(fit))), loglik = ll, deviance = fit$deviance))
}

# ---- the models ----
f <- function(y, offset = FALSE) as.formula(paste(y, "~ x1 + x2 + g", if (offset) "+ offset(offset)"))
w <- quote(w)
models <- list(
  gaussian = list(f("y_gaussian"), quote(gaussian())),
  "gaussian weights" = list(f("y_gaussian"), quote(gaussian()), w),
  binomial = list(f("y_binomial"), quote(binomial())),
  "binomial probit" = list(f("y_binomial"), quote(binomial("probit"))),
  "binomial trials cloglog" = list(f("proportion"), quote(binomial("cloglog")), quote(trials)),
  poisson = list(f("y_poisson"), quote(poisson())),
  "poisson offset" = list(f("y_poisson", TRUE), quote(poisson())),
  "gamma log" = list(f("y_gamma"), quote(Gamma("log"))),
  "gamma weights" = list(f("y_gamma"), quote(Gamma("log")), w),
  "inverse_gaussian log" = list(f("y_inverse_gaussian"), quote(inverse.gaussian("log"))),
  negative_binomial = list(f("y_negative_binomial"), quote(negative.binomial(3))),
  "quasi-poisson" = list(f("y_poisson"), quote(quasipoisson())),
  tweedie = list(f("y_tweedie"), quote(tweedie(var.power = 1.5, link.power = 0))))
out <- list("made by" = R.version.string)
for (name in names(models)) {
  m <- models[[name]]
  weights <- if (length(m) > 2) m[[3]]
  fit <- settle(m[[1]], m[[2]], weights = weights)
  s <- summary.glm(fit)                                                  # negative_binomial: dispersion estimated, as summary prints
  stopifnot(n == length(fit$y))
  e <- list(coef = coef(fit), stderror = s$coefficients[, 2], vcov_model = vcov(fit), deviance = fit$deviance, dispersion = s$dispersion,
    df_residual = fit$df.residual, residuals = residual_part(fit), influence = influence_part(fit, name %in% c("binomial", "binomial trials cloglog", "poisson", "gamma log")))
  ll <- tryCatch(as.numeric(logLik(fit)), error = function(e) NA)
  if (is.finite(ll)) e$loglik <- ll
  e <- c(e, covariance_part(fit))
  if (name %in% c("binomial", "poisson", "gamma log")) e$jackknife <- jackknife(fit)
  if (name == "poisson") e$jackknife_c1 <- jackknife(fit, d$c1)
  e <- c(e, profile_part(fit))
  e$tests <- test_part(fit)
  e$anova <- sequence_part(fit)
  e$drop1 <- single_part(drop1, fit)
  e$car <- car_part(fit)
  small <- settle(update(m[[1]], if (name == "poisson offset") . ~ x1 + offset(offset) else . ~ x1), m[[2]], weights = weights)
  e$add1 <- single_part(add1, small, fit, scope = ~ x1 + x2 + g)
  e$prediction <- prediction_part(fit)
  e$measures <- measure_part(fit)
  e$diagnostics <- diagnostic_part(name, fit)
  if (fit$family$family == "Gamma") e$gamma_shape <- shape_gamma(fit)
  out[[name]] <- e
  message(name)
}
for (name in c("binomial", "poisson", "gamma log")) {
  m <- models[[name]]
  fit <- settle(update(m[[1]], . ~ x1 * g + x2), m[[2]], contrasts = list(g = "contr.sum"))
  out[[paste(name, "interaction")]] <- list(names = I(names(coef(fit))), coef = coef(fit), stderror = sqrt(diag(vcov(fit))), deviance = fit$deviance,
    dispersion = phi_of(fit), anova = sequence_part(fit), drop1 = single_part(drop1, fit), car = car_part(fit))
}

# ---- shape, Vuong, warpbreaks ----
nb <- f("y_negative_binomial")
free <- shape_nb(nb)
out$shape <- list(negative_binomial = free$json, "negative_binomial offset" = shape_nb(f("y_negative_binomial", TRUE))$json,
  "negative_binomial frequency" = shape_nb(nb, weights = quote(frequency))$json)
# pscl::vuong prints only; its numbers by its own formula (parameters counted by length(coef), so theta does not count), checked
# against the print; aic_theta and bic_theta count theta
vuong_of <- function(theta, fit, extra) {
  m1 <- settle(nb, quote(poisson())); m2 <- fit
  y <- m1$y
  m <- dpois(y, fitted(m1), log = TRUE) - dnbinom(y, mu = fitted(m2), size = theta, log = TRUE)
  z <- function(c) sum(m - c) / (sd(m - c) * sqrt(n))
  class(m2) <- c("negbin", "glm", "lm"); m2$theta <- theta
  printed <- capture.output(vuong(m1, m2, digits = 12))
  row <- as.numeric(strsplit(trimws(grep("^Raw", printed, value = TRUE)), " +")[[1]][2])
  stopifnot(abs(row - z(0)) < 1e-5 * abs(row))
  out <- list(theta = theta, raw = z(0), aic = z(0), bic = z(0))
  if (extra) out <- c(out, list(aic_theta = z(-1 / n), bic_theta = z(-log(n) / (2 * n))))
  out
}
out$vuong <- list("poisson negative_binomial(3)" = vuong_of(3, settle(nb, quote(negative.binomial(3))), FALSE), "poisson negative_binomial" = vuong_of(free$json$theta, free$fit, TRUE))
warp <- function(...) {
  fit <- settle(breaks ~ wool * tension, quote(poisson()), data = quote(datasets::warpbreaks), ...)
  list(names = I(names(coef(fit))), coef = coef(fit), stderror = sqrt(diag(vcov(fit))), deviance = fit$deviance, loglik = as.numeric(logLik(fit)), anova = sequence_part(fit), car = car_part(fit))
}
out$warpbreaks <- c(warp(), list("contr.sum" = warp(contrasts = list(wool = "contr.sum", tension = "contr.sum"))))
writeLines(json(out), "inference.json")
