/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_AVX2_LANES_H
#define TQ_AVX2_LANES_H

/*
 * Registers and memory: partial loads and stores that touch no byte more than asked for, lane
 * masks, and the fixed tree that ends every 16-lane sum.
 */

#include "common.h"

/** fetch_bytes - ask for what will be read later; a prefetch may point anywhere */
AVX2_INLINE void fetch_bytes(const char *from, size_t n)
{
	size_t at;

	for (at = 0; at < n; at += 64)
		_mm_prefetch(from + at, _MM_HINT_T0);
}

/** part8 - @n <= 8 bytes, zeros above: two overlapping loads, their common bytes agree */
AVX2_INLINE uint64_t part8(const uint8_t *p, size_t n)
{
	uint64_t a;
	uint32_t lo, hi;

	if (n == 8) {
		memcpy(&a, p, 8);
		return a;
	}
	if (n >= 4) {
		memcpy(&lo, p, 4);
		memcpy(&hi, p + n - 4, 4);
		return lo | (uint64_t)hi << (8 * (n - 4));
	}
	if (n == 0)
		return 0;
	return p[0] | (uint64_t)p[n / 2] << (8 * (n / 2)) | (uint64_t)p[n - 1] << (8 * (n - 1));
}

/** part16 - @n <= 16 bytes, zeros above */
AVX2_INLINE __m128i part16(const uint8_t *p, size_t n)
{
	if (n == 16)
		return _mm_loadu_si128((const __m128i *)p);
	if (n <= 8)
		return _mm_cvtsi64_si128((int64_t)part8(p, n));
	return _mm_insert_epi64(_mm_loadl_epi64((const __m128i *)p), (int64_t)part8(p + 8, n - 8),
				1);
}

/** part32 - @n <= 32 bytes, zeros above */
AVX2_INLINE __m256i part32(const uint8_t *p, size_t n)
{
	if (n == 32)
		return _mm256_loadu_si256((const __m256i *)p);
	if (n <= 16)
		return _mm256_zextsi128_si256(part16(p, n));
	return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)p)),
				       part16(p + 16, n - 16), 1);
}

/**
 * part8f - floats @p[0] .. @p[@n - 1], zeros above; @n may be below 0 or above 8
 *
 * No masked load: one whose lanes all lie past the end is slow on hardware, and QEMU 7.2 reads all
 * 32 bytes before it masks, so a row that ends at the end of a mapping would crash there.
 */
AVX2_INLINE __m256 part8f(const float *p, ptrdiff_t n)
{
	if (n >= 8)
		return _mm256_loadu_ps(p);
	if (n <= 0)
		return _mm256_setzero_ps();
	return _mm256_castsi256_ps(part32((const uint8_t *)p, 4 * (size_t)n));
}

/**
 * gather8f - @p[i] for eight indices into a table of at least 256, of floats or their size
 *
 * No intrinsic: QEMU 7.2 takes an index in register 4 for no index at all, so it is kept in 0.
 */
AVX2_INLINE __m256 gather8f(const float *p, __m256i index)
{
	__m256 v = _mm256_setzero_ps(), all = _mm256_castsi256_ps(_mm256_set1_epi32(-1));

	__asm__("vgatherdps %1, (%2,%3,4), %0"
		: "+&x"(v), "+&x"(all)
		: "r"(p), "Yz"(index), "m"(*(const float(*)[256])p));
	return v;
}

/**
 * widen8u - eight bytes as integers
 *
 * No intrinsic: gcc moves what it loaded between registers by a form of vmovq that valgrind 3.19 does not know.
 */
AVX2_INLINE __m256i widen8u(const uint8_t *p)
{
	__m256i v;

	__asm__("vpmovzxbd %1, %0" : "=x"(v) : "m"(*(const uint8_t(*)[8])p));
	return v;
}

/** store_part8 - the low @n <= 8 bytes of @v */
AVX2_INLINE void store_part8(uint8_t *p, uint64_t v, size_t n)
{
	if (n & 8) {
		memcpy(p, &v, 8);
		return;
	}
	if (n & 4) {
		memcpy(p, &v, 4);
		p += 4;
		v >>= 32;
	}
	if (n & 2) {
		memcpy(p, &v, 2);
		p += 2;
		v >>= 16;
	}
	if (n & 1)
		*p = (uint8_t)v;
}

/** store_part16 - the low @n <= 16 bytes of @v */
AVX2_INLINE void store_part16(uint8_t *p, __m128i v, size_t n)
{
	if (n == 16) {
		_mm_storeu_si128((__m128i *)p, v);
		return;
	}
	if (n & 8) {
		_mm_storel_epi64((__m128i *)p, v);
		p += 8;
		v = _mm_unpackhi_epi64(v, v);
	}
	store_part8(p, (uint64_t)_mm_cvtsi128_si64(v), n & 7);
}

/** lane_mask - all ones in the first @n of 8 lanes; any @n */
AVX2_INLINE __m256i lane_mask(ptrdiff_t n)
{
	int32_t count = n < 0 ? 0 : n > 8 ? 8 : (int32_t)n;

	return _mm256_cmpgt_epi32(_mm256_set1_epi32(count),
				  _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/** byte_mask - 0xff in the first @n of 32 bytes */
AVX2_INLINE __m256i byte_mask(size_t n)
{
	return _mm256_cmpgt_epi8(_mm256_set1_epi8((char)(n > 32 ? 32 : n)),
				 _mm256_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
						  15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
						  27, 28, 29, 30, 31));
}

/** sum_tree - lanes l and l+8, then l and l+4, l+2, l+1 */
AVX2_INLINE float sum_tree(__m256 low, __m256 high)
{
	__m256 s8 = _mm256_add_ps(low, high);
	__m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
	__m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));

	return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

/** sum_i64 - sum of four 64-bit lanes */
AVX2_INLINE int64_t sum_i64(__m256i v)
{
	__m128i s = _mm_add_epi64(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

	return _mm_cvtsi128_si64(_mm_add_epi64(s, _mm_unpackhi_epi64(s, s)));
}

/** widen_u32 - eight unsigned 32-bit lanes added to four 64-bit lanes */
AVX2_INLINE __m256i add_widened(__m256i sum64, __m256i v)
{
	sum64 = _mm256_add_epi64(sum64, _mm256_and_si256(v, _mm256_set1_epi64x(0xffffffff)));
	return _mm256_add_epi64(sum64, _mm256_srli_epi64(v, 32));
}

#endif
