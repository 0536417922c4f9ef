/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SPLIT_H
#define TQ_SPLIT_H

/*
 * Two groups of channels with a codec each: TurboQuant's codes of 2.5 and 3.5 bits (arXiv 2504.19874,
 * its KV cache), where the channels of most energy get a bit more than the rest. Each group has its own
 * rotation, norm and levels, which are those of a quantizer of the group's number of channels:
 *
 *	tq_spec_parse(&spec[0], "bits=3");
 *	tq_spec_parse(&spec[1], "bits=2");
 *	tq_split_choose(ctx, rows, 128, 512, 128, NULL, 32, channels);
 *	tq_split_create(ctx, spec, 128, channels, 32, NULL, &split);
 *
 * A row is the first group's row (tq_quantizer.h), then the rest's, without padding; a score is the sum of
 * both groups' scores, in float. So bytes and scores are the same on every driver.
 *
 * A split is read-only after creation: any number of threads may use it at once, each with work space of its
 * own. Calls work in the caller's thread and allocate nothing, but where a group's quantizer does (above 4096
 * channels). KV caches have splits too, by text: tq/kv.h. There are no indexes of split rows.
 */

#include <stddef.h>
#include <stdint.h>
#include "tq/file.h"
#include "tq/quantizer.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tq_split;

/**
 * tq_split_choose - the channels of most energy
 * @ctx:      memory while it works
 * @x:        @rows calibration rows, row i at x + i * stride
 * @stride:   in floats, at least @dim
 * @rows:     number of rows, at least 1
 * @dim:      channels, 2..TQ_MAX_DIM
 * @centre:   @dim floats that are taken off the rows first, or NULL
 * @n:        how many to choose, 1..dim - 1
 * @channels: room for @n numbers; ascending
 *
 * The @n largest mean squares, summed in f64 in the order of the rows; of equal ones the lower channel.
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_NONFINITE with the row; TQ_ERR_NOMEM.
 */
TQ_API int tq_split_choose(struct tq_context *ctx, const float *x, size_t stride, size_t rows, uint32_t dim,
			   const float *centre, uint32_t n, uint32_t *channels);

/**
 * tq_split_create - make both quantizers
 * @ctx:      must outlive the split
 * @spec:     two specs: of the channels listed, of the rest
 * @dim:      channels in all, 2..TQ_MAX_DIM
 * @channels: @n numbers below @dim, each once, in any order (their order changes nothing); copied
 * @n:        1..dim - 1
 * @options:  as in tq_quantizer_create(), for both groups: the centre is of @dim floats, needed if either
 *            spec has one. NULL for none
 * @out:      receives the split
 *
 * Groups of as many channels and the same seed have the same rotation.
 *
 * Return: as tq_quantizer_create(); the text says which group it is about.
 */
TQ_API int tq_split_create(struct tq_context *ctx, const struct tq_spec spec[2], uint32_t dim, const uint32_t *channels,
			   uint32_t n, const struct tq_quantizer_options *options, struct tq_split **out);

/** tq_split_destroy - release; NULL is allowed */
TQ_API void tq_split_destroy(struct tq_split *s);

/** tq_split_dim - channels in all */
TQ_API uint32_t tq_split_dim(const struct tq_split *s);

/** tq_split_group - the quantizer of group 0 (the channels listed) or 1 (the rest); lives as long as @s */
TQ_API const struct tq_quantizer *tq_split_group(const struct tq_split *s, unsigned group);

/**
 * tq_split_channels - the channels of a group
 * @s:     split
 * @group: 0 or 1
 *
 * Return: as many numbers as the group's quantizer has dimensions, ascending; live as long as @s.
 */
TQ_API const uint32_t *tq_split_channels(const struct tq_split *s, unsigned group);

/** tq_split_centre - the centre, dim floats, or NULL; lives as long as @s */
TQ_API const float *tq_split_centre(const struct tq_split *s);

/** tq_split_code_size - bytes per row */
TQ_API size_t tq_split_code_size(const struct tq_split *s);

/** tq_split_query_size - bytes per prepared query, a multiple of 64 */
TQ_API size_t tq_split_query_size(const struct tq_split *s);

