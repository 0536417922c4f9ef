/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A row's angles and radii under a polar code, FORMAT.md section 4 step 7: cells are found by comparing one
 * side of a right triangle with a tabulated tangent times the other, so no angle is ever computed.
 */

#include "scalar.h"

#define BLOCK TQ_POLAR_BLOCK

/* The cell, of 16, of the angle of (a, b) on the whole turn: the quarter, then as in the first quarter */
static unsigned whole_cell(const struct tq_polar *p, float a, float b)
{
	if (a < 0.0f)
		return b < 0.0f ? 8 + tq_polar_cell(p, 0, -a, -b) : 4 + tq_polar_cell(p, 0, b, -a);
	return b < 0.0f ? 12 + tq_polar_cell(p, 0, -b, a) : tq_polar_cell(p, 0, a, b);
}

static void store_radius(const struct tq_plan *plan, float radius, float r, size_t block, uint8_t *row)
{
	uint8_t *at = row + plan->layout.section[2].at;
	const struct tq_polar *p = plan->polar;
	unsigned k = 0, step, h;

	if (p->radius_bits == TQ_POLAR_F16) {
		h = r > 0.0f ? tq_f32_to_f16(radius / r) : 0;
		h = h < TQ_POLAR_F16_MAX ? h : TQ_POLAR_F16_MAX;
		at[2 * block] = (uint8_t)h;
		at[2 * block + 1] = (uint8_t)(h >> 8);
		return;
	}
	for (step = 1u << (p->radius_bits - 1); step > 0; step /= 2)
		if (radius >= p->radius_bound[k + step - 1] * r)
			k += step;
	tq_polar_put(at, block, p->radius_bits, k);
}

static void code_block(const struct tq_plan *plan, const float *y, float r, size_t block, uint8_t *row)
{
	uint8_t *angles = row + plan->layout.section[0].at, *one = angles + 4 * block;
	uint8_t *two = angles + 4 * tq_polar_blocks(plan->dim) + block;
	const struct tq_polar *p = plan->polar;
	unsigned i, k, rest = 0;
	float n[8];

	for (i = 0; i < 8; i++) {
		k = whole_cell(p, y[2 * i], y[2 * i + 1]);
		one[i / 2] = (uint8_t)(one[i / 2] | k << 4 * (i % 2));
		n[i] = tq_polar_norm(y[2 * i], y[2 * i + 1]);
	}
	for (i = 0; i < 4; i++) {
		*two = (uint8_t)(*two | tq_polar_cell(p, 1, n[2 * i], n[2 * i + 1]) << 2 * i);
		n[i] = tq_polar_norm(n[2 * i], n[2 * i + 1]);
	}
	for (i = 0; i < 2; i++) {
		rest |= tq_polar_cell(p, 2, n[2 * i], n[2 * i + 1]) << 2 * i;
		n[i] = tq_polar_norm(n[2 * i], n[2 * i + 1]);
	}
	rest |= tq_polar_cell(p, 3, n[0], n[1]) << 4;
	tq_polar_put(row + plan->layout.section[1].at, block, 6, rest);
	store_radius(plan, tq_polar_norm(n[0], n[1]), r, block, row);
}

void scalar_polar(const struct tq_plan *plan, const float *y, float r, uint8_t *row)
{
	size_t blocks = tq_polar_blocks(plan->dim), b, i, from;
	float block[BLOCK];

	scalar_clear_fields(plan, row);
	for (b = 0; b < blocks; b++) {
		for (i = 0, from = b * BLOCK; i < BLOCK; i++, from++) {
			from = from < plan->dim ? from : 0;
			block[i] = y[from];
		}
		code_block(plan, block, r, b, row);
	}
}
