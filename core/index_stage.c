/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scans in two stages: index_stage.h says how they find what they find.
 */

#include <math.h>
#include "fetch.h"
#include "given.h"
#include "heap.h"
#include "index_stage.h"
#include "parallel.h"
#include "reach.h"
#include "registry.h"
#include "rng.h"

#define TILE 512
#define FIRST_TILE 128 /* while there is nothing yet that a bound could miss; no tile is smaller but the last */
#define ROOM (FIRST_TILE * TQ_STAGE_QUERIES) /* scores of a tile */
#define TILES_PER_LANE 8
#define CHUNK 512
#define GROUP 32
/* Segments and rows for which two stages were not faster, and batches where products are fast */
#define ROWS_MIN 4096
#define ROW_BYTES_MIN 128
#define QUERIES_MAX 2
/* A tile of which more than one in so many rows pass is followed by some of TILE rows that are scanned in full */
#define SHARE 5
#define FULL_TILES 15

/* ---- signs ---- */

int tq_index_make_signer(const struct tq_index *ix, size_t row_bytes, const float *centre, struct tq_quantizer **q)
{
	struct tq_quantizer_options o = {.struct_size = sizeof(o), .driver = ix->driver};
	struct tq_spec spec = ix->spec;
	int ret;

	*q = NULL;
	/* codes too short for two stages lie in blocks: full scans are faster so; bounds are of queries without scales */
	if (!ix->staged || ix->nlist > 1 || spec.bits < 2 || spec.code > TQ_CODE_SIGN ||
	    row_bytes < ROW_BYTES_MIN || spec.correction >= TQ_CORR_QJL_GAUSS || tq_given_scales(ix->ctx, &spec))
		return TQ_OK;
	spec.bits = 1;
	spec.code = TQ_CODE_LM;
	spec.correction = TQ_CORR_NONE;
	spec.effort = 0;
	spec.scale = TQ_F32;
	spec.query = TQ_QUERY_S8;
	if (spec.center == TQ_CENTER_BOTH)
		o.centre = centre;
	ret = tq_quantizer_create(ix->ctx, &spec, ix->dim, &o, q);
	if (ret == TQ_OK && !(*q)->pipe.block_bytes) {
		tq_quantizer_destroy(*q);
		*q = NULL;
	}
	return ret;
}

/* The signs of @code to the bits of @row; sums of the levels' magnitudes and squares */
static void take_signs(const struct tq_plan *plan, const uint8_t *code, uint8_t *bits, double *sum,
		       double *square)
{
	const struct tq_codebook *book = &plan->codebook;
	uint8_t index[CHUNK];
	int64_t s = 0, s2 = 0;
	size_t at, n, i;
	int32_t odd;

	for (at = 0; at < plan->dim; at += n) {
		n = plan->dim - at < CHUNK ? plan->dim - at : CHUNK;
		tq_unpack_indices(plan, code, at, n, index);
		for (i = 0; i < n; i++) {
			odd = book->odd[index[i]];
			s += odd < 0 ? -odd : odd;
			s2 += odd * odd;
			bits[(at + i) / 8] |= (uint8_t)((odd > 0) << (at + i) % 8);
		}
	}
	*sum = (double)s;
	*square = (double)s2;
}

void tq_index_sign_rows(const struct tq_index *ix, const uint8_t *codes, size_t n, uint8_t *rows,
			float *error)
{
	const struct tq_plan *plan = ix->q->plan, *sign = ix->sign->plan;
	double one = (double)sign->codebook.odd[1] * (double)sign->codebook.half_step;
	double sum, square, length, d = plan->dim;
	size_t i;

	for (i = 0; i < n; i++, codes += plan->layout.row_bytes, rows += sign->layout.row_bytes) {
		memset(rows, 0, sign->layout.row_bytes);
		take_signs(plan, codes, rows + sign->layout.section[0].at, &sum, &square);
		length = (double)tq_load_scale(plan, codes) * (double)plan->codebook.half_step;
		tq_store_scale(sign, rows, (float)(length * square / sum / one));
		error[i] = (float)(length * sqrt(square * fabs(square * d / (sum * sum) - 1.0) / d));
		if (sign->layout.cross_at != TQ_NO_FIELD)
			memcpy(rows + sign->layout.cross_at, codes + plan->layout.cross_at, sizeof(float));
	}
}

