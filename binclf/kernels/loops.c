/* Loops over rows; __init__.py tells what each does, and does the same in NumPy where this was not compiled.

   Only what NumPy does in several passes over memory, or waiting for it. Nothing here knows Python: the library
   is called through ctypes, which lets go of the interpreter's lock. Sums are of integers; of floats there are
   only elementwise results, compiled without contraction, so all processors have the same bits. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define EXPORT __attribute__((visibility("default")))
#define AHEAD 24 /* rows that are asked for before they are copied */
#define LINE 64 /* bytes that memory gives at once */
#define LINES 6 /* of a row that are asked for: beyond, the processor has seen where it goes */
#define BLOCK 256 /* rows whose ids are written together: they stay in the nearest cache */
#define FIELDS 6 /* of moments */
#define LANES 8 /* partial sums */
#define TALL 16 /* rows that are interleaved together: a line of each column */
#define MOST_RECORD 2048 /* bytes of a record that is written at once; as rows.py has it */
#define TURNS 8 /* of all lanes, dealt together: a line of each lane */

#define VERSION 13 /* as library.py has it */

EXPORT int version(void) { return VERSION; }

static inline void copy(char *restrict to, const char *restrict from, int64_t bytes) {
    if (bytes < 16) { /* not by memcpy, which would be called: each byte, or four at once */
        int64_t i = 0;
        for (; i + 4 <= bytes; i += 4) memcpy(to + i, from + i, 4);
        for (; i < bytes; i++) to[i] = from[i];
        return;
    }
    for (int64_t i = 0; i + 16 <= bytes; i += 16) memcpy(to + i, from + i, 16);
    memcpy(to + bytes - 16, from + bytes - 16, 16);
}

/* -1, or the first place in `rows` whose row does not exist. Field f is `sizes[f]` bytes at `begins[f]`. */
EXPORT int64_t gather(const char *records, int64_t height, int64_t bytes, const int64_t *rows, int64_t count,
                      int64_t fields, const int64_t *begins, const int64_t *sizes, char *const *outs,
                      const int64_t *strides) {
    int64_t asked = bytes < LINES * LINE ? bytes : LINES * LINE;
    for (int64_t i = 0; i < count; i++) {
        if (i + AHEAD < count) {
            uintptr_t coming = (uintptr_t)records + (uintptr_t)rows[i + AHEAD] * (uintptr_t)bytes;
            for (int64_t at = 0; at < asked; at += LINE) __builtin_prefetch((const void *)(coming + at));
            if (bytes % LINE) __builtin_prefetch((const void *)(coming + asked - 1));
        }
        int64_t row = rows[i];
        if (row < 0 || row >= height) return i;
        const char *record = records + row * bytes;
        for (int64_t f = 0; f < fields; f++) copy(outs[f] + i * strides[f], record + begins[f], sizes[f]);
    }
    return -1;
}

EXPORT void complete(float *x, int64_t count, int64_t width, int64_t columns, const int64_t *lacking,
                     int64_t lacks, const float *fill, const int64_t *indicator) {
    for (int64_t i = 0; i < count; i++) {
        float *row = x + i * width;
        for (int64_t j = columns; j < width; j++) row[j] = 0;
        for (int64_t k = 0; k < lacks; k++) {
            int64_t j = lacking[k];
            const float choice[2] = {row[j], fill[j]};
            int is_missing = row[j] != row[j];
            row[j] = choice[is_missing]; /* to jump by it would be to guess */
            if (indicator[j] >= 0) row[indicator[j]] = (float)is_missing;
        }
    }
}

EXPORT void standardise(const float *residuals, int64_t stride, int64_t count, int64_t columns,
                        const float *shift, const float *scale, float *out, int64_t out_stride) {
    for (int64_t i = 0; i < count; i++) {
        const float *from = residuals + i * stride;
        float *to = out + i * out_stride;
#pragma GCC ivdep
        for (int64_t j = 0; j < columns; j++) to[j] = (from[j] - shift[j]) * scale[j];
    }
}

static inline uint32_t magnitude(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits & 0x7FFFFFFF; /* no sign: the exponent decides what is finite */
}

