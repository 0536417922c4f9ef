/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the pages of a KV cache lie: side by side in slabs that grow with the cache, up to four huge pages of
 * the system. A page alone is too small for one, and without them attention waits for the translation of
 * addresses: a cache is read once per token from end to end.
 */

#include "kv.h"

#define SLAB_MOST (4 * TQ_HUGE_PAGE)

/**
 * struct tq_kv_slab - pages of one size; in its cache's list while one of them is free
 * @free:  first page that was given back; in the data of each is the next one
 * @pages: how many there are; from number @fresh on none was ever taken or touched
 * @used:  pages that are taken
 */
struct tq_kv_slab {
	struct tq_kv_slab *next, *prev;
	struct tq_kv_page *free;
	size_t page_bytes, pages, fresh, used;
	unsigned char *memory;
};

static struct tq_kv_page **next_free(struct tq_kv_page *page)
{
	return (struct tq_kv_page **)(void *)page->data;
}

static void link_slab(struct tq_kv *kv, struct tq_kv_slab *s)
{
	s->prev = NULL;
	s->next = kv->slabs;
	if (s->next)
		s->next->prev = s;
	kv->slabs = s;
}

static void unlink_slab(struct tq_kv *kv, struct tq_kv_slab *s)
{
	if (s->next)
		s->next->prev = s->prev;
	if (s->prev)
		s->prev->next = s->next;
	else
		kv->slabs = s->next;
}

/* Bytes of a new slab: a page, or at most as much as is in use already and the limit has left */
static size_t slab_bytes(const struct tq_kv *kv, size_t page_bytes)
{
	uint64_t used = atomic_load(&kv->used), most = used;

	if (kv->o.byte_limit && most > kv->o.byte_limit - used)
		most = kv->o.byte_limit - used;
	most = most < SLAB_MOST ? most : SLAB_MOST;
#ifdef __SANITIZE_ADDRESS__
	most = 0; /* each page alone, for what lies around it */
#endif
	return most < TQ_HUGE_PAGE || most < page_bytes ? page_bytes : most / TQ_HUGE_PAGE * TQ_HUGE_PAGE;
}

static struct tq_kv_slab *new_slab(struct tq_kv *kv, size_t page_bytes)
{
	size_t bytes = slab_bytes(kv, page_bytes);
	struct tq_kv_slab *s = tq_alloc(kv->ctx, sizeof(*s));

	if (!s)
		return NULL;
	s->memory = tq_alloc_huge(kv->ctx, bytes);
	if (!s->memory) {
		tq_free(kv->ctx, s);
		return NULL;
	}
	s->page_bytes = page_bytes;
	s->pages = bytes / page_bytes;
	link_slab(kv, s);
	return s;
}

static void free_slab(struct tq_kv *kv, struct tq_kv_slab *s)
{
	unlink_slab(kv, s);
	tq_free(kv->ctx, s->memory);
	tq_free(kv->ctx, s);
}

static struct tq_kv_slab *find_slab(const struct tq_kv *kv, size_t page_bytes, const struct tq_kv_slab *but)
{
	struct tq_kv_slab *s;

	for (s = kv->slabs; s && (s->page_bytes != page_bytes || s == but); s = s->next)
		;
	return s;
}

static struct tq_kv_page *take_page(struct tq_kv_slab *s)
{
	struct tq_kv_page *page = s->free;

	s->used++;
	if (page) {
		s->free = *next_free(page);
		return page;
	}
	page = (struct tq_kv_page *)(void *)(s->memory + s->fresh++ * s->page_bytes);
	page->slab = s;
	return page;
}

struct tq_kv_page *tq_kv_slab_take(struct tq_kv *kv, size_t bytes)
{
	size_t page_bytes = (sizeof(struct tq_kv_page) + bytes + 63) / 64 * 64;
	struct tq_kv_page *page = NULL;
	struct tq_kv_slab *s;

	pthread_mutex_lock(&kv->lock);
	s = find_slab(kv, page_bytes, NULL);
	if (!s)
		s = new_slab(kv, page_bytes);
	if (s) {
		page = take_page(s);
		if (s->used == s->pages)
			unlink_slab(kv, s);
	}
	pthread_mutex_unlock(&kv->lock);
	if (page)
		memset(page->data, 0, bytes);
	return page;
}

void tq_kv_slab_give(struct tq_kv *kv, struct tq_kv_page *page)
{
	struct tq_kv_slab *s = page->slab;

	pthread_mutex_lock(&kv->lock);
	if (s->used == s->pages)
		link_slab(kv, s);
	*next_free(page) = s->free;
	s->free = page;
	/* the last of its size that has room is kept: the next page may be wanted soon */
	if (!--s->used && find_slab(kv, s->page_bytes, s))
		free_slab(kv, s);
	pthread_mutex_unlock(&kv->lock);
}

void tq_kv_slabs_free(struct tq_kv *kv)
{
	while (kv->slabs)
		free_slab(kv, kv->slabs);
}
