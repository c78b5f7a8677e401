# Reference design matrices by R's model.matrix: writes data.csv and formulas.json beside this file.
# Run from this folder:  Rscript make_formulas.R        (base R with splines; nothing random)
#
# cases: "r" is the formula R ran, "etamu" the same model in etamu's text.  Where R gives more columns than the rank
# (~ a:b has 7) they stand as R gives them.  predict: the training basis at new values, through R's "safe prediction".
# data.csv: x meets the breaks -1, 0 and 1 of the cut cases exactly; cells of a x b are never empty, some of a x b x d are.
invisible(Sys.setlocale("LC_COLLATE", "C"))
library(splines)
options(contrasts = c("contr.treatment", "contr.poly"), OutDec = ".")

i <- 0:35
x <- round(0.5 + 1.9 * sin(1.7 * i + 0.3) + 0.6 * cos(0.37 * i * i), 4)
x[c(5, 17, 29)] <- c(-1, 0, 1)
z <- round(4.6 + 3.1 * cos(2.3 * i + 1) + 1.2 * sin(0.11 * i * i), 4)
d <- data.frame(
  x = x, z = z, k = (i * 7 + i %/% 4) %% 5 + 1,
  a = c("p", "q", "r")[(i * i + i %/% 4 + 2) %% 3 + 1], b = c("u", "v")[(i + i %/% 3 + i %/% 8 + 1) %% 2 + 1],
  d = paste0("d", (3 * i + i %/% 5 + (i * i) %/% 7) %% 4 + 1),
  y = round(2 + 0.8 * x - 0.3 * z + 0.5 * sin(5.1 * i * i), 4))
number <- function(v) {
  text <- sprintf("%.15g", v)
  ifelse(as.numeric(text) == v, text, sprintf("%.17g", v))
}
written <- d
for (n in c("x", "z", "k", "y")) written[[n]] <- number(d[[n]])
write.csv(written, "data.csv", row.names = FALSE, quote = FALSE)
d <- read.csv("data.csv", stringsAsFactors = TRUE)
stopifnot(nrow(d) == 36, table(d$a, d$b) > 0, anyDuplicated(d$x) == 0, d$z > 0, d$z < 10, any(table(d$a, d$b, d$d) == 0),
  nlevels(d$d) == 4, sort(unique(d$k)) == 1:5)

same <- c(
  # numbers and arithmetic
  "~ x", "~ x + z", "~ 0 + x", "~ x - 1", "~ log(z) + sqrt(z) + exp(x) + abs(x)", "~ I(x^2)", "~ I(x*z + 1)",
  # factors, interactions, nesting, removal
  "~ a", "~ a + b", "~ a - 1", "~ a + b - 1", "~ b + a - 1", "~ a:b", "~ a*b", "~ a:b - 1", "~ a + a:b", "~ b + a:b", "~ a/b",
  "~ a/x", "~ a/x - 1", "~ x:a", "~ a:x", "~ a*x", "~ a:x - 1", "~ a + a:x", "~ x:z", "~ x*z", "~ (a + b + x)^2",
  "~ (a + b + d)^2", "~ a*b*d", "~ a*b*d - a:b:d", "~ a*b - b", "~ a*b - a", "~ b %in% a", "~ a + b %in% a", "~ a*b*x", "~ a:b:x",
  "~ x + a:b:x", "~ d:x + a", "~ 0 + a:x", "~ 0 + x + a", "~ 0 + a*b", "~ 0 + x:a + b", "~ a:b + x", "~ (a + b)^2 - a",
  "~ a*(b + x)", "~ (x + z)^2", "~ a + b + d + a:d",
  # polynomials and splines
  "~ poly(x, 3)", "~ a*poly(x,2)", "~ poly(z, 2):b", "~ bs(x, df=5)", "~ bs(x, df=6, degree=2)", "~ bs(x, knots=c(-1,0.5,1.5))",
  "~ ns(x, df=4)", "~ ns(x, knots=c(-0.5,1))", "~ a + ns(x, df=3)", "~ a:ns(x, df=3)", "~ scale(x)")
