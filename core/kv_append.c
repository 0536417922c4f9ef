/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New tokens of a layer go into its last 16-bit page; pages that have left the window are coded, whole.
 */

#include <math.h>
#include "kv.h"

/* What is appended, as one token's worth of rows */
struct source {
	const struct tq_kv_rows *rows;
	size_t element;
};

static const char *key_at(const struct tq_kv *kv, const struct source *s, uint32_t token, uint32_t head)
{
	return (const char *)s->rows->keys +
	       ((size_t)token * s->rows->key_stride + (size_t)head * kv->key_width) * s->element;
}

static const char *value_at(const struct tq_kv *kv, const struct source *s, uint32_t token,
			    uint32_t head)
{
	return (const char *)s->rows->values +
	       ((size_t)token * s->rows->value_stride + (size_t)head * kv->o.value_dim) * s->element;
}

static int check_finite(const struct tq_kv *kv, const void *x, int dtype, size_t width, size_t stride,
			uint32_t tokens, const char *what)
{
	size_t row = tq_first_nonfinite(kv->ctx, x, dtype, width, stride, tokens, NULL);
	const char *at;
	uint32_t t;
	size_t i;

	if (row < tokens)
		return tq_fail_row(TQ_ERR_NONFINITE, row, "%s: token %zu holds NaN or infinity", what, row);
	if (kv->o.raw_type != TQ_F16 || dtype == TQ_F16)
		return TQ_OK;
	for (t = 0; t < tokens; t++) {
		at = (const char *)x + t * stride * tq_dtype_size(dtype);
		for (i = 0; i < width; i++)
			if (!(fabsf(tq_load_element(at, dtype, i)) < 65520.0f))
				return tq_fail_row(TQ_ERR_RANGE, t, "%s: token %u exceeds the range of f16",
						   what, t);
	}
	return TQ_OK;
}

static int check_rows(const struct tq_kv *kv, const struct tq_kv_rows *r)
{
	size_t keys = (size_t)kv->o.kv_heads * kv->key_width;
	size_t values = (size_t)kv->o.kv_heads * kv->o.value_dim;
	int ret;

	if (r->struct_size != sizeof(*r))
		return tq_fail(TQ_ERR_ARG, "rows.struct_size: %u is not %zu", r->struct_size, sizeof(*r));
	if (!tq_dtype_size(r->dtype))
		return tq_fail(TQ_ERR_ARG, "rows.dtype: %d is none", r->dtype);
	if (r->tokens && !r->keys)
		return tq_fail(TQ_ERR_ARG, "rows.keys is NULL");
	if (r->tokens && !r->values != !values)
		return tq_fail(TQ_ERR_ARG, "rows.values: %s", values ? "NULL" : "given, but value_dim is 0");
	if (r->tokens && r->key_stride < keys)
		return tq_fail(TQ_ERR_ARG, "rows.key_stride: %zu is less than a token's %zu", r->key_stride, keys);
	if (r->tokens && values && r->value_stride < values)
		return tq_fail(TQ_ERR_ARG, "rows.value_stride: %zu is less than a token's %zu",
			       r->value_stride, values);
	ret = check_finite(kv, r->keys, r->dtype, keys, r->key_stride, r->tokens, "rows.keys");
	if (!ret && values)
		ret = check_finite(kv, r->values, r->dtype, values, r->value_stride, r->tokens,
				   "rows.values");
	return ret;
}

static void store(const struct tq_kv *kv, const char *from, int dtype, uint16_t *to, size_t n)
{
	size_t i;

	if (dtype == (int)kv->o.raw_type) {
		memcpy(to, from, n * sizeof(*to));
		return;
	}
	for (i = 0; i < n; i++)
		tq_store_element(to, (int)kv->o.raw_type, i, tq_load_element(from, dtype, i));
}

static void store_token(const struct tq_kv *kv, const struct source *s, uint32_t token,
			struct tq_kv_page *page, uint32_t row)
{
	size_t stride;
	uint16_t *to;
	uint32_t h;

	for (h = 0; h < kv->o.kv_heads; h++) {
		to = tq_kv_raw_key(kv, page, h, &stride);
		store(kv, key_at(kv, s, token, h), s->rows->dtype, to + row * stride, kv->key_width);
		if (!kv->o.value_dim)
			continue;
		to = tq_kv_raw_value(kv, page, h, &stride);
		store(kv, value_at(kv, s, token, h), s->rows->dtype, to + row * stride, kv->o.value_dim);
	}
}

