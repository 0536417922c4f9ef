/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encode and decode for data in host memory: chunks go through the device's two lanes, pinned buffers and a stream
 * each, so that the copies of one chunk overlap the kernel of the other. Everything is allocated at creation.
 */
#include "host_ops.h"

#include <stdio.h>
#include <string.h>
#include "work.h"

/* The rows of a chunk that are under way in a lane */
struct chunk {
	size_t row0, rows;
};

struct host_state {
	struct tqc_plan_state plan;
	const struct tq_host *host;
	size_t chunk_rows;
};

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
	size_t row = 4 * (size_t)plan->dim;
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
	s->chunk_rows = TQC_CHUNK_BYTES / row;
	ret = tqc_state_create(host, plan, 0, &s->plan);
	if (ret)
		goto err_free;
	ret = tqc_enter(s->plan.dev);
	if (ret)
		goto err_state;
	err = tqc_device_lanes(s->plan.dev);
	tqc_leave(s->plan.dev);
	if (err) {
		ret = report(s, "buffers", err);
		goto err_state;
	}
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

	tqc_state_destroy(&s->plan);
	host->free(host, s);
}

/* Queue one chunk of rows: copy in, kernel, copy out, all on the lane's stream. */
static CUresult encode_chunk(struct host_state *s, struct tqc_lane *l, const struct chunk *c, const char *x, int dtype,
			     size_t stride, size_t esize)
{
	const struct tqc_api *api = &s->plan.dev->api;
	size_t d = s->plan.plan.dim, i;
	CUresult err;

	for (i = 0; i < c->rows; i++)
		memcpy((char *)l->in + i * d * esize, x + (c->row0 + i) * stride * esize,
		       d * esize);
	err = api->copy_in(l->dev_in, l->in, c->rows * d * esize, l->stream);
	if (!err)
		err = tqc_work_encode(&s->plan, l->stream, l->dev_in, dtype, d, c->rows,
				      l->dev_out);
	if (!err)
		err = api->copy_out(l->out, l->dev_out, c->rows * s->plan.plan.row_bytes,
				    l->stream);
	return err;
}

static CUresult decode_chunk(struct host_state *s, struct tqc_lane *l, const struct chunk *c, const uint8_t *codes,
			     int dtype, size_t esize)
{
	const struct tqc_api *api = &s->plan.dev->api;
	size_t d = s->plan.plan.dim, row = s->plan.plan.row_bytes;
	CUresult err;

	memcpy(l->in, codes + c->row0 * row, c->rows * row);
	err = api->copy_in(l->dev_in, l->in, c->rows * row, l->stream);
	if (!err)
		err = tqc_work_decode(&s->plan, l->stream, l->dev_in, c->rows, l->dev_out, dtype,
				      d);
	if (!err)
		err = api->copy_out(l->out, l->dev_out, c->rows * d * esize, l->stream);
	return err;
}

/* Wait for a lane and hand its rows to the caller. */
static CUresult collect(struct host_state *s, struct tqc_lane *l, struct chunk *c, char *to, size_t row, size_t pitch)
{
	CUresult err = s->plan.dev->api.stream_sync(l->stream);
	size_t i;

	for (i = 0; !err && i < c->rows; i++)
		memcpy(to + (c->row0 + i) * pitch, (char *)l->out + i * row, row);
	c->rows = 0;
	return err;
}

/* Both directions: fill a lane, collect the other, until every row went through. */
static int run(struct host_state *s, const void *from, int dtype, size_t stride, size_t n, void *to,
	       int encode)
{
	size_t esize = dtype == TQ_F32 ? 4 : 2, d = s->plan.plan.dim, row0 = 0;
	size_t row = encode ? s->plan.plan.row_bytes : d * esize;
	size_t pitch = encode ? row : stride * esize;
	struct tqc_device *dev = s->plan.dev;
	struct chunk chunk[2] = {{0}};
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
	pthread_mutex_lock(&dev->lanes_lock);
	for (; row0 < n && !err; turn ^= 1) {
		struct tqc_lane *l = &dev->lane[turn];
		struct chunk *c = &chunk[turn];

		if (c->rows)
			err = collect(s, l, c, to, row, pitch);
		if (err)
			break;
		c->row0 = row0;
		c->rows = n - row0 < s->chunk_rows ? n - row0 : s->chunk_rows;
		row0 += c->rows;
		err = encode ? encode_chunk(s, l, c, from, dtype, stride, esize)
			     : decode_chunk(s, l, c, from, dtype, esize);
	}
	for (i = 0; i < 2; i++, turn ^= 1) {
		if (!chunk[turn].rows)
			continue;
		late = collect(s, &dev->lane[turn], &chunk[turn], to, row, pitch);
		if (!err)
			err = late;
	}
	pthread_mutex_unlock(&dev->lanes_lock);
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
