/* SPDX-License-Identifier: Apache-2.0 */
/*
 * score(grid) for codes in host memory: as many packed queries as dev->queries holds go to the device,
 * then the rows pass by them.
 */
#include "ops.h"

#include <string.h>
#include "state.h"
#include "stream.h"
#include "tq/radix.h"

/* The kernels' arguments: packed queries of @bytes each, or rows packed as such if @pairs */
struct score_call {
	const struct tqo_tables *tables;
	uint32_t nq, bytes, planes;
	int pairs;
};

/* ---- packed queries ---- */

/* Bytes per coordinate of a query: a float, or planes */
static uint32_t query_width(const struct tqo_plan *p)
{
	return p->query == TQ_QUERY_F32 ? 4 : p->query == TQ_QUERY_S16 ? 2 : 1;
}

static size_t query_size(const struct tq_plan *plan, const void *state)
{
	const struct tqo_plan *p = &((const struct tqo_state *)state)->tables.plan;

	return TQO_HEAD_BYTES + (size_t)p->padded * query_width(p) * (p->has_sketch ? 2 : 1);
}

/* One part at @at: its planes, or its floats, padded with zeros; returns its end */
static uint8_t *pack_part(const struct tqo_plan *p, const int8_t *hi, const int8_t *lo, const float *y,
			  uint8_t *at)
{
	memset(at, 0, (size_t)p->padded * query_width(p));
	if (p->query == TQ_QUERY_F32) {
		memcpy(at, y, p->dim * sizeof(*y));
	} else {
		memcpy(at, hi, p->dim);
		if (p->query == TQ_QUERY_S16)
			memcpy(at + p->padded, lo, p->dim);
	}
	return at + (size_t)p->padded * query_width(p);
}

static void query_pack(const struct tq_plan *plan, const void *state, const struct tq_query *q, void *packed)
{
	const struct tqo_plan *p = &((const struct tqo_state *)state)->tables.plan;
	struct tqo_head head = {q->scale, q->sketch_scale, q->add, 0.0f};
	uint8_t *at = (uint8_t *)packed + TQO_HEAD_BYTES;

	memset(packed, 0, TQO_HEAD_BYTES);
	memcpy(packed, &head, sizeof(head));
	at = pack_part(p, q->hi, q->lo, q->y, at);
	if (p->has_sketch)
		pack_part(p, q->sketch_hi, q->sketch_lo, q->sketch_y, at);
}

/* A row of codes as a query against rows: its levels in planes, 256 * hi + lo where there are two */
static void pack_row(const struct tq_plan *plan, const struct tqo_plan *p, const uint8_t *row, uint8_t *packed)
{
	struct tqo_head head = {.scale = tq_load_scale(plan, row)};
	int8_t *hi = (int8_t *)packed + TQO_HEAD_BYTES, *lo = hi + p->padded;
	int16_t level[256];
	uint8_t index[256];
	uint32_t at, n, i;
	int odd, high;

	if (plan->center == TQ_CENTER_BOTH)
		memcpy(&head.add, row + plan->layout.cross_at, sizeof(head.add));
	memset(packed, 0, TQO_HEAD_BYTES + (size_t)p->padded * p->planes);
	memcpy(packed, &head, sizeof(head));
	for (at = 0; at < p->dim; at += n) {
		n = p->dim - at < sizeof(index) ? p->dim - at : (uint32_t)sizeof(index);
		if (plan->radix)
			tq_radix_odd(plan, row, at, n, level);
		else
			tq_unpack_indices(plan, row, at, n, index);
		for (i = 0; i < n; i++) {
			odd = plan->radix ? level[i] : plan->codebook.odd[index[i]];
			high = p->planes == 2 ? (odd + 128) >> 8 : odd;
			hi[at + i] = (int8_t)high;
			if (p->planes == 2)
				lo[at + i] = (int8_t)(odd - 256 * high);
		}
	}
}

/* ---- the work ---- */

static cl_int work(const struct tqo_job *job, struct tqo_lane *l, size_t rows)
{
	const struct score_call *c = job->arg;
	const struct tqo_tables *t = c->tables;
	cl_mem queries = t->dev->queries;
	uint32_t n = (uint32_t)rows;
	cl_int err;

	err = TQO_LAUNCH(t->dev, l, id_tqo_expand, rows * t->plan.padded, 1, TQO_ARG(t->buffer),
			 TQO_ARG(l->in), TQO_ARG(n), TQO_ARG(l->y));
	if (err)
		return err;
	if (t->plan.query == TQ_QUERY_F32 && !c->pairs)
		return TQO_LAUNCH(t->dev, l, id_tqo_score_float, rows * TQO_LANES, c->nq, TQO_ARG(t->buffer),
				  TQO_ARG(queries), TQO_ARG(c->bytes), TQO_ARG(l->in), TQO_ARG(l->y),
				  TQO_ARG(n), TQO_ARG(l->out));
	return TQO_LAUNCH(t->dev, l, id_tqo_score, rows * TQO_LANES, (c->nq + TQO_QUERIES - 1) / TQO_QUERIES,
			  TQO_ARG(t->buffer), TQO_ARG(queries), TQO_ARG(c->nq), TQO_ARG(c->bytes),
			  TQO_ARG(c->planes), TQO_ARG(c->pairs), TQO_ARG(l->in), TQO_ARG(l->y), TQO_ARG(n),
			  TQO_ARG(l->out));
}

