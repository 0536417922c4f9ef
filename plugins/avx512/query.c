/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The codebook as tables of bytes, and packing a query. query.h has both layouts.
 */

#include "query.h"

static void set_entry(struct score_tables *s, const struct tq_codebook *book, uint32_t t,
		      uint32_t i)
{
	uint32_t bits = s->level.bits;
	int32_t odd = book->odd[levels_entry(bits, t, i)];
	int32_t mag = odd < 0 ? -odd : odd, grid = (odd + s->level.beta) / 2;

	if (bits <= 4) {
		s->level.hi.table[t][i] = (uint8_t)grid;
		s->pair_hi.table[t][i] = (uint8_t)odd;
		return;
	}
	s->level.hi.table[t][i] = (uint8_t)(grid >> 7);
	s->level.lo.table[t][i] = (uint8_t)(grid & 127);
	s->pair_hi.table[t][i] = (uint8_t)(odd < 0 ? -(mag >> 7) : mag >> 7);
	s->pair_lo.table[t][i] = (uint8_t)(odd < 0 ? -(mag & 127) : mag & 127);
}

static void set_shape(struct shape *s, const struct tq_section *section, uint32_t dim,
		      uint32_t bits, int32_t beta)
{
	uint32_t chunk = levels_chunk(bits), rest = dim % chunk, k, n;

	s->bits = bits;
	s->chunks = dim / chunk;
	s->rest = rest != 0;
	s->fold = bits > 4 || 2 * dim > chunk ? 1 : 4 * dim > chunk || bits == 4 ? 2 : 4;
	s->beta = beta;
	n = section->at + (dim + 7) / 8;
	s->windowed = bits == 1 && dim <= BIT_SUMS_DIM_MAX && n >= 16;
	s->window = s->windowed ? n - 16 : 0;
	for (k = 0; k < levels_fields(bits); k++) {
		s->at[k] = section[k].at;
		n = (rest * section[k].width + 7) / 8;
		s->tail[k] = n < 64 ? (1ull << n) - 1 : ~0ull;
	}
}

int avx512_score_create(const struct tq_host *host, const struct tq_plan *plan, void **state)
{
	struct tq_section sketch = {.width = 1, .at = plan->layout.sketch_at};
	const struct tq_codebook *book = &plan->codebook;
	struct score_tables *s = host->alloc(host, sizeof(*s));
	uint32_t bits = plan->index_bits, t, i;

	if (!s)
		return TQ_ERR_NOMEM;
	memset(s, 0, sizeof(*s));
	if (bits)
		set_shape(&s->level, plan->layout.section, plan->dim, bits, bits > 4 ? 16383 : 127);
	if (has_sketch(plan))
		set_shape(&s->sketch, &sketch, plan->dim, 1, 1);
	for (t = 0; t < levels_ntables(bits); t++)
		for (i = 0; i < 64; i++)
			set_entry(s, book, t, i);
	for (t = 0; t < levels_ntables(1); t++)
		for (i = 0; i < 64; i++)
			s->sketch.hi.table[t][i] = (uint8_t)levels_entry(1, t, i);
	for (i = 0; i < book->count; i++)
		s->odd[i] = (float)book->odd[i];
	*state = s;
	return TQ_OK;
}

void avx512_score_destroy(const struct tq_host *host, void *state)
{
	host->free(host, state);
}

/* Reads in order: a strided read is vectorized by some compilers to loads past the end of @from */
static void pack_plane(const int8_t *from, uint32_t bits, size_t dim, size_t stride, int8_t *to)
{
	size_t vectors = levels_vectors(bits), i = 0, k, v;

	for (; i < dim; to += vectors * stride)
		for (k = 0; k < 64 && i < dim; k++)
			for (v = 0; v < vectors && i < dim; v++)
				to[v * stride + k] = from[i++];
}

static void pack_part(const struct tq_plan *plan, uint32_t bits, const int8_t *hi, const int8_t *lo,
		      const float *y, char *part)
{
	uint32_t planes = query_planes(plan);

	memset(part, 0, query_part_bytes(plan, bits));
	if (plan->query == TQ_QUERY_F32) {
		memcpy(part, y, plan->dim * sizeof(*y));
		return;
	}
	pack_plane(hi, bits, plan->dim, 64 * planes, (int8_t *)part);
	if (has_bit_sums(plan, bits))
		avx512_bit_sums(hi, plan->dim, (struct bit_sums *)(uintptr_t)query_bit_sums(plan, part));
	if (block_sums_bytes(plan, bits))
		avx512_block_sums(hi, plan->dim, (struct bit_sums *)(uintptr_t)query_block_sums(plan, part));
	if (planes == 2)
		pack_plane(lo, bits, plan->dim, 64 * planes, (int8_t *)part + 64);
}

size_t avx512_query_size(const struct tq_plan *plan, const void *state)
{
	return query_bytes(plan);
}

void avx512_query_pack(const struct tq_plan *plan, const void *state, const struct tq_query *q,
		       void *packed)
{
	struct query_head head = {
		.scale = q->scale,
		.sketch_scale = q->sketch_scale,
		.add = q->add,
		.sum = q->sum,
		.sketch_sum = q->sketch_sum,
	};
	char *part = (char *)packed + sizeof(head);

	memcpy(packed, &head, sizeof(head));
	if (plan->index_bits)
		pack_part(plan, plan->index_bits, q->hi, q->lo, q->y, part);
	if (has_sketch(plan))
		pack_part(plan, 1, q->sketch_hi, q->sketch_lo, q->sketch_y,
			  part + query_part_bytes(plan, plan->index_bits));
}
