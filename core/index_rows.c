/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of an index, in and out. A change is made in three steps: code and check, while searches go on;
 * have room for everything, so that nothing can fail any more; then, with the searches held off, put it
 * where they see it.
 */

#include <stdlib.h>
#include "args.h"
#include "index_stage.h"

#define SEGMENT_ROWS_MIN 64

/* ---- segments ---- */

struct tq_index_segment *tq_index_segment_of(const struct tq_index_list *list, uint32_t row)
{
	uint32_t lo = 0, hi = list->nsegments - 1, mid;

	while (lo < hi) {
		mid = hi - (hi - lo) / 2;
		if (list->segments[mid].first <= row)
			lo = mid;
		else
			hi = mid - 1;
	}
	return &list->segments[lo];
}

void tq_index_put_code(const struct tq_index *ix, struct tq_index_segment *s, uint32_t row,
		       const uint8_t *code)
{
	if (tq_index_in_blocks(ix, s))
		tq_block_put(ix->q->plan, tq_index_block_of(ix, s, row), row % TQ_BLOCK_ROWS, code);
	else
		memcpy(s->codes + row * ix->row_bytes, code, ix->row_bytes);
}

void tq_index_get_code(const struct tq_index *ix, const struct tq_index_segment *s, uint32_t row,
		       uint8_t *code)
{
	if (tq_index_in_blocks(ix, s))
		tq_block_get(ix->q->plan, tq_index_block_of(ix, s, row), row % TQ_BLOCK_ROWS, code);
	else
		memcpy(code, s->codes + row * ix->row_bytes, ix->row_bytes);
}

static size_t codes_size(const struct tq_index *ix, size_t room)
{
	if (ix->block_bytes)
		return (room + TQ_BLOCK_ROWS - 1) / TQ_BLOCK_ROWS * ix->block_bytes;
	return tq_round_up(room * ix->row_bytes, 64);
}

static int push_segment(struct tq_index *ix, struct tq_index_list *list, uint32_t room)
{
	size_t codes = codes_size(ix, room);
	size_t fine = tq_round_up((size_t)room * ix->fine_bytes, 64), signs = 0, error = 0;
	struct tq_index_segment *more, *old = list->segments;
	uint32_t slots = list->room ? 2 * list->room : 4;
	char *memory;

	if (ix->sign) {
		signs = (room + TQ_BLOCK_ROWS - 1) / TQ_BLOCK_ROWS * ix->sign->pipe.block_bytes;
		error = tq_round_up(room * sizeof(float), 64);
	}
	if (list->nsegments == list->room) {
		more = tq_alloc(ix->ctx, slots * sizeof(*more));
		if (!more)
			return TQ_ERR_NOMEM;
		if (old)
			memcpy(more, old, list->nsegments * sizeof(*more));
		/* the array moves, what it describes does not */
		pthread_rwlock_wrlock(&ix->lock);
		list->segments = more;
		list->room = slots;
		pthread_rwlock_unlock(&ix->lock);
		tq_free(ix->ctx, old);
	}
	memory = tq_index_slab_take(ix, codes + fine + signs + error + (size_t)room * sizeof(int64_t));
	if (!memory)
		return TQ_ERR_NOMEM;
	pthread_rwlock_wrlock(&ix->lock);
	list->segments[list->nsegments++] = (struct tq_index_segment){
		.codes = (uint8_t *)memory, .fine = ix->fine ? (uint8_t *)memory + codes : NULL,
		.signs = ix->sign ? (uint8_t *)memory + codes + fine : NULL,
		.error = ix->sign ? (float *)(void *)(memory + codes + fine + signs) : NULL,
		.ids = (int64_t *)(void *)(memory + codes + fine + signs + error), .room = room,
		.first = UINT32_MAX, .owned = true};
	pthread_rwlock_unlock(&ix->lock);
	return TQ_OK;
}

