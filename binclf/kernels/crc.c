/* CRC-32 as gzip and Parquet have it (polynomial 0xEDB88320, reflected), many arrays in one call.

   By carry-less products, 64 bytes at once: Gopal et al., "Fast CRC Computation for Generic Polynomials Using
   PCLMULQDQ Instruction", Intel, 2009, whose constants for this polynomial these are. Ends of fewer than 16
   bytes go bit by bit. Processors without the instruction are left to zlib. */

#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define LEAST 64 /* bytes that products are worth */

static uint32_t by_byte(const uint8_t *data, int64_t bytes, uint32_t crc) {
    for (int64_t i = 0; i < bytes; i++) {
        crc ^= data[i];
        for (int k = 0; k < 8; k++) crc = (crc >> 1) ^ (0xEDB88320 & (0 - (crc & 1)));
    }
    return crc;
}

__attribute__((target("pclmul,sse4.1"))) static inline __m128i fold(__m128i x, __m128i keys, __m128i next) {
    __m128i low = _mm_clmulepi64_si128(x, keys, 0x00), high = _mm_clmulepi64_si128(x, keys, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

/* `bytes` is a multiple of 16 and LEAST or more. */
__attribute__((target("pclmul,sse4.1"))) static uint32_t by_products(const uint8_t *data, int64_t bytes,
                                                                      uint32_t crc) {
    const __m128i *at = (const __m128i *)data, *end = at + bytes / 16;
    const __m128i by_512 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4);
    const __m128i by_128 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
    const __m128i by_64 = _mm_set_epi64x(0, 0x0163cd6124), barrett = _mm_set_epi64x(0x01f7011641, 0x01db710641);
    const __m128i low32 = _mm_setr_epi32(-1, 0, -1, 0);
    __m128i a = _mm_loadu_si128(at), b = _mm_loadu_si128(at + 1), c = _mm_loadu_si128(at + 2);
    __m128i d = _mm_loadu_si128(at + 3);
    a = _mm_xor_si128(a, _mm_cvtsi32_si128((int)crc));
    for (at += 4; end - at >= 4; at += 4) {
        a = fold(a, by_512, _mm_loadu_si128(at));
        b = fold(b, by_512, _mm_loadu_si128(at + 1));
        c = fold(c, by_512, _mm_loadu_si128(at + 2));
        d = fold(d, by_512, _mm_loadu_si128(at + 3));
    }
    a = fold(fold(fold(a, by_128, b), by_128, c), by_128, d);
    for (; at < end; at++) a = fold(a, by_128, _mm_loadu_si128(at));
    a = _mm_xor_si128(_mm_srli_si128(a, 8), _mm_clmulepi64_si128(a, by_128, 0x10)); /* 128 bits to 64 */
    b = _mm_srli_si128(a, 4);
    a = _mm_xor_si128(_mm_clmulepi64_si128(_mm_and_si128(a, low32), by_64, 0x00), b);
    b = _mm_and_si128(_mm_clmulepi64_si128(_mm_and_si128(a, low32), barrett, 0x10), low32); /* and to 32 */
    return (uint32_t)_mm_extract_epi32(_mm_xor_si128(a, _mm_clmulepi64_si128(b, barrett, 0x00)), 1);
}

/* Whether this processor can; else nothing is written. */
EXPORT int64_t crc32s(const uint8_t *data, int64_t stride, int64_t bytes, int64_t count, uint32_t *out) {
    if (!__builtin_cpu_supports("pclmul") || !__builtin_cpu_supports("sse4.1")) return 0;
    for (int64_t i = 0; i < count; i++) {
        const uint8_t *own = data + i * stride;
        int64_t whole = bytes < LEAST ? 0 : bytes - bytes % 16;
        uint32_t crc = whole ? by_products(own, whole, 0xFFFFFFFF) : 0xFFFFFFFF;
        out[i] = ~by_byte(own + whole, bytes - whole, crc);
    }
    return 1;
}

#else

EXPORT int64_t crc32s(const uint8_t *data, int64_t stride, int64_t bytes, int64_t count, uint32_t *out) {
    (void)data, (void)stride, (void)bytes, (void)count, (void)out;
    return 0;
}

#endif