/* Queries that fit the device's buffer, and whose scores leave a lane room for many rows */
static size_t most_queries(size_t bytes)
{
	size_t most = TQO_LANE_BYTES / bytes;

	return most < 256 ? most : 256;
}

/* @nq packed queries, at most most_queries(), against @n rows */
static void run(struct tqo_state *s, struct score_call *call, const void *packed, size_t nq,
		const uint8_t *codes, const uint32_t *ids, size_t n, float *scores, size_t ld)
{
	const struct tqo_plan *p = &s->tables.plan;
	size_t planes = (size_t)p->padded * ((p->index_bits ? p->planes : 0) + p->has_sketch);
	struct tqo_job job = {
		.work = work,
		.arg = call,
		.what = call->pairs ? "score_pairs" : "score",
		.in = codes,
		.ids = ids,
		.in_row = p->row_bytes,
		.in_pitch = p->row_bytes,
		.out = (uint8_t *)scores,
		.out_pitch = ld * sizeof(float),
		.lines = nq,
		.queries = packed,
		.query_bytes = nq * call->bytes,
		.row_max = planes,
		.n = n,
	};
	int ret;

	if (job.row_max < p->row_bytes)
		job.row_max = p->row_bytes;
	if (job.row_max < nq * sizeof(float))
		job.row_max = nq * sizeof(float);
	call->tables = &s->tables;
	call->nq = (uint32_t)nq;
	ret = tqo_stream(s->host, s->tables.dev, &job);
	if (ret)
		tqo_state_fail(s, ret);
}

static void score(const struct tq_plan *plan, const void *state, const void *packed, size_t nq,
		  const uint8_t *codes, size_t n, float *scores, size_t ld)
{
	struct tqo_state *s = (struct tqo_state *)(uintptr_t)state;
	size_t bytes = query_size(plan, state), most = most_queries(bytes), some;
	struct score_call call = {.bytes = (uint32_t)bytes, .planes = query_width(&s->tables.plan)};
	const uint8_t *at = packed;

	for (; nq > 0; nq -= some, at += some * bytes, scores += some * ld) {
		some = nq < most ? nq : most;
		run(s, &call, at, some, codes, NULL, n, scores, ld);
	}
}

static void score_list(const struct tq_plan *plan, const void *state, const void *packed,
		       const uint8_t *codes, const uint32_t *ids, size_t n, float *scores)
{
	struct tqo_state *s = (struct tqo_state *)(uintptr_t)state;
	struct score_call call = {
		.bytes = (uint32_t)query_size(plan, state),
		.planes = query_width(&s->tables.plan),
	};

	run(s, &call, packed, 1, codes, ids, n, scores, n);
}

static void score_pairs(const struct tq_plan *plan, const void *state, const uint8_t *a, size_t na,
			const uint8_t *b, size_t nb, float *scores, size_t ld)
{
	struct tqo_state *s = (struct tqo_state *)(uintptr_t)state;
	const struct tqo_plan *p = &s->tables.plan;
	size_t bytes = TQO_HEAD_BYTES + (size_t)p->padded * p->planes, most = most_queries(bytes), some, i;
	struct score_call call = {.bytes = (uint32_t)bytes, .planes = p->planes, .pairs = 1};
	uint8_t *packed = s->host->alloc(s->host, (na < most ? na : most) * bytes);

	if (!packed) {
		s->host->log(s->host, 0, "score_pairs: no memory for packed rows");
		tqo_state_fail(s, TQ_ERR_NOMEM);
		return;
	}
	for (; na > 0; na -= some, scores += some * ld) {
		some = na < most ? na : most;
		for (i = 0; i < some; i++, a += plan->layout.row_bytes)
			pack_row(plan, p, a, packed + i * bytes);
		run(s, &call, packed, some, b, NULL, nb, scores, ld);
	}
	s->host->free(s->host, packed);
}

const struct tq_quantizer_ops tqo_score_ops = {
	.struct_size = sizeof(struct tq_quantizer_ops),
	.create = tqo_plan_create,
	.destroy = tqo_state_destroy,
	.query_size = query_size,
	.query_pack = query_pack,
	.score = score,
	.score_list = score_list,
	.score_pairs = score_pairs,
	.failed = tqo_state_failed,
};
