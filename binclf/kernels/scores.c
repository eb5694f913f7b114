/* Log-odds of rows: what each column adds, column after column, so that a row has the same bits in any company.

   BLOCK rows of sums stay in the nearest cache while all columns pass over them. Only elementwise results: no sum
   goes over rows. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define BLOCK 1024

enum { SINGLES, DOUBLES, CODES }; /* as scores.py has it */

typedef struct {
    int64_t sort;
    int64_t values; /* where they begin */
    int64_t table;  /* of CODES: what each adds; the last is null's */
    int64_t length; /* of the table */
    double shift, slope, blank; /* of numbers */
} Term;

/* One of the two, without a jump, which would be to guess. */
static inline double chosen(int is_first, double first, double second) {
    uint64_t one, other, mask = -(uint64_t)is_first;
    memcpy(&one, &first, 8);
    memcpy(&other, &second, 8);
    one = (one & mask) | (other & ~mask);
    memcpy(&first, &one, 8);
    return first;
}

#define ADD(NAME, NUMBER)                                                                                         \
    static void NAME(const NUMBER *restrict values, int64_t count, double shift, double slope, double blank,      \
                     double *restrict out) {                                                                      \
        for (int64_t i = 0; i < count; i++) {                                                                     \
            double value = values[i];                                                                             \
            out[i] += chosen(value != value, blank, (value - shift) * slope);                                     \
        }                                                                                                         \
    }

ADD(add_singles, float)
ADD(add_doubles, double)

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
                const double *table = (const double *)(uintptr_t)own->table;
                int64_t null = own->length - 1, largest = 0;
                for (int64_t i = 0; i < some; i++) largest = codes[i] > largest ? codes[i] : largest;
                if (largest > null) return j;
                for (int64_t i = 0; i < some; i++) sums[i] += table[codes[i] < 0 ? null : codes[i]];
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
