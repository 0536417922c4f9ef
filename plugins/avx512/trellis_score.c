/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scores of rows of trellis codes. Levels are multiplied as they are looked up for one query; for several, sixteen
 * rows are decoded once to bytes. They come in the order of coordinates, or that of trellis_whole(), and a query has
 * its planes in that order too:
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

static void pack_plane(const struct tq_plan *plan, const struct trellis_tables *t, const int8_t *from, size_t step,
		       int8_t *to)
{
	size_t dim = plan->dim, i, k;

	if (!trellis_is_whole(plan)) {
		for (i = 0; i < dim; i += TRELLIS_UNIT, to += step)
			_mm512_store_si512(to, _mm512_maskz_loadu_epi8(bytes(dim - i), from + i));
		return;
	}
	for (i = 0; i < dim; i += TRELLIS_SEGMENT, from += TRELLIS_SEGMENT)
		for (k = 0; k < 2; k++, to += step)
			_mm512_store_si512(to, _mm512_permutex2var_epi8(_mm512_loadu_si512(from),
									_mm512_load_si512(t->whole.place[k]),
									_mm512_loadu_si512(from + TRELLIS_UNIT)));
}

static void query_pack(const struct tq_plan *plan, const void *state, const struct tq_query *q, void *packed)
{
	struct query_head head = { .scale = q->scale, .add = q->add, .sum = q->sum };
	size_t step = TRELLIS_UNIT * query_planes(plan);
	int8_t *part = (int8_t *)packed + sizeof(head);

	memcpy(packed, &head, sizeof(head));
	pack_plane(plan, state, q->hi, step, part);
	if (query_planes(plan) == 2)
		pack_plane(plan, state, q->lo, step, part + TRELLIS_UNIT);
}

/* Two units of 64 coordinates of a row from unit @u on; @bits: of rows of whole segments, else 0 */
LEVELS_INLINE void two_units(const struct tq_plan *plan, const struct trellis_tables *t,
			     const struct trellis_lookup *lookup, const struct trellis_whole_lookup *whole,
			     const uint8_t *row, size_t u, unsigned window, unsigned bits, __m512i *grid)
{
	if (bits) {
		trellis_whole(whole, row + plan->layout.section[0].at + u * 8 * bits, bits, grid);
		return;
	}
	grid[0] = trellis_grid(lookup, &t->unit[u], row, window);
	grid[1] = u + 1 < units(plan) ? trellis_grid(lookup, &t->unit[u + 1], row, window) : _mm512_setzero_si512();
}

/* A of sixteen rows from @first on and one query of @planes */
LEVELS_INLINE __m512 sum_block(const struct tq_plan *plan, const struct trellis_tables *t, unsigned window,
			       unsigned bits, const struct strip *strip, size_t first, const int8_t *q,
			       uint32_t planes, int64_t sum)
{
	const struct trellis_lookup lookup = trellis_lookup_load(t);
	const struct trellis_whole_lookup whole = trellis_whole_load(t);
	const uint8_t *const *row = strip->row + first;
	__m512i part[2][4], lane[2][GROUP], grid[2];
	size_t n = units(plan), u, r, g;
	const int8_t *at;
	uint32_t k;

	for (g = 0; g < 4; g++, row += GROUP) {
#pragma GCC unroll 4
		for (r = 0; r < GROUP; r++) {
			lane[0][r] = lane[1][r] = _mm512_setzero_si512();
			fetch_row(plan, strip, first + GROUP * g + r);
			for (u = 0, at = q; u < n; u += 2, at += 2 * TRELLIS_UNIT * planes) {
				two_units(plan, t, &lookup, &whole, row[r], u, window, bits, grid);
#pragma GCC unroll 2
				for (k = 0; k < planes; k++)
					lane[k][r] = _mm512_dpbusd_epi32(lane[k][r], grid[0],
									 _mm512_load_si512(at + k * TRELLIS_UNIT));
				if (!bits && u + 1 == n)
					break;
#pragma GCC unroll 2
				for (k = 0; k < planes; k++)
					lane[k][r] = _mm512_dpbusd_epi32(
						lane[k][r], grid[1],
						_mm512_load_si512(at + (planes + k) * TRELLIS_UNIT));
			}
		}
		group_sums(lane, planes, g, part);
	}
	return block_sums(part, planes, 127, sum);
}

LEVELS_INLINE void score_one(const struct score_job *job, const struct trellis_tables *t, unsigned window,
			     unsigned bits, const struct strip *strip, size_t first, float *scores)
{
	const struct query_head *head = (const struct query_head *)(const void *)job->packed;
	const int8_t *q = (const int8_t *)job->packed + sizeof(*head);
	const struct tq_plan *plan = job->plan;
	__m512 a;

	if (query_planes(plan) == 2)
		a = sum_block(plan, t, window, bits, strip, first, q, 2, head->sum);
	else
		a = sum_block(plan, t, window, bits, strip, first, q, 1, head->sum);
	a = finish_rows(plan, head, strip, first, a, _mm512_setzero_ps());
	_mm512_mask_storeu_ps(scores, lanes(strip->n - first), a);
}

