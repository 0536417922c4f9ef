/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The codec on device memory: queues, the codec's life, and calls that check their arguments and
 * hand them to the driver.
 */

#include "args.h"
#include "device_codec.h"
#include "selftest.h"

#define DRIVER_CUDA "device(cuda)"

/**
 * struct tq_queue - the embedder's stream on one device
 * @choice: the driver that serves the device
 */
struct tq_queue {
	struct tq_context *ctx;
	struct tq_device_queue where;
	struct tq_choice choice;
};

/* ---- queues ---- */

static int find_driver(struct tq_queue *queue)
{
	struct tq_registry *reg = queue->ctx->registry;
	int ret;

	pthread_mutex_lock(&reg->lock);
	ret = tq_select_device(queue->ctx, DRIVER_CUDA, NULL, &queue->choice, NULL);
	pthread_mutex_unlock(&reg->lock);
	if (ret)
		return ret;
	TQ_DEVICE_RUN("tq_queue_wrap_cuda",
	    queue->choice.driver->device_ops->open(queue->choice.host, queue->where.device));
	return TQ_OK;
}

int tq_queue_wrap_cuda(struct tq_context *ctx, int device, void *stream, struct tq_queue **queue)
{
	struct tq_queue *made;
	int ret;

	TQ_CHECK_POINTER(ctx);
	TQ_CHECK_POINTER(queue);
	*queue = NULL;
	if (device < 0)
		return tq_fail(TQ_ERR_ARG, "device: %d is negative", device);
	made = tq_alloc(ctx, sizeof(*made));
	if (!made)
		return TQ_ERR_NOMEM;
	made->ctx = ctx;
	made->where = (struct tq_device_queue){sizeof(made->where), device, stream};
	ret = find_driver(made);
	if (ret) {
		tq_free(ctx, made);
		return ret;
	}
	*queue = made;
	return TQ_OK;
}

void tq_queue_destroy(struct tq_queue *queue)
{
	if (queue)
		tq_free(queue->ctx, queue);
}

const struct tq_device_queue *tq_queue_where(const struct tq_queue *queue)
{
	return &queue->where;
}

/* ---- codecs ---- */

/* The driver for the plan, its state, and the test; called with the registry's lock held. */
static int codec_open(struct tq_device_codec *codec, struct tq_queue *queue)
{
	char why[TQ_REASON_MAX] = "";
	struct tq_choice choice;
	struct tq_entry *e;
	int ret;

	ret = tq_select_device(codec->ctx, DRIVER_CUDA, codec->plan, &choice, &e);
	if (ret)
		return ret;
	codec->entry = e;
	codec->ops = choice.driver->device_ops;
	codec->host = choice.host;
	TQ_DEVICE_RUN("tq_device_codec_create",
	    codec->ops->attach(codec->host, codec->plan, &queue->where, &codec->state));
	ret = tq_gate_device(e, codec->plan, &queue->where, codec->state, why, sizeof(why));
	if (ret == TQ_ERR_SELFTEST && tq_entry_pass(e, ret, why))
		ret = TQ_ERR_NOMEM;
	else if (!ret)
		ret = tq_entry_pass(e, TQ_OK, "");
	if (!ret)
		return TQ_OK;
	codec->ops->detach(codec->host, codec->state);
	return tq_fail(ret, "%s: %s", choice.driver->driver_name, *why ? why : tq_status_text(ret));
}

int tq_device_codec_create(const struct tq_quantizer *q, struct tq_queue *queue,
			   struct tq_device_codec **codec)
{
	struct tq_device_codec *made;
	int ret;

