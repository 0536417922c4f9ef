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

/* A digit's bytes may reach into those of the next, which are written later: of the same words, or of earlier ones */
void avx2_radix_row(const struct radix_tables *t, const uint8_t *row, uint8_t *g)
{
	const struct tq_radix *x = t->plan->radix;
	size_t k = (x->words - 1) / RADIX_WORDS * RADIX_WORDS + RADIX_WORDS;
	__m256i digit[TQ_RADIX_DIGITS];
	uint32_t j;

	while (k) {
		k -= RADIX_WORDS;
		radix_digits(t, radix_words_at(t->plan, row, k, x->words - k), x->digits, digit);
		for (j = 0; j < x->digits; j++)
			_mm256_storeu_si256((__m256i *)(void *)(g + j * x->words + k), digit[j]);
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