int tq_index_list_room(struct tq_index *ix, uint32_t number, size_t n)
{
	struct tq_index_list *list = &ix->lists[number];
	size_t have = 0, room;
	uint32_t i;

	for (i = list->open; i < list->nsegments; i++)
		have += list->segments[i].room - list->segments[i].n;
	if (have >= n)
		return TQ_OK;
	if (n > UINT32_MAX - (size_t)list->rows)
		return tq_fail(TQ_ERR_FULL, "a partition would have more than %u rows", UINT32_MAX);
	/* as many as there are already, so that there are few segments, each of a size worth a scan */
	room = list->rows > TQ_INDEX_SEGMENT_ROWS ? TQ_INDEX_SEGMENT_ROWS : list->rows;
	if (room < SEGMENT_ROWS_MIN)
		room = SEGMENT_ROWS_MIN;
	if (room < n - have)
		room = n - have;
	return push_segment(ix, list, (uint32_t)room);
}

int tq_index_list_fit(struct tq_index *ix, uint32_t number, uint32_t n)
{
	return n ? push_segment(ix, &ix->lists[number], n) : TQ_OK;
}

void tq_index_lists_free(struct tq_index *ix)
{
	struct tq_index_list *list;
	uint32_t i, j;

	for (i = 0; ix->lists && i < ix->nlist; i++) {
		list = &ix->lists[i];
		for (j = 0; j < list->nsegments; j++)
			tq_free(ix->ctx, list->segments[j].live);
		tq_free(ix->ctx, list->segments);
	}
	tq_free(ix->ctx, ix->lists);
	ix->lists = NULL;
	tq_index_slabs_free(ix);
}

/* ---- steps of a change ---- */

static int compare_ids(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* No id twice in the call */
static int check_distinct(struct tq_index *ix, const int64_t *ids, size_t n)
{
	int64_t *sorted;
	size_t i;
	int ret = TQ_OK;

	for (i = 1; i < n && ids[i - 1] < ids[i]; i++)
		;
	if (i >= n)
		return TQ_OK;
	sorted = tq_alloc(ix->ctx, n * sizeof(*sorted));
	if (!sorted)
		return TQ_ERR_NOMEM;
	memcpy(sorted, ids, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), compare_ids);
	for (i = 1; !ret && i < n; i++)
		if (sorted[i - 1] == sorted[i])
			ret = tq_fail(TQ_ERR_ARG, "ids: %lld is given twice", (long long)sorted[i]);
	tq_free(ix->ctx, sorted);
	return ret;
}

/* Ascending ids above all that there ever were are new without looking. */
static bool are_above(const int64_t *ids, size_t n, int64_t next)
{
	size_t i;

	if (n && ids[0] < next)
		return false;
	for (i = 1; i < n && ids[i - 1] < ids[i]; i++)
		;
	return i >= n && (!n || ids[n - 1] < INT64_MAX);
}

int tq_index_check_ids(struct tq_index *ix, const int64_t *ids, size_t n, bool present)
{
	bool there;
	size_t i;
	int ret;

	if (!present && are_above(ids, n, ix->next_id))
		return TQ_OK;
	ret = tq_index_ids_ready(ix);
	for (i = 0; !ret && i < n; i++) {
		if (ids[i] < 0 || ids[i] == INT64_MAX)
			return tq_fail_row(TQ_ERR_ARG, i, "ids: row %zu: %lld is not in 0..2^63-2",
					   i, (long long)ids[i]);
		there = tq_index_ids_find(&ix->ids, ids[i]) != UINT64_MAX;
		if (present && !there)
			return tq_fail_row(TQ_ERR_RANGE, i, "ids: row %zu: %lld is not there", i,
					   (long long)ids[i]);
		if (!present && there)
			return tq_fail_row(TQ_ERR_ARG, i, "ids: row %zu: %lld is there already", i,
					   (long long)ids[i]);
	}
	return ret ? ret : check_distinct(ix, ids, n);
}

