/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_INDEX_H
#define TQ_INDEX_H

/*
 * A vector index: rows of codes under 64-bit ids, searched for the best of a metric.
 *
 *	struct tq_index_options o = { .struct_size = sizeof(o), .metric = TQ_METRIC_L2 };
 *	tq_index_create(ctx, &spec, dim, &o, &index);
 *	tq_index_train(index, x, dim, n);		takes the centre from the data
 *	tq_index_add(index, x, dim, n, ids);
 *	tq_index_search(index, query, dim, 1, 10, NULL, found, scores);
 *
 * Metrics, each in its own units: inner product and cosine, higher is better; squared Euclidean
 * distance, lower is better. All are had from one inner product of codes and a number stored with the
 * row, so every spec serves every metric; correction=unbiased is meant. Which rows are found, their
 * order and their scores are the same on every CPU backend and for any number of threads; rows of
 * equal score come by ascending id.
 *
 * In memory, codes of up to 4 bits lie in blocks of 16 rows, in the order in which scans read them, where the
 * score driver can use that: up to 3 bytes more per row and field. A file that is mapped has rows.
 *
 * With @nlist partitions (IVF: inverted file) rows lie by the nearest of as many centroids, codes are
 * of the difference to it, and a search looks at the @nprobe nearest partitions only.
 *
 * Thread-safety: any number of searches and other reading calls at once, also while one of the calls
 * that change the index runs; calls that change it wait for each other. A search sees all rows of an
 * add, or none. Callbacks must return, and must not call the index that calls them.
 *
 * With a @refine spec each row has a second code, of what the first has lost. Scans do not read it; a search
 * that asks for @rerank looks at the second codes of the best rows only, and puts those in order.
 *
 * docs/FORMAT.md section 10 gives the arithmetic, and the bytes of a saved index and of its log.
 */

#include <stddef.h>
#include <stdint.h>
#include "tq/quantizer.h"
#include "tq/top_k.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tq_index;

enum tq_metric {
	TQ_METRIC_IP = 0, /* inner product */
	TQ_METRIC_COS,	  /* cosine: of rows and queries scaled to norm 1; that of a zero row is 0 */
	TQ_METRIC_L2,	  /* squared Euclidean distance; an estimate of one near 0 may be below 0 */
};

#define TQ_INDEX_MAX_LISTS 65536

/**
 * Rows have the signs of their codes beside them in memory, so that a search may be staged: read signs, and
 * the codes only of rows that a bound does not rule out. A bit per coordinate, 8 to 12 bytes per row; without
 * effect at 1 bit, with qjl, for codes below 128 bytes, or where the score driver has no use for it.
 */
#define TQ_INDEX_STAGED (1u << 2)

/**
 * struct tq_index_options - what kind of index
 * @struct_size: sizeof(struct tq_index_options)
 * @metric:      enum tq_metric
 * @nlist:       partitions, up to TQ_INDEX_MAX_LISTS; 0 or 1: none, every search is a full scan
 * @driver:      pin, as in struct tq_quantizer_options
 * @refine:      spec of a second code of each row: of the difference between the row and what its first
 *               code decodes to. center=off. NULL: none. Codes of 2 and then 4 bits are about as good as
 *               one of 6, and a scan reads only the 2
 * @flags:       TQ_INDEX_STAGED or 0
 */
struct tq_index_options {
	uint32_t struct_size;
	uint32_t metric;
	uint32_t nlist;
	const char *driver;
	const struct tq_spec *refine;
	uint32_t flags;
};

/**
 * tq_index_create - an empty index
 * @ctx:     must outlive the index
 * @spec:    of the codes; copied. Its center is off or both. It becomes both with L2 and with
 *           partitions: the number that is stored with a row is in the place of its <x, centre>
 * @dim:     coordinates
 * @options: NULL: inner product, no partitions
 * @index:   receives the index; release with tq_index_destroy()
 *
 * The centre is zero until tq_index_train().
 *
 * Return: TQ_OK; TQ_ERR_ARG; as tq_quantizer_create().
 */
