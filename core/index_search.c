/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Search of an index. Without partitions a batch of queries goes over every segment together; with them
 * each query goes over the segments of its own partitions. Either way segment after segment is added to the
 * same heaps of results, in terms of the key of index.h.
 */

#include <math.h>
#include "index_stage.h"
#include "args.h"
#include "fetch.h"
#include "heap.h"
#include "parallel.h"

#define QUERIES_PER_BLOCK 1024
#define FETCH_BYTES 16384

/* ---- queries ---- */

int tq_index_check_options(const struct tq_index *ix, const struct tq_index_search_options *o)
{
	if (o && o->struct_size != sizeof(*o))
		return tq_fail(TQ_ERR_ARG, "options->struct_size is %u, expected %zu",
			       o->struct_size, sizeof(*o));
	if (o && o->rerank && !o->fetch && !ix->fine)
		return tq_fail(TQ_ERR_ARG, "options->fetch is NULL, but rerank is %zu, and there are no second codes",
			       o->rerank);
	if (o && !(o->exactness >= 0.0f && o->exactness <= 1.0f))
		return tq_fail(TQ_ERR_ARG, "options->exactness: %g is not in 0..1", (double)o->exactness);
	return TQ_OK;
}

int tq_index_check_adds(const float *adds, size_t n, size_t each)
{
	size_t i;

	for (i = 0; i < n; i++)
		if ((tq_f32_bits(adds[i]) & 0x7f800000u) == 0x7f800000u)
			return tq_fail_row(TQ_ERR_RANGE, i / each,
					   "x: row %zu: its square exceeds a float", i / each);
	return TQ_OK;
}

/* What will be read of a partition soon: its centroid, and where its rows are */
static void fetch_partition(const struct tq_index *ix, int64_t list)
{
	tq_fetch(tq_index_centre(ix, (uint32_t)list), ix->dim * sizeof(float));
	tq_fetch(ix->lists[list].segments, sizeof(*ix->lists[list].segments));
}

int tq_index_prepare(const struct tq_index *ix, const float *x, const int64_t *lists, size_t nprobe,
		     float *work, void *prepared, void *sign)
{
	float *y = work + nprobe;
	size_t i;
	int ret;

	for (i = 0; i < nprobe; i++) {
		if (i + 1 < nprobe)
			fetch_partition(ix, lists[i + 1]);
		work[i] = tq_index_add_of(ix, x, (uint32_t)lists[i]);
	}
	ret = tq_index_check_adds(work, nprobe, nprobe);
	if (ret)
		return ret;
	/* without partitions the codec takes the mean off */
	for (i = 0; i < ix->dim; i++)
		y[i] = ix->centroids ? x[i] - ix->mean[i] : x[i];
	ret = tq_query_prepare_adds(ix->q, y, ix->dim, 1, work, tq_index_queries(ix, nprobe), prepared);
	if (!ret && sign)
		ret = tq_query_prepare_adds(ix->sign, y, ix->dim, 1, work, 1, sign);
	return ret;
}

/* ---- filters ---- */

static bool passes(const struct tq_index_search_options *o, int64_t id)
{
	if (o->filter && ((uint64_t)id >= o->filter_bits || !(o->filter[id / 64] >> id % 64 & 1)))
		return false;
	return !o->allow || o->allow(o->allow_arg, id);
}

bool tq_index_has_filter(const struct tq_index_search_options *o)
{
	return o && (o->filter || o->allow);
}

const uint64_t *tq_index_filter(const struct tq_index_segment *s,
				const struct tq_index_search_options *o, uint64_t *bits)
{
	uint32_t i;

	if (!tq_index_has_filter(o))
		return s->live;
	memset(bits, 0, ((size_t)s->n + 63) / 64 * sizeof(*bits));
	for (i = 0; i < s->n; i++)
		if (tq_index_is_live(s, i) && passes(o, s->ids[i]))
			bits[i / 64] |= UINT64_C(1) << i % 64;
	return bits;
}

