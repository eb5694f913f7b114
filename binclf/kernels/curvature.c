/* Loss, gradient and Hessian of the logistic log-likelihood over some rows, in float64; or, of many weights, loss
   and gradient alone.

   One thread, and each sum is added to in an order that follows from the rows alone, whatever a processor's
   registers hold: rows go by tiles of TILE, and what is written as vectors of WIDE numbers is worked out lane by
   lane, on eight, four or two at a time. So the bits are the same with AVX-512, with AVX2 and without. No product is
   fused with a sum, and no function of the C library is called. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define TILE 64 /* rows */
#define WIDE 8 /* numbers of a vector; `width` is a multiple */
#define AT_ONCE 4 /* vectors whose sums stay in registers */

#if defined(__GNUC__)
#define PREFETCH(ADDRESS) __builtin_prefetch(ADDRESS)
#else
#define PREFETCH(ADDRESS) (void)0
#endif

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#define NARROW __attribute__((target_clones("avx2", "default")))
#define HAS_AVX512 1
#else
#define CLONES
#define NARROW
#define HAS_AVX512 0
#endif

typedef double wide __attribute__((vector_size(64), aligned(8)));
typedef int64_t bits __attribute__((vector_size(64), aligned(8)));
typedef float floats __attribute__((vector_size(32), aligned(4)));

/* Rows to doubles, [rows, width], with 1 at `columns`; NaN by what stands for it. */
CLONES static void load(const char *x, int64_t gap, int64_t rows, int64_t given, int64_t columns, int64_t width,
                        const float *fill, const int64_t *indicator, double *tile) {
    for (int64_t row = 0; row < rows; row++) {
        const float *own = (const float *)(x + row * gap);
        double *into = tile + row * width;
        for (int64_t ahead = 0; ahead < gap; ahead += 64) PREFETCH(x + (row + TILE) * gap + ahead); /* the next tile */
        bits lacking = {0};
        int64_t j = 0;
        for (; j + WIDE <= given; j += WIDE) {
            floats these;
            memcpy(&these, own + j, 32);
            wide found = __builtin_convertvector(these, wide);
            lacking |= found != found;
            memcpy(into + j, &found, 64);
        }
        for (; j < given; j++) into[j] = own[j], lacking[0] |= own[j] != own[j];
        for (; j < columns; j++) into[j] = 0;
        into[columns] = 1;
        int64_t lacks = 0;
        for (int i = 0; i < WIDE; i++) lacks |= lacking[i];
        for (j = 0; lacks && j < given; j++) {
            if (own[j] == own[j]) continue;
            into[j] = fill[j];
            if (indicator[j] >= 0) into[indicator[j]] = 1;
        }
    }
}

/* logits[row] = sum over k of x[row, k] * weight[k], eight partial sums of every eighth k */
CLONES static void product(const double *x, const double *weight, int64_t rows, int64_t width, double *logits) {
    for (int64_t row = 0; row < rows; row++) {
        wide sum = {0}, own, by;
        for (int64_t k = 0; k < width; k += WIDE) {
            memcpy(&own, x + row * width + k, 64), memcpy(&by, weight + k, 64);
            sum += own * by;
        }
        double s[WIDE];
        memcpy(s, &sum, 64);
        logits[row] = ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
    }
}

#define SELECT(MASK, YES, NO) ((wide)(((MASK) & (bits)(YES)) | (~(MASK) & (bits)(NO))))
#define MAGIC 0x1.8p52 /* a double this large has no fraction: adding it rounds, and its last bits are the integer */
#define POWER(SHIFTED) ((wide)((((bits)(SHIFTED) - (bits)((wide){0} + MAGIC)) + 1023) << 52)) /* 2^integer */

/* Loss, slope and bend of a tile's rows (of weight 0 behind the last): at z, with e = exp(-|z|),

       loss = max(z, 0) - y z + log(1 + e),   p = sigmoid(z) = (z < 0 ? e : 1) / (1 + e),   bend = e / (1 + e)^2.

   exp(t) = 2^k exp(r), r = t - k log 2 within log(2) / 2, by its series to r^13 / 13! (the rest is below 1e-17);
   log(1 + e) = 2 atanh(s), s = e / (2 + e) up to 1/3, by its series to s^33 / 33 (the rest is below 1e-17). */
