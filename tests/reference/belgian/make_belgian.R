# Reference fits by R's glm on the Belgian motor portfolio of 1997 (163,212 policies): writes belgian.json beside this file.
# Run from this folder:  Rscript make_belgian.R belgian.csv        (base R with splines)
#
# The CSV is not stored; it comes from the parquet file by
#   import sys
#   import pandas
#   pandas.read_parquet(sys.argv[1]).to_csv(sys.argv[2], index=False)
#
# glm stops on the deviance, so each fit is restarted from its own coefficients until the largest relative change of a
# coefficient is below 1e-12; "last_change" is the change that the last restart still made.
# A coefficient that R leaves out because its column depends on earlier ones is null, with its standard error.
invisible(Sys.setlocale("LC_COLLATE", "C"))
library(splines)
options(contrasts = c("contr.treatment", "contr.poly"), OutDec = ".")
d <- read.csv(commandArgs(trailingOnly = TRUE)[1], stringsAsFactors = TRUE)
stopifnot(nrow(d) == 163212, identical(levels(d$coverage), c("TPL", "TPL+", "TPL++")))

num <- function(x) ifelse(is.finite(x), sprintf("%.17g", x), "null")
vec <- function(x) paste0("[", paste(num(unname(x)), collapse = ", "), "]")
text <- function(s) ifelse(is.na(s), "null", paste0("\"", gsub("\"", "\\\"", s, fixed = TRUE), "\""))
texts <- function(s) paste0("[", paste(text(s), collapse = ", "), "]")

settle <- function(formula, family, data, weights, epsilon) {
  environment(formula) <- environment()
  start <- NULL
  for (k in 1:30) {
    fit <- suppressWarnings(glm(formula, family = family, data = data, weights = weights, start = start,
      control = glm.control(epsilon = epsilon, maxit = 100)))
    known <- !is.na(coef(fit))
    if (!is.null(start)) {
      change <- max(abs(coef(fit) - start)[known] / abs(coef(fit))[known])
      if (change < 1e-12) break
    }
    start <- ifelse(known, coef(fit), 0)
  }
  if (change >= 1e-12) warning("not settled: ", change)
  fit$last_change <- change
  fit$restarts <- k - 1
  fit
}

entries <- character()
record <- function(name, formula, family, data, rows, weights = NULL, epsilon = 1e-14, extra = "") {
  began <- proc.time()[["elapsed"]]
  fit <- settle(formula, family, data, if (is.null(weights)) NULL else data[[weights]], epsilon)
  message(sprintf("%s: %d restarts, last change %.1e, %.1f s, %d null", name, fit$restarts, fit$last_change,
    proc.time()[["elapsed"]] - began, sum(is.na(coef(fit)))))
  s <- summary(fit)
  se <- coef(fit) * NA
  se[rownames(s$coefficients)] <- s$coefficients[, 2]
  written <- gsub(" +", " ", paste(deparse(formula, width.cutoff = 500), collapse = " "))
  has_offset <- grepl("offset(log(expo))", written, fixed = TRUE)
  entries[[length(entries) + 1]] <<- sprintf(paste0('{"name": %s, "r": %s, "family": %s, "link": %s, "weights": %s, "offset": %s, "rows": %s, ',
    '"rows_used": %d, "columns": %s,\n  "coef": %s,\n  "stderror": %s,\n  "deviance": %s, "null_deviance": %s, "dispersion": %s, "aic": %s, ',
    '"df_residual": %d, "rank": %d, "last_change": %s%s}'),
    text(name), text(written), text(fit$family$family), text(fit$family$link), text(if (is.null(weights)) NA else weights),
    text(if (has_offset) "log(expo)" else NA), text(rows), nobs(fit), texts(names(coef(fit))), vec(coef(fit)), vec(se),
    num(deviance(fit)), num(fit$null.deviance), num(s$dispersion), num(fit$aic), fit$df.residual, fit$rank, num(fit$last_change), extra)
  invisible(fit)
}

all_rows <- "all"
record("frequency1", nclaims ~ coverage + ageph + bm + power + agec + fuel + use + fleet + sex + offset(log(expo)), poisson(), d, all_rows)
# More than a quarter of the policies have bm 0, so ns(bm, df = 4) puts its first interior knot (the lower quartile) on the
# boundary knot 0; its four columns and the intercept then have rank four.  frequency2 asks for the other two knots by name:
# the same column space, at full rank.  frequency2_df is the formula with df = 4, which leaves one column out (null); glm's
# tolerance for the rank is epsilon / 1000, and only the default epsilon sees the dependence.  Newer versions of R move such
# a knot inside by an eighth of the way to the next, here to 0.125, which is another model: frequency2_inside.
record("frequency2", nclaims ~ coverage + bs(ageph, df = 5) + ns(bm, knots = c(1, 6)) + fuel * power + use + offset(log(expo)), poisson(), d, all_rows)
record("frequency2_df", nclaims ~ coverage + bs(ageph, df = 5) + ns(bm, df = 4) + fuel * power + use + offset(log(expo)), poisson(), d, all_rows,
  epsilon = 1e-8)
record("frequency2_inside", nclaims ~ coverage + bs(ageph, df = 5) + ns(bm, knots = c(0.125, 1, 6)) + fuel * power + use + offset(log(expo)), poisson(), d,
  all_rows)

# average is amount / nclaims (to rounding) and missing exactly where there is no claim
claims <- d[d$nclaims > 0 & d$amount > 0 & !is.na(d$average), ]
stopifnot(max(abs(claims$average / (claims$amount / claims$nclaims) - 1)) < 1e-12)
with_claims <- "nclaims > 0 and amount > 0 and average known"
record("severity1", average ~ coverage + ageph + bm + fuel, Gamma("log"), claims, with_claims, "nclaims")
record("severity2", average ~ coverage + bs(ageph, df = 5) + sex * fuel, Gamma("log"), claims, with_claims, "nclaims")

record("logistic", (nclaims > 0) ~ coverage + ns(ageph, df = 4) + bm + offset(log(expo)), binomial("cloglog"), d, all_rows)

# districts without a single claim would drive their coefficient to minus infinity: they become district 0
d$postcode2 <- d$postcode %/% 100
claims_of <- tapply(d$nclaims, d$postcode2, sum)
merged <- as.numeric(names(claims_of)[claims_of == 0])
message("postcode2: ", length(claims_of), " values, fewest claims ", min(claims_of), ", merged: ", paste(merged, collapse = " "))
d$postcode2[d$postcode2 %in% merged] <- 0
record("postcode", nclaims ~ coverage + ageph + factor(postcode2) + offset(log(expo)), poisson(), d, all_rows,
  extra = sprintf(", \"merged\": %s, \"postcode2\": %s", vec(merged),
    text("floor(postcode / 100); values in 'merged' (no claim at all) become 0; then a factor, levels in numeric order, first as base")))

writeLines(c(sprintf("{\"made by\": %s,", text(R.version.string)), "\"models\": [", paste(entries, collapse = ",\n"), "]}"), "belgian.json")
