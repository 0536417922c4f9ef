/* SPDX-License-Identifier: Apache-2.0 */
/* Work on data in device memory, on the embedder's stream: arguments in, one launch out. */
#include "device_ops.h"

#include <stdio.h>
#include <string.h>
#include "state.h"

struct device_state {
	struct tqc_plan_state plan;
	const struct tq_host *host;
	uint32_t magnitudes[2]; /* 4 bits: L[m] = 0xBF - (grid - 64), see score4.cuh */
	int fast_score4;
};

static int report(const struct device_state *s, const char *what, CUresult err)
{
	char line[256];

	if (!err)
		return 0;
	snprintf(line, sizeof(line), "cuda: %s: %s", what, tqc_error(&s->plan.dev->api, err));
	s->host->log(s->host, 0, line);
	return TQ_ERR_DEVICE;
}

static int attach(const struct tq_host *host, const struct tq_plan *plan,
		  const struct tq_device_queue *queue, void **state)
{
	uint8_t l[8] = { 0 };
	struct device_state *s;
	int ret, i;

	s = host->alloc(host, sizeof(*s));
	if (!s)
		return TQ_ERR_NOMEM;
	memset(s, 0, sizeof(*s));
	s->host = host;
	ret = tqc_state_create(host, plan, queue->device, &s->plan);
	if (ret) {
		host->free(host, s);
		return ret;
	}
	if (plan->index_bits == 4 && plan->codebook.planes == 1) {
		for (i = 0; i < 8; i++)
			l[i] = (uint8_t)(0xBF - ((plan->codebook.odd[8 + i] - 1) / 2));
		memcpy(s->magnitudes, l, sizeof(l));
		s->fast_score4 = plan->dim % 32 == 0 && plan->scale == TQ_F32 && plan->query == TQ_QUERY_S8 &&
				 plan->sketch.kind == TQ_ROT_NONE && plan->center != TQ_CENTER_BOTH;
	}
	*state = s;
	return 0;
}

static void detach(const struct tq_host *host, void *state)
{
	struct device_state *s = state;

	tqc_state_destroy(&s->plan);
	host->free(host, s);
}

static size_t query_size(const void *state)
{
	return ((const struct device_state *)state)->plan.plan.query_bytes;
}

static unsigned grid(const struct device_state *s, size_t rows, unsigned per_processor)
{
	size_t most = (size_t)s->plan.dev->processors * per_processor;

	return (unsigned)(rows < most ? rows : most);
}

/* Enter, launch, leave. Nothing to do is no launch. */
static int start(const struct device_state *s, enum tqc_kernel kernel, const char *what, unsigned gx,
		 unsigned gy, unsigned threads, size_t shared, const struct tq_device_queue *queue,
		 void **params)
{
	struct tqc_device *dev = s->plan.dev;
	CUresult err;
	int ret;

	if (!gx || !gy)
		return 0;
	ret = tqc_enter(dev);
	if (ret)
		return ret;
	err = dev->api.launch(dev->fn[kernel], gx, gy, 1, threads, 1, 1, (unsigned)shared, queue->stream,
			      params, NULL);
	tqc_leave(dev);
	return report(s, what, err);
}

static int encode(const void *state, const struct tq_device_queue *queue, const void *x, int dtype,
		  size_t stride, size_t n, void *codes)
{
	const struct device_state *s = state;
	struct tqc_plan plan = s->plan.plan;
	void *params[] = { &plan, &x, &dtype, &stride, &n, &codes };

	return start(s, TQC_ENCODE, "encode", grid(s, n, 16), 1, s->plan.threads, s->plan.encode_shared, queue,
		     params);
}

static int decode(const void *state, const struct tq_device_queue *queue, const void *codes, size_t n,
		  void *x, int dtype, size_t stride)
{
	const struct device_state *s = state;
	struct tqc_plan plan = s->plan.plan;
	void *params[] = { &plan, &codes, &n, &x, &dtype, &stride };

	return start(s, TQC_DECODE, "decode", grid(s, n, 16), 1, s->plan.threads, s->plan.decode_shared, queue,
		     params);
}

static int query(const void *state, const struct tq_device_queue *queue, const float *x, size_t stride,
		 size_t nq, void *prepared)
{
	const struct device_state *s = state;
	struct tqc_plan plan = s->plan.plan;
	void *params[] = { &plan, &x, &stride, &nq, &prepared };

	return start(s, TQC_QUERY, "query_prepare", grid(s, nq, 16), 1, s->plan.threads, s->plan.encode_shared,
		     queue, params);
}