CLONES static void judge(const double *logits, const double *labels, const double *weights, double *loss,
                         double *slopes, double *bends) {
    static const double series[] = {1. / 6227020800, 1. / 479001600, 1. / 39916800, 1. / 3628800, 1. / 362880,
                                    1. / 40320,      1. / 5040,      1. / 720,      1. / 120,     1. / 24,
                                    1. / 6,          1. / 2};
    wide total = {0};
    for (int64_t row = 0; row < TILE; row += WIDE) {
        wide z, y, w;
        memcpy(&z, logits + row, 64), memcpy(&y, labels + row, 64), memcpy(&w, weights + row, 64);
        wide t = (wide)((bits)z | INT64_MIN); /* -|z| */
        t = SELECT(t < -1000, (wide){0} - 1000, t);
        wide k = (t * 0x1.71547652b82fep0 + MAGIC) - MAGIC;
        wide r = (t - k * 0x1.62e42fefa38p-1) - k * 0x1.ef35793c7673p-45; /* k by the first part is exact */
        wide q = (wide){0} + series[0];
        for (int i = 1; i < 12; i++) q = q * r + series[i];
        q = 1 + (r + r * r * q);
        wide half = k * 0.5 + MAGIC, rest = (k - (half - MAGIC)) + MAGIC; /* in two steps: e may be subnormal */
        wide e = q * POWER(half) * POWER(rest);
        wide s = e / (2 + e), square = s * s;
        wide log = (wide){0} + 1. / 33;
        for (int i = 31; i >= 3; i -= 2) log = log * square + 1. / i;
        log = 2 * (s + s * square * log);
        wide under = 1 / (1 + e), certain = e * under;
        wide p = SELECT(z < 0, certain, under), unlike = SELECT(z < 0, under, certain); /* 1 - p, to all digits */
        total += w * ((SELECT(z > 0, z, (wide){0}) - y * z) + log);
        wide slope = w * SELECT(y > 0, -unlike, p), bend = w * (certain * under);
        memcpy(slopes + row, &slope, 64), memcpy(bends + row, &bend, 64);
    }
    for (int i = 0; i < WIDE; i++) *loss += total[i];
}

/* into[k] += sum over rows of by[row] * x[row, k]; and, if it SCALES, scaled[row, k] = bends[row] * x[row, k] */
#define WEIGH(NAME, SCALES)                                                                                        \
    CLONES static void NAME(const double *x, const double *by, const double *bends, int64_t rows, int64_t width,   \
                            double *into, double *scaled) {                                                        \
        for (int64_t k = 0; k < width; k += WIDE * AT_ONCE) {                                                      \
            wide sums[AT_ONCE] = {{0}};                                                                            \
            int64_t here = width - k < WIDE * AT_ONCE ? (width - k) / WIDE : AT_ONCE;                              \
            for (int i = 0; i < here; i++) memcpy(&sums[i], into + k + i * WIDE, 64);                              \
            for (int64_t row = 0; row < rows; row++) {                                                             \
                for (int i = 0; i < AT_ONCE; i++) {                                                                \
                    wide own, out;                                                                                 \
                    if (i >= here) break;                                                                          \
                    memcpy(&own, x + row * width + k + i * WIDE, 64);                                              \
                    sums[i] += by[row] * own;                                                                      \
                    if (!SCALES) continue;                                                                         \
                    out = bends[row] * own;                                                                        \
                    memcpy(scaled + row * width + k + i * WIDE, &out, 64);                                         \
                }                                                                                                  \
            }                                                                                                      \
            for (int i = 0; i < here; i++) memcpy(into + k + i * WIDE, &sums[i], 64);                              \
        }                                                                                                          \
    }

WEIGH(inner, 1)
WEIGH(weighed, 0)

/* hessian[j, k] += sum over rows of scaled[row, j] * x[row, k], for k >= j and some before it; DEEP j and WIDE k
   at once, whose sums stay in registers: as many chains of additions as a processor needs to be busy. */
