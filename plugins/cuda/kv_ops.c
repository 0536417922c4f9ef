/* SPDX-License-Identifier: Apache-2.0 */
/* Attention over a paged KV cache: where things lie in pages and scratch, how work is split, launches. */
#include "device_ops.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include "kv_plan.h"
#include "tq/trellis.h"
#include "work.h"

#define TILE_TOKENS 32
#define SPLITS_MAX 512
/* Coordinates of keys and of values, but for MLA */
#define WIDE_DIM 256
/* 8 columns of dim bytes, and a struct query_scale of 4 rows; 8 columns and 4 factors: unit_bytes() of kv_attend.cuh */
#define UNIT_BYTES(dim, raw) (8 * (size_t)(dim) + 64 + ((raw) ? 16 * (size_t)(raw) + 16 : 0))
/* What kv_mla.cuh is made for, and its shared memory but for tiles: struct mla_shared */
#define MLA_DIM 512
#define MLA_RAW 64
#define MLA_SHARED (16384 + 32768 + 9 * 16 * 40 * 4 + 1024 + 256)

/* A tile's parts: kv_tile.cuh, kv_mla.cuh */
struct tile {
	uint32_t value_at, key_scale_at, value_scale_at, raw_at, bytes;
};

static uint32_t scale_bytes(const struct tqc_plan *p)
{
	return TILE_TOKENS * (p->scale == TQ_F32 ? 4 : 2);
}

/* Bytes of the codes of a tile's rows */
static uint32_t code_bytes(const struct tqc_plan *p)
{
	return TILE_TOKENS / 8 * TQC_KV_PADDED(p->dim) * p->index_bits;
}

/* @values: NULL where keys are the values too, and have a part in 16 bits */
static struct tile tile_of(const struct tqc_plan *keys, const struct tqc_plan *values)
{
	struct tile t = { 0 };

	if (!values) {
		t.key_scale_at = code_bytes(keys);
		t.raw_at = t.key_scale_at + scale_bytes(keys);
		t.bytes = (t.raw_at + TILE_TOKENS * MLA_RAW * 2 + 127) & ~127u;
		return t;
	}
	t.value_at = code_bytes(keys);
	t.key_scale_at = t.value_at + code_bytes(values);
	t.value_scale_at = t.key_scale_at + scale_bytes(keys);
	t.bytes = t.value_scale_at + scale_bytes(values);
	return t;
}

static size_t page_bytes(const struct tile *t, const struct tq_device_kv_options *o)
{
	return (size_t)t->bytes * o->kv_heads * (o->page_tokens / TILE_TOKENS);
}

/* Codes of whole bits: a level to each number of them, or to each state of a trellis */
static int is_served_code(const struct tqc_plan_state *s, char *why, size_t size)
{
	if (s->window || s->plan.count == 1u << s->plan.index_bits)
		return 1;
	snprintf(why, size, "attention: fractions of a bit are not served");
	return 0;
}

/* The kernel for keys that are values too; -1 with the reason if there is none */
static int mla_kernel_of(const struct tqc_plan_state *k, uint32_t raw, char *why, size_t size)
{
	const struct tqc_plan *keys = &k->plan;

	if (keys->dim != MLA_DIM || raw != MLA_RAW) {
		snprintf(why, size, "attention: keys of %u coordinates, which are the values too, and %u in 16 bits: %d and %d are served",
			 keys->dim, raw, MLA_DIM, MLA_RAW);
		return -1;
	}
	if (!is_served_code(k, why, size))
		return -1;
	if (k->window) {
		snprintf(why, size, "attention: trellis codes of keys that are the values too are not served");
		return -1;
	}
	if (keys->index_bits < 2 || keys->index_bits > 4) {
		snprintf(why, size, "attention: %u-bit keys: 2 to 4 bits are served", keys->index_bits);
		return -1;
	}
	if (keys->center || keys->has_sketch) {
		snprintf(why, size, "attention: codes with a centre or a sketch are not served");
		return -1;
	}
	return id_tqc_kv_mla_2 + (int)keys->index_bits - 2;
}