/* Rows that the last entry can still take: none if it is coded, full, or the end of the sinks */
static uint32_t room_left(const struct tq_kv *kv, const struct tq_kv_run *run)
{
	const struct tq_kv_entry *e;
	uint32_t room;

	if (!run->nentries)
		return 0;
	e = &run->entries[run->nentries - 1];
	if (e->page->coded || tq_kv_end(e) != run->tokens)
		return 0;
	room = kv->o.page_tokens - e->offset - e->count;
	if (e->start < kv->o.sinks && room > kv->o.sinks - tq_kv_end(e))
		room = (uint32_t)(kv->o.sinks - tq_kv_end(e));
	return room;
}

/* A last entry with room, in a page that only this sequence has */
static int open_page(struct tq_kv *kv, uint32_t layer, struct tq_kv_run *run)
{
	struct tq_kv_entry e = { .start = run->tokens }, *last;
	struct tq_kv_page *page;
	int ret;

	if (!room_left(kv, run)) {
		ret = tq_kv_page_new(kv, layer, false, 0, &e.page);
		if (ret)
			return ret;
		ret = tq_kv_run_push(kv, run, &e);
		if (ret)
			tq_kv_page_put(kv, e.page);
		return ret;
	}
	last = &run->entries[run->nentries - 1];
	if (!tq_kv_page_shared(last->page))
		return TQ_OK;
	ret = tq_kv_page_new(kv, layer, false, 0, &page);
	if (ret)
		return ret;
	memcpy(page->data, last->page->data, page->bytes);
	tq_kv_page_put(kv, last->page);
	last->page = page;
	return TQ_OK;
}

/* ---- coding a page ---- */

/* Rows less the centre, and in the order of their groups */
static int encode_moved(struct tq_kv *kv, const struct tq_kv_part *part, const float *centre,
			const uint16_t *from, size_t stride, uint32_t n, unsigned char *to)
{
	size_t d = part->dim, channel, i;
	float *x = tq_alloc(kv->ctx, n * d * sizeof(*x)), v;
	const struct tq_kv_group *g;
	int ret = TQ_OK;
	uint32_t t;

	if (!x)
		return TQ_ERR_NOMEM;
	for (t = 0; t < n; t++) {
		for (i = 0; i < d; i++) {
			channel = part->order ? part->order[i] : i;
			v = tq_load_element(from + t * stride, (int)kv->o.raw_type, channel);
			x[t * d + i] = centre ? v - centre[channel] : v;
		}
	}
	for (g = part->group; !ret && g < part->group + part->groups; g++)
		ret = tq_encode(g->codec->q, x + g->first, d, n, to + g->at);
	tq_free(kv->ctx, x);
	return ret;
}

static void copy_rows(const uint16_t *from, size_t stride, uint32_t n, size_t width, unsigned char *to)
{
	uint32_t t;

	for (t = 0; t < n; t++)
		memcpy(to + 2 * t * width, from + t * stride, 2 * width);
}

static int encode_part(struct tq_kv *kv, const struct tq_kv_part *part, const float *centre,
		       const uint16_t *from, size_t stride, uint32_t n, unsigned char *to)
{
	if (!part->groups) {
		copy_rows(from, stride, n, part->dim, to);
		return TQ_OK;
	}
	if (centre || part->order)
		return encode_moved(kv, part, centre, from, stride, n, to);
	return tq_encode_as(part->group[0].codec->q, from, (int)kv->o.raw_type, stride, n, to);
}

static int encode_head(struct tq_kv *kv, uint32_t layer, uint32_t head, const struct tq_kv_entry *e,
		       struct tq_kv_page *to)
{
	const struct tq_kv_layer *l = &kv->layers[layer];
	const struct tq_kv_head *h = &l->heads[head];
	const float *centre = l->centre ? l->centre + (size_t)head * kv->o.key_dim : NULL;
	const uint16_t *from;
	size_t stride;
	int ret;

	from = tq_kv_raw_key(kv, e->page, head, &stride) + e->offset * (size_t)kv->key_width;
	ret = encode_part(kv, &h->key, centre, from, stride, e->count, to->data + h->key_at);
	copy_rows(from + kv->o.key_dim, stride, e->count, kv->o.key_raw_dim, to->data + h->tail_at);
	if (ret || !kv->o.value_dim)
		return ret;
	from = tq_kv_raw_value(kv, e->page, head, &stride);
	return encode_part(kv, &h->value, NULL, from + e->offset * stride, stride, e->count,
			   to->data + h->value_at);
}

static int encode_entry(struct tq_kv *kv, uint32_t layer, struct tq_kv_entry *e)
{
	size_t credit = tq_kv_page_shared(e->page) ? 0 : e->page->bytes;
	struct tq_kv_page *page;
	uint32_t h;
	int ret;

	ret = tq_kv_page_new(kv, layer, true, credit, &page);
	if (ret)
		return ret;
	for (h = 0; !ret && h < kv->o.kv_heads; h++)
		ret = encode_head(kv, layer, h, e, page);
	if (ret) {
		tq_kv_page_put(kv, page);
		return ret;
	}
	tq_kv_page_put(kv, e->page);
	e->page = page;
	e->offset = 0;
	return TQ_OK;
}

