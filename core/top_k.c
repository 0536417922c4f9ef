/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The best rows of a scan. Tiles of rows are scored into a buffer that stays in the level-1 cache;
 * 64 scores at a time are compared with the worst result so far, and only where one of them reaches
 * it are they looked at one by one. A batch of queries goes over a block of codes in groups, while
 * the block is in the level-2 cache.
 *
 * Which results a heap ends with does not depend on the order of the rows. So threads share the
 * rows as they come, each with heaps of its own, and these are poured together.
 */

#include <string.h>
#include "args.h"
#include "heap.h"
#include "parallel.h"
#include "reach.h"
#include "registry.h"
#include "tq/top_k.h"

#define BLOCK TQ_REACH
#define TILE_SCORES 8192	     /* 32 KiB */
#define DEVICE_TILE_SCORES (1 << 20) /* a device is not asked for tiles of some thousand rows */
#define TILE_ROWS_MAX 4096
#define GROUP 64 /* queries per call of the driver */
#define CODES_PER_BLOCK (128 << 10)
#define WORK_PER_TILE (1 << 20) /* of a thread: code bytes times queries */
#define HEAPS_MAX (64 << 20)	/* bytes of all further lanes */

/**
 * struct scan - one call
 * @lanes: how many sets of heaps there are
 * @more:  the sets of the lanes but the first, whose heaps are in the results
 * @tile:  TILE_SCORES floats of one lane, or NULL: on its stack
 * @room:  floats in a tile
 * @packed: queries
 * @blocks: the codes are in blocks
 * @heaps: results are heaps, before and after
 */
struct scan {
	const struct tq_quantizer *q;
	const char *packed;
	size_t nq;
	const uint8_t *codes;
	bool blocks, heaps;
	size_t n, k;
	struct tq_top_k_options o;
	int64_t *ids;
	float *scores;
	uint32_t lanes;
	char *more;
	float *tile;
	size_t room;
};

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Bytes of one lane's heaps; ids come first. */
static size_t heaps_size(const struct scan *s)
{
	return s->nq * s->k * (sizeof(int64_t) + sizeof(float));
}

static struct tq_heap heap_of(const struct scan *s, uint32_t lane, size_t query)
{
	struct tq_heap h = {s->scores, s->ids, s->k};

	if (lane) {
		h.ids = (int64_t *)(s->more + (lane - 1) * heaps_size(s));
		h.scores = (float *)(h.ids + s->nq * s->k);
	}
	h.ids += query * s->k;
	h.scores += query * s->k;
	return h;
}

/* ---- scores against the worst result ---- */

/* Row @at of the scan, or of the list of rows. */
static void offer(const struct scan *s, const struct tq_heap *h, float score, size_t at)
{
	size_t row = s->o.rows ? s->o.rows[at] : at;
	int64_t id;

	if (s->o.filter && !(s->o.filter[row / 64] >> row % 64 & 1))
		return;
	id = s->o.ids ? s->o.ids[row] : s->o.first_id + (int64_t)row;
	if (id >= 0 && id != TQ_HEAP_EMPTY)
		tq_heap_offer(h, score, id);
}

/* Can rows from @at on be results only if they exceed the worst: their ids are higher. */
static inline TQ_REACH_INLINE bool only_beyond(const struct scan *s, const struct tq_heap *h, size_t at)
{
	return !s->o.rows && !s->o.ids && s->o.first_id + (int64_t)at > h->ids[0];
}

/* Those of the 64 @scores of the rows from @at on that are in @mask: each may raise what the next have to reach */
static inline TQ_REACH_INLINE void offer_masked(const struct scan *s, const struct tq_heap *h, const float *scores,
						size_t at, uint64_t mask)
{
	size_t i;

	for (; mask; mask &= mask - 1) {
		i = (size_t)__builtin_ctzll(mask);
		if (scores[i] >= h->scores[0])
			offer(s, h, scores[i], at + i);
	}
}

