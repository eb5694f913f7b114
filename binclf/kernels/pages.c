/* Parquet's pages to codes into distinct values, or to floats: all chunks of some columns in one call.

   A chunk is what a row group has of one column: a page of distinct values, then pages of rows that say which of
   them each row has; or, where a writer gave up on that, values row by row. Nothing that bytes say is believed:
   a page whose parts do not add up to the byte, or whose checksum is another, makes its chunk VOID, and whoever
   calls has it read by somebody who can say what is wrong. Nothing is read beyond a chunk's bytes but SLACK, which
   its memory must have, and nothing is written but what sizes that were handed in allow. */

#define _XOPEN_SOURCE 700 /* for pread, */
#define _FILE_OFFSET_BITS 64 /* in files of any size */

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define HAS_WIDE 1
#else
#define HAS_WIDE 0
#endif

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "numbers are taken as they lie in files: the low byte first"
#endif

#define EXPORT __attribute__((visibility("default")))
#define SLACK 64 /* bytes behind all memory that is handed in: copies take more than they need */
#define VOID (-1)
enum { UNIQUE, REPEATED };
#define LARGEST ((int64_t)1 << 30) /* bytes or rows of anything */
#define MOST_RATIO 24 /* bytes that one byte of snappy's can become: a copy of 64 takes 3 */

int64_t crc32s(const uint8_t *data, int64_t stride, int64_t bytes, int64_t count, uint32_t *out);

typedef struct { const uint8_t *at, *end; } Bytes;

/* ---- what a page's header says: Thrift's compact protocol ---- */

#define FIELDS 9
#define ABSENT INT64_MIN

enum { TYPE = 1, RAW, PACKED, CHECKSUM, ROWS_PAGE, DICTIONARY_PAGE = 7, ROWS_PAGE_2 }; /* fields of a header */
enum { VALUES = 1 }; /* of all three kinds of pages */
enum { ENCODING = 2, LEVELS_ENCODING }; /* of ROWS_PAGE and DICTIONARY_PAGE */
enum { NULLS = 2, ROWS, ENCODING_2, LEVELS_BYTES, REPEATS_BYTES, IS_PACKED }; /* of ROWS_PAGE_2 */
enum { PLAIN = 0, PLAIN_CODES = 2, RUNS = 3, CODES = 8 }; /* encodings */

static int varint(Bytes *from, uint64_t *found) {
    *found = 0;
    for (int shift = 0; shift < 63; shift += 7) {
        if (from->at >= from->end) return 0;
        uint8_t byte = *from->at++;
        *found |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) return 1;
    }
    return 0;
}

/* Fields of a record, numbers to `own`; those of the records in it to `inner`, or passed over. */
static int record(Bytes *from, int64_t *own, int64_t *inner, int depth) {
    int64_t ignored[FIELDS];
    for (int field = 0; from->at < from->end;) {
        uint8_t head = *from->at++;
        if (!head) return 1;
        field += head >> 4;
        if (!(head >> 4) || field >= FIELDS || own[field] != ABSENT) return 0;
        uint64_t number;
        switch (head & 15) {
        case 1: /* true */
        case 2: own[field] = (head & 15) == 1; break;
        case 5: /* an integer of 32 bits, or 64 */
        case 6:
            if (!varint(from, &number)) return 0;
            own[field] = (int64_t)(number >> 1) ^ -(int64_t)(number & 1);
            break;
        case 8: /* bytes */
            if (!varint(from, &number) || number > (uint64_t)(from->end - from->at)) return 0;
            from->at += number;
            break;
        case 12:
            if (!inner) inner = ignored;
            for (int i = 0; i < FIELDS; i++) inner[i] = ABSENT;
            if (depth == 2 || !record(from, inner, 0, depth + 1)) return 0;
            own[field] = 0;
            inner = 0; /* one record of pages' numbers is what a header has */
            break;
        default: return 0;
        }
    }
    return 0;
}

