/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rotated rows to codes and back, FORMAT.md sections 4 (steps 6-8) and 5.
 *
 * Sixteen coordinates at a time: the cell of each (tables.c), the level where its search starts,
 * the threshold above that level, one exact comparison; as many comparisons as a cell may hold
 * thresholds. Up to 4 bits all look-ups are in registers, the thresholds as four planes of bytes;
 * from 5 bits on they are loads. Then the 16-lane sum yc of y * odd and the exact sum cc of odd^2,
 * where the spec needs them.
 *
 * Coordinates past the end are zeros: they add +-0 to a lane of yc, which changes nothing, and are
 * masked out of cc and of the bytes.
 */

#include "odd.h"
#include "pack.h"
#include "drivers.h"

/* The search of one row: bounds times the row's sigma (and multiplier) */
struct search {
	float to_cell;
	uint32_t steps;
	uint8x16x4_t few;
	uint8x16_t plane[4];
	const int32_t *first;
	float bounds[256];
};

/* What the search leaves: sum of y * odd in 16 lanes, sum of odd^2 */
struct fit {
	float32x4_t yc[4];
	int64x2_t cc;
};

NEON_INLINE void search_prepare(const struct neon_tables *tab, float sigma, uint32_t bits,
				struct search *s)
{
	uint32_t k, count = 1u << (bits < 4 ? 4 : bits);
	uint8x16x4_t bytes;

	s->to_cell = tab->to_cell / sigma;
	s->steps = tab->steps;
	s->first = tab->first;
	for (k = 0; k < count; k += 4)
		vst1q_f32(s->bounds + k, vmulq_n_f32(vld1q_f32(tab->bounds + k), sigma));
	if (bits > 4)
		return;
	s->few = vld1q_u8_x4(tab->few);
	bytes = vld4q_u8((const uint8_t *)s->bounds);
	for (k = 0; k < 4; k++)
		s->plane[k] = bytes.val[k];
}

/* The numbers of the cells, not yet clamped above */
NEON_INLINE uint32x4_t cell_of(float32x4_t y, float to_cell, int cells)
{
	return vcvtq_u32_f32(vfmaq_n_f32(vdupq_n_f32((float)(cells / 2)), y, to_cell));
}

/* Up to 4 bits: the thresholds above 16 levels */
NEON_INLINE void few_thresholds(const struct search *s, uint8x16_t level, float32x4_t *t)
{
	uint8x16_t p[4];
	uint16x8_t low[2], high[2];
	int k;

	for (k = 0; k < 4; k++)
		p[k] = vqtbl1q_u8(s->plane[k], level);
	low[0] = vreinterpretq_u16_u8(vzip1q_u8(p[0], p[1]));
	low[1] = vreinterpretq_u16_u8(vzip2q_u8(p[0], p[1]));
	high[0] = vreinterpretq_u16_u8(vzip1q_u8(p[2], p[3]));
	high[1] = vreinterpretq_u16_u8(vzip2q_u8(p[2], p[3]));
	for (k = 0; k < 2; k++) {
		t[2 * k] = vreinterpretq_f32_u16(vzip1q_u16(low[k], high[k]));
		t[2 * k + 1] = vreinterpretq_f32_u16(vzip2q_u16(low[k], high[k]));
	}
}

NEON_INLINE uint8x16_t search_few(const struct search *s, const float32x4_t *y)
{
	uint16x8_t c[2];
	uint32x4_t ge[4];
	float32x4_t t[4];
	uint8x16_t level;
	uint32_t step;
	int k;

	for (k = 0; k < 2; k++)
		c[k] = vqmovn_high_u32(vqmovn_u32(cell_of(y[2 * k], s->to_cell, NEON_FEW_CELLS)),
				       cell_of(y[2 * k + 1], s->to_cell, NEON_FEW_CELLS));
	level = vminq_u8(vqmovn_high_u16(vqmovn_u16(c[0]), c[1]), vdupq_n_u8(NEON_FEW_CELLS - 1));
	level = vqtbl4q_u8(s->few, level);
	for (step = 0; step < s->steps; step++) {
		few_thresholds(s, level, t);
		for (k = 0; k < 4; k++)
			ge[k] = vcgeq_f32(y[k], t[k]);
		level = vsubq_u8(level, low_bytes(ge));
	}
	return level;
}

