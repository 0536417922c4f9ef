/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention over a layer of a KV cache: arguments, scratch, the steps of each block of query rows, and
 * partial results put together.
 */

#include <math.h>
#include "kv_attend.h"
#include "parallel.h"

/* ---- scratch ---- */

/* Takes aligned pieces of the caller's scratch, or only counts them where @base is NULL. */
struct carver {
	unsigned char *base;
	size_t used;
};

static void *carve(struct carver *c, size_t bytes)
{
	void *p = c->base ? c->base + c->used : NULL;

	c->used += (bytes + 63) / 64 * 64;
	return p;
}

/* Lays the arrays of a block out for @entries entries: as many parts at the most */
static size_t lay_out(const struct tq_kv *kv, size_t entries, bool pages, unsigned char *scratch,
		      struct tq_kv_block *b, struct tq_kv_cut **cuts)
{
	size_t heads = kv->o.kv_heads, rows = heads * TQ_KV_ROWS;
	struct carver c = { .base = scratch };

	*cuts = carve(&c, entries * sizeof(**cuts));
	b->queries = carve(&c, rows * kv->key_width * sizeof(float));
	b->prepared_bytes = TQ_KV_ROWS * kv->query_bytes;
	b->prepared = carve(&c, heads * b->prepared_bytes);
	b->bias = carve(&c, rows * sizeof(float));
	b->work = carve(&c, heads * (3 * TQ_KV_ROWS + 1) * kv->out_dim * sizeof(float));
	b->top = carve(&c, entries * rows * sizeof(float));
	b->sum = carve(&c, entries * rows * sizeof(float));
	b->mix = carve(&c, entries * rows * kv->out_dim * sizeof(float));
	b->page_sum = pages ? carve(&c, entries * rows * sizeof(float)) : NULL;
	return c.used;
}

size_t tq_kv_attend_scratch(const struct tq_kv_seq *seq, uint64_t tokens)
{
	struct tq_kv_block b;
	struct tq_kv_cut *cuts;
	size_t most = 1, n;
	uint64_t more;
	uint32_t i;

	if (!seq)
		return 0;
	for (i = 0; i < seq->kv->o.layers; i++) {
		more = tokens > seq->runs[i].tokens ? tokens - seq->runs[i].tokens : 0;
		n = seq->runs[i].nentries + (size_t)(more / seq->kv->o.page_tokens) + 3;
		most = n > most ? n : most;
	}
	return lay_out(seq->kv, most, true, NULL, &b, &cuts);
}

/* ---- arguments ---- */

static int check_call(const struct tq_kv *kv, const struct tq_kv_call *c)
{
	size_t query = (size_t)kv->o.query_heads * kv->key_width, row, i;

	if (c->struct_size != sizeof(*c))
		return tq_fail(TQ_ERR_ARG, "call.struct_size: %u is not %zu", c->struct_size, sizeof(*c));
	if (!c->tokens)
		return tq_fail(TQ_ERR_ARG, "call.tokens: 0");
	if (!tq_dtype_size(c->dtype))
		return tq_fail(TQ_ERR_ARG, "call.dtype: %d is none", c->dtype);
	if (!c->query || !c->out || !c->scratch)
		return tq_fail(TQ_ERR_ARG, "call.%s is NULL", !c->query ? "query" : !c->out ? "out" : "scratch");
	if (c->query_stride < query)
		return tq_fail(TQ_ERR_ARG, "call.query_stride: %zu is less than a token's %zu", c->query_stride,
			       query);
	if (c->out_stride < (size_t)kv->o.query_heads * kv->out_dim)
		return tq_fail(TQ_ERR_ARG, "call.out_stride: %zu is less than a token's %zu", c->out_stride,
			       (size_t)kv->o.query_heads * kv->out_dim);
	if (!(c->scale >= 0.0f && c->scale < INFINITY) || !(c->softcap >= 0.0f && c->softcap < INFINITY))
		return tq_fail(TQ_ERR_ARG, "call.%s: not a finite number of 0 or more",
			       c->scale >= 0.0f && c->scale < INFINITY ? "softcap" : "scale");
	for (i = 0; c->sink_logits && i < kv->o.query_heads; i++)
		if (!(c->sink_logits[i] < INFINITY))
			return tq_fail(TQ_ERR_ARG, "call.sink_logits: head %zu is NaN or infinity", i);
	if ((uintptr_t)c->scratch % 64)
		return tq_fail(TQ_ERR_ARG, "call.scratch: not aligned to 64 bytes");
	row = tq_first_nonfinite(kv->ctx, c->query, c->dtype, query, c->query_stride, c->tokens, NULL);
	if (row < c->tokens)
		return tq_fail_row(TQ_ERR_NONFINITE, row, "call.query: token %zu holds NaN or infinity", row);
	return TQ_OK;
}

