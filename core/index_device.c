/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A copy of an index's rows on a device, and scans of it: tq/device_index.h. Rows lie by ascending id, so that the
 * device's order of equal scores, by row, is that of ids. A query is prepared on the device, with the number to
 * add of index.h; keys come back, and become scores as those of the host do.
 */

#include <math.h>
#include <stdlib.h>
#include "args.h"
#include "device_codec.h"
#include "index_search.h"
#include "tq/device_index.h"

#define QUERIES 256
#define COPY_BYTES (4u << 20)
#define ALIGN 256

/** struct place - a row of the index: segment << 32 | row there */
struct place {
	int64_t id;
	uint64_t at;
};

/**
 * struct tq_device_index - rows on a device
 * @like:  an index without rows: metric, centre and codec
 * @codes: device memory
 * @ids:   @n of them, ascending
 * @lock:  one search at a time: they share @work, device memory of @work_bytes, and the queue
 */
struct tq_device_index {
	struct tq_context *ctx;
	struct tq_queue *queue;
	struct tq_index *like;
	struct tq_device_codec *codec;
	void *codes;
	int64_t *ids;
	size_t n;
	void *work;
	size_t work_bytes;
	pthread_mutex_t lock;
};

/* ---- rows ---- */

static int by_id(const void *a, const void *b)
{
	int64_t x = ((const struct place *)a)->id, y = ((const struct place *)b)->id;

	return (x > y) - (x < y);
}

/* The rows that count, by id; tq_free() @places */
static int find_rows(const struct tq_index *ix, struct place **places)
{
	const struct tq_index_list *l = &ix->lists[0];
	bool ascending = true;
	uint32_t i, row;
	size_t n = 0;

	if (ix->count > UINT32_MAX - 1)
		return tq_fail(TQ_ERR_FULL, "index: %llu rows are more than a device scans",
			       (unsigned long long)ix->count);
	*places = tq_alloc(ix->ctx, ix->count * sizeof(**places) + 1);
	if (!*places)
		return TQ_ERR_NOMEM;
	for (i = 0; i < l->nsegments; i++)
		for (row = 0; row < l->segments[i].n; row++)
			if (tq_index_is_live(&l->segments[i], row)) {
				(*places)[n].id = l->segments[i].ids[row];
				(*places)[n].at = (uint64_t)i << 32 | row;
				ascending = ascending && (n == 0 || (*places)[n - 1].id < (*places)[n].id);
				n++;
			}
	if (!ascending)
		qsort(*places, n, sizeof(**places), by_id);
	return TQ_OK;
}

static int copy_rows(struct tq_device_index *d, const struct tq_index *ix, const struct place *places)
{
	size_t row = ix->row_bytes, most = COPY_BYTES / row + 1, first, step, i;
	uint8_t *codes = tq_alloc(d->ctx, most * row);
	int ret = codes ? TQ_OK : TQ_ERR_NOMEM;

	for (first = 0; !ret && first < d->n; first += step) {
		step = d->n - first < most ? d->n - first : most;
		for (i = 0; i < step; i++) {
			tq_index_get_code(ix, &ix->lists[0].segments[places[first + i].at >> 32],
					  (uint32_t)places[first + i].at, codes + i * row);
			d->ids[first + i] = places[first + i].id;
		}
		tq_note(NULL);
		ret = d->codec->ops->copy_in(d->codec->state, tq_queue_where(d->queue),
					     (uint8_t *)d->codes + first * row, codes, step * row);
		if (ret)
			tq_fail(ret, "tq_device_index_create: %s", tq_noted(tq_status_text(ret)));
	}
	tq_free(d->ctx, codes);
	return ret;
}

/* For whoever holds the index's lock */
static int take_rows(struct tq_device_index *d, const struct tq_index *ix)
{
	struct place *places = NULL;
	int ret = find_rows(ix, &places);

	if (ret)
		return ret;
	d->n = ix->count;
	d->ids = tq_alloc(d->ctx, d->n * sizeof(*d->ids) + 1);
	ret = TQ_ERR_NOMEM;
	if (d->ids) {
		tq_note(NULL);
		ret = d->codec->ops->memory_alloc(d->codec->state, d->n * ix->row_bytes, &d->codes);
		if (ret)
			tq_fail(ret, "tq_device_index_create: %s", tq_noted(tq_status_text(ret)));
	}
	if (!ret)
		ret = copy_rows(d, ix, places);
	tq_free(d->ctx, places);
	return ret;
}

