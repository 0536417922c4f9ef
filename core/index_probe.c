/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which partitions a query looks at: those of the best keys among the centroids' codes, of equal ones the lower
 * number. Where many are wanted, codes of 4 bits choose nearly as well as those of 8 and are read in a fraction of the
 * time; where few are, it is by the codes that rows are assigned by, so that a row finds itself. All centroids are
 * scored, and the keys sorted into buckets of equal width between the worst and the best: only what is in the bucket
 * where the last wanted one falls is compared one by one. A heap would take longer than the scores do where hundreds
 * are wanted.
 */

#include <stdlib.h>
#include "args.h"
#include "index_search.h"
#include "parallel.h"

#define BUCKETS 1024
#define LANES 16
#define SCORES (1 << 18) /* in a group of queries */
#define QUERIES_MAX 64
#define MANY 16 /* probes */

int tq_index_probe_count(const struct tq_index *ix, const struct tq_index_search_options *o,
			 size_t *nprobe)
{
	*nprobe = o && o->nprobe ? o->nprobe : (ix->nlist + 7) / 8;
	if (*nprobe >= ix->nlist)
		*nprobe = ix->nlist;
	else if (*nprobe > TQ_TOP_K_MAX)
		return tq_fail(TQ_ERR_ARG, "options->nprobe: %zu is neither all %u partitions nor at "
			       "most %d", *nprobe, ix->nlist, TQ_TOP_K_MAX);
	return TQ_OK;
}

/**
 * struct probe - a group of queries
 * @packed: for @coarse
 * @keys:  of each, @n of them, which is how many partitions there are
 * @bucket: likewise, one set for each lane
 * @hits:  likewise
 * @lists: @nprobe for each query
 */
struct probe {
	const struct tq_index *coarse;
	size_t n, nprobe;
	char *packed;
	float *keys;
	uint16_t *bucket;
	struct tq_index_hit *hits;
	int64_t *lists;
};

/* In lanes, since one comparison waits for the one before it */
static void find_ends(const float *keys, size_t n, float *best, float *worst)
{
	float most[LANES], least[LANES];
	size_t i, j;

	for (j = 0; j < LANES; j++)
		most[j] = least[j] = keys[0];
	for (i = 0; i + LANES <= n; i += LANES)
		for (j = 0; j < LANES; j++) {
			most[j] = keys[i + j] > most[j] ? keys[i + j] : most[j];
			least[j] = keys[i + j] < least[j] ? keys[i + j] : least[j];
		}
	for (j = 0; i < n; i++, j++) {
		most[j] = keys[i] > most[j] ? keys[i] : most[j];
		least[j] = keys[i] < least[j] ? keys[i] : least[j];
	}
	for (j = 1; j < LANES; j++) {
		most[0] = most[j] > most[0] ? most[j] : most[0];
		least[0] = least[j] < least[0] ? least[j] : least[0];
	}
	*best = most[0];
	*worst = least[0];
}

/* The bucket of each key, the best in 0, and how many are in each: the order of buckets is that of keys */
static void fill_buckets(const float *keys, size_t n, uint16_t *bucket, uint32_t *count)
{
	float best, worst, scale, at;
	size_t i;

	find_ends(keys, n, &best, &worst);
	scale = (BUCKETS - 1) / (best - worst);
	/* all equal, or too far apart for a float */
	if (!(scale > 0.0f && scale <= 3.0e38f))
		scale = 0.0f;
	for (i = 0; i < n; i++) {
		at = (best - keys[i]) * scale;
		at = at < BUCKETS - 1 ? at : BUCKETS - 1;
		bucket[i] = (uint16_t)(int)at;
	}
	memset(count, 0, BUCKETS * sizeof(*count));
	for (i = 0; i < n; i++)
		count[bucket[i]]++;
}

/* The partitions of one query, roughly the best first */
static void choose(const struct probe *p, const float *keys, uint16_t *bucket, struct tq_index_hit *hits,
		   int64_t *lists)
{
	uint32_t at[BUCKETS], sum = 0, last, count;
	size_t i, m = 0;

	fill_buckets(keys, p->n, bucket, at);
	for (last = 0; sum + at[last] < p->nprobe; last++) {
		count = at[last];
		at[last] = sum;
		sum += count;
	}
	for (i = 0; i < p->n; i++) {
		if (bucket[i] < last)
			lists[at[bucket[i]]++] = (int64_t)i;
		else if (bucket[i] == last)
			hits[m++] = (struct tq_index_hit){keys[i], (int64_t)i};
	}
	/* keys are the higher the better with any metric */
	tq_index_sort_hits(hits, m, TQ_METRIC_IP);
	for (i = sum; i < p->nprobe; i++)
		lists[i] = hits[i - sum].id;
}

