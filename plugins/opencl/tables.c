/* SPDX-License-Identifier: Apache-2.0 */
/* A plan's tables on a device: laid out in host memory once, copied in one piece. */
#include "tables.h"
#include "tq/radix.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* An image of the device's tables under construction; with @bytes NULL it only counts. */
struct image {
	uint8_t *bytes;
	size_t used;
};

static uint32_t put(struct image *im, const void *table, size_t size)
{
	size_t at = im->used;

	if (!table || !size)
		return 0;
	im->used = (at + size + 63) & ~(size_t)63;
	if (im->bytes)
		memcpy(im->bytes + at, table, size);
	return (uint32_t)at;
}

static struct tqo_rotation put_rotation(struct image *im, const struct tq_rotation *rot)
{
	struct tqo_rotation r = {
		.kind = rot->kind,
		.dim = rot->dim,
		.rounds = rot->rounds,
		.roll = rot->roll,
	};
	size_t d = rot->dim, square = d * d * sizeof(float), layers = rot->rounds;

	switch (rot->kind) {
	case TQ_ROT_RHT:
		r.log_window = 31 - (uint32_t)__builtin_clz(rot->window);
		r.signs = put(im, rot->signs, sizeof(float) * layers * rot->window * (rot->window < d ? 2 : 1));
		break;
	case TQ_ROT_DENSE:
		r.rows = put(im, rot->rows, square);
		r.columns = put(im, rot->columns, square);
		break;
	case TQ_ROT_GIVENS:
		r.order = put(im, rot->order, sizeof(uint32_t) * layers * d);
		r.cosines = put(im, rot->cosines, sizeof(float) * layers * (d / 2));
		r.sines = put(im, rot->sines, sizeof(float) * layers * (d / 2));
		break;
	}
	return r;
}

static void put_radix(const struct tq_radix *x, struct tqo_radix *to)
{
	uint32_t j;

	to->digits = x->digits;
	to->words = x->words;
	for (j = 0; j < x->digits; j++) {
		to->count[j] = x->count[j];
		to->place[j] = x->place[j];
		to->base[j] = x->base[j];
	}
}

static void put_plan(struct image *im, const struct tq_plan *p, struct tqo_plan *dp)
{
	const struct tq_codebook *book = &p->codebook;
	uint32_t i;

	memset(dp, 0, sizeof(*dp));
	dp->dim = p->dim;
	dp->padded = (p->dim + 63) & ~63u;
	dp->index_bits = p->index_bits;
	dp->correction = p->correction;
	dp->effort = p->effort;
	dp->center = p->center;
	dp->scale = p->scale;
	dp->query = p->query;
	dp->row_bytes = p->layout.row_bytes;
	dp->cross_at = p->layout.cross_at;
	dp->rnorm_at = p->layout.rnorm_at;
	dp->sketch_at = p->layout.sketch_at;
	dp->sketch_bytes = p->layout.sketch_bytes;
	dp->has_sketch = p->sketch.kind != TQ_ROT_NONE;
	dp->count = book->count;
	dp->planes = book->planes;
	dp->nsections = p->layout.nsections;
	for (i = 0; i < p->layout.nsections; i++)
		dp->section[i] = (struct tqo_section){p->layout.section[i].width, p->layout.section[i].shift,
						      p->layout.section[i].at, p->layout.section[i].bytes};
	if (p->radix)
		put_radix(p->radix, &dp->radix);
	dp->half_step = book->half_step;
	dp->centre_norm2 = p->centre_norm2;
	if (p->correction == TQ_CORR_QJL_GAUSS)
		dp->coef = (float)(1.2533141373155003 / (double)p->dim);
	else
		dp->coef = (float)((double)book->kappa / sqrt((double)p->dim));
	put(im, dp, sizeof(*dp)); /* room at the start; written again when the offsets are known */
	dp->odd_at = put(im, book->odd, sizeof(int16_t) * book->count);
	dp->bounds_at = put(im, book->bounds, sizeof(float) * (book->count ? book->count - 1 : 0));
	dp->centre_at = put(im, p->centre, sizeof(float) * p->dim);
	if (im->bytes)
		memcpy(im->bytes, dp, sizeof(*dp));
}

static void fill(struct image *im, const struct tq_plan *plan, const struct tq_rotation *rot,
		 struct tqo_tables *t)
{
	im->used = 0;
	if (plan) {
		put_plan(im, plan, &t->plan);
		t->sketch = put_rotation(im, &plan->sketch);
		rot = &plan->rotation;
	}
	t->rotation = put_rotation(im, rot);
}

static cl_int upload(struct tqo_tables *t, const struct image *im)
{
	const struct tqo_api *api = &t->dev->api;
	cl_int err;

	t->buffer = api->clCreateBuffer(t->dev->context, CL_MEM_READ_ONLY, im->used + 64, NULL, &err);
	if (err || !im->used)
		return err;
	pthread_mutex_lock(&t->dev->lock);
	err = api->clEnqueueWriteBuffer(t->dev->lane[0].queue, t->buffer, CL_TRUE, 0, im->used, im->bytes, 0,
					NULL, NULL);
	pthread_mutex_unlock(&t->dev->lock);
	if (err)
		api->clReleaseMemObject(t->buffer);
	return err;
}

int tqo_tables_create(const struct tq_host *host, const struct tq_plan *plan, const struct tq_rotation *rot,
		      struct tqo_tables *t)
{
	struct image im = {0};
	char why[1400] = "";
	cl_int err;
	int ret;