NEON_INLINE uint8x16_t search_many(const struct search *s, const float32x4_t *y)
{
	uint32_t cell[16], step;
	uint8_t level[16];
	float t[16];
	uint32x4_t ge[4];
	uint8x16_t found;
	int k;

	for (k = 0; k < 4; k++)
		vst1q_u32(cell + 4 * k, vminq_u32(cell_of(y[k], s->to_cell, NEON_CELLS),
						  vdupq_n_u32(NEON_CELLS - 1)));
	for (k = 0; k < 16; k++)
		level[k] = (uint8_t)s->first[cell[k]];
	found = vld1q_u8(level);
	for (step = 0; step < s->steps; step++) {
		vst1q_u8(level, found);
		for (k = 0; k < 16; k++)
			t[k] = s->bounds[level[k]];
		for (k = 0; k < 4; k++)
			ge[k] = vcgeq_f32(y[k], vld1q_f32(t + 4 * k));
		found = vsubq_u8(found, low_bytes(ge));
	}
	return found;
}

/* The levels of @n <= 16 coordinates, zero past @n, and their share of the sums */
NEON_INLINE uint8x16_t quantize16(const struct search *s, const struct odd_tables *t,
				  const float32x4_t *y, uint32_t bits, int want_fit, size_t n,
				  struct fit *fit)
{
	uint8x16_t idx = bits > 4 ? search_many(s, y) : search_few(s, y), used = idx;
	float32x4_t f[4];
	int16x8_t odd[2];

	if (want_fit) {
		odd_values(t, idx, bits, odd);
		odd_floats(odd, f);
		add_products(fit->yc, y, f);
	}
	if (n < 16) {
		used = bytes_below(n);
		idx = vandq_u8(idx, used);
	}
	if (want_fit && n < 16) {
		odd[0] = vandq_s16(odd[0], vreinterpretq_s16_u8(vzip1q_u8(used, used)));
		odd[1] = vandq_s16(odd[1], vreinterpretq_s16_u8(vzip2q_u8(used, used)));
	}
	if (want_fit)
		fit->cc = add_squares(fit->cc, odd);
	return idx;
}

/* One pass over the row; @row NULL: only the sums */
NEON_INLINE void quantize_pass(const struct tq_plan *plan, const struct neon_tables *tab,
			       const float *y, float sigma, uint32_t bits, int want_fit,
			       uint8_t *row, float *yc, int64_t *cc)
{
	size_t d = plan->dim, at, n, m;
	struct fit fit = {0};
	struct odd_tables t;
	struct search s;
	uint8x16_t idx[2];
	float32x4_t v[4];
	int k;

	search_prepare(tab, sigma, bits, &s);
	if (want_fit)
		odd_tables_load(&t, tab, bits);
	for (at = 0; at < d; at += 32) {
		n = d - at < 32 ? d - at : 32;
		for (k = 0; k < 2; k++) {
			m = n < 16 * (size_t)k ? 0 : n - 16 * (size_t)k;
			idx[k] = vdupq_n_u8(0);
			if (!m)
				continue;
			m = m < 16 ? m : 16;
			part_floats(y + at + 16 * k, m, v);
			idx[k] = quantize16(&s, &t, v, bits, want_fit, m, &fit);
		}
		if (row)
			pack_block(&plan->layout, row, idx, at, n);
	}
	*yc = sum_tree(fit.yc);
	*cc = vaddvq_s64(fit.cc);
}

/* The multiplier 0.75 + j/32 of the bounds, j = 0 .. 16, with the best (yc * yc) / cc; the first
 * best wins */
NEON_INLINE float best_multiplier(const struct tq_plan *plan, const struct neon_tables *tab,
				  const float *y, float sigma, uint32_t bits)
{
	float best = -1.0f, best_mu = 0.75f, yc, quality, mu;
	int64_t cc;
	int j;

	for (j = 0; j <= 16; j++) {
		mu = 0.75f + (float)j / 32.0f;
		quantize_pass(plan, tab, y, sigma * mu, bits, 1, NULL, &yc, &cc);
		quality = yc > 0.0f ? (yc * yc) / (float)cc : 0.0f;
		if (quality > best) {
			best = quality;
			best_mu = mu;
		}
	}
	return best_mu;
}

NEON_INLINE void quantize_bits(const struct tq_plan *plan, const struct neon_tables *tab,
			       const float *y, float sigma, uint32_t bits, uint8_t *row, float *yc,
			       int64_t *cc)
{
	if (plan->effort && plan->index_bits > 1)
		sigma = sigma * best_multiplier(plan, tab, y, sigma, bits);
	if (plan->correction == TQ_CORR_NORM || plan->correction == TQ_CORR_LS ||
	    plan->correction == TQ_CORR_UNBIASED)
		quantize_pass(plan, tab, y, sigma, bits, 1, row, yc, cc);
	else
		quantize_pass(plan, tab, y, sigma, bits, 0, row, yc, cc);
}

/* By the look-ups that a number of bits needs, not by the bits: 1 to 4 alike */
static void quantize_up_to_4(const struct tq_plan *plan, const struct neon_tables *tab,
			     const float *y, float sigma, uint8_t *row, float *yc, int64_t *cc)
{
	quantize_bits(plan, tab, y, sigma, 4, row, yc, cc);
}

