/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The row: scale, cross, residual norm, index fields, sketch bits, without padding.
 */

#include "plan.h"
#include "tq/polar.h"
#include "tq/radix.h"

uint32_t tq_spec_index_bits(const struct tq_spec *spec)
{
	return spec->correction >= TQ_CORR_QJL_GAUSS ? spec->bits - 1 : spec->bits;
}

static uint32_t take(uint32_t *at, uint32_t bytes)
{
	uint32_t field = *at;

	*at += bytes;
	return field;
}

static void add_section(struct tq_layout *layout, uint32_t width, uint32_t shift, uint32_t dim,
			uint32_t *at)
{
	struct tq_section *section = &layout->section[layout->nsections++];

	section->width = width;
	section->shift = shift;
	section->bytes = (dim * width + 7) / 8;
	section->at = take(at, section->bytes);
}

/* Fields of a polar code have so many bits for each of its blocks. */
static void add_blocks(struct tq_layout *layout, uint32_t width, uint32_t dim, uint32_t *at)
{
	add_section(layout, width, 0, (uint32_t)tq_polar_blocks(dim), at);
}

size_t tq_section_bits(const struct tq_plan *plan, uint32_t k)
{
	size_t units = plan->polar ? tq_polar_blocks(plan->dim) : plan->radix ? plan->radix->words : plan->dim;

	return units * plan->layout.section[k].width;
}

void tq_layout_build(const struct tq_spec *spec, uint32_t dim, struct tq_layout *layout)
{
	uint32_t scale_bytes = spec->scale == TQ_F32 ? 4 : 2, at = 0, width, all;
	uint32_t left = tq_spec_index_bits(spec);
	int sketch = spec->correction >= TQ_CORR_QJL_GAUSS;

	memset(layout, 0, sizeof(*layout));
	layout->scale_at = take(&at, scale_bytes);
	layout->cross_at = spec->center == TQ_CENTER_BOTH ? take(&at, 4) : TQ_NO_FIELD;
	layout->rnorm_at = sketch ? take(&at, scale_bytes) : TQ_NO_FIELD;
	if (tq_trellis_of(spec->code, left)) {
		add_section(layout, left, 0, dim, &at);
	} else if (tq_polar_radius_bits(spec->code)) {
		add_blocks(layout, 8 * 4 + 4 * 2, dim, &at);
		add_blocks(layout, 2 * 2 + 2, dim, &at);
		add_blocks(layout, tq_polar_radius_bits(spec->code), dim, &at);
	} else {
		if (tq_radix_width(spec->code)) {
			left = tq_radix_width(spec->code);
			dim = tq_radix_words(spec->code, dim);
		}
		for (width = 1, all = left; width <= 8; width *= 2)
			if (all & width)
				add_section(layout, width, left -= width, dim, &at);
	}
	layout->sketch_bytes = sketch ? (dim + 7) / 8 : 0;
	layout->sketch_at = sketch ? take(&at, layout->sketch_bytes) : TQ_NO_FIELD;
	layout->row_bytes = at;
}
