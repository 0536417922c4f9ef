/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_QUANTIZER_H
#define TQ_QUANTIZER_H

/*
 * The row codec. A quantizer is a spec made ready for one dimension: tables computed, drivers chosen
 * and tested. It is read-only after creation: any number of threads may use it at once.
 *
 * Codes are rows of tq_code_size() bytes without padding between rows; a row alone is a complete
 * code. docs/FORMAT.md gives every byte.
 *
 * Encoding, decoding and preparing queries can besides what their comments list return TQ_ERR_NOMEM above
 * 4096 dimensions, where the working row does not lie on the stack, and TQ_ERR_DEVICE where a pinned or
 * ordered driver works on a device.
 */

#include <stddef.h>
#include <stdint.h>
#include "tq/context.h"
#include "tq/spec.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tq_quantizer;

/**
 * struct tq_quantizer_options - all optional
 * @struct_size: sizeof(struct tq_quantizer_options)
 * @driver:      pin a driver or a plugin for this quantizer; NULL for the context's choice
 * @centre:      dim floats, copied; needed if the spec's center is not off, refused otherwise
 */
struct tq_quantizer_options {
	uint32_t struct_size;
	const char *driver;
	const float *centre;
};

/**
 * tq_quantizer_create - compute the tables and choose the drivers
 * @ctx:     must outlive the quantizer
 * @spec:    what to build; copied
 * @dim:     coordinates per vector, 1..TQ_MAX_DIM
 * @options: NULL for none
 * @out:     receives the quantizer
 *
 * Slow: this is where everything is resolved. Dense rotations (haar, qjl:gauss, qjl:ortho) take
 * O(dim^3) time and 8 dim^2 bytes (12 while they are made) and are limited to TQ_MAX_DENSE_DIM.
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_SPEC; TQ_ERR_UNSUPPORTED; TQ_ERR_NONFINITE (centre); TQ_ERR_RANGE
 * where center=both and the centre's square exceeds a float; TQ_ERR_NO_DRIVER where a pinned driver
 * cannot serve; TQ_ERR_FULL where the tables would take more than the setting memory_limit;
 * TQ_ERR_NOMEM.
 */
TQ_API int tq_quantizer_create(struct tq_context *ctx, const struct tq_spec *spec, uint32_t dim,
			       const struct tq_quantizer_options *options,
			       struct tq_quantizer **out);

/** tq_quantizer_destroy - release; NULL is allowed */
TQ_API void tq_quantizer_destroy(struct tq_quantizer *q);

/** tq_dim - coordinates per vector */
TQ_API uint32_t tq_dim(const struct tq_quantizer *q);

/** tq_code_size - bytes per row */
TQ_API size_t tq_code_size(const struct tq_quantizer *q);

/** tq_query_size - bytes per prepared query */
TQ_API size_t tq_query_size(const struct tq_quantizer *q);

/** tq_quantizer_spec - the spec in force; lives as long as @q */
TQ_API const struct tq_spec *tq_quantizer_spec(const struct tq_quantizer *q);

/** tq_quantizer_centre - the centre, or NULL; lives as long as @q */
TQ_API const float *tq_quantizer_centre(const struct tq_quantizer *q);

/** tq_codebook_hash - CRC32C of the level table; a file with another hash was made by other rules */
TQ_API uint32_t tq_codebook_hash(const struct tq_quantizer *q);

/**
 * tq_codebook_levels - the decoded level values in units of sigma = 1
 * @q:      quantizer
 * @levels: room for 256 floats; ascending (lm:2.5 and lm:4.5 have two tables, one behind the other)
 *
 * Return: how many there are (0 for pure QJL, and for trellis codes: FORMAT.md has their tables).
 */
TQ_API unsigned tq_codebook_levels(const struct tq_quantizer *q, float *levels);

/** tq_dtype_size - bytes per element: 4, 2, 2; 0 for no dtype */
TQ_API size_t tq_dtype_size(int dtype);

/**
 * tq_encode - quantize rows of float vectors
 * @q:      quantizer; may be shared between threads
 * @x:      @n rows of tq_dim(q) floats, row i at x + i * stride
 * @stride: distance between rows, in floats; at least the dimension
 * @n:      number of rows; 0 is allowed
 * @codes:  room for n * tq_code_size(q) bytes; rows are packed
 *
 * All rows are checked before any is written.
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_NONFINITE, with the row in tq_error_row(); TQ_ERR_RANGE with the
 * row, where scale=f16 cannot hold a row's scale or, with center=both, its inner product with the
 * centre exceeds a float (@codes is then undefined).
 */
TQ_API int tq_encode(const struct tq_quantizer *q, const float *x, size_t stride, size_t n,
		     void *codes);

/**
 * tq_encode_as - tq_encode() for any input type
 * @q:      quantizer
 * @x:      @n rows, any alignment
 * @dtype:  enum tq_dtype of @x
 * @stride: in elements of @dtype
 * @n:      number of rows
 * @codes:  room for n * tq_code_size(q) bytes
 *
 * Return: as tq_encode().
 */
TQ_API int tq_encode_as(const struct tq_quantizer *q, const void *x, int dtype, size_t stride,
			size_t n, void *codes);

/**
 * tq_decode - reconstruct rows
 * @q:      quantizer
 * @codes:  @n packed rows
 * @n:      number of rows
 * @x:      receives @n rows; the gaps between rows stay untouched
 * @stride: distance between rows of @x, in floats; at least the dimension
 *
 * Return: TQ_OK; TQ_ERR_ARG.
 */