size_t tq_index_filter_words(const struct tq_index *ix, const struct tq_index_search_options *o)
{
	uint32_t list, i, most = 0;

	if (!tq_index_has_filter(o))
		return 0;
	for (list = 0; list < ix->nlist; list++)
		for (i = 0; i < ix->lists[list].nsegments; i++)
			if (ix->lists[list].segments[i].n > most)
				most = ix->lists[list].segments[i].n;
	return ((size_t)most + 63) / 64;
}

/* ---- the scan ---- */

/**
 * struct search - a block of queries
 * @x:    packed or not, scaled to norm 1 with cos
 * @keys: of the results
 * @lists: @nprobe of each query, with partitions
 * @sign: queries for two stages, or NULL; @reach of each
 * @lanes: for each lane a struct of scratch memory of @lane_bytes: packed queries, then @work_bytes
 *         for tq_index_prepare(), then @sign_bytes for a query in two stages, then the words of a filter
 * @one:   partitions are scanned for one query each, in the thread that has it
 * @staged: and in two stages
 */
struct search {
	const struct tq_index *ix;
	const struct tq_index_search_options *o;
	const float *x;
	size_t stride, nq, k, nprobe;
	int64_t *ids;
	float *keys;
	int64_t *lists;
	char *sign;
	float *reach;
	char *lanes;
	size_t lane_bytes, packed_bytes, work_bytes, sign_bytes;
	bool one, staged;
};

/* The segment's rows for some queries at a time */
static int scan_staged(const struct search *s, const struct tq_index_segment *segment, const char *prepared,
		       const uint64_t *filter)
{
	struct tq_index_stage what = {.filter = filter, .k = s->k};
	size_t i, n, in_full = 0;
	int ret = TQ_OK;

	for (i = 0; !ret && i < s->nq; i += n) {
		n = s->nq - i < TQ_STAGE_QUERIES ? s->nq - i : TQ_STAGE_QUERIES;
		what.packed = prepared + i * tq_query_size(s->ix->q);
		what.sign = s->sign + i * tq_query_size(s->ix->sign);
		what.reach = s->reach + i;
		ret = tq_index_stage(s->ix, segment, &what, n, s->ids + i * s->k, s->keys + i * s->k, &in_full);
	}
	if (!ret)
		tq_index_stages_paid(s->ix, s->o, s->nq, segment->n * s->nq, in_full);
	return ret;
}

static int scan_list(const struct search *s, uint32_t list, const void *prepared, size_t first,
		     size_t nq, uint64_t *bits)
{
	const struct tq_index_list *l = &s->ix->lists[list];
	const struct tq_index_segment *segment;
	struct tq_top_k_options o = {.struct_size = sizeof(o)};
	uint32_t i;
	int ret = TQ_OK;

	for (i = 0; !ret && i < l->nsegments; i++) {
		segment = &l->segments[i];
		if (!segment->n)
			continue;
		o.ids = segment->ids;
		o.filter = tq_index_filter(segment, s->o, bits);
		if (s->sign && tq_index_is_staged(s->ix, segment, s->o, nq)) {
			ret = scan_staged(s, segment, prepared, o.filter);
			continue;
		}
		if (s->one)
			tq_top_k_heap(s->ix->q, prepared, segment->codes, tq_index_in_blocks(s->ix, segment),
				      segment->n, s->k, &o, s->ids + first * s->k, s->keys + first * s->k);
		else
			ret = tq_top_k_heaps(s->ix->q, prepared, nq, segment->codes,
					     tq_index_in_blocks(s->ix, segment), segment->n, s->k, &o,
					     s->ids + first * s->k, s->keys + first * s->k);
	}
	return ret;
}