/* ---- the parts ---- */

static size_t cut_up(const struct tq_kv_run *run, struct tq_kv_cut *cuts)
{
	size_t n = 0, tokens = 0, i;
	const struct tq_kv_entry *e;

	for (i = 0; i < run->nentries; i++, tokens += e->count) {
		e = &run->entries[i];
		if (n && tokens + e->count <= TQ_KV_SPLIT && e[-1].page->coded == e->page->coded) {
			cuts[n - 1].n++;
			continue;
		}
		cuts[n++] = (struct tq_kv_cut){ .first = (uint32_t)i, .n = 1 };
		tokens = 0;
	}
	return n;
}

/* ---- steps of a block ---- */

static void load_queries(const struct tq_kv_block *b, uint32_t head, float *to)
{
	const struct tq_kv *kv = b->kv;
	size_t at, i;
	uint32_t r;

	for (r = 0; r < b->rows; r++, to += kv->key_width) {
		at = tq_kv_query_token(b, r) * b->call->query_stride +
		     (head * (size_t)kv->group + (b->first + r) % kv->group) * kv->key_width;
		for (i = 0; i < kv->key_width; i++)
			to[i] = tq_load_element(b->call->query, b->call->dtype, at + i);
	}
}

/* A group's channels of each query, or all, prepared for its codec */
static int prepare_group(const struct tq_kv_block *b, const struct tq_kv_part *key, const struct tq_kv_group *g,
			 const float *queries, unsigned char *to)
{
	const struct tq_pipeline *pipe = &g->codec->q->pipe;
	size_t width = b->kv->key_width;
	float x[TQ_KV_MAX_DIM];
	uint32_t r, i;
	int ret = TQ_OK;

	if (!key->order)
		return tq_pipeline_prepare(pipe, queries, width, b->rows, to);
	for (r = 0; !ret && r < b->rows; r++, queries += width, to += pipe->query_bytes) {
		for (i = 0; i < tq_dim(g->codec->q); i++)
			x[i] = queries[key->order[g->first + i]];
		ret = tq_pipeline_prepare(pipe, x, tq_dim(g->codec->q), 1, to);
	}
	return ret;
}

static int prepare_head(const struct tq_kv_block *b, uint32_t head)
{
	const struct tq_kv_part *key = &b->layer->heads[head].key;
	unsigned char *to = b->prepared + head * b->prepared_bytes;
	const struct tq_kv *kv = b->kv;
	float *queries = b->queries + (size_t)head * TQ_KV_ROWS * kv->key_width;
	float *bias = b->bias + (size_t)head * TQ_KV_ROWS;
	bool centred = b->layer->centre && atomic_load(&b->layer->centred);
	int ret = TQ_OK;
	uint32_t r, g;

	load_queries(b, head, queries);
	for (r = 0; r < b->rows; r++)
		bias[r] = !centred ? 0.0f :
				     tq_dot16(queries + r * (size_t)kv->key_width,
					      b->layer->centre + (size_t)head * kv->o.key_dim, kv->o.key_dim);
	for (g = 0; !ret && g < key->groups; g++)
		ret = prepare_group(b, key, &key->group[g], queries, to + tq_kv_prepared_at(key, g));
	return ret;
}

/* acc = acc + mix * factor over a head's row */
static void add_scaled(float *acc, const float *mix, float factor, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		acc[i] = acc[i] + mix[i] * factor;
}

static float row_top(const struct tq_kv_block *b, uint32_t head, uint32_t row, float sink)
{
	const float *top = b->top + head * b->ncuts * TQ_KV_ROWS + row;
	float most = sink;
	size_t s;

	for (s = 0; s < b->ncuts; s++)
		most = top[s * TQ_KV_ROWS] > most ? top[s * TQ_KV_ROWS] : most;
	return most;
}

static void add_page_mass(const struct tq_kv_block *b, uint32_t head, uint32_t row, float most, float total)
{
	const float *top = b->top + head * b->ncuts * TQ_KV_ROWS + row;
	const float *page = b->page_sum + head * b->run->nentries * TQ_KV_ROWS + row;
	const struct tq_kv_cut *cut;
	size_t s, i;

	for (s = 0; s < b->ncuts; s++) {
		cut = &b->cuts[s];
		for (i = cut->first; i < cut->first + cut->n; i++)
			b->call->page_mass[i] += page[i * TQ_KV_ROWS] *
						 tq_exp(top[s * TQ_KV_ROWS] - most) / total;
	}
}

