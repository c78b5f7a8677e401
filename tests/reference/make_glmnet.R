# Penalised fits by glmnet: writes glmnet.json beside this file, with the data they were made of.
# Run from this folder:  Rscript make_glmnet.R     (R with glmnet; a minute)
#
# The objective of every number is
#
#   1/sum(w) sum_i w_i unit_deviance_i / 2  +  sum_j alpha f_j (l1_ratio |b_j| + (1 - l1_ratio)/2 b_j^2)
#
# with a free intercept, and glmnet's is the same one but for four things, undone or stated here:
# - gaussian: glmnet divides y (less its offset) by its weighted standard deviation s (root mean square without intercept) and lambda by s, which leaves the l1 part as it is and
#   turns lambda (1 - a)/2 b^2 into lambda (1 - a)/(2 s) b^2.  So it is asked for lambda = alpha (l1_ratio + (1 - l1_ratio) s) and
#   a = alpha l1_ratio / lambda.
# - weights are rescaled to sum to n: no matter, the objective is divided by their sum.
# - penalty factors are rescaled to sum to p: those stored here do so already.
# - standardize = TRUE penalises the coefficients of columns over their standard deviations (weighted, divisor sum(w)): the coefficients
#   stored are those of the columns as they are.
# glmnet ends when a sweep moves no coefficient by more than sqrt(thresh * null deviance), which bounds no error.  So each solution is held
# against the Karush-Kuhn-Tucker conditions of the objective above: "kkt" is the largest violation by any coefficient or the intercept, in
# units of the gradient, and the smallest of those at several thresholds is kept.  Where it stays above 1e-8 the number is not "usable".
suppressMessages(library(glmnet))
options(warn = 1)
glmnet.control(fdev = 0, devmax = 1, mnlam = 1)
RNGversion("4.0.0")
set.seed(20)
RATIOS <- c(1, 0.5, 0.1, 0)
SHARES <- c(0.6, 0.2, 0.05, 0.01)                                        # of the least alpha at which nothing enters
THRESHOLDS <- c(1e-14, 1e-18, 1e-22, 1e-26)

# ---- writing: 17 digits where they are needed (jsonlite stops at 15) ----
number <- function(v) {
  short <- sprintf("%.15g", v)
  ifelse(is.na(v), "null", ifelse(v == Inf, '"inf"', ifelse(v == -Inf, '"-inf"', ifelse(as.numeric(short) == v, short, sprintf("%.17g", v)))))
}
json <- function(v, indent = "") {
  if (is.null(v)) return("null")
  if (is.matrix(v)) return(paste0("[", paste(apply(v, 1, function(r) json(I(unname(r)))), collapse = ", "), "]"))
  if (is.list(v)) {
    inner <- paste0(indent, " ")
    parts <- vapply(v, json, "", inner)
    if (!is.null(names(v))) return(paste0("{\n", inner, paste0('"', names(v), '": ', parts, collapse = paste0(",\n", inner)), "}"))
    return(paste0("[\n", inner, paste(parts, collapse = paste0(",\n", inner)), "]"))
  }
  text <- if (is.character(v)) paste0('"', v, '"') else if (is.logical(v)) tolower(v) else number(v)
  if (length(v) == 1 && !inherits(v, "AsIs")) text else paste0("[", paste(text, collapse = ", "), "]")
}

# ---- data: every number rounded, so that it is read as it is written ----
correlated <- function(n, p, rho = 0.5) {
  X <- matrix(rnorm(n * p), n)
  for (j in 2:p) X[, j] <- rho * X[, j - 1] + sqrt(1 - rho^2) * X[, j]
  X
}
responses <- function(X, b, classes) {
  n <- nrow(X); eta <- drop(X %*% b); offset <- round(rnorm(n, 0, 0.5), 2); exposure <- round(runif(n, 0.2, 2), 2); trials <- rpois(n, 4) + 1
  d <- list(X = X, weights = round(runif(n, 0.2, 3), 2), offset = offset, exposure = exposure, trials = trials,
    gaussian = round(2 + 1.7 * eta + offset + rnorm(n), 2), binomial = rbinom(n, 1, plogis(0.3 + eta + offset)),
    proportion = rbinom(n, trials, plogis(0.2 + eta)) , poisson = rpois(n, exp(0.2 + 0.6 * eta) * exposure))
  if (!is.null(classes)) {
    E <- exp(X %*% classes); d$multinomial <- apply(E / rowSums(E), 1, function(q) sample(3, 1, prob = q)) - 1
  }
  d
}
X <- correlated(100, 10)
X[, 3] <- 4 + 2 * X[, 3]; X[, 7] <- 0.3 * X[, 7] - 1                      # columns of other places and lengths
b <- c(1, -0.7, 0.2, 0, 0, 0.5, 1, 0, 0, -0.4)
small <- responses(round(X, 3), b, cbind(0, b, 0.7 * rev(b)))
small$proportion <- small$proportion / small$trials
b <- c(1, -1, 0.8, 0, 0, 0.6, rep(0, 94))
wide <- responses(round(correlated(40, 100), 3), b, NULL)
X <- matrix(ifelse(runif(120 * 40) < 0.1, round(rexp(120 * 40), 2), 0), 120)
b <- c(rep(c(0.8, 0, -0.6, 0), 5), rep(0, 20))
thin <- responses(X, b, NULL)
data <- list(small = small, wide = wide, thin = thin)