/** tq_split_scratch_size - bytes of work space that a call needs, whatever the number of rows */
TQ_API size_t tq_split_scratch_size(const struct tq_split *s);

/**
 * tq_split_encode - quantize rows
 * @s:       split
 * @x:       @n rows, any alignment
 * @dtype:   enum tq_dtype of @x
 * @stride:  distance between rows in elements, at least the dimension
 * @n:       number of rows; 0 is allowed
 * @codes:   room for n * tq_split_code_size(s) bytes
 * @scratch: tq_split_scratch_size(s) bytes, aligned to 64; no other call may use it meanwhile
 *
 * Return: as tq_encode(), from which it differs in nothing else.
 */
TQ_API int tq_split_encode(const struct tq_split *s, const void *x, int dtype, size_t stride, size_t n, void *codes,
			   void *scratch);

/**
 * tq_split_decode - reconstruct rows
 * @s:       split
 * @codes:   @n packed rows
 * @n:       number of rows
 * @x:       receives @n rows, any alignment; the gaps between rows stay untouched
 * @dtype:   enum tq_dtype of @x
 * @stride:  in elements of @dtype
 * @scratch: as in tq_split_encode()
 *
 * Return: as tq_decode_as().
 */
TQ_API int tq_split_decode(const struct tq_split *s, const void *codes, size_t n, void *x, int dtype, size_t stride,
			   void *scratch);

/**
 * tq_split_query_prepare - rotate and quantize queries once
 * @s:        split
 * @x:        @nq queries, query i at x + i * stride
 * @stride:   in floats, at least the dimension
 * @nq:       number of queries
 * @prepared: room for nq * tq_split_query_size(s) bytes, aligned to 64; each is complete in itself
 * @scratch:  as in tq_split_encode()
 *
 * Return: as tq_query_prepare().
 */
TQ_API int tq_split_query_prepare(const struct tq_split *s, const float *x, size_t stride, size_t nq, void *prepared,
				  void *scratch);

/**
 * tq_split_score - estimate the inner products of queries and coded rows
 * @s:        split
 * @prepared: @nq prepared queries
 * @nq:       number of queries
 * @codes:    @n packed rows
 * @n:        number of rows
 * @scores:   scores[i * ld + j] receives the float sum of what tq_score() gives for either group
 * @ld:       distance between queries in @scores, in floats; at least @n
 * @scratch:  as in tq_split_encode()
 *
 * Return: as tq_score().
 */
TQ_API int tq_split_score(const struct tq_split *s, const void *prepared, size_t nq, const void *codes, size_t n,
			  float *scores, size_t ld, void *scratch);

/* ---- files ---- */

/**
 * tq_split_file_create - start a .tq file of split rows: tq_file_append() adds them
 * @ctx:    memory; must outlive the writer
 * @path:   as in tq_file_create()
 * @s:      whose rows will be appended; not needed after the call
 * @writer: receives the writer, as in tq_file_create()
 *
 * The file holds channels, both specs and the centre. Other sections than those of indexes and caches may follow.
 *
 * Return: as tq_file_create().
 */
TQ_API int tq_split_file_create(struct tq_context *ctx, const char *path, const struct tq_split *s,
				struct tq_file_writer **writer);

/**
 * tq_file_split - create the split whose rows a file holds
 * @file:    may be closed while the split lives
 * @options: a driver to pin; its centre must be NULL. NULL for none
 * @out:     receives the split; release with tq_split_destroy()
 *
 * tq_file_codes(), tq_file_count(), tq_file_dim() and tq_file_code_size() are those of the split rows.
 *
 * Return: as tq_split_create(); TQ_ERR_UNSUPPORTED where the file's rows are not split.
 */
TQ_API int tq_file_split(const struct tq_file *file, const struct tq_quantizer_options *options, struct tq_split **out);

/**
 * tq_file_split_spec - the spec of a group
 * @file:  an open file
 * @group: 0 or 1
 *
 * Return: the spec, NULL where the file's rows are not split; lives until tq_file_close().
 */
TQ_API const struct tq_spec *tq_file_split_spec(const struct tq_file *file, unsigned group);

#ifdef __cplusplus
}
#endif
#endif