/* ---- life ---- */

int tq_device_index_create(const struct tq_index *index, struct tq_queue *queue, struct tq_device_index **out)
{
	struct tq_index *ix = (struct tq_index *)(uintptr_t)index;
	struct tq_device_index *d;
	int ret;

	TQ_CHECK_POINTER(index);
	TQ_CHECK_POINTER(queue);
	TQ_CHECK_POINTER(out);
	*out = NULL;
	if (ix->nlist > 1)
		return tq_fail(TQ_ERR_UNSUPPORTED, "index: has %u partitions; a device scans all rows", ix->nlist);
	d = tq_alloc(ix->ctx, sizeof(*d));
	if (!d)
		return TQ_ERR_NOMEM;
	d->ctx = ix->ctx;
	d->queue = queue;
	pthread_mutex_init(&d->lock, NULL);
	/* tq_index_train() and changes wait: rows and centre are of one moment */
	pthread_mutex_lock(&ix->change);
	ret = tq_index_create_like(ix, &d->like);
	if (!ret)
		ret = tq_device_codec_create(d->like->q, queue, &d->codec);
	if (!ret)
		ret = take_rows(d, ix);
	pthread_mutex_unlock(&ix->change);
	if (ret) {
		tq_device_index_destroy(d);
		return ret;
	}
	*out = d;
	return TQ_OK;
}

void tq_device_index_destroy(struct tq_device_index *index)
{
	struct tq_context *ctx;

	if (!index)
		return;
	ctx = index->ctx;
	if (index->codec) {
		index->codec->ops->memory_free(index->codec->state, index->work);
		index->codec->ops->memory_free(index->codec->state, index->codes);
	}
	tq_device_codec_destroy(index->codec);
	tq_index_destroy(index->like);
	tq_free(ctx, index->ids);
	pthread_mutex_destroy(&index->lock);
	tq_free(ctx, index);
}

/* ---- search ---- */

/**
 * struct block - some queries of a search: where their device memory is, in bytes from the start of @work
 * @room: host memory: the queries, scaled to norm 1 with cos, then their numbers to add
 */
struct block {
	size_t nq, k;
	float *room;
	size_t adds, prepared, ids, scores, scratch, bytes;
};

static void lay_out(const struct tq_device_index *d, size_t nq, size_t k, struct block *b)
{
	b->nq = nq;
	b->k = k;
	b->adds = nq * d->like->dim * sizeof(float);
	b->prepared = tq_round_up(b->adds + nq * sizeof(float), ALIGN);
	b->ids = tq_round_up(b->prepared + nq * tq_device_query_size(d->codec), ALIGN);
	b->scores = tq_round_up(b->ids + nq * k * sizeof(int64_t), ALIGN);
	b->scratch = tq_round_up(b->scores + nq * k * sizeof(float), ALIGN);
	b->bytes = b->scratch + tq_topk_scratch(d->codec, nq, d->n, k);
}

static int make_room(struct tq_device_index *d, size_t bytes)
{
	if (bytes <= d->work_bytes)
		return TQ_OK;
	d->codec->ops->memory_free(d->codec->state, d->work);
	d->work = NULL;
	d->work_bytes = 0;
	TQ_DEVICE_RUN("tq_device_index_search", d->codec->ops->memory_alloc(d->codec->state, bytes, &d->work));
	d->work_bytes = bytes;
	return TQ_OK;
}