TQ_API int tq_index_create(struct tq_context *ctx, const struct tq_spec *spec, uint32_t dim,
			   const struct tq_index_options *options, struct tq_index **index);

/** tq_index_destroy - release an index; nobody may be using it. NULL is allowed */
TQ_API void tq_index_destroy(struct tq_index *index);

/**
 * tq_index_train - take the centre, and the centroids of the partitions, from data
 * @index:  without rows
 * @x:      @n rows, as they will be added; a sample of some ten thousand is enough, 64 per partition
 * @stride: in floats, at least the dimension
 * @n:      at least 1, and at least the number of partitions
 *
 * The centre is the mean; where the spec's center is off there is none. Centroids are those of
 * k-means, begun with rows chosen by the spec's seed: the same rows give the same centroids
 * everywhere. An index with partitions takes rows only after this.
 *
 * Return: TQ_OK; TQ_ERR_ARG, also where there are rows; TQ_ERR_NONFINITE with the row; TQ_ERR_NOMEM.
 */
TQ_API int tq_index_train(struct tq_index *index, const float *x, size_t stride, size_t n);

/**
 * tq_index_create_like - an empty index with the codec, centre and partitions of another
 *
 * What is added to both can be merged: to build parts in several places.
 *
 * Return: as tq_index_create().
 */
TQ_API int tq_index_create_like(const struct tq_index *index, struct tq_index **like);

/* ---- rows ---- */

/**
 * tq_index_add - add rows
 * @index:  the index
 * @x:      @n rows, row i at x + i * stride
 * @stride: in floats, at least the dimension
 * @n:      number of rows; 0 is allowed
 * @ids:    @n ids of 0 .. INT64_MAX - 1, none of them there yet; NULL: the numbers from one above the
 *          highest id that there ever was, or 0
 *
 * All or nothing. Searches go on while rows are coded. With a log (TQ_INDEX_LOG) the rows are on the
 * disk when this returns.
 *
 * Return: TQ_OK; TQ_ERR_ARG, with the row where its id is there already or no id; TQ_ERR_NONFINITE and
 * TQ_ERR_RANGE (values whose squares overflow, scale=f16) with the row; TQ_ERR_FULL: 2^32 - 1 rows per
 * partition; TQ_ERR_IO: the log; TQ_ERR_NOMEM.
 */
TQ_API int tq_index_add(struct tq_index *index, const float *x, size_t stride, size_t n,
			const int64_t *ids);

/**
 * tq_index_update - give other vectors to ids that are there; arguments as tq_index_add()
 *
 * A search sees all of the old rows or all of the new.
 *
 * Return: as tq_index_add(); TQ_ERR_RANGE with the row where an id is not there.
 */
TQ_API int tq_index_update(struct tq_index *index, const float *x, size_t stride, size_t n,
			   const int64_t *ids);

/**
 * tq_index_remove - remove rows
 * @ids: @n ids, all there, none twice
 *
 * Their memory is used again only after tq_index_save() and tq_index_open().
 *
 * Return: TQ_OK; TQ_ERR_RANGE with the row where an id is not there; TQ_ERR_IO; TQ_ERR_NOMEM. Nothing
 * is removed then.
 */
TQ_API int tq_index_remove(struct tq_index *index, const int64_t *ids, size_t n);

/**
 * tq_index_reserve - memory for @n further rows, so that adding them copies and allocates less
 *
 * Return: TQ_OK; TQ_ERR_NOMEM.
 */
TQ_API int tq_index_reserve(struct tq_index *index, size_t n);

/**
 * tq_index_merge - add all rows of another index, codes as they are
 * @index: the index that grows
 * @from:  of the same specs, metric, centre and centroids (tq_index_create_like()); not changed
 *
 * Return: TQ_OK; TQ_ERR_ARG, also where both have an id: nothing is added then; TQ_ERR_UNSUPPORTED:
 * they differ; TQ_ERR_NOMEM, TQ_ERR_IO: some rows may have been added.
 */