LEVELS_INLINE void decode_as(const struct tq_plan *plan, const struct trellis_tables *t, unsigned window, unsigned bits,
			     const struct strip *strip, size_t first, __m512i *grid)
{
	const struct trellis_lookup lookup = trellis_lookup_load(t);
	const struct trellis_whole_lookup whole = trellis_whole_load(t);
	const uint8_t *const *row = strip->row + first;
	size_t n = units(plan), u, r;
	struct trellis_unit unit;
	__m512i two[2];

	for (r = 0; r < BLOCK; r++)
		fetch_row(plan, strip, first + r);
	for (u = 0; bits && u < n; u += 2)
#pragma GCC unroll 4
		for (r = 0; r < BLOCK; r++) {
			two_units(plan, t, &lookup, &whole, row[r], u, window, bits, two);
			_mm512_store_si512(&grid[BLOCK * u + r], two[0]);
			_mm512_store_si512(&grid[BLOCK * (u + 1) + r], two[1]);
		}
	for (u = 0; !bits && u < n; u++) {
		unit = t->unit[u]; /* stores do not change a copy: its mask stays where it is */
#pragma GCC unroll 16
		for (r = 0; r < BLOCK; r++)
			_mm512_store_si512(&grid[BLOCK * u + r], trellis_grid(&lookup, &unit, row[r], window));
	}
}

#define EACH_KIND(plan, call)                                                                      \
	do {                                                                                       \
		if (!trellis_is_whole(plan)) {                                                     \
			if ((plan)->window == 8)                                                   \
				call(8, 0);                                                        \
			else                                                                       \
				call(9, 0);                                                        \
		} else if ((plan)->index_bits == 4) {                                              \
			call(9, 4);                                                                \
		} else if ((plan)->index_bits == 3) {                                              \
			call(9, 3);                                                                \
		} else if ((plan)->index_bits == 2) {                                              \
			call(9, 2);                                                                \
		} else {                                                                           \
			call(9, 1);                                                                \
		}                                                                                  \
	} while (0)

static void decode(const struct tq_plan *plan, const void *state, const struct strip *strip, size_t first, __m512i *grid)
{
#define DECODE(window, bits) decode_as(plan, state, window, bits, strip, first, grid)
	EACH_KIND(plan, DECODE);
#undef DECODE
}

/* One query and a strip */
static void score_strip(const struct score_job *job, const struct trellis_tables *t, const struct strip *strip,
			float *scores)
{
	size_t i;

#define SCORE(window, bits)                                                                        \
	for (i = 0; i < strip->n; i += BLOCK)                                                      \
	score_one(job, t, window, bits, strip, i, scores + i)
	EACH_KIND(job->plan, SCORE);
#undef SCORE
}

static void run(const struct score_job *job, const struct trellis_tables *t)
{
	struct strip strip;
	struct grid grid;
	size_t i, j;

	for (j = 0; j < job->n; j += STRIP) {
		avx512_strip_rows(job, j, &strip);
		avx512_strip_numbers(job->plan, &strip);
		if (job->nq == 1)
			score_strip(job, t, &strip, job->scores + j);
		for (i = 0; job->nq > 1 && i < strip.n; i += BLOCK) {
			decode(job->plan, t, &strip, i, grid.at);
			grid_score(job, &strip, grid.at, i, units(job->plan), 127, 1.0f, job->scores + j + i);
		}
	}
}

#include "score_calls.h"

/* A row as a query of one plane; returns its sum */
static int64_t unpack(const struct tq_plan *plan, const void *state, const uint8_t *row, int8_t *to)
{
	const struct trellis_tables *t = state;
	const struct trellis_lookup lookup = trellis_lookup_load(t);
	const struct trellis_whole_lookup whole = trellis_whole_load(t);
	unsigned whole_bits = trellis_is_whole(plan) ? plan->index_bits : 0;
	__m512i sum = _mm512_setzero_si512(), odd, grid[2];
	size_t n = units(plan), u;

	for (u = 0; u < n; u++, to += TRELLIS_UNIT) {
		if (u % 2 == 0)
			two_units(plan, t, &lookup, &whole, row, u, plan->window, whole_bits, grid);
		odd = _mm512_sub_epi8(_mm512_add_epi8(grid[u % 2], grid[u % 2]), _mm512_set1_epi8(127));
		odd = _mm512_maskz_mov_epi8(bytes(plan->dim - TRELLIS_UNIT * u), odd);
		sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1), odd);
		_mm512_store_si512(to, odd);
	}
	return _mm512_reduce_add_epi32(sum);
}

static void score_pairs(const struct tq_plan *plan, const void *state, const uint8_t *a, size_t na,
			const uint8_t *b, size_t nb, float *scores, size_t ld)
{
	const struct grid_code code = { decode, unpack, units(plan), 127, 1.0f };
	struct score_job job = { plan, NULL, NULL, na, b, NULL, nb, scores, ld };
	int8_t query[TRELLIS_DIM_MAX] __attribute__((aligned(64)));
	struct grid grid;

	grid_pairs(&job, state, &code, a, na, grid.at, query);
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
