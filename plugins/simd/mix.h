/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SIMD_MIX_H
#define TQ_SIMD_MIX_H

/*
 * The operation mix of attend(grid) and, if MIX_WINDOWS is defined, attend(tcq), FORMAT.md section 8, for every
 * instruction set: up to MOST_WEIGHTS weights at a time to integers, then chunk by chunk the integer sums of all
 * rows, and those to floats. The file that includes this one defines
 *
 *	struct weights		integer weights; unit[w]: what one unit is worth, 0 if no weight counts
 *	struct source		the rows: plan, codes, n, and chunk, the one in work
 *	struct chunk_sums	integer sums of a chunk
 *	source_open()		the rest of a source, for so many bits; MIX_WINDOWS: of a window, here and below
 *	chunk_dim()		coordinates of a chunk
 *	quantize()		one weight to integers; returns its unit
 *	sum_chunk()		integer sums of a chunk
 *	add_chunk_sums()	those of a weight to floats
 *	load_scales()		the rows' scales, if MIX_OWN_SCALES is defined
 */

#ifndef MIX_OWN_SCALES
static inline void load_scales(const struct tq_plan *plan, const uint8_t *codes, size_t n, float *scale)
{
	size_t t;

	for (t = 0; t < n; t++)
		scale[t] = tq_load_scale(plan, codes + t * plan->layout.row_bytes);
}
#endif

static inline __attribute__((always_inline)) void mix_bits(struct source *s, const void *state,
							   const struct weights *w, int nw, float *sums, size_t ld,
							   uint32_t bits)
{
	struct chunk_sums part;
	int i;

	source_open(s, state, bits);
	for (s->chunk = 0; s->chunk * chunk_dim(bits) < s->plan->dim; s->chunk++) {
		sum_chunk(s, w, nw, bits, &part);
		for (i = 0; i < nw; i++)
			if (w->unit[i] > 0.0f)
				add_chunk_sums(s, w, i, bits, &part,
					       sums + (size_t)i * ld + s->chunk * chunk_dim(bits));
	}
}

#define MIX_BITS(bits)                                                                                       \
	static void mix_##bits(struct source *s, const void *state, const struct weights *w, int nw,         \
			       float *sums, size_t ld)                                                       \
	{                                                                                                    \
		mix_bits(s, state, w, nw, sums, ld, bits);                                                   \
	}

typedef void (*mix_fn)(struct source *s, const void *state, const struct weights *w, int nw, float *sums, size_t ld);

#ifdef MIX_WINDOWS
MIX_BITS(8)
MIX_BITS(9)

static inline mix_fn mix_of(const struct tq_plan *plan)
{
	return plan->window == 8 ? mix_8 : mix_9;
}
#else
MIX_BITS(1)
MIX_BITS(2)
MIX_BITS(3)
MIX_BITS(4)
MIX_BITS(5)
MIX_BITS(6)
MIX_BITS(7)
MIX_BITS(8)

static inline mix_fn mix_of(const struct tq_plan *plan)
{
	static const mix_fn by_bits[9] = {NULL, mix_1, mix_2, mix_3, mix_4, mix_5, mix_6, mix_7, mix_8};

	return by_bits[plan->index_bits];
}
#endif

static void mix(const struct tq_plan *plan, const void *state, const float *weights, size_t ldw, size_t nw,
		const uint8_t *codes, size_t n, float *sums, size_t ld)
{
	float scale[TQ_MIX_ROWS];
	struct weights w;
	struct source s;
	int i, m;

	if (!plan->index_bits || !n)
		return;
	s.plan = plan;
	s.codes = codes;
	s.n = n;
	load_scales(plan, codes, n, scale);
	for (; nw; nw -= (size_t)m, weights += (size_t)m * ldw, sums += (size_t)m * ld) {
		m = nw < MOST_WEIGHTS ? (int)nw : MOST_WEIGHTS;
		for (i = 0; i < m; i++)
			w.unit[i] = quantize(weights + (size_t)i * ldw, scale, n, &w, i);
		mix_of(plan)(&s, state, &w, m, sums, ld);
	}
}

#endif
