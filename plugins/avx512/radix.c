/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of codes of a fraction of a bit: tables, and the way back.
 */

#include "radix.h"
#include "../simd/radix_book.h"

/* 5 and 7 bits: byte 16 t + m is word 4 m + t */
static void fill_places(const struct tq_plan *plan, struct radix_tables *t)
{
	const struct tq_section *wide = &plan->layout.section[plan->layout.nsections - 1];
	uint32_t last = (uint32_t)radix_chunks(plan) - 1, p, at;

	for (p = 0; p < 64; p++) {
		t->place[p] = (uint8_t)(4 * (p % 16) + p / 16);
		t->bit[p] = (t->place[p] - (plan->radix->width == 7 ? 7u : 4u)) & 63;
		at = 2 * (p % 16) + p / 32;
		t->order[0][p] = (uint8_t)at;
		t->order[1][p] = (32 * last + at + 32 - wide->bytes) & 31;
	}
}

static void fill_words(const struct tq_plan *plan, struct radix_tables *t)
{
	const struct tq_radix *x = plan->radix;
	uint32_t i, j, most = 1u << x->width;

	for (i = 0; i < 64; i++)
		for (j = 0; j < x->digits; j++) {
			t->low[j][i] = (uint8_t)(x->level[j][i % most] + 128);
			if (x->width == 7)
				t->high[j][i] = (uint8_t)(x->level[j][i + 64] + 128);
		}
	if (x->width < 8) {
		fill_places(plan, t);
		return;
	}
	for (i = 0; i < 64; i++) {
		for (j = 0; j < 3; j++)
			t->low[j][i] = (uint8_t)(x->level[j][i % 27] + 128);
		for (j = 3; j < 5; j++)
			t->low[j][i] = (uint8_t)(x->level[j][27 * (i % 10)] + 128);
		t->quotient[i] = (uint8_t)(4 * i / 27);
		t->product[i] = (uint8_t)(4 * i / 27 * 27);
		t->place[i] = (uint8_t)i;
	}
}

int avx512_radix_create(const struct tq_host *host, const struct tq_plan *plan, void **state)
{
	struct radix_tables *t = host->alloc(host, sizeof(*t));
	const struct tq_radix *x = plan->radix;
	uint32_t j, word, k;

	if (!t)
		return TQ_ERR_NOMEM;
	memset(t, 0, sizeof(*t));
	radix_books(plan, t);
	for (j = 0; j < t->books; j++)
		avx512_tables_fill(&t->book[j].levels, plan->codebook.planes > 1 ? 5 : 4, &t->book[j].tables);
	if (plan->codebook.planes == 1)
		fill_words(plan, t);
	for (j = 0; j < x->digits && plan->codebook.planes == 1; j++)
		for (word = 0; word < 256; word++)
			t->level[j][word] = (uint8_t)(x->level[j][word & ((1u << x->width) - 1)] + 128);
	for (j = 0; j < 2 && plan->codebook.planes > 1; j++)
		for (k = 0; k < 23; k++) {
			t->wide[j][k] = x->level[j][k * x->place[j]];
			t->hi[32 * j + k] = (uint8_t)((t->wide[j][k] + 16384) >> 7);
			t->lo[32 * j + k] = (uint8_t)((t->wide[j][k] + 16384) & 127);
		}
	*state = t;
	return TQ_OK;
}

void avx512_radix_destroy(const struct tq_host *host, void *state)
{
	host->free(host, state);
}

/* @n coordinates of a unit */
AVX512_INLINE void store_unit(__m512i levels, size_t n, __m512 step, float *y)
{
	__m512i odd = _mm512_xor_si512(levels, _mm512_set1_epi8(-128));
	__m128i part[4] = { _mm512_castsi512_si128(odd), _mm512_extracti32x4_epi32(odd, 1),
			    _mm512_extracti32x4_epi32(odd, 2), _mm512_extracti32x4_epi32(odd, 3) };
	size_t i;

#pragma GCC unroll 4
	for (i = 0; i < 4; i++) {
		__m512 v = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(part[i])), step);

		if (n >= RADIX_UNIT)
			_mm512_storeu_ps(y + 16 * i, v);
		else if (16 * i < n)
			_mm512_mask_storeu_ps(y + 16 * i, lanes(n - 16 * i), v);
	}
}

