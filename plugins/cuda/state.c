/* SPDX-License-Identifier: Apache-2.0 */
/* A plan's tables on a device: laid out in host memory once, copied in one piece. */
#include "state.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "radix_plan.h"
#include "tq/radix.h"
#include "tq/trellis.h"

/* An image of the device's tables under construction; with @bytes NULL it only counts. */
struct image {
	uint8_t *bytes;
	CUdeviceptr base;
	size_t used;
};

static const void *put(struct image *im, const void *table, size_t size)
{
	size_t at = im->used;

	if (!table || !size)
		return NULL;
	im->used = (at + size + 255) & ~(size_t)255;
	if (im->bytes)
		memcpy(im->bytes + at, table, size);
	return (const void *)(im->base + at);
}

static struct tqc_rotation put_rotation(struct image *im, const struct tq_rotation *rot)
{
	struct tqc_rotation r = {
		.dim = rot->dim,
		.window = rot->window,
		.rounds = rot->rounds,
		.roll = rot->roll,
	};
	size_t d = rot->dim, square = d * d * sizeof(float);

	switch (rot->kind) {
	case TQ_ROT_RHT:
		r.kind = TQC_ROT_RHT;
		r.signs =
			put(im, rot->signs,
			    sizeof(float) * rot->rounds * rot->window * (rot->window < d ? 2 : 1));
		break;
	case TQ_ROT_DENSE:
		r.kind = TQC_ROT_DENSE;
		r.rows = put(im, rot->rows, square);
		r.columns = put(im, rot->columns, square);
		break;
	case TQ_ROT_GIVENS:
		r.kind = TQC_ROT_GIVENS;
		r.order = put(im, rot->order, sizeof(uint32_t) * rot->rounds * d);
		r.cosines = put(im, rot->cosines, sizeof(float) * rot->rounds * (d / 2));
		r.sines = put(im, rot->sines, sizeof(float) * rot->rounds * (d / 2));
		break;
	default:
		r.kind = TQC_ROT_NONE;
	}
	return r;
}

/* The levels of all states take the place of a code's */
static void put_trellis(struct image *im, const struct tq_plan *p, struct tqc_plan *dp)
{
	int16_t odd[TQ_TRELLIS_STATES];
	uint32_t i;

	dp->count = 1u << p->window;
	for (i = 0; i < dp->count; i++)
		odd[i] = p->trellis[i];
	dp->odd = put(im, odd, sizeof(*odd) * dp->count);
}

static void put_radix(struct image *im, const struct tq_radix *x, struct tqc_plan *dp)
{
	struct tqc_radix r = { .digits = x->digits, .words = x->words };
	uint32_t j;

	for (j = 0; j < x->digits; j++) {
		r.count[j] = x->count[j];
		r.place[j] = x->place[j];
		r.base[j] = x->base[j];
		memcpy(r.level[j], x->level[j], sizeof(r.level[j]));
	}
	dp->buckets = put(im, &r, sizeof(r));
}

static uint32_t query_bytes(const struct tq_plan *p)
{
	uint32_t padded = (p->dim + 63) & ~63u, planes = p->query == TQ_QUERY_S16 ? 2 : 1;
	uint32_t plane = p->query == TQ_QUERY_F32 ? 4 * padded : planes * padded;

	return (uint32_t)sizeof(struct tqc_query_head) +
	       plane * (p->sketch.kind != TQ_ROT_NONE ? 2 : 1);
}

/* Does a threshold lie within a hundredth of an edge. The least distance would be an internal error of gcc 12 for aarch64 */
static bool near_edge(const float *bounds, uint32_t n, double width)
{
	double at;
	uint32_t i;

	for (i = 0; i < n; i++) {
		at = bounds[i] / width + 0.5625;
		if (fmin(at - floor(at), ceil(at) - at) < 0.01)
			return true;
	}
	return false;
}

/*
 * The width of buckets of one threshold each: a little narrower than the closest two, no threshold on an edge; an
 * edge lies at 8 k + 3.5 eighths, since a coordinate is rounded to eighths first. 0 if there is none.
 */
static double bucket_width(const float *bounds, uint32_t n)
{
	uint32_t i, narrower;
	double gap = 1e30, width;

	for (i = 1; i < n; i++)
		if ((double)bounds[i] - (double)bounds[i - 1] < gap)
			gap = (double)bounds[i] - (double)bounds[i - 1];
	for (narrower = 1; narrower <= 256; narrower++) {
		width = gap * (1.0 - narrower / 1024.0);
		if (!near_edge(bounds, n, width))
			return width;
	}
	return 0.0;
}