TQ_API int tq_index_merge(struct tq_index *index, const struct tq_index *from);

/**
 * tq_index_reconstruct - decode rows, with their second codes if they have any
 * @ids: @n ids
 * @x:   receives @n rows of the dimension, @stride floats apart; of norm about 1 with TQ_METRIC_COS
 *
 * Return: TQ_OK; TQ_ERR_RANGE with the row where an id is not there; TQ_ERR_NOMEM.
 */
TQ_API int tq_index_reconstruct(const struct tq_index *index, const int64_t *ids, size_t n, float *x,
				size_t stride);

/* ---- search ---- */

/**
 * struct tq_index_search_options - all optional
 * @struct_size: sizeof(struct tq_index_search_options)
 * @nprobe:      how many partitions to look at; 0: an eighth of them, at least one
 * @filter:      id i counts only if i < @filter_bits and bit i % 64 of word i / 64 is set; NULL: all
 * @filter_bits: how many bits @filter has
 * @allow:       id i counts only if this returns other than 0; NULL: all. Called from any of the
 *               library's threads, for every row that is looked at
 * @allow_arg:   passed to it
 * @rerank:      find so many by their codes, at least k and at most TQ_TOP_K_MAX, and give the best k
 *               by better scores; 0: none. These are the exact scores, in f64, of the rows that @fetch
 *               gives; without it, of what tq_index_reconstruct() gives, where the index has second codes.
 *               The first search of the latter kind in a mapped index reads the ids of all rows
 * @fetch:       the caller's rows: @n rows of the dimension, packed, for @n ids; other than 0 is a
 *               failure. Called by the calling thread, once for each query, and no lock is held
 * @fetch_arg:   passed to it
 * @exactness:   of an index with TQ_INDEX_STAGED: the probability, at least, that the k best are those of the
 *               full scan, .99 or .999, from the bound of each row and the normal law. Results are the same
 *               for any number of threads and on every backend that has blocks; the others (scalar, neon)
 *               scan in full. 1, or 0: the full scan. So are, whatever is asked for, scans of few or short rows
 *               and calls with more than two queries, since it is faster there; but on AVX2 without AVX-VNNI
 *               calls with many find what calls with one find. Where bounds rule out too little, some calls that
 *               follow are full scans too. With partitions, the k best are those of the rows that are looked
 *               at, and all calls have two stages
 */
struct tq_index_search_options {
	uint32_t struct_size;
	uint32_t nprobe;
	const uint64_t *filter;
	uint64_t filter_bits;
	int (*allow)(void *arg, int64_t id);
	void *allow_arg;
	size_t rerank;
	int (*fetch)(void *arg, const int64_t *ids, size_t n, float *rows);
	void *fetch_arg;
	float exactness;
};

/**
 * tq_index_search - the best rows for each query
 * @index:   the index
 * @x:       @nq queries, query i at x + i * stride
 * @stride:  in floats, at least the dimension
 * @nq:      number of queries
 * @k:       1..TQ_TOP_K_MAX
 * @options: NULL for none
 * @ids:     ids[i * k + j] receives the j-th best of query i, TQ_NO_ID past the last
 * @scores:  its score; past the last -infinity, +infinity with L2. May be NULL
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_NONFINITE, TQ_ERR_RANGE with the query; TQ_ERR_IO where @fetch
 * failed; TQ_ERR_NOMEM.
 */
TQ_API int tq_index_search(const struct tq_index *index, const float *x, size_t stride, size_t nq,
			   size_t k, const struct tq_index_search_options *options, int64_t *ids,
			   float *scores);

/**
 * tq_index_range - all rows as good as a score
 * @x:      one query
 * @bound:  inner product or cosine of at least, distance of at most this
 * @options: as for tq_index_search(), without @rerank; NULL for none
 * @room:   how many @ids and @scores can take
 * @ids:    receives the best of them, the best first; may be NULL if @room is 0
 * @scores: likewise
 * @found:  receives how many there are, which may be more than @room
 *
 * Return: as tq_index_search().
 */