static void quantize_5_6(const struct tq_plan *plan, const struct neon_tables *tab, const float *y,
			 float sigma, uint8_t *row, float *yc, int64_t *cc)
{
	quantize_bits(plan, tab, y, sigma, 6, row, yc, cc);
}

static void quantize_7_8(const struct tq_plan *plan, const struct neon_tables *tab, const float *y,
			 float sigma, uint8_t *row, float *yc, int64_t *cc)
{
	quantize_bits(plan, tab, y, sigma, 8, row, yc, cc);
}

/* A row of zeros: every threshold is 0 and every coordinate reaches it */
static void quantize_zero_row(const struct tq_plan *plan, uint8_t *row)
{
	uint8x16_t top = vdupq_n_u8((uint8_t)(plan->codebook.count - 1)), idx[2];
	size_t at, n;

	for (at = 0; at < plan->dim; at += 32) {
		n = plan->dim - at < 32 ? plan->dim - at : 32;
		idx[0] = vandq_u8(top, bytes_below(n));
		idx[1] = vandq_u8(top, bytes_below(n > 16 ? n - 16 : 0));
		pack_block(&plan->layout, row, idx, at, n);
	}
}

void neon_quantize_row(const struct tq_plan *plan, const struct neon_tables *tab, const float *y,
		       const struct tq_row_stat *stat, uint8_t *row)
{
	float sigma = sqrtf(stat->norm2 / (float)plan->dim), yc = 0.0f, scale;
	int64_t cc = 0;

	if (!(stat->norm2 > 0.0f))
		quantize_zero_row(plan, row);
	else if (plan->index_bits <= 4)
		quantize_up_to_4(plan, tab, y, sigma, row, &yc, &cc);
	else if (plan->index_bits <= 6)
		quantize_5_6(plan, tab, y, sigma, row, &yc, &cc);
	else
		quantize_7_8(plan, tab, y, sigma, row, &yc, &cc);
	scale = tq_row_scale(plan, stat->norm2, yc, cc);
	tq_store_scale(plan, row + plan->layout.scale_at, tq_scale_up(scale, stat->exponent));
	if (plan->layout.cross_at != TQ_NO_FIELD)
		memcpy(row + plan->layout.cross_at, &stat->cross, sizeof(stat->cross));
}

static void neon_quantize(const struct tq_plan *plan, const void *state, const float *y,
			  const struct tq_row_stat *stat, size_t n, uint8_t *codes)
{
	size_t row_bytes = plan->layout.row_bytes;

	for (; n > 0; n--, y += plan->dim, stat++, codes += row_bytes)
		neon_quantize_row(plan, state, y, stat, codes);
}

NEON_INLINE void dequantize_bits(const struct tq_plan *plan, const struct neon_tables *tab,
				 const uint8_t *row, float step, float *y, uint32_t bits)
{
	size_t d = plan->dim, at, n;
	struct odd_tables t;
	float32x4_t v[4];
	uint8x16_t idx[2];
	int16x8_t odd[2];
	int half, k;

	odd_tables_load(&t, tab, bits);
	for (at = 0; at < d; at += 32) {
		n = d - at < 32 ? d - at : 32;
		unpack_block(&plan->layout, row, at, n, idx);
		for (half = 0; half < 2 && n > 16 * (size_t)half; half++) {
			odd_values(&t, idx[half], bits, odd);
			odd_floats(odd, v);
			for (k = 0; k < 4; k++)
				v[k] = vmulq_n_f32(v[k], step);
			store_part_floats(y + at + 16 * half, v,
					  n - 16 * (size_t)half < 16 ? n - 16 * (size_t)half : 16);
		}
	}
}

int32_t neon_dequantize_row(const struct tq_plan *plan, const struct neon_tables *tab,
			    const uint8_t *row, float *y)
{
	float m, step;
	int32_t exponent;

	m = tq_split_scale(tq_load_scale(plan, row + plan->layout.scale_at), &exponent);
	step = m * plan->codebook.half_step;
	if (plan->index_bits <= 4)
		dequantize_bits(plan, tab, row, step, y, 4);
	else if (plan->index_bits <= 6)
		dequantize_bits(plan, tab, row, step, y, 6);
	else
		dequantize_bits(plan, tab, row, step, y, 8);
	return exponent;
}

static void neon_dequantize(const struct tq_plan *plan, const void *state, const uint8_t *codes,
			    size_t n, float *y, int32_t *exponent)
{
	size_t i;

	for (i = 0; i < n; i++)
		exponent[i] = neon_dequantize_row(plan, state, codes + i * plan->layout.row_bytes,
						  y + i * plan->dim);
}

const struct tq_quantizer_ops neon_quantize_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = neon_tables_create,
	.destroy = neon_tables_destroy,
	.quantize = neon_quantize,
	.dequantize = neon_dequantize,
};
