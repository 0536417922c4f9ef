/* SPDX-License-Identifier: Apache-2.0 */
/* Attention over a paged KV cache: where things lie in pages and scratch, how work is split, launches. */
#include "device_ops.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include "work.h"

#define TILE_TOKENS 32
#define SPLITS_MAX 512
/* 8 columns of dim bytes, and factor and bias of 4 rows: unit_bytes() of kv_attend.cuh */
#define UNIT_BYTES(dim) (8 * (size_t)(dim) + 32)

/* A tile's parts: kv_tile.cuh */
struct tile {
	uint32_t value_at, key_scale_at, value_scale_at, bytes;
};

static uint32_t scale_bytes(const struct tqc_plan *p)
{
	return TILE_TOKENS * (p->scale == TQ_F32 ? 4 : 2);
}

static struct tile tile_of(const struct tqc_plan *keys, const struct tqc_plan *values)
{
	struct tile t;

	t.value_at = 4 * keys->dim * keys->index_bits;
	t.key_scale_at = t.value_at + 4 * values->dim * values->index_bits;
	t.value_scale_at = t.key_scale_at + scale_bytes(keys);
	t.bytes = t.value_scale_at + scale_bytes(values);
	return t;
}

static size_t page_bytes(const struct tile *t, const struct tq_device_kv_options *o)
{
	return (size_t)t->bytes * o->kv_heads * (o->page_tokens / TILE_TOKENS);
}

/* The kernel for two plans; -1 with the reason if there is none */
static int kernel_of(const struct tqc_plan *keys, const struct tqc_plan *values, char *why, size_t size)
{
	static const struct {
		uint32_t dim;
		int first;
	} known[] = { { 64, id_tqc_kv_attend_64_2_2 },
		      { 96, id_tqc_kv_attend_96_2_2 },
		      { 128, id_tqc_kv_attend_128_2_2 },
		      { 256, id_tqc_kv_attend_256_2_2 } };
	size_t i, n = sizeof(known) / sizeof(known[0]);

	for (i = 0; i < n && known[i].dim != keys->dim; i++)
		;
	if (i == n || keys->dim != values->dim) {
		snprintf(why, size, "attention: keys of %u and values of %u coordinates: 64, 96, 128 and 256 are served",
			 keys->dim, values->dim);
		return -1;
	}
	if (keys->index_bits > 4 || values->index_bits < 2 || values->index_bits > keys->index_bits) {
		snprintf(why, size, "attention: %u-bit keys and %u-bit values: 2 to 4 bits are served, no more for values",
			 keys->index_bits, values->index_bits);
		return -1;
	}
	if (keys->center || values->center || keys->has_sketch || values->has_sketch) {
		snprintf(why, size, "attention: codes with a centre or a sketch are not served");
		return -1;
	}
	/* 2_2, 3_2, 3_3, 4_2, ... */
	return known[i].first + (int)(keys->index_bits - 2) * (int)(keys->index_bits - 1) / 2 + (int)values->index_bits - 2;
}

size_t tqc_kv_page(const void *keys, const void *values, const struct tq_device_kv_options *options)
{
	const struct tqc_device_state *k = keys, *v = values;
	struct tile t = tile_of(&k->plan.plan, &v->plan.plan);
	char why[160];

	if (kernel_of(&k->plan.plan, &v->plan.plan, why, sizeof(why)) >= 0)
		return page_bytes(&t, options);
	k->host->log(k->host, 0, why);
	return 0;
}

int tqc_kv_append(const void *keys, const void *values, const struct tq_device_queue *queue,
		  const struct tq_device_kv_options *options, const struct tq_device_kv_rows *rows)
{
	const struct tqc_device_state *k = keys, *v = values;
	const struct tqc_plan *kp = &k->plan.plan, *vp = &v->plan.plan;
	struct tile t = tile_of(kp, vp);
	struct tqc_append a = {
		.keys = rows->keys,
		.values = rows->values,
		.key_stride = rows->key_stride,
		.value_stride = rows->value_stride,
		.slots = rows->slots,
		.pages = rows->pages,
		.page_bytes = page_bytes(&t, options),
		.page_tokens = options->page_tokens,
		.tile_bytes = t.bytes,
		.value_at = t.value_at,
		.key_scale_at = t.key_scale_at,
		.value_scale_at = t.value_scale_at,
		.kv_heads = options->kv_heads,
		.dtype = rows->dtype,
	};
	size_t row = kp->row_bytes > vp->row_bytes ? kp->row_bytes : vp->row_bytes;
	size_t shared = k->plan.encode_shared > v->plan.encode_shared ? k->plan.encode_shared :
									v->plan.encode_shared;
	struct tqc_launch l = { id_tqc_kv_append, "append", 2 * rows->tokens * options->kv_heads, 1, 128,
				shared + ((row + 15) & ~(size_t)15), queue->stream };
	void *params[] = { (void *)&k->plan.plan, (void *)&v->plan.plan, &a };
	int ret = tqc_ops_enter(k, "append");

	return ret ? ret : tqc_ops_leave(k, "append", tqc_launch(k->plan.dev, &l, params));
}

/* ---- attend ---- */

/* How a call is cut up: units of four query rows, splits of each, and where its scratch lies */
struct cut {
	size_t units, sums_at, tops_at, scratch;
	uint32_t passes, splits;
	struct tqc_launch launch;
};

/*
 * The number of splits that ends soonest: blocks take turns of as many as fit at once, and each costs about
 * four tiles more than those it reads. Not below a tile per warp.
 */
