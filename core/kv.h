/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CORE_KV_H
#define TQ_CORE_KV_H

/*
 * The parts of a KV cache. kv.c makes it, kv_spec.c reads its specs, kv_format.c says where rows lie in a page,
 * kv_page.c has the pages, kv_slab.c where they lie, kv_seq.c the sequences, kv_append.c and kv_attend.c what is done
 * with them, kv_save.c and kv_restore.c their files.
 *
 * Two kinds of pages:
 *
 *	16-bit	keys of head 0, 1, ... then values of head 0, 1, ...; a token is one row of each
 *	coded	for each head: key rows, 16-bit tails of keys, value rows; each at a multiple of 64
 */

#include <pthread.h>
#include <stdatomic.h>
#include "codec.h"
#include "tq/kv.h"

/* Tokens that one part of an attend covers; also the most tokens of a page. */
#define TQ_KV_SPLIT 512
/* Query rows that go through a part together. */
#define TQ_KV_ROWS 16

/** A quantizer, with the driver of attend(grid) for it. One per distinct spec and dimension. */
struct tq_kv_codec {
	struct tq_kv_codec *next;
	struct tq_quantizer *q;
	struct tq_served attend;
};

/**
 * struct tq_kv_group - channels of a part that share a codec
 * @first:     where they begin in the part's order
 * @row_bytes: of a row of theirs
 * @at:        where their rows, of a whole page, begin in the part's
 */
struct tq_kv_group {
	struct tq_kv_codec *codec;
	uint32_t first;
	size_t row_bytes;
	size_t at;
};

/**
 * struct tq_kv_part - keys or values of one head
 * @groups:    0: in 16 bits; 1; 2: split
 * @order:     @dim channels, the first group's, then the rest's, each ascending; NULL unless split
 * @row_bytes: of a row, all groups
 */
struct tq_kv_part {
	uint32_t groups;
	struct tq_kv_group group[2];
	uint32_t *order;
	uint32_t dim;
	size_t row_bytes;
};

/** One KV head: what its rows are, and where they start in a coded page. */
struct tq_kv_head {
	struct tq_kv_part key, value;
	size_t key_at, tail_at, value_at;
};

/**
 * struct tq_kv_layer - the heads, and the centre of their keys
 * @coded_bytes: of a coded page; 0 if nothing of this layer is ever coded
 * @centred:     @centre is set, and never changes again
 */
struct tq_kv_layer {
	struct tq_kv_head *heads;
	size_t coded_bytes;
	atomic_bool centred;
	float *centre;
};

/** The cache. Read-only but for @used, @codecs while it is created, and centres under @lock. */
struct tq_kv {
	struct tq_context *ctx;
	struct tq_kv_options o;
	uint32_t group;	    /* query heads per KV head */
	uint32_t key_width; /* key_dim + key_raw_dim */
	uint32_t out_dim;   /* of an output: value_dim, or key_dim where that is 0 */
	size_t raw_bytes;   /* of a 16-bit page */
	size_t query_bytes; /* of a query prepared for all groups of a key: the most of any head */
	bool split;	    /* some part has two groups */
	struct tq_kv_codec *codecs;
	struct tq_kv_codec *base; /* serves 16-bit rows, and names files */
	struct tq_kv_layer *layers;
	pthread_mutex_t lock;
	_Atomic uint64_t used;
	struct tq_kv_slab *slabs; /* those with room for a page; under @lock */
};

struct tq_kv_page {
	struct tq_kv_slab *slab;
	atomic_uint refs;
	bool coded;
	size_t bytes;
	_Alignas(64) unsigned char data[];
};

/** @count tokens from position @start on, in rows @offset .. of a page. */
struct tq_kv_entry {
	struct tq_kv_page *page;
	uint64_t start;
	uint32_t offset;
	uint32_t count;
};

/** One layer of a sequence. @tokens is the position behind the last. */
struct tq_kv_run {
	struct tq_kv_entry *entries;
	size_t nentries, room;
	uint64_t tokens;
};