/* Queries with the number to add of each */
static int load(const struct tq_device_index *d, const float *x, size_t stride, const struct block *b)
{
	size_t dim = d->like->dim, i;
	float *adds = b->room + b->nq * dim;

	for (i = 0; i < b->nq; i++) {
		if (d->like->metric == TQ_METRIC_COS)
			tq_index_unit(x + i * stride, b->room + i * dim, dim);
		else
			memcpy(b->room + i * dim, x + i * stride, dim * sizeof(float));
		adds[i] = tq_index_add_of(d->like, b->room + i * dim, 0);
	}
	return tq_index_check_adds(adds, b->nq, 1);
}

/* Row numbers and keys of the best */
static int scan(const struct tq_device_index *d, const struct block *b, int64_t *rows, float *keys)
{
	const struct tq_device_queue *where = tq_queue_where(d->queue);
	const struct tq_device_ops *ops = d->codec->ops;
	const void *state = d->codec->state;
	char *work = d->work;

	TQ_DEVICE_RUN("tq_device_index_search",
	    ops->copy_in(state, where, work, b->room, b->adds + b->nq * sizeof(float)));
	TQ_DEVICE_RUN("tq_device_index_search",
	    ops->query(state, where, (float *)(void *)work, d->like->dim, b->nq, (float *)(void *)(work + b->adds),
		       work + b->prepared));
	TQ_DEVICE_RUN("tq_device_index_search",
	    ops->topk(state, where, work + b->prepared, b->nq, d->codes, d->n, b->k,
		      (int64_t *)(void *)(work + b->ids), (float *)(void *)(work + b->scores), work + b->scratch));
	TQ_DEVICE_RUN("tq_device_index_search",
	    ops->copy_out(state, where, rows, work + b->ids, b->nq * b->k * sizeof(*rows)));
	TQ_DEVICE_RUN("tq_device_index_search",
	    ops->copy_out(state, where, keys, work + b->scores, b->nq * b->k * sizeof(*keys)));
	return TQ_OK;
}

static void finish(const struct tq_device_index *d, size_t n, int64_t *ids, float *scores)
{
	size_t i;

	for (i = 0; i < n; i++) {
		ids[i] = ids[i] < 0 ? TQ_NO_ID : d->ids[ids[i]];
		if (d->like->metric == TQ_METRIC_L2)
			scores[i] = ids[i] < 0 ? INFINITY : -2.0f * scores[i];
	}
}

static int search(struct tq_device_index *d, const float *x, size_t stride, size_t nq, size_t k, struct block *b,
		  int64_t *ids, float *scores)
{
	size_t first, n;
	int ret = TQ_OK;

	for (first = 0; !ret && first < nq; first += n) {
		n = nq - first < QUERIES ? nq - first : QUERIES;
		lay_out(d, n, k, b);
		ret = make_room(d, b->bytes);
		if (!ret)
			ret = load(d, x + first * stride, stride, b);
		if (!ret)
			ret = scan(d, b, ids + first * k, scores + first * k);
		if (ret)
			return tq_index_fail_at(ret, first);
		finish(d, n * k, ids + first * k, scores + first * k);
	}
	return ret;
}

int tq_device_index_search(struct tq_device_index *index, const float *x, size_t stride, size_t nq, size_t k,
			   int64_t *ids, float *scores)
{
	float *keys = scores;
	struct block b;
	int ret;

	TQ_CHECK_POINTER(index);
	if (k > TQ_TOPK_MAX)
		return tq_fail(TQ_ERR_ARG, "k: %zu is not in 1..%d", k, TQ_TOPK_MAX);
	ret = tq_index_check_call(index->like, x, stride, nq, k, ids, NULL);
	if (ret || nq == 0)
		return ret;
	b.room = tq_alloc(index->ctx, (nq < QUERIES ? nq : QUERIES) * ((size_t)index->like->dim + 1) * sizeof(float));
	if (!scores)
		keys = tq_alloc(index->ctx, nq * k * sizeof(*keys));
	ret = TQ_ERR_NOMEM;
	if (b.room && keys) {
		pthread_mutex_lock(&index->lock);
		ret = search(index, x, stride, nq, k, &b, ids, keys);
		pthread_mutex_unlock(&index->lock);
	}
	if (!scores)
		tq_free(index->ctx, keys);
	tq_free(index->ctx, b.room);
	return ret;
}