static int reserve(struct tq_index *ix, const struct tq_index_batch *b)
{
	uint32_t *counts, list;
	size_t i;
	int ret = TQ_OK;

	if (ix->ids.ready)
		ret = tq_index_ids_room(ix, b->n);
	if (ret || !b->lists)
		return ret ? ret : tq_index_list_room(ix, 0, b->n);
	counts = tq_alloc(ix->ctx, ix->nlist * sizeof(*counts));
	if (!counts)
		return TQ_ERR_NOMEM;
	for (i = 0; i < b->n; i++)
		counts[b->lists[i]]++;
	for (list = 0; !ret && list < ix->nlist; list++)
		if (counts[list])
			ret = tq_index_list_room(ix, list, counts[list]);
	tq_free(ix->ctx, counts);
	return ret;
}

/* Bits for the removed rows of the segments that these ids are in. */
static int reserve_live(struct tq_index *ix, const int64_t *ids, size_t n)
{
	struct tq_index_segment *s;
	uint64_t place, *live;
	size_t i, words;

	for (i = 0; i < n; i++) {
		place = tq_index_ids_find(&ix->ids, ids[i]);
		s = tq_index_segment_of(&ix->lists[place >> 32], (uint32_t)place);
		if (s->live)
			continue;
		words = ((size_t)s->room + 63) / 64;
		live = tq_alloc(ix->ctx, words * sizeof(*live));
		if (!live)
			return TQ_ERR_NOMEM;
		memset(live, 0xff, words * sizeof(*live));
		pthread_rwlock_wrlock(&ix->lock);
		s->live = live;
		pthread_rwlock_unlock(&ix->lock);
	}
	return TQ_OK;
}

/* The two that put it in place; the caller holds the lock. */
static void drop_rows(struct tq_index *ix, const int64_t *ids, size_t n)
{
	struct tq_index_segment *s;
	uint64_t place;
	uint32_t row;
	size_t i;

	for (i = 0; i < n; i++) {
		place = tq_index_ids_find(&ix->ids, ids[i]);
		s = tq_index_segment_of(&ix->lists[place >> 32], (uint32_t)place);
		row = (uint32_t)place - s->first;
		s->live[row / 64] &= ~(UINT64_C(1) << row % 64);
		tq_index_ids_drop(&ix->ids, ids[i]);
	}
	ix->count -= n;
	ix->removed += n;
}

static void put_rows(struct tq_index *ix, const struct tq_index_batch *b)
{
	size_t i, row_bytes = ix->row_bytes;
	struct tq_index_segment *s;
	struct tq_index_list *list;
	uint32_t number;

	for (i = 0; i < b->n; i++) {
		number = b->lists ? b->lists[i] : 0;
		list = &ix->lists[number];
		while (list->segments[list->open].n == list->segments[list->open].room)
			list->open++;
		s = &list->segments[list->open];
		if (!s->n)
			s->first = list->rows;
		tq_index_put_code(ix, s, s->n, b->codes + i * row_bytes);
		if (ix->fine)
			memcpy(s->fine + s->n * ix->fine_bytes, b->fine + i * ix->fine_bytes, ix->fine_bytes);
		if (ix->sign)
			tq_index_put_sign(ix, s, s->n, b->signs + i * tq_code_size(ix->sign), b->error[i]);
		s->ids[s->n++] = b->ids[i];
		if (ix->ids.ready)
			tq_index_ids_put(&ix->ids, b->ids[i], (uint64_t)number << 32 | list->rows);
		list->rows++;
		if (b->ids[i] >= ix->next_id)
			ix->next_id = b->ids[i] + 1;
	}
	ix->count += b->n;
}

