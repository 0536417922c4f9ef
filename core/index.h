/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CORE_INDEX_H
#define TQ_CORE_INDEX_H

/*
 * The parts of a vector index. index.c makes it, index_rows.c puts rows in and out, index_slab.c has their memory,
 * index_ids.c knows where the row of an id is, index_code.c makes rows and queries to codes, index_probe.c chooses
 * partitions, index_search.c scans, index_stage.c in two stages by the signs of index_sign.c, index_visit.c likewise
 * some partitions, both with index_pass.c, ivf.c trains, index_file.c saves and opens, index_log.c makes changes durable.
 *
 * Scores. With m the mean, c the centroid of a row's partition (without partitions c = m), y = x - c
 * the vector that is coded, and <y, q - m> what the codes give, a scan computes
 *
 *	key = (<y, q - m> + add) + cross
 *
 *	ip, cos:  cross = <y, m>			add = <c, q>			score = key
 *	l2:	  cross = -|y|^2 / 2 - <y, c - m>	add = -|q - c|^2 / 2		score = -2 key
 *
 * cross is in the row, in the place that center=both has for it, and add is in the prepared query, so
 * a tq_top_k() of these finds the best of any metric.
 *
 * Second codes are of y less what the first decodes to. They lie in an array of their own, so that a scan
 * does not read them.
 */

#include <pthread.h>
#include <stdatomic.h>
#include "codec.h"
#include "tq/index.h"

struct tq_file;
struct tq_index_log;
struct tq_index_slab;

/* Rows that a segment of memory has at most, unless tq_index_reserve() asked for more. */
#define TQ_INDEX_SEGMENT_ROWS 65536

/**
 * struct tq_index_segment - rows of one partition that lie together and never move
 * @codes: @room rows, in blocks if @owned and the index has them so
 * @fine:  their second codes, if there are any
 * @signs, @error: what index_stage.h says, if the index is staged: blocks, and a float per row
 * @ids:   of each; negative: no row
 * @live:  bit r set: row r was not removed; NULL: all
 * @first: number of its first row in the partition; UINT32_MAX while it has none
 * @n:     rows that are there, removed ones too
 * @room:  rows that there is memory for
 * @owned: codes and ids are in memory of the index; else they lie in the file
 */
struct tq_index_segment {
	uint8_t *codes, *fine, *signs;
	float *error;
	int64_t *ids;
	uint64_t *live;
	uint32_t first, n, room;
	bool owned;
};

/** A partition. @open is the first segment that may have room. */
struct tq_index_list {
	struct tq_index_segment *segments;
	uint32_t nsegments, room, open;
	uint32_t rows;
};

/**
 * struct tq_index_slabs - memory of segments
 * @at:    what is left of the newest slab, @left bytes
 * @bytes: of the next
 */
struct tq_index_slabs {
	struct tq_index_slab *all;
	char *at;
	size_t left, bytes;
};

/**
 * struct tq_index_ids - where the row of an id is: a hash table with linear probing
 * @places: list << 32 | row in the list
 * @slots:  a power of two, or 0
 * @used:   ids in it
 * @ready:  it has all the ids of the index: it is made when first needed
 */
struct tq_index_ids {
	int64_t *keys;
	uint64_t *places;
	size_t slots, used;
	bool ready;
};

/**
 * struct tq_index_hard - when stages did not pay
 * @calls:     so many to come are scanned in full
 * @exactness: if they ask for as much as this
 */
struct tq_index_hard {
	_Atomic int32_t calls;
	_Atomic float exactness;
};

/**
 * struct tq_index - an index
 * @spec:      of the rows, center as in force
 * @row_bytes: of a code
 * @refine:    spec of the second codes, of @fine_bytes each, made by @fine; NULL and 0 without
 * @block_bytes: of 16 codes, if segments in memory are in blocks (tq/block.h); 0: they are rows
 * @staged:    wanted in two stages: @sign codes signs then, and codes are rows; NULL: there is no use for it
 * @hard:      what is known about that, of few queries and of batches; searches change it
 * @nlist:     partitions, at least 1
 * @q:         its centre is @mean without partitions, else zero
 * @mean:      m; zero where center=off
 * @centroids: @nlist of them, or NULL without partitions or before training
 * @coarse:    the centroids as rows of an index of 8 bits, likewise: which partition a row goes to
 * @probe:     the same of 4 bits: which partitions a query looks at, if they are many; NULL while it is trained
 * @add_at:    where in a packed query the number to add is, with @centroids; SIZE_MAX: not known
 * @sign_add_at: likewise for @sign
 * @file:      where segments without memory of their own lie, or NULL
 * @log:       changes go there, or NULL
 * @path:      the file that @log belongs to
 * @generation: of the saved file: a log of another one is not of this
 * @change:    held by whoever changes the index
 * @lock:      held for reading by searches, for writing while what they see changes
 */