/* Keys of @nq queries from query @q on, one if in blocks; rows are 0 .. n - 1 in order, in segments of memory */
static int score_some(const struct probe *p, size_t q, size_t nq)
{
	const struct tq_index *ix = p->coarse;
	const char *packed = p->packed + q * tq_query_size(ix->q);
	const struct tq_index_segment *s;
	float *keys = p->keys + q * p->n;
	uint32_t i;
	int ret = TQ_OK;

	for (i = 0; !ret && i < ix->lists[0].nsegments; i++, keys += s->n) {
		s = &ix->lists[0].segments[i];
		ret = ix->block_bytes ? tq_score_blocks(ix->q, packed, s->codes, s->n, keys) :
					tq_score(ix->q, packed, nq, s->codes, s->n, keys, p->n);
	}
	return ret;
}

static int choose_some(void *arg, uint32_t lane, size_t first, size_t n)
{
	const struct probe *p = arg;
	int ret = TQ_OK;
	size_t i;

	for (i = first; !ret && i < first + n; i++) {
		if (p->coarse->block_bytes)
			ret = score_some(p, i, 1);
		if (!ret)
			choose(p, p->keys + i * p->n, p->bucket + lane * p->n, p->hits + lane * p->n,
			       p->lists + i * p->nprobe);
	}
	return ret;
}

static int probe(struct probe *p, const float *x, size_t stride, size_t nq, float *adds)
{
	struct tq_context *ctx = p->coarse->ctx;
	size_t i;
	int ret;

	for (i = 0; i < nq; i++)
		adds[i] = tq_index_add_of(p->coarse, x + i * stride, 0);
	ret = tq_index_check_adds(adds, nq, 1);
	if (!ret)
		ret = tq_query_prepare_adds(p->coarse->q, x, stride, nq, adds, 1, p->packed);
	if (!ret && !p->coarse->block_bytes)
		ret = score_some(p, 0, nq);
	return ret ? ret : tq_rows_split(ctx, nq, 1, choose_some, p);
}

int tq_index_probe_lists(const struct tq_index *ix, const float *x, size_t stride, size_t nq,
			 size_t nprobe, int64_t *lists)
{
	struct probe p = {.n = ix->nlist, .nprobe = nprobe};
	size_t group, lanes = tq_rows_lanes(ix->ctx, nq, 1), first, step, i;
	float *adds;
	int ret = TQ_ERR_NOMEM;

	for (i = 0; nprobe >= ix->nlist && i < nq * nprobe; i++)
		lists[i] = (int64_t)(i % nprobe);
	if (nprobe >= ix->nlist)
		return TQ_OK;
	p.coarse = nprobe < MANY || !ix->probe ? ix->coarse : ix->probe;
	group = SCORES / p.n;
	group = group < 1 ? 1 : group > QUERIES_MAX ? QUERIES_MAX : group;
	group = group < nq ? group : nq;
	p.packed = tq_alloc(ix->ctx, group * tq_query_size(p.coarse->q));
	adds = tq_alloc(ix->ctx, group * sizeof(*adds));
	p.keys = tq_alloc(ix->ctx, group * p.n * sizeof(*p.keys));
	p.bucket = tq_alloc(ix->ctx, lanes * p.n * sizeof(*p.bucket));
	p.hits = tq_alloc(ix->ctx, lanes * p.n * sizeof(*p.hits));
	if (p.packed && adds && p.keys && p.bucket && p.hits)
		ret = TQ_OK;
	for (first = 0; !ret && first < nq; first += step) {
		step = nq - first < group ? nq - first : group;
		p.lists = lists + first * nprobe;
		ret = probe(&p, x + first * stride, stride, step, adds);
		if (ret)
			ret = tq_index_fail_at(ret, first);
	}
	tq_free(ix->ctx, p.hits);
	tq_free(ix->ctx, p.bucket);
	tq_free(ix->ctx, p.keys);
	tq_free(ix->ctx, adds);
	tq_free(ix->ctx, p.packed);
	return ret;
}
