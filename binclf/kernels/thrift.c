/* Where things lie in a record of Thrift's compact protocol, which Parquet's footers are; thrift.py says why.

   A header has a kind in its low half, none of which ends a record; a field's has how far its number is from
   the last one's in the other, or 0, and the number follows. Numbers are seven bits a byte, the lowest first.
   Nothing is believed: what would reach beyond the end has no meaning, and each step takes a byte at least. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define DEPTH 32 /* of records in records; as thrift.py has it */

enum { YES = 1, NO, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, RECORD };

static const uint8_t *number(const uint8_t *at, const uint8_t *end, uint64_t *found) {
    *found = 0;
    for (int shift = 0; at < end && shift < 64; shift += 7) {
        *found |= (uint64_t)(*at & 127) << shift;
        if (!(*at++ & 128)) return at;
    }
    return NULL;
}

static const uint8_t *past(const uint8_t *at, const uint8_t *end, int64_t bytes) {
    return bytes >= 0 && bytes <= end - at ? at + bytes : NULL;
}

/* The header of a list: how many there are, and of which kind. */
static const uint8_t *header(const uint8_t *at, const uint8_t *end, uint64_t *count, int *kind) {
    if (at >= end) return NULL;
    *count = *at >> 4, *kind = *at & 15;
    at++;
    return *count == 15 ? number(at, end, count) : at;
}

/* Past a value, or NULL; of a list's elements those that are true or false take a byte. */
static const uint8_t *skip(const uint8_t *at, const uint8_t *end, int kind, int in_list, int depth) {
    uint64_t count;
    int inner, other;
    if (!at || depth > DEPTH) return NULL;
    switch (kind) {
    case YES:
    case NO: return in_list ? past(at, end, 1) : at;
    case BYTE: return past(at, end, 1);
    case I16:
    case I32:
    case I64: return number(at, end, &count);
    case DOUBLE: return past(at, end, 8);
    case BINARY:
        at = number(at, end, &count);
        return at && count <= (uint64_t)(end - at) ? at + count : NULL;
    case LIST:
    case SET:
        at = header(at, end, &count, &inner);
        for (uint64_t i = 0; at && i < count; i++) at = skip(at, end, inner, 1, depth + 1);
        return at;
    case MAP:
        at = number(at, end, &count);
        if (!at || !count) return at;
        if (at >= end) return NULL;
        inner = *at >> 4, other = *at & 15, at++;
        for (uint64_t i = 0; at && i < count; i++)
            at = skip(skip(at, end, inner, 1, depth + 1), end, other, 1, depth + 1);
        return at;
    case RECORD:
        while (at && at < end && *at & 15) {
            inner = *at & 15;
            if (*at++ & 0xF0) count = 0;
            else at = number(at, end, &count);
            at = skip(at, end, inner, 0, depth + 1);
        }
        return at && at < end ? at + 1 : NULL;
    default: return NULL;
    }
}

/* How many elements the list that is field `wanted` has, or -1. Where the list begins, where each of its
   elements does, and where the last one ends: the first `most` of these. */
EXPORT int64_t elements(const uint8_t *record, int64_t size, int64_t wanted, int64_t most, int64_t *out) {
    const uint8_t *at = record, *end = record + size;
    int64_t field = 0;
    while (at && at < end && *at & 15) {
        uint64_t count = 0;
        int kind = *at & 15, delta = *at >> 4;
        at++;
        if (!delta) at = number(at, end, &count);
        field = delta ? field + delta : (int64_t)(count >> 1); /* a field's number is not negative */
        if (!at || field != wanted || kind != LIST) {
            at = skip(at, end, kind, 0, 0);
            continue;
        }
        if (most > 0) out[0] = at - record;
        at = header(at, end, &count, &kind);
        if (!at || count > (uint64_t)(end - at)) return -1;
        for (int64_t i = 0; i < most - 1; i++) {
            if (!at) return -1;
            out[i + 1] = at - record;
            if (i < (int64_t)count) at = skip(at, end, kind, 1, 0);
        }
        return (int64_t)count;
    }
    return -1;
}

/* The next field of a record: its number after `*field`, and its kind; 0 at the record's end. */
static const uint8_t *next(const uint8_t *at, const uint8_t *end, int64_t *field, int *kind) {
    uint64_t count;
    if (!at || at >= end) return NULL;
    int delta = *at >> 4;
    *kind = *at++ & 15;
    if (!*kind) return at;
    if (!delta) {
        at = number(at, end, &count);
        *field = (int64_t)(count >> 1);
    } else *field += delta;
    return at;
}

