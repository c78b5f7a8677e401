# The fits of docs/coming-from/r.md as R makes them: prints JSON, which make_coming_from.py calls for and merges.
# Run by that script:  Rscript make_coming_from.R FOLDER     (FOLDER holds the tables as CSV; R with MASS, sandwich, car, emmeans, nnet, brglm2)
#
# Every glm iterates until its deviance rests (epsilon = 1e-14). Numbers are written with 17 significant digits (jsonlite stops at 15).
suppressMessages({library(MASS); library(sandwich); library(car); library(emmeans); library(nnet); library(brglm2)})
folder <- commandArgs(trailingOnly = TRUE)[1]
table_of <- function(name) read.csv(file.path(folder, paste0(name, ".csv")), stringsAsFactors = TRUE)
tight <- glm.control(epsilon = 1e-14, maxit = 100)

json <- function(x) {
  if (is.matrix(x)) return(paste0("[", paste(apply(x, 1, function(r) json(I(unname(r)))), collapse = ", "), "]"))
  if (is.list(x)) return(paste0("{", paste0('"', names(x), '": ', vapply(x, json, ""), collapse = ", "), "}"))
  many <- length(x) != 1 || inherits(x, "AsIs") || !is.null(names(x))
  x <- as.vector(unclass(x))
  s <- if (is.character(x)) paste0('"', x, '"') else ifelse(is.finite(x), sprintf("%.17g", as.numeric(x)), "null")
  if (many) paste0("[", paste(s, collapse = ", "), "]") else s
}
basics <- function(fit) {
  s <- summary(fit)
  out <- list(coef = coef(fit), stderror = s$coefficients[, 2], deviance = deviance(fit), null_deviance = fit$null.deviance, df_residual = df.residual(fit))
  if (!is.null(s$dispersion)) out$dispersion <- s$dispersion
  if (is.finite(AIC(fit))) out <- c(out, list(loglik = as.numeric(logLik(fit)), aic = AIC(fit), bic = BIC(fit)))
  out
}

# a dose and its response
beetles <- table_of("beetles")
dose <- glm(cbind(killed, n - killed) ~ dose, family = binomial("cloglog"), data = beetles, control = tight)
new <- predict(dose, data.frame(dose = c(1.7, 1.8)), se.fit = TRUE)
beetles_part <- c(basics(dose), list(
  profile = unname(suppressMessages(confint(dose))), link = unname(new$fit), link_se = unname(new$se.fit),
  pearson = residuals(dose, "pearson"), cook = cooks.distance(dose)))

# rates
ships <- subset(table_of("ships"), service > 0)
rate <- glm(incidents ~ type + factor(year) + factor(period) + offset(log(service)), family = quasipoisson, data = ships, control = tight)
dropped <- drop1(rate, test = "F")
ships_part <- c(basics(rate), list(drop1 = list(df = dropped$Df[-1], f = dropped[["F value"]][-1], p = dropped[["Pr(>F)"]][-1])))

# counts: covariances, tests, means
breaks <- table_of("warpbreaks")
breaks$tension <- factor(breaks$tension, levels = c("L", "M", "H"))
breaks$loom <- (seq_len(nrow(breaks)) - 1) %/% 9
count <- glm(breaks ~ wool + tension, family = poisson, data = breaks, control = tight)
two <- Anova(count, type = 2)
equal <- linearHypothesis(count, "tensionM = tensionH")
means <- emmeans(count, ~ tension)
link <- as.data.frame(means)
back <- as.data.frame(emmeans(count, ~ tension, type = "response"))
pair <- as.data.frame(pairs(means, adjust = "none"))
bigger <- glm(breaks ~ wool * tension, family = poisson, data = breaks, control = tight)
compared <- anova(count, bigger, test = "Chisq")
breaks_part <- c(basics(count), list(
  hc0 = sqrt(diag(vcovHC(count, "HC0"))), hc3 = sqrt(diag(vcovHC(count, "HC3"))), cluster = sqrt(diag(vcovCL(count, cluster = breaks$loom))),
  anova2 = list(df = two$Df, statistic = two[["LR Chisq"]], p = two[["Pr(>Chisq)"]]),
  hypothesis = list(statistic = equal$Chisq[2], p = equal[2, 4]),
  emmeans = list(link = link$emmean, link_se = link$SE, response = back$rate),
  pairs = list(estimate = pair$estimate, stderror = pair$SE, p = pair$p.value),
  compared = list(deviance = compared$Deviance[2], p = compared[2, 5])))

# theta with the coefficients
nb <- glm.nb(breaks ~ wool * tension, data = breaks, control = tight)
nb_part <- c(basics(nb), list(theta = nb$theta, theta_se = nb$SE.theta))
nb_part$dispersion <- NULL

# classes
classes <- multinom(tension ~ breaks, data = breaks, trace = FALSE, maxit = 1000, reltol = 1e-15, abstol = 1e-15)
classes_part <- list(coef = coef(classes), stderror = summary(classes)$standard.errors, deviance = deviance(classes), aic = AIC(classes))

# bias reduction where there is separation
doses <- data.frame(x = 1:6, y = c(0, 0, 0, 1, 1, 1))
firth <- glm(y ~ x, family = binomial, data = doses, method = "brglmFit", type = "AS_mean", epsilon = 1e-14, maxit = 1000)
firth_part <- list(coef = coef(firth), stderror = summary(firth)$coefficients[, 2], deviance = deviance(firth))

version <- function(package) as.character(packageVersion(package))
cat(json(list(
  versions = list(R = paste(R.version$major, R.version$minor, sep = "."), MASS = version("MASS"), sandwich = version("sandwich"),
    car = version("car"), emmeans = version("emmeans"), nnet = version("nnet"), brglm2 = version("brglm2")),
  beetles = beetles_part, ships = ships_part, warpbreaks = breaks_part, negative_binomial = nb_part, multinom = classes_part, firth = firth_part)))