	TQ_CHECK_POINTER(q);
	TQ_CHECK_POINTER(queue);
	TQ_CHECK_POINTER(codec);
	*codec = NULL;
	if (q->ctx != queue->ctx)
		return tq_fail(TQ_ERR_ARG, "queue: of another context than the quantizer");
	if (q->pipe.scales)
		return tq_fail(TQ_ERR_UNSUPPORTED, "q: no device serves a rotation with scales of channels");
	made = tq_alloc(q->ctx, sizeof(*made));
	if (!made)
		return TQ_ERR_NOMEM;
	made->ctx = q->ctx;
	made->plan = q->plan;
	made->device = queue->where.device;
	pthread_mutex_lock(&q->ctx->registry->lock);
	ret = codec_open(made, queue);
	pthread_mutex_unlock(&q->ctx->registry->lock);
	if (ret) {
		tq_free(q->ctx, made);
		return ret;
	}
	*codec = made;
	return TQ_OK;
}

void tq_device_codec_destroy(struct tq_device_codec *codec)
{
	if (!codec)
		return;
	codec->ops->detach(codec->host, codec->state);
	tq_free(codec->ctx, codec);
}

size_t tq_device_query_size(const struct tq_device_codec *codec)
{
	return codec->ops->query_size(codec->state);
}

/* ---- calls ---- */

int tq_device_place(const struct tq_device_codec *codec, const struct tq_queue *queue)
{
	TQ_CHECK_POINTER(codec);
	TQ_CHECK_POINTER(queue);
	if (queue->where.device != codec->device)
		return tq_fail(TQ_ERR_ARG, "queue: of device %d, the codec of device %d",
			       queue->where.device, codec->device);
	return TQ_OK;
}

static int check_rows(const struct tq_device_codec *codec, const void *x, int dtype, size_t stride,
		      size_t n)
{
	size_t element = tq_dtype_size(dtype);

	if (!element)
		return tq_fail(TQ_ERR_ARG, "dtype: %d is none", dtype);
	TQ_CHECK_POINTER(x);
	if ((uintptr_t)x % element)
		return tq_fail(TQ_ERR_ARG, "x: not aligned to its elements");
	if (stride < codec->plan->dim)
		return tq_fail(TQ_ERR_ARG, "stride: %zu is less than the dimension %u", stride,
			       codec->plan->dim);
	if (stride > PTRDIFF_MAX / element || n > PTRDIFF_MAX / (stride * element))
		return tq_fail(TQ_ERR_ARG, "stride: %zu rows of %zu exceed memory", n, stride);
	return TQ_OK;
}

static int check_codes(const struct tq_device_codec *codec, const void *codes, size_t n)
{
	TQ_CHECK_POINTER(codes);
	if (n > PTRDIFF_MAX / codec->plan->layout.row_bytes)
		return tq_fail(TQ_ERR_ARG, "codes: %zu rows exceed memory", n);
	return TQ_OK;
}

int tq_encode_async(const struct tq_device_codec *codec, struct tq_queue *queue, const void *x,
		    int dtype, size_t stride, size_t n, void *codes)
{
	int ret = tq_device_place(codec, queue);

	if (ret || n == 0)
		return ret;
	ret = check_rows(codec, x, dtype, stride, n);
	if (!ret)
		ret = check_codes(codec, codes, n);
	if (ret)
		return ret;
	TQ_DEVICE_RUN("tq_encode_async",
	    codec->ops->encode(codec->state, &queue->where, x, dtype, stride, n, codes));
	return TQ_OK;
}

int tq_check_async(const struct tq_device_codec *codec, struct tq_queue *queue, const void *x,
		   int dtype, size_t stride, size_t n, uint64_t *first)
{
	int ret = tq_device_place(codec, queue);

	if (ret || n == 0)
		return ret;
	TQ_CHECK_POINTER(first);
	ret = check_rows(codec, x, dtype, stride, n);
	if (ret)
		return ret;
	TQ_DEVICE_RUN("tq_check_async",
	    codec->ops->check(codec->state, &queue->where, x, dtype, stride, n, first));
	return TQ_OK;
}