/* Kernels for few bits, no more of values than of keys; -1 if there is none */
static int own_kernel(uint32_t dim, uint32_t key_bits, uint32_t value_bits)
{
	static const struct {
		uint32_t dim;
		int first;
	} known[] = { { 64, id_tqc_kv_attend_64_2_2 },
		      { 96, id_tqc_kv_attend_96_2_2 },
		      { 128, id_tqc_kv_attend_128_2_2 },
		      { 256, id_tqc_kv_attend_256_2_2 } };
	size_t i, n = sizeof(known) / sizeof(known[0]);

	for (i = 0; i < n && known[i].dim != dim; i++)
		;
	if (key_bits <= 4 && value_bits == 1 && (dim == 64 || dim == 128))
		return (dim == 64 ? id_tqc_kv_attend_64_1_1 : id_tqc_kv_attend_128_1_1) + (int)key_bits - 1;
	if (i == n || key_bits > 4 || value_bits < 2 || value_bits > key_bits)
		return -1;
	/* 2_2, 3_2, 3_3, 4_2, ... */
	return known[i].first + (int)(key_bits - 2) * (int)(key_bits - 1) / 2 + (int)value_bits - 2;
}

/* Rows in 16 bits are copied by pieces of eight coordinates: kv_raw.cuh */
static int is_served_dim(uint32_t dim)
{
	return dim <= WIDE_DIM && dim % 8 == 0;
}

/* The kernel for two plans; -1 with the reason if there is none */
static int kernel_of(const struct tqc_plan_state *k, const struct tqc_plan_state *v, char *why, size_t size)
{
	const struct tqc_plan *keys = &k->plan, *values = &v->plan;
	uint32_t key_dim = TQC_KV_PADDED(keys->dim), dim = TQC_KV_PADDED(values->dim);
	int kernel;

	if (!is_served_dim(keys->dim) || !is_served_dim(values->dim)) {
		snprintf(why, size, "attention: keys of %u and values of %u coordinates: multiples of 8 up to %d are served",
			 keys->dim, values->dim, WIDE_DIM);
		return -1;
	}
	if (!is_served_code(k, why, size) || !is_served_code(v, why, size))
		return -1;
	if (keys->center || values->center || keys->has_sketch || values->has_sketch) {
		snprintf(why, size, "attention: codes with a centre or a sketch are not served");
		return -1;
	}
	kernel = key_dim == dim && !k->window && !v->window ? own_kernel(dim, keys->index_bits, values->index_bits) : -1;
	if (kernel >= 0)
		return kernel;
	if (k->window || v->window)
		kernel = !k->window ? id_tqc_kv_tcq_values_64 : !v->window ? id_tqc_kv_tcq_keys_64 : id_tqc_kv_tcq_64;
	else
		kernel = keys->index_bits == 8 && values->index_bits == 8 ? id_tqc_kv_bytes_64 : id_tqc_kv_wide_64;
	return kernel + (dim > 64) + (dim > 128);
}

/* Bytes of a side's table of levels: kv_wide.cuh, tcq_table.cuh */
static uint32_t side_table(const struct tqc_plan_state *s)
{
	uint32_t bits = s->plan.index_bits;

	return s->window ? (uint32_t)TQC_TCQ_TABLE(s->window, bits) : (uint32_t)TQC_WIDE_STEP << bits;
}

/* The tables of kv_sides(), that of keys first: where that of values is, 0 if both have one; bytes of all */
static uint32_t tables_of(const struct tqc_plan_state *k, const struct tqc_plan_state *v, uint32_t *bytes)
{
	uint32_t keys = side_table(k), values = side_table(v);
	/* shipped levels: the same for all sizes */
	int one = k->window == v->window && (!k->window || k->plan.index_bits == v->plan.index_bits);

	*bytes = !one ? keys + values : keys > values ? keys : values;
	return one ? 0 : keys;
}

/* Shared memory of an attend kernel. Tiles of f16 and f32 scales have the same room; @v: NULL for MLA */
static size_t attend_shared(int kernel, const struct tqc_plan_state *k, const struct tqc_plan_state *v)
{
	size_t codes, all, sums;
	uint32_t tables;

	if (!v)
		return TQC_KV_STAGES * (((size_t)code_bytes(&k->plan) + 128 + 64 * MLA_RAW + 127) & ~(size_t)127) + MLA_SHARED;
	codes = (size_t)code_bytes(&k->plan) + code_bytes(&v->plan) + 256;
	if (kernel < id_tqc_kv_wide_64)
		return 4 * TQC_KV_STAGES * codes;
	tables_of(k, v, &tables);
	all = tables + 8 * (size_t)TQC_KV_PADDED(k->plan.dim) + 4 * TQC_WIDE_STAGES * codes;
	/* what the warps put together in the end: store_split() */
	sums = (16 * (size_t)(WIDE_DIM + 8) + 32) * sizeof(float);
	return all > sums ? all : sums;
}

