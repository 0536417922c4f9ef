/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of codes of a fraction of a bit to levels: radix.h says how.
 */

#include "radix.h"
#include "../simd/radix_book.h"

int avx2_radix_create(const struct tq_host *host, const struct tq_plan *plan, void **state)
{
	struct radix_tables *t = host->alloc(host, sizeof(*t));
	const struct tq_radix *x = plan->radix;
	uint32_t j, k, beta;
	int level;

	if (!t)
		return TQ_ERR_NOMEM;
	memset(t, 0, sizeof(*t));
	t->plan = plan;
	t->books = x->base[1] ? 2 : 1;
	for (j = 0; j < t->books; j++)
		radix_book(plan, j, &t->book[j].levels);
	for (j = 0; j < x->digits; j++) {
		beta = x->count[j] & 1 ? 128 : 127;
		t->beta[j > 0] = (uint8_t)beta;
		t->inverse[j] = (uint16_t)(65536 / x->count[j] + 1);
		for (k = 0; k < 16; k++) {
			level = plan->codebook.odd[x->base[j] + k % x->count[j]];
			t->g[j][k] = (uint8_t)((level + (int)beta) / 2);
		}
	}
	*state = t;
	return TQ_OK;
}

void avx2_radix_destroy(const struct tq_host *host, void *state)
{
	host->free(host, state);
}

/* Up to 16 bytes at @p, @n of which are there, and anything behind them */
AVX2_INLINE __m128i load_16(const uint8_t *row, const uint8_t *p, ptrdiff_t n)
{
	const __m128i ramp = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	uint8_t room[16] = { 0 };

	if (n >= 16)
		return _mm_loadu_si128((const __m128i *)(const void *)p);
	if (n <= 0)
		return _mm_setzero_si128();
	if (p - row >= 16 - n) /* what ends with them, moved down */
		return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + n - 16)),
					_mm_add_epi8(ramp, _mm_set1_epi8((char)(16 - n))));
	memcpy(room, p, (size_t)n);
	return _mm_loadu_si128((const __m128i *)(const void *)room);
}

/* The same of @most bytes, where the row may have others behind them */
AVX2_INLINE const uint8_t *field(const struct tq_plan *plan, const uint8_t *row, const uint8_t *p, size_t n, size_t most,
				 uint8_t *room)
{
	return (size_t)(p - row) + most <= plan->layout.row_bytes ? p : memcpy(room, p, n < most ? n : most);
}

AVX2_INLINE __m256i nibbles(__m128i x)
{
	__m128i mask = _mm_set1_epi8(15), low, high;

	low = _mm_and_si128(x, mask);
	high = _mm_and_si128(_mm_srli_epi16(x, 4), mask);
	return _mm256_set_m128i(_mm_unpackhi_epi8(low, high), _mm_unpacklo_epi8(low, high));
}

/* Two bits each: byte k of a dword takes bits 2 k of its lowest */
AVX2_INLINE __m256i crumbs(const uint8_t *p)
{
	__m256i x = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));

	x = _mm256_or_si256(x, _mm256_slli_epi32(x, 6));
	x = _mm256_or_si256(x, _mm256_slli_epi32(x, 12));
	return _mm256_and_si256(x, _mm256_set1_epi8(3));
}

/* Single bits, as 0 or -1 */
AVX2_INLINE __m256i single_bits(const uint8_t *p)
{
	const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3,
						3, 3, 3, 3, 3, 3);
	const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
	int32_t four;

	memcpy(&four, p, sizeof(four));
	return _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(four), spread), bit), bit);
}

