/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the rows of each layer and head are: overrides, codecs, and the places in a coded page. Heads with
 * the same spec share one quantizer. Of a split a page has all rows of the first group, then all of the rest's.
 */

#include "kv.h"

static bool same_spec(const struct tq_spec *a, const struct tq_spec *b)
{
	char x[TQ_SPEC_STRING_MAX], y[TQ_SPEC_STRING_MAX];

	return !tq_spec_print(a, x, sizeof(x)) && !tq_spec_print(b, y, sizeof(y)) && !strcmp(x, y);
}

static int serve(struct tq_kv *kv, struct tq_kv_codec *c)
{
	struct tq_choice choice = { 0 };
	char name[TQ_STAGE_NAME_MAX];
	int ret;

	tq_stage_name(c->q->plan, "attend", NULL, name, sizeof(name));
	ret = tq_select_op(kv->ctx, name, offsetof(struct tq_quantizer_ops, mix), c->q->plan,
			   kv->o.driver, NULL, &choice, &c->q->why);
	if (ret)
		return ret;
	c->attend.ops = choice.driver->ops;
	if (c->attend.ops->create)
		ret = c->attend.ops->create(choice.host, c->q->plan, &c->attend.state);
	if (ret)
		return tq_fail(ret, "%s: create failed: %s", choice.driver->driver_name,
			       tq_status_text(ret));
	c->attend.choice = choice;
	return TQ_OK;
}

/* The codec for a spec: one that is there, or a new one */
static int codec_for(struct tq_kv *kv, const struct tq_spec *spec, uint32_t dim,
		     struct tq_kv_codec **out)
{
	struct tq_quantizer_options o = { .struct_size = sizeof(o), .driver = kv->o.driver };
	struct tq_kv_codec *c;
	int ret;

	for (c = kv->codecs; c; c = c->next) {
		if (tq_dim(c->q) == dim && same_spec(tq_quantizer_spec(c->q), spec)) {
			*out = c;
			return TQ_OK;
		}
	}
	c = tq_alloc(kv->ctx, sizeof(*c));
	if (!c)
		return TQ_ERR_NOMEM;
	ret = tq_quantizer_create(kv->ctx, spec, dim, &o, &c->q);
	if (ret) {
		tq_free(kv->ctx, c);
		return ret;
	}
	c->next = kv->codecs;
	kv->codecs = c;
	*out = c;
	return serve(kv, c);
}

/* A group of @n channels from place @first of the order on, behind the groups that are there */
static int add_group(struct tq_kv *kv, struct tq_kv_part *part, struct tq_spec *spec, uint32_t first, uint32_t n)
{
	struct tq_kv_group *g = &part->group[part->groups];
	int ret;

	/* 8-bit queries would cost more accuracy than 4-bit keys leave in the softmax */
	if (spec->query == TQ_QUERY_AUTO)
		spec->query = TQ_QUERY_S16;
	ret = codec_for(kv, spec, n, &g->codec);
	if (ret)
		return ret;
	g->first = first;
	g->row_bytes = tq_code_size(g->codec->q);
	g->at = part->row_bytes * kv->o.page_tokens;
	part->row_bytes += g->row_bytes;
	part->groups++;
	return TQ_OK;
}

static int split_init(struct tq_kv *kv, struct tq_kv_code *code, const char *what, struct tq_kv_part *part)
{
	uint32_t n, g;
	int ret;

	kv->split = true;
	part->order = tq_alloc(kv->ctx, part->dim * sizeof(*part->order));
	if (!part->order)
		return TQ_ERR_NOMEM;
	ret = tq_kv_order(code, what, part->dim, part->order, &n);
	if (ret)
		return ret;
	for (g = 0; !ret && g < 2; g++)
		ret = add_group(kv, part, &code->spec[g], g ? n : 0, g ? part->dim - n : n);
	if (!ret || ret == TQ_ERR_NOMEM)
		return ret;
	return tq_fail(ret, "%s: group %u: %.400s", what, part->groups, tq_error_text());
}

static int part_init(struct tq_kv *kv, const char *text, const char *what, uint32_t dim, bool value,
		     struct tq_kv_part *part)
{
	struct tq_kv_code code;
	int ret;