size_t tqc_kv_page(const void *keys, const void *values, const struct tq_device_kv_options *options)
{
	const struct tqc_device_state *k = keys, *v = values;
	const struct tqc_plan *vp = v ? &v->plan.plan : NULL;
	struct tile t = tile_of(&k->plan.plan, vp);
	size_t most = (size_t)k->plan.dev->shared_max - TQC_STATIC_SHARED_MAX, shared;
	char why[160];
	int kernel = v ? kernel_of(&k->plan, &v->plan, why, sizeof(why)) :
			 mla_kernel_of(&k->plan, options->key_raw_dim, why, sizeof(why));

	if (kernel >= 0) {
		shared = attend_shared(kernel, &k->plan, v ? &v->plan : NULL);
		if (shared <= most)
			return page_bytes(&t, options);
		snprintf(why, sizeof(why), "attention: %zu bytes of shared memory are needed, the device has %zu", shared, most);
	}
	k->host->log(k->host, 0, why);
	return 0;
}

static struct tqc_raw raw_of(const struct tq_device_kv_options *o, const void *rows)
{
	struct tqc_raw raw = { (uint8_t *)(uintptr_t)rows, o->sinks, o->recent, o->ring, o->raw_type };

	return raw;
}

/* Keys or values of trellis codes: a block for each row, a warp for each of its segments */
static CUresult append_trellis(const struct tqc_plan_state *s, struct tqc_append *a, size_t tokens, CUstream stream)
{
	const struct tqc_plan *p = &s->plan;
	unsigned warps = (p->dim + TQ_TRELLIS_SEGMENT - 1) / TQ_TRELLIS_SEGMENT;
	struct tqc_launch l = { (enum tqc_kernel)((s->window == 9 ? id_tqc_kv_append_tcq_9_1 : id_tqc_kv_append_tcq_8_1) +
						  (int)p->index_bits - 1),
				"append", (unsigned)(tokens * a->kv_heads), 1, 32 * warps,
				8 * (((size_t)p->dim + 3) & ~(size_t)3) + ((p->row_bytes + 15) & ~15u) +
					warps * TQC_TCQ_TOGETHER(s->window) * (size_t)TQC_TCQ_SEARCH(s->window, p->index_bits),
				stream };
	void *params[] = { (void *)&s->plan, a };

	return tqc_launch(s->dev, &l, params);
}

/* @sides from @a's first on, of plain codes: a block for each row */
static CUresult append_codes(const struct tqc_plan_state *k, const struct tqc_plan_state *v, struct tqc_append *a, unsigned sides,
			     size_t tokens, CUstream stream)
{
	size_t row = k->plan.row_bytes > v->plan.row_bytes ? k->plan.row_bytes : v->plan.row_bytes;
	size_t shared = k->encode_shared > v->encode_shared ? k->encode_shared : v->encode_shared;
	unsigned blocks = sides * (unsigned)(tokens * a->kv_heads);
	/* rows wait for one another at barriers: a warp each, where there are more than run at once */
	unsigned threads = blocks > 16 * (unsigned)k->dev->processors ? 32 : 128;
	struct tqc_launch l = { id_tqc_kv_append, "append", blocks, 1, threads, shared + ((row + 15) & ~(size_t)15), stream };
	void *params[] = { (void *)&k->plan, (void *)&v->plan, a };

	a->sides = sides;
	return tqc_launch(k->dev, &l, params);
}

static CUresult append(const struct tqc_device_state *k, const struct tqc_device_state *v, struct tqc_append *a, unsigned sides,
		       size_t tokens, CUstream stream)
{
	CUresult err;

	if (!k->plan.window && (sides == 1 || !v->plan.window))
		return append_codes(&k->plan, &v->plan, a, sides, tokens, stream);
	err = k->plan.window ? append_trellis(&k->plan, a, tokens, stream) : append_codes(&k->plan, &v->plan, a, 1, tokens, stream);
	if (err)
		return err;
	a->first_side = 1;
	return v->plan.window ? append_trellis(&v->plan, a, tokens, stream) : append_codes(&k->plan, &v->plan, a, 1, tokens, stream);
}

