/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_DEVICE_H
#define TQ_DEVICE_H

/*
 * The row codec on data that already lies in a device's memory. Every *_async call starts work on the
 * caller's stream and returns: it allocates nothing and waits for nothing, and may be recorded into a
 * CUDA graph. Codes are the same bytes as on the host, scores the same floats.
 *
 *	struct tq_queue *queue;
 *	struct tq_device_codec *codec;
 *
 *	tq_queue_wrap_cuda(ctx, 0, stream, &queue);
 *	tq_device_codec_create(q, queue, &codec);
 *	tq_encode_async(codec, queue, x, TQ_BF16, 128, n, codes);
 *
 * What goes wrong later, on the device, is reported by the driver to whoever waits for the stream.
 */

#include <stddef.h>
#include <stdint.h>
#include "tq/quantizer.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tq_queue;
struct tq_device_codec;

/**
 * tq_queue_wrap_cuda - use the embedder's CUDA stream
 * @ctx:    must outlive the queue; one of its plugins has the driver device(cuda)
 * @device: ordinal of the GPU; its primary context is used
 * @stream: a CUstream (cudaStream_t) of that context, NULL for the default stream; not owned
 * @queue:  receives the queue; release with tq_queue_destroy()
 *
 * Return: TQ_OK; TQ_ERR_NOT_PRESENT, TQ_ERR_NO_DRIVER or TQ_ERR_DEVICE with the reason; TQ_ERR_ARG;
 * TQ_ERR_NOMEM.
 */
TQ_API int tq_queue_wrap_cuda(struct tq_context *ctx, int device, void *stream,
			      struct tq_queue **queue);

/** tq_queue_destroy - release the wrapper, not the stream; NULL is allowed */
TQ_API void tq_queue_destroy(struct tq_queue *queue);

/**
 * tq_device_codec_create - upload a quantizer's tables and test the device's kernels with them
 * @q:     must outlive the codec; of the queue's context
 * @queue: whose device to use; other queues of that device may be used later
 * @codec: receives the codec; release with tq_device_codec_destroy()
 *
 * The test encodes, decodes and scores rows on the device and compares every bit with the scalar
 * driver. It waits for the queue: not while a graph is being recorded.
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_UNSUPPORTED; TQ_ERR_SELFTEST; TQ_ERR_DEVICE; TQ_ERR_NOMEM.
 */
TQ_API int tq_device_codec_create(const struct tq_quantizer *q, struct tq_queue *queue,
				  struct tq_device_codec **codec);

/** tq_device_codec_destroy - nothing of it may be under way; NULL is allowed */
TQ_API void tq_device_codec_destroy(struct tq_device_codec *codec);

/** tq_device_query_size - bytes per prepared query in device memory */
TQ_API size_t tq_device_query_size(const struct tq_device_codec *codec);

/**
 * tq_encode_async - tq_encode_as() on device pointers
 * @x:     aligned to its elements. With @x, @codes and rows aligned to 16 the fastest kernels serve
 * @codes: packed rows
 *
 * The input is not checked for NaN and infinity, which would need a wait: see tq_check_async(). A scale
 * beyond scale=f16 is stored as 65504.
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_DEVICE.
 */
TQ_API int tq_encode_async(const struct tq_device_codec *codec, struct tq_queue *queue,
			   const void *x, int dtype, size_t stride, size_t n, void *codes);

/**
 * tq_check_async - find a row that tq_encode_async() must not get
 * @first: device memory; receives the minimum of its value and the first row with NaN or infinity
 */
TQ_API int tq_check_async(const struct tq_device_codec *codec, struct tq_queue *queue,
			  const void *x, int dtype, size_t stride, size_t n, uint64_t *first);

/** tq_decode_async - tq_decode_as() on device pointers */
TQ_API int tq_decode_async(const struct tq_device_codec *codec, struct tq_queue *queue,
			   const void *codes, size_t n, void *x, int dtype, size_t stride);

/** tq_query_prepare_async - tq_query_prepare() on device pointers; @prepared aligned to 64 */
TQ_API int tq_query_prepare_async(const struct tq_device_codec *codec, struct tq_queue *queue,
				  const float *x, size_t stride, size_t nq, void *prepared);

/**
 * struct tq_batch - independent problems of one shape in one call (the heads of a layer)
 * @count:        how many, at most 65535
 * @query_stride: bytes from one problem's prepared queries to the next's; a multiple of 64
 * @code_stride:  bytes from one problem's codes to the next's
 * @score_stride: floats from one problem's scores to the next's
 */
struct tq_batch {
	size_t count;
	size_t query_stride;
	size_t code_stride;
	size_t score_stride;
};

/**
 * tq_score_async - tq_score() on device pointers
 * @batch: NULL for one problem
 */
TQ_API int tq_score_async(const struct tq_device_codec *codec, struct tq_queue *queue,
			  const void *prepared, size_t nq, const void *codes, size_t n,
			  float *scores, size_t ld, const struct tq_batch *batch);

/** tq_topk_scratch - bytes of device memory that tq_topk_async() needs */
TQ_API size_t tq_topk_scratch(const struct tq_device_codec *codec, size_t nq, size_t n, size_t k);

/** The largest k of tq_topk_async(). */
#define TQ_TOPK_MAX 1024

/**
 * tq_topk_async - the @k rows of highest score per query, best first
 * @nq:      at most 65535
 * @n:       at most 2^32 - 2
 * @k:       1..TQ_TOPK_MAX
 * @ids:     nq * k row numbers, -1 where there are fewer rows
 * @scores:  nq * k scores
 * @scratch: tq_topk_scratch() bytes, aligned to 256
 *
 * Equal scores are ordered by row number: the result does not depend on the grid.
 */
TQ_API int tq_topk_async(const struct tq_device_codec *codec, struct tq_queue *queue,
			 const void *prepared, size_t nq, const void *codes, size_t n, size_t k,
			 int64_t *ids, float *scores, void *scratch);

#ifdef __cplusplus
}
#endif
#endif