/* Every part of one row, relative to the largest logit. Returns the sum of weights. */
static float gather_row(const struct tq_kv_block *b, uint32_t head, uint32_t row, float most, float sink,
			float *turned, float *plain)
{
	size_t place = head * b->ncuts * TQ_KV_ROWS + row, d = b->kv->out_dim, s;
	bool codes = b->layer->heads[head].value.groups;
	float total = sink > -INFINITY ? tq_exp(sink - most) : 0.0f, coded = 0.0f, factor;
	const struct tq_kv_entry *e;

	memset(turned, 0, d * sizeof(*turned));
	memset(plain, 0, d * sizeof(*plain));
	for (s = 0; s < b->ncuts; s++, place += TQ_KV_ROWS) {
		if (!(b->top[place] > -INFINITY))
			continue;
		e = &b->run->entries[b->cuts[s].first];
		factor = tq_exp(b->top[place] - most);
		total = total + b->sum[place] * factor;
		if (e->page->coded)
			coded = coded + b->sum[place] * factor;
		add_scaled(e->page->coded && codes ? turned : plain, b->mix + place * d, factor, d);
	}
	/* values that are centred keys get the centre back */
	if (!b->kv->o.value_dim && codes && b->layer->centre && coded > 0.0f)
		add_scaled(plain, b->layer->centre + head * d, coded, d);
	return total;
}

static void store_row(const struct tq_kv_block *b, uint32_t head, uint32_t row, const float *x,
		      float total, float most)
{
	size_t token = tq_kv_query_token(b, row), d = b->kv->out_dim, i;
	size_t query_head = head * (size_t)b->kv->group + (b->first + row) % b->kv->group;
	size_t at = token * b->call->out_stride + query_head * d;
	float inv = total > 0.0f ? 1.0f / total : 0.0f;

	for (i = 0; i < d; i++)
		tq_store_element(b->call->out, b->call->dtype, at + i, x[i] * inv);
	if (b->call->lse)
		b->call->lse[token * b->kv->o.query_heads + query_head] =
			total > 0.0f ? (float)((double)most + log((double)total)) : -INFINITY;
}

/* What coded values of one codec add up to, back from its rotation, to what is in @to */
static void add_turned(const struct tq_kv_codec *codec, const float *turned, uint32_t rows, float *back,
		       const uint32_t *order, float *to)
{
	const struct tq_map *map = &codec->q->pipe.rotation;
	const float *scales = codec->q->pipe.scales;
	size_t d = tq_dim(codec->q), i;

	map->ops->unrotate(map->rot, map->state, turned, back, rows, back + rows * d);
	for (i = 0; scales && i < rows * d; i++)
		back[i] = back[i] * scales[i % d];
	for (i = 0; i < rows * d; i++)
		to[order ? order[i] : i] = to[order ? order[i] : i] + back[i];
}

/* A split's groups one after another, in memory that is aligned as a codec's rows are */
static void add_values(const struct tq_kv_block *b, const struct tq_kv_part *value, const float *turned, float *back,
		       float *plain)
{
	_Alignas(64) float own[TQ_KV_MAX_DIM];
	const struct tq_kv_group *g;
	size_t d = value->dim;
	uint32_t r;

	if (!value->order) {
		add_turned(value->group[0].codec, turned, b->rows, back, NULL, plain);
		return;
	}
	for (r = 0; r < b->rows; r++) {
		for (g = value->group; g < value->group + value->groups; g++) {
			memcpy(own, turned + r * d + g->first, tq_dim(g->codec->q) * sizeof(*own));
			add_turned(g->codec, own, 1, back, value->order + g->first, plain + r * d);
		}
	}
}

static void combine_head(const struct tq_kv_block *b, uint32_t head)
{
	const struct tq_kv_part *value = &b->layer->heads[head].value;
	size_t d = b->kv->out_dim, room = TQ_KV_ROWS * d;
	float *turned = b->work + head * (3 * room + d), *plain = turned + room, *back = plain + room;
	float total[TQ_KV_ROWS], most[TQ_KV_ROWS], sink;
	uint32_t r;

	for (r = 0; r < b->rows; r++) {
		sink = !b->call->sink_logits ?
			       -INFINITY :
			       b->call->sink_logits[head * (size_t)b->kv->group + (b->first + r) % b->kv->group];
		most[r] = row_top(b, head, r, sink);
		total[r] = most[r] > -INFINITY ?
				   gather_row(b, head, r, most[r], sink, turned + r * d, plain + r * d) :
				   0.0f;
		if (total[r] > 0.0f)
			continue;
		memset(turned + r * d, 0, d * sizeof(*turned));
		memset(plain + r * d, 0, d * sizeof(*plain));
	}
	if (value->groups)
		add_values(b, value, turned, back, plain);
	for (r = 0; r < b->rows; r++)
		store_row(b, head, r, plain + r * d, total[r], most[r]);
}