struct tq_index {
	struct tq_context *ctx;
	struct tq_spec spec;
	uint32_t dim;
	uint32_t metric;
	uint32_t nlist;
	size_t row_bytes, block_bytes, fine_bytes;
	struct tq_spec refine;
	struct tq_quantizer *fine;
	char *driver;
	bool staged;
	struct tq_quantizer *q, *sign;
	struct tq_index_hard hard[2];
	float *mean;
	float *centroids;
	struct tq_index *coarse, *probe;
	size_t add_at, sign_add_at;
	struct tq_index_list *lists;
	struct tq_index_slabs slabs;
	struct tq_index_ids ids;
	uint64_t count, removed;
	int64_t next_id;
	struct tq_file *file;
	struct tq_index_log *log;
	char *path;
	uint64_t generation;
	pthread_mutex_t change;
	pthread_rwlock_t lock;
};

static inline bool tq_index_is_live(const struct tq_index_segment *s, uint32_t row)
{
	return s->ids[row] >= 0 && (!s->live || s->live[row / 64] >> row % 64 & 1);
}

/** tq_index_centre - c of a partition */
static inline const float *tq_index_centre(const struct tq_index *ix, uint32_t list)
{
	return ix->centroids ? ix->centroids + (size_t)list * ix->dim : ix->mean;
}

/* ---- index.c ---- */

/** tq_index_make - tq_index_create() for the partitions that are given; @mean and @centroids may be NULL */
int tq_index_make(struct tq_context *ctx, const struct tq_spec *spec, uint32_t dim,
		  const struct tq_index_options *options, const float *mean, const float *centroids,
		  struct tq_index **out);

/**
 * tq_index_set_centre - a quantizer for this centre, and coarse indices of these centroids
 * @training: others will follow: rows are assigned, but no queries worth a second coarse index
 */
int tq_index_set_centre(struct tq_index *ix, const float *mean, const float *centroids, bool training);

/** tq_index_check_rows - @n rows @stride apart: TQ_ERR_ARG if they exceed memory */
int tq_index_check_rows(const struct tq_index *ix, size_t stride, size_t n);

/** tq_index_check_finite - TQ_ERR_NONFINITE with the row */
int tq_index_check_finite(const struct tq_index *ix, const float *x, size_t stride, size_t n);

/** tq_index_fail_at - a failure of rows from @first on names its row among all: TQ_ERR_* with the row */
int tq_index_fail_at(int code, size_t first);

/* ---- index_code.c ---- */

/** tq_index_code - rows to codes; @lists: the partition of each, or NULL without partitions */
int tq_index_code(const struct tq_index *ix, const float *x, size_t stride, size_t n,
		  const uint32_t *lists, uint8_t *codes, uint8_t *fine);

/** tq_index_decode - a row that is there; @work: room for another if there are second codes */
int tq_index_decode(const struct tq_index *ix, uint64_t place, float *x, float *work);

/** tq_index_unit - a row scaled to norm 1; zeros stay */
void tq_index_unit(const float *x, float *y, size_t dim);

/** tq_index_add_of - add of a query (scaled to norm 1 with cos) for a partition */
float tq_index_add_of(const struct tq_index *ix, const float *q, uint32_t list);

/** tq_index_assign - the partition of each row; TQ_ERR_NONFINITE with the row */
int tq_index_assign(const struct tq_index *ix, const float *x, size_t stride, size_t n,
		    uint32_t *lists);

/**
 * tq_index_find_add - where in a packed query of a codec the number to add is
 *
 * Found by packing one query with two numbers: what differs must be one f32, and be they. Then a query for
 * many partitions is packed once and copied.
 *
 * Return: TQ_OK; TQ_ERR_NOMEM. @at receives SIZE_MAX where there is no such place.
 */
int tq_index_find_add(const struct tq_quantizer *q, size_t *at);

/* ---- index_ids.c ---- */

/** tq_index_ids_ready - make the table if it is not there; for whoever holds @change and not @lock */
int tq_index_ids_ready(struct tq_index *ix);

/** tq_index_ids_make - the same for whoever holds neither */
int tq_index_ids_make(struct tq_index *ix);

/** tq_index_ids_room - for @n further ids; TQ_ERR_NOMEM */
int tq_index_ids_room(struct tq_index *ix, size_t n);

/** tq_index_ids_find - its place, or UINT64_MAX */
uint64_t tq_index_ids_find(const struct tq_index_ids *ids, int64_t id);