struct tq_kv_seq {
	struct tq_kv *kv;
	struct tq_kv_run runs[];
};

static inline uint64_t tq_kv_end(const struct tq_kv_entry *e)
{
	return e->start + e->count;
}

/** tq_kv_index - a layer or head, counted from the end where it is TQ_KV_LAST(n) */
static inline uint32_t tq_kv_index(uint32_t i, uint32_t n)
{
	return i >= TQ_KV_LAST(1024) ? i + n : i;
}

/**
 * struct tq_kv_code - what a spec of options, an override or a profile means
 * @groups:   0: rows stay in 16 bits; 1; 2: split
 * @spec:     of each group
 * @channels: a list of the first group's, up to a blank; in the text that was read
 */
struct tq_kv_code {
	uint32_t groups;
	struct tq_spec spec[2];
	const char *channels;
};

/**
 * tq_kv_spec - read a spec
 * @text:  over preset=cache; TQ_KV_RAW; NULL; "split=CHANNELS SPEC / SPEC"
 * @what:  for error texts
 * @value: of values, which take no qjl
 *
 * Return: TQ_OK; TQ_ERR_SPEC; TQ_ERR_UNSUPPORTED.
 */
int tq_kv_spec(const char *text, const char *what, bool value, struct tq_kv_code *code);

/**
 * tq_kv_order - the channels of a split
 * @code:  split
 * @what:  for error texts
 * @order: room for @dim channels: the first group's, then the rest's
 * @n:     receives how many the first group has
 *
 * Return: TQ_OK; TQ_ERR_SPEC.
 */
int tq_kv_order(const struct tq_kv_code *code, const char *what, uint32_t dim, uint32_t *order, uint32_t *n);

/** tq_kv_layout - specs to codecs, and the places of rows in pages */
int tq_kv_layout(struct tq_kv *kv);

/** tq_kv_raw_key, tq_kv_raw_value - a head's rows in a 16-bit page; @stride receives elements */
uint16_t *tq_kv_raw_key(const struct tq_kv *kv, struct tq_kv_page *page, uint32_t head,
			size_t *stride);
uint16_t *tq_kv_raw_value(const struct tq_kv *kv, struct tq_kv_page *page, uint32_t head,
			  size_t *stride);

/**
 * tq_kv_page_new - a page with one reference
 * @credit: bytes that the caller is about to give back
 *
 * Return: TQ_OK; TQ_ERR_FULL; TQ_ERR_NOMEM.
 */
int tq_kv_page_new(struct tq_kv *kv, uint32_t layer, bool coded, size_t credit,
		   struct tq_kv_page **page);
void tq_kv_page_get(struct tq_kv_page *page);
void tq_kv_page_put(struct tq_kv *kv, struct tq_kv_page *page);
static inline bool tq_kv_page_shared(const struct tq_kv_page *page)
{
	return atomic_load_explicit(&page->refs, memory_order_acquire) > 1;
}

/**
 * tq_kv_slab_take - room for a page of @bytes bytes of data, zeroed; its other members are the caller's
 * tq_kv_slab_give - and back
 * tq_kv_slabs_free - when no page is left
 */
struct tq_kv_page *tq_kv_slab_take(struct tq_kv *kv, size_t bytes);
void tq_kv_slab_give(struct tq_kv *kv, struct tq_kv_page *page);
void tq_kv_slabs_free(struct tq_kv *kv);

/** tq_kv_run_push - an entry at the end; TQ_ERR_NOMEM */
int tq_kv_run_push(struct tq_kv *kv, struct tq_kv_run *run, const struct tq_kv_entry *e);

/** tq_kv_run_rewind - forget what lies behind @tokens */
void tq_kv_run_rewind(struct tq_kv *kv, struct tq_kv_run *run, uint64_t tokens);

/** tq_kv_check_options - everything but the specs */
int tq_kv_check_options(const struct tq_context *ctx, const struct tq_kv_options *o);

#endif
