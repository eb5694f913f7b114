/* Where things lie in a record of Thrift's compact protocol, which Parquet's footers are; thrift.py says why.

   A header has a kind in its low half; a field's has how far its number is from the last one's in the other,
   or 0, and the number follows. Numbers are seven bits a byte, the lowest first. Nothing is believed: what
   would reach beyond the end has no meaning, and each step takes a byte at least. */

#include <stddef.h>
#include <stdint.h>

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
        while (at && at < end && *at) {
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
    while (at && at < end && *at) {
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
