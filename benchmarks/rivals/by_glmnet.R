# glmnet: glmnet() and cv.glmnet(), answering as common.py's contestants do.
suppressMessages({library(glmnet); library(Matrix)})
options(warn = -1)
glmnet.control(fdev = 0, devmax = 1)                                     # the whole path
arguments <- commandArgs(TRUE)
folder <- arguments[1]
told <- jsonlite::fromJSON(file.path(folder, "task.json"))
chosen <- if (length(arguments) > 1) jsonlite::fromJSON(arguments[2]) else list()

npy <- function(name) {
  path <- file.path(folder, paste0(name, ".npy"))
  if (!file.exists(path)) return(NULL)
  con <- file(path, "rb"); on.exit(close(con))
  readBin(con, "raw", 8)
  head <- rawToChar(readBin(con, "raw", readBin(con, "integer", 1, size = 2, signed = FALSE, endian = "little")))
  shape <- as.numeric(strsplit(gsub("[^0-9,]", "", sub(".*'shape': \\(([^)]*)\\).*", "\\1", head)), ",")[[1]])
  shape <- shape[!is.na(shape)]
  kind <- sub(".*'descr': '([^']*)'.*", "\\1", head)
  v <- if (kind == "<f8") readBin(con, "double", prod(shape)) else readBin(con, "integer", prod(shape), size = 4)
  if (length(shape) == 2) { stopifnot(grepl("'fortran_order': True", head)); dim(v) <- shape }
  v
}
X <- npy("X")
if (is.null(X)) X <- new("dgCMatrix", i = npy("X.indices"), p = npy("X.indptr"), x = npy("X.data"), Dim = as.integer(told$shape))
y <- npy("y"); alphas <- npy("alphas"); folds <- npy("folds"); exposure <- npy("exposure")
offset <- if (is.null(exposure)) NULL else log(exposure)
spread <- if (told$family == "gaussian") sqrt(mean((y - mean(y))^2)) else 1   # see tests/reference/make_glmnet.R; nothing at l1_ratio 1
mixed <- told$l1_ratio + (1 - told$l1_ratio) * spread
more <- list(family = told$family, lambda = alphas * mixed, alpha = told$l1_ratio / mixed, standardize = FALSE)
if (!is.null(offset)) more$offset <- offset
if (!is.null(chosen$type.gaussian) && told$family == "gaussian") more$type.gaussian <- chosen$type.gaussian

corner <- X[1:min(nrow(X), 400), 1:min(ncol(X), 30)]                      # warm-up, as the others': R compiles what it calls the second time
for (i in 1:2) invisible(try(glmnet(corner, seq_len(nrow(corner)) %% 2, family = told$family, lambda = c(0.1, 0.05)), silent = TRUE))

input <- file("stdin", "r")
cat('{"ready": true}\n'); flush(stdout())
while (length(line <- readLines(input, 1)) > 0) {
  asked <- strsplit(line, " ")[[1]]
  extra <- if (asked[1] == "tight") list(thresh = 1e-16, maxit = 1e8) else list(maxit = 1e6)
  invisible(gc())
  before <- Sys.time()
  deviance <- NULL
  answer <- try({
    if (told$kind == "cv") {
      found <- do.call(cv.glmnet, c(list(X, y, foldid = folds + 1L, type.measure = "deviance"), more, extra))
      deviance <- found$cvm; found <- found$glmnet.fit
    } else found <- do.call(glmnet, c(list(X, y), more, extra))
  }, silent = TRUE)
  seconds <- as.numeric(difftime(Sys.time(), before, units = "secs"))
  if (inherits(answer, "try-error")) { cat(jsonlite::toJSON(list(error = as.character(answer)), auto_unbox = TRUE), "\n"); flush(stdout()); next }
  write <- function(v, name) { con <- file(paste0(asked[2], ".", name), "wb"); writeBin(as.numeric(v), con); close(con) }
  write(as.matrix(found$beta), "coefs"); write(found$a0, "intercepts")
  if (!is.null(deviance)) write(deviance, "deviance")
  cat(sprintf('{"seconds": %.9g}\n', seconds)); flush(stdout())
}
