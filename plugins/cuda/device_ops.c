/* SPDX-License-Identifier: Apache-2.0 */
/* Work on data in device memory, on the embedder's stream: arguments in, launches out. */
#include "device_ops.h"

#include <stdio.h>
#include <string.h>
#include "work.h"

static int report(const struct tqc_device_state *s, const char *what, CUresult err)
{
	char line[256];

	if (!err)
		return 0;
	snprintf(line, sizeof(line), "%s on GPU %d: %s", what, s->plan.dev->ordinal,
		 tqc_error(&s->plan.dev->api, err));
	s->host->log(s->host, 0, line);
	return TQ_ERR_DEVICE;
}

int tqc_ops_enter(const struct tqc_device_state *s, const char *what)
{
	char line[256];
	int ret = tqc_enter(s->plan.dev);

	if (!ret)
		return 0;
	snprintf(line, sizeof(line), "%s on GPU %d: %s", what, s->plan.dev->ordinal,
		 tqc_is_forked(s->plan.dev) ? "forked after init"
					    : "the context cannot be made current");
	s->host->log(s->host, 0, line);
	return ret;
}

int tqc_ops_leave(const struct tqc_device_state *s, const char *what, CUresult err)
{
	tqc_leave(s->plan.dev);
	return report(s, what, err);
}

static int open_device(const struct tq_host *host, int32_t device)
{
	char why[256] = "", name[128];
	int ret = tqc_device_look(device, name, sizeof(name), why, sizeof(why));

	if (ret)
		host->log(host, 0, why);
	return ret;
}

static int attach(const struct tq_host *host, const struct tq_plan *plan,
		  const struct tq_device_queue *queue, void **state)
{
	struct tqc_device_state *s;
	int ret;

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
	*state = s;
	return 0;
}

static void detach(const struct tq_host *host, void *state)
{
	struct tqc_device_state *s = state;

	tqc_state_destroy(&s->plan);
	host->free(host, s);
}

static size_t query_size(const void *state)
{
	return ((const struct tqc_device_state *)state)->plan.plan.query_bytes;
}

static int encode(const void *state, const struct tq_device_queue *queue, const void *x, int dtype,
		  size_t stride, size_t n, void *codes)
{
	const struct tqc_device_state *s = state;
	int ret = tqc_ops_enter(s, "encode");

	return ret ? ret
		   : tqc_ops_leave(s, "encode",
			   tqc_work_encode(&s->plan, queue->stream, (CUdeviceptr)x, dtype, stride,
					   n, (CUdeviceptr)codes));
}

static int decode(const void *state, const struct tq_device_queue *queue, const void *codes,
		  size_t n, void *x, int dtype, size_t stride)
{
	const struct tqc_device_state *s = state;
	int ret = tqc_ops_enter(s, "decode");

	return ret ? ret
		   : tqc_ops_leave(s, "decode",
			   tqc_work_decode(&s->plan, queue->stream, (CUdeviceptr)codes, n,
					   (CUdeviceptr)x, dtype, stride));
}

static int query(const void *state, const struct tq_device_queue *queue, const float *x,
		 size_t stride, size_t nq, const float *adds, void *prepared)
{
	const struct tqc_device_state *s = state;
	int ret = tqc_ops_enter(s, "query");

	return ret ? ret
		   : tqc_ops_leave(s, "query",
			   tqc_work_query(&s->plan, queue->stream, (CUdeviceptr)x, stride, nq,
					  (CUdeviceptr)adds, (CUdeviceptr)prepared));
}

static int score(const void *state, const struct tq_device_queue *queue, const void *prepared,
		 size_t nq, const void *codes, size_t n, float *scores, size_t ld, size_t batch,
		 size_t query_stride, size_t code_stride, size_t score_stride)
{
	struct tqc_batch strides = {query_stride, code_stride, score_stride};
	const struct tqc_device_state *s = state;
	int ret = tqc_ops_enter(s, "score");

	if (batch == 1)
		memset(&strides, 0, sizeof(strides));
	return ret ? ret
		   : tqc_ops_leave(s, "score",
			   tqc_work_score(&s->plan, queue->stream, (CUdeviceptr)prepared, nq,
					  (CUdeviceptr)codes, n, (CUdeviceptr)scores, ld, batch,
					  &strides));
}

