/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Scores of many integer queries by matrix products (AMX). The sums are those of score_tile.c: all
 * exact in int32, so the order of products does not show. Few queries, and lists of rows, go the
 * ways of score-avx512, which shares the packed queries.
 */

#include "amx.h"
#include "block.h"
#include "finish.h"
#include "score.h"
#include "sums.h"

/* Fewer queries than this are served without tiles */
#define QUERIES_MIN 9
/* Bytes of a folded query: 8 registers of which a half is filled are the most */
#define FOLDED 256

struct tile_config {
	uint8_t palette;
	uint8_t start_row;
	uint8_t reserved[14];
	uint16_t bytes[16];
	uint8_t rows[16];
};

/**
 * struct work - a block of rows and up to AMX_QUERIES queries
 * @tile:  levels: register u of the first 16 rows at 2 u, of the others at 2 u + 1
 * @total: up to three sums of each query and row
 * @b:     sums of the sketch
 * @folded: queries whose registers are put together as those of short rows
 * @block: the rows in blocks, or NULL: they are those of @row
 * @n:     rows
 * @whole: see avx512_amx_fill()
 */
struct work {
	struct level_tile tile[AMX_TILES] __attribute__((aligned(64)));
	int32_t total[3][AMX_QUERIES][AMX_ROWS] __attribute__((aligned(64)));
	float b[AMX_QUERIES][AMX_ROWS] __attribute__((aligned(64)));
	int8_t folded[AMX_QUERIES][FOLDED] __attribute__((aligned(64)));
	const uint8_t *const *row;
	const uint8_t *block;
	size_t ahead;
	size_t n;
	int whole;
};

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* The compiler does not know what the instructions on tiles read */
static inline void memory_is_read(void)
{
	__asm__ volatile("" ::: "memory");
}

/* Tiles 0 to 3: sums; 4, 5: up to 32 queries, @nq in all; 6, 7: rows */
static void configure(size_t nq)
{
	struct tile_config c __attribute__((aligned(64))) = {.palette = 1};
	uint8_t first = (uint8_t)(nq < TILE_ROWS ? nq : TILE_ROWS), second;
	int i;

	second = nq > TILE_ROWS ? (uint8_t)(nq - TILE_ROWS) : first;
	for (i = 0; i < 8; i++) {
		c.bytes[i] = 64;
		c.rows[i] = TILE_ROWS;
	}
	c.rows[0] = c.rows[1] = c.rows[4] = first;
	c.rows[2] = c.rows[3] = c.rows[5] = second;
	memory_is_read();
	_tile_loadconfig(&c);
}

/*
 * Sums of a block over @units registers of levels, added to @total if it is not the @start.
 * @step: from the bytes of one unit of a query to the next
 * @queries, @halves: tiles of queries and of rows, 1 or 2
 */
LEVELS_INLINE void dot(const struct level_tile *tile, size_t units, const int8_t *q, size_t size,
		       size_t step, int32_t (*total)[AMX_ROWS], int start, int queries, int halves)
{
	const long ld = sizeof(*total), row = (long)size;

	memory_is_read();
	if (start) {
		_tile_zero(0);
		_tile_zero(1);
		_tile_zero(2);
		_tile_zero(3);
	} else {
		_tile_loadd(0, total, ld);
		if (halves > 1)
			_tile_loadd(1, &total[0][TILE_ROWS], ld);
		if (queries > 1)
			_tile_loadd(2, &total[TILE_ROWS], ld);
		if (queries > 1 && halves > 1)
			_tile_loadd(3, &total[TILE_ROWS][TILE_ROWS], ld);
	}
	for (; units; units--, tile += 2, q += step) {
		_tile_loadd(6, tile, 64);
		_tile_loadd(4, q, row);
		_tile_dpbsud(0, 4, 6);
		if (halves > 1) {
			_tile_loadd(7, tile + 1, 64);
			_tile_dpbsud(1, 4, 7);
		}
		if (queries > 1) {
			_tile_loadd(5, q + TILE_ROWS * size, row);
			_tile_dpbsud(2, 5, 6);
			if (halves > 1)
				_tile_dpbsud(3, 5, 7);
		}
	}
	_tile_stored(0, total, ld);
	if (halves > 1)
		_tile_stored(1, &total[0][TILE_ROWS], ld);
	if (queries > 1)
		_tile_stored(2, &total[TILE_ROWS], ld);
	if (queries > 1 && halves > 1)
		_tile_stored(3, &total[TILE_ROWS][TILE_ROWS], ld);
}

