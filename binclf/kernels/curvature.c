/* Loss, gradient and Hessian of the logistic log-likelihood over some rows, in float64.

   One thread, and each sum is added to row by row in the order of the rows, whatever a processor's registers
   hold: rows go by tiles of TILE, and within a tile each entry's products are added one after the other. So the
   bits are the same with and without AVX2. No product is fused with a sum. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define TILE 64 /* rows */
#define WIDE 8 /* columns of a register tile; `width` is a multiple */

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define CLONES __attribute__((target_clones("avx2", "default")))
#else
#define CLONES
#endif

typedef double vector __attribute__((vector_size(32), aligned(8)));

/* hessian[j, k] += sum over rows of scaled[j][row] * x[row, k], for k >= j and some before it; four j and eight k
   at once, whose sums stay in registers: eight chains of additions, as many as a processor needs to be busy. */
CLONES static void outer(const double *x, const double *scaled, int64_t rows, int64_t columns, int64_t width,
                         double *hessian) {
    for (int64_t j = 0; j < columns; j += 4) {
        for (int64_t k = j - j % WIDE; k < width; k += WIDE) {
            double *into = hessian + j * width + k;
            const double *by = scaled + j * TILE, *own = x + k;
            vector a0, a1, b0, b1, c0, c1, d0, d1;
            memcpy(&a0, into, 32), memcpy(&a1, into + 4, 32);
            memcpy(&b0, into + width, 32), memcpy(&b1, into + width + 4, 32);
            memcpy(&c0, into + 2 * width, 32), memcpy(&c1, into + 2 * width + 4, 32);
            memcpy(&d0, into + 3 * width, 32), memcpy(&d1, into + 3 * width + 4, 32);
            for (int64_t row = 0; row < rows; row++, own += width, by++) {
                vector x0, x1;
                memcpy(&x0, own, 32), memcpy(&x1, own + 4, 32);
                a0 += by[0] * x0, a1 += by[0] * x1;
                b0 += by[TILE] * x0, b1 += by[TILE] * x1;
                c0 += by[2 * TILE] * x0, c1 += by[2 * TILE] * x1;
                d0 += by[3 * TILE] * x0, d1 += by[3 * TILE] * x1;
            }
            memcpy(into, &a0, 32), memcpy(into + 4, &a1, 32);
            memcpy(into + width, &b0, 32), memcpy(into + width + 4, &b1, 32);
            memcpy(into + 2 * width, &c0, 32), memcpy(into + 2 * width + 4, &c1, 32);
            memcpy(into + 3 * width, &d0, 32), memcpy(into + 3 * width + 4, &d1, 32);
        }
    }
}

/* into[k] += sum over rows of by[row] * x[row, k] */
CLONES static void inner(const double *x, const double *by, int64_t rows, int64_t width, double *into) {
    for (int64_t k = 0; k < width; k += 4) {
        vector sum;
        memcpy(&sum, into + k, 32);
        for (int64_t row = 0; row < rows; row++) {
            vector own;
            memcpy(&own, x + row * width + k, 32);
            sum += by[row] * own;
        }
        memcpy(into + k, &sum, 32);
    }
}

/* logits[row] = sum over k of x[row, k] * weight[k], four partial sums of every fourth k */
CLONES static void product(const double *x, const double *weight, int64_t rows, int64_t width, double *logits) {
    for (int64_t row = 0; row < rows; row++) {
        vector sum = {0, 0, 0, 0};
        for (int64_t k = 0; k < width; k += 4) {
            vector own, by;
            memcpy(&own, x + row * width + k, 32), memcpy(&by, weight + k, 32);
            sum += own * by;
        }
        logits[row] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }
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

/* Add the rows' sums to what is there; whether there was memory to do so. Ids are below `size`.

   x [count, columns] float32, rows `stride` apart; ids [count, chosen]; labels 0 or 1; weights or NULL: all 1;
   weight [width], whose place `columns` is the intercept's and whose rest is 0; table [size];
   loss [1], gradient [width], hessian [width, width], table_gradient [size], mixed [size, width],
   pairs [size, size]. */
EXPORT int64_t curvature(const float *x, int64_t stride, int64_t count, int64_t columns, const int32_t *ids,
                         int64_t chosen, const int8_t *labels, const float *weights, const double *weight,
                         int64_t width, const double *table, int64_t size, double *loss, double *gradient,
                         double *hessian, double *table_gradient, double *mixed, double *pairs) {
    double *room = calloc((size_t)(TILE * width * 2), sizeof(double));
    if (!room) return 0;
    double *tile = room, *scaled = room + TILE * width; /* [TILE, width] and [width, TILE] */
    double logits[TILE], slopes[TILE], bends[TILE];
    for (int64_t first = 0; first < count; first += TILE) {
        int64_t rows = count - first < TILE ? count - first : TILE;
        for (int64_t i = 0; i < rows; i++) {
            for (int64_t j = 0; j < columns; j++) tile[i * width + j] = x[(first + i) * stride + j];
            tile[i * width + columns] = 1;
        }
        product(tile, weight, rows, width, logits);
        for (int64_t i = 0; i < rows; i++) {
            double z = logits[i], own = weights ? weights[first + i] : 1;
            for (int64_t c = 0; c < chosen; c++) z += table[ids[(first + i) * chosen + c]];
            double y = labels[first + i], e = exp(-fabs(z)), p = (z < 0 ? e : 1) / (1 + e);
            *loss += own * ((z > 0 ? z : 0) - y * z + log1p(e));
            slopes[i] = own * (y > 0 ? -(z < 0 ? 1 : e) / (1 + e) : p); /* p - 1 would lose digits near 1 */
            bends[i] = own * (e / ((1 + e) * (1 + e)));
        }
        inner(tile, slopes, rows, width, gradient);
        for (int64_t j = 0; j <= columns; j++)
            for (int64_t i = 0; i < rows; i++) scaled[j * TILE + i] = bends[i] * tile[i * width + j];
        outer(tile, scaled, rows, columns + 1, width, hessian);
        categories(ids + first * chosen, rows, chosen, tile, width, slopes, bends, size, table_gradient, mixed,
                   pairs);
    }
    free(room);
    return 1;
}