static bool wants_stages(const struct search *s)
{
	const struct tq_index_list *l = &s->ix->lists[0];
	uint32_t i;

	for (i = 0; s->ix->sign && i < l->nsegments; i++)
		if (tq_index_is_staged(s->ix, &l->segments[i], s->o, s->nq))
			return tq_index_stages_pay(s->ix, s->o, s->nq);
	return false;
}

/* The queries once more, for their signs; free() @sign */
static int prepare_signs(struct search *s, const float *adds)
{
	size_t bytes = s->nq * tq_query_size(s->ix->sign), i;

	s->sign = tq_alloc(s->ix->ctx, bytes + s->nq * sizeof(*s->reach));
	if (!s->sign)
		return TQ_ERR_NOMEM;
	s->reach = (float *)(void *)(s->sign + bytes);
	for (i = 0; i < s->nq; i++)
		s->reach[i] = tq_index_reach(s->ix, s->x + i * s->stride, s->o->exactness, s->k);
	return tq_query_prepare_adds(s->ix->sign, s->x, s->stride, s->nq, adds, 1, s->sign);
}

/* All queries over all rows */
static int scan_flat(struct search *s)
{
	float *adds = (float *)(s->lanes + s->packed_bytes);
	size_t i;
	int ret;

	for (i = 0; i < s->nq; i++)
		adds[i] = tq_index_add_of(s->ix, s->x + i * s->stride, 0);
	ret = tq_index_check_adds(adds, s->nq, 1);
	if (!ret)
		ret = tq_query_prepare_adds(s->ix->q, s->x, s->stride, s->nq, adds, 1, s->lanes);
	if (!ret && wants_stages(s))
		ret = prepare_signs(s, adds);
	if (!ret)
		ret = scan_list(s, 0, s->lanes, 0, s->nq,
				(uint64_t *)(s->lanes + s->packed_bytes + s->work_bytes + s->sign_bytes));
	tq_free(s->ix->ctx, s->sign);
	s->sign = NULL;
	return ret;
}

/* Ask for the head of a partition, that the one before it is scanned meanwhile: they lie far from each other */
static void fetch_list(const struct search *s, int64_t list)
{
	const struct tq_index_segment *segment;
	size_t bytes;

	if (!s->ix->lists[list].nsegments)
		return;
	segment = &s->ix->lists[list].segments[0];
	bytes = segment->n * s->ix->row_bytes;
	tq_fetch(segment->codes, bytes < FETCH_BYTES ? bytes : FETCH_BYTES);
}

/* Query @i over its partitions in two stages */
static void visit(const struct search *s, size_t i, char *packed, const float *adds, char *sign, uint64_t *bits)
{
	struct tq_index_visit what = {.o = s->o, .lists = s->lists + i * s->nprobe, .adds = adds, .nprobe = s->nprobe,
				      .k = s->k, .packed = packed, .sign = sign, .bits = bits};

	what.reach = tq_index_reach(s->ix, s->x + i * s->stride, s->o->exactness, s->k);
	tq_index_visit(s->ix, &what, s->ids + i * s->k, s->keys + i * s->k);
}

/* Each query over its partitions */
static int scan_probed(void *arg, uint32_t lane, size_t first, size_t n)
{
	const struct search *s = arg;
	char *packed = s->lanes + lane * s->lane_bytes;
	float *work = (float *)(void *)(packed + s->packed_bytes);
	char *sign = s->staged ? packed + s->packed_bytes + s->work_bytes : NULL;
	uint64_t *bits = (uint64_t *)(packed + s->packed_bytes + s->work_bytes + s->sign_bytes);
	size_t i, j;
	int ret = TQ_OK;

	for (i = first; !ret && i < first + n; i++) {
		const int64_t *lists = s->lists + i * s->nprobe;

		ret = tq_index_prepare(s->ix, s->x + i * s->stride, lists, s->nprobe, work, packed, sign);
		if (ret)
			return tq_index_fail_at(ret, i);
		if (sign)
			visit(s, i, packed, work, sign, bits);
		for (j = 0; !sign && !ret && j < s->nprobe; j++) {
			if (j + 1 < s->nprobe)
				fetch_list(s, lists[j + 1]);
			ret = scan_list(s, (uint32_t)lists[j], tq_index_query(s->ix, packed, work, j), i, 1, bits);
		}
	}
	if (!ret && s->staged)
		ret = tq_pipeline_failed(&s->ix->sign->pipe);
	return ret ? ret : tq_pipeline_failed(&s->ix->q->pipe);
}

