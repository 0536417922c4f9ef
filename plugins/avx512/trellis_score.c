/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scores of rows of trellis codes. Sixteen rows are decoded once to bytes in the order of coordinates,
 * for all queries of a call; a query has its planes in that order too:
 *
 *	struct query_head	64 bytes
 *	for each 64 coordinates	64 bytes of the upper plane, then 64 of the lower one if there are two
 */

#include "grid.h"
#include "trellis.h"

/* Levels of sixteen rows: unit u of row r at [BLOCK * u + r] */
struct grid {
	__m512i at[BLOCK * TRELLIS_UNITS];
};

static size_t units(const struct tq_plan *plan)
{
	return (plan->dim + TRELLIS_UNIT - 1) / TRELLIS_UNIT;
}

static size_t query_size(const struct tq_plan *plan, const void *state)
{
	return sizeof(struct query_head) + units(plan) * TRELLIS_UNIT * query_planes(plan);
}

static void pack_plane(const int8_t *from, size_t dim, size_t step, int8_t *to)
{
	size_t i;

	for (i = 0; i < dim; i += TRELLIS_UNIT, to += step)
		_mm512_store_si512(to, _mm512_maskz_loadu_epi8(bytes(dim - i), from + i));
}

static void query_pack(const struct tq_plan *plan, const void *state, const struct tq_query *q, void *packed)
{
	struct query_head head = { .scale = q->scale, .add = q->add, .sum = q->sum };
	size_t step = TRELLIS_UNIT * query_planes(plan);
	int8_t *part = (int8_t *)packed + sizeof(head);

	memcpy(packed, &head, sizeof(head));
	pack_plane(q->hi, plan->dim, step, part);
	if (query_planes(plan) == 2)
		pack_plane(q->lo, plan->dim, step, part + TRELLIS_UNIT);
}

LEVELS_INLINE void decode_window(const struct tq_plan *plan, const struct trellis_tables *t,
				 const struct strip *strip, size_t first, struct grid *grid, unsigned window)
{
	const struct trellis_lookup lookup = trellis_lookup_load(t);
	const uint8_t *const *row = strip->row + first;
	size_t n = units(plan), u, r;
	struct trellis_unit unit;

	for (r = 0; r < BLOCK; r++)
		for (u = 0; u < plan->layout.row_bytes; u += 64)
			_mm_prefetch((const char *)row[r] + strip->ahead + u, _MM_HINT_T0);
	for (u = 0; u < n; u++) {
		unit = t->unit[u]; /* stores do not change a copy: its mask stays where it is */
#pragma GCC unroll 16
		for (r = 0; r < BLOCK; r++)
			_mm512_store_si512(&grid->at[BLOCK * u + r], trellis_grid(&lookup, &unit, row[r], window));
	}
}

static void decode(const struct tq_plan *plan, const struct trellis_tables *t, const struct strip *strip,
		   size_t first, struct grid *grid)
{
	if (plan->window == 8)
		decode_window(plan, t, strip, first, grid, 8);
	else
		decode_window(plan, t, strip, first, grid, 9);
}

static void run(const struct score_job *job, const struct trellis_tables *t)
{
	struct strip strip;
	struct grid grid;
	size_t i, j;

	for (j = 0; j < job->n; j += STRIP) {
		avx512_strip_rows(job, j, &strip);
		avx512_strip_numbers(job->plan, &strip);
		for (i = 0; i < strip.n; i += BLOCK) {
			decode(job->plan, t, &strip, i, &grid);
			grid_score(job, &strip, grid.at, i, units(job->plan), 127, 1.0f, job->scores + j + i);
		}
	}
}

static void score(const struct tq_plan *plan, const void *state, const void *packed, size_t nq,
		  const uint8_t *codes, size_t n, float *scores, size_t ld)
{
	struct score_job job = { plan, NULL, packed, nq, codes, NULL, n, scores, ld };

	run(&job, state);
}

static void score_list(const struct tq_plan *plan, const void *state, const void *packed,
		       const uint8_t *codes, const uint32_t *ids, size_t n, float *scores)
{
	struct score_job job = { plan, NULL, packed, 1, codes, ids, n, scores, 0 };

	run(&job, state);
}

/* A row as a query of one plane; returns its sum */
static int64_t unpack(const struct tq_plan *plan, const struct trellis_tables *t, const uint8_t *row, int8_t *to)
{
	const struct trellis_lookup lookup = trellis_lookup_load(t);
	__m512i sum = _mm512_setzero_si512(), odd;
	size_t n = units(plan), u;

	for (u = 0; u < n; u++, to += TRELLIS_UNIT) {
		odd = trellis_grid(&lookup, &t->unit[u], row, plan->window);
		odd = _mm512_sub_epi8(_mm512_add_epi8(odd, odd), _mm512_set1_epi8(127));
		odd = _mm512_maskz_mov_epi8(bytes(plan->dim - TRELLIS_UNIT * u), odd);
		sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1), odd);
		_mm512_store_si512(to, odd);
	}
	return _mm512_reduce_add_epi32(sum);
}

static void score_pairs(const struct tq_plan *plan, const void *state, const uint8_t *a, size_t na,
			const uint8_t *b, size_t nb, float *scores, size_t ld)
{
	struct score_job job = { plan, NULL, NULL, na, b, NULL, nb, scores, ld };
	int8_t query[TRELLIS_DIM_MAX] __attribute__((aligned(64)));
	size_t row_bytes = plan->layout.row_bytes, i, j, k, r;
	float sum[BLOCK] __attribute__((aligned(64)));
	struct strip strip;
	struct grid grid;
	int64_t whole;

	for (j = 0; j < nb; j += STRIP) {
		avx512_strip_rows(&job, j, &strip);
		for (k = 0; k < strip.n; k += BLOCK) {
			decode(plan, state, &strip, k, &grid);
			for (i = 0; i < na; i++) {
				whole = unpack(plan, state, a + i * row_bytes, query);
				_mm512_store_ps(sum, grid_sums(grid.at, query, 1, 127, whole, units(plan)));
				for (r = 0; r < BLOCK && k + r < strip.n; r++)
					scores[i * ld + j + k + r] = tq_pair_finish(
						plan, a + i * row_bytes, strip.row[k + r], sum[r]);
			}
		}
	}
}

const struct tq_quantizer_ops avx512_trellis_score_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx512_trellis_create,
	.destroy = avx512_trellis_destroy,
	.query_size = query_size,
	.query_pack = query_pack,
	.score = score,
	.score_list = score_list,
	.score_pairs = score_pairs,
};
