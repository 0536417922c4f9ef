/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_DEVICE_INDEX_H
#define TQ_DEVICE_INDEX_H

/*
 * A full scan of an index's rows in a device's memory: what tq_index_search() finds, the same ids and scores, by a
 * GPU.
 *
 *	tq_queue_wrap_cuda(ctx, 0, NULL, &queue);
 *	tq_device_index_create(index, queue, &on_device);
 *	tq_device_index_search(on_device, queries, dim, nq, 10, ids, scores);
 *
 * It holds the rows that were there when it was made: what is added, updated or removed later is seen by a new one.
 * There are no filters, and second codes stay on the host.
 */

#include "tq/device.h"
#include "tq/index.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tq_device_index;

/**
 * tq_device_index_create - copy the rows of an index to a device
 * @index: without partitions; not used later. Searches and changes may go on meanwhile, changes wait
 * @queue: of a device and its stream; must outlive what is made, and so must its context, which is the index's too
 * @out:   receives it; release with tq_device_index_destroy()
 *
 * Takes a code and, on the host, 8 bytes for each row. Tests the device's kernels, as tq_device_codec_create().
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_UNSUPPORTED: there are partitions, or the device does not serve the spec;
 * TQ_ERR_SELFTEST; TQ_ERR_FULL: 2^32 - 1 rows; TQ_ERR_DEVICE, also where the device's memory is too small; TQ_ERR_NOMEM.
 */
TQ_API int tq_device_index_create(const struct tq_index *index, struct tq_queue *queue, struct tq_device_index **out);

/** tq_device_index_destroy - release it; nobody may be using it. NULL is allowed */
TQ_API void tq_device_index_destroy(struct tq_device_index *index);

/**
 * tq_device_index_search - the best rows for each query
 * @index:  searches of one wait for each other
 * @x:      host memory: @nq queries, query i at x + i * stride
 * @stride: in floats, at least the dimension
 * @nq:     number of queries; up to 256 are scanned for at once
 * @k:      1..TQ_TOPK_MAX
 * @ids:    host memory: ids[i * k + j] receives the j-th best of query i, TQ_NO_ID past the last
 * @scores: host memory: its score, as tq_index_search() gives it; may be NULL
 *
 * Waits for the queue. Device memory for as many queries and results as there were at most is kept.
 *
 * Return: TQ_OK; TQ_ERR_ARG; TQ_ERR_NONFINITE, TQ_ERR_RANGE with the query; TQ_ERR_DEVICE; TQ_ERR_NOMEM.
 */
TQ_API int tq_device_index_search(struct tq_device_index *index, const float *x, size_t stride, size_t nq, size_t k,
				  int64_t *ids, float *scores);

#ifdef __cplusplus
}
#endif
#endif
