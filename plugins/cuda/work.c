/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The choice of kernel. Each kind of work has one kernel for every plan, and faster ones for the
 * plans and alignments that they were made for; results are the same bytes.
 */
#include "work.h"

#include <string.h>
#include "tq/plugin.h"

static unsigned blocks_for(const struct tqc_device *dev, size_t items, size_t per_processor)
{
	size_t most = (size_t)dev->processors * per_processor;

	return (unsigned)(items < most ? items : most);
}

/* A grid of more than these would leave a short last turn */
unsigned tqc_resident(const struct tqc_device *dev, const struct tqc_launch *l)
{
	size_t shared = l->shared + 1024 + TQC_STATIC_SHARED_MAX / 8;
	size_t registers = (((size_t)dev->registers[l->kernel] + 7) & ~(size_t)7) * l->threads;
	size_t fit = (size_t)dev->shared_processor / shared;

	if (registers && fit > 65536 / registers)
		fit = 65536 / registers;
	if (fit > 2048 / l->threads)
		fit = 2048 / l->threads;
	return fit < 1 ? 1 : (unsigned)fit;
}

/* The plans of the one-thread-per-row kernels */
static int is_short_rht(const struct tqc_plan_state *s)
{
	const struct tqc_plan *p = &s->plan;

	return !s->window && !s->radix && p->rot.kind == TQC_ROT_RHT && (p->dim == 64 || p->dim == 128) &&
	       p->index_bits >= 1 && p->index_bits <= 4 && p->planes == 1 && p->center == 0 &&
	       !p->has_sketch;
}

static int is_aligned(CUdeviceptr p, size_t step)
{
	return (p & 15) == 0 && (step & 15) == 0;
}

static size_t element_size(int dtype)
{
	return dtype == TQ_F32 ? 4 : 2;
}

/*
 * One block per processor, of as many warps as registers and shared memory allow, each with its rows beside @tables
 * bytes
 */
static void short_rht_launch(const struct tqc_plan_state *s, size_t n, int dtype, size_t tables, struct tqc_launch *l)
{
	const struct tqc_plan *p = &s->plan;
	size_t rows = 32 / TQC_ROWS_SHARE(p->dim), warp = rows * (p->dim * element_size(dtype) + 16 + (size_t)p->row_bytes);
	size_t warps = ((size_t)s->dev->shared_max - TQC_STATIC_SHARED_MAX - tables) / warp;

	if (warps > TQC_ROWS_THREADS / 32)
		warps = TQC_ROWS_THREADS / 32;
	if (warps > 4)
		warps &= ~(size_t)3;
	l->threads = 32 * (unsigned)warps;
	l->shared = tables + warps * warp;
	l->gx = blocks_for(s->dev, (n + rows * warps - 1) / (rows * warps), 1);
}

/*
 * A warp to a tile of rows: as many warps to a block as let most of them be there at once; a block has @table bytes
 * beside signs
 */
static void warp_launch(const struct tqc_plan_state *s, size_t n, size_t table, struct tqc_launch *l)
{
	size_t tables = TQC_WARP_TABLES(s->plan.rot.rounds, &s->warp, table), tiles = (n + s->warp.rows - 1) / s->warp.rows;
	size_t limit = (size_t)s->dev->shared_max - TQC_STATIC_SHARED_MAX;
	unsigned warps, best = 1, most = 0, resident;

	for (warps = TQC_WARP_THREADS / 32; warps; warps--) {
		l->threads = 32 * warps;
		l->shared = tables + warps * (size_t)s->warp.room;
		resident = tqc_resident(s->dev, l);
		if (l->shared <= limit && resident * warps > most) {
			most = resident * warps;
			best = warps;
		}
	}
	l->threads = 32 * best;
	l->shared = tables + best * (size_t)s->warp.room;
	l->gx = blocks_for(s->dev, (tiles + best - 1) / best, most / best);
}

