// One SIMD register of doubles (and of floats), and the elementary functions of the row loop on it.
//
// Written with GCC/Clang vector extensions so that one text serves AVX-512, AVX2, SSE and NEON: the register
// width comes from the flags this file is compiled with.  The functions are branch-free, keep inf, nan and
// subnormals, and stay within 2 ulp (tests/test_rows.py and tests/test_fit.py hold them to it).
#pragma once
#include <cstdint>
#include <cstring>
#include <limits>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define ETAMU_INLINE static inline __attribute__((always_inline))

#if defined(__AVX512F__)
#define ETAMU_BYTES 64
#elif defined(__AVX2__)
#define ETAMU_BYTES 32
#else
#define ETAMU_BYTES 16
#endif

// In a register from here on: compilers would rather read it again for every use, and loads are what these loops then wait for
#if defined(__GNUC__) && defined(__AVX512F__)
#define ETAMU_KEEP(v) asm("" : "+v"(v))
#elif defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
#define ETAMU_KEEP(v) asm("" : "+x"(v))
#else
#define ETAMU_KEEP(v) (void)0
#endif

namespace {

typedef double V __attribute__((vector_size(ETAMU_BYTES)));
typedef float F __attribute__((vector_size(ETAMU_BYTES)));
typedef float H __attribute__((vector_size(ETAMU_BYTES / 2)));  // as many floats as V has doubles
typedef int64_t I __attribute__((vector_size(ETAMU_BYTES)));
constexpr int L = ETAMU_BYTES / 8;
constexpr double INF = std::numeric_limits<double>::infinity();

ETAMU_INLINE V load(const double* p) { V v; std::memcpy(&v, p, sizeof v); return v; }
ETAMU_INLINE F load(const float* p) { F v; std::memcpy(&v, p, sizeof v); return v; }

// Conversions by one instruction, which compilers make several of from the text that would do everywhere
#if defined(__AVX512F__)
ETAMU_INLINE V wide(H v) { return (V)_mm512_cvtps_pd((__m256)v); }
ETAMU_INLINE F floats(const int16_t* p) { return (F)_mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i*)p))); }
#elif defined(__AVX2__)
ETAMU_INLINE V wide(H v) { return (V)_mm256_cvtps_pd((__m128)v); }
ETAMU_INLINE F floats(const int16_t* p) { return (F)_mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i*)p))); }
#else
ETAMU_INLINE V wide(H v) { return __builtin_convertvector(v, V); }
ETAMU_INLINE F floats(const int16_t* p) {
    typedef int16_t S16 __attribute__((vector_size(ETAMU_BYTES / 2)));
    S16 s;
    std::memcpy(&s, p, sizeof s);
    return __builtin_convertvector(s, F);
}
#endif
ETAMU_INLINE V wide(const double* p) { return load(p); }
ETAMU_INLINE V wide(const float* p) { H v; std::memcpy(&v, p, sizeof v); return wide(v); }
ETAMU_INLINE void store(double* p, V v) { std::memcpy(p, &v, sizeof v); }
ETAMU_INLINE void store(float* p, H v) { std::memcpy(p, &v, sizeof v); }
ETAMU_INLINE V all(double x) { return x - V{}; }
ETAMU_INLINE I bits(V v) { return (I)v; }
ETAMU_INLINE V value(I i) { return (V)i; }
ETAMU_INLINE V select(I mask, V yes, V no) { return mask ? yes : no; }
ETAMU_INLINE V max(V a, V b) { return a > b ? a : b; }
ETAMU_INLINE V min(V a, V b) { return a < b ? a : b; }
ETAMU_INLINE V abs(V a) { return value(bits(a) & INT64_MAX); }
ETAMU_INLINE float sum(F v) {  // by halves
    typedef float Quarter __attribute__((vector_size(ETAMU_BYTES / 4)));
    H half[2];
    std::memcpy(half, &v, sizeof v);
    const H both = half[0] + half[1];
    Quarter quarter[2];
    std::memcpy(quarter, &both, sizeof both);
    const Quarter rest = quarter[0] + quarter[1];
    float s = 0;
    for (int i = 0; i < ETAMU_BYTES / 16; ++i) s += rest[i];
    return s;
}
ETAMU_INLINE double sum(V v) { double s = 0; for (int i = 0; i < L; ++i) s += v[i]; return s; }