/* The signs of a batch; free() its signs */
static int make_signs(struct tq_index *ix, struct tq_index_batch *b)
{
	size_t row = tq_code_size(ix->sign), at = tq_round_up(b->n * row, 64);
	uint8_t *signs = tq_alloc(ix->ctx, at + b->n * sizeof(float));

	if (!signs)
		return TQ_ERR_NOMEM;
	b->signs = signs;
	b->error = (float *)(void *)(signs + at);
	tq_index_sign_rows(ix, b->codes, b->n, signs, (float *)(void *)(signs + at));
	return TQ_OK;
}

static int change(struct tq_index *ix, enum tq_index_change_kind kind, const struct tq_index_batch *b)
{
	int ret = TQ_OK;

	if (kind != TQ_INDEX_REMOVE)
		ret = reserve(ix, b);
	if (!ret && kind != TQ_INDEX_ADD)
		ret = reserve_live(ix, b->ids, b->n);
	if (!ret && ix->log)
		ret = tq_index_log_put(ix, kind, b);
	if (ret)
		return ret;
	pthread_rwlock_wrlock(&ix->lock);
	if (kind != TQ_INDEX_ADD)
		drop_rows(ix, b->ids, b->n);
	if (kind != TQ_INDEX_REMOVE)
		put_rows(ix, b);
	pthread_rwlock_unlock(&ix->lock);
	return TQ_OK;
}

int tq_index_change(struct tq_index *ix, enum tq_index_change_kind kind,
		    const struct tq_index_batch *b)
{
	struct tq_index_batch with = *b;
	int ret;

	if (!ix->sign || kind == TQ_INDEX_REMOVE || !b->n)
		return change(ix, kind, b);
	ret = make_signs(ix, &with);
	if (!ret)
		ret = change(ix, kind, &with);
	tq_free(ix->ctx, (void *)(uintptr_t)with.signs);
	return ret;
}

/* ---- the calls ---- */

static int number_rows(struct tq_index *ix, size_t n, int64_t *ids)
{
	size_t i;

	if (n > (size_t)(INT64_MAX - ix->next_id))
		return tq_fail(TQ_ERR_FULL, "no ids are left above %lld", (long long)ix->next_id);
	for (i = 0; i < n; i++)
		ids[i] = ix->next_id + (int64_t)i;
	return TQ_OK;
}

/* @x to a batch whose memory is @room */
static int code_batch(struct tq_index *ix, const float *x, size_t stride, const int64_t *ids,
		      struct tq_index_batch *b, char *room)
{
	size_t codes = tq_round_up(b->n * ix->row_bytes, 64), fine = tq_round_up(b->n * ix->fine_bytes, 64);
	int64_t *numbers = (int64_t *)(room + codes + fine);
	uint32_t *lists = (uint32_t *)(numbers + b->n);
	int ret;

	b->codes = (uint8_t *)room;
	b->fine = (uint8_t *)room + codes;
	b->ids = ids;
	if (ix->nlist > 1) {
		ret = tq_index_assign(ix, x, stride, b->n, lists);
		if (ret)
			return ret;
		b->lists = lists;
	}
	ret = tq_index_code(ix, x, stride, b->n, b->lists, (uint8_t *)room, (uint8_t *)room + codes);
	if (!ret && !ids) {
		ret = number_rows(ix, b->n, numbers);
		b->ids = numbers;
	}
	return ret;
}

