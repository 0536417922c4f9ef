/* SPDX-License-Identifier: Apache-2.0 */
/* encode(*,grid) and decode(*,grid) for data in host memory. */
#include "ops.h"

#include "state.h"
#include "stream.h"

struct codec_call {
	const struct tqo_tables *tables;
	int dtype;
};

/* The row kernels: TQO_LANES work-items per row */
static size_t row_items(size_t rows)
{
	return rows * TQO_LANES;
}

static cl_int pack_rows(const struct tqo_tables *t, struct tqo_lane *l, uint32_t n)
{
	cl_int err = CL_SUCCESS;
	uint32_t f;

	for (f = 0; f < t->plan.nsections && !err; f++)
		err = TQO_LAUNCH(t->dev, l, id_tqo_pack, (size_t)n * t->plan.section[f].bytes, 1,
				 TQO_ARG(t->buffer), TQO_ARG(l->small), TQO_ARG(n), TQO_ARG(f), TQO_ARG(l->out));
	if (!err && t->plan.has_sketch)
		err = tqo_rotate(t, &t->sketch, l, n, 0);
	if (!err && t->plan.has_sketch)
		err = TQO_LAUNCH(t->dev, l, id_tqo_signs, (size_t)n * t->plan.sketch_bytes, 1,
				 TQO_ARG(t->buffer), TQO_ARG(l->y), TQO_ARG(n), TQO_ARG(l->out));
	return err;
}

static cl_int encode_work(const struct tqo_job *job, struct tqo_lane *l, size_t rows)
{
	const struct codec_call *c = job->arg;
	const struct tqo_tables *t = c->tables;
	uint32_t n = (uint32_t)rows;
	cl_int err;

	err = TQO_LAUNCH(t->dev, l, id_tqo_load, row_items(rows), 1, TQO_ARG(t->buffer), TQO_ARG(l->in),
			 TQO_ARG(c->dtype), TQO_ARG(n), TQO_ARG(l->y), TQO_ARG(l->stat));
	if (!err)
		err = tqo_rotate(t, &t->rotation, l, rows, 0);
	if (!err)
		err = TQO_LAUNCH(t->dev, l, id_tqo_quantize, row_items(rows), 1, TQO_ARG(t->buffer),
				 TQO_ARG(l->y), TQO_ARG(l->stat), TQO_ARG(n), TQO_ARG(l->small),
				 TQO_ARG(l->out));
	return err ? err : pack_rows(t, l, n);
}

/* The unrotated sketch lies in lane->z while the levels are made: the rotation that follows takes z over. */
static cl_int unsketch(const struct tqo_tables *t, struct tqo_lane *l, uint32_t n)
{
	cl_int err;
	cl_mem y;

	err = TQO_LAUNCH(t->dev, l, id_tqo_unsign, (size_t)n * t->plan.dim, 1, TQO_ARG(t->buffer),
			 TQO_ARG(l->in), TQO_ARG(n), TQO_ARG(l->y));
	if (!err)
		err = tqo_rotate(t, &t->sketch, l, n, 1);
	y = l->y;
	l->y = l->z;
	l->z = y;
	return err;
}

static cl_int decode_work(const struct tqo_job *job, struct tqo_lane *l, size_t rows)
{
	const struct codec_call *c = job->arg;
	const struct tqo_tables *t = c->tables;
	size_t items = rows * t->plan.dim;
	uint32_t n = (uint32_t)rows;
	cl_int err = CL_SUCCESS;

	if (t->plan.has_sketch)
		err = unsketch(t, l, n);
	if (!err)
		err = TQO_LAUNCH(t->dev, l, id_tqo_levels, items, 1, TQO_ARG(t->buffer), TQO_ARG(l->in),
				 TQO_ARG(n), TQO_ARG(l->z), TQO_ARG(l->y));
	if (!err)
		err = tqo_rotate(t, &t->rotation, l, rows, 1);
	if (!err)
		err = TQO_LAUNCH(t->dev, l, id_tqo_store, items, 1, TQO_ARG(t->buffer), TQO_ARG(l->in),
				 TQO_ARG(n), TQO_ARG(l->y), TQO_ARG(l->out), TQO_ARG(c->dtype));
	return err;
}

/* The largest of what a row takes in the buffers: floats, codes, or its struct tqo_stat */
static size_t row_max(const struct tqo_plan *p)
{
	size_t most = p->dim * sizeof(float);

	if (most < p->row_bytes)
		most = p->row_bytes;
	return most < sizeof(struct tqo_stat) ? sizeof(struct tqo_stat) : most;
}

static int encode(const struct tq_plan *plan, const void *state, const void *x, int dtype, size_t stride,
		  size_t n, uint8_t *codes)
{
	const struct tqo_state *s = state;
	size_t element = dtype == TQ_F32 ? 4 : 2;
	struct codec_call call = {&s->tables, dtype};
	struct tqo_job job = {
		.work = encode_work,
		.arg = &call,
		.what = "encode",
		.in = x,
		.in_row = plan->dim * element,
		.in_pitch = stride * element,
		.out = codes,
		.out_row = plan->layout.row_bytes,
		.out_pitch = plan->layout.row_bytes,
		.row_max = row_max(&s->tables.plan),
		.n = n,
	};

	return tqo_stream(s->host, s->tables.dev, &job);
}

static int decode(const struct tq_plan *plan, const void *state, const uint8_t *codes, size_t n, void *x,
		  int dtype, size_t stride)
{
	const struct tqo_state *s = state;
	size_t element = dtype == TQ_F32 ? 4 : 2;
	struct codec_call call = {&s->tables, dtype};
	struct tqo_job job = {
		.work = decode_work,
		.arg = &call,
		.what = "decode",
		.in = codes,
		.in_row = plan->layout.row_bytes,
		.in_pitch = plan->layout.row_bytes,
		.out = x,
		.out_row = plan->dim * element,
		.out_pitch = stride * element,
		.row_max = row_max(&s->tables.plan),
		.n = n,
	};

	return tqo_stream(s->host, s->tables.dev, &job);
}

const struct tq_quantizer_ops tqo_encode_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = tqo_plan_create,
	.destroy = tqo_state_destroy,
	.encode = encode,
};

const struct tq_quantizer_ops tqo_decode_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = tqo_plan_create,
	.destroy = tqo_state_destroy,
	.decode = decode,
};
