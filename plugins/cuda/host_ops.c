/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encode and decode for data in host memory: chunks go through two pinned buffers and two streams,
 * so that the copies of one chunk overlap the kernel of the other. Everything is allocated at
 * creation.
 */
#include "host_ops.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "work.h"

#define TQC_CHUNK_BYTES (4u << 20)

struct lane {
	CUstream stream;
	void *in, *out;
	CUdeviceptr dev_in, dev_out;
	size_t row0, rows;
};

struct host_state {
	struct tqc_plan_state plan;
	const struct tq_host *host;
	pthread_mutex_t lock;
	size_t chunk_rows;
	struct lane lane[2];
};

static void lanes_free(struct host_state *s)
{
	const struct tqc_api *api = &s->plan.dev->api;
	int i;

	for (i = 0; i < 2; i++) {
		struct lane *l = &s->lane[i];

		if (l->dev_out)
			api->mem_free(l->dev_out);
		if (l->dev_in)
			api->mem_free(l->dev_in);
		if (l->out)
			api->host_free(l->out);
		if (l->in)
			api->host_free(l->in);
		if (l->stream)
			api->stream_destroy(l->stream);
	}
}

static CUresult lanes_alloc(struct host_state *s, size_t bytes)
{
	const struct tqc_api *api = &s->plan.dev->api;
	CUresult err = 0;
	int i;

	for (i = 0; i < 2 && !err; i++) {
		struct lane *l = &s->lane[i];

		err = api->stream_create(&l->stream, CU_STREAM_NON_BLOCKING);
		if (!err)
			err = api->host_alloc(&l->in, bytes, 0);
		if (!err)
			err = api->host_alloc(&l->out, bytes, 0);
		if (!err)
			err = api->mem_alloc(&l->dev_in, bytes);
		if (!err)
			err = api->mem_alloc(&l->dev_out, bytes);
	}
	return err;
}

static int report(const struct host_state *s, const char *what, CUresult err)
{
	char line[256];

	snprintf(line, sizeof(line), "%s on GPU %d: %s", what, s->plan.dev->ordinal,
		 tqc_error(&s->plan.dev->api, err));
	s->host->log(s->host, 0, line);
	return TQ_ERR_DEVICE;
}

static int create(const struct tq_host *host, const struct tq_plan *plan, void **state)
{
	size_t row = 4 * (size_t)plan->dim, bytes;
	struct host_state *s;
	CUresult err;
	int ret;

	if (plan->layout.row_bytes > row)
		row = plan->layout.row_bytes;
	s = host->alloc(host, sizeof(*s));
	if (!s)
		return TQ_ERR_NOMEM;
	memset(s, 0, sizeof(*s));
	s->host = host;
	s->chunk_rows = TQC_CHUNK_BYTES / row ? TQC_CHUNK_BYTES / row : 1;
	bytes = s->chunk_rows * row;
	ret = tqc_state_create(host, plan, 0, &s->plan);
	if (ret)
		goto err_free;
	ret = tqc_enter(s->plan.dev);
	if (ret)
		goto err_state;
	err = lanes_alloc(s, bytes);
	if (err)
		lanes_free(s);
	tqc_leave(s->plan.dev);
	if (err) {
		ret = report(s, "buffers", err);
		goto err_state;
	}
	pthread_mutex_init(&s->lock, NULL);
	*state = s;
	return 0;
err_state:
	tqc_state_destroy(&s->plan);
err_free:
	host->free(host, s);
	return ret;
}

static void destroy(const struct tq_host *host, void *state)
{
	struct host_state *s = state;

	if (!tqc_enter(s->plan.dev)) {
		lanes_free(s);
		tqc_leave(s->plan.dev);
	}
	tqc_state_destroy(&s->plan);
	pthread_mutex_destroy(&s->lock);
	host->free(host, s);
}

