# R's lm on the NIST sets: writes lm.json.  Filip needs a smaller tolerance, or lm drops its last column.
# Run from this folder:  Rscript nist.R
num <- function(x) ifelse(is.na(x), "null", sprintf("%.17g", x))
out <- character()
for (name in sub(".csv", "", list.files(pattern = "csv$"))) {
  d <- read.csv(paste0(name, ".csv"))
  degree <- switch(name, filip = 10, pontius = 2, wampler1 = , wampler2 = , wampler3 = , wampler4 = , wampler5 = 5, 0)
  f <- if (degree) as.formula(paste("y ~", paste0("I(x1^", 1:degree, ")", collapse = " + "))) else if (grepl("noint", name)) y ~ x1 - 1 else if (name == "longley") y ~ . else y ~ x1
  s <- summary(lm(f, d, tol = 1e-10))$coefficients
  out <- c(out, sprintf('"%s": {"coef": [%s], "stderror": [%s]}', name, paste(num(s[, 1]), collapse = ", "), paste(num(s[, 2]), collapse = ", ")))
}
writeLines(paste0("{", paste(out, collapse = ",\n "), "}"), "lm.json")
