/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of codes of a fraction of a bit to levels: radix.h says how.
 */

#include "radix_words.h"
#include "../simd/radix_book.h"

int avx2_radix_create(const struct tq_host *host, const struct tq_plan *plan, void **state)
{
	struct radix_tables *t = host->alloc(host, sizeof(*t));
	const struct tq_radix *x = plan->radix;
	uint32_t j, k;
	int level, beta;

	if (!t)
		return TQ_ERR_NOMEM;
	memset(t, 0, sizeof(*t));
	t->plan = plan;
	t->planes = plan->codebook.planes;
	radix_books(plan, t);
	for (j = 0; j < x->digits; j++) {
		beta = (t->planes == 2 ? 16383 : 127) + (x->count[j] & 1);
		t->beta[j > 0] = (uint16_t)beta;
		t->inverse[j] = (uint16_t)(65536 / x->count[j] + 1);
		for (k = 0; k < 16 * t->planes; k++) {
			level = (plan->codebook.odd[x->base[j] + k % x->count[j]] + beta) / 2;
			if (t->planes == 1) {
				t->g[j][k] = (uint8_t)level;
				continue;
			}
			t->hi[j][k] = (uint8_t)(level >> 7);
			t->lo[j][k] = (uint8_t)(level & 127);
		}
	}
	*state = t;
	return TQ_OK;
}

void avx2_radix_destroy(const struct tq_host *host, void *state)
{
	host->free(host, state);
}

/* 32 words to where their digits lie */
AVX2_INLINE void put_words(const struct radix_tables *t, const uint8_t *row, size_t k, struct radix_levels *to)
{
	const struct tq_radix *x = t->plan->radix;
	__m256i digit[TQ_RADIX_DIGITS];
	size_t at = k;
	uint32_t j;

	if (t->planes == 2) {
		radix_wide_values(t, row, k, x->words - k, digit);
		for (j = 0; j < 2; j++, at += x->words) {
			_mm256_storeu_si256((__m256i *)(void *)(to->hi + at), radix_look_up(t->hi[j], digit[j]));
			_mm256_storeu_si256((__m256i *)(void *)(to->lo + at), radix_look_up(t->lo[j], digit[j]));
		}
		return;
	}
	radix_digits(t, radix_words_at(t->plan, row, k, x->words - k), x->digits, digit);
	for (j = 0; j < x->digits; j++, at += x->words)
		_mm256_storeu_si256((__m256i *)(void *)(to->hi + at), digit[j]);
}

/* A digit's bytes may reach into those of the next, which are written later: of the same words, or of earlier ones */
void avx2_radix_row(const struct radix_tables *t, const uint8_t *row, struct radix_levels *to)
{
	size_t k = (t->plan->radix->words - 1) / RADIX_WORDS * RADIX_WORDS + RADIX_WORDS;

	while (k) {
		k -= RADIX_WORDS;
		put_words(t, row, k, to);
	}
}

/* Coordinates @at to @end - 1, which have the same beta */
AVX2_INLINE void store_floats(const struct radix_tables *t, const struct radix_levels *v, float step, size_t at,
			      size_t end, float *y)
{
	__m256i odd, beta = _mm256_set1_epi32(t->beta[at > 0]);

	for (; at + 8 <= end; at += 8) {
		odd = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(v->hi + at)));
		if (t->planes == 2)
			odd = _mm256_add_epi32(_mm256_slli_epi32(odd, 7), _mm256_cvtepu8_epi32(_mm_loadl_epi64(
				(const __m128i *)(const void *)(v->lo + at))));
		odd = _mm256_sub_epi32(_mm256_add_epi32(odd, odd), beta);
		_mm256_storeu_ps(y + at, _mm256_mul_ps(_mm256_cvtepi32_ps(odd), _mm256_set1_ps(step)));
	}
	for (; at < end; at++)
		y[at] = (float)radix_level(t, v, at) * step;
}

static void dequantize(const struct tq_plan *plan, const void *state, const uint8_t *codes, size_t n, float *y,
		       int32_t *exponent)
{
	size_t words = plan->radix->words, d = plan->dim, i;
	const struct radix_tables *t = state;
	struct radix_levels levels;
	float step;

	for (i = 0; i < n; i++, codes += plan->layout.row_bytes, y += d) {
		step = tq_split_scale(tq_load_scale(plan, codes + plan->layout.scale_at), &exponent[i]) *
		       plan->codebook.half_step;
		avx2_radix_row(t, codes, &levels);
		store_floats(t, &levels, step, 0, words, y);
		store_floats(t, &levels, step, words, d, y);
	}
}

const struct tq_quantizer_ops avx2_radix_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx2_radix_create,
	.destroy = avx2_radix_destroy,
	.quantize = avx2_radix_quantize,
	.dequantize = dequantize,
};
