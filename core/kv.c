/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A KV cache's life: options checked, formats laid out, sizes told before anything is allocated.
 */

#include "kv.h"

#define HEADS_MAX 1024
#define LAYERS_MAX 1024

void tq_kv_options_init(struct tq_kv_options *options)
{
	*options = (struct tq_kv_options){ .struct_size = sizeof(*options), .layers = 1, .kv_heads = 1,
					   .query_heads = 1, .key_dim = 128, .value_dim = 128,
					   .raw_type = TQ_F16, .page_tokens = 128 };
}

static int check_geometry(const struct tq_kv_options *o)
{
	if (!o->layers || o->layers > LAYERS_MAX)
		return tq_fail(TQ_ERR_ARG, "options.layers: %u is not 1..%d", o->layers, LAYERS_MAX);
	if (!o->kv_heads || o->kv_heads > HEADS_MAX)
		return tq_fail(TQ_ERR_ARG, "options.kv_heads: %u is not 1..%d", o->kv_heads, HEADS_MAX);
	if (!o->query_heads || o->query_heads % o->kv_heads || o->query_heads / o->kv_heads > HEADS_MAX)
		return tq_fail(TQ_ERR_ARG, "options.query_heads: %u is not a multiple of kv_heads %u",
			       o->query_heads, o->kv_heads);
	if (!o->key_dim || o->key_dim > TQ_KV_MAX_DIM)
		return tq_fail(TQ_ERR_ARG, "options.key_dim: %u is not 1..%d", o->key_dim, TQ_KV_MAX_DIM);
	if (o->key_raw_dim > TQ_KV_MAX_DIM)
		return tq_fail(TQ_ERR_ARG, "options.key_raw_dim: %u is not 0..%d", o->key_raw_dim,
			       TQ_KV_MAX_DIM);
	if (o->value_dim > TQ_KV_MAX_DIM)
		return tq_fail(TQ_ERR_ARG, "options.value_dim: %u is not 0..%d", o->value_dim,
			       TQ_KV_MAX_DIM);
	if (o->page_tokens % 16 || o->page_tokens > TQ_KV_SPLIT)
		return tq_fail(TQ_ERR_ARG, "options.page_tokens: %u is not a multiple of 16 up to %d",
			       o->page_tokens, TQ_KV_SPLIT);
	return TQ_OK;
}

static int check_centre(const struct tq_context *ctx, const struct tq_kv_options *o)
{
	size_t row;

	if (o->center > TQ_KV_CENTER_LEARN)
		return tq_fail(TQ_ERR_ARG, "options.center: %u is none", o->center);
	if ((o->center == TQ_KV_CENTER_GIVEN) != (o->centre != NULL))
		return tq_fail(TQ_ERR_ARG, "options.centre: %s", o->centre ? "given, but center is not GIVEN" :
									     "NULL, but center is GIVEN");
	if (o->center == TQ_KV_CENTER_LEARN && !o->center_tokens)
		return tq_fail(TQ_ERR_ARG, "options.center_tokens: 0, but center is LEARN");
	if (!o->centre)
		return TQ_OK;
	row = tq_first_nonfinite(ctx, o->centre, TQ_F32, o->key_dim, o->key_dim,
				 (size_t)o->layers * o->kv_heads, NULL);
	if (row < (size_t)o->layers * o->kv_heads)
		return tq_fail(TQ_ERR_NONFINITE, "options.centre: layer %zu, head %zu holds NaN or infinity",
			       row / o->kv_heads, row % o->kv_heads);
	return TQ_OK;
}

static bool span_fits(uint32_t first, uint32_t last, uint32_t n)
{
	return tq_kv_index(first, n) <= tq_kv_index(last, n) && tq_kv_index(last, n) < n;
}

int tq_kv_check_options(const struct tq_context *ctx, const struct tq_kv_options *o)
{
	const struct tq_kv_override *v;
	int ret;

	if (o->struct_size != sizeof(*o))
		return tq_fail(TQ_ERR_ARG, "options.struct_size: %u is not %zu", o->struct_size, sizeof(*o));
	ret = check_geometry(o);
	if (!ret)
		ret = check_centre(ctx, o);
	if (ret)
		return ret;
	if (o->raw_type != TQ_F16 && o->raw_type != TQ_BF16)
		return tq_fail(TQ_ERR_ARG, "options.raw_type: %u is neither TQ_F16 nor TQ_BF16", o->raw_type);
	if (o->noverrides && !o->overrides)
		return tq_fail(TQ_ERR_ARG, "options.overrides is NULL");
	for (v = o->overrides; v < o->overrides + o->noverrides; v++)
		if (!span_fits(v->first_layer, v->last_layer, o->layers) ||
		    !span_fits(v->first_head, v->last_head, o->kv_heads))
			return tq_fail(TQ_ERR_ARG, "options.overrides[%td]: layers %d..%d, heads %d..%d of %u, %u",
				       v - o->overrides, (int)v->first_layer, (int)v->last_layer,
				       (int)v->first_head, (int)v->last_head, o->layers, o->kv_heads);
	return TQ_OK;
}

static void copy_centre(struct tq_kv *kv, const float *centre)
{
	size_t n = (size_t)kv->o.kv_heads * kv->o.key_dim;
	uint32_t i;

	for (i = 0; centre && i < kv->o.layers; i++) {
		memcpy(kv->layers[i].centre, centre + i * n, n * sizeof(*centre));
		atomic_init(&kv->layers[i].centred, true);
	}
}