typedef struct {
    int kind; /* a field of the header: ROWS_PAGE, DICTIONARY_PAGE or ROWS_PAGE_2 */
    int64_t values, raw, levels, nulls; /* levels: bytes before the values that are never packed; nulls: or ABSENT */
    int is_plain, is_packed;
    Bytes content;
} Page;

static int is_size(int64_t number) { return number >= 0 && number <= LARGEST; }

/* The next page; its checksum, where it has one, is looked at if `is_new`. */
static int next(Bytes *chunk, int is_snappy, int is_new, Page *page) {
    int64_t own[FIELDS], inner[FIELDS];
    for (int i = 0; i < FIELDS; i++) own[i] = inner[i] = ABSENT;
    if (!record(chunk, own, inner, 0)) return 0;
    static const int kinds[] = {ROWS_PAGE, 0, DICTIONARY_PAGE, ROWS_PAGE_2};
    if (own[TYPE] < 0 || own[TYPE] > 3 || !kinds[own[TYPE]]) return 0;
    page->kind = kinds[own[TYPE]];
    for (int kind = ROWS_PAGE; kind <= ROWS_PAGE_2; kind++)
        if ((own[kind] == ABSENT) == (kind == page->kind)) return 0;
    int64_t size = own[PACKED];
    if (!is_size(size) || !is_size(own[RAW]) || !is_size(inner[VALUES]) || size > chunk->end - chunk->at) return 0;
    page->content.at = chunk->at, page->content.end = chunk->at += size;
    page->values = inner[VALUES], page->raw = own[RAW], page->levels = 0, page->nulls = ABSENT;
    page->is_packed = is_snappy;
    int64_t encoding = inner[ENCODING];
    if (page->kind == ROWS_PAGE_2) {
        encoding = inner[ENCODING_2], page->levels = inner[LEVELS_BYTES], page->nulls = inner[NULLS];
        if (inner[REPEATS_BYTES] || inner[ROWS] != page->values || !is_size(page->levels)) return 0;
        if (!is_size(page->nulls) || page->levels > size || page->levels > page->raw) return 0;
        if (inner[IS_PACKED] == 0) page->is_packed = 0;
    } else if (page->kind == ROWS_PAGE && inner[LEVELS_ENCODING] != RUNS) return 0;
    page->is_plain = encoding == PLAIN || (page->kind == DICTIONARY_PAGE && encoding == PLAIN_CODES);
    if (!page->is_plain && encoding != PLAIN_CODES && encoding != CODES) return 0;
    if (page->is_packed ? page->raw > size * MOST_RATIO : page->raw != size) return 0;
    if (is_new && own[CHECKSUM] != ABSENT) {
        uint32_t found;
        if (!crc32s(page->content.at, size, size, 1, &found) || found != (uint32_t)own[CHECKSUM]) return 0;
    }
    return 1;
}

/* ---- snappy ---- */

/* Whether bytes become exactly `size` bytes at `out`. */
static int unpack(Bytes from, uint8_t *out, int64_t size) {
    uint64_t promised;
    uint8_t *to = out, *end = out + size;
    if (!varint(&from, &promised) || promised != (uint64_t)size) return 0;
    while (from.at < from.end) {
        uint32_t tag = *from.at++, kind = tag & 3;
        int64_t length = (tag >> 2) + 1, back = 0;
        if (kind == 0) {
            if (length > 60) {
                int64_t more = length - 60;
                if (from.end - from.at < more) return 0;
                length = 0;
                for (int64_t i = 0; i < more; i++) length |= (int64_t)from.at[i] << (8 * i);
                from.at += more, length++;
            }
            if (length > from.end - from.at || length > end - to) return 0;
            if (length <= 16)
                memcpy(to, from.at, 16);
            else
                memcpy(to, from.at, (size_t)length);
            from.at += length, to += length;
            continue;
        }
        int64_t bytes = kind == 3 ? 4 : kind;
        if (from.end - from.at < bytes) return 0;
        if (kind == 1)
            length = ((tag >> 2) & 7) + 4, back = (int64_t)(tag >> 5) << 8 | from.at[0];
        else
            for (int64_t i = 0; i < bytes; i++) back |= (int64_t)from.at[i] << (8 * i);
        from.at += bytes;
        if (!back || back > to - out || length > end - to) return 0;
        const uint8_t *source = to - back;
        if (back >= 16) /* never more than 64 bytes: the last 16 may reach SLACK */
            for (int64_t i = 0; i < length; i += 16) memcpy(to + i, source + i, 16);
        else if (back >= 8)
            for (int64_t i = 0; i < length; i += 8) memcpy(to + i, source + i, 8);
        else
            for (int64_t i = 0; i < length; i++) to[i] = source[i];
        to += length;
    }
    return to == end;
}

