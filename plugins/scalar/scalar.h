/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SCALAR_H
#define TQ_SCALAR_H

#include "tq/plugin.h"
#include "tq/polar.h"
#include "tq/radix.h"
#include "tq/trellis.h"

/* Coordinates that a loop holds at once on its stack; a multiple of 16, so lanes stay in step. */
#define SCALAR_CHUNK 512

extern const struct tq_rotation_ops scalar_none_ops;
extern const struct tq_rotation_ops scalar_rht_ops;
extern const struct tq_rotation_ops scalar_dense_ops;
extern const struct tq_rotation_ops scalar_givens_ops;

void scalar_quantize(const struct tq_plan *plan, const void *state, const float *y,
		     const struct tq_row_stat *stat, size_t n, uint8_t *codes);
/** scalar_trellis - the bits of least error for row @y under levels times @r */
void scalar_trellis(const struct tq_plan *plan, const float *y, float r, uint8_t *row);
/** scalar_polar - the angles and radii of row @y, radii in units of @r */
void scalar_polar(const struct tq_plan *plan, const float *y, float r, uint8_t *row);
/** scalar_radix_choose - nearest levels, as indices into the codebook, of coordinates @at to @at + @n - 1 */
void scalar_radix_choose(const struct tq_plan *plan, const float *threshold, const float *y, size_t at, size_t n,
			 uint8_t *index);
/** scalar_radix_load, scalar_radix_store - indices into the codebook from and to the words of a row */
void scalar_radix_load(const struct tq_plan *plan, const uint8_t *row, size_t at, size_t n, uint8_t *index);
/** scalar_radix_alike - two indices into the codebook belong to the same book */
static inline int scalar_radix_alike(const struct tq_plan *plan, int a, int b)
{
	return (a < plan->radix->count[0]) == (b < plan->radix->count[0]);
}
void scalar_radix_store(const struct tq_plan *plan, const uint8_t *index, size_t at, size_t n, uint8_t *row);
void scalar_dequantize(const struct tq_plan *plan, const void *state, const uint8_t *codes,
		       size_t n, float *y, int32_t *exponent);

size_t scalar_query_size(const struct tq_plan *plan, const void *state);
void scalar_query_pack(const struct tq_plan *plan, const void *state, const struct tq_query *q,
		       void *packed);
void scalar_score(const struct tq_plan *plan, const void *state, const void *packed, size_t nq,
		  const uint8_t *codes, size_t n, float *scores, size_t ld);
void scalar_score_list(const struct tq_plan *plan, const void *state, const void *packed,
		       const uint8_t *codes, const uint32_t *ids, size_t n, float *scores);
void scalar_score_pairs(const struct tq_plan *plan, const void *state, const uint8_t *a, size_t na,
			const uint8_t *b, size_t nb, float *scores, size_t ld);

/* Level numbers odd[] of @n coordinates from @at on; both are multiples of 16 but for the row's end */
static inline void scalar_load_levels(const struct tq_plan *plan, const uint8_t *row, size_t at,
				      size_t n, int16_t *level)
{
	uint8_t index[SCALAR_CHUNK];
	size_t i;

	if (plan->window) {
		tq_trellis_odd(plan, row, at, n, level);
		return;
	}
	if (plan->polar) {
		tq_polar_odd(plan, row, at, n, level);
		return;
	}
	if (plan->radix) {
		tq_radix_odd(plan, row, at, n, level);
		return;
	}
	tq_unpack_indices(plan, row, at, n, index);
	for (i = 0; i < n; i++)
		level[i] = plan->codebook.odd[index[i]];
}

/* All index fields zero */
static inline void scalar_clear_fields(const struct tq_plan *plan, uint8_t *row)
{
	size_t k;

	for (k = 0; k < plan->layout.nsections; k++)
		memset(row + plan->layout.section[k].at, 0, plan->layout.section[k].bytes);
}

float scalar_logits(float *x, size_t n, float bias, float factor);
float scalar_weigh(const float *logits, size_t n, float max, float *weights);
void scalar_mix(const struct tq_plan *plan, const void *state, const float *weights, size_t ldw,
		size_t nw, const uint8_t *codes, size_t n, float *sums, size_t ld);
void scalar_raw_score(int dtype, const float *queries, size_t ldq, size_t nq, const uint16_t *rows,
		      size_t stride, size_t n, size_t d, float *scores, size_t ld);
void scalar_raw_mix(int dtype, const float *weights, size_t ldw, size_t nw, const uint16_t *rows,
		    size_t stride, size_t n, size_t d, float *sums, size_t ld);

#endif