/* Rows [first, first + TALL) or what there is of them; returns the largest magnitude, 0x7F800000 if not finite. */
static inline uint32_t tile(const float *const *stage, int64_t columns, int64_t first, int64_t count,
                            const float *shift, const float *scale, float *restrict out, int64_t width) {
    uint32_t largest = 0;
    int64_t wide = 0;
#if defined(__SSE2__)
    if (count == TALL) {
        const __m128i unsigned_bits = _mm_set1_epi32(0x7FFFFFFF), infinite = _mm_set1_epi32(0x7F7FFFFF);
        __m128i beyond = _mm_setzero_si128();
        wide = columns - columns % 4;
        for (int64_t j = 0; j < wide; j += 4)
            for (int64_t i = 0; i < TALL; i += 4) {
                __m128 v[4];
                for (int k = 0; k < 4; k++) {
                    v[k] = _mm_loadu_ps(stage[j + k] + first + i);
                    __m128i bits = _mm_and_si128(_mm_castps_si128(v[k]), unsigned_bits);
                    beyond = _mm_or_si128(beyond, _mm_cmpgt_epi32(bits, infinite));
                    v[k] = _mm_mul_ps(_mm_sub_ps(v[k], _mm_set1_ps(shift[j + k])), _mm_set1_ps(scale[j + k]));
                }
                _MM_TRANSPOSE4_PS(v[0], v[1], v[2], v[3]);
                for (int k = 0; k < 4; k++) _mm_storeu_ps(out + (i + k) * width + j, v[k]);
            }
        if (_mm_movemask_epi8(beyond)) largest = 0x7F800000;
    }
#endif
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = wide; j < columns; j++) {
            float value = stage[j][first + i];
            uint32_t size = magnitude(value);
            largest = size > largest ? size : largest;
            out[i * width + j] = (value - shift[j]) * scale[j];
        }
    return largest;
}

/* Whether all numbers are finite. */
EXPORT int64_t interleave(const float *const *stage, int64_t columns, int64_t count, const float *shift,
                          const float *scale, float *out, int64_t width) {
    uint32_t largest = 0;
    for (int64_t first = 0; first < count; first += TALL) {
        int64_t some = count - first < TALL ? count - first : TALL;
        uint32_t found = tile(stage, columns, first, some, shift, scale, out + first * width, width);
        largest = found > largest ? found : largest;
    }
    return largest < 0x7F800000;
}

/* As interleave; but whole records of numbers, zeros, and a label at `place`, past the caches: what is written
   here is read much later, and would be fetched before it is written over. Records begin at multiples of 16. */
EXPORT int64_t record(const float *const *stage, int64_t columns, int64_t count, const float *shift,
                      const float *scale, const int8_t *labels, int64_t place, char *out, int64_t bytes) {
    union { float number; char byte[TALL * MOST_RECORD]; } room __attribute__((aligned(LINE)));
    uint32_t largest = 0;
    memset(room.byte, 0, (size_t)(TALL * bytes));
    for (int64_t first = 0; first < count; first += TALL) {
        int64_t some = count - first < TALL ? count - first : TALL;
        uint32_t found = tile(stage, columns, first, some, shift, scale, &room.number, bytes / 4);
        largest = found > largest ? found : largest;
        for (int64_t i = 0; i < some; i++) room.byte[i * bytes + place] = labels[first + i];
        char *to = out + first * bytes;
#if defined(__SSE2__)
        for (int64_t at = 0; at < some * bytes; at += 16)
            _mm_stream_si128((__m128i *)(to + at), _mm_load_si128((const __m128i *)(room.byte + at)));
#else
        memcpy(to, room.byte, (size_t)(some * bytes));
#endif
    }
#if defined(__SSE2__)
    _mm_sfence(); /* or another thread could see that they are written before they are */
#endif
    return largest < 0x7F800000;
}

/* -1, or the first column with a code beyond its table. Codes and ids may lie in the same places. */
EXPORT int64_t encode(const int32_t *codes, int64_t down, int64_t across, int64_t count, int64_t columns,
                      const int32_t *const *tables, const int64_t *lengths, int32_t *out, int64_t stride) {
    for (int64_t first = 0; first < count; first += BLOCK) {
        int64_t end = first + BLOCK < count ? first + BLOCK : count;
        for (int64_t j = 0; j < columns; j++) {
            const int32_t *own = codes + j * across, *table = tables[j];
            int64_t null = lengths[j] - 1;
            for (int64_t i = first; i < end; i++) {
                int64_t code = own[i * down] < 0 ? null : own[i * down];
                if (code > null) return j;
                out[i * stride + j] = table[code];
            }
        }
    }
    return -1;
}

