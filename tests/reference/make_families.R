# Reference fits by R's glm for every family and link: writes families.json beside this file.
# Run from this folder:  Rscript make_families.R        (R with MASS, statmod and nnet)
#
# glm stops on the deviance, which leaves coefficients of non-canonical links short of their limit; so each fit is
# restarted from its own result until it no longer moves.
suppressMessages({library(MASS); library(statmod); library(nnet)})
d <- read.csv("families.csv", stringsAsFactors = TRUE)
num <- function(x) ifelse(is.finite(x), sprintf("%.17g", x), "null")
vec <- function(x) paste0("[", paste(num(unname(x)), collapse = ", "), "]")
power_link <- function(k) power(k)
links <- list(identity = make.link("identity"), log = make.link("log"), logit = make.link("logit"), probit = make.link("probit"),
  cloglog = make.link("cloglog"), cauchit = make.link("cauchit"), inverse = make.link("inverse"),
  inverse_squared = make.link("1/mu^2"), sqrt = make.link("sqrt"), "power(0.3)" = power_link(0.3))
links$loglog <- structure(list(linkfun = function(mu) -log(-log(mu)), linkinv = function(eta) exp(-exp(-eta)),
  mu.eta = function(eta) exp(-eta - exp(-eta)), valideta = function(eta) TRUE, name = "loglog"), class = "link-glm")
linear <- function(l) { f <- gaussian(); f$link <- l$name; f$linkfun <- l$linkfun; f$linkinv <- l$linkinv; f$mu.eta <- l$mu.eta; f$valideta <- l$valideta; f }
with_link <- function(f, l) { f$link <- l$name; f$linkfun <- l$linkfun; f$linkinv <- l$linkinv; f$mu.eta <- l$mu.eta; f$valideta <- l$valideta; f }
families <- list(gaussian = gaussian(), binomial = binomial(), poisson = poisson(), gamma = Gamma(), inverse_gaussian = inverse.gaussian(),
  tweedie = tweedie(var.power = 1.5, link.power = 0), negative_binomial = negative.binomial(3))
entries <- character()
settle <- function(formula, family, data, start = NULL, ...) {
  fit <- NULL
  for (k in 1:300) {
    env <- list2env(list(start = start, data = data, family = family), parent = environment())
    fit <- suppressWarnings(do.call(glm, c(list(formula, family = family, data = data, start = start, control = glm.control(epsilon = 1e-300, maxit = 60)), list(...))))
    if (!is.null(start) && k > 2 && max(abs(coef(fit) - start)) <= 1e-14 * max(abs(start))) break
    start <- coef(fit)
  }
  fit
}
record <- function(key, fit) {
  s <- summary(fit)
  se <- s$coefficients[, 2]
  ll <- tryCatch(as.numeric(logLik(fit)), error = function(e) NA)
  entries[[length(entries) + 1]] <<- sprintf('"%s": {"coef": %s, "stderror": %s, "deviance": %s, "null_deviance": %s, "dispersion": %s, "loglik": %s, "aic": %s, "df_residual": %d}',
    key, vec(coef(fit)), vec(se), num(deviance(fit)), num(fit$null.deviance), num(s$dispersion), num(ll), num(fit$aic), fit$df.residual)
}
for (f in names(families)) for (l in names(links)) {
  d$y <- d[[paste0("y_", f)]]
  fam <- with_link(families[[f]], links[[l]])
  start <- c(links[[l]]$linkfun(mean(d$y)), 0, 0, 0, 0)
  fit <- tryCatch(settle(y ~ x1 + x2 + g, fam, d, start = start), error = function(e) { message(f, " ", l, ": ", conditionMessage(e)); NULL })
  if (!is.null(fit)) record(paste(f, l), fit)
}
# weights and offset under the default link; no intercept; trials; quasi families
default <- list(gaussian = "identity", binomial = "logit", poisson = "log", gamma = "log", inverse_gaussian = "log", tweedie = "log", negative_binomial = "log")
for (f in setdiff(names(families), "binomial")) {
  d$y <- d[[paste0("y_", f)]]
  fam <- with_link(families[[f]], links[[default[[f]]]])
  record(paste(f, "weights"), settle(y ~ x1 + x2 + g, fam, d, weights = d$w))
  record(paste(f, "offset"), settle(y ~ x1 + x2 + g, fam, d, offset = d$offset))
  record(paste(f, "no intercept"), settle(y ~ x1 + x2 + g - 1, fam, d))
}
record("binomial trials", settle(proportion ~ x1 + x2 + g, binomial(), d, weights = d$trials))
record("binomial offset", settle(proportion ~ x1 + x2, binomial(), d, weights = d$trials, offset = d$offset))
record("binomial no intercept", settle(proportion ~ x1 + g - 1, binomial("probit"), d, weights = d$trials))
d$y <- d$y_poisson
record("quasi-poisson", settle(y ~ x1 + x2 + g, quasipoisson(), d))
d$y <- d$proportion
record("quasi-binomial", settle(y ~ x1 + x2 + g, quasibinomial(), d, weights = d$trials))
d$y <- d$y_gamma
record("quasi(mu^2)", settle(y ~ x1 + x2, quasi(link = "log", variance = "mu^2"), d))
m <- multinom(class ~ x1 + x2 + g, d, reltol = 1e-16, abstol = 1e-16, maxit = 5000, trace = FALSE)
entries[[length(entries) + 1]] <- sprintf('"multinomial": {"coef": %s, "stderror": %s, "deviance": %s, "loglik": %s}', vec(t(coef(m))), vec(t(summary(m)$standard.errors)), num(deviance(m)), num(as.numeric(logLik(m))))
writeLines(paste0("{\n", paste(c(sprintf('"made by": "%s"', R.version.string), entries), collapse = ",\n"), "\n}"), "families.json")