/* Queue one chunk of rows: copy in, kernel, copy out, all on the lane's stream. */
static CUresult encode_chunk(struct host_state *s, struct lane *l, const char *x, int dtype,
			     size_t stride, size_t esize)
{
	const struct tqc_api *api = &s->plan.dev->api;
	size_t d = s->plan.plan.dim, i;
	CUresult err;

	for (i = 0; i < l->rows; i++)
		memcpy((char *)l->in + i * d * esize, x + (l->row0 + i) * stride * esize,
		       d * esize);
	err = api->copy_in(l->dev_in, l->in, l->rows * d * esize, l->stream);
	if (!err)
		err = tqc_work_encode(&s->plan, l->stream, l->dev_in, dtype, d, l->rows,
				      l->dev_out);
	if (!err)
		err = api->copy_out(l->out, l->dev_out, l->rows * s->plan.plan.row_bytes,
				    l->stream);
	return err;
}

static CUresult decode_chunk(struct host_state *s, struct lane *l, const uint8_t *codes, int dtype,
			     size_t esize)
{
	const struct tqc_api *api = &s->plan.dev->api;
	size_t d = s->plan.plan.dim, row = s->plan.plan.row_bytes;
	CUresult err;

	memcpy(l->in, codes + l->row0 * row, l->rows * row);
	err = api->copy_in(l->dev_in, l->in, l->rows * row, l->stream);
	if (!err)
		err = tqc_work_decode(&s->plan, l->stream, l->dev_in, l->rows, l->dev_out, dtype,
				      d);
	if (!err)
		err = api->copy_out(l->out, l->dev_out, l->rows * d * esize, l->stream);
	return err;
}

/* Wait for a lane and hand its rows to the caller. */
static CUresult collect(struct host_state *s, struct lane *l, char *to, size_t row, size_t pitch)
{
	CUresult err = s->plan.dev->api.stream_sync(l->stream);
	size_t i;

	for (i = 0; !err && i < l->rows; i++)
		memcpy(to + (l->row0 + i) * pitch, (char *)l->out + i * row, row);
	l->rows = 0;
	return err;
}

/* Both directions: fill a lane, collect the other, until every row went through. */
static int run(struct host_state *s, const void *from, int dtype, size_t stride, size_t n, void *to,
	       int encode)
{
	size_t esize = dtype == TQ_F32 ? 4 : 2, d = s->plan.plan.dim, row0 = 0;
	size_t row = encode ? s->plan.plan.row_bytes : d * esize;
	size_t pitch = encode ? row : stride * esize;
	CUresult err = 0, late;
	unsigned turn = 0;
	int i, ret;

	ret = tqc_enter(s->plan.dev);
	if (ret) {
		s->host->log(s->host, 0,
			     tqc_is_forked(s->plan.dev) ? "forked after init"
							: "the context cannot be made current");
		return ret;
	}
	pthread_mutex_lock(&s->lock);
	for (; row0 < n && !err; turn ^= 1) {
		struct lane *l = &s->lane[turn];

		if (l->rows)
			err = collect(s, l, to, row, pitch);
		if (err)
			break;
		l->row0 = row0;
		l->rows = n - row0 < s->chunk_rows ? n - row0 : s->chunk_rows;
		row0 += l->rows;
		err = encode ? encode_chunk(s, l, from, dtype, stride, esize)
			     : decode_chunk(s, l, from, dtype, esize);
	}
	for (i = 0; i < 2; i++, turn ^= 1) {
		if (!s->lane[turn].rows)
			continue;
		late = collect(s, &s->lane[turn], to, row, pitch);
		if (!err)
			err = late;
	}
	pthread_mutex_unlock(&s->lock);
	tqc_leave(s->plan.dev);
	return err ? report(s, encode ? "encode" : "decode", err) : 0;
}

static int encode(const struct tq_plan *plan, const void *state, const void *x, int dtype,
		  size_t stride, size_t n, uint8_t *codes)
{
	return run((struct host_state *)(uintptr_t)state, x, dtype, stride, n, codes, 1);
}

static int decode(const struct tq_plan *plan, const void *state, const uint8_t *codes, size_t n,
		  void *x, int dtype, size_t stride)
{
	return run((struct host_state *)(uintptr_t)state, codes, dtype, stride, n, x, 0);
}

const struct tq_quantizer_ops tqc_encode_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = create,
	.destroy = destroy,
	.encode = encode,
};

const struct tq_quantizer_ops tqc_decode_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = create,
	.destroy = destroy,
	.decode = decode,
};
