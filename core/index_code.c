/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows to codes of an index: scaled to norm 1 with cos, less the centroid of their partition, coded, and
 * with the number that index.h calls cross; then what the codes have lost to second codes. And back.
 */

#include <math.h>
#include "args.h"
#include "index.h"
#include "parallel.h"

#define TILE 64
#define FLOATS_PER_TILE 65536

void tq_index_unit(const float *x, float *y, size_t dim)
{
	double n2 = tq_inner(x, x, dim), inv = n2 > 0.0 ? 1.0 / sqrt(n2) : 0.0;
	size_t i;

	for (i = 0; i < dim; i++)
		y[i] = (float)(x[i] * inv);
}

/* y = a - b; in place is allowed */
static void subtract(const float *a, const float *b, float *y, size_t dim)
{
	size_t i;

	for (i = 0; i < dim; i++)
		y[i] = a[i] - b[i];
}

/**
 * struct job - one tq_index_code()
 * @room: for each lane @room_rows: TILE, two more, and with second codes another TILE
 */
struct job {
	const struct tq_index *ix;
	const float *x;
	size_t stride;
	const uint32_t *lists;
	uint8_t *codes, *fine;
	float *room;
	size_t room_rows;
};

/* @x: the row, scaled to norm 1 with cos; @work has room for two rows. */
static float cross_of(const struct tq_index *ix, const float *x, uint32_t list, float *work)
{
	const float *c = tq_index_centre(ix, list);
	float *y = work, *from = work + ix->dim, cross;

	subtract(x, c, y, ix->dim);
	if (ix->metric != TQ_METRIC_L2)
		return tq_dot16(y, ix->mean, ix->dim);
	cross = -0.5f * tq_dot16(y, y, ix->dim);
	if (!ix->centroids)
		return cross;
	subtract(c, ix->mean, from, ix->dim);
	return cross - tq_dot16(y, from, ix->dim);
}

/* Second codes of what was coded from @rows */
static int refine_tile(const struct job *job, size_t first, size_t n, float *rows)
{
	const struct tq_index *ix = job->ix;
	float *back = rows + (size_t)(TILE + 2) * ix->dim;
	int ret;

	ret = tq_decode(ix->q, job->codes + first * ix->row_bytes, n, back, ix->dim);
	if (ret)
		return ret;
	subtract(rows, back, rows, n * ix->dim);
	ret = tq_encode(ix->fine, rows, ix->dim, n, job->fine + first * ix->fine_bytes);
	return ret ? tq_index_fail_at(ret, first) : TQ_OK;
}

/* Up to TILE rows; @rows has room as in struct job. */
static int code_tile(const struct job *job, size_t first, size_t n, float *rows)
{
	const struct tq_index *ix = job->ix;
	size_t d = ix->dim, i, row_bytes = ix->row_bytes;
	uint32_t at = ix->q->plan->layout.cross_at;
	float cross[TILE], *work = rows + TILE * d, *y;
	uint8_t *codes = job->codes + first * row_bytes;
	uint32_t list;
	int ret;

	for (i = 0; i < n; i++) {
		y = rows + i * d;
		list = job->lists ? job->lists[first + i] : 0;
		if (ix->metric == TQ_METRIC_COS)
			tq_index_unit(job->x + (first + i) * job->stride, y, d);
		else
			memcpy(y, job->x + (first + i) * job->stride, d * sizeof(*y));
		if (at != TQ_NO_FIELD)
			cross[i] = cross_of(ix, y, list, work);
		if (ix->centroids)
			subtract(y, tq_index_centre(ix, list), y, d);
	}
	ret = tq_encode(ix->q, rows, d, n, codes);
	if (ret)
		return tq_index_fail_at(ret, first);
	for (i = 0; at != TQ_NO_FIELD && i < n; i++) {
		if ((tq_f32_bits(cross[i]) & 0x7f800000u) == 0x7f800000u)
			return tq_fail_row(TQ_ERR_RANGE, first + i,
					   "x: row %zu: its square exceeds a float", first + i);
		memcpy(codes + i * row_bytes + at, &cross[i], sizeof(cross[i]));
	}
	return ix->fine ? refine_tile(job, first, n, rows) : TQ_OK;
}

static int code_rows(void *arg, uint32_t lane, size_t first, size_t n)
{
	const struct job *job = arg;
	size_t end = first + n, step;
	int ret = TQ_OK;

	for (; !ret && first < end; first += step) {
		step = end - first < TILE ? end - first : TILE;
		ret = code_tile(job, first, step,
				job->room + lane * job->room_rows * job->ix->dim);
	}
	return ret;
}