/*
 * Buckets: none where thresholds lie too close for their number, that is where a row's greatest coordinate could lie
 * beyond them
 */
static void put_buckets(struct image *im, const struct tq_plan *p, struct tqc_plan *dp)
{
	const float *bounds = p->codebook.bounds;
	struct tqc_bucket bucket[TQC_BUCKETS];
	uint32_t n = p->codebook.count - 1, i, k;
	double width = bucket_width(bounds, n);

	if (!(sqrt(p->dim) < width * (TQC_BUCKETS / 2 - 2)))
		return;
	for (i = k = 0; i < TQC_BUCKETS; i++) {
		bucket[i] = (struct tqc_bucket){INFINITY, (float)k};
		if (k < n && floor(bounds[k] / width + 0.5625) + TQC_BUCKETS / 2 <= i)
			bucket[i].bound = bounds[k++];
	}
	dp->bucket_unit = (float)(8.0 / width);
	dp->buckets = put(im, bucket, sizeof(bucket));
}

/* The levels above 0, and buckets of the thresholds between them; what lies beyond the last is in that one */
static void put_magnitudes(struct image *im, const struct tq_codebook *book, struct tqc_warp *w)
{
	uint32_t half = book->count / 2, n = half - 1, i, k;
	const float *bounds = book->bounds + half;
	struct tqc_magnitude magnitude[TQC_MAX_STEPS];
	struct tqc_step step[TQC_MAX_STEPS];
	double width = bucket_width(bounds, n), last = n && width > 0.0 ? floor(bounds[n - 1] / width + 0.5625) : 0.0;

	if (!(width > 0.0) || last > TQC_MAX_STEPS - 2 || half > TQC_MAX_STEPS)
		return;
	w->steps = (uint32_t)last + 2;
	for (i = k = 0; i < w->steps; i++) {
		step[i] = (struct tqc_step){INFINITY, k};
		if (k < n && floor(bounds[k] / width + 0.5625) <= i)
			step[i].bound = bounds[k++];
	}
	for (i = 0; i < half; i++)
		magnitude[i] = (struct tqc_magnitude){i ? bounds[i - 1] : 0.0f, book->odd[half + i]};
	w->unit = (float)(8.0 / width);
	w->step = put(im, step, w->steps * sizeof(*step));
	w->magnitude = put(im, magnitude, half * sizeof(*magnitude));
}

/* Plans of the kernels of a warp to a tile (warp_rht.cuh) have rows in a tile */
static void put_warp(struct image *im, const struct tq_plan *p, struct tqc_warp *w)
{
	uint32_t d = p->dim, window = p->rotation.window, tile;

	memset(w, 0, sizeof(*w));
	if (p->window || p->radix || p->rotation.kind != TQ_ROT_RHT || p->sketch.kind != TQ_ROT_NONE || p->index_bits == 0 ||
	    window < 64 || window > 4096)
		return;
	put_magnitudes(im, &p->codebook, w);
	if (!w->steps)
		return;
	w->chunks = (d + 31) / 32;
	w->window = window / 32;
	while (1u << w->shift < w->window)
		w->shift++;
	w->windows = window < d ? 2 : 1;
	if (2 * d == 3 * window)
		w->turn = p->rotation.roll / 32;
	else
		w->spare = window < d;
	w->rows = w->window < 32 ? 32 / w->window : w->window == 32 && !w->spare ? 2 : 1;
	/* chunks of two rows in different banks */
	w->pitch = TQC_CHUNK_PITCH * w->chunks;
	w->pitch += (16 - w->pitch) & 31;
	w->stage = (w->rows * p->layout.row_bytes + 64 + 15) & ~15u;
	tile = w->rows * w->pitch * (uint32_t)sizeof(float);
	w->room = tile * (1 + w->spare) + w->rows * TQC_WARP_NOTE + w->stage;
}