TQ_API int tq_decode(const struct tq_quantizer *q, const void *codes, size_t n, float *x,
		     size_t stride);

/**
 * tq_decode_as - tq_decode() for any output type
 * @q:      quantizer
 * @codes:  @n packed rows
 * @n:      number of rows
 * @x:      receives @n rows, any alignment; beyond the type's range is infinity, as IEEE says
 * @dtype:  enum tq_dtype of @x
 * @stride: in elements of @dtype
 *
 * Return: as tq_decode().
 */
TQ_API int tq_decode_as(const struct tq_quantizer *q, const void *codes, size_t n, void *x,
			int dtype, size_t stride);

/**
 * tq_query_prepare - rotate and quantize queries once, to score many rows
 * @q:        quantizer
 * @x:        @nq query vectors, row i at x + i * stride
 * @stride:   in floats, at least the dimension
 * @nq:       number of queries
 * @prepared: room for nq * tq_query_size(q) bytes, aligned to 64
 *
 * The prepared form belongs to @q: it is neither portable nor to be stored.
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_NONFINITE with the row; TQ_ERR_RANGE with the row, where its inner
 * product with the centre exceeds a float (@prepared is then undefined).
 */
TQ_API int tq_query_prepare(const struct tq_quantizer *q, const float *x, size_t stride, size_t nq,
			    void *prepared);

/**
 * tq_score - estimate the inner products of queries and coded rows
 * @q:        quantizer
 * @prepared: @nq prepared queries
 * @nq:       number of queries
 * @codes:    @n packed rows
 * @n:        number of rows
 * @scores:   scores[i * ld + j] receives <query i, row j>
 * @ld:       distance between queries in @scores, in floats; at least @n
 *
 * The same codes and query give the same floats on every driver.
 *
 * Return: TQ_OK; TQ_ERR_ARG.
 */
TQ_API int tq_score(const struct tq_quantizer *q, const void *prepared, size_t nq,
		    const void *codes, size_t n, float *scores, size_t ld);

/**
 * tq_score_list - tq_score() of one query over rows picked from a table
 * @q:        quantizer
 * @prepared: one prepared query
 * @codes:    base of the packed rows
 * @ids:      @n row numbers; each must be a row of the table
 * @n:        number of rows to score
 * @scores:   receives @n scores
 *
 * Return: TQ_OK; TQ_ERR_ARG.
 */
TQ_API int tq_score_list(const struct tq_quantizer *q, const void *prepared, const void *codes,
			 const uint32_t *ids, size_t n, float *scores);

/**
 * tq_score_pairs - estimate inner products of coded rows with each other
 * @q:      quantizer
 * @a:      @na packed rows
 * @na:     number of rows of @a
 * @b:      @nb packed rows
 * @nb:     number of rows of @b
 * @scores: scores[i * ld + j] receives <a_i, b_j>
 * @ld:     distance between rows of @a in @scores, in floats; at least @nb
 *
 * Symmetric: the score of (a, b) is that of (b, a). Sketch bits of qjl:* are not used.
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_UNSUPPORTED for pure QJL and for center=data, which have none.
 */
TQ_API int tq_score_pairs(const struct tq_quantizer *q, const void *a, size_t na, const void *b,
			  size_t nb, float *scores, size_t ld);

/**
 * tq_describe - serialise the codec: enough to create it again anywhere
 * @q:    quantizer
 * @buf:  room for @size bytes, or NULL
 * @size: in: room; out: bytes needed (under 1 KB plus 4 * dim if centred)
 *
 * Return: TQ_OK; TQ_ERR_RANGE if the room is too small (@size is set).
 */
TQ_API int tq_describe(const struct tq_quantizer *q, void *buf, size_t *size);

/**
 * tq_quantizer_from_description - create the codec that tq_describe() wrote
 * @ctx:     must outlive the quantizer
 * @buf:     @size bytes, not trusted
 * @size:    bytes of the description, no more and no less
 * @options: a driver to pin; its centre must be NULL. NULL for none
 * @out:     receives the quantizer
 *
 * Return: as tq_quantizer_create(), and TQ_ERR_FORMAT, TQ_ERR_CHECKSUM, TQ_ERR_VERSION.
 */
TQ_API int tq_quantizer_from_description(struct tq_context *ctx, const void *buf, size_t size,
					 const struct tq_quantizer_options *options,
					 struct tq_quantizer **out);

/** The stages whose driver tq_quantizer_driver() names. */
enum tq_stage {
	TQ_STAGE_ROTATE = 0,
	TQ_STAGE_SKETCH,
	TQ_STAGE_QUANTIZE,
	TQ_STAGE_SCORE,
	TQ_STAGE_ENCODE, /* fused; "" where stages are composed */
	TQ_STAGE_DECODE, /* fused; likewise */
	TQ_STAGE_COUNT,
};

/**
 * tq_quantizer_driver - which driver serves a stage
 * @q:     quantizer
 * @stage: enum tq_stage
 *
 * Return: the driver's name, "" if the stage is not used; lives as long as @q.
 */
TQ_API const char *tq_quantizer_driver(const struct tq_quantizer *q, int stage);

/**
 * tq_quantizer_explain - why each stage got its driver, and why not the others
 * @q:   quantizer
 * @out: receives the text, one line per candidate
 */
TQ_API void tq_quantizer_explain(const struct tq_quantizer *q, FILE *out);

#ifdef __cplusplus
}
#endif
#endif