	part->dim = dim;
	ret = tq_kv_spec(text, what, value, &code);
	if (ret)
		return ret;
	if (code.groups == 2)
		return split_init(kv, &code, what, part);
	if (code.groups == 1)
		return add_group(kv, part, &code.spec[0], 0, dim);
	part->row_bytes = 2 * (size_t)dim;
	return TQ_OK;
}

static bool covers(const struct tq_kv *kv, const struct tq_kv_override *v, uint32_t layer, uint32_t head)
{
	uint32_t layers = kv->o.layers, heads = kv->o.kv_heads;

	return layer >= tq_kv_index(v->first_layer, layers) && layer <= tq_kv_index(v->last_layer, layers) &&
	       head >= tq_kv_index(v->first_head, heads) && head <= tq_kv_index(v->last_head, heads);
}

static int head_init(struct tq_kv *kv, uint32_t layer, uint32_t head)
{
	const char *key = kv->o.key_spec, *value = kv->o.value_spec;
	const char *key_what = "options.key_spec", *value_what = "options.value_spec";
	struct tq_kv_head *h = &kv->layers[layer].heads[head];
	char text[2][64];
	size_t i;
	int ret;

	for (i = 0; i < kv->o.noverrides; i++) {
		if (!covers(kv, &kv->o.overrides[i], layer, head))
			continue;
		if (kv->o.overrides[i].key_spec) {
			key = kv->o.overrides[i].key_spec;
			snprintf(text[0], sizeof(text[0]), "options.overrides[%zu].key_spec", i);
			key_what = text[0];
		}
		if (kv->o.overrides[i].value_spec) {
			value = kv->o.overrides[i].value_spec;
			snprintf(text[1], sizeof(text[1]), "options.overrides[%zu].value_spec", i);
			value_what = text[1];
		}
	}
	ret = part_init(kv, key, key_what, kv->o.key_dim, !kv->o.value_dim, &h->key);
	if (ret)
		return ret;
	if (kv->o.value_dim)
		return part_init(kv, value, value_what, kv->o.value_dim, true, &h->value);
	h->value = h->key;
	return TQ_OK;
}

static int layer_init(struct tq_kv *kv, uint32_t layer)
{
	struct tq_kv_layer *l = &kv->layers[layer];
	size_t at = 0, tokens = kv->o.page_tokens, query;
	struct tq_kv_head *h;
	bool coded = false;
	uint32_t i, g;
	int ret;

	l->heads = tq_alloc(kv->ctx, kv->o.kv_heads * sizeof(*l->heads));
	if (!l->heads)
		return TQ_ERR_NOMEM;
	for (i = 0; i < kv->o.kv_heads; i++) {
		h = &l->heads[i];
		ret = head_init(kv, layer, i);
		if (ret)
			return ret;
		h->key_at = at;
		h->tail_at = h->key_at + tq_round_up(tokens * h->key.row_bytes, 64);
		at = h->tail_at + tq_round_up(2 * tokens * kv->o.key_raw_dim, 64);
		h->value_at = kv->o.value_dim ? at : h->key_at;
		if (kv->o.value_dim)
			at += tq_round_up(tokens * h->value.row_bytes, 64);
		coded |= h->key.groups || h->value.groups;
		query = 0;
		for (g = 0; g < h->key.groups; g++)
			query += h->key.group[g].codec->q->pipe.query_bytes;
		kv->query_bytes = query > kv->query_bytes ? query : kv->query_bytes;
	}
	l->coded_bytes = coded ? at : 0;
	return TQ_OK;
}

int tq_kv_layout(struct tq_kv *kv)
{
	struct tq_kv_code code;
	uint32_t layer;
	int ret;

	kv->group = kv->o.query_heads / kv->o.kv_heads;
	kv->key_width = kv->o.key_dim + kv->o.key_raw_dim;
	kv->out_dim = kv->o.value_dim ? kv->o.value_dim : kv->o.key_dim;
	kv->query_bytes = 64;
	kv->raw_bytes = 2 * (size_t)kv->o.page_tokens * kv->o.kv_heads *
			((size_t)kv->key_width + kv->o.value_dim);
	ret = tq_kv_spec(NULL, "", false, &code);
	if (!ret)
		ret = codec_for(kv, &code.spec[0], kv->o.key_dim, &kv->base);
	for (layer = 0; !ret && layer < kv->o.layers; layer++)
		ret = layer_init(kv, layer);
	return ret;
}