/* A page's bytes as they were before they were packed; `room` has page->raw and SLACK. */
static int open(const Page *page, uint8_t *room, Bytes *found) {
    *found = page->content;
    if (!page->is_packed) return 1;
    Bytes packed = {page->content.at + page->levels, page->content.end};
    memcpy(room, page->content.at, (size_t)page->levels);
    found->at = room, found->end = room + page->raw;
    if (page->raw == page->levels && packed.at == packed.end) return 1; /* no values, and nothing packed of them */
    return unpack(packed, room + page->levels, page->raw - page->levels);
}

/* ---- runs of numbers: each repeated, or packed by eight ---- */

typedef struct { int64_t count; uint32_t value; const uint8_t *packed; } Run;

static int next_run(Bytes *from, int width, Run *run) {
    uint64_t head;
    if (!varint(from, &head) || head >> 1 > LARGEST) return 0;
    int64_t bytes = head & 1 ? (int64_t)(head >> 1) * width : (width + 7) / 8;
    if (bytes > from->end - from->at || !(head >> 1)) return 0;
    run->count = (int64_t)(head >> 1), run->packed = 0, run->value = 0;
    if (head & 1)
        run->count *= 8, run->packed = from->at;
    else
        for (int64_t i = 0; i < bytes; i++) run->value |= (uint32_t)from->at[i] << (8 * i);
    from->at += bytes;
    return 1;
}

#if HAS_WIDE
#define MOST_WIDE 25 /* bits: with up to 7 before them they are within four bytes */

/* Eight numbers at once, which end where a byte does; returns how many were done. most[k]: the largest of each k-th. */
__attribute__((target("avx2"))) static int64_t by_eights(const uint8_t *packed, int width, int64_t count,
                                                         uint32_t *out, uint32_t *most) {
    uint8_t bytes[32]; /* the four in which each number is, from its half's first on */
    uint32_t before[8]; /* bits of them that are the number's before */
    for (int k = 0; k < 8; k++) {
        int bit = k < 4 ? k * width : (4 * width & 7) + (k - 4) * width;
        for (int i = 0; i < 4; i++) bytes[4 * k + i] = (uint8_t)((bit >> 3) + i);
        before[k] = (uint32_t)bit & 7;
    }
    const __m256i which = _mm256_loadu_si256((const __m256i *)bytes);
    const __m256i shifts = _mm256_loadu_si256((const __m256i *)before);
    const __m256i mask = _mm256_set1_epi32((int)(0xFFFFFFFF >> (32 - width)));
    __m256i largest = _mm256_setzero_si256();
    int64_t done = 0;
    for (; done + 8 <= count; done += 8, packed += width) {
        __m128i low = _mm_loadu_si128((const __m128i *)packed);
        __m128i high = _mm_loadu_si128((const __m128i *)(packed + (width >> 1)));
        __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
        both = _mm256_and_si256(_mm256_srlv_epi32(_mm256_shuffle_epi8(both, which), shifts), mask);
        largest = _mm256_max_epu32(largest, both);
        _mm256_storeu_si256((__m256i *)(out + done), both);
    }
    _mm256_storeu_si256((__m256i *)most, largest);
    return done;
}
#endif