/* -1, or the first place with a code beyond the counts. */
EXPORT int64_t tally(const int32_t *codes, int64_t stride, int64_t count, int64_t size, int64_t *counts) {
    for (int64_t i = 0; i < count; i++) {
        int64_t place = (int64_t)codes[i * stride] + 1;
        if (place < 0 || place >= size) return i;
        counts[place]++;
    }
    return -1;
}

/* Of some columns at once: BLOCK rows of them stay in the nearest cache, where each column alone would pass over
   all rows. `ends` has of each where its first bin begins, and the width of a bin. */
EXPORT void histograms(const float *values, int64_t stride, int64_t count, const int64_t *columns, int64_t chosen,
                       const double *centres, const double *units, const double *ends, int64_t bins,
                       int64_t *counts) {
    for (int64_t first = 0; first < count; first += BLOCK) {
        int64_t end = first + BLOCK < count ? first + BLOCK : count;
        for (int64_t j = 0; j < chosen; j++) {
            const float *own = values + columns[j];
            int64_t *into = counts + j * (bins + 2);
            double centre = centres[j], low = ends[2 * j], width = ends[2 * j + 1];
            for (int64_t i = first; i < end; i++) {
                double value = (double)own[i * stride] + centre, bin = (value - low) / width;
                bin = bin > -1 ? bin : -1; /* of NaN, too, which counts 0: to jump over it would be to guess */
                bin = bin < (double)bins ? bin : (double)bins;
                int64_t whole = (int64_t)bin;
                whole -= (double)whole > bin; /* rounded down */
                into[whole + 1] += (units ? (int64_t)units[i] : 1) & -(int64_t)(value == value);
            }
        }
    }
}

/* Set what the low bits of hashes point to, where counts are not 0. */
EXPORT void mark(const uint64_t *hashes, const int64_t *counts, int64_t count, uint64_t mask, uint8_t *out) {
    for (int64_t i = 0; i < count; i++)
        if (counts[i]) out[hashes[i] & mask] = 1;
}

EXPORT void mix(uint64_t *words, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        uint64_t z = words[i] + 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        words[i] = z ^ (z >> 31);
    }
}

/* Sums go by LANES partial sums, the value of row i to number i mod LANES, so that they are added side by side
   and in an order that is no processor's own. EACH does something with each value, its row and its lane. */
#define EACH(DO)                                                                                                  \
    for (int64_t i = 0; i < count; i += LANES) {                                                                  \
        if (i + LANES <= count)                                                                                   \
            for (int k = 0; k < LANES; k++) { DO }                                                                \
        else                                                                                                      \
            for (int k = 0; i + k < count; k++) { DO }                                                            \
    }

/* What is told of a value, 0 of NaN; without a jump, which would be to guess. */
static inline double if_number(double value, double told) {
    uint64_t bits;
    memcpy(&bits, &told, 8);
    bits &= -(uint64_t)(value == value);
    memcpy(&told, &bits, 8);
    return told;
}