/* Searches of a trellis: a warp to each segment of a row, or of two rows, as shared memory allows */
static unsigned trellis_launch(const struct tqc_plan_state *s, size_t n, struct tqc_launch *l)
{
	const struct tqc_plan *p = &s->plan;
	unsigned window = s->window, bits = p->index_bits, warps = (p->dim + 127) / 128, together = TQC_TCQ_TOGETHER(window);
	size_t warp = TQC_TCQ_TOGETHER(window) * (size_t)TQC_TCQ_SEARCH(window, bits), line = 4 * (((size_t)p->dim + 3) & ~(size_t)3);
	size_t limit = (size_t)s->dev->shared_max - TQC_STATIC_SHARED_MAX;

	l->kernel = (enum tqc_kernel)((window == 9 ? id_tqc_encode_tcq_9_1 : id_tqc_encode_tcq_8_1) + (int)bits - 1);
	if (together > 1 && (together + 1) * line + warp > limit)
		together = 1;
	warps = warps > 8 ? 8 : warps;
	while (warps > 1 && (together + 1) * line + warps * warp > limit)
		warps--;
	l->threads = 32 * warps;
	l->shared = (together + 1) * line + warps * warp;
	l->gx = blocks_for(s->dev, (n + together - 1) / together, tqc_resident(s->dev, l));
	return together;
}

CUresult tqc_work_encode(const struct tqc_plan_state *s, CUstream stream, CUdeviceptr x, int dtype,
			 size_t stride, size_t n, CUdeviceptr codes)
{
	const struct tqc_plan *p = &s->plan;
	struct tqc_launch l = {s->radix ? id_tqc_encode_radix : id_tqc_encode, "encode", 0, 1, s->threads, s->encode_shared, stream};
	unsigned together = 1, share;
	void *params[] = {(void *)&s->plan, &x, &dtype, &stride, &n, &codes, s->warp.rows ? (void *)&s->warp : &together};
	int first, fit = p->correction >= TQ_CORR_NORM && p->correction <= TQ_CORR_UNBIASED;

	if (n == 0)
		return CU_SUCCESS;
	l.gx = blocks_for(s->dev, n, 16);
	if (s->window)
		together = trellis_launch(s, n, &l);
	if (is_short_rht(s) && p->effort == 0 && (p->index_bits < 3 || p->buckets) && is_aligned(x, stride * element_size(dtype)) &&
	    is_aligned(codes, 0)) {
		first = p->dim == 128 ? id_tqc_encode_128_1_0 : id_tqc_encode_64_1_0;
		l.kernel = (enum tqc_kernel)(first + 2 * ((int)p->index_bits - 1) + fit);
		share = TQC_ROWS_SHARE(p->dim);
		short_rht_launch(s, n, dtype, 4 * TQC_ROUND_FLOATS(p->dim, share) * share * p->rot.rounds +
					 TQC_BUCKETS * sizeof(struct tqc_bucket), &l);
	} else if (s->warp.rows) {
		first = p->planes == 2 ? id_tqc_encode_warp_2_0 : id_tqc_encode_warp_1_0;
		l.kernel = (enum tqc_kernel)(first + (p->effort && p->count > 2));
		warp_launch(s, n, s->warp.steps * sizeof(struct tqc_step) + p->count / 2 * sizeof(struct tqc_magnitude), &l);
	}
	return tqc_launch(s->dev, &l, params);
}

CUresult tqc_work_decode(const struct tqc_plan_state *s, CUstream stream, CUdeviceptr codes,
			 size_t n, CUdeviceptr x, int dtype, size_t stride)
{
	const struct tqc_plan *p = &s->plan;
	struct tqc_launch l = {s->radix ? id_tqc_decode_radix : id_tqc_decode, "decode", 0, 1, s->threads, s->decode_shared, stream};
	void *params[] = {(void *)&s->plan, &codes, &n, &x, &dtype, &stride, (void *)&s->warp};

	if (n == 0)
		return CU_SUCCESS;
	l.gx = blocks_for(s->dev, n, 16);
	if (s->window)
		l.kernel = id_tqc_decode_tcq;
	if (is_short_rht(s) && is_aligned(x, stride * element_size(dtype)) &&
	    is_aligned(codes, 0)) {
		l.kernel = (enum tqc_kernel)(
			(p->dim == 128 ? id_tqc_decode_128_1 : id_tqc_decode_64_1) +
			(int)p->index_bits - 1);
		short_rht_launch(s, n, dtype, 4 * TQC_BACK_FLOATS((size_t)p->dim, p->rot.rounds), &l);
	} else if (s->warp.rows) {
		l.kernel = id_tqc_decode_warp;
		warp_launch(s, n, p->count * sizeof(float), &l);
	}
	return tqc_launch(s->dev, &l, params);
}