int tqc_kv_append(const void *keys, const void *values, const struct tq_device_queue *queue,
		  const struct tq_device_kv_options *options, const struct tq_device_kv_rows *rows)
{
	const struct tqc_device_state *k = keys, *v = values ? values : keys;
	const struct tqc_plan *kp = &k->plan.plan, *vp = &v->plan.plan;
	struct tile t = tile_of(kp, values ? vp : NULL);
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
		.raw_dim = options->key_raw_dim,
		.raw_at = t.raw_at,
		.raw_type = (int32_t)options->raw_type,
		.raw_row = kp->dim + vp->dim,
		.centre = rows->centre,
		.raw_slots = options->sinks || options->recent ? rows->raw_slots : NULL,
		.raw = raw_of(options, rows->raw),
	};
	int ret = tqc_ops_enter(k, "append");

	return ret ? ret : tqc_ops_leave(k, "append", append(k, v, &a, values ? 2 : 1, rows->tokens, queue->stream));
}

/* ---- attend ---- */

/*
 * How a call is cut up: units of four query rows, @together a block, splits of each, chunks of tokens in 16 bits, tiles and pages whose
 * mass is wanted; and where its scratch lies
 */
struct cut {
	size_t units, together, rows, sums_at, tops_at, raw_sums_at, raw_tops_at, weights_at, mass_at, totals_at, scratch;
	uint32_t passes, splits, chunks, tiles, pages;
	struct tqc_launch launch;
};

/*
 * The number of splits that ends soonest: blocks take turns of as many as fit at once, and each costs about
 * four tiles more than those it reads. Not below a tile for each of the @runs of tiles that a block reads at once.
 */