#define MOMENTS(NAME, NUMBER)                                                                                     \
    static void NAME(const NUMBER *restrict values, int64_t count, const double *restrict weights, int64_t sums,  \
                     double *restrict found) {                                                                    \
        NUMBER low[LANES], high[LANES];                                                                           \
        double sum[LANES] = {0}, weight[LANES] = {0}, square[LANES] = {0};                                        \
        int64_t holes[LANES] = {0}, missing = 0;                                                                  \
        for (int k = 0; k < LANES; k++) low[k] = INFINITY, high[k] = -INFINITY;                                   \
        EACH(NUMBER value = values[i + k]; low[k] = value < low[k] ? value : low[k];                              \
             high[k] = value > high[k] ? value : high[k]; holes[k] += value != value;)                            \
        for (int k = 0; k < LANES; k++) {                                                                         \
            missing += holes[k];                                                                                  \
            low[0] = low[k] < low[0] ? low[k] : low[0];                                                           \
            high[0] = high[k] > high[0] ? high[k] : high[0];                                                      \
        }                                                                                                         \
        found[3] = (double)missing, found[4] = low[0], found[5] = high[0];                                        \
        if (!sums || low[0] == -INFINITY || high[0] == INFINITY) return;                                          \
        if (weights) {                                                                                            \
            EACH(double value = values[i + k]; double own = if_number(value, weights[i + k]); weight[k] += own;   \
                 sum[k] += own * if_number(value, value);)                                                        \
        } else if (missing) {                                                                                     \
            EACH(double value = values[i + k]; sum[k] += if_number(value, value);)                                \
        } else {                                                                                                  \
            EACH(sum[k] += values[i + k];)                                                                        \
        }                                                                                                         \
        double total = weights ? total_of(weight) : (double)(count - missing);                                    \
        double mean = total > 0 ? total_of(sum) / total : 0;                                                      \
        if (weights || missing) {                                                                                 \
            EACH(double value = values[i + k]; double away = if_number(value, value - mean);                      \
                 square[k] += (weights ? weights[i + k] : 1) * (away * away);)                                    \
        } else {                                                                                                  \
            EACH(double away = values[i + k] - mean; square[k] += away * away;)                                   \
        }                                                                                                         \
        found[0] = total, found[1] = mean, found[2] = total_of(square);                                           \
    }

static inline double total_of(const double *lanes) {
    return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

MOMENTS(of_singles, float)
MOMENTS(of_doubles, double)

EXPORT void moments(const void *const *columns, int64_t width, int64_t count, int64_t bytes,
                    const double *weights, int64_t sums, double *found) {
    for (int64_t j = 0; j < width; j++) {
        if (bytes == 4)
            of_singles(columns[j], count, weights, sums, found + j * FIELDS);
        else
            of_doubles(columns[j], count, weights, sums, found + j * FIELDS);
    }
}

EXPORT void canonical(const int32_t *order, int64_t count, int64_t shift, const int64_t *begins,
                      const int64_t *lengths, int64_t runs, int64_t *numbers, int64_t *out) {
    int64_t *next = numbers; /* laid out once: to look for each place's run would be to guess, half in vain */
    for (int64_t run = 0; run < runs; run++)
        for (int64_t k = 0; k < lengths[run]; k++) *next++ = begins[run] + k;
    for (int64_t i = 0; i < shift; i++) out[i] = numbers[order[count - shift + i]];
    for (int64_t i = shift; i < count; i++) out[i] = numbers[order[i - shift]];
}

/* How many were dealt: fewer than `rows` if the lane that is next has none left. */
EXPORT int64_t deal(const int64_t *lanes, int64_t width, int64_t count, int64_t *at, const int64_t *ends,
                    int64_t lane, int64_t *out, int64_t rows) {
    int64_t done = 0;
    while (done < rows) {
        if (lane == 0) { /* whole turns, TURNS at once: a line of each lane */
            int64_t turns = (rows - done) / count;
            for (int64_t l = 0; l < count; l++) turns = ends[l] - at[l] < turns ? ends[l] - at[l] : turns;
            for (int64_t first = 0; first < turns; first += TURNS) {
                int64_t some = turns - first < TURNS ? turns - first : TURNS;
                for (int64_t l = 0; l < count; l++) {
                    const int64_t *from = lanes + l * width + at[l] + first;
                    int64_t *to = out + done + first * count + l;
                    for (int64_t k = 0; k < some; k++) to[k * count] = from[k];
                }
            }
            for (int64_t l = 0; l < count; l++) at[l] += turns;
            done += turns * count;
            if (done == rows) break;
        }
        if (at[lane] == ends[lane]) break;
        out[done++] = lanes[lane * width + at[lane]++];
        if (++lane == count) lane = 0;
    }
    return done;
}

EXPORT uint64_t checksum(const int64_t *rows, int64_t count, uint64_t stride, uint64_t flipped) {
    uint64_t total = 0, twice = 0;
    for (int64_t i = 0; i < count; i++) {
        uint64_t word = ((uint64_t)rows[i] + 1) * stride;
        total += word;
        twice += word * (word ^ flipped);
    }
    return total + 2 * twice;
}