void tq_index_put_sign(const struct tq_index *ix, struct tq_index_segment *s, uint32_t row,
		       const uint8_t *sign, float error)
{
	tq_block_put(ix->sign->plan, s->signs + row / TQ_BLOCK_ROWS * ix->sign->pipe.block_bytes,
		     row % TQ_BLOCK_ROWS, sign);
	s->error[row] = error;
}

/* ---- searches ---- */

/*
 * Plain AVX2 takes three instructions for products of bytes that others take one for: there single bits are looked
 * up faster than a batch is multiplied with whole codes.
 */
static bool stages_batches(const struct tq_index *ix)
{
	uint64_t cpu = ix->q->pipe.op[TQ_OP_SCORE].choice.driver->need.cpu;

	return cpu & TQ_CPU_X86_64_V3 && !(cpu & (TQ_CPU_AVX512 | TQ_CPU_AVX_VNNI));
}

bool tq_index_is_staged(const struct tq_index *ix, const struct tq_index_segment *s,
			const struct tq_index_search_options *o, size_t nq)
{
	return o && o->exactness > 0.0f && o->exactness < 1.0f && s->signs && s->n >= ROWS_MIN &&
	       (nq <= QUERIES_MAX || stages_batches(ix));
}

float tq_index_reach(const struct tq_index *ix, const float *x, float exactness, size_t k)
{
	double norm2 = 0.0, y;
	size_t i;

	for (i = 0; i < ix->dim; i++) {
		y = (double)x[i] - (double)ix->mean[i];
		norm2 += y * y;
	}
	/* half of what may go wrong: the law is not quite the normal one */
	return (float)(-tq_normal_quantile(0.5 * (1.0 - (double)exactness) / (double)k) * sqrt(norm2));
}

/**
 * struct lane - what a thread finds, for each query
 * @full: so many tiles to come are scanned in full
 * @next_full: and so many the next time that too many rows pass
 */
struct lane {
	struct tq_heap heap[TQ_STAGE_QUERIES];
	uint32_t full, next_full;
};

/**
 * struct stage - one tq_index_stage()
 * @tile: rows of a tile, a multiple of TQ_REACH; what scores of one query have in memory
 */
struct stage {
	const struct tq_index *ix;
	const struct tq_index_segment *s;
	const char *packed, *sign;
	const float *reach;
	size_t nq, tile;
	const uint64_t *filter;
	struct lane *lanes;
};

/* <q, w> of @nq queries from query @q on and @n rows from @first on, a multiple of 16 */
static void score_signs(const struct stage *st, size_t q, size_t nq, size_t first, size_t n, float *score)
{
	const struct tq_pipeline *pipe = &st->ix->sign->pipe;
	const struct tq_served *op = &pipe->op[TQ_OP_SCORE];

	op->ops->score_blocks(pipe->plan, op->state, st->sign + q * pipe->query_bytes, nq,
			      st->s->signs + first / TQ_BLOCK_ROWS * pipe->block_bytes, n, score, st->tile);
}

static bool counts(const struct stage *st, size_t row)
{
	return !st->filter || st->filter[row / 64] >> row % 64 & 1;
}

/* Ids are looked at last: few rows come here, and for the others that would be one miss of the cache more */
static void offer(const struct stage *st, struct tq_heap *heap, float score, size_t row)
{
	if (score >= heap->scores[0] && st->s->ids[row] >= 0)
		tq_heap_offer(heap, score, st->s->ids[row]);
}

/* The code of a row that will be scored soon: they are far from each other */
static void fetch_code(const struct stage *st, size_t row)
{
	tq_fetch(st->s->codes + row * st->ix->row_bytes, st->ix->row_bytes);
}

/*
 * Which of the rows of a tile pass, and their bounds, for a query of reach @most: @bound is of the signs' scores, with
 * room for a tile, and becomes those of the rows that do.
 */