static size_t topk_scratch(const void *state, size_t nq, size_t n, size_t k)
{
	return tqc_topk_scratch(nq, n, k);
}

static int topk(const void *state, const struct tq_device_queue *queue, const void *prepared,
		size_t nq, const void *codes, size_t n, size_t k, int64_t *ids, float *scores,
		void *scratch)
{
	const struct tqc_device_state *s = state;
	int ret = tqc_ops_enter(s, "topk");

	return ret ? ret
		   : tqc_ops_leave(s, "topk",
			   tqc_work_topk(&s->plan, queue->stream, (CUdeviceptr)prepared, nq,
					 (CUdeviceptr)codes, n, k, (CUdeviceptr)ids,
					 (CUdeviceptr)scores, (CUdeviceptr)scratch));
}

static int check(const void *state, const struct tq_device_queue *queue, const void *x, int dtype,
		 size_t stride, size_t n, uint64_t *first)
{
	const struct tqc_device_state *s = state;
	int ret = tqc_ops_enter(s, "check");

	return ret ? ret
		   : tqc_ops_leave(s, "check",
			   tqc_work_check(&s->plan, queue->stream, (CUdeviceptr)x, dtype, stride, n,
					  (CUdeviceptr)first));
}

static int memory_alloc(const void *state, size_t size, void **ptr)
{
	const struct tqc_device_state *s = state;
	int ret = tqc_ops_enter(s, "memory_alloc");
	CUdeviceptr p = 0;

	*ptr = NULL;
	if (ret)
		return ret;
	ret = tqc_ops_leave(s, "memory_alloc", s->plan.dev->api.mem_alloc(&p, size ? size : 1));
	*ptr = (void *)p;
	return ret;
}

static void memory_free(const void *state, void *ptr)
{
	const struct tqc_device_state *s = state;

	if (!ptr || tqc_ops_enter(s, "memory_free"))
		return;
	tqc_ops_leave(s, "memory_free", s->plan.dev->api.mem_free((CUdeviceptr)ptr));
}

static int copy_in(const void *state, const struct tq_device_queue *queue, void *to,
		   const void *from, size_t size)
{
	const struct tqc_device_state *s = state;
	const struct tqc_api *api = &s->plan.dev->api;
	int ret = tqc_ops_enter(s, "copy_in");
	CUresult err;

	if (ret)
		return ret;
	err = api->copy_in((CUdeviceptr)to, from, size, queue->stream);
	return tqc_ops_leave(s, "copy_in", err ? err : api->stream_sync(queue->stream));
}

static int copy_out(const void *state, const struct tq_device_queue *queue, void *to,
		    const void *from, size_t size)
{
	const struct tqc_device_state *s = state;
	const struct tqc_api *api = &s->plan.dev->api;
	int ret = tqc_ops_enter(s, "copy_out");
	CUresult err;

	if (ret)
		return ret;
	err = api->copy_out(to, (CUdeviceptr)from, size, queue->stream);
	return tqc_ops_leave(s, "copy_out", err ? err : api->stream_sync(queue->stream));
}

const struct tq_device_ops tqc_device_ops = {
	.struct_size = sizeof(struct tq_device_ops),
	.open = open_device,
	.attach = attach,
	.detach = detach,
	.query_size = query_size,
	.encode = encode,
	.decode = decode,
	.query = query,
	.score = score,
	.topk_scratch = topk_scratch,
	.topk = topk,
	.check = check,
	.memory_alloc = memory_alloc,
	.memory_free = memory_free,
	.copy_in = copy_in,
	.copy_out = copy_out,
	.kv_page = tqc_kv_page,
	.kv_append = tqc_kv_append,
	.kv_scratch = tqc_kv_scratch,
	.kv_attend = tqc_kv_attend,
};