/* All of @nq queries, one tile or two of them at a time */
static void dot_queries(const struct level_tile *tile, size_t units, const int8_t *q, size_t size,
			size_t step, int32_t (*total)[AMX_ROWS], int start, size_t nq, size_t rows)
{
	int halves = rows > TILE_ROWS ? 2 : 1;
	size_t n;

	for (; nq; nq -= n, q += n * size, total += n) {
		n = least(nq, AMX_GROUP);
		if (n > TILE_ROWS && halves == 2)
			dot(tile, units, q, size, step, total, start, 2, 2);
		else if (n > TILE_ROWS)
			dot(tile, units, q, size, step, total, start, 2, 1);
		else if (halves == 2)
			dot(tile, units, q, size, step, total, start, 1, 2);
		else
			dot(tile, units, q, size, step, total, start, 1, 1);
	}
}

/* Both halves of the rows to tiles */
static void fill_block(struct work *w, const struct tq_plan *plan, const struct shape *s, uint32_t fold,
		       size_t first, size_t n, size_t lo)
{
	if (w->block) {
		avx512_amx_fill_blocks(plan, s, fold, w->block, first, n, w->tile);
		if (w->n > TILE_ROWS)
			avx512_amx_fill_blocks(plan, s, fold, w->block + tq_block_bytes(plan), first, n,
					       w->tile + 1);
		return;
	}
	avx512_amx_fill(s, fold, w->row, w->ahead, w->whole, first, n, w->tile, lo);
	if (w->n > TILE_ROWS)
		avx512_amx_fill(s, fold, w->row + TILE_ROWS, w->ahead, w->whole, first, n,
				w->tile + 1, lo);
}

/* Are the levels of these rows folded: what is filled of several registers put into one */
LEVELS_INLINE int is_folded(const struct tq_plan *plan, const struct score_tables *tab)
{
	return plan->index_bits && tab->level.fold > 1 && query_planes(plan) == 1;
}

/* The queries to match */
static void fold_queries(struct work *w, const struct score_job *job, size_t i, size_t nq)
{
	const struct shape *s = &job->tab->level;
	size_t vectors = levels_vectors(s->bits), bytes = 64 / s->fold, k, v;
	size_t size = query_bytes(job->plan);
	const int8_t *q = query_part(job->plan, job->packed + i * size, 0);

	for (k = 0; k < nq; k++, q += size)
		for (v = 0; v < vectors; v++)
			memcpy(&w->folded[k][bytes * v], q + 64 * v, bytes);
}

static void sum_folded(struct work *w, const struct tq_plan *plan, const struct shape *s, size_t nq)
{
	fill_block(w, plan, s, s->fold, 0, 1, 0);
	dot_queries(w->tile, levels_vectors(s->bits) / s->fold, w->folded[0], FOLDED, 64,
		    w->total[0], 1, nq, w->n);
}