static inline TQ_REACH_INLINE size_t choose(const struct stage *st, float most, size_t first, size_t n, float worst,
					    float *bound, uint32_t *rows,
					    uint64_t (*reach)(const float *s, float worst, bool beyond))
{
	const float *error = st->s->error + first;
	size_t i, j, end, m = 0;
	uint64_t mask;

	for (i = n; i % TQ_REACH; i++)
		bound[i] = -INFINITY;
	for (i = 0; i < n; i = end) {
		end = i + TQ_REACH;
		for (j = i; most > 0.0f && j < (end < n ? end : n); j++)
			bound[j] = bound[j] + most * error[j];
		mask = reach(bound + i, worst, false);
		if (end > n)
			mask &= (UINT64_C(1) << (n - i)) - 1;
		for (; mask; mask &= mask - 1) {
			j = i + (size_t)__builtin_ctzll(mask);
			if (!counts(st, first + j))
				continue;
			fetch_code(st, first + j);
			bound[m] = bound[j];
			rows[m++] = (uint32_t)(first + j);
		}
	}
	return m;
}

static size_t choose_base(const struct stage *st, float most, size_t first, size_t n, float worst, float *bound,
			  uint32_t *rows)
{
	return choose(st, most, first, n, worst, bound, rows, tq_reach_base);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static size_t choose_avx2(const struct stage *st, float most, size_t first, size_t n,
							  float worst, float *bound, uint32_t *rows)
{
	return choose(st, most, first, n, worst, bound, rows, tq_reach_avx2);
}

__attribute__((target("avx512f"))) static size_t choose_avx512(const struct stage *st, float most, size_t first, size_t n,
							       float worst, float *bound, uint32_t *rows)
{
	return choose(st, most, first, n, worst, bound, rows, tq_reach_avx512);
}
#endif

static size_t choose_rows(const struct stage *st, float most, size_t first, size_t n, float worst, float *bound,
			  uint32_t *rows)
{
#if defined(__x86_64__)
	if (st->ix->ctx->registry->cpu & TQ_CPU_AVX512)
		return choose_avx512(st, most, first, n, worst, bound, rows);
	if (st->ix->ctx->registry->cpu & TQ_CPU_X86_64_V3)
		return choose_avx2(st, most, first, n, worst, bound, rows);
#endif
	return choose_base(st, most, first, n, worst, bound, rows);
}

/* A few rows at a time, since each may raise what the next have to reach; returns how many were scored */
static size_t score_chosen(const struct stage *st, size_t q, struct tq_heap *heap, const uint32_t *rows,
			   const float *bound, size_t n)
{
	const struct tq_pipeline *pipe = &st->ix->q->pipe;
	const struct tq_served *score = &pipe->op[TQ_OP_SCORE];
	float scores[GROUP], most[GROUP];
	uint32_t group[GROUP];
	size_t i = 0, j, m, all = 0;

	while (i < n) {
		for (m = 0; i < n && m < GROUP; i++)
			if (bound[i] >= heap->scores[0]) {
				most[m] = bound[i];
				group[m++] = rows[i];
			}
		if (m)
			score->ops->score_list(pipe->plan, score->state, st->packed + q * pipe->query_bytes,
					       st->s->codes, group, m, scores);
		for (j = 0; j < m; j++)
			if (scores[j] <= most[j])
				offer(st, heap, scores[j], group[j]);
		all += m;
	}
	return all;
}

/*
 * Offer those whose bounds hold, which are looked at only of rows that would be results. @signs: the signs' scores of the
 * tile, or NULL
 */
static void offer_full(const struct stage *st, size_t q, struct tq_heap *heap, float *scores, const float *signs,
		       size_t first, size_t n)
{
	float of_block[TQ_BLOCK_ROWS], sign;
	size_t i, m, block, left;
	uint32_t rows[TILE];

	m = choose_rows(st, 0.0f, first, n, heap->scores[0], scores, rows);
	for (i = 0; i < m; i++) {
		if (!(scores[i] >= heap->scores[0]))
			continue;
		if (signs) {
			sign = signs[rows[i] - first];
		} else {
			block = rows[i] / TQ_BLOCK_ROWS * TQ_BLOCK_ROWS;
			left = st->s->n - block;
			score_signs(st, q, 1, block, left < TQ_BLOCK_ROWS ? left : TQ_BLOCK_ROWS, of_block);
			sign = of_block[rows[i] - block];
		}
		if (scores[i] <= sign + st->reach[q] * st->s->error[rows[i]])
			offer(st, heap, scores[i], rows[i]);
	}
}

/* For the queries from @q on; @signs: the signs' scores of the tile, of query 0 and all others, or NULL */
static void full_tile(const struct stage *st, size_t q, struct lane *l, const float *signs, size_t first, size_t n)
{
	const struct tq_pipeline *pipe = &st->ix->q->pipe;
	const struct tq_served *score = &pipe->op[TQ_OP_SCORE];
	_Alignas(64) float scores[ROOM];
	size_t i;

	score->ops->score(pipe->plan, score->state, st->packed + q * pipe->query_bytes, st->nq - q,
			  st->s->codes + first * st->ix->row_bytes, n, scores, st->tile);
	for (i = q; i < st->nq; i++)
		offer_full(st, i, &l->heap[i], scores + (i - q) * st->tile, signs ? signs + i * st->tile : NULL, first, n);
}

/*
 * A query that has nothing yet would pass every row, and where too many pass, one by one takes longer than a product of
 * all: what is left of the tile is scanned in full then, and so are tiles to come.
 */
static void staged_tile(const struct stage *st, struct lane *l, size_t first, size_t n)
{
	const size_t most = n * st->nq / SHARE;
	_Alignas(64) float bound[ROOM];
	uint32_t rows[TILE];
	size_t m = 0, q;

	score_signs(st, 0, st->nq, first, n, bound);
	for (q = 0; q < st->nq && m <= most; q++) {
		float worst = l->heap[q].scores[0], *of = bound + q * st->tile;

		if (!(worst > -INFINITY)) {
			full_tile(st, q, l, bound, first, n);
			return;
		}
		m += score_chosen(st, q, &l->heap[q], rows, of,
				  choose_rows(st, st->reach[q], first, n, worst, of, rows));
	}
	if (m <= most)
		return;
	if (q < st->nq)
		full_tile(st, q, l, bound, first, n);
	l->full = l->next_full;
	l->next_full *= 4;
}

static int do_tiles(void *arg, uint32_t lane, size_t first, size_t n)
{
	const struct stage *st = arg;
	struct lane *l = &st->lanes[lane];
	size_t end = first + n, step;

	for (; first < end; first += step) {
		step = l->heap[0].scores[0] > -INFINITY ? st->tile : FIRST_TILE;
		if (step > end - first)
			step = end - first;
		if (l->full) {
			full_tile(st, 0, l, NULL, first, step);
			l->full--;
		} else {
			staged_tile(st, l, first, step);
		}
	}
	return TQ_OK;
}

int tq_index_stage(const struct tq_index *ix, const struct tq_index_segment *s, const struct tq_index_stage *what,
		   size_t nq, int64_t *ids, float *keys)
{
	uint32_t n = tq_rows_lanes(ix->ctx, s->n, TILES_PER_LANE * TILE), i;
	struct lane one = {0}, *lanes = NULL;
	const size_t k = what->k;
	struct stage st = {ix, s, what->packed, what->sign, what->reach, nq, TILE, what->filter, &one};
	float *scores;
	int64_t *found;
	size_t q, j, at;
	int ret;

	if (st.tile > ROOM / nq)
		st.tile = ROOM / nq / TQ_REACH * TQ_REACH;
	one.next_full = FULL_TILES * (uint32_t)(TILE / st.tile);
	for (q = 0; q < nq; q++)
		one.heap[q] = (struct tq_heap){keys + q * k, ids + q * k, k};
	if (n > 1)
		lanes = tq_alloc(ix->ctx, n * (sizeof(*lanes) + nq * k * (sizeof(*ids) + sizeof(*keys))));
	if (lanes) {
		st.lanes = lanes;
		found = (int64_t *)(void *)(lanes + n);
		scores = (float *)(void *)(found + n * nq * k);
		for (i = 0; i < n; i++) {
			lanes[i] = one;
			for (q = 0; i > 0 && q < nq; q++) {
				at = (i * nq + q) * k;
				lanes[i].heap[q] = (struct tq_heap){scores + at, found + at, k};
				tq_heap_clear(&lanes[i].heap[q]);
			}
		}
	}
	ret = tq_rows_run(ix->ctx, s->n, TILES_PER_LANE * TILE, lanes ? n : 1, do_tiles, &st);
	for (i = 1; lanes && i < n; i++)
		for (q = 0; q < nq; q++)
			for (j = 0; j < k; j++)
				tq_heap_offer(&one.heap[q], lanes[i].heap[q].scores[j], lanes[i].heap[q].ids[j]);
	tq_free(ix->ctx, lanes);
	if (!ret)
		ret = tq_pipeline_failed(&ix->sign->pipe);
	return ret ? ret : tq_pipeline_failed(&ix->q->pipe);
}