int tq_decode_async(const struct tq_device_codec *codec, struct tq_queue *queue, const void *codes,
		    size_t n, void *x, int dtype, size_t stride)
{
	int ret = tq_device_place(codec, queue);

	if (ret || n == 0)
		return ret;
	ret = check_rows(codec, x, dtype, stride, n);
	if (!ret)
		ret = check_codes(codec, codes, n);
	if (ret)
		return ret;
	TQ_DEVICE_RUN("tq_decode_async",
	    codec->ops->decode(codec->state, &queue->where, codes, n, x, dtype, stride));
	return TQ_OK;
}

int tq_query_prepare_async(const struct tq_device_codec *codec, struct tq_queue *queue,
			   const float *x, size_t stride, size_t nq, void *prepared)
{
	int ret = tq_device_place(codec, queue);

	if (ret || nq == 0)
		return ret;
	ret = check_rows(codec, x, TQ_F32, stride, nq);
	if (!ret)
		ret = tq_check_prepared(prepared);
	if (ret)
		return ret;
	TQ_DEVICE_RUN("tq_query_prepare_async",
	    codec->ops->query(codec->state, &queue->where, x, stride, nq, NULL, prepared));
	return TQ_OK;
}

int tq_score_async(const struct tq_device_codec *codec, struct tq_queue *queue,
		   const void *prepared, size_t nq, const void *codes, size_t n, float *scores,
		   size_t ld, const struct tq_batch *batch)
{
	const struct tq_batch one = {.count = 1}, *b = batch ? batch : &one;
	int ret = tq_device_place(codec, queue);

	if (ret || nq == 0 || n == 0 || b->count == 0)
		return ret;
	TQ_CHECK_POINTER(scores);
	ret = tq_check_prepared(prepared);
	if (!ret)
		ret = check_codes(codec, codes, n);
	if (ret)
		return ret;
	if (ld < n)
		return tq_fail(TQ_ERR_ARG, "ld: %zu is less than the number of rows %zu", ld, n);
	if (b->count > 65535)
		return tq_fail(TQ_ERR_ARG, "batch.count: %zu is more than 65535", b->count);
	if (b->query_stride % 64)
		return tq_fail(TQ_ERR_ARG, "batch.query_stride: %zu is no multiple of 64",
			       b->query_stride);
	TQ_DEVICE_RUN("tq_score_async",
	    codec->ops->score(codec->state, &queue->where, prepared, nq, codes, n, scores, ld,
			      b->count, b->query_stride, b->code_stride, b->score_stride));
	return TQ_OK;
}

size_t tq_topk_scratch(const struct tq_device_codec *codec, size_t nq, size_t n, size_t k)
{
	return codec->ops->topk_scratch(codec->state, nq, n, k);
}

int tq_topk_async(const struct tq_device_codec *codec, struct tq_queue *queue, const void *prepared,
		  size_t nq, const void *codes, size_t n, size_t k, int64_t *ids, float *scores,
		  void *scratch)
{
	int ret = tq_device_place(codec, queue);

	if (ret || nq == 0)
		return ret;
	if (k == 0 || k > TQ_TOPK_MAX)
		return tq_fail(TQ_ERR_ARG, "k: %zu is not in 1..%d", k, TQ_TOPK_MAX);
	if (nq > 65535)
		return tq_fail(TQ_ERR_ARG, "nq: %zu is more than 65535", nq);
	if (n > UINT32_MAX - 1)
		return tq_fail(TQ_ERR_ARG, "n: %zu rows are more than 2^32 - 2", n);
	TQ_CHECK_POINTER(ids);
	TQ_CHECK_POINTER(scores);
	TQ_CHECK_POINTER(scratch);
	if ((uintptr_t)scratch % 256)
		return tq_fail(TQ_ERR_ARG, "scratch: not aligned to 256 bytes");
	ret = tq_check_prepared(prepared);
	if (!ret && n)
		ret = check_codes(codec, codes, n);
	if (ret)
		return ret;
	TQ_DEVICE_RUN("tq_topk_async", codec->ops->topk(codec->state, &queue->where, prepared, nq, codes, n,
					      k, ids, scores, scratch));
	return TQ_OK;
}