static void fill(struct image *im, const struct tq_plan *p, struct tqc_plan *dp, struct tqc_warp *w)
{
	const struct tq_codebook *book = &p->codebook;
	uint32_t i;

	memset(dp, 0, sizeof(*dp));
	dp->dim = p->dim;
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
	dp->nsections = p->layout.nsections;
	for (i = 0; i < p->layout.nsections; i++)
		dp->section[i] =
			(struct tqc_section){p->layout.section[i].width, p->layout.section[i].shift,
					     p->layout.section[i].at, p->layout.section[i].bytes};
	dp->count = book->count;
	dp->planes = book->planes;
	dp->half_step = book->half_step;
	dp->centre_norm2 = p->centre_norm2;
	dp->query_bytes = query_bytes(p);
	dp->has_sketch = p->sketch.kind != TQ_ROT_NONE;
	if (p->correction == TQ_CORR_QJL_GAUSS)
		dp->coef = (float)(1.2533141373155003 / (double)p->dim);
	else
		dp->coef = (float)((double)book->kappa / sqrt((double)p->dim));
	dp->odd = put(im, book->odd, sizeof(int16_t) * book->count);
	dp->bounds = put(im, book->bounds, sizeof(float) * (book->count ? book->count - 1 : 0));
	if (book->count == 8 || book->count == 16)
		put_buckets(im, p, dp);
	dp->centre = put(im, p->centre, sizeof(float) * p->dim);
	if (p->window)
		put_trellis(im, p, dp);
	if (p->radix)
		put_radix(im, p->radix, dp);
	dp->rot = put_rotation(im, &p->rotation);
	dp->sketch = put_rotation(im, &p->sketch);
	put_warp(im, p, w);
}

static void pack_levels(const struct tq_codebook *book, uint32_t *levels)
{
	uint32_t i;

	memset(levels, 0, 4 * sizeof(*levels));
	for (i = 0; i < book->count && book->count <= 16 && book->planes == 1; i++)
		levels[i / 4] |= (uint32_t)((book->odd[i] + 127) / 2) << 8 * (i & 3);
}

int tqc_state_create(const struct tq_host *host, const struct tq_plan *plan, int ordinal,
		     struct tqc_plan_state *state)
{
	struct image im = {0};
	char why[256] = "";
	CUresult err;
	int ret;

	ret = tqc_device_get(ordinal, &state->dev, why, sizeof(why));
	if (ret)
		goto err_log;
	fill(&im, plan, &state->plan, &state->warp);
	im.bytes = host->alloc(host, im.used + 256);
	if (!im.bytes) {
		ret = TQ_ERR_NOMEM;
		snprintf(why, sizeof(why), "no memory for %zu bytes of tables", im.used);
		goto err_put;
	}
	ret = tqc_enter(state->dev);
	if (ret) {
		snprintf(why, sizeof(why),
			 tqc_is_forked(state->dev) ? "forked after init"
						   : "the context cannot be made current");
		goto err_free;
	}
	err = state->dev->api.mem_alloc(&state->tables, im.used + 256);
	if (err)
		goto err_leave;
	im.base = state->tables;
	im.used = 0;
	fill(&im, plan, &state->plan, &state->warp);
	err = state->dev->api.copy_in(state->tables, im.bytes, im.used, NULL);
	if (!err)
		err = state->dev->api.stream_sync(NULL);
	if (err)
		goto err_mem;
	tqc_leave(state->dev);
	host->free(host, im.bytes);
	pack_levels(&plan->codebook, state->levels);
	state->window = plan->window;
	state->radix = plan->radix != NULL;
	state->threads = plan->dim > 1024 ? 256 : 128;
	state->encode_shared =
		sizeof(float) * (2 * (size_t)plan->dim + (plan->effort ? 17 * 256 : 256));
	state->decode_shared = sizeof(float) * 3 * (size_t)plan->dim;
	return 0;

err_mem:
	state->dev->api.mem_free(state->tables);
err_leave:
	tqc_leave(state->dev);
	ret = TQ_ERR_DEVICE;
	snprintf(why, sizeof(why), "uploading %zu bytes of tables: %s", im.used,
		 tqc_error(&state->dev->api, err));
err_free:
	host->free(host, im.bytes);
err_put:
	tqc_device_put(state->dev);
err_log:
	host->log(host, 0, why);
	return ret;
}

void tqc_state_destroy(struct tqc_plan_state *state)
{
	if (!tqc_enter(state->dev)) {
		state->dev->api.mem_free(state->tables);
		tqc_leave(state->dev);
	}
	tqc_device_put(state->dev);
}