static uint32_t choose_splits(size_t units, size_t slots, uint32_t max_tokens, size_t runs)
{
	size_t tiles = ((size_t)max_tokens + TILE_TOKENS - 1) / TILE_TOKENS, most = (tiles + runs - 1) / runs, s, cost,
	       least = SIZE_MAX;
	uint32_t best = 1;

	for (s = 1; s <= most && s <= SPLITS_MAX; s++) {
		cost = (units * s + slots - 1) / slots * ((tiles + runs * s - 1) / (runs * s) + 4);
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
	const struct tqc_plan *kp = &k->plan.plan, *vp = v ? &v->plan.plan : kp;
	uint32_t group = o->query_heads / o->kv_heads, dim = vp->dim, warps = v ? 4 : 8;
	size_t rows = (size_t)call->tokens * group;
	char why[160];

	memset(c, 0, sizeof(*c));
	c->together = v ? 1 : 4;
	c->passes = (uint32_t)((rows + 4 * c->together - 1) / (4 * c->together) * c->together);
	c->units = (size_t)call->sequences * o->kv_heads * c->passes;
	c->rows = (size_t)call->sequences * call->tokens * o->query_heads;
	c->launch.kernel = (enum tqc_kernel)(v ? kernel_of(&k->plan, &v->plan, why, sizeof(why)) :
						  mla_kernel_of(&k->plan, o->key_raw_dim, why, sizeof(why)));
	c->launch.what = "attend";
	c->launch.gy = 1;
	c->launch.threads = 32 * warps;
	c->launch.shared = attend_shared((int)c->launch.kernel, &k->plan, v ? &v->plan : NULL);
	c->splits = call->splits;
	if (!c->splits)
		c->splits = choose_splits(c->units / c->together,
					  (size_t)k->plan.dev->processors * tqc_resident(k->plan.dev, &c->launch),
					  call->max_tokens, v ? 4 : 1);
	c->launch.gx = (unsigned)(c->units / c->together * c->splits);
	c->chunks = (uint32_t)(((uint64_t)o->sinks + o->recent + TQC_RAW_CHUNK - 1) / TQC_RAW_CHUNK);
	if (call->page_mass) {
		c->pages = (uint32_t)(((uint64_t)call->max_tokens + o->page_tokens - 1) / o->page_tokens);
		c->tiles = c->pages * (o->page_tokens / TILE_TOKENS);
	}
	c->sums_at = (c->units * UNIT_BYTES(TQC_KV_PADDED(kp->dim), o->key_raw_dim) + 255) & ~(size_t)255;
	c->tops_at = c->sums_at + c->units * c->splits * 4 * TQC_KV_PADDED(dim) * sizeof(float);
	c->raw_sums_at = c->tops_at + c->units * c->splits * 4 * 2 * sizeof(float);
	c->raw_tops_at = c->raw_sums_at + c->units * c->chunks * 4 * dim * sizeof(float);
	c->weights_at = c->raw_tops_at + c->units * c->chunks * 4 * 2 * sizeof(float);
	c->mass_at = c->weights_at + (c->pages ? c->units * c->chunks * 4 * TQC_RAW_CHUNK * sizeof(float) : 0);
	c->totals_at = c->mass_at + c->units * c->tiles * 4 * 2 * sizeof(float);
	c->scratch = c->totals_at + (c->pages ? c->rows * 2 * sizeof(float) : 0);
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
		    struct tqc_attend *a, CUstream stream)
{
	struct tqc_launch query = { id_tqc_kv_query, "attend", (unsigned)((4 + c->chunks) * c->units), 1, 128,
				    c->chunks ? TQC_RAW_SHARED((size_t)k->plan.plan.dim, (size_t)v->plan.plan.dim) :
						2 * sizeof(float) * k->plan.plan.dim, stream };
	struct tqc_launch combine = { id_tqc_kv_combine, "attend", (unsigned)c->rows, 1, TQC_KV_COMBINE,
				      (4 * TQC_KV_COMBINE + 2 * (size_t)v->plan.plan.dim + c->splits + c->chunks) * sizeof(float),
				      stream };
	struct tqc_launch mass = { id_tqc_kv_mass, "attend", (unsigned)(a->mass_pages * a->sequences), 1, 128, 0, stream };
	void *query_params[] = { (void *)&k->plan.plan, a }, *attend_params[] = { a },
	     *combine_params[] = { (void *)&v->plan.plan, a };
	CUresult err;

	c->launch.stream = stream;
	err = tqc_launch(k->plan.dev, &query, query_params);
	if (!err)
		err = tqc_launch_early(k->plan.dev, &c->launch, attend_params);
	if (!err)
		err = tqc_launch_early(k->plan.dev, &combine, combine_params);
	return err || !c->pages ? err : tqc_launch(k->plan.dev, &mass, attend_params);
}

int tqc_kv_attend(const void *keys, const void *values, const struct tq_device_queue *queue,
		  const struct tq_device_kv_options *options, const struct tq_device_kv_call *call)
{
	const struct tqc_device_state *k = keys, *v = values ? values : keys;
	struct tile t = tile_of(&k->plan.plan, values ? &v->plan.plan : NULL);
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
		.raw_dim = options->key_raw_dim,
		.raw_at = t.raw_at,
		.raw_type = (int32_t)options->raw_type,
		.query = call->query,
		.out = call->out,
		.query_stride = call->query_stride,
		.out_stride = call->out_stride,
		.lse = call->lse,
		.centre = call->centre,
		.key_dim = k->plan.plan.dim,
		.dim = v->plan.plan.dim,
		.keep_sinks = call->keep_sinks != 0,
		.raw = raw_of(options, call->raw),
		.areas = call->areas,
		.page_tokens = options->page_tokens,
		.page_mass = call->page_mass,
		.sequences = call->sequences,
	};
	double scale = call->scale > 0.0f ? (double)call->scale : 1.0 / sqrt((double)k->plan.plan.dim + options->key_raw_dim);
	uint8_t *scratch = call->scratch;
	struct cut c;
	int ret;

	cut_up(k, values, options, call, &c);
	a.scale = (float)(scale * 1.4426950408889634);
	a.cap = (float)((double)call->softcap * 1.4426950408889634);
	a.sink_logits = call->sink_logits;
	a.passes = c.passes;
	a.splits = c.splits;
	memcpy(a.key_levels, k->plan.levels, sizeof(a.key_levels));
	memcpy(a.value_levels, v->plan.levels, sizeof(a.value_levels));
	a.key_odd = k->plan.plan.odd;
	a.value_odd = v->plan.plan.odd;
	a.key_bits = k->plan.plan.index_bits;
	a.value_bits = v->plan.plan.index_bits;
	a.key_window = k->plan.window;
	a.value_window = v->plan.window;
	a.value_table = tables_of(&k->plan, &v->plan, &a.tables);
	a.raw_chunks = c.chunks;
	a.mass_tiles = c.tiles;
	a.mass_pages = c.pages;
	a.flush_tiles = c.pages ? 0 : TQC_FLUSH_TILES;
	a.queries = scratch;
	a.sums = (float *)(void *)(scratch + c.sums_at);
	a.tops = (float *)(void *)(scratch + c.tops_at);
	a.raw_sums = (float *)(void *)(scratch + c.raw_sums_at);
	a.raw_tops = (float *)(void *)(scratch + c.raw_tops_at);
	a.raw_weights = (float *)(void *)(scratch + c.weights_at);
	a.tile_mass = (float *)(void *)(scratch + c.mass_at);
	a.totals = (float *)(void *)(scratch + c.totals_at);
	ret = tqc_ops_enter(k, "attend");
	return ret ? ret : tqc_ops_leave(k, "attend", run(k, v, &c, &a, queue->stream));
}