TQ_API int tq_index_range(const struct tq_index *index, const float *x, float bound,
			  const struct tq_index_search_options *options, size_t room, int64_t *ids,
			  float *scores, size_t *found);

/* ---- files ---- */

/**
 * Search the file where it lies: map it, and read what a search touches. Else it is read and checked, and
 * TQ_INDEX_STAGED may be given too.
 */
#define TQ_INDEX_MAP (1u << 0)
/** Changes go to PATH.log, and are on the disk before they are seen and before the call returns. */
#define TQ_INDEX_LOG (1u << 1)

/**
 * tq_index_save - write an index to a .tq file
 * @index: changes wait meanwhile, searches do not
 * @path:  as tq_file_create(): what was there stays until the new file is complete and on the disk
 *
 * Rows that were removed are left out. If @path is where an index with a log was opened, the log
 * begins anew. The same rows added in the same order give the same bytes.
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_IO; TQ_ERR_NOMEM.
 */
TQ_API int tq_index_save(struct tq_index *index, const char *path);

/**
 * tq_index_open - an index from its file, and from the log beside it if there is one
 * @ctx:     must outlive the index
 * @path:    not trusted
 * @flags:   TQ_INDEX_MAP, TQ_INDEX_LOG
 * @driver:  pin, as in struct tq_quantizer_options; NULL for none
 * @index:   receives the index
 *
 * What stands at the end of a log because a write was cut short is dropped; it was never acknowledged.
 * With TQ_INDEX_MAP rows and ids are not read now and not checked before tq_index_verify(): wrong
 * bytes there give wrong results, never more than that. The file may be replaced while it is mapped,
 * never changed in place. One index at a time has a log.
 *
 * Return: TQ_OK; TQ_ERR_ARG; as tq_file_open(); TQ_ERR_IO also where the log is in use.
 */
TQ_API int tq_index_open(struct tq_context *ctx, const char *path, uint32_t flags,
			 const char *driver, struct tq_index **index);

/**
 * tq_index_verify - check the checksums of what TQ_INDEX_MAP left out
 *
 * Return: TQ_OK, also where nothing is mapped; TQ_ERR_CHECKSUM naming the file.
 */
TQ_API int tq_index_verify(const struct tq_index *index);

/* ---- what there is ---- */

/**
 * struct tq_index_info - what an index holds
 * @struct_size: set by the caller to sizeof(struct tq_index_info)
 * @dim:         coordinates
 * @metric:      enum tq_metric
 * @nlist:       partitions; 0: none
 * @row_bytes:   of a row: codes and id
 * @refine_bytes: of them the second code; 0: there is none
 * @count:       rows that a search can find
 * @removed:     rows that still take memory
 * @next_id:     what a row without an id would get
 */
struct tq_index_info {
	uint32_t struct_size;
	uint32_t dim;
	uint32_t metric;
	uint32_t nlist;
	uint64_t row_bytes;
	uint64_t refine_bytes;
	uint64_t count;
	uint64_t removed;
	int64_t next_id;
};

/**
 * tq_index_describe - see struct tq_index_info
 *
 * Return: TQ_OK; TQ_ERR_ARG.
 */
TQ_API int tq_index_describe(const struct tq_index *index, struct tq_index_info *info);

/** tq_index_quantizer - the codec of the rows; lives until tq_index_train() or tq_index_destroy() */
TQ_API const struct tq_quantizer *tq_index_quantizer(const struct tq_index *index);

/** tq_index_refiner - the codec of the second codes, or NULL; lives until tq_index_destroy() */
TQ_API const struct tq_quantizer *tq_index_refiner(const struct tq_index *index);

/** tq_metric_name - "ip", "cos", "l2"; "unknown" for no metric */
TQ_API const char *tq_metric_name(uint32_t metric);

#ifdef __cplusplus
}
#endif
#endif