/* Are the partitions of a query scanned in two stages? */
static bool visits(const struct search *s)
{
	const struct tq_index *ix = s->ix;

	return s->one && ix->sign && ix->add_at != SIZE_MAX && ix->sign_add_at != SIZE_MAX &&
	       tq_index_wants_stages(s->o);
}

static int search_block(struct search *s)
{
	struct tq_context *ctx = s->ix->ctx;
	size_t packs = s->ix->nlist > 1 ? s->nprobe : s->nq, i;
	uint32_t lanes = s->ix->nlist > 1 ? tq_rows_lanes(ctx, s->nq, 1) : 1;
	int ret = TQ_ERR_NOMEM;

	s->one = s->ix->nlist > 1 && s->ix->q->pipe.split_score;
	if (s->ix->nlist > 1 && !s->one)
		lanes = 1;
	s->staged = visits(s);
	s->sign_bytes = s->staged ? tq_query_size(s->ix->sign) : 0;
	s->packed_bytes = tq_index_queries(s->ix, packs) * tq_query_size(s->ix->q);
	s->work_bytes = tq_round_up((packs + s->ix->dim) * sizeof(float), 64);
	s->lane_bytes = s->packed_bytes + s->work_bytes + s->sign_bytes +
			tq_round_up(tq_index_filter_words(s->ix, s->o) * sizeof(uint64_t), 64);
	for (i = 0; i < s->nq; i++)
		tq_heap_clear(&(struct tq_heap){s->keys + i * s->k, s->ids + i * s->k, s->k});
	s->lanes = tq_alloc(ctx, lanes * s->lane_bytes);
	if (!s->lanes)
		return ret;
	if (s->ix->nlist == 1) {
		ret = scan_flat(s);
		goto out_free;
	}
	s->lists = tq_alloc(ctx, s->nq * s->nprobe * sizeof(*s->lists));
	if (!s->lists)
		goto out_free;
	ret = tq_index_probe_lists(s->ix, s->x, s->stride, s->nq, s->nprobe, s->lists);
	if (!ret)
		ret = tq_rows_run(ctx, s->nq, 1, lanes, scan_probed, s);
	tq_free(ctx, s->lists);
out_free:
	for (i = 0; i < s->nq; i++)
		tq_heap_sort(&(struct tq_heap){s->keys + i * s->k, s->ids + i * s->k, s->k}, TQ_NO_ID);
	tq_free(ctx, s->lanes);
	return ret;
}

/* The caller holds the lock. */
static int search_blocks(struct search *s, size_t nq)
{
	struct search b = *s;
	float *units = NULL;
	size_t first, i;
	int ret = TQ_OK;

	if (s->ix->metric == TQ_METRIC_COS) {
		units = tq_alloc(s->ix->ctx, (nq < QUERIES_PER_BLOCK ? nq : QUERIES_PER_BLOCK) *
						     s->ix->dim * sizeof(*units));
		if (!units)
			return TQ_ERR_NOMEM;
	}
	for (first = 0; !ret && first < nq; first += b.nq) {
		b.nq = nq - first < QUERIES_PER_BLOCK ? nq - first : QUERIES_PER_BLOCK;
		b.x = s->x + first * s->stride;
		b.stride = s->stride;
		b.ids = s->ids + first * s->k;
		b.keys = s->keys + first * s->k;
		if (units) {
			for (i = 0; i < b.nq; i++)
				tq_index_unit(b.x + i * s->stride, units + i * s->ix->dim, s->ix->dim);
			b.x = units;
			b.stride = s->ix->dim;
		}
		ret = search_block(&b);
		if (ret)
			ret = tq_index_fail_at(ret, first);
	}
	for (i = 0; !ret && s->ix->metric == TQ_METRIC_L2 && i < nq * s->k; i++)
		s->keys[i] = s->ids[i] < 0 ? INFINITY : -2.0f * s->keys[i];
	tq_free(s->ix->ctx, units);
	return ret;
}

