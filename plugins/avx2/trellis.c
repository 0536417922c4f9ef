/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of trellis codes: tables, rotated rows to codes and back.
 */

#include "trellis.h"

int avx2_trellis_create(const struct tq_host *host, const struct tq_plan *plan, void **state)
{
	struct trellis_tables *t = host->alloc(host, sizeof(*t));
	size_t i;

	if (!t)
		return TQ_ERR_NOMEM;
	memset(t, 0, sizeof(*t));
	lanes_create(plan, &t->lanes);
	for (i = 0; i < 1u << (plan->window - 1); i++) {
		t->grid[i] = (uint8_t)((plan->trellis[i] + 127) / 2);
		if (i % 128 >= 16)
			t->grid[i] ^= (uint8_t)((plan->trellis[i - 16] + 127) / 2);
	}
	avx2_trellis_search_tables(plan, t);
	*state = t;
	return TQ_OK;
}

void avx2_trellis_destroy(const struct tq_host *host, void *state)
{
	host->free(host, state);
}

static float trellis_fit(const struct tq_plan *plan, const struct trellis_tables *t, const float *y,
			 const uint8_t *row, int64_t *sum)
{
	uint8_t grid[TRELLIS_DIM_MAX] __attribute__((aligned(32)));
	__m256 yc[2] = { _mm256_setzero_ps(), _mm256_setzero_ps() };
	__m256i cc = _mm256_setzero_si256(), odd;
	size_t at;

	trellis_row(plan, t, row, grid);
	for (at = 0; at < plan->dim; at += 8) {
		odd = trellis_odd(grid + at);
		cc = _mm256_add_epi32(cc, _mm256_mullo_epi32(odd, odd));
		yc[at / 8 % 2] = _mm256_add_ps(
			yc[at / 8 % 2], _mm256_mul_ps(_mm256_loadu_ps(y + at), _mm256_cvtepi32_ps(odd)));
	}
	*sum = sum_i64(add_widened(_mm256_setzero_si256(), cc));
	return sum_tree(yc[0], yc[1]);
}

static void trellis_floats(const struct tq_plan *plan, const struct trellis_tables *t, const uint8_t *row,
			   float step, float *y)
{
	uint8_t grid[TRELLIS_DIM_MAX] __attribute__((aligned(32)));
	size_t at;

	trellis_row(plan, t, row, grid);
	for (at = 0; at < plan->dim; at += 8)
		_mm256_storeu_ps(y + at, _mm256_mul_ps(_mm256_cvtepi32_ps(trellis_odd(grid + at)), _mm256_set1_ps(step)));
}

#define trellis_together avx2_trellis_together
#define trellis_search avx2_trellis_search
#include "../simd/trellis_rows.h"

const struct tq_quantizer_ops avx2_trellis_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx2_trellis_create,
	.destroy = avx2_trellis_destroy,
	.quantize = quantize,
	.dequantize = dequantize,
};