static uint32_t choose_splits(size_t units, size_t slots, uint32_t max_tokens)
{
	size_t tiles = ((size_t)max_tokens + TILE_TOKENS - 1) / TILE_TOKENS, most = (tiles + 3) / 4, s, cost, least = SIZE_MAX;
	uint32_t best = 1;

	for (s = 1; s <= most && s <= SPLITS_MAX; s++) {
		cost = (units * s + slots - 1) / slots * ((tiles + 4 * s - 1) / (4 * s) + 4);
		if (cost < least) {
			least = cost;
			best = (uint32_t)s;
		}
	}
	return best;
}

static void cut_up(const struct tqc_device_state *k, const struct tqc_device_state *v,
		   const struct tq_device_kv_options *o, const struct tq_device_kv_call *call, struct cut *c)
{
	const struct tqc_plan *kp = &k->plan.plan, *vp = &v->plan.plan;
	uint32_t group = o->query_heads / o->kv_heads, dim = vp->dim;
	size_t room = 4 * (size_t)dim * (kp->index_bits + vp->index_bits) + 256;
	char why[160];

	memset(c, 0, sizeof(*c));
	c->passes = (uint32_t)(((size_t)call->tokens * group + 3) / 4);
	c->units = (size_t)call->sequences * o->kv_heads * c->passes;
	c->launch.kernel = (enum tqc_kernel)kernel_of(kp, vp, why, sizeof(why));
	c->launch.what = "attend";
	c->launch.gy = 1;
	c->launch.threads = 128;
	c->launch.shared = 4 * TQC_KV_STAGES * room;
	c->splits = call->splits;
	if (!c->splits)
		c->splits = choose_splits(c->units, (size_t)k->plan.dev->processors * tqc_resident(k->plan.dev, &c->launch),
					  call->max_tokens);
	c->launch.gx = (unsigned)(c->units * c->splits);
	c->sums_at = (c->units * UNIT_BYTES(dim) + 255) & ~(size_t)255;
	c->tops_at = c->sums_at + c->units * c->splits * 4 * dim * sizeof(float);
	c->scratch = c->tops_at + c->units * c->splits * 4 * 2 * sizeof(float);
}

size_t tqc_kv_scratch(const void *keys, const void *values, const struct tq_device_kv_options *options,
		      const struct tq_device_kv_call *call)
{
	struct cut c;

	cut_up(keys, values, options, call, &c);
	return c.scratch;
}

static uint32_t log2_of(uint32_t n)
{
	uint32_t k = 0;

	while (n >> (k + 1))
		k++;
	return k;
}

static CUresult run(const struct tqc_device_state *k, const struct tqc_device_state *v, struct cut *c,
		    struct tqc_attend *a, size_t rows, CUstream stream)
{
	struct tqc_launch query = { id_tqc_kv_query, "attend", (unsigned)(4 * c->units), 1, 128,
				    2 * sizeof(float) * k->plan.plan.dim, stream };
	struct tqc_launch combine = { id_tqc_kv_combine, "attend", (unsigned)rows, 1, TQC_KV_COMBINE,
				      (4 * TQC_KV_COMBINE + 2 * (size_t)v->plan.plan.dim + c->splits) * sizeof(float), stream };
	void *query_params[] = { (void *)&k->plan.plan, a }, *attend_params[] = { a },
	     *combine_params[] = { (void *)&v->plan.plan, a };
	CUresult err;

	c->launch.stream = stream;
	err = tqc_launch(k->plan.dev, &query, query_params);
	if (!err)
		err = tqc_launch_early(k->plan.dev, &c->launch, attend_params);
	return err ? err : tqc_launch_early(k->plan.dev, &combine, combine_params);
}

int tqc_kv_attend(const void *keys, const void *values, const struct tq_device_queue *queue,
		  const struct tq_device_kv_options *options, const struct tq_device_kv_call *call)
{
	const struct tqc_device_state *k = keys, *v = values;
	struct tile t = tile_of(&k->plan.plan, &v->plan.plan);
	struct tqc_attend a = {
		.pages = call->pages,
		.table = call->table,
		.lengths = call->lengths,
		.table_stride = call->table_stride,
		.page_bytes = page_bytes(&t, options),
		.tile_shift = log2_of(options->page_tokens / TILE_TOKENS),
		.tile_bytes = t.bytes,
		.key_scale_at = t.key_scale_at,
		.value_scale_at = t.value_scale_at,
		.key_scale = (int32_t)k->plan.plan.scale,
		.value_scale = (int32_t)v->plan.plan.scale,
		.dtype = call->dtype,
		.tokens = call->tokens,
		.kv_heads = options->kv_heads,
		.group = options->query_heads / options->kv_heads,
		.window = call->window,
		.query = call->query,
		.out = call->out,
		.query_stride = call->query_stride,
		.out_stride = call->out_stride,
		.lse = call->lse,
	};
	double scale = call->scale > 0.0f ? (double)call->scale : 1.0 / sqrt((double)k->plan.plan.dim);
	size_t rows = (size_t)call->sequences * call->tokens * options->query_heads;
	struct cut c;
	int ret;

	cut_up(k, v, options, call, &c);
	a.scale = (float)(scale * 1.4426950408889634);
	a.cap = (float)((double)call->softcap * 1.4426950408889634);
	a.sink_logits = call->sink_logits;
	a.passes = c.passes;
	a.splits = c.splits;
	memcpy(a.key_levels, k->plan.levels, sizeof(a.key_levels));
	memcpy(a.value_levels, v->plan.levels, sizeof(a.value_levels));
	a.queries = call->scratch;
	a.sums = (float *)(void *)((uint8_t *)call->scratch + c.sums_at);
	a.tops = (float *)(void *)((uint8_t *)call->scratch + c.tops_at);
	ret = tqc_ops_enter(k, "attend");
	return ret ? ret : tqc_ops_leave(k, "attend", run(k, v, &c, &a, rows, queue->stream));
}
