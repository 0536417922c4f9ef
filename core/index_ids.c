/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the row of an id is. The table is made when a call first needs it, so that a mapped index can be
 * searched without its ids being read.
 */

#include "index.h"

#define NONE INT64_C(-1)
#define SLOTS_MIN 64

static size_t slot_of(const struct tq_index_ids *ids, int64_t id)
{
	uint64_t h = (uint64_t)id * UINT64_C(0x9E3779B97F4A7C15);

	return (size_t)(h ^ h >> 32) & (ids->slots - 1);
}

/* The slot that has the id, or the free one where it would be. */
static size_t probe(const struct tq_index_ids *ids, int64_t id)
{
	size_t i = slot_of(ids, id);

	while (ids->keys[i] != id && ids->keys[i] != NONE)
		i = (i + 1) & (ids->slots - 1);
	return i;
}

uint64_t tq_index_ids_find(const struct tq_index_ids *ids, int64_t id)
{
	size_t i;

	if (!ids->slots || id < 0)
		return UINT64_MAX;
	i = probe(ids, id);
	return ids->keys[i] == id ? ids->places[i] : UINT64_MAX;
}

void tq_index_ids_put(struct tq_index_ids *ids, int64_t id, uint64_t place)
{
	size_t i = probe(ids, id);

	ids->used += ids->keys[i] == NONE;
	ids->keys[i] = id;
	ids->places[i] = place;
}

/* What stands behind a slot that becomes free moves up, if it may stand there. */
void tq_index_ids_drop(struct tq_index_ids *ids, int64_t id)
{
	size_t mask = ids->slots - 1, hole = probe(ids, id), i = hole, home;

	if (ids->keys[hole] == NONE)
		return;
	ids->used--;
	for (;;) {
		i = (i + 1) & mask;
		if (ids->keys[i] == NONE)
			break;
		home = slot_of(ids, ids->keys[i]);
		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		ids->keys[hole] = ids->keys[i];
		ids->places[hole] = ids->places[i];
		hole = i;
	}
	ids->keys[hole] = NONE;
}

void tq_index_ids_free(struct tq_context *ctx, struct tq_index_ids *ids)
{
	tq_free(ctx, ids->keys);
	tq_free(ctx, ids->places);
	memset(ids, 0, sizeof(*ids));
}

/* At least half of the slots stay free. */
static int grow(struct tq_context *ctx, struct tq_index_ids *ids, size_t n)
{
	struct tq_index_ids new = {.slots = SLOTS_MIN, .ready = ids->ready};
	size_t i;

	while (new.slots / 2 < n) {
		if (new.slots > SIZE_MAX / 32)
			return tq_fail(TQ_ERR_NOMEM, "out of memory: a table of %zu ids", n);
		new.slots *= 2;
	}
	if (new.slots <= ids->slots)
		return TQ_OK;
	new.keys = tq_alloc(ctx, new.slots * sizeof(*new.keys));
	new.places = tq_alloc(ctx, new.slots * sizeof(*new.places));
	if (!new.keys || !new.places) {
		tq_index_ids_free(ctx, &new);
		return TQ_ERR_NOMEM;
	}
	memset(new.keys, 0xff, new.slots * sizeof(*new.keys));
	for (i = 0; i < ids->slots; i++)
		if (ids->keys[i] != NONE)
			tq_index_ids_put(&new, ids->keys[i], ids->places[i]);
	tq_index_ids_free(ctx, ids);
	*ids = new;
	return TQ_OK;
}

int tq_index_ids_room(struct tq_index *ix, size_t n)
{
	int ret;

	if (n > SIZE_MAX / 64 - ix->ids.used)
		return tq_fail(TQ_ERR_NOMEM, "out of memory: a table of %zu ids", n);
	if (ix->ids.slots && ix->ids.slots / 2 >= ix->ids.used + n)
		return TQ_OK;
	/* readers look ids up under the lock */
	pthread_rwlock_wrlock(&ix->lock);
	ret = grow(ix->ctx, &ix->ids, ix->ids.used + n);
	pthread_rwlock_unlock(&ix->lock);
	return ret;
}

int tq_index_ids_make(struct tq_index *ix)
{
	bool ready;
	int ret;

	pthread_rwlock_rdlock(&ix->lock);
	ready = ix->ids.ready;
	pthread_rwlock_unlock(&ix->lock);
	if (ready)
		return TQ_OK;
	pthread_mutex_lock(&ix->change);
	ret = tq_index_ids_ready(ix);
	pthread_mutex_unlock(&ix->change);
	return ret;
}

static int put_segment(struct tq_index_ids *ids, uint32_t list, const struct tq_index_segment *s)
{
	uint32_t i;

	for (i = 0; i < s->n; i++) {
		if (!tq_index_is_live(s, i))
			continue;
		if (tq_index_ids_find(ids, s->ids[i]) != UINT64_MAX)
			return tq_fail(TQ_ERR_FORMAT, "id %lld is there twice",
				       (long long)s->ids[i]);
		tq_index_ids_put(ids, s->ids[i], (uint64_t)list << 32 | (s->first + i));
	}
	return TQ_OK;
}

int tq_index_ids_ready(struct tq_index *ix)
{
	struct tq_index_ids ids = {0};
	uint32_t list, i;
	int ret;

	if (ix->ids.ready)
		return TQ_OK;
	ret = grow(ix->ctx, &ids, ix->count);
	for (list = 0; !ret && list < ix->nlist; list++)
		for (i = 0; !ret && i < ix->lists[list].nsegments; i++)
			ret = put_segment(&ids, list, &ix->lists[list].segments[i]);
	if (ret) {
		tq_index_ids_free(ix->ctx, &ids);
		return ret;
	}
	ids.ready = true;
	pthread_rwlock_wrlock(&ix->lock);
	tq_index_ids_free(ix->ctx, &ix->ids);
	ix->ids = ids;
	pthread_rwlock_unlock(&ix->lock);
	return TQ_OK;
}