# ---- the objective's own conditions ----
mean_of <- list(gaussian = identity, binomial = plogis, poisson = exp)
kkt <- function(X, y, w, family, offset, intercept, B, a0, l1, l2, lower, upper, grouped) {
  eta <- sweep(X %*% B, 2, a0, "+") + offset
  if (family == "multinomial") { E <- exp(eta - apply(eta, 1, max)); mu <- E / rowSums(E); y <- diag(3)[y + 1, ] } else mu <- mean_of[[family]](eta)
  r <- w * (y - mu) / sum(w)
  slope <- -crossprod(X, r) + l2 * B                                       # of the smooth part
  worst <- if (intercept) max(abs(colSums(r))) else 0
  violations <- if (grouped) {
    size <- sqrt(rowSums(B^2)); on <- size > 0
    c( abs(slope[on, ] + l1[on] * B[on, , drop = FALSE] / size[on]), sqrt(rowSums(slope[!on, , drop = FALSE]^2)) - l1[!on])
  } else {
    right <- slope + l1 * ifelse(B >= 0, 1, -1); left <- slope + l1 * ifelse(B > 0, 1, -1)
    c(ifelse(B < upper, pmax(-right, 0), 0), ifelse(B > lower, pmax(left, 0), 0))
  }
  max(violations, worst)
}