/* ---- the centre ---- */

/* Mean of the first center_tokens keys from entry @first on, all in 16 bits; false if there are fewer */
static bool mean_keys(const struct tq_kv *kv, const struct tq_kv_run *run, size_t first, uint32_t head,
		      float *mean)
{
	uint32_t left = kv->o.center_tokens, t;
	double sum[TQ_KV_MAX_DIM] = { 0 };
	const struct tq_kv_entry *e;
	const uint16_t *row;
	size_t stride, i;

	for (e = run->entries + first; left && e < run->entries + run->nentries; e++) {
		for (t = 0; left && t < e->count; t++, left--) {
			row = tq_kv_raw_key(kv, e->page, head, &stride) + (e->offset + t) * (size_t)kv->key_width;
			for (i = 0; i < kv->o.key_dim; i++)
				sum[i] += (double)tq_load_element(row, (int)kv->o.raw_type, i);
		}
	}
	for (i = 0; !left && i < kv->o.key_dim; i++)
		mean[i] = (float)(sum[i] / kv->o.center_tokens);
	return !left;
}

/* Is the centre there, or can it be learned now? The first sequence to have enough keys decides. */
static bool centre_ready(struct tq_kv *kv, uint32_t layer, const struct tq_kv_run *run, size_t first)
{
	struct tq_kv_layer *l = &kv->layers[layer];
	bool ready = true;
	uint32_t h;

	if (!l->centre || atomic_load(&l->centred))
		return true;
	pthread_mutex_lock(&kv->lock);
	if (!atomic_load(&l->centred)) {
		for (h = 0; ready && h < kv->o.kv_heads; h++)
			ready = mean_keys(kv, run, first, h, l->centre + (size_t)h * kv->o.key_dim);
		atomic_store(&l->centred, ready);
	}
	pthread_mutex_unlock(&kv->lock);
	return ready;
}

/* Code every 16-bit entry behind the sinks that is closed and has the window behind it. */
static int roll(struct tq_kv *kv, uint32_t layer, struct tq_kv_run *run)
{
	struct tq_kv_entry *e;
	size_t i = run->nentries;
	int ret;

	if (!kv->layers[layer].coded_bytes)
		return TQ_OK;
	while (i && !run->entries[i - 1].page->coded && run->entries[i - 1].start >= kv->o.sinks)
		i--;
	for (; i < run->nentries; i++) {
		e = &run->entries[i];
		if (run->tokens - tq_kv_end(e) < kv->o.window ||
		    (i + 1 == run->nentries && e->offset + e->count < kv->o.page_tokens))
			break;
		if (!centre_ready(kv, layer, run, i))
			break;
		ret = encode_entry(kv, layer, e);
		if (ret)
			return ret;
	}
	return TQ_OK;
}

static int append(struct tq_kv *kv, uint32_t layer, struct tq_kv_run *run, const struct source *s)
{
	struct tq_kv_entry *e;
	uint32_t t = 0, n;
	int ret;

	while (t < s->rows->tokens) {
		ret = open_page(kv, layer, run);
		if (ret)
			return ret;
		n = room_left(kv, run);
		if (n > s->rows->tokens - t)
			n = s->rows->tokens - t;
		e = &run->entries[run->nentries - 1];
		for (; n; n--, t++, run->tokens++)
			store_token(kv, s, t, e->page, e->offset + e->count++);
		ret = roll(kv, layer, run);
		if (ret)
			return ret;
	}
	return TQ_OK;
}

int tq_kv_append(struct tq_kv_seq *seq, uint32_t layer, const struct tq_kv_rows *rows)
{
	struct source s = { .rows = rows };
	uint64_t before;
	int ret;

	if (!seq || !rows)
		return tq_fail(TQ_ERR_ARG, "%s is NULL", seq ? "rows" : "seq");
	if (layer >= seq->kv->o.layers)
		return tq_fail(TQ_ERR_ARG, "layer: %u of %u", layer, seq->kv->o.layers);
	ret = check_rows(seq->kv, rows);
	if (ret)
		return ret;
	s.element = tq_dtype_size(rows->dtype);
	before = seq->runs[layer].tokens;
	ret = append(seq->kv, layer, &seq->runs[layer], &s);
	if (ret)
		tq_kv_run_rewind(seq->kv, &seq->runs[layer], before);
	return ret;
}
