/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_POLAR_H
#define TQ_POLAR_H

/*
 * The rules of the polar codes that every driver shares, FORMAT.md sections 3 and 4; after PolarQuant, arXiv
 * 2502.02617. A driver of theirs includes this header beside tq/plugin.h.
 *
 * A rotated row is cut into blocks of 16 coordinates. Level 1 turns neighbours into an angle and a norm, level
 * 2 neighbouring norms, and so on; after level 4 one norm is left, the block's radius. What is stored are 8, 4,
 * 2 and 1 angles of 4, 2, 2 and 2 bits, and the radius in units of the row's scale. A level number of a
 * coordinate is the radius times the cosines or sines on the way down to it, rounded: so rows have integers, and
 * scores and sums of them are as exact as those of other codes.
 *
 * Where things are in a row, for B blocks: section 0 has 4 bytes a block (pair j of level 1 at bits 4j), then one
 * byte a block (pair j of level 2 at bits 2j); section 1 a string of 6 bits a block (level 3 at bits 0 and 2,
 * level 4 at 4); section 2 the radii, a string of 4, 5 or 6 bits a block or two bytes each.
 */

#include <stddef.h>
#include <stdint.h>
#include "tq/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TQ_POLAR_BLOCK 16
/** Level numbers per unit of the scale: half_step is 1 / 512. */
#define TQ_POLAR_UNIT 512
/** Width of a radius in float16; the largest pattern in use, 31.984375. So level numbers stay below 2^14. */
#define TQ_POLAR_F16 16
#define TQ_POLAR_F16_MAX 0x4fffu
/** Sums of two squares below this count as 0: no denormal decides an angle. */
#define TQ_POLAR_TINY 7.888609052210118e-31f /* 2^-100 */

/**
 * struct tq_polar - tables of a polar code
 * @radius_bits:  4, 5, 6, or 16 for float16
 * @cosine:       cosine[l - 1][k] of the angle that cell k of level l stands for, its sine is [3 - k]; level 1:
 *                of the first quarter turn
 * @bound:        tangents of the angles between the cells
 * @radius:       level numbers of the radii, ascending; 2^radius_bits unless float16
 * @radius_bound: thresholds between them, in units of the scale
 */
struct tq_polar {
	uint32_t struct_size;
	uint32_t radius_bits;
	float cosine[4][4];
	float bound[4][3];
	uint16_t radius[64];
	float radius_bound[64];
};

static inline size_t tq_polar_blocks(size_t dim)
{
	return (dim + TQ_POLAR_BLOCK - 1) / TQ_POLAR_BLOCK;
}

/** tq_polar_get - string @at of elements of @width bits, at most 8: element @i */
static inline unsigned tq_polar_get(const uint8_t *at, size_t i, unsigned width)
{
	size_t bit = i * width;
	unsigned v = at[bit / 8];

	if (bit % 8 + width > 8)
		v |= (unsigned)at[bit / 8 + 1] << 8;
	return v >> bit % 8 & ((1u << width) - 1u);
}

/** tq_polar_put - write it, into bits that are zero */
static inline void tq_polar_put(uint8_t *at, size_t i, unsigned width, unsigned v)
{
	size_t bit = i * width;

	v <<= bit % 8;
	at[bit / 8] = (uint8_t)(at[bit / 8] | v);
	if (bit % 8 + width > 8)
		at[bit / 8 + 1] = (uint8_t)(at[bit / 8 + 1] | v >> 8);
}

/** tq_polar_radius - the radius of a block as a level number, not yet rounded */
static inline float tq_polar_radius(const struct tq_plan *plan, const uint8_t *row, size_t block)
{
	const uint8_t *at = row + plan->layout.section[2].at;
	uint16_t h;

	if (plan->polar->radius_bits != TQ_POLAR_F16)
		return (float)plan->polar->radius[tq_polar_get(at, block, plan->polar->radius_bits)];
	h = (uint16_t)(at[2 * block] | at[2 * block + 1] << 8);
	return tq_f16_to_f32(h < TQ_POLAR_F16_MAX ? h : TQ_POLAR_F16_MAX) * (float)TQ_POLAR_UNIT;
}

/** tq_polar_cell - which cell of level @l (from 0) the angle of (u, v), neither negative, lies in */
static inline unsigned tq_polar_cell(const struct tq_polar *p, unsigned l, float u, float v)
{
	const float *t = p->bound[l];

	return (unsigned)(v >= t[0] * u) + (unsigned)(v >= t[1] * u) + (unsigned)(v >= t[2] * u);
}

/** tq_polar_norm - of a pair */
static inline float tq_polar_norm(float a, float b)
{
	float s = a * a + b * b;

	return s < TQ_POLAR_TINY ? 0.0f : sqrtf(s);
}

/** tq_polar_block - the level numbers of the 16 coordinates of a block */
static inline void tq_polar_block(const struct tq_plan *plan, const uint8_t *row, size_t block, int16_t *odd)
{
	size_t blocks = tq_polar_blocks(plan->dim), i;
	const uint8_t *one = row + plan->layout.section[0].at + 4 * block;
	unsigned two = row[plan->layout.section[0].at + 4 * blocks + block], k;
	unsigned rest = tq_polar_get(row + plan->layout.section[1].at, block, 6);
	const float (*c)[4] = plan->polar->cosine;
	float g[8], u, v;

	g[0] = tq_polar_radius(plan, row, block);
	g[4] = g[0] * c[3][3 - (rest >> 4)];
	g[0] = g[0] * c[3][rest >> 4];
	for (i = 0; i < 8; i += 4) {
		k = rest >> i / 2 & 3;
		g[i + 2] = g[i] * c[2][3 - k];
		g[i] = g[i] * c[2][k];
	}
	for (i = 0; i < 8; i += 2) {
		k = two >> i & 3;
		g[i + 1] = g[i] * c[1][3 - k];
		g[i] = g[i] * c[1][k];
	}
	for (i = 0; i < 8; i++) {
		k = one[i / 2] >> 4 * (i % 2) & 15;
		u = tq_rint(g[i] * c[0][k & 3]);
		v = tq_rint(g[i] * c[0][3 - (k & 3)]);
		odd[2 * i] = (int16_t)(k < 4 ? u : k < 8 ? -v : k < 12 ? -u : v);
		odd[2 * i + 1] = (int16_t)(k < 4 ? v : k < 8 ? u : k < 12 ? -v : -u);
	}
}

/** tq_polar_odd - level numbers of coordinates @first, a multiple of 16, to @first + @n - 1 of a row */
static inline void tq_polar_odd(const struct tq_plan *plan, const uint8_t *row, size_t first, size_t n,
				int16_t *odd)
{
	int16_t block[TQ_POLAR_BLOCK];
	size_t i, m;

	for (i = 0; i < n; i += m) {
		m = n - i < TQ_POLAR_BLOCK ? n - i : TQ_POLAR_BLOCK;
		tq_polar_block(plan, row, (first + i) / TQ_POLAR_BLOCK, block);
		memcpy(odd + i, block, m * sizeof(*odd));
	}
}

#ifdef __cplusplus
}
#endif
#endif