CUresult tqc_work_query(const struct tqc_plan_state *s, CUstream stream, CUdeviceptr x,
			size_t stride, size_t nq, CUdeviceptr adds, CUdeviceptr prepared)
{
	CUmemcpy2D copy = {
		.source_type = CU_MEMORYTYPE_DEVICE, .source = adds, .source_pitch = sizeof(float),
		.type = CU_MEMORYTYPE_DEVICE, .x = offsetof(struct tqc_query_head, add), .to = prepared,
		.pitch = s->plan.query_bytes, .width = sizeof(float), .height = nq,
	};
	struct tqc_launch l = {id_tqc_query, "query_prepare",  0,     1,
			       s->threads,   s->encode_shared, stream};
	void *params[] = {(void *)&s->plan, &x, &stride, &nq, &prepared};

	CUresult err;

	if (nq == 0)
		return CU_SUCCESS;
	l.gx = blocks_for(s->dev, nq, 16);
	err = tqc_launch(s->dev, &l, params);
	return err || !adds ? err : s->dev->api.copy_2d(&copy, stream);
}

CUresult tqc_work_check(const struct tqc_plan_state *s, CUstream stream, CUdeviceptr x, int dtype,
			size_t stride, size_t n, CUdeviceptr first)
{
	struct tqc_launch l = {id_tqc_check, "check", 0, 1, 256, 0, stream};
	void *params[] = {(void *)&s->plan, &x, &dtype, &stride, &n, &first};

	l.gx = blocks_for(s->dev, (n + 7) / 8, 8);
	return n ? tqc_launch(s->dev, &l, params) : CU_SUCCESS;
}

/* ---- scores ---- */

/* Tensor cores: integer queries, levels, no sketch, tiles that start at a multiple of 16; trellises of whole eights */
static int is_for_mma(const struct tqc_plan_state *s, CUdeviceptr codes, size_t n,
		      const struct tqc_batch *batch)
{
	const struct tqc_plan *p = &s->plan;

	return !s->radix && p->query != TQ_QUERY_F32 && p->index_bits >= 1 && !p->has_sketch &&
	       n < (1ull << 31) && is_aligned(codes, batch->code_stride) && !(s->window && p->dim % 8);
}

/* Columns of 8: as many tiles of them as the queries need, 1, 2 or 8; shared memory decides on
 * warps */
static int mma_launch(const struct tqc_plan_state *s, size_t nq, size_t n, size_t count,
		      struct tqc_launch *l, unsigned *tiles, unsigned *room)
{
	const struct tqc_plan *p = &s->plan;
	unsigned planes = p->query == TQ_QUERY_S16 ? 2 : 1, steps = (p->dim + 31) / 32, warps = 8,
		 blocks;
	size_t table = s->window ? TQC_TCQ_TABLE(s->window, p->index_bits) : 0, columns = nq * planes, each;
	size_t limit = (size_t)s->dev->shared_max - TQC_STATIC_SHARED_MAX - table;
	int known, words, base, turn;