static int add_or_update(struct tq_index *ix, const float *x, size_t stride, size_t n,
			 const int64_t *ids, bool update)
{
	struct tq_index_batch b = {.n = n};
	char *room;
	int ret;

	TQ_CHECK_POINTER(ix);
	if (n == 0)
		return TQ_OK;
	TQ_CHECK_POINTER(x);
	ret = tq_index_check_rows(ix, stride, n);
	if (!ret)
		ret = tq_index_check_finite(ix, x, stride, n);
	if (ret)
		return ret;
	if (n > PTRDIFF_MAX / (ix->row_bytes + ix->fine_bytes + 64))
		return tq_fail(TQ_ERR_ARG, "n: %zu rows exceed memory", n);
	pthread_mutex_lock(&ix->change);
	ret = ix->nlist > 1 && !ix->centroids ?
		      tq_fail(TQ_ERR_ARG, "index: has partitions and was not trained") : TQ_OK;
	if (!ret && ids)
		ret = tq_index_check_ids(ix, ids, n, update);
	if (ret)
		goto out_unlock;
	room = tq_alloc(ix->ctx, n * (ix->row_bytes + ix->fine_bytes + sizeof(int64_t) + sizeof(uint32_t)) + 128);
	ret = room ? code_batch(ix, x, stride, ids, &b, room) : TQ_ERR_NOMEM;
	if (!ret)
		ret = tq_index_change(ix, update ? TQ_INDEX_UPDATE : TQ_INDEX_ADD, &b);
	tq_free(ix->ctx, room);
out_unlock:
	pthread_mutex_unlock(&ix->change);
	return ret;
}

int tq_index_add(struct tq_index *index, const float *x, size_t stride, size_t n,
		 const int64_t *ids)
{
	return add_or_update(index, x, stride, n, ids, false);
}

int tq_index_update(struct tq_index *index, const float *x, size_t stride, size_t n,
		    const int64_t *ids)
{
	if (n)
		TQ_CHECK_POINTER(ids);
	return add_or_update(index, x, stride, n, ids, true);
}

int tq_index_remove(struct tq_index *index, const int64_t *ids, size_t n)
{
	struct tq_index_batch b = {.n = n, .ids = ids};
	int ret;

	TQ_CHECK_POINTER(index);
	if (n == 0)
		return TQ_OK;
	TQ_CHECK_POINTER(ids);
	pthread_mutex_lock(&index->change);
	ret = tq_index_check_ids(index, ids, n, true);
	if (!ret)
		ret = tq_index_change(index, TQ_INDEX_REMOVE, &b);
	pthread_mutex_unlock(&index->change);
	return ret;
}

int tq_index_reserve(struct tq_index *index, size_t n)
{
	int ret;

	TQ_CHECK_POINTER(index);
	pthread_mutex_lock(&index->change);
	ret = index->ids.ready ? tq_index_ids_room(index, n) : TQ_OK;
	/* where rows of partitions will lie is not known */
	if (!ret && index->nlist == 1)
		ret = tq_index_list_room(index, 0, n);
	pthread_mutex_unlock(&index->change);
	return ret;
}

/* ---- merge ---- */

static bool alike(const struct tq_index *a, const struct tq_index *b)
{
	char x[TQ_SPEC_STRING_MAX], y[TQ_SPEC_STRING_MAX];
	size_t row = a->dim * sizeof(float);

	if (!a->fine != !b->fine)
		return false;
	if (a->fine && (tq_spec_print(&a->refine, x, sizeof(x)) || tq_spec_print(&b->refine, y, sizeof(y)) ||
			strcmp(x, y)))
		return false;
	return a->dim == b->dim && a->metric == b->metric && a->nlist == b->nlist &&
	       !tq_spec_print(&a->spec, x, sizeof(x)) && !tq_spec_print(&b->spec, y, sizeof(y)) &&
	       !strcmp(x, y) && !memcmp(a->mean, b->mean, row) &&
	       !a->centroids == !b->centroids &&
	       (!a->centroids || !memcmp(a->centroids, b->centroids, a->nlist * row));
}

/* The live rows of a segment; room for all of it in @codes, @fine, @ids and @lists. */
static size_t live_rows(const struct tq_index *from, uint32_t list,
			const struct tq_index_segment *s, uint8_t *codes, uint8_t *fine, int64_t *ids,
			uint32_t *lists)
{
	size_t row_bytes = from->row_bytes, n = 0;
	uint32_t i;

	for (i = 0; i < s->n; i++) {
		if (!tq_index_is_live(s, i))
			continue;
		tq_index_get_code(from, s, i, codes + n * row_bytes);
		if (from->fine)
			memcpy(fine + n * from->fine_bytes, s->fine + i * from->fine_bytes, from->fine_bytes);
		lists[n] = list;
		ids[n++] = s->ids[i];
	}
	return n;
}

