// What the kernels are told, and the table of their builds.  No statistics and no SIMD in this file.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>
#include "memory.hpp"

namespace etamu {

enum Type : int { F64, F32, I8, I16, I32, I64, U8, U16, U32, U64, BOOL, ONE };
enum Family : int { GAUSSIAN, BINOMIAL, POISSON, GAMMA, INVERSE_GAUSSIAN, TWEEDIE, NEGATIVE_BINOMIAL, MULTINOMIAL };
enum Link : int { IDENTITY, LOG, LOGIT, PROBIT, CLOGLOG, LOGLOG, CAUCHIT, INVERSE, INVERSE_SQUARED, SQRT, POWER, SOFTMAX };
enum Information : int { EXPECTED, OBSERVED, CURVED };  // CURVED: observed, but at least a tenth of expected
enum Arithmetic : int { DOUBLE, SINGLE };

// A strided column of any number type; ONE is the constant 1.  With a table the column is the table's entry at that integer.
struct Column {
    const char* data = nullptr;
    int64_t stride = 0;  // bytes
    int type = ONE;
    const double* table = nullptr;
    double center = 0, scale = 1;  // the packed value is (x - center) * scale
};

// Contiguous codes (U8, U16 or I32) below `cells`: a factor or a product of factors, perhaps times a column.
struct Group {
    const char* data = nullptr;
    int type = I32;
    int64_t cells = 0;
    Column times;
};

// Sparse columns, by rows (CSR).
struct SparseRows {
    const int64_t* start = nullptr;
    const int32_t* index = nullptr;
    const double* value = nullptr;
    int64_t columns = 0;
};

// Where the sums of groups and sparse columns lie in Result::tables (-1: not asked for).  `cross` has rows of `ld` numbers, whole
// registers: the weight against the constant and the stored columns, and the score until the end of a pass; `self` is the diagonal of
// a group with multipliers, or the square of the sparse columns; `pair` the cross-tabulation of two groups, the last of which may be the sparse columns.
struct Tables {
    int64_t ld = 0;
    std::vector<int64_t> cross, self;
    std::vector<std::vector<int64_t>> pair;  // pair[i][j] for i < j
};

struct Problem {
    std::vector<Column> columns;
    std::vector<Group> groups;
    SparseRows sparse;  // after the groups, when it has columns
    Tables tables;
    std::vector<Column> extra;  // y, weight, offset: ONE with center 1 stands for an absent offset
    int family = GAUSSIAN, link = IDENTITY;
    double family_parameter = 0, link_parameter = 0;
    int equations = 1;   // free linear predictors
    int reference = -1;  // multinomial: the class whose predictor is 0, or -1
    int64_t rows = 0;
};

// Whether the first column is the constant as it stands, which then needs no multiplications
inline bool begins_with_constant(const Problem& problem) {
    const auto& c = problem.columns;
    return problem.family != MULTINOMIAL && !c.empty() && c[0].type == ONE && c[0].center == 0 && c[0].scale == 1;
}

// Rows [start, stop) in blocks; with step > block only the first `block` rows of every `step` (a systematic sample).
struct Task {
    int64_t start, stop, block, step;
    const double* beta;  // (p, equations), row-major, of the stored columns
    const double* cells;  // of the groups' cells and the sparse columns, one after another
    int order, information, arithmetic;
};

struct Result {
    double* scalars;      // n, sum of weights, deviance, pearson
    double* score;        // (equations, p)
    double* cells;        // score of the groups' cells and the sparse columns, one after another
    double* tables;
    double* information;  // (p, width(p)), its upper triangle counting; for a multinomial (pairs of columns, pairs(equations))
};

// How kernels share out work: `share` calls work(context, first, last) for stretches of 0 to count, on as many as `threads` threads
struct Crew {
    int threads = 1;
    void (*share)(int threads, int64_t count, int64_t stretch, void (*work)(void*, int64_t, int64_t), void* context) = nullptr;
    template <class Work> void operator()(int64_t count, int64_t stretch, bool worth, Work work) const {
        if (!share || threads < 2 || !worth || count <= stretch) {  // the same stretches, whoever they are shared out to
            for (int64_t first = 0; first < count; first += stretch) work(first, std::min(first + stretch, count));
            return;
        }
        share(threads, count, stretch, [](void* context, int64_t first, int64_t last) { (*static_cast<Work*>(context))(first, last); }, &work);
    }
};

// A quadratic model at b with gradient q and Hessian h (rows of `ld`), and the penalty and bounds of each coordinate; groups
// have their members from start[g] to start[g + 1], and a weight each.
struct Quadratic {
    const void* h;
    bool single;  // whether h holds floats
    int64_t ld;
    int size;
    double *b, *q;
    const double *l1, *l2, *low, *high;
    int groups;
    const int32_t *start, *member;
    const double* weight;
    double tolerance;  // of a change, in units of the model's own length
    int most;          // sweeps
    int64_t version;   // of the coordinates: another one where they are others than last time
    int64_t made;      // of the numbers of h: another one where they are others than last time, less than 0 where nobody knows
    Crew crew;
};

// The inverse of a model's matrix over some of its coordinates, kept from one step of Newton's to the next
struct Inverse {
    std::vector<int> members, place;  // the coordinates in the order of its rows; of each coordinate its row, or -1
    std::vector<Aligned<double>> panels;  // its rows up to the diagonal: PANEL of them in each, `apart(i)` from one to the next
    std::vector<double> sums;         // room for products
    std::vector<double> ridge;        // of each coordinate, when it came
    int64_t version = -1, made = -1, steps = 0, sweeps = 0;
    bool close = false;  // whether some are so nearly combinations of others that a factor must take the inverse's place
    double least = 1;  // share of its own length that the others left a coordinate, at least
    int debt = 0;      // turns of conjugate gradients that a newer inverse would have spared

