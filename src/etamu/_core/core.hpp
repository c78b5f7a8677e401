// What the kernels are told, and the table of their builds.  No statistics and no SIMD in this file.
#pragma once
#include <cstdint>
#include <vector>

namespace etamu {

enum Type : int { F64, F32, I8, I16, I32, I64, U8, U16, U32, U64, BOOL, ONE, LEVEL };
enum Family : int { GAUSSIAN, BINOMIAL, POISSON, GAMMA, INVERSE_GAUSSIAN, TWEEDIE, NEGATIVE_BINOMIAL, MULTINOMIAL };
enum Link : int { IDENTITY, LOG, LOGIT, PROBIT, CLOGLOG, LOGLOG, CAUCHIT, INVERSE, INVERSE_SQUARED, SQRT, POWER, SOFTMAX };
enum Information : int { EXPECTED, OBSERVED };
enum Arithmetic : int { DOUBLE, SINGLE };

// A strided column of any number type; ONE is the constant 1, LEVEL the indicator of one level of an int32 code.
struct Column {
    const char* data = nullptr;
    int64_t stride = 0;  // bytes
    int type = ONE;
    int32_t level = 0;
    double center = 0, scale = 1;  // the packed value is (x - center) * scale
};

struct Problem {
    std::vector<Column> columns;
    std::vector<Column> extra;  // y, weight, offset: ONE with center 1 stands for an absent offset
    int family = GAUSSIAN, link = IDENTITY;
    double family_parameter = 0, link_parameter = 0;
    int equations = 1;   // free linear predictors
    int reference = -1;  // multinomial: the class whose predictor is 0, or -1
    int64_t rows = 0;
};

// Rows [start, stop) in blocks; with step > block only the first `block` rows of every `step` (a systematic sample).
struct Task {
    int64_t start, stop, block, step;
    const double* beta;  // (p, equations), row-major
    int order, information, arithmetic;
};

struct Result {
    double* scalars;      // n, sum of weights, deviance, pearson
    double* score;        // (equations, p)
    double* information;  // (p, width(p)), its upper triangle counting; for a multinomial (pairs of columns, pairs(equations))
};

struct Kernels {
    const char* name;
    int lanes;
    int (*width)(int columns);  // row length of an information matrix of that many columns
    int (*pairs)(int equations);  // row length of a multinomial's information
    void (*pass)(const Problem&, const Task&, const Result&);
    void (*predictor)(const Problem&, const Task&, double* eta);
    void (*accumulate)(const Problem&, const Task&, const double* row_score, const double* row_weight, const Result&);
    double (*factor)(const double* information, int64_t ld, int p, double* scale, double* triangle);
    void (*solve)(const double* triangle, const double* scale, int p, double weight, double* x);
    void (*inverse)(const double* triangle, const double* scale, int p, double* work, double* out);
    void (*function)(int which, const double* x, double* out, int64_t n);
    void (*peak)(int arithmetic, int64_t loops, double* out);
};

const Kernels& kernels_baseline();
const Kernels& kernels_v3();
const Kernels& kernels_v4();

}  // namespace etamu