/* First with @put false: are the ids new? */
static int merge_segments(struct tq_index *ix, const struct tq_index *from, bool put)
{
	const struct tq_index_segment *s;
	struct tq_index_batch b = {0};
	uint32_t list, i, *lists;
	uint8_t *codes, *fine;
	int64_t *ids;
	int ret = TQ_OK;

	for (list = 0; list < from->nlist; list++) {
		for (i = 0; !ret && i < from->lists[list].nsegments; i++) {
			s = &from->lists[list].segments[i];
			codes = tq_alloc(ix->ctx, s->n * (from->row_bytes + from->fine_bytes));
			fine = codes + s->n * from->row_bytes;
			ids = tq_alloc(ix->ctx, s->n * sizeof(*ids));
			lists = tq_alloc(ix->ctx, s->n * sizeof(*lists));
			ret = TQ_ERR_NOMEM;
			if (codes && ids && lists) {
				b.n = live_rows(from, list, s, codes, fine, ids, lists);
				b.ids = ids;
				b.codes = codes;
				b.fine = fine;
				b.lists = ix->nlist > 1 ? lists : NULL;
				ret = put ? tq_index_change(ix, TQ_INDEX_ADD, &b) : tq_index_check_ids(ix, ids, b.n, false);
			}
			tq_free(ix->ctx, lists);
			tq_free(ix->ctx, ids);
			tq_free(ix->ctx, codes);
		}
	}
	return ret;
}

int tq_index_merge(struct tq_index *index, const struct tq_index *from)
{
	struct tq_index *source = (struct tq_index *)(uintptr_t)from;
	int ret;

	TQ_CHECK_POINTER(index);
	TQ_CHECK_POINTER(from);
	if (index == from)
		return tq_fail(TQ_ERR_ARG, "from: is the index itself");
	/* always in the same order: two threads may merge each into the other's */
	pthread_mutex_lock(index < from ? &index->change : &source->change);
	pthread_mutex_lock(index < from ? &source->change : &index->change);
	ret = alike(index, from) ? TQ_OK :
				   tq_fail(TQ_ERR_UNSUPPORTED, "from: has other specs, another metric, centre or "
							       "partitions");
	if (!ret)
		ret = merge_segments(index, from, false);
	if (!ret)
		ret = merge_segments(index, from, true);
	pthread_mutex_unlock(&source->change);
	pthread_mutex_unlock(&index->change);
	return ret;
}

/* ---- reconstruct ---- */

int tq_index_reconstruct(const struct tq_index *index, const int64_t *ids, size_t n, float *x,
			 size_t stride)
{
	struct tq_index *ix = (struct tq_index *)(uintptr_t)index;
	uint64_t place;
	float *work;
	size_t i;
	int ret;

	TQ_CHECK_POINTER(index);
	if (n == 0)
		return TQ_OK;
	TQ_CHECK_POINTER(ids);
	TQ_CHECK_POINTER(x);
	ret = tq_index_check_rows(ix, stride, n);
	if (!ret)
		ret = tq_index_ids_make(ix);
	if (ret)
		return ret;
	work = tq_alloc(ix->ctx, ix->dim * sizeof(*work));
	if (!work)
		return TQ_ERR_NOMEM;
	pthread_rwlock_rdlock(&ix->lock);
	for (i = 0; !ret && i < n; i++) {
		place = tq_index_ids_find(&ix->ids, ids[i]);
		ret = place == UINT64_MAX ?
			      tq_fail_row(TQ_ERR_RANGE, i, "ids: row %zu: %lld is not there", i,
					  (long long)ids[i]) :
			      tq_index_decode(ix, place, x + i * stride, work);
	}
	pthread_rwlock_unlock(&ix->lock);
	tq_free(ix->ctx, work);
	return ret;
}