pairs <- c(
  "~ poly(x, 2, raw=TRUE)", "~ poly(x, 2, raw=True)",
  "~ bs(x, df=5, intercept=TRUE) - 1", "~ bs(x, df=5, intercept=True) - 1",
  "~ bs(z, df=4, Boundary.knots=c(0, 10))", "~ bs(z, df=4, bounds=[0, 10])",
  "~ scale(x, scale=FALSE)", "~ center(x)",
  # contrasts
  "~ C(a, contr.sum)", "~ C(a, sum)",
  "~ C(a, contr.helmert)", "~ C(a, helmert)",
  "~ C(d, contr.poly)", "~ C(d, poly)",
  "~ C(a, contr.treatment(3, base=2))", "~ C(a, base=\"q\")",
  "~ C(a, contr.sum)*b", "~ C(a, sum)*b",
  "~ C(a, contr.sum):C(b, contr.sum)", "~ C(a, sum):C(b, sum)",
  "~ C(a, contr.helmert):x", "~ C(a, helmert):x",
  "~ C(a, contr.sum)*x - 1", "~ C(a, sum)*x - 1",
  "~ factor(k)", "~ C(k)",
  "~ factor(k)*x", "~ C(k)*x",
  "~ factor(a, levels=c(\"r\",\"q\",\"p\"))", "~ C(a, levels=[\"r\", \"q\", \"p\"])",
  "~ C(a, contr.sum) - 1", "~ C(a, sum) - 1",
  "~ a*C(b, contr.sum)", "~ a*C(b, sum)",
  # intervals
  "~ cut(x, c(-Inf,-1,0,1,Inf))", "~ cut(x, [-1, 0, 1])",
  "~ cut(x, c(-Inf,-1,0,1,Inf)):b", "~ cut(x, [-1, 0, 1]):b")
cases <- rbind(cbind(same, same), matrix(pairs, ncol = 2, byrow = TRUE))

quoted <- function(s) paste0("\"", gsub("\"", "\\\"", s, fixed = TRUE), "\"")
list_of <- function(s) paste0("[", paste(s, collapse = ", "), "]")
json_matrix <- function(m) {
  stopifnot(is.finite(m))
  list_of(apply(m, 1, function(row) list_of(number(row))))
}
one <- function(r, etamu) {
  m <- model.matrix(as.formula(r), d)
  sprintf("{\"r\": %s, \"etamu\": %s, \"columns\": %s, \"matrix\": %s}", quoted(r), quoted(etamu), list_of(quoted(colnames(m))), json_matrix(m))
}

inside <- c(d$x[4], min(d$x) + 0.05, -0.7, d$x[20], 0.33, 1.61, max(d$x) - 0.01)
outside <- c(min(d$x) - 0.4, max(d$x) + 0.6)
one_new <- function(r, new_x) {
  fit <- lm(as.formula(paste("y", r)), d)
  new <- data.frame(x = new_x)
  terms <- delete.response(terms(fit))
  m <- model.matrix(terms, model.frame(terms, new))  # bs warns outside its range and still gives its values
  stopifnot(all.equal(drop(m %*% coef(fit)), predict(fit, new), tolerance = 1e-12))
  sprintf("{\"r\": %s, \"etamu\": %s, \"new_x\": %s, \"columns\": %s, \"matrix\": %s}", quoted(r), quoted(r), list_of(number(new_x)),
    list_of(quoted(colnames(m))), json_matrix(m))
}
predictions <- c(one_new("~ poly(x, 3)", inside), one_new("~ bs(x, df=5)", c(inside, outside)), one_new("~ ns(x, df=4)", c(inside, outside)),
  one_new("~ scale(x)", inside))

writeLines(c(sprintf("{\"made by\": %s,", quoted(R.version.string)), "\"cases\": [",
  paste(mapply(one, cases[, 1], cases[, 2]), collapse = ",\n"), "],", "\"predict\": [", paste(predictions, collapse = ",\n"), "]}"), "formulas.json")