static int centres_alloc(struct tq_kv *kv)
{
	size_t n = (size_t)kv->o.kv_heads * kv->o.key_dim;
	uint32_t i;

	for (i = 0; kv->o.center && i < kv->o.layers; i++) {
		kv->layers[i].centre = tq_alloc(kv->ctx, n * sizeof(float));
		if (!kv->layers[i].centre)
			return TQ_ERR_NOMEM;
	}
	return TQ_OK;
}

int tq_kv_create(struct tq_context *ctx, const struct tq_kv_options *options, struct tq_kv **out)
{
	struct tq_kv *kv;
	int ret;

	if (!ctx || !options || !out)
		return tq_fail(TQ_ERR_ARG, "%s is NULL", !ctx ? "ctx" : !options ? "options" : "kv");
	*out = NULL;
	ret = tq_kv_check_options(ctx, options);
	if (ret)
		return ret;
	kv = tq_alloc(ctx, sizeof(*kv));
	if (!kv)
		return TQ_ERR_NOMEM;
	kv->ctx = ctx;
	kv->o = *options;
	if (!kv->o.page_tokens)
		kv->o.page_tokens = 128;
	pthread_mutex_init(&kv->lock, NULL);
	kv->layers = tq_alloc(ctx, kv->o.layers * sizeof(*kv->layers));
	ret = kv->layers ? tq_kv_layout(kv) : TQ_ERR_NOMEM;
	if (!ret)
		ret = centres_alloc(kv);
	if (ret) {
		tq_kv_destroy(kv);
		return ret;
	}
	copy_centre(kv, options->centre);
	kv->o.key_spec = kv->o.value_spec = kv->o.driver = NULL;
	kv->o.overrides = NULL;
	kv->o.centre = NULL;
	*out = kv;
	return TQ_OK;
}

/* Where value_dim is 0 a value is its key */
static void free_heads(struct tq_kv *kv, struct tq_kv_head *heads)
{
	uint32_t h;

	for (h = 0; heads && h < kv->o.kv_heads; h++) {
		tq_free(kv->ctx, heads[h].key.order);
		if (kv->o.value_dim)
			tq_free(kv->ctx, heads[h].value.order);
	}
	tq_free(kv->ctx, heads);
}

void tq_kv_destroy(struct tq_kv *kv)
{
	struct tq_kv_codec *c;
	uint32_t i;

	if (!kv)
		return;
	for (i = 0; kv->layers && i < kv->o.layers; i++) {
		free_heads(kv, kv->layers[i].heads);
		tq_free(kv->ctx, kv->layers[i].centre);
	}
	tq_free(kv->ctx, kv->layers);
	while ((c = kv->codecs)) {
		kv->codecs = c->next;
		if (c->attend.choice.driver && c->attend.ops->destroy)
			c->attend.ops->destroy(c->attend.choice.host, c->attend.state);
		tq_quantizer_destroy(c->q);
		tq_free(kv->ctx, c);
	}
	tq_kv_slabs_free(kv);
	pthread_mutex_destroy(&kv->lock);
	tq_free(kv->ctx, kv);
}

uint64_t tq_kv_used(const struct tq_kv *kv)
{
	return kv ? atomic_load(&kv->used) : 0;
}

/* Pages of one layer of one sequence of @tokens appended one after another */
static void count_pages(const struct tq_kv *kv, uint64_t tokens, const struct tq_kv_layer *layer,
			uint64_t *coded, uint64_t *raw)
{
	uint64_t page = kv->o.page_tokens, sinks = tokens < kv->o.sinks ? tokens : kv->o.sinks;
	uint64_t rest = tokens - sinks, window = kv->o.window;

	*coded = layer->coded_bytes && rest > window ? (rest - window) / page : 0;
	if (kv->o.center == TQ_KV_CENTER_LEARN && rest < kv->o.center_tokens)
		*coded = 0;
	*raw = (sinks + page - 1) / page + (rest - *coded * page + page - 1) / page;
}

int tq_kv_size(struct tq_context *ctx, const struct tq_kv_options *options, uint64_t tokens,
	       uint64_t sequences, struct tq_kv_bytes *bytes)
{
	uint64_t coded, raw;
	struct tq_kv *kv;
	uint32_t i;
	int ret;

	if (!bytes)
		return tq_fail(TQ_ERR_ARG, "bytes is NULL");
	if (tokens > UINT64_C(1) << 40 || sequences > UINT64_C(1) << 20)
		return tq_fail(TQ_ERR_ARG, "tokens: %llu in each of %llu sequences exceed any machine",
			       (unsigned long long)tokens, (unsigned long long)sequences);
	ret = tq_kv_create(ctx, options, &kv);
	if (ret)
		return ret;
	*bytes = (struct tq_kv_bytes){ 0 };
	for (i = 0; i < kv->o.layers; i++) {
		count_pages(kv, tokens, &kv->layers[i], &coded, &raw);
		bytes->token += (kv->layers[i].coded_bytes ? kv->layers[i].coded_bytes : kv->raw_bytes) /
				kv->o.page_tokens;
		bytes->coded += coded * kv->layers[i].coded_bytes;
		bytes->window += raw * kv->raw_bytes;
		bytes->raw += kv->raw_bytes / kv->o.page_tokens;
	}
	tq_kv_destroy(kv);
	/* more than @plain in no case but for pages: twice as much, and two of them per layer */
	if (__builtin_mul_overflow(sequences * tokens, bytes->raw, &bytes->plain) ||
	    bytes->plain > UINT64_MAX / 4)
		return tq_fail(TQ_ERR_ARG, "tokens: %llu in each of %llu sequences exceed 64 bits of bytes",
			       (unsigned long long)tokens, (unsigned long long)sequences);
	bytes->total = sequences * (bytes->coded + bytes->window);
	return TQ_OK;
}