/* The totals of a block over one part of the query */
static void sum_block(struct work *w, const struct tq_plan *plan, const struct shape *s, const int8_t *q,
		      size_t size, size_t nq)
{
	size_t all = s->chunks + s->rest, first, n, units, vectors = levels_vectors(s->bits);
	uint32_t planes = query_planes(plan);
	size_t step = 64 * planes, two = levels_planes(s->bits), most = AMX_TILES / 2 / two / vectors;
	const struct level_tile *lo;
	int start;

	for (first = 0; first < all; first += n, q += units * step) {
		start = first == 0;
		n = least(all - first, most);
		units = n * vectors;
		lo = w->tile + 2 * units;
		fill_block(w, plan, s, 1, first, n, 2 * units);
		dot_queries(w->tile, units, q, size, step, w->total[0], start, nq, w->n);
		if (two == 2)
			dot_queries(lo, units, q, size, step, w->total[1], start, nq, w->n);
		if (planes == 2)
			dot_queries(w->tile, units, q + 64, size, step, w->total[1],
				    start && two == 1, nq, w->n);
		if (planes == 2 && two == 2)
			dot_queries(lo, units, q + 64, size, step, w->total[2], start, nq, w->n);
	}
}

/* A of query @k and sixteen rows from @at on */
LEVELS_INLINE __m512 amount(const struct work *w, size_t k, size_t at, int n, int32_t beta,
			    int64_t sum)
{
	__m512i s[3];

	s[0] = _mm512_load_si512(&w->total[0][k][at]);
	s[1] = n > 1 ? _mm512_load_si512(&w->total[1][k][at]) : s[0];
	s[2] = n > 2 ? _mm512_load_si512(&w->total[2][k][at]) : s[0];
	return combine(s, n, beta, sum);
}

static void sum_sketch(struct work *w, const struct score_job *job, size_t i, size_t nq)
{
	const struct tq_plan *plan = job->plan;
	size_t size = query_bytes(plan), k, at;
	const char *packed = job->packed + i * size;
	uint32_t planes = query_planes(plan);

	sum_block(w, plan, &job->tab->sketch, query_part(plan, packed, 1), size, nq);
	for (k = 0; k < nq; k++, packed += size)
		for (at = 0; at < w->n; at += BLOCK)
			_mm512_store_ps(&w->b[k][at],
					amount(w, k, at, nsums(1, planes), job->tab->sketch.beta,
					       ((const struct query_head *)(const void *)packed)
						       ->sketch_sum));
}

/* Rows @r and up of the strip. @n: sums of a level; @plain: is_plain() and one sum */
LEVELS_INLINE void finish(const struct work *w, const struct score_job *job,
			  const struct strip *strip, size_t r, size_t first, size_t i, size_t nq,
			  int n, int plain)
{
	const struct tq_plan *plan = job->plan;
	size_t size = query_bytes(plan), k, at;
	const char *packed = job->packed + i * size;
	float *scores = job->scores + i * job->ld + first + r;
	const int32_t beta = job->tab->level.beta;
	struct query_head head;
	__mmask16 mask;
	__m512 a, s;

	for (k = 0; k < nq; k++, packed += size, scores += job->ld) {
		memcpy(&head, packed, sizeof(head));
		for (at = 0; at < w->n; at += BLOCK) {
			a = amount(w, k, at, n, beta, head.sum);
			if (plain)
				s = finish_plain(&head, strip, r + at, a);
			else
				s = finish_rows(plan, &head, strip, r + at, a,
						_mm512_load_ps(&w->b[k][at]));
			mask = w->n - at < BLOCK ? (__mmask16)((1u << (w->n - at)) - 1) : 0xffff;
			_mm512_mask_storeu_ps(scores + at, mask, s);
		}
	}
}

/* Rows @r and up of the strip that begins with row @first, queries @i .. @i + @nq - 1 */
static void score_block(struct work *w, const struct score_job *job, const struct strip *strip,
			size_t first, size_t r, size_t i, size_t nq)
{
	const struct tq_plan *plan = job->plan;
	const char *packed = job->packed + i * query_bytes(plan);
	uint32_t row_bytes = plan->layout.row_bytes;
	int n = plan->index_bits ? nsums(plan->index_bits, query_planes(plan)) : 1;

	w->row = strip->row + r;
	w->ahead = (size_t)AMX_ROWS * row_bytes;
	w->n = least(strip->n - r, AMX_ROWS);
	w->whole = row_bytes >= 16 && first + r + w->n < job->n;
	if (has_sketch(plan))
		sum_sketch(w, job, i, nq);
	if (is_folded(plan, job->tab))
		sum_folded(w, plan, &job->tab->level, nq);
	else if (plan->index_bits)
		sum_block(w, plan, &job->tab->level, query_part(plan, packed, 0), query_bytes(plan), nq);
	if (n == 1 && is_plain(plan))
		finish(w, job, strip, r, first, i, nq, 1, 1);
	else
		finish(w, job, strip, r, first, i, nq, n, 0);
}