	*tiles = columns <= 8 ? 1 : columns <= 16 ? 2 : 8;
	*room = (16 * p->row_bytes + 64 + 15) & ~15u;
	known = (s->window || p->index_bits == 4) && p->planes == 1 && p->dim == 128 && planes == 1 && *tiles <= 2;
	each = (size_t)TQC_SCORE_STAGES(known) * *room;
	while (*tiles > 1 && 256 * (size_t)*tiles * steps + each > limit)
		*tiles = *tiles == 8 ? 2 : 1;
	while (warps && 256 * (size_t)*tiles * steps + warps * each > limit)
		warps--;
	if (!warps)
		return 0;
	turn = *tiles == 1 ? 0 : *tiles == 2 ? 1 : 2;
	words = p->scale == TQ_F32 && p->row_bytes % 4 == 0 && p->section[0].at % 4 == 0;
	if (s->window)
		base = id_tqc_score_tcq_1_1_1 + 8 * ((int)p->index_bits - 1) + (known ? 6 : planes == 2 ? 3 : 0);
	else if (known)
		base = words ? id_tqc_score_d128_1_words : id_tqc_score_d128_1;
	else if (p->index_bits == 4 && p->planes == 1 && planes == 1 && words)
		base = id_tqc_score_4_1_words;
	else if (p->index_bits > 4)
		base = id_tqc_score_8_1_1 + (planes == 2 ? 3 : 0);
	else
		base = id_tqc_score_1_1_1 + 6 * ((int)p->index_bits - 1) + (planes == 2 ? 3 : 0);
	l->kernel = (enum tqc_kernel)(base + turn);
	l->threads = 32 * warps;
	l->shared = table + 256 * (size_t)*tiles * steps + warps * each;
	blocks = tqc_resident(s->dev, l);
	each = (size_t)s->dev->processors * blocks / count;
	l->gx = (unsigned)((n + 16 * (size_t)warps - 1) / (16 * (size_t)warps));
	if (l->gx > each)
		l->gx = each ? (unsigned)each : 1;
	l->gy = (unsigned)count;
	return 1;
}

static CUresult score_mma(const struct tqc_plan_state *s, CUdeviceptr prepared, size_t nq,
			  CUdeviceptr codes, size_t n, CUdeviceptr scores, size_t ld, size_t count,
			  struct tqc_batch batch, struct tqc_launch *l, unsigned tiles,
			  unsigned room)
{
	const struct tqc_plan *p = &s->plan;
	size_t at, most = 8 * tiles / (p->query == TQ_QUERY_S16 ? 2 : 1);
	CUresult err = CU_SUCCESS;

	for (at = 0; at < nq && !err; at += most) {
		unsigned some = (unsigned)(nq - at < most ? nq - at : most);
		CUdeviceptr q = prepared + at * p->query_bytes, out = scores + 4 * at * ld;
		void *params[] = {(void *)&s->plan, &q,	  &some, &codes, &n, &out, &ld,
				  &batch,	    &room};

		err = tqc_launch(s->dev, l, params);
	}
	return err;
}

CUresult tqc_work_score(const struct tqc_plan_state *s, CUstream stream, CUdeviceptr prepared,
			size_t nq, CUdeviceptr codes, size_t n, CUdeviceptr scores, size_t ld,
			size_t count, const struct tqc_batch *batch)
{
	struct tqc_launch l = {s->window ? id_tqc_score_tcq : s->radix ? id_tqc_score_radix : id_tqc_score, "score", 0, 1, 256, 0, stream};
	unsigned some = (unsigned)nq, tiles, room;
	CUresult err = CU_SUCCESS;
	CUdeviceptr ids = 0;
	size_t i;

	if (nq == 0 || n == 0)
		return CU_SUCCESS;
	if (is_for_mma(s, codes, n, batch) && mma_launch(s, nq, n, count, &l, &tiles, &room))
		return score_mma(s, prepared, nq, codes, n, scores, ld, count, *batch, &l, tiles,
				 room);
	l.gx = blocks_for(s->dev, (n + 7) / 8, 8);
	for (i = 0; i < count && !err; i++) {
		void *params[] = {(void *)&s->plan, &prepared, &some, &codes, &ids, &n,
				  &scores,	    &ld};

		err = tqc_launch(s->dev, &l, params);
		prepared += batch->query_stride;
		codes += batch->code_stride;
		scores += 4 * batch->score_stride;
	}
	return err;
}