/* `count` numbers of `width` bits, one behind the other; returns the largest. SLACK bytes are behind them. */
static uint32_t unpacked(const uint8_t *packed, int width, int64_t count, uint32_t *out) {
    uint32_t mask = width ? 0xFFFFFFFF >> (32 - width) : 0, largest = 0;
    int64_t i = 0;
#if HAS_WIDE
    if (width && width <= MOST_WIDE && count >= 8 && __builtin_cpu_supports("avx2")) {
        uint32_t most[8];
        i = by_eights(packed, width, count, out, most);
        for (int k = 0; k < 8; k++) largest = most[k] > largest ? most[k] : largest;
    }
#endif
    for (; i < count; i++) {
        uint64_t word;
        memcpy(&word, packed + (i * width >> 3), 8);
        uint32_t value = (uint32_t)(word >> (i * width & 7)) & mask;
        largest = value > largest ? value : largest;
        out[i] = value;
    }
    return largest;
}

/* `count` numbers of `width` bits, each below `bound`, as int32; there are SLACK bytes behind both. */
static int numbers(Bytes from, int width, int64_t count, int64_t bound, int32_t *out) {
    uint32_t largest = 0;
    Run run;
    for (int64_t done = 0; done < count; done += run.count) {
        if (!next_run(&from, width, &run)) return 0;
        if (run.count > count - done) run.count = count - done;
        int32_t *into = out + done;
        if (!run.packed) {
            largest = run.value > largest ? run.value : largest;
            for (int64_t i = 0; i < run.count; i++) into[i] = (int32_t)run.value;
            continue;
        }
        uint32_t most = unpacked(run.packed, width, run.count, (uint32_t *)into);
        largest = most > largest ? most : largest;
    }
    return !count || largest < bound;
}

#define SOME 512 /* values that are looked up together: about as many as writers put into a run */

/* As `numbers`; but what a table has for each of them. */
#define LOOKED_UP(NAME, WORD)                                                                                      \
    static int NAME(Bytes from, int width, int64_t count, int64_t bound, const WORD *table, WORD *out) {           \
        uint32_t places[SOME];                                                                                     \
        Run run;                                                                                                   \
        for (int64_t done = 0; done < count; done += run.count) {                                                  \
            if (!next_run(&from, width, &run)) return 0;                                                           \
            if (run.count > count - done) run.count = count - done;                                                \
            WORD *into = out + done;                                                                               \
            if (!run.packed) {                                                                                     \
                if (run.value >= bound) return 0;                                                                  \
                for (int64_t i = 0; i < run.count; i++) into[i] = table[run.value];                                \
                continue;                                                                                          \
            }                                                                                                      \
            for (int64_t first = 0; first < run.count; first += SOME) { /* SOME is a multiple of eight */          \
                int64_t some = run.count - first < SOME ? run.count - first : SOME;                                \
                if (unpacked(run.packed + (first * width >> 3), width, some, places) >= bound) return 0;           \
                for (int64_t i = 0; i < some; i++) into[first + i] = table[places[i]];                             \
            }                                                                                                      \
        }                                                                                                          \
        return 1;                                                                                                  \
    }

LOOKED_UP(singles, uint32_t)
LOOKED_UP(doubles, uint64_t)

/* How many of `count` levels are 1, or VOID. */
static int64_t present(Bytes levels, int64_t count) {
    int64_t ones = 0;
    Run run;
    for (int64_t done = 0; done < count; done += run.count) {
        if (!next_run(&levels, 1, &run) || run.value > 1) return VOID;
        if (run.count > count - done) run.count = count - done;
        if (!run.packed) {
            ones += run.value ? run.count : 0;
            continue;
        }
        for (int64_t i = 0; i < run.count; i += 8) {
            uint32_t byte = run.packed[i >> 3];
            if (run.count - i < 8) byte &= 0xFFu >> (8 - (run.count - i));
            ones += __builtin_popcount(byte);
        }
    }
    return ones;
}