/* Words @k .. @k + 31, of which @n exist; anything beyond */
AVX2_INLINE __m256i words_at(const struct tq_plan *plan, const uint8_t *row, size_t k, size_t n)
{
	const struct tq_section *s = plan->layout.section;
	uint32_t width = plan->radix->width;
	const uint8_t *p = row + s->at + k;
	uint8_t room[2][8] = { { 0 } };
	__m256i word;

	if (width == 8)
		return _mm256_set_m128i(load_16(row, p + 16, (ptrdiff_t)n - 16), load_16(row, p, (ptrdiff_t)n));
	word = single_bits(field(plan, row, row + s[0].at + k / 8, (n + 7) / 8, 4, room[0]));
	word = _mm256_and_si256(word, _mm256_set1_epi8(width == 7 ? 64 : 16));
	if (width == 7)
		word = _mm256_or_si256(word, _mm256_slli_epi16(
			crumbs(field(plan, row, row + s[1].at + k / 4, (n + 3) / 4, 8, room[1])), 4));
	s += width == 7 ? 2 : 1;
	return _mm256_or_si256(word, nibbles(load_16(row, row + s->at + k / 2, (ptrdiff_t)(n + 1) / 2)));
}

/* Bytes divided by a number whose inverse is given */
AVX2_INLINE __m256i divide(__m256i x, uint16_t inverse)
{
	const __m256i factor = _mm256_set1_epi16((short)inverse);
	__m256i even = _mm256_mulhi_epu16(_mm256_and_si256(x, _mm256_set1_epi16(0xff)), factor);
	__m256i odd = _mm256_mulhi_epu16(_mm256_srli_epi16(x, 8), factor);

	return _mm256_or_si256(even, _mm256_slli_epi16(odd, 8));
}

/* A digit's bytes may reach into those of the next, which are written later: of the same words, or of earlier ones */
void avx2_radix_row(const struct radix_tables *t, const uint8_t *row, uint8_t *g)
{
	const struct tq_radix *x = t->plan->radix;
	size_t k = (x->words - 1) / RADIX_WORDS * RADIX_WORDS + RADIX_WORDS;
	__m256i word, next, digit, table;
	uint32_t j;

	while (k) {
		k -= RADIX_WORDS;
		word = words_at(t->plan, row, k, x->words - k);
		for (j = 0; j < x->digits; j++) {
			table = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)t->g[j]));
			next = digit = word;
			if (j + 1 < x->digits) {
				next = divide(word, t->inverse[j]);
				digit = _mm256_sub_epi8(
					word, _mm256_mullo_epi16(next, _mm256_set1_epi16((short)x->count[j])));
			}
			_mm256_storeu_si256((__m256i *)(void *)(g + j * x->words + k), _mm256_shuffle_epi8(table, digit));
			word = next;
		}
	}
}

/* Coordinates @at to @end - 1, which have the same beta */
AVX2_INLINE void store_floats(const uint8_t *g, int beta, float step, size_t at, size_t end, float *y)
{
	__m256i odd;

	for (; at + 8 <= end; at += 8) {
		odd = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(g + at)));
		odd = _mm256_sub_epi32(_mm256_add_epi32(odd, odd), _mm256_set1_epi32(beta));
		_mm256_storeu_ps(y + at, _mm256_mul_ps(_mm256_cvtepi32_ps(odd), _mm256_set1_ps(step)));
	}
	for (; at < end; at++)
		y[at] = (float)(2 * g[at] - beta) * step;
}

static void dequantize(const struct tq_plan *plan, const void *state, const uint8_t *codes, size_t n, float *y,
		       int32_t *exponent)
{
	size_t words = plan->radix->words, d = plan->dim, i;
	const struct radix_tables *t = state;
	uint8_t g[RADIX_ROOM];
	float step;

	for (i = 0; i < n; i++, codes += plan->layout.row_bytes, y += d) {
		step = tq_split_scale(tq_load_scale(plan, codes + plan->layout.scale_at), &exponent[i]) *
		       plan->codebook.half_step;
		avx2_radix_row(t, codes, g);
		store_floats(g, t->beta[0], step, 0, words, y);
		store_floats(g, t->beta[1], step, words, d, y);
	}
}

const struct tq_quantizer_ops avx2_radix_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx2_radix_create,
	.destroy = avx2_radix_destroy,
	.quantize = avx2_radix_quantize,
	.dequantize = dequantize,
};