/* @n scores of the rows from @at on, a multiple of 64. What is beyond the last 64 is compared as so many. */
static inline TQ_REACH_INLINE void look(const struct scan *s, const struct tq_heap *h, const float *scores,
			       size_t at, size_t n,
			       uint64_t (*reach)(const float *s, float worst, bool beyond))
{
	float rest[BLOCK];
	uint64_t mask;
	size_t i, j;

	for (i = 0; i + BLOCK <= n; i += BLOCK) {
		mask = reach(scores + i, h->scores[0], only_beyond(s, h, at + i));
		if (s->o.filter && !s->o.rows)
			mask &= s->o.filter[(at + i) / BLOCK];
		offer_masked(s, h, scores + i, at + i, mask);
	}
	if (i == n)
		return;
	memcpy(rest, scores + i, (n - i) * sizeof(*rest));
	for (j = n - i; j < BLOCK; j++)
		rest[j] = -INFINITY;
	mask = reach(rest, h->scores[0], only_beyond(s, h, at + i)) & ((UINT64_C(1) << (n - i)) - 1);
	offer_masked(s, h, rest, at + i, mask);
}

static void take_scores_base(const struct scan *s, const struct tq_heap *h, const float *scores,
			     size_t at, size_t n)
{
	look(s, h, scores, at, n, tq_reach_base);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void take_scores_avx2(const struct scan *s,
							     const struct tq_heap *h,
							     const float *scores, size_t at,
							     size_t n)
{
	look(s, h, scores, at, n, tq_reach_avx2);
}

__attribute__((target("avx512f"))) static void take_scores_avx512(const struct scan *s,
								  const struct tq_heap *h,
								  const float *scores, size_t at,
								  size_t n)
{
	look(s, h, scores, at, n, tq_reach_avx512);
}
#endif

/* The same for a CPU that compares more at a time, if it may be used. */
static void take_scores(const struct scan *s, const struct tq_heap *h, const float *scores,
			size_t at, size_t n)
{
#if defined(__x86_64__)
	if (s->q->ctx->registry->cpu & TQ_CPU_AVX512)
		take_scores_avx512(s, h, scores, at, n);
	else if (s->q->ctx->registry->cpu & TQ_CPU_X86_64_V3)
		take_scores_avx2(s, h, scores, at, n);
	else
#endif
		take_scores_base(s, h, scores, at, n);
}

/* ---- tiles ---- */

static bool all_filtered(const struct scan *s, size_t at, size_t n)
{
	size_t i;

	if (!s->o.filter || s->o.rows)
		return false;
	for (i = at / 64; i <= (at + n - 1) / 64; i++)
		if (s->o.filter[i])
			return false;
	return true;
}

/* Queries @i .. @i + @nq - 1 on rows @at .. @at + @n - 1: at most s->room scores. */
static void do_tile(const struct scan *s, uint32_t lane, float *tile, size_t i, size_t nq,
		    size_t at, size_t n)
{
	const struct tq_pipeline *pipe = &s->q->pipe;
	const struct tq_served *score = &pipe->op[TQ_OP_SCORE];
	const char *packed = s->packed + i * pipe->query_bytes;
	struct tq_heap h;
	size_t j;

	if (all_filtered(s, at, n))
		return;
	if (s->blocks)
		score->ops->score_blocks(pipe->plan, score->state, packed, nq,
					 s->codes + at / TQ_BLOCK_ROWS * pipe->block_bytes, n, tile, n);
	else if (!s->o.rows)
		score->ops->score(pipe->plan, score->state, packed, nq,
				  s->codes + at * pipe->plan->layout.row_bytes, n, tile, n);
	for (j = 0; j < nq; j++, packed += pipe->query_bytes) {
		if (s->o.rows)
			score->ops->score_list(pipe->plan, score->state, packed, s->codes,
					       s->o.rows + at, n, tile + j * n);
		h = heap_of(s, lane, i + j);
		take_scores(s, &h, tile + j * n, at, n);
	}
}

/* All of @nq queries on @n rows, block by block, group by group, tile by tile. */
static void do_rows(const struct scan *s, uint32_t lane, float *tile, size_t i, size_t nq,
		    size_t at, size_t n)
{
	size_t group = least(nq, GROUP), rows, block, q, r, end, step;

	rows = s->room / group / BLOCK * BLOCK;
	if (s->room == TILE_SCORES)
		rows = least(rows, TILE_ROWS_MAX);
	block = rows;
	if (nq > group)
		block += CODES_PER_BLOCK / s->q->plan->layout.row_bytes / rows * rows;
	for (; n; at = end, n -= step) {
		step = least(block, n);
		end = at + step;
		for (q = i; q < i + nq; q += group)
			for (r = at; r < end; r += rows)
				do_tile(s, lane, tile, q, least(group, i + nq - q), r,
					least(rows, end - r));
	}
}

static int rows_tile(void *arg, uint32_t lane, size_t first, size_t n)
{
	_Alignas(64) float tile[TILE_SCORES];
	const struct scan *s = arg;

	do_rows(s, lane, s->tile ? s->tile : tile, 0, s->nq, first, n);
	return TQ_OK;
}

static int queries_tile(void *arg, uint32_t lane, size_t first, size_t n)
{
	_Alignas(64) float tile[TILE_SCORES];
	const struct scan *s = arg;

	do_rows(s, 0, tile, first, n, 0, s->n);
	return TQ_OK;
}

/* ---- threads ---- */

static void start_heaps(const struct scan *s)
{
	struct tq_heap h;
	uint32_t lane;
	size_t i;

	for (lane = s->heaps ? 1 : 0; lane < s->lanes; lane++)
		for (i = 0; i < s->nq; i++) {
			h = heap_of(s, lane, i);
			if (lane == 0 && s->o.flags & TQ_TOP_K_ADD)
				tq_heap_make(&h);
			else
				tq_heap_clear(&h);
		}
}

/* All lanes' results into the first lane's, and in order. */
static void finish_heaps(const struct scan *s)
{
	struct tq_heap h, from;
	uint32_t lane;
	size_t i, j;

	for (i = 0; i < s->nq; i++) {
		h = heap_of(s, 0, i);
		for (lane = 1; lane < s->lanes; lane++) {
			from = heap_of(s, lane, i);
			for (j = 0; j < s->k; j++)
				tq_heap_offer(&h, from.scores[j], from.ids[j]);
		}
		if (!s->heaps)
			tq_heap_sort(&h, TQ_NO_ID);
	}
}

/* Many queries are split by themselves: they share one set of heaps. */
static void run_by_queries(struct scan *s)
{
	size_t row_bytes = s->q->plan->layout.row_bytes;
	size_t tile = (WORK_PER_TILE / row_bytes / s->n / GROUP + 1) * GROUP;

	start_heaps(s);
	tq_rows_split(s->q->ctx, s->nq, tile, queries_tile, s);
	finish_heaps(s);
}

/* Few queries are split by rows, with a set of heaps for each lane. */
static void run_by_rows(struct scan *s, size_t tile, uint32_t lanes)
{
	if (lanes > 1)
		s->more = tq_alloc(s->q->ctx, (lanes - 1) * heaps_size(s));
	if (s->more)
		s->lanes = lanes;
	start_heaps(s);
	tq_rows_run(s->q->ctx, s->n, tile, s->lanes, rows_tile, s);
	finish_heaps(s);
	tq_free(s->q->ctx, s->more);
}

static void run_unsplit(struct scan *s)
{
	s->tile = tq_alloc(s->q->ctx, DEVICE_TILE_SCORES * sizeof(float));
	if (s->tile)
		s->room = DEVICE_TILE_SCORES;
	run_by_rows(s, s->n, 1);
	tq_free(s->q->ctx, s->tile);
}

static void scan_run(struct scan *s)
{
	struct tq_context *ctx = s->q->ctx;
	uint32_t lanes;
	size_t tile;

	tile = tq_rows_tile(WORK_PER_TILE / least(s->nq, GROUP), s->q->plan->layout.row_bytes);
	tile = (tile + BLOCK - 1) / BLOCK * BLOCK;
	lanes = tq_rows_lanes(ctx, s->n, tile);
	if (!s->q->pipe.split_score)
		run_unsplit(s);
	else if (s->nq >= (size_t)GROUP * ctx->threads ||
		 (s->nq > GROUP && lanes > 1 && heaps_size(s) > HEAPS_MAX / (lanes - 1)))
		run_by_queries(s);
	else
		run_by_rows(s, tile, lanes);
}

/* ---- the call ---- */

static int take_options(const struct tq_top_k_options *given, size_t n, struct tq_top_k_options *o)
{
	memset(o, 0, sizeof(*o));
	if (!given)
		return TQ_OK;
	if (given->struct_size != sizeof(*o))
		return tq_fail(TQ_ERR_ARG, "options->struct_size is %u, expected %zu",
			       given->struct_size, sizeof(*o));
	if (given->flags & ~TQ_TOP_K_ADD)
		return tq_fail(TQ_ERR_ARG, "options->flags 0x%x: unknown bits", given->flags);
	if (!given->ids && (given->first_id < 0 || given->first_id > INT64_MAX - UINT32_MAX ||
			    n > (size_t)(INT64_MAX - given->first_id)))
		return tq_fail(TQ_ERR_ARG, "options->first_id: %lld is no id for %zu rows",
			       (long long)given->first_id, n);
	*o = *given;
	return TQ_OK;
}

static int best_rows(const struct tq_quantizer *q, const void *prepared, size_t nq, const void *codes,
		     bool blocks, bool heaps, size_t n, size_t k, const struct tq_top_k_options *options,
		     int64_t *ids, float *scores)
{
	struct scan s = {.q = q, .packed = prepared, .nq = nq, .codes = codes, .blocks = blocks, .heaps = heaps,
			 .n = n, .k = k};
	int ret;

	TQ_CHECK_POINTER(q);
	if (k < 1 || k > TQ_TOP_K_MAX)
		return tq_fail(TQ_ERR_ARG, "k: %zu is not in 1..%d", k, TQ_TOP_K_MAX);
	ret = take_options(options, n, &s.o);
	if (ret || nq == 0)
		return ret;
	TQ_CHECK_POINTER(ids);
	TQ_CHECK_POINTER(scores);
	if (nq > PTRDIFF_MAX / (k * (sizeof(*ids) + sizeof(*scores))))
		return tq_fail(TQ_ERR_ARG, "nq: %zu queries exceed memory", nq);
	if (n) {
		TQ_CHECK_POINTER(codes);
		ret = tq_check_prepared(prepared);
		if (!ret)
			ret = tq_check_codes(tq_code_size(q), "codes", n);
		if (ret)
			return ret;
	}
	s.ids = ids;
	s.scores = scores;
	s.lanes = 1;
	s.room = TILE_SCORES;
	if (n) {
		scan_run(&s);
		return tq_pipeline_failed(&q->pipe);
	}
	start_heaps(&s);
	finish_heaps(&s);
	return TQ_OK;
}

int tq_top_k(const struct tq_quantizer *q, const void *prepared, size_t nq, const void *codes,
	     size_t n, size_t k, const struct tq_top_k_options *options, int64_t *ids,
	     float *scores)
{
	return best_rows(q, prepared, nq, codes, false, false, n, k, options, ids, scores);
}

int tq_top_k_heaps(const struct tq_quantizer *q, const void *prepared, size_t nq, const void *codes,
		   bool blocks, size_t n, size_t k, const struct tq_top_k_options *options, int64_t *ids,
		   float *scores)
{
	return best_rows(q, prepared, nq, codes, blocks, true, n, k, options, ids, scores);
}

void tq_top_k_heap(const struct tq_quantizer *q, const void *prepared, const void *codes, bool blocks, size_t n,
		   size_t k, const struct tq_top_k_options *options, int64_t *ids, float *scores)
{
	struct scan s = {.q = q, .packed = prepared, .nq = 1, .codes = codes, .blocks = blocks, .heaps = true,
			 .n = n, .k = k, .o = *options, .ids = ids, .scores = scores, .lanes = 1,
			 .room = TILE_SCORES};

	rows_tile(&s, 0, 0, n);
}