/* Largest logit and sum of weights of a row over all parts, for the pages' shares */
static void add_page_masses(const struct tq_kv_block *b, uint32_t head, uint32_t row)
{
	const float *top = b->top + head * b->ncuts * TQ_KV_ROWS + row;
	const float *sum = b->sum + head * b->ncuts * TQ_KV_ROWS + row;
	float most = row_top(b, head, row, -INFINITY), total = 0.0f;
	size_t s;

	for (s = 0; s < b->ncuts; s++)
		total = total + sum[s * TQ_KV_ROWS] * tq_exp(top[s * TQ_KV_ROWS] - most);
	if (total > 0.0f)
		add_page_mass(b, head, row, most, total);
}

static int prepare_heads(void *arg, uint32_t lane, size_t first, size_t n)
{
	int ret = TQ_OK;

	for (; !ret && n; first++, n--)
		ret = prepare_head(arg, (uint32_t)first);
	return ret;
}

/* All heads of a part, then the next part: a page has the heads side by side */
static int attend_parts(void *arg, uint32_t lane, size_t first, size_t n)
{
	const struct tq_kv_block *b = arg;

	for (; n; first++, n--)
		tq_kv_part_attend(b, (uint32_t)(first % b->kv->o.kv_heads), first / b->kv->o.kv_heads);
	return TQ_OK;
}

static int combine_heads(void *arg, uint32_t lane, size_t first, size_t n)
{
	for (; n; first++, n--)
		combine_head(arg, (uint32_t)first);
	return TQ_OK;
}

/* Has a driver of a part's codecs failed? */
static int part_failed(const struct tq_kv_part *part)
{
	int ret = TQ_OK;
	uint32_t g;

	for (g = 0; !ret && g < part->groups; g++)
		ret = tq_pipeline_failed(&part->group[g].codec->q->pipe);
	return ret;
}

static int attend_block(struct tq_kv_block *b)
{
	uint32_t heads = b->kv->o.kv_heads, h, r;
	struct tq_context *ctx = b->kv->ctx;
	int ret;

	ret = tq_rows_split(ctx, heads, 1, prepare_heads, b);
	if (ret)
		return ret;
	tq_rows_split(ctx, heads * b->ncuts, 1, attend_parts, b);
	tq_rows_split(ctx, heads, 1, combine_heads, b);
	for (h = 0; b->page_sum && h < heads; h++)
		for (r = 0; r < b->rows; r++)
			add_page_masses(b, h, r);
	for (h = 0; !ret && h < heads; h++) {
		ret = part_failed(&b->layer->heads[h].key);
		if (!ret)
			ret = part_failed(&b->layer->heads[h].value);
	}
	return ret;
}

int tq_kv_attend(const struct tq_kv_seq *seq, uint32_t layer, const struct tq_kv_call *call)
{
	struct tq_kv_block b = { 0 };
	struct tq_kv_cut *cuts;
	size_t rows, need;
	int ret;

	if (!seq || !call)
		return tq_fail(TQ_ERR_ARG, "%s is NULL", seq ? "call" : "seq");
	if (layer >= seq->kv->o.layers)
		return tq_fail(TQ_ERR_ARG, "layer: %u of %u", layer, seq->kv->o.layers);
	ret = check_call(seq->kv, call);
	if (ret)
		return ret;
	b.kv = seq->kv;
	b.layer = &seq->kv->layers[layer];
	b.run = &seq->runs[layer];
	b.call = call;
	need = lay_out(b.kv, b.run->nentries, call->page_mass, call->scratch, &b, &cuts);
	if (need > call->scratch_bytes)
		return tq_fail(TQ_ERR_RANGE, "call.scratch_bytes: %zu, %zu are needed", call->scratch_bytes, need);
	b.cuts = cuts;
	b.ncuts = cut_up(b.run, cuts);
	b.scale = call->scale > 0.0f ? call->scale : (float)(1.0 / sqrt((double)b.kv->key_width));
	if (call->page_mass)
		memset(call->page_mass, 0, b.run->nentries * sizeof(*call->page_mass));
	rows = (size_t)call->tokens * b.kv->group;
	for (b.first = 0; !ret && b.first < rows; b.first += TQ_KV_ROWS) {
		b.rows = rows - b.first < TQ_KV_ROWS ? (uint32_t)(rows - b.first) : TQ_KV_ROWS;
		ret = attend_block(&b);
	}
	return ret;
}