// The sums of four registers at once, which costs little more than those of one
#if defined(__AVX2__)
typedef __m256d Four;
ETAMU_INLINE Four four_sums(__m256d v0, __m256d v1, __m256d v2, __m256d v3) {
    const __m256d a = _mm256_hadd_pd(v0, v1), b = _mm256_hadd_pd(v2, v3);  // low halves of both, then high halves
    return _mm256_add_pd(_mm256_permute2f128_pd(a, b, 0x21), _mm256_blend_pd(a, b, 0xC));
}
ETAMU_INLINE Four four_sums(__m256 v0, __m256 v1, __m256 v2, __m256 v3) {
    const __m256 s = _mm256_hadd_ps(_mm256_hadd_ps(v0, v1), _mm256_hadd_ps(v2, v3));
    return _mm256_cvtps_pd(_mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1)));
}
#if defined(__AVX512F__)
ETAMU_INLINE __m256d half(__m512d v) { return _mm256_add_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd(v, 1)); }
ETAMU_INLINE __m256 half(__m512 v) { return _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1)); }
ETAMU_INLINE Four four_sums(__m512d v0, __m512d v1, __m512d v2, __m512d v3) { return four_sums(half(v0), half(v1), half(v2), half(v3)); }
ETAMU_INLINE Four four_sums(__m512 v0, __m512 v1, __m512 v2, __m512 v3) { return four_sums(half(v0), half(v1), half(v2), half(v3)); }
typedef __m512d Doubles;
typedef __m512 Singles;
#else
typedef __m256d Doubles;
typedef __m256 Singles;
#endif
ETAMU_INLINE void add_sums(V a, V b, V c, V d, double* out) { _mm256_storeu_pd(out, _mm256_add_pd(_mm256_loadu_pd(out), four_sums((Doubles)a, (Doubles)b, (Doubles)c, (Doubles)d))); }
ETAMU_INLINE void add_sums(F a, F b, F c, F d, double* out) { _mm256_storeu_pd(out, _mm256_add_pd(_mm256_loadu_pd(out), four_sums((Singles)a, (Singles)b, (Singles)c, (Singles)d))); }
#else
template <class R> ETAMU_INLINE void add_sums(R a, R b, R c, R d, double* out) { out[0] += sum(a), out[1] += sum(b), out[2] += sum(c), out[3] += sum(d); }
#endif

template <class X> inline double dot(const X* x, const double* y, int64_t n) {  // of floats or doubles with doubles
    V a{}, b{}, c{}, d{};
    int64_t k = 0;
    for (; k + 4 * L <= n; k += 4 * L) {
        a += wide(x + k) * load(y + k);
        b += wide(x + k + L) * load(y + k + L);
        c += wide(x + k + 2 * L) * load(y + k + 2 * L);
        d += wide(x + k + 3 * L) * load(y + k + 3 * L);
    }
    for (; k + L <= n; k += L) a += wide(x + k) * load(y + k);
    double s = sum((a + b) + (c + d));
    for (; k < n; ++k) s += x[k] * y[k];
    return s;
}

// Adding and subtracting 1.5*2^52 rounds to the nearest integer; its low bits are that integer.
constexpr double MAGIC = 6755399441055744.0;
constexpr double LN2_HI = 6.93147180369123816490e-01, LN2_LO = 1.90821492927058770002e-10;
constexpr double LOG2E = 1.44269504088896338700e+00;

ETAMU_INLINE V power_of_two(V n) {  // 2^n for an integer-valued n in [-1022, 1023]
    return value((bits(n + MAGIC) - bits(all(MAGIC)) + 1023) << 52);
}