int tq_index_code(const struct tq_index *ix, const float *x, size_t stride, size_t n,
		  const uint32_t *lists, uint8_t *codes, uint8_t *fine)
{
	struct job job = {ix, x, stride, lists, codes, fine, NULL, TILE + 2};
	size_t tile = tq_rows_tile(FLOATS_PER_TILE, ix->dim);
	bool may = ix->q->pipe.split_encode;
	uint32_t lanes;
	int ret;

	if (ix->fine) {
		job.room_rows += TILE;
		may = may && ix->q->pipe.split_decode && ix->fine->pipe.split_encode;
	}
	lanes = may ? tq_rows_lanes(ix->ctx, n, tile) : 1;
	job.room = tq_alloc(ix->ctx, lanes * job.room_rows * ix->dim * sizeof(float));
	if (!job.room)
		return TQ_ERR_NOMEM;
	ret = tq_rows_run(ix->ctx, n, tile, lanes, code_rows, &job);
	tq_free(ix->ctx, job.room);
	return ret;
}

int tq_index_decode(const struct tq_index *ix, uint64_t place, float *x, float *work)
{
	const struct tq_index_segment *s =
		tq_index_segment_of(&ix->lists[place >> 32], (uint32_t)place);
	const float *c = tq_index_centre(ix, (uint32_t)(place >> 32));
	size_t row = (uint32_t)place - s->first, j;
	const uint8_t *code = s->codes + row * ix->row_bytes;
	uint8_t room[TQ_BLOCK_ROW_MAX];
	int ret;

	if (tq_index_in_blocks(ix, s)) {
		tq_index_get_code(ix, s, (uint32_t)row, room);
		code = room;
	}
	ret = tq_decode(ix->q, code, 1, x, ix->dim);
	if (!ret && ix->fine)
		ret = tq_decode(ix->fine, s->fine + row * ix->fine_bytes, 1, work, ix->dim);
	for (j = 0; !ret && ix->fine && j < ix->dim; j++)
		x[j] = x[j] + work[j];
	for (j = 0; !ret && ix->centroids && j < ix->dim; j++)
		x[j] = x[j] + c[j];
	return ret;
}

float tq_index_add_of(const struct tq_index *ix, const float *q, uint32_t list)
{
	const float *c = tq_index_centre(ix, list);
	float lane[16] = {0}, t;
	size_t i, j;

	if (ix->metric != TQ_METRIC_L2)
		return tq_dot16(c, q, ix->dim);
	for (i = 0; i + 16 <= ix->dim; i += 16)
		for (j = 0; j < 16; j++)
			lane[j] += (q[i + j] - c[i + j]) * (q[i + j] - c[i + j]);
	for (; i < ix->dim; i++) {
		t = q[i] - c[i];
		lane[i % 16] += t * t;
	}
	return -0.5f * tq_sum16(lane);
}

int tq_index_find_add(const struct tq_quantizer *q, size_t *at)
{
	static const float adds[2] = {0x1.234568p3f, -0x1.fdb976p-7f};
	size_t bytes = tq_query_size(q), room = tq_dim(q) * sizeof(float), i, differ = 0;
	char *packed = tq_alloc(q->ctx, 2 * bytes);
	float *zero = tq_alloc(q->ctx, room);
	int ret = TQ_ERR_NOMEM;

	*at = SIZE_MAX;
	if (packed && zero)
		ret = tq_query_prepare_adds(q, zero, tq_dim(q), 1, adds, 2, packed);
	for (i = 0; !ret && i + sizeof(float) <= bytes; i += sizeof(float)) {
		if (!memcmp(packed + i, packed + bytes + i, sizeof(float)))
			continue;
		differ++;
		if (!memcmp(packed + i, &adds[0], sizeof(float)) &&
		    !memcmp(packed + bytes + i, &adds[1], sizeof(float)))
			*at = i;
	}
	if (differ != 1)
		*at = SIZE_MAX;
	tq_free(q->ctx, zero);
	tq_free(q->ctx, packed);
	return ret;
}

int tq_index_assign(const struct tq_index *ix, const float *x, size_t stride, size_t n,
		    uint32_t *lists)
{
	size_t batch = 1024, first, step, i;
	const float *rows = x;
	float *units = NULL;
	int64_t *ids;
	int ret = TQ_OK;

	ids = tq_alloc(ix->ctx, batch * sizeof(*ids));
	if (ix->metric == TQ_METRIC_COS)
		units = tq_alloc(ix->ctx, batch * ix->dim * sizeof(*units));
	if (!ids || (ix->metric == TQ_METRIC_COS && !units))
		ret = TQ_ERR_NOMEM;
	for (first = 0; !ret && first < n; first += step) {
		step = n - first < batch ? n - first : batch;
		for (i = 0; units && i < step; i++)
			tq_index_unit(x + (first + i) * stride, units + i * ix->dim, ix->dim);
		rows = units ? units : x + first * stride;
		ret = tq_index_search(ix->coarse, rows, units ? ix->dim : stride, step, 1, NULL, ids,
				      NULL);
		if (ret)
			ret = tq_index_fail_at(ret, first);
		for (i = 0; !ret && i < step; i++)
			lists[first + i] = ids[i] < 0 ? 0 : (uint32_t)ids[i];
	}
	tq_free(ix->ctx, units);
	tq_free(ix->ctx, ids);
	return ret;
}