/** tq_index_ids_put - there is room, and the id is not there */
void tq_index_ids_put(struct tq_index_ids *ids, int64_t id, uint64_t place);
void tq_index_ids_drop(struct tq_index_ids *ids, int64_t id);
void tq_index_ids_free(struct tq_context *ctx, struct tq_index_ids *ids);

/* ---- index_rows.c ---- */

enum tq_index_change_kind {
	TQ_INDEX_ADD = 1,
	TQ_INDEX_UPDATE = 2,
	TQ_INDEX_REMOVE = 3,
};

/** What a change puts in or takes out: ids, codes unless it removes, and with partitions where. @signs and
 * @error are made by tq_index_change() itself, if the index is staged. */
struct tq_index_batch {
	size_t n;
	const int64_t *ids;
	const uint32_t *lists;
	const uint8_t *codes, *fine, *signs;
	const float *error;
};

/** tq_index_check_ids - each is there (@present), or can be added; none twice */
int tq_index_check_ids(struct tq_index *ix, const int64_t *ids, size_t n, bool present);

/**
 * tq_index_change - the change, on the log if there is one; for checked ids, by whoever holds @change
 *
 * Return: TQ_OK; TQ_ERR_NOMEM, TQ_ERR_FULL, TQ_ERR_IO: nothing has changed.
 */
int tq_index_change(struct tq_index *ix, enum tq_index_change_kind kind,
		    const struct tq_index_batch *b);

/** tq_index_list_room - memory for @n further rows of a partition; TQ_ERR_NOMEM, TQ_ERR_FULL */
int tq_index_list_room(struct tq_index *ix, uint32_t list, size_t n);

/** tq_index_list_fit - for @n rows of a partition that has none, and for no more; TQ_ERR_NOMEM */
int tq_index_list_fit(struct tq_index *ix, uint32_t list, uint32_t n);

/** tq_index_segment_of - the segment of a row of a partition */
struct tq_index_segment *tq_index_segment_of(const struct tq_index_list *list, uint32_t row);

/** tq_index_in_blocks - are a segment's codes in blocks */
static inline bool tq_index_in_blocks(const struct tq_index *ix, const struct tq_index_segment *s)
{
	return ix->block_bytes && s->owned;
}

/** tq_index_block_of - the block of a row of a segment in blocks */
static inline uint8_t *tq_index_block_of(const struct tq_index *ix, const struct tq_index_segment *s,
					 uint32_t row)
{
	return s->codes + row / TQ_BLOCK_ROWS * ix->block_bytes;
}

/** tq_index_put_code - @code becomes row @row of a segment in memory */
void tq_index_put_code(const struct tq_index *ix, struct tq_index_segment *s, uint32_t row,
		       const uint8_t *code);

/** tq_index_get_code - the code of row @row of any segment to @code */
void tq_index_get_code(const struct tq_index *ix, const struct tq_index_segment *s, uint32_t row,
		       uint8_t *code);

/** tq_index_lists_free - all rows */
void tq_index_lists_free(struct tq_index *ix);

/* ---- index_slab.c ---- */

/** tq_index_slab_take - zeros, aligned to 64, until tq_index_slabs_free(); for whoever holds @change. NULL: no memory */
void *tq_index_slab_take(struct tq_index *ix, size_t size);
void tq_index_slabs_free(struct tq_index *ix);

/* ---- index_file.c ---- */

/** tq_index_read - an index from an open file, which it owns then if @flags has TQ_INDEX_MAP */
int tq_index_read(struct tq_context *ctx, struct tq_file *f, uint32_t flags, const char *driver,
		  struct tq_index **out);

/* ---- index_log.c ---- */

/**
 * tq_index_log_attach - apply the log beside @path if there is one; have changes go there if @write
 *
 * For an index as it was opened, before anybody else has it.
 */
int tq_index_log_attach(struct tq_index *ix, const char *path, bool write);

/** tq_index_log_apply - the changes in the bytes of a log; @valid receives how many of them count */
int tq_index_log_apply(struct tq_index *ix, const char *path, const void *data, size_t bytes,
		       size_t *valid);

/** tq_index_log_put - write a change and have it on the disk */
int tq_index_log_put(struct tq_index *ix, enum tq_index_change_kind kind,
		     const struct tq_index_batch *b);

/** tq_index_log_generation - of a log that lies at @path, which may be of another index; 0: none */
uint64_t tq_index_log_generation(struct tq_index *ix, const char *path);

/** tq_index_log_renew - an empty log of the present generation in place of the one there is */
int tq_index_log_renew(struct tq_index *ix);
void tq_index_log_close(struct tq_index *ix);

#endif
