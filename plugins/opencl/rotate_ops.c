/* SPDX-License-Identifier: Apache-2.0 */
/* rotate(rht) for rows in host memory. */
#include "ops.h"

#include "state.h"
#include "stream.h"

struct rotate_call {
	const struct tqo_tables *tables;
	int transpose;
};

static int create(const struct tq_host *host, const struct tq_rotation *rot, void **state)
{
	return tqo_state_create(host, NULL, rot, state);
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
	struct tqo_state *s = (struct tqo_state *)(uintptr_t)state;
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
		tqo_state_fail(s, ret);
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

const struct tq_rotation_ops tqo_rotation_ops = {
	.struct_size = sizeof(struct tq_rotation_ops),
	.create = create,
	.destroy = tqo_state_destroy,
	.rotate = rotate,
	.unrotate = unrotate,
	.failed = tqo_state_failed,
};