int tq_index_check_call(const struct tq_index *ix, const float *x, size_t stride, size_t nq, size_t k,
			const int64_t *ids, const struct tq_index_search_options *o)
{
	int ret;

	TQ_CHECK_POINTER(ix);
	if (k < 1 || k > TQ_TOP_K_MAX)
		return tq_fail(TQ_ERR_ARG, "k: %zu is not in 1..%d", k, TQ_TOP_K_MAX);
	ret = tq_index_check_options(ix, o);
	if (!ret && o && o->rerank && (o->rerank < k || o->rerank > TQ_TOP_K_MAX))
		ret = tq_fail(TQ_ERR_ARG, "options->rerank: %zu is not in %zu..%d", o->rerank, k,
			      TQ_TOP_K_MAX);
	if (ret || nq == 0)
		return ret;
	TQ_CHECK_POINTER(x);
	TQ_CHECK_POINTER(ids);
	if (nq > PTRDIFF_MAX / (TQ_TOP_K_MAX * sizeof(*ids)))
		return tq_fail(TQ_ERR_ARG, "nq: %zu queries exceed memory", nq);
	ret = tq_index_check_rows(ix, stride, nq);
	return ret ? ret : tq_index_check_finite(ix, x, stride, nq);
}

int tq_index_search(const struct tq_index *index, const float *x, size_t stride, size_t nq,
		    size_t k, const struct tq_index_search_options *options, int64_t *ids,
		    float *scores)
{
	struct tq_index *ix = (struct tq_index *)(uintptr_t)index;
	bool rerank = options && options->struct_size == sizeof(*options) && options->rerank;
	struct search s = {.ix = index, .o = options, .x = x, .stride = stride, .ids = ids,
			   .keys = scores, .k = rerank ? options->rerank : k};
	int ret;

	ret = tq_index_check_call(index, x, stride, nq, k, ids, options);
	if (ret || nq == 0)
		return ret;
	if (rerank)
		s.ids = tq_alloc(ix->ctx, nq * s.k * sizeof(*ids));
	if (rerank || !scores)
		s.keys = tq_alloc(ix->ctx, nq * s.k * sizeof(*scores));
	ret = TQ_ERR_NOMEM;
	if (!s.ids || !s.keys)
		goto out_free;
	ret = rerank && !options->fetch ? tq_index_ids_make(ix) : TQ_OK;
	if (ret)
		goto out_free;
	pthread_rwlock_rdlock(&ix->lock);
	ret = tq_index_probe_count(ix, options, &s.nprobe);
	if (!ret && ix->nlist > 1 && !ix->centroids)
		ret = tq_fail(TQ_ERR_ARG, "index: has partitions and was not trained");
	if (!ret)
		ret = search_blocks(&s, nq);
	if (!ret && rerank && !options->fetch)
		ret = tq_index_rerank(ix, x, stride, nq, k, options, s.ids, ids, scores);
	pthread_rwlock_unlock(&ix->lock);
	if (!ret && rerank && options->fetch)
		ret = tq_index_rerank(ix, x, stride, nq, k, options, s.ids, ids, scores);
out_free:
	if (rerank || !scores)
		tq_free(ix->ctx, s.keys);
	if (rerank)
		tq_free(ix->ctx, s.ids);
	return ret;
}