# ---- cases ----
entries <- list()
case <- function(name, on, family, response = family, weights = NULL, offset = NULL, exposure = NULL, intercept = TRUE, lower = NULL, upper = NULL,
                 factors = NULL, standardize = FALSE, sparse = FALSE, grouped = FALSE) {
  d <- data[[on]]; X <- d$X; y <- d[[response]]; n <- nrow(X); p <- ncol(X)
  w <- if (is.null(weights)) rep(1, n) else d[[weights]]
  o <- if (!is.null(exposure)) log(d[[exposure]]) else if (!is.null(offset)) d[[offset]] else rep(0, n)
  f <- if (is.null(factors)) rep(1, p) else factors
  stopifnot(sum(f) == p)
  lo <- if (is.null(lower)) -Inf else lower; up <- if (is.null(upper)) Inf else upper
  m <- colSums(w * X) / sum(w); s <- sqrt(colSums(w * sweep(X, 2, m)^2) / sum(w)); scale <- if (standardize) s else rep(1, p)
  Z <- if (sparse) Matrix::Matrix(X, sparse = TRUE) else X
  Y <- if (family == "multinomial") factor(y) else if (response == "proportion") cbind(d$trials * (1 - y), d$trials * y) else y
  W <- if (response == "proportion") w / d$trials else w                   # glmnet multiplies by the trials itself
  O <- if (all(o == 0)) NULL else if (family == "multinomial") matrix(o, n, 3) else o
  spread <- { r <- y - o; r <- r - intercept * sum(w * r) / sum(w); if (family == "gaussian") sqrt(sum(w * r^2) / sum(w)) else 1 }
  # the least alpha at which every penalised coefficient is 0, for l1_ratio 1 and no factors or limits
  null <- if (family == "multinomial") { q <- colSums(w * diag(3)[y + 1, ]) / sum(w); crossprod(X, w * (diag(3)[y + 1, ] - rep(q, each = n))) } else {
    e <- if (!intercept) 0 else coef(suppressWarnings(glm(y ~ 1, family = family, weights = w, offset = o)))
    crossprod(X, w * (y - mean_of[[family]](e + o))) }
  largest <- max(abs(null / scale)) / sum(w)
  fits <- list()
  for (ratio in RATIOS) {
    alphas <- signif(SHARES * largest / max(ratio, 0.1), 3)
    found <- vector("list", length(alphas))
    for (thresh in THRESHOLDS) {
      for (k in seq_along(alphas)) {
        if (!is.null(found[[k]]) && found[[k]]$kkt < 1e-12) next
        asked <- alphas[1:k] * (ratio + (1 - ratio) * spread)             # from above, as glmnet is meant to be used
        run <- tryCatch(suppressWarnings(glmnet(Z, Y, family = family, weights = W, offset = O, alpha = ratio / (ratio + (1 - ratio) * spread), lambda = asked,
          standardize = standardize, intercept = intercept, thresh = thresh, maxit = 1e7, penalty.factor = f, lower.limits = lo, upper.limits = up,
          type.multinomial = if (grouped) "grouped" else "ungrouped")), error = function(e) NULL)
        if (is.null(run) || length(run$lambda) < k) next
        if (family == "multinomial") { B <- sapply(run$beta, function(v) v[, k]); a0 <- run$a0[, k] } else { B <- as.matrix(run$beta[, k]); a0 <- run$a0[k] }
        B <- pmin(pmax(ifelse(abs(B - lo) < 1e-12, lo, ifelse(abs(B - up) < 1e-12, up, B)), lo), up)   # glmnet's limits went through a division by s
        if (run$jerr == 0 || run$jerr < -k) {
          gap <- kkt(X / rep(scale, each = n), y, w, family, o, intercept, B * scale, a0, alphas[k] * ratio * f, alphas[k] * (1 - ratio) * f, lo * scale, up * scale, grouped)
          if (is.null(found[[k]]) || gap < found[[k]]$kkt) found[[k]] <- list(alpha = alphas[k], l1_ratio = ratio, kkt = gap, thresh = thresh, usable = gap <= 1e-8,
            intercept = if (family == "multinomial") I(unname(a0)) else if (intercept) unname(a0) else 0, coef = if (family == "multinomial") unname(t(B)) else I(unname(B[, 1])))
        }
      }
    }
    for (k in seq_along(alphas)) {
      g <- found[[k]]
      if (is.null(g)) { message(name, ": nothing at ", alphas[k], " ", ratio); next }
      if (g$kkt > 1e-10) message(name, ": kkt ", signif(g$kkt, 2), " at alpha ", g$alpha, " l1_ratio ", ratio, if (g$usable) "" else "  NOT USABLE")
      fits <- c(fits, list(g))
    }
  }
  entries[[name]] <<- list(data = on, family = family, response = response, weights = weights, offset = offset, exposure = exposure, intercept = intercept,
    lower = if (is.null(lower)) NULL else I(lower), upper = if (is.null(upper)) NULL else I(upper), factors = if (is.null(factors)) NULL else I(factors),
    standardize = standardize, sparse = sparse, grouped = grouped, fits = fits)
}
factors <- c(0, 2, 1, 0.5, 1.5, 1, 1, 0.5, 2, 0.5)
low <- c(0, -0.2, rep(-Inf, 4), 0, 0, -0.1, -0.1); high <- c(0.4, 0, 0.1, rep(Inf, 7))
for (family in c("gaussian", "binomial", "poisson")) {
  case(family, "small", family)
  case(paste(family, "weights"), "small", family, weights = "weights")
  case(paste(family, "offset"), "small", family, offset = "offset")
  case(paste(family, "weights and offset"), "small", family, weights = "weights", offset = "offset")
  case(paste(family, "no intercept"), "small", family, intercept = FALSE)
  case(paste(family, "not negative"), "small", family, lower = 0)
  case(paste(family, "limits"), "small", family, lower = low, upper = high, weights = "weights")
  case(paste(family, "factors"), "small", family, factors = factors)
  case(paste(family, "standardize"), "small", family, weights = "weights", standardize = TRUE)
  case(paste(family, "sparse"), "thin", family, sparse = TRUE)
  case(paste(family, "wide"), "wide", family)
}
case("gaussian wide everything", "wide", "gaussian", weights = "weights", offset = "offset", lower = -0.3, upper = 0.5)
case("binomial proportions", "small", "binomial", response = "proportion", weights = "trials")
case("poisson exposure", "small", "poisson", exposure = "exposure")
case("poisson exposure and weights", "small", "poisson", exposure = "exposure", weights = "weights")
for (grouped in c(FALSE, TRUE)) {
  kind <- if (grouped) "multinomial grouped" else "multinomial"
  case(kind, "small", "multinomial", grouped = grouped)
  case(paste(kind, "weights"), "small", "multinomial", weights = "weights", grouped = grouped)
  case(paste(kind, "no intercept"), "small", "multinomial", intercept = FALSE, grouped = grouped)
}
writeLines(json(list(made_by = paste0(R.version.string, ", glmnet ", packageVersion("glmnet")), data = data, cases = entries)), "glmnet.json")