#define OUTER(NAME, ATTRIBUTE, DEEP)                                                                               \
    ATTRIBUTE static void NAME(const double *x, const double *scaled, int64_t rows, int64_t columns,               \
                               int64_t width, double *hessian) {                                                   \
        for (int64_t j = 0; j < columns; j += DEEP) {                                                              \
            for (int64_t k = j - j % WIDE; k < width; k += WIDE) {                                                 \
                double *into = hessian + j * width + k;                                                            \
                const double *by = scaled + j, *own = x + k;                                                       \
                wide sums[DEEP], at;                                                                               \
                for (int i = 0; i < DEEP; i++) memcpy(&sums[i], into + i * width, 64);                             \
                for (int64_t row = 0; row < rows; row++, own += width, by += width) {                              \
                    memcpy(&at, own, 64);                                                                          \
                    for (int i = 0; i < DEEP; i++) sums[i] += by[i] * at;                                          \
                }                                                                                                  \
                for (int i = 0; i < DEEP; i++) memcpy(into + i * width, &sums[i], 64);                             \
            }                                                                                                      \
        }                                                                                                          \
    }

OUTER(outer_narrow, NARROW, 4)
#if HAS_AVX512
OUTER(outer_wide, __attribute__((target("avx512f"))), 8)
#endif

static void outer(const double *x, const double *scaled, int64_t rows, int64_t columns, int64_t width,
                  double *hessian) {
#if HAS_AVX512
    if (__builtin_cpu_supports("avx512f")) {
        outer_wide(x, scaled, rows, columns, width, hessian);
        return;
    }
#endif
    outer_narrow(x, scaled, rows, columns, width, hessian);
}

static void categories(const int32_t *ids, int64_t rows, int64_t columns, const double *x, int64_t width,
                       const double *slopes, const double *bends, int64_t size, double *gradient, double *mixed,
                       double *pairs) {
    for (int64_t row = 0; row < rows; row++) {
        const int32_t *own = ids + row * columns;
        for (int64_t c = 0; c < columns; c++) {
            gradient[own[c]] += slopes[row];
            double *into = mixed + own[c] * width;
            for (int64_t k = 0; k < width; k++) into[k] += bends[row] * x[row * width + k];
            for (int64_t d = c; d < columns; d++) {
                int64_t low = own[c] < own[d] ? own[c] : own[d], high = own[c] < own[d] ? own[d] : own[c];
                pairs[low * size + high] += bends[row];
                if (d > c && low == high) pairs[low * size + high] += bends[row]; /* both are in one bucket */
            }
        }
    }
}

/* What is given, of rows that may lie apart: x [count, given] float32, ids [count, chosen], labels 0 or 1, weights
   or NULL: all 1, each with bytes from one row to the next. NaN is missing: its column's fill [given] stands for it,
   and 1 at its column's indicator [given], unless that is below 0. weight [width], whose place `columns` is the
   intercept's and whose rest is 0; table [size]. */
#define GIVEN                                                                                                      \
    const char *x, int64_t x_gap, int64_t count, int64_t given, int64_t columns, const char *ids, int64_t ids_gap, \
        int64_t chosen, const char *labels, int64_t labels_gap, const char *weights, int64_t weights_gap,          \
        const float *fill, const int64_t *indicator, const double *weight, int64_t width, const double *table,     \
        int64_t size
#define TAKEN                                                                                                      \
    x, x_gap, count, given, columns, ids, ids_gap, chosen, labels, labels_gap, weights, weights_gap, fill,         \
        indicator, weight, width, table, size

/* Rows from `first` on: as doubles in tile [rows, width], their ids in places [rows, chosen]; adds their loss, and
   has their slopes and bends [TILE]. Whether each id is below `size`. */
static int64_t look(GIVEN, int64_t first, int64_t rows, double *tile, int32_t *places, double *loss, double *slopes,
                    double *bends) {
    double logits[TILE] = {0}, truth[TILE] = {0}, share[TILE] = {0};
    int32_t *place = places;
    (void)count;
    for (int64_t i = 0; i < rows; i++) {
        const int32_t *own = (const int32_t *)(ids + (first + i) * ids_gap);
        for (int64_t c = 0; c < chosen; c++) {
            if (own[c] < 0 || own[c] >= size) return 0;
            PREFETCH(table + own[c]);
            *place++ = own[c];
        }
    }
    load(x + first * x_gap, x_gap, rows, given, columns, width, fill, indicator, tile);
    product(tile, weight, rows, width, logits);
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t c = 0; c < chosen; c++) logits[i] += table[places[i * chosen + c]];
        truth[i] = labels[(first + i) * labels_gap];
        share[i] = weights ? *(const float *)(weights + (first + i) * weights_gap) : 1;
    }
    judge(logits, truth, share, loss, slopes, bends);
    return 1;
}