/* Codes where levels are 1, and -1 where they are 0: levels that `present` has seen. */
static void spread(Bytes levels, int64_t count, const int32_t *codes, int32_t *out) {
    Run run;
    for (int64_t done = 0; done < count && next_run(&levels, 1, &run); done += run.count) {
        if (run.count > count - done) run.count = count - done;
        int32_t *into = out + done;
        if (!run.packed && run.value) {
            memcpy(into, codes, (size_t)run.count * 4);
            codes += run.count;
        } else if (!run.packed) {
            memset(into, 0xFF, (size_t)run.count * 4);
        } else {
            for (int64_t i = 0; i < run.count; i += 8) {
                uint32_t byte = run.packed[i >> 3];
                if (byte == 0xFF && run.count - i >= 8) {
                    memcpy(into + i, codes, 32);
                    codes += 8;
                    continue;
                }
                int64_t some = run.count - i < 8 ? run.count - i : 8;
                for (int64_t k = 0; k < some; k++) {
                    int32_t bit = (byte >> k) & 1;
                    into[i + k] = *codes | (bit - 1);
                    codes += bit;
                }
            }
        }
    }
}

/* ---- distinct values ---- */

static inline uint64_t mixed(uint64_t word) { /* as loops.c has it */
    uint64_t z = word + 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

static inline uint64_t hash(const uint8_t *data, int64_t length, uint64_t seed) {
    uint64_t state = mixed(seed ^ (uint64_t)length), word;
    for (; length >= 8; data += 8, length -= 8) {
        memcpy(&word, data, 8);
        state = mixed(state ^ word);
    }
    if (length > 0) {
        word = 0;
        for (int64_t i = 0; i < length; i++) word |= (uint64_t)data[i] << (8 * i);
        state = mixed(state ^ word);
    }
    return state;
}

/* Hashes of texts: text i is data[offsets[i]:offsets[i + 1]]. Whether they lie one behind the other. */
EXPORT int64_t hash_texts(const uint8_t *data, const int64_t *offsets, int64_t count, uint64_t seed, uint64_t *out) {
    for (int64_t i = 0; i < count; i++) {
        if (offsets[i + 1] < offsets[i] || offsets[i + 1] > offsets[count]) return 0;
        out[i] = hash(data + offsets[i], offsets[i + 1] - offsets[i], seed);
    }
    return 1;
}

typedef struct {
    int64_t width; /* bytes of a value; 0: text, each with its length before it */
    uint8_t *data; /* values end to end */
    int64_t *offsets; /* of texts: where each begins, and the last ends */
    int64_t count, room, bytes; /* how many there are; the most there may be, and their bytes */
    int64_t listed; /* by the first page, which codes are of: others came row by row */
    int32_t *table; /* by hash, the number of a text; -1: none */
    int64_t slots; /* a power of two */
} Values;

/* Whether there was room for one more. */
static inline int add(Values *values, const uint8_t *text, int64_t length) {
    int64_t begin = values->offsets[values->count];
    if (values->count == values->room || length > values->bytes - begin) return 0;
    uint8_t *to = values->data + begin;
    if (length <= 16) { /* SLACK is behind both */
        uint64_t words[2];
        memcpy(words, text, 16), memcpy(to, words, 16);
    } else
        memcpy(to, text, (size_t)length);
    values->offsets[++values->count] = begin + length;
    return 1;
}

/* The number of a text, added if it is new; VOID: there was no room. */
static int32_t number_of(Values *values, const uint8_t *text, int64_t length) {
    int64_t slot = (int64_t)(hash(text, length, 0) & (uint64_t)(values->slots - 1));
    for (; values->table[slot] >= 0; slot = (slot + 1) & (values->slots - 1)) {
        int32_t known = values->table[slot];
        int64_t begin = values->offsets[known];
        if (values->offsets[known + 1] - begin == length && !memcmp(values->data + begin, text, (size_t)length))
            return known;
    }
    if (!add(values, text, length)) return VOID;
    return values->table[slot] = (int32_t)values->count - 1;
}

/* A text with its length before it. */
static inline int next_text(Bytes *from, const uint8_t **text, int64_t *length) {
    uint32_t size;
    if (from->end - from->at < 4) return 0;
    memcpy(&size, from->at, 4);
    from->at += 4;
    if ((int64_t)size > from->end - from->at) return 0;
    *text = from->at, *length = size;
    from->at += size;
    return 1;
}

/* Values of the first page, in their order. */
static int dictionary(Bytes from, int64_t count, Values *values) {
    const uint8_t *text;
    int64_t length;
    if (values->width) {
        if (from.end - from.at != count * values->width || count > values->room) return 0;
        memcpy(values->data, from.at, (size_t)(from.end - from.at));
        values->count = values->listed = count;
        return 1;
    }
    for (int64_t i = 0; i < count; i++)
        if (!next_text(&from, &text, &length) || !add(values, text, length)) return 0;
    values->listed = count;
    return from.at == from.end;
}

/* Values row by row to codes: equal texts to one, each number to one of its own. */
static int plain(Bytes from, int64_t count, Values *values, int32_t *out) {
    const uint8_t *text;
    int64_t length;
    if (values->width) {
        if (from.end - from.at != count * values->width || count > values->room - values->count) return 0;
        memcpy(values->data + values->count * values->width, from.at, (size_t)(from.end - from.at));
        for (int64_t i = 0; i < count; i++) out[i] = (int32_t)(values->count + i);
        values->count += count;
        return 1;
    }
    for (int64_t i = 0; i < count; i++)
        if (!next_text(&from, &text, &length) || (out[i] = number_of(values, text, length)) == VOID) return 0;
    return from.at == from.end;
}

/* Texts of the first page can be found, from now on. */
static void index_all(Values *values) {
    memset(values->table, 0xFF, (size_t)values->slots * 4);
    for (int64_t i = 0; i < values->count; i++) {
        int64_t begin = values->offsets[i], length = values->offsets[i + 1] - begin;
        int64_t slot = (int64_t)(hash(values->data + begin, length, 0) & (uint64_t)(values->slots - 1));
        while (values->table[slot] >= 0) slot = (slot + 1) & (values->slots - 1);
        values->table[slot] = (int32_t)i;
    }
}

/* ---- chunks ---- */

typedef struct { /* as pages.py has it: all of 64 bits */
    int64_t begin, end; /* of its bytes */
    int64_t is_snappy, is_nullable;
    int64_t width; /* bytes of a value; 0: text */
    int64_t repeats; /* of numbers: UNIQUE, or REPEATED: those that come row by row are taken, each as a value of
                        its own */
    int64_t most, bytes; /* the most values it may have, and bytes of theirs; VOID: it is not what is read here */
    int64_t loose; /* of those values, how many come row by row */
    int64_t largest; /* bytes of a page */
    int32_t *codes; /* [rows] */
    uint8_t *data; /* [bytes] and SLACK */
    int64_t *offsets; /* [most + 1] */
    int32_t *table; /* [slots] */
    int64_t slots; /* a power of two above twice the values, if some come row by row */
    int64_t count; /* distinct values; VOID: it could not be done */
    int64_t seen; /* bits of any byte of them */
} Chunk;

static int survey(Bytes from, int64_t rows, Chunk *chunk) {
    int64_t values = 0, bytes = 0, loose = 0, largest = 0, left = rows;
    Page page;
    for (int first = 1; left > 0; first = 0) {
        if (!next(&from, (int)chunk->is_snappy, 1, &page)) return 0;
        largest = page.raw > largest ? page.raw : largest;
        if (page.kind == DICTIONARY_PAGE) {
            if (!first || !page.is_plain) return 0;
            values = page.values, bytes = page.raw - (chunk->width ? 0 : 4 * values);
            if (bytes < 0 || (chunk->width && bytes != chunk->width * values)) return 0;
            continue;
        }
        if (page.values > left || (chunk->width && page.is_plain && !chunk->repeats)) return 0;
        left -= page.values;
        if (page.is_plain && page.values) loose += page.values, bytes += page.raw;
    }
    if (from.at != from.end || bytes > LARGEST || values + loose > LARGEST) return 0;
    chunk->most = values + loose, chunk->bytes = bytes, chunk->loose = loose, chunk->largest = largest;
    return 1;
}

/* Verify chunks of data [SLACK behind it], and tell what memory they need. */
EXPORT void survey_chunks(const uint8_t *data, int64_t rows, Chunk *chunks, int64_t count) {
    for (Chunk *chunk = chunks; chunk < chunks + count; chunk++) {
        Bytes from = {data + chunk->begin, data + chunk->end};
        if (!survey(from, rows, chunk)) chunk->most = chunk->bytes = chunk->loose = chunk->largest = VOID;
    }
}

/* A page of rows: how many of them have a value, these values, and levels that say which rows they are of. */
static int contents(const Page *page, int is_nullable, uint8_t *room, Bytes *levels, Bytes *values, int64_t *count) {
    levels->at = levels->end = 0, *count = page->values;
    if (!open(page, room, values)) return 0;
    if (page->kind == ROWS_PAGE_2) {
        levels->at = values->at, levels->end = values->at += page->levels;
    } else if (is_nullable) {
        int64_t length;
        if (!next_text(values, &levels->at, &length)) return 0;
        levels->end = levels->at + length;
    }
    if (is_nullable && (*count = present(*levels, page->values)) == VOID) return 0;
    return page->nulls == ABSENT || page->values - *count == page->nulls;
}

/* Of codes: how many bits each has; VOID: none can have so many. */
static int bits_of(Bytes *from) { return from->at >= from->end || *from->at > 32 ? VOID : *from->at++; }

/* A page of rows to its codes. */
static int codes_of(const Page *page, int is_nullable, uint8_t *room, int32_t *dense, Values *values, int32_t *out) {
    Bytes from, levels;
    int64_t count;
    if (!contents(page, is_nullable, room, &levels, &from, &count)) return 0;
    int32_t *into = count == page->values ? out : dense;
    if (page->is_plain) {
        if (!plain(from, count, values, into)) return 0;
    } else if (count) {
        int width = bits_of(&from);
        if (width == VOID || !numbers(from, width, count, values->listed, into)) return 0;
    }
    if (into == dense) spread(levels, page->values, dense, out);
    return 1;
}

static int decode(Bytes from, int64_t rows, const Chunk *chunk, uint8_t *room, int32_t *dense, Values *values) {
    int is_indexed = 0;
    Page page;
    for (int64_t done = 0; done < rows;) {
        if (!next(&from, (int)chunk->is_snappy, 0, &page)) return 0;
        if (page.kind == DICTIONARY_PAGE) {
            Bytes content;
            if (values->count) return 0;
            if (values->width && page.is_packed) { /* straight to where they are wanted */
                if (page.values > values->room || page.raw != page.values * values->width) return 0;
                if (!unpack(page.content, values->data, page.raw)) return 0;
                values->count = values->listed = page.values;
                continue;
            }
            if (!open(&page, room, &content) || !dictionary(content, page.values, values)) return 0;
            continue;
        }
        if (page.values > rows - done) return 0;
        if (page.is_plain && page.values && !is_indexed && !values->width) {
            if (values->slots <= 2 * values->room - 1) return 0;
            index_all(values), is_indexed = 1;
        }
        if (!codes_of(&page, (int)chunk->is_nullable, room, dense, values, chunk->codes + done)) return 0;
        done += page.values;
    }
    return 1;
}

/* Surveyed chunks to their values, and of each row the code of its value, -1 for null. `room` has as many bytes as
   the largest page, `dense` is [rows], and both have SLACK. */
EXPORT void decode_chunks(const uint8_t *data, int64_t rows, Chunk *chunks, int64_t count, uint8_t *room,
                          int32_t *dense) {
    for (Chunk *chunk = chunks; chunk < chunks + count; chunk++) {
        Bytes from = {data + chunk->begin, data + chunk->end};
        Values values = {.width = chunk->width, .data = chunk->data, .offsets = chunk->offsets, .room = chunk->most,
                         .bytes = chunk->bytes, .table = chunk->table, .slots = chunk->slots};
        uint8_t seen = 0;
        values.offsets[0] = 0;
        if (chunk->most == VOID) {
            chunk->count = VOID;
            continue;
        }
        chunk->count = decode(from, rows, chunk, room, dense, &values) ? values.count : VOID;
        for (int64_t i = 0; i < values.offsets[chunk->width ? 0 : values.count]; i++) seen |= values.data[i];
        chunk->seen = seen;
    }
}

/* ---- floats without nulls ---- */

typedef struct { /* as pages.py has it: all of 64 bits */
    int64_t begin, bytes; /* of its pages, in the file */
    int64_t is_snappy, is_nullable;
    uint8_t *values; /* where to: [rows] and SLACK */
    int64_t is_read; /* whether they are there; else it is not what is read here */
} Floats;

typedef struct {
    int64_t rows, width; /* bytes of a value */
    uint8_t *packed, *table, *page; /* a chunk as the file has it; [rows] values; a page of `most` bytes; and SLACK */
    int64_t most;
} Room;

/* A page of rows to its values; the table has `listed` of them. */
static int values_of(const Page *page, int is_nullable, const Room *room, int64_t listed, uint8_t *out) {
    Bytes from, levels;
    int64_t count;
    if (!contents(page, is_nullable, room->page, &levels, &from, &count) || count != page->values) return 0;
    if (page->is_plain) {
        if (from.end - from.at != count * room->width) return 0;
        memcpy(out, from.at, (size_t)(count * room->width));
        return 1;
    }
    const void *table = room->table;
    void *into = out;
    int width = count ? bits_of(&from) : 0;
    if (width == VOID) return 0;
    return room->width == 4 ? singles(from, width, count, listed, table, into)
                            : doubles(from, width, count, listed, table, into);
}

/* The pages of a chunk, all of them verified. */
static int floats(Bytes from, const Floats *own, const Room *room) {
    int64_t listed = 0;
    Page page;
    for (int64_t done = 0, is_first = 1; done < room->rows; is_first = 0) {
        if (!next(&from, (int)own->is_snappy, 1, &page)) return 0;
        if (page.kind == DICTIONARY_PAGE) {
            if (!is_first || !page.is_plain) return 0;
            if (page.values > room->rows || page.raw != page.values * room->width) return 0;
            if (!page.is_packed)
                memcpy(room->table, page.content.at, (size_t)page.raw);
            else if (!unpack(page.content, room->table, page.raw))
                return 0;
            listed = page.values;
            continue;
        }
        if (page.values > room->rows - done || page.raw > room->most) return 0;
        if (!values_of(&page, (int)own->is_nullable, room, listed, own->values + done * room->width)) return 0;
        done += page.values;
    }
    return from.at == from.end;
}

/* Read chunks of a file, one after the other: a column is unpacked and looked up while it is in a near cache.
   0, or the system's number of an error. */
EXPORT int64_t read_floats(int64_t file, const Room *room, Floats *chunks, int64_t count) {
    for (Floats *own = chunks; own < chunks + count; own++) {
        int64_t done = 0;
        while (done < own->bytes) {
            size_t left = (size_t)(own->bytes - done);
            ssize_t some = pread((int)file, room->packed + done, left, (off_t)(own->begin + done));
            if (some < 0 && errno == EINTR) continue;
            if (some < 0) return errno;
            if (!some) break; /* the file has become shorter */
            done += some;
        }
        Bytes from = {room->packed, room->packed + done};
        own->is_read = done == own->bytes && floats(from, own, room);
    }
    return 0;
}