AVX512_INLINE void dequantize_rows(const struct tq_plan *plan, const struct radix_tables *t, uint32_t digits,
				   uint32_t width, const uint8_t *codes, size_t n, float *y, int32_t *exponent)
{
	size_t chunks = radix_chunks(plan), i, c, j, first, m;
	struct radix_lookup lookup;
	__m512 step;
	__m512i words;

	radix_lookup_load(t, digits, width, &lookup);
	for (i = 0; i < n; i++, codes += plan->layout.row_bytes, y += plan->dim) {
		step = _mm512_set1_ps(tq_split_scale(tq_load_scale(plan, codes + plan->layout.scale_at), &exponent[i]) *
				      plan->codebook.half_step);
		for (c = 0; c < chunks; c++) {
			words = radix_words(plan, codes, c, width);
#pragma GCC unroll 5
			for (j = 0; j < digits; j++) {
				m = radix_unit(plan, j, c, &first);
				if (m)
					store_unit(radix_levels(&lookup, (uint32_t)j, words, width), m, step, y + first);
			}
		}
	}
}

/* 32 levels, of which @n exist */
AVX512_INLINE void store_wide(__m512i levels, size_t n, __m512 step, float *y)
{
	__m512i part[2] = { _mm512_cvtepi16_epi32(_mm512_castsi512_si256(levels)),
			    _mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64(levels, 1)) };

	store_floats(y, _mm512_mul_ps(_mm512_cvtepi32_ps(part[0]), step), lanes(n));
	if (n > 16)
		store_floats(y + 16, _mm512_mul_ps(_mm512_cvtepi32_ps(part[1]), step), lanes(n - 16));
}

static void dequantize_wide(const struct tq_plan *plan, const struct radix_tables *t, const uint8_t *codes, size_t n,
			    float *y, int32_t *exponent)
{
	size_t d = plan->dim, words = plan->radix->words, i, k;
	__m512i first = _mm512_loadu_si512(t->wide[0]), second = _mm512_loadu_si512(t->wide[1]), word, q;
	__m512 step;

	for (i = 0; i < n; i++, codes += plan->layout.row_bytes, y += d) {
		step = _mm512_set1_ps(tq_split_scale(tq_load_scale(plan, codes + plan->layout.scale_at), &exponent[i]) *
				      plan->codebook.half_step);
		for (k = 0; k < words; k += RADIX_WIDE_UNIT) {
			word = radix_wide_words(plan, codes, k, words - k);
			q = radix_wide_second(word);
			store_wide(_mm512_permutexvar_epi16(radix_wide_first(word, q), first), words - k, step, y + k);
			if (words + k < d)
				store_wide(_mm512_permutexvar_epi16(q, second), d - words - k, step, y + words + k);
		}
	}
}

static void dequantize(const struct tq_plan *plan, const void *state, const uint8_t *codes, size_t n, float *y,
		       int32_t *exponent)
{
#define DEQUANTIZE(digits, width) dequantize_rows(plan, state, digits, width, codes, n, y, exponent)
	if (plan->radix->width == 9)
		dequantize_wide(plan, state, codes, n, y, exponent);
	else
		RADIX_EACH_WIDTH(plan->radix, DEQUANTIZE);
#undef DEQUANTIZE
}

const struct tq_quantizer_ops avx512_radix_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx512_radix_create,
	.destroy = avx512_radix_destroy,
	.quantize = avx512_radix_quantize,
	.dequantize = dequantize,
};