	memset(t, 0, sizeof(*t));
	ret = tqo_device_get(host, &t->dev, why, sizeof(why));
	if (ret)
		goto err_log;
	fill(&im, plan, rot, t);
	im.bytes = host->alloc(host, im.used + 64);
	if (!im.bytes) {
		ret = TQ_ERR_NOMEM;
		snprintf(why, sizeof(why), "no memory for %zu bytes of tables", im.used);
		goto err_log;
	}
	fill(&im, plan, rot, t);
	err = upload(t, &im);
	host->free(host, im.bytes);
	if (!err)
		return 0;
	ret = TQ_ERR_DEVICE;
	snprintf(why, sizeof(why), "%s: uploading %zu bytes of tables: %s", t->dev->name, im.used,
		 tqo_error(err));
err_log:
	host->log(host, 0, why);
	return ret;
}

void tqo_tables_destroy(struct tqo_tables *t)
{
	if (!tqo_is_forked(t->dev))
		t->dev->api.clReleaseMemObject(t->buffer);
}

/* ---- rotations ---- */

/* signs, butterflies or, transposed, butterflies, signs: over the window at @first */
static cl_int window(const struct tqo_tables *t, const struct tqo_rotation *rot, struct tqo_lane *l,
		     uint32_t n, uint32_t first, uint32_t signs, int transpose)
{
	uint32_t log_h = 0, stages;
	cl_int err = CL_SUCCESS;

	do {
		uint32_t left = rot->log_window - log_h;
		int before, after;

		stages = left < 4 ? left : 4;
		before = !transpose && log_h == 0;
		after = transpose && left == stages;
		err = TQO_LAUNCH(t->dev, l, id_tqo_butterfly, (size_t)n << (rot->log_window - stages), 1,
				 TQO_ARG(l->y), TQO_ARG(n), TQO_ARG(rot->dim), TQO_ARG(first),
				 TQO_ARG(rot->log_window), TQO_ARG(log_h), TQO_ARG(stages),
				 TQO_ARG(t->buffer), TQO_ARG(signs), TQO_ARG(before), TQO_ARG(after));
		log_h += stages;
	} while (!err && log_h < rot->log_window);
	return err;
}

static void swap_rows(struct tqo_lane *l)
{
	cl_mem y = l->y;

	l->y = l->z;
	l->z = y;
}

static cl_int roll(const struct tqo_tables *t, const struct tqo_rotation *rot, struct tqo_lane *l, uint32_t n,
		   uint32_t by)
{
	cl_int err;

	if (by == 0)
		return CL_SUCCESS;
	err = TQO_LAUNCH(t->dev, l, id_tqo_roll, (size_t)n * rot->dim, 1, TQO_ARG(l->y), TQO_ARG(l->z),
			 TQO_ARG(n), TQO_ARG(rot->dim), TQO_ARG(by));
	swap_rows(l);
	return err;
}

static cl_int rht(const struct tqo_tables *t, const struct tqo_rotation *rot, struct tqo_lane *l, uint32_t n,
		  int transpose)
{
	uint32_t d = rot->dim, w = 1u << rot->log_window, bytes = w * 4, round, head, tail;
	int is_whole = w == d;
	cl_int err = CL_SUCCESS;

	for (round = 0; round < rot->rounds && !err; round++) {
		head = transpose ? rot->rounds - 1 - round : round;
		head = rot->signs + head * bytes * (is_whole ? 1 : 2);
		tail = head + bytes;
		if (transpose && !is_whole) {
			err = roll(t, rot, l, n, rot->roll ? d - rot->roll : 0);
			if (!err)
				err = window(t, rot, l, n, d - w, tail, 1);
		}
		if (!err)
			err = window(t, rot, l, n, 0, head, transpose);
		if (!transpose && !is_whole) {
			if (!err)
				err = window(t, rot, l, n, d - w, tail, 0);
			if (!err)
				err = roll(t, rot, l, n, rot->roll);
		}
	}
	return err;
}

static cl_int givens(const struct tqo_tables *t, const struct tqo_rotation *rot, struct tqo_lane *l,
		     uint32_t n, int transpose)
{
	uint32_t half = rot->dim / 2, i, layer, order, cosines, sines;
	cl_int err = CL_SUCCESS;

	for (i = 0; i < rot->rounds && !err; i++) {
		layer = transpose ? rot->rounds - 1 - i : i;
		order = rot->order + 4 * layer * rot->dim;
		cosines = rot->cosines + 4 * layer * half;
		sines = rot->sines + 4 * layer * half;
		err = TQO_LAUNCH(t->dev, l, id_tqo_givens, (size_t)n * half, 1, TQO_ARG(l->y), TQO_ARG(n),
				 TQO_ARG(rot->dim), TQO_ARG(t->buffer), TQO_ARG(order), TQO_ARG(cosines),
				 TQO_ARG(sines), TQO_ARG(transpose));
	}
	return err;
}

cl_int tqo_rotate(const struct tqo_tables *t, const struct tqo_rotation *rot, struct tqo_lane *l, size_t rows,
		  int transpose)
{
	uint32_t n = (uint32_t)rows, at = transpose ? rot->rows : rot->columns;
	cl_int err = CL_SUCCESS;

	if (rot->kind == TQ_ROT_RHT)
		return rht(t, rot, l, n, transpose);
	if (rot->kind == TQ_ROT_GIVENS)
		return givens(t, rot, l, n, transpose);
	if (rot->kind == TQ_ROT_DENSE) {
		err = TQO_LAUNCH(t->dev, l, id_tqo_dense, rows * rot->dim, 1, TQO_ARG(l->y), TQO_ARG(l->z),
				 TQO_ARG(n), TQO_ARG(rot->dim), TQO_ARG(t->buffer), TQO_ARG(at));
		swap_rows(l);
	}
	return err;
}