static int64_t whole(uint64_t zigzag) { return (int64_t)(zigzag >> 1) ^ -(int64_t)(zigzag & 1); }

/* Fields of a column's metadata that are wanted, by their numbers: where each goes, or -1. */
enum { TYPE, CODEC, VALUES, RAW, BYTES, DATA, DICTIONARY, NULLS, PATH, LOW, HIGH, OF_CHUNK }; /* as chunks.py */
static const int8_t WANTED[12] = {-1, TYPE, -1, -1, CODEC, VALUES, RAW, BYTES, -1, DATA, -1, DICTIONARY};

/* How many nulls a record of statistics tells of, and where its ends are: the older fields, then the newer. */
static const uint8_t *statistics(const uint8_t *at, const uint8_t *end, const uint8_t *record, int64_t *out) {
    int64_t field = 0;
    int kind;
    while ((at = next(at, end, &field, &kind)) && kind) {
        uint64_t found;
        if (field == 3 && kind == I64) {
            at = number(at, end, &found);
            out[NULLS] = whole(found);
        } else {
            if (kind == BINARY && (field == 1 || field == 5)) out[HIGH] = at - record;
            if (kind == BINARY && (field == 2 || field == 6)) out[LOW] = at - record;
            at = skip(at, end, kind, 0, 0);
        }
        if (!at) return NULL;
    }
    return at;
}

static const uint8_t *column(const uint8_t *at, const uint8_t *end, const uint8_t *record, int64_t *out) {
    int64_t field = 0;
    int kind;
    while ((at = next(at, end, &field, &kind)) && kind) {
        int place = field >= 0 && field < 12 ? WANTED[field] : -1;
        if (place >= 0 && (kind == I16 || kind == I32 || kind == I64)) {
            uint64_t found;
            at = number(at, end, &found);
            out[place] = whole(found);
        } else if (field == 12 && kind == RECORD) at = statistics(at, end, record, out);
        else {
            if (field == 3 && kind == LIST) out[PATH] = at - record;
            at = skip(at, end, kind, 0, 0);
        }
        if (!at) return NULL;
    }
    return at;
}

/* One chunk, or NULL if it is not told of, or lies in another file. */
static const uint8_t *chunk(const uint8_t *at, const uint8_t *end, const uint8_t *record, int64_t *out) {
    int64_t field = 0;
    int kind, is_told = 0;
    for (int i = 0; i < OF_CHUNK; i++) out[i] = -1;
    while ((at = next(at, end, &field, &kind)) && kind) {
        uint64_t length;
        if (field == 1) {
            at = kind == BINARY ? number(at, end, &length) : NULL;
            if (!at || length) return NULL;
        } else if (field == 3 && kind == RECORD) {
            is_told = 1;
            at = column(at, end, record, out);
        } else at = skip(at, end, kind, 0, 0);
        if (!at) return NULL;
    }
    return is_told ? at : NULL;
}

/* A row group's chunks: how many, and of the first `most` of them what is wanted, -1 where it is not told; its
   rows. -1 if the record is none, or a chunk lies in another file or is not told of. */
EXPORT int64_t chunks(const uint8_t *record, int64_t size, int64_t most, int64_t *rows, int64_t *out) {
    const uint8_t *at = record, *end = record + size;
    int64_t field = 0, found = -1;
    int kind;
    *rows = -1;
    while ((at = next(at, end, &field, &kind)) && kind) {
        uint64_t count;
        if (field == 3 && kind == I64) {
            at = number(at, end, &count);
            *rows = whole(count);
        } else if (field == 1 && kind == LIST) {
            at = header(at, end, &count, &kind);
            if (!at || kind != RECORD || count > (uint64_t)(end - at)) return -1;
            found = (int64_t)count;
            for (int64_t i = 0; at && i < found; i++) {
                int64_t own[OF_CHUNK];
                at = chunk(at, end, record, own);
                if (at && i < most) memcpy(out + i * OF_CHUNK, own, sizeof own);
            }
        } else at = skip(at, end, kind, 0, 0);
        if (!at) return -1;
    }
    return at && *rows >= 0 ? found : -1;
}