    Inverse() = default;
    Inverse(const Inverse&) = delete;

    static constexpr int PANEL = 16;
    static int64_t apart(int i) { return int64_t(i / PANEL + 1) * PANEL + 8; }  // lines an even number apart would evict each other
    double* row(int i) const { return panels[size_t(i / PANEL)].get() + (i % PANEL) * apart(i); }
    void room(int rows) {
        while (int(panels.size()) * PANEL < rows) panels.emplace_back(), panels.back().reserve(size_t(PANEL * apart(int(panels.size() - 1) * PANEL)));
    }
};

constexpr int64_t CHUNK = 1024;  // rows of a column that are taken at a time: their products are summed in floats

// Whether all of them are 0: rows without weight lie together where folds do, and add nothing
template <class W> bool nothing(const W* w, int64_t n) { return std::all_of(w, w + n, [](W v) { return v == 0; }); }

struct Kernels {
    const char* name;
    int lanes;
    int (*width)(int columns);  // row length of an information matrix of that many columns
    int (*pairs)(int equations);  // row length of a multinomial's information
    void (*pass)(const Problem&, const Task&, const Result&);
    void (*predictor)(const Problem&, const Task&, double* eta);
    void (*terms)(const Problem&, const Task&, double* score, double* weight);
    void (*forms)(const Problem&, const Task&, int q, int64_t cells, double* out);
    void (*accumulate)(const Problem&, const Task&, const double* row_score, const double* row_weight, const Result&);
    bool (*place)(const Column* columns, size_t width, int64_t rows, int64_t most, bool centred, double* center, double* scale);
    void (*range)(const double* x, int64_t n, double* low_high_sum);
    double (*factor)(const double* information, int64_t ld, int p, double* scale, double* triangle);
    void (*solve)(const double* triangle, const double* scale, int p, double weight, double* x);
    double (*quadratic)(const double* triangle, const double* scale, int p, double* x);
    void (*inverse)(const double* triangle, const double* scale, int p, double* work, double* out);
    // deviance and pearson of rows [start, stop) at their predictors, which lie one after another, and what score and information need
    void (*rows)(const Problem&, const double* eta, int64_t start, int64_t stop, int information, double* score, double* weight, double* sums);
    int (*descend)(const Quadratic&, Inverse&);
    void (*gather)(const Column&, int64_t first, int count, double* out);
    double (*quantise)(const Column&, int64_t rows, int16_t* out, double* squares);
    void (*scan)(const int16_t* const x[4], const int16_t* const next[4], const float* v, int64_t rows, double out[4]);
    double (*dot)(const double* x, const double* y, int64_t n);
    bool (*send)(const double* x, int64_t n, float* out);
    void (*add_products)(const double* const* x, int64_t at, int count, const double* const* v, int vectors, int64_t first, int64_t n, double* const* out);
    void (*add_products_of_floats)(const float* const* x, int64_t at, int count, const double* const* v, int vectors, int64_t first, int64_t n, double* const* out);
    void (*gram_columns)(const float* const* x, int64_t piece, int64_t stride, const float* w, int64_t rows, int first, int last, int low, int high, double* g, int64_t ld);
    void (*exact_gram_columns)(const double* const* x, int64_t piece, int64_t stride, const double* w, int64_t rows, int first, int last, int low, int high, double* g, int64_t ld);
    void (*exact_gram_of_floats)(const float* const* x, int64_t piece, int64_t stride, const double* w, int64_t rows, int first, int last, int low, int high, double* g, int64_t ld);
    void (*add_columns)(const double* const* x, int64_t at, const double* const* b, int moves, int count, int64_t n, const double* const* base, double* const* out);
    void (*add_columns_of_floats)(const float* const* x, int64_t at, const double* const* b, int moves, int count, int64_t n, const double* const* base, double* const* out);
    void (*predict)(const Column* columns, int p, int64_t first, int count, const int32_t* fold, int folds, const double* beta, int64_t wide, double* x, double* four, double* out);
    void (*function)(int which, const double* x, double* out, int64_t n);
    void (*peak)(int arithmetic, int64_t loops, double* out);
};

const Kernels& kernels_baseline();
const Kernels& kernels_v3();
const Kernels& kernels_v4();

}  // namespace etamu
