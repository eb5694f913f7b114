/* Log-odds of rows: what each column adds, column after column, so that a row has the same bits in any company.

   BLOCK rows of sums stay in the nearest cache while all columns pass over them. Only elementwise results: no sum
   goes over rows. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define BLOCK 1024

/* Loops whose numbers stand by themselves are compiled for wider registers, too: the same bits, four or eight at once. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define WIDER __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WIDER
#endif

#define WIDE 8 /* numbers of a vector */
typedef double wide __attribute__((vector_size(64), aligned(8)));
typedef int64_t bits __attribute__((vector_size(64), aligned(8)));
typedef float floats __attribute__((vector_size(32), aligned(4)));

enum { SINGLES, DOUBLES, CODES, CODED_SINGLES, CODED_DOUBLES }; /* as scores.py has it */

typedef struct {
    int64_t sort;
    int64_t values; /* or codes: where they begin */
    int64_t table;  /* of CODES what each adds, the last for null; of CODED_* the numbers */
    int64_t length; /* of the table */
    double shift, slope, blank; /* of numbers */
} Term;

#define ADD(NAME, NUMBER, VECTOR)                                                                                  \
    WIDER static void NAME(const NUMBER *restrict values, int64_t count, double shift, double slope, double blank,  \
                           double *restrict out) {                                                                 \
        const wide blanks = {blank, blank, blank, blank, blank, blank, blank, blank};                              \
        int64_t i = 0;                                                                                             \
        for (; i + WIDE <= count; i += WIDE) {                                                                     \
            VECTOR these;                                                                                          \
            wide sums;                                                                                             \
            memcpy(&these, values + i, sizeof these), memcpy(&sums, out + i, sizeof sums);                         \
            wide own = __builtin_convertvector(these, wide), term = (own - shift) * slope;                         \
            bits lacks = own != own; /* to jump by it would be to guess */                                         \
            sums += (wide)((lacks & (bits)blanks) | (~lacks & (bits)term));                                        \
            memcpy(out + i, &sums, sizeof sums);                                                                   \
        }                                                                                                          \
        for (; i < count; i++) {                                                                                   \
            double own = values[i];                                                                                \
            out[i] += own != own ? blank : (own - shift) * slope;                                                  \
        }                                                                                                          \
    }

ADD(add_singles, float, floats)
ADD(add_doubles, double, wide)

#define GATHER(NAME, NUMBER)                                                                                      \
    WIDER static void NAME(const NUMBER *table, const int32_t *codes, int64_t count, NUMBER *out) {                     \
        for (int64_t i = 0; i < count; i++) out[i] = codes[i] < 0 ? (NUMBER)NAN : table[codes[i]];                \
    }

GATHER(gather_singles, float)
GATHER(gather_doubles, double)

/* Rows of a column of codes, all of them in the table. */
static void add_coded(const Term *own, const int32_t *codes, int64_t count, double *sums) {
    const void *table = (const void *)(uintptr_t)own->table;
    union { float singles[BLOCK]; double doubles[BLOCK]; } room;
    if (own->sort == CODED_SINGLES) {
        gather_singles(table, codes, count, room.singles);
        add_singles(room.singles, count, own->shift, own->slope, own->blank, sums);
    } else if (own->sort == CODED_DOUBLES) {
        gather_doubles(table, codes, count, room.doubles);
        add_doubles(room.doubles, count, own->shift, own->slope, own->blank, sums);
    } else {
        const double *terms = table;
        int64_t null = own->length - 1;
        for (int64_t i = 0; i < count; i++) sums[i] += terms[codes[i] < 0 ? null : codes[i]];
    }
}

/* -1, or the first column with a code beyond its table; `odd` has how many sums are not finite. */
EXPORT int64_t add_terms(const Term *terms, int64_t columns, int64_t count, double *out, int64_t *odd) {
    int64_t found = 0;
    for (int64_t first = 0; first < count; first += BLOCK) {
        int64_t some = count - first < BLOCK ? count - first : BLOCK;
        double *sums = out + first;
        for (int64_t j = 0; j < columns; j++) {
            const Term *own = terms + j;
            const char *at = (const char *)(uintptr_t)own->values;
            if (own->sort == SINGLES)
                add_singles((const float *)at + first, some, own->shift, own->slope, own->blank, sums);
            else if (own->sort == DOUBLES)
                add_doubles((const double *)at + first, some, own->shift, own->slope, own->blank, sums);
            else {
                const int32_t *codes = (const int32_t *)at + first;
                int64_t largest = -1;
                for (int64_t i = 0; i < some; i++) largest = codes[i] > largest ? codes[i] : largest;
                if (largest >= own->length) return j;
                add_coded(own, codes, some, sums);
            }
        }
        for (int64_t i = 0; i < some; i++) { /* infinite and NaN have all bits of the exponent set */
            uint64_t bits;
            memcpy(&bits, sums + i, 8);
            found += (bits & 0x7FF0000000000000) == 0x7FF0000000000000;
        }
    }
    *odd = found;
    return -1;
}