/* Add the rows' sums to what is there. 1: done; 0: there was no memory to do so; -1: an id is not below `size`,
   and sums mean nothing.

   loss [1], gradient [width], hessian [width, width], table_gradient [size], mixed [size, width],
   pairs [size, size]. If `squared`, the square of a row's slope takes the place of its bend. own [count] or NULL: each
   row's slope; if the hessian is NULL, that alone is asked for, and nothing but the loss is added up. */
EXPORT int64_t curvature(GIVEN, double *loss, double *gradient, double *hessian, double *table_gradient,
                         double *mixed, double *pairs, int64_t squared, double *own) {
    double *room = calloc((size_t)(TILE * width * 2), sizeof(double));
    int32_t *places = malloc((size_t)(TILE * (chosen + 1)) * sizeof(int32_t));
    double *tile = room, *scaled = room + TILE * width; /* both [TILE, width] */
    double slopes[TILE], bends[TILE];
    int64_t done = room && places;
    for (int64_t first = 0; first < count && done == 1; first += TILE) {
        int64_t rows = count - first < TILE ? count - first : TILE;
        if (!look(TAKEN, first, rows, tile, places, loss, slopes, bends)) {
            done = -1;
            break;
        }
        if (own) memcpy(own + first, slopes, (size_t)rows * sizeof(double));
        if (!hessian) continue;
        for (int64_t i = 0; squared && i < rows; i++) bends[i] = slopes[i] * slopes[i];
        inner(tile, slopes, bends, rows, width, gradient, scaled);
        outer(tile, scaled, rows, columns + 1, width, hessian);
        categories(places, rows, chosen, tile, width, slopes, bends, size, table_gradient, mixed, pairs);
    }
    free(room), free(places);
    return done;
}

/* The nearest integer, half to even; |value| <= 2^62. */
static inline int64_t whole(double value) {
    double magic = value < 0 ? -0x1p52 : 0x1p52; /* a double as large has no fraction: adding it rounds */
    if (value < 0x1p52 && value > -0x1p52) value = (value + magic) - magic;
    return (int64_t)value;
}

/* Add the rows' sums to what is there; returns as `curvature`.

   sums [3]: of loss, |slope| and bend; gradient [width]; table_gradient [size]: each row's slope times `per`, as an
   integer. And unless they are NULL, squares [width]: of bend x^2; sizes [size]: of |slope|, likewise as integers.
   (A row's slope is at most its weight: `per` is such that no sum leaves int64.) */
EXPORT int64_t slopes(GIVEN, double per, double *sums, double *gradient, int64_t *table_gradient, double *squares,
                      int64_t *sizes) {
    double *tile = calloc((size_t)(TILE * width), sizeof(double));
    int32_t *places = malloc((size_t)(TILE * (chosen + 1)) * sizeof(int32_t));
    double slopes[TILE], bends[TILE];
    int64_t done = tile && places;
    for (int64_t first = 0; first < count && done == 1; first += TILE) {
        int64_t rows = count - first < TILE ? count - first : TILE;
        if (!look(TAKEN, first, rows, tile, places, sums, slopes, bends)) {
            done = -1;
            break;
        }
        weighed(tile, slopes, NULL, rows, width, gradient, NULL);
        for (int64_t i = 0; i < rows; i++) {
            const int32_t *own = places + i * chosen;
            int64_t slope = whole(slopes[i] * per), magnitude = slope < 0 ? -slope : slope;
            sums[1] += slopes[i] < 0 ? -slopes[i] : slopes[i], sums[2] += bends[i];
            for (int64_t c = 0; c < chosen; c++) table_gradient[own[c]] += slope;
            for (int64_t c = 0; sizes && c < chosen; c++) sizes[own[c]] += magnitude;
        }
        if (!squares) continue;
        for (int64_t i = 0; i < rows * width; i++) tile[i] *= tile[i];
        weighed(tile, bends, NULL, rows, width, squares, NULL);
    }
    free(tile), free(places);
    return done;
}