/* Tensor cores take 16 queries a pass; tiles of 64 rows, 4 stages, then the queries at dim + 16. */
static int score4(const struct device_state *s, const struct tq_device_queue *queue, const uint8_t *prepared,
		  size_t nq, const void *codes, size_t n, float *scores, size_t ld, size_t batch,
		  size_t strides[3])
{
	struct tqc_plan plan = s->plan.plan;
	size_t done, tile = 64 * (size_t)plan.row_bytes, tiles = (n + 63) / 64, shared;
	uint32_t l0 = s->magnitudes[0], l1 = s->magnitudes[1];
	unsigned gx, per;
	int ret = 0;

	for (done = 0; done < nq && !ret; done += 16) {
		unsigned some = nq - done < 16 ? (unsigned)(nq - done) : 16, cols = some > 8 ? 16 : 8;
		const void *q = prepared + done * plan.query_bytes;
		float *out = scores + done * ld;
		void *params[] = { &plan, &q, &some, &codes, &n, &out, &ld, strides, &l0, &l1 };

		shared = 4 * tile + cols * ((size_t)plan.dim + 16);
		per = (unsigned)((size_t)s->plan.dev->shared_max / (shared + 1024));
		gx = grid(s, tiles, per > 12 ? 12 : per ? per : 1);
		if (batch > 1 && gx > 1) {
			gx = (unsigned)((size_t)gx / batch);
			gx = gx ? gx : 1;
		}
		ret = start(s, some > 8 ? TQC_SCORE4_16 : TQC_SCORE4_8, "score", gx, (unsigned)batch, 128, shared,
			    queue, params);
	}
	return ret;
}

static int score(const void *state, const struct tq_device_queue *queue, const void *prepared, size_t nq,
		 const void *codes, size_t n, float *scores, size_t ld, size_t batch, size_t query_stride,
		 size_t code_stride, size_t score_stride)
{
	const struct device_state *s = state;
	struct tqc_plan plan = s->plan.plan;
	size_t strides[3] = { query_stride, code_stride, score_stride }, b;
	const uint8_t *q = prepared, *c = codes;
	const void *ids = NULL;
	unsigned count = (unsigned)nq;
	int ret = 0;

	if (s->fast_score4 && !((uintptr_t)codes & 15) && !(code_stride & 15) &&
	    4 * 64 * (size_t)plan.row_bytes + 16 * ((size_t)plan.dim + 16) + 8192 <= (size_t)s->plan.dev->shared_max)
		return score4(s, queue, prepared, nq, codes, n, scores, ld, batch, strides);
	for (b = 0; b < batch && !ret; b++) {
		void *params[] = { &plan, &q, &count, &c, &ids, &n, &scores, &ld };

		ret = start(s, TQC_SCORE, "score", grid(s, (n + 7) / 8, 8), 1, 256, 0, queue, params);
		q += query_stride;
		c += code_stride;
		scores += score_stride;
	}
	return ret;
}

static int check(const void *state, const struct tq_device_queue *queue, const void *x, int dtype,
		 size_t stride, size_t n, uint64_t *first)
{
	const struct device_state *s = state;
	struct tqc_plan plan = s->plan.plan;
	void *params[] = { &plan, &x, &dtype, &stride, &n, &first };

	return start(s, TQC_CHECK, "check", grid(s, n, 16), 1, 128, 0, queue, params);
}

static int memory_alloc(const void *state, size_t size, void **ptr)
{
	const struct device_state *s = state;
	CUdeviceptr p = 0;
	CUresult err;
	int ret = tqc_enter(s->plan.dev);

	if (ret)
		return ret;
	err = s->plan.dev->api.mem_alloc(&p, size ? size : 1);
	tqc_leave(s->plan.dev);
	*ptr = (void *)p;
	return report(s, "memory_alloc", err);
}

static void memory_free(const void *state, void *ptr)
{
	const struct device_state *s = state;

	if (!ptr || tqc_enter(s->plan.dev))
		return;
	s->plan.dev->api.mem_free((CUdeviceptr)ptr);
	tqc_leave(s->plan.dev);
}

static int copy(const struct device_state *s, CUdeviceptr dev, const void *from, void *to, size_t size)
{
	const struct tqc_api *api = &s->plan.dev->api;
	CUresult err;
	int ret = tqc_enter(s->plan.dev);

	if (ret)
		return ret;
	err = from ? api->copy_in(dev, from, size, NULL) : api->copy_out(to, dev, size, NULL);
	if (!err)
		err = api->stream_sync(NULL);
	tqc_leave(s->plan.dev);
	return report(s, from ? "copy_in" : "copy_out", err);
}

static int copy_in(const void *state, void *to, const void *from, size_t size)
{
	return copy(state, (CUdeviceptr)to, from, NULL, size);
}

static int copy_out(const void *state, void *to, const void *from, size_t size)
{
	return copy(state, (CUdeviceptr)from, NULL, to, size);
}

const struct tq_device_ops tqc_device_ops = {
	.struct_size = sizeof(struct tq_device_ops),
	.attach = attach,
	.detach = detach,
	.query_size = query_size,
	.encode = encode,
	.decode = decode,
	.query = query,
	.score = score,
	.check = check,
	.memory_alloc = memory_alloc,
	.memory_free = memory_free,
	.copy_in = copy_in,
	.copy_out = copy_out,
};