/*
 * Of so many queries those to go together: whole groups, or what is left in the end. To configure
 * tiles anew takes as long as some twenty products.
 */
static size_t queries_together(size_t left)
{
	if (left >= AMX_QUERIES)
		return AMX_QUERIES;
	return least(left, AMX_GROUP);
}

/* A strip of rows in blocks */
static void strip_of_blocks(const struct score_job *job, const uint8_t *block, size_t first,
			    struct strip *strip)
{
	size_t i;

	strip->n = least(job->n - first, STRIP);
	for (i = 0; i < strip->n; i += TQ_BLOCK_ROWS, block += tq_block_bytes(job->plan)) {
		_mm512_store_ps(strip->scale + i, block_scales(job->plan->scale, block));
		if (job->plan->center == TQ_CENTER_BOTH)
			_mm512_store_ps(strip->cross + i, _mm512_load_ps(block + 64));
	}
}

/* @blocks: the rows in blocks, or NULL: they are the job's */
static void run(const struct score_job *job, const uint8_t *blocks)
{
	const struct tq_plan *plan = job->plan;
	size_t bytes = blocks ? tq_block_bytes(plan) : 0, i, j, r, m, configured = 0;
	struct strip strip;
	struct work work;

	for (j = 0; j < job->n; j += STRIP) {
		if (blocks) {
			strip_of_blocks(job, blocks + j / TQ_BLOCK_ROWS * bytes, j, &strip);
		} else {
			avx512_strip_rows(job, j, &strip);
			avx512_strip_numbers(plan, &strip);
		}
		for (i = 0; i < job->nq; i += m) {
			m = queries_together(job->nq - i);
			if (least(m, AMX_GROUP) != configured)
				configure(configured = least(m, AMX_GROUP));
			if (is_folded(plan, job->tab) && (j == 0 || m < job->nq))
				fold_queries(&work, job, i, m);
			for (r = 0; r < strip.n; r += AMX_ROWS) {
				work.block = blocks ? blocks + (j + r) / TQ_BLOCK_ROWS * bytes : NULL;
				score_block(&work, job, &strip, j, r, i, m);
			}
		}
	}
	_tile_release();
}

static void amx_score(const struct tq_plan *plan, const void *state, const void *packed, size_t nq,
		      const uint8_t *codes, size_t n, float *scores, size_t ld)
{
	struct score_job job = {plan, state, packed, nq, codes, NULL, n, scores, ld};

	if (nq < QUERIES_MIN)
		avx512_score(plan, state, packed, nq, codes, n, scores, ld);
	else
		run(&job, NULL);
}

static void amx_score_blocks(const struct tq_plan *plan, const void *state, const void *packed, size_t nq,
			     const uint8_t *blocks, size_t n, float *scores, size_t ld)
{
	struct score_job job = {plan, state, packed, nq, NULL, NULL, n, scores, ld};

	if (nq < QUERIES_MIN)
		avx512_score_blocks(plan, state, packed, nq, blocks, n, scores, ld);
	else
		run(&job, blocks);
}

const struct tq_quantizer_ops avx512_amx_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = avx512_score_create,
	.destroy = avx512_score_destroy,
	.query_size = avx512_query_size,
	.query_pack = avx512_query_pack,
	.score = amx_score,
	.score_list = avx512_score_list,
	.score_blocks = amx_score_blocks,
	.score_pairs = avx512_score_pairs,
};
