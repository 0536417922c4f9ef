/* SPDX-License-Identifier: Apache-2.0 */
/* rotate(rht) for rows in host memory. */
#include "ops.h"

#include <stdatomic.h>
#include <string.h>
#include "stream.h"

struct rotate_state {
	struct tqo_tables tables;
	const struct tq_host *host;
	atomic_int failed;
};

struct rotate_call {
	const struct tqo_tables *tables;
	int transpose;
};

static int create(const struct tq_host *host, const struct tq_rotation *rot, void **state)
{
	struct rotate_state *s = host->alloc(host, sizeof(*s));
	int ret;

	if (!s)
		return TQ_ERR_NOMEM;
	memset(s, 0, sizeof(*s));
	s->host = host;
	ret = tqo_tables_create(host, NULL, rot, &s->tables);
	if (ret)
		host->free(host, s);
	else
		*state = s;
	return ret;
}

static void destroy(const struct tq_host *host, void *state)
{
	struct rotate_state *s = state;

	tqo_tables_destroy(&s->tables);
	host->free(host, s);
}

/* The rotation works in lane->y and lane->z, which change places: they stand in for in and out. */
static cl_int work(const struct tqo_job *job, struct tqo_lane *lane, size_t rows)
{
	const struct rotate_call *c = job->arg;
	cl_mem in = lane->in;
	cl_int err;

	lane->in = lane->y;
	lane->y = in;
	err = tqo_rotate(c->tables, &c->tables->rotation, lane, rows, c->transpose);
	in = lane->out;
	lane->out = lane->y;
	lane->y = in;
	return err;
}

static void run(const void *state, const float *x, float *y, size_t n, int transpose)
{
	struct rotate_state *s = (struct rotate_state *)(uintptr_t)state;
	size_t row = s->tables.rotation.dim * sizeof(float);
	struct rotate_call call = {&s->tables, transpose};
	struct tqo_job job = {
		.work = work,
		.arg = &call,
		.what = transpose ? "unrotate" : "rotate",
		.in = (const uint8_t *)x,
		.in_row = row,
		.in_pitch = row,
		.out = (uint8_t *)y,
		.out_row = row,
		.out_pitch = row,
		.row_max = row < 16 ? 16 : row,
		.n = n,
	};
	int ret = tqo_stream(s->host, s->tables.dev, &job);

	if (ret)
		atomic_store(&s->failed, ret);
}

static void rotate(const struct tq_rotation *rot, const void *state, const float *x, float *y, size_t n,
		   float *scratch)
{
	run(state, x, y, n, 0);
}

static void unrotate(const struct tq_rotation *rot, const void *state, const float *x, float *y, size_t n,
		     float *scratch)
{
	run(state, x, y, n, 1);
}

static int failed(const void *state)
{
	return atomic_load(&((struct rotate_state *)(uintptr_t)state)->failed);
}

const struct tq_rotation_ops tqo_rotation_ops = {
	.struct_size = sizeof(struct tq_rotation_ops),
	.create = create,
	.destroy = destroy,
	.rotate = rotate,
	.unrotate = unrotate,
	.failed = failed,
};