// exp(r) - 1 for |r| <= ln2/2: r + r^2 q(r) with q through the Chebyshev nodes (0.15 units of 2^-53 from exp).  Summed in
// pairs (Estrin), because a row waits for this chain and not for its multiplications.
ETAMU_INLINE V expm1_small(V r) {
    V r2 = r * r, r4 = r2 * r2;
    V p01 = 0.16666666666666669 * r + 0.5000000000000001, p23 = 0.008333333333330051 * r + 0.04166666666662399;
    V p45 = 0.00019841269863105968 * r + 0.0013888888917281794, p67 = 2.7557268378684192e-06 * r + 2.480152119021773e-05;
    V p89 = 2.5100424157005067e-08 * r + 2.7620138719733994e-07;
    V low = p23 * r2 + p01, high = p67 * r2 + p45;
    return r + r2 * ((p89 * r4 + high) * r4 + low);
}

ETAMU_INLINE V exp(V x) {
    V c = x < -746.0 ? all(-746.0) : x;
    c = c > 710.0 ? all(710.0) : c;
    V n = (c * LOG2E + MAGIC) - MAGIC;
    V r = (c - n * LN2_HI) - n * LN2_LO;
    V half = (n * 0.5 + MAGIC) - MAGIC;  // scale in two steps: 2^n alone can leave the normal range
    return (1.0 + expm1_small(r)) * power_of_two(half) * power_of_two(n - half);
}

ETAMU_INLINE V expm1(V x) {
    V c = x < -60.0 ? all(-60.0) : x;
    c = c > 710.0 ? all(710.0) : c;
    V n = (c * LOG2E + MAGIC) - MAGIC;
    V r = (c - n * LN2_HI) - n * LN2_LO;
    V half = (n * 0.5 + MAGIC) - MAGIC;
    V s1 = power_of_two(half), s2 = power_of_two(n - half);
    V small = expm1_small(r);
    V big = n > 60.0 ? (1.0 + small) * s1 * s2 : small * s1 * s2 + (s1 * s2 - 1.0);
    return n == 0.0 ? small : big;
}

// log(x (1 + c)) for 0 < x < inf (any finite number for x = 0): the classical s = f/(2+f) series of fdlibm on x = m 2^k.
ETAMU_INLINE V log_inside(V x, V c) {
    I tiny = x < 2.2250738585072014e-308;
    V scaled = tiny ? x * 18014398509481984.0 : x;  // 2^54 lifts subnormals
    I b = bits(scaled);
    I k = ((b - 0x3fe6a09e667f3bcdLL) >> 52);        // x / 2^k in [sqrt(1/2), sqrt(2))
    V m = value(b - (k << 52));
    V kd = value(k + bits(all(MAGIC))) - MAGIC;
    kd = tiny ? kd - 54.0 : kd;
    V f = m - 1.0;
    V s = f / (2.0 + f);
    V z = s * s;
    V u = z * z;
    V even = u * (3.999999999940941908e-01 + u * (2.222219843214978396e-01 + u * 1.531383769920937332e-01));
    V R = even + z * (6.666666666666735130e-01 + u * (2.857142874366239149e-01 + u * (1.818357216161805012e-01 + u * 1.479819860511658591e-01)));
    V hfsq = 0.5 * f * f;
    return kd * LN2_HI - ((hfsq - (s * (hfsq + R) + (kd * LN2_LO + c))) - f);
}
ETAMU_INLINE V log_corrected(V x, V c) {
    V y = log_inside(x, c);
    y = x == INF ? x : y;
    y = x == 0.0 ? all(-INF) : y;
    y = x < 0.0 ? all(std::numeric_limits<double>::quiet_NaN()) : y;
    return x != x ? x : y;
}
ETAMU_INLINE V log(V x) { return log_corrected(x, V{}); }

ETAMU_INLINE V log1p(V x) {
    V u = 1.0 + x;
    V c = x > 1.0 ? 1.0 - (u - x) : x - (u - 1.0);  // what rounding 1 + x lost
    c = (u > 0.0) & (u < INF) ? c / u : V{};
    V y = log_corrected(u, c);
    return abs(x) < 1e-17 ? x : y;
}

}  // namespace
