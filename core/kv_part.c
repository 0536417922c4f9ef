/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention of a block's queries of one head over one part: logits by entry, masked, weighed against the
 * part's largest, and the values mixed.
 */

#include <math.h>
#include "kv_attend.h"

/* Tokens of a split's second group that are scored at a time */
#define SCORES 64

#define FETCH_HEADS 8

/* Positions that a query row sees: from @first (and the sinks) up to @last */
struct view {
	uint64_t first, last, sinks;
};

static struct view view_of(const struct tq_kv_block *b, uint32_t row)
{
	const struct tq_kv_call *call = b->call;
	uint64_t at = call->position + tq_kv_query_token(b, row);
	struct view v = { .last = UINT64_MAX };

	if (call->causal || call->window)
		v.last = at;
	if (call->window && at + 1 > call->window)
		v.first = at + 1 - call->window;
	if (call->window && call->keep_sinks)
		v.sinks = b->kv->o.sinks;
	return v;
}

/* Does any row of the block see any token of the entry? Views move forward with the rows. */
static bool seen(const struct tq_kv_block *b, const struct tq_kv_entry *e)
{
	struct view early = view_of(b, 0), late = view_of(b, b->rows - 1);

	return e->start <= late.last && (tq_kv_end(e) > early.first || e->start < early.sinks);
}

static const float *queries_of(const struct tq_kv_block *b, uint32_t head)
{
	return b->queries + (size_t)head * TQ_KV_ROWS * b->kv->key_width;
}

/* Scores of @n tokens of an entry from its @first on, for a group of channels */
static void score_group(const struct tq_kv_block *b, const struct tq_kv_group *g, const unsigned char *prepared,
			const unsigned char *keys, size_t first, size_t n, float *scores, size_t ld)
{
	const struct tq_quantizer *q = g->codec->q;
	const struct tq_served *score = &q->pipe.op[TQ_OP_SCORE];

	score->ops->score(q->plan, score->state, prepared, b->rows, keys + g->at + first * g->row_bytes, n, scores, ld);
}

/* Of a split, the score of the first group plus that of the rest */
static void logits_coded(const struct tq_kv_block *b, uint32_t head, const struct tq_kv_entry *e,
			 float *logits)
{
	const struct tq_kv_part *key = &b->layer->heads[head].key;
	const unsigned char *keys = e->page->data + b->layer->heads[head].key_at;
	const unsigned char *prepared = b->prepared + head * b->prepared_bytes;
	float rest[TQ_KV_ROWS * SCORES];
	size_t t, n, i, r;

	score_group(b, &key->group[0], prepared, keys, e->offset, e->count, logits, TQ_KV_SPLIT);
	if (key->groups == 1)
		return;
	prepared += tq_kv_prepared_at(key, 1);
	for (t = 0; t < e->count; t += n) {
		n = e->count - t < SCORES ? e->count - t : SCORES;
		score_group(b, &key->group[1], prepared, keys, e->offset + t, n, rest, SCORES);
		for (r = 0; r < b->rows; r++)
			for (i = 0; i < n; i++)
				logits[r * TQ_KV_SPLIT + t + i] = logits[r * TQ_KV_SPLIT + t + i] + rest[r * SCORES + i];
	}
}

static void add_tails(const struct tq_kv_block *b, uint32_t head, const struct tq_kv_entry *e,
		      float *logits)
{
	const struct tq_kv *kv = b->kv;
	const uint16_t *tails = (const uint16_t *)(const void *)(e->page->data +
								 b->layer->heads[head].tail_at);
	float tail[TQ_KV_SPLIT];
	uint32_t r, t;

	for (r = 0; r < b->rows; r++) {
		kv->base->attend.ops->raw_score((int)kv->o.raw_type,
						queries_of(b, head) + r * (size_t)kv->key_width + kv->o.key_dim,
						0, 1, tails + e->offset * (size_t)kv->o.key_raw_dim,
						kv->o.key_raw_dim, e->count, kv->o.key_raw_dim, tail,
						TQ_KV_SPLIT);
		for (t = 0; t < e->count; t++)
			logits[r * TQ_KV_SPLIT + t] = logits[r * TQ_KV_SPLIT + t] + tail[t];
	}
}

static void logits_entry(const struct tq_kv_block *b, uint32_t head, const struct tq_kv_entry *e,
			 float *logits)
{
	const struct tq_kv_head *h = &b->layer->heads[head];
	const struct tq_kv *kv = b->kv;
	const uint16_t *rows;
	size_t stride;

	if (e->page->coded && h->key.groups) {
		logits_coded(b, head, e, logits);
	} else if (e->page->coded) {
		rows = (const uint16_t *)(const void *)(e->page->data + h->key_at);
		kv->base->attend.ops->raw_score((int)kv->o.raw_type, queries_of(b, head), kv->key_width,
						b->rows, rows + e->offset * (size_t)kv->o.key_dim,
						kv->o.key_dim, e->count, kv->o.key_dim, logits,
						TQ_KV_SPLIT);
	} else {
		rows = tq_kv_raw_key(kv, e->page, head, &stride);
		kv->base->attend.ops->raw_score((int)kv->o.raw_type, queries_of(b, head), kv->key_width,
						b->rows, rows + e->offset * stride, stride, e->count,
						kv->key_width, logits, TQ_KV_SPLIT);
	}
	if (e->page->coded && kv->o.key_raw_dim)
		add_tails(b, head, e, logits);
}

/* tanh by the library's own exponential: the same on every machine */
static float cap(float x, float softcap)
{
	float a = fabsf(x / softcap), e = tq_exp(-2.0f * a), y = softcap * ((1.0f - e) / (1.0f + e));

	return x < 0.0f ? -y : y;
}

/* Scores of a row's @n tokens of a part to logits: centre, scale, cap, mask; returns the largest */
static float finish(const struct tq_kv_block *b, uint32_t head, uint32_t row, const struct tq_kv_cut *cut,
		    size_t n, float *logits)
{
	const struct tq_kv_entry *e = b->run->entries + cut->first, *end = e + cut->n;
	bool coded = e->page->coded && b->layer->heads[head].key.groups;
	float bias = coded ? b->bias[(size_t)head * TQ_KV_ROWS + row] : 0.0f;
	float softcap = b->call->softcap, top, x;
	struct view v = view_of(b, row);
	uint64_t at;

	top = b->kv->base->attend.ops->logits(logits, n, bias, b->scale);
	if (e->start >= v.first && tq_kv_end(end - 1) - 1 <= v.last && softcap == 0.0f)
		return top;
	for (top = -INFINITY; e < end; e++) {
		for (at = e->start; at < tq_kv_end(e); at++, logits++) {
			x = softcap != 0.0f ? cap(*logits, softcap) : *logits;
			*logits = at > v.last || (at < v.first && at >= v.sinks) ? -INFINITY : x;
			top = *logits > top ? *logits : top;
		}
	}
	return top;
}

static void mix_entry(const struct tq_kv_block *b, uint32_t head, const struct tq_kv_entry *e,
		      const float *weights, float *mix)
{
	const struct tq_kv_head *h = &b->layer->heads[head];
	const struct tq_kv *kv = b->kv;
	const struct tq_kv_group *g;
	const uint16_t *rows;
	size_t stride = kv->out_dim;

	if (e->page->coded && h->value.groups) {
		for (g = h->value.group; g < h->value.group + h->value.groups; g++)
			g->codec->attend.ops->mix(g->codec->q->plan, g->codec->attend.state, weights, TQ_KV_SPLIT, b->rows,
						  e->page->data + h->value_at + g->at + e->offset * g->row_bytes,
						  e->count, mix + g->first, kv->out_dim);
		return;
	}
	if (e->page->coded)
		rows = (const uint16_t *)(const void *)(e->page->data + h->value_at);
	else
		rows = tq_kv_raw_value(kv, e->page, head, &stride);
	kv->base->attend.ops->raw_mix((int)kv->o.raw_type, weights, TQ_KV_SPLIT, b->rows,
				      rows + e->offset * stride, stride, e->count, kv->out_dim, mix,
				      kv->out_dim);
}

static void sum_pages(const struct tq_kv_block *b, uint32_t head, const struct tq_kv_cut *cut,
		      const float *weights)
{
	const struct tq_kv_entry *e = b->run->entries + cut->first, *end = e + cut->n;
	float *to = b->page_sum + (head * b->run->nentries + cut->first) * TQ_KV_ROWS;
	size_t at = 0, t;
	uint32_t r;

	for (; e < end; at += e->count, e++, to += TQ_KV_ROWS) {
		for (r = 0; r < b->rows; r++) {
			for (to[r] = 0.0f, t = 0; t < e->count; t++)
				to[r] = to[r] + weights[r * TQ_KV_SPLIT + at + t];
		}
	}
}

/*
 * A share of the first head's keys in the next part, for which driver and memory have time while weights are
 * made. Drivers ask for what lies behind their rows, the next head of the same page; these lie in other pages.
 */
static void fetch_next(const struct tq_kv_block *b, uint32_t head, size_t part, uint32_t step)
{
	/* with few heads only some of them: more at once would be waited for */
	size_t heads = b->kv->o.kv_heads > FETCH_HEADS ? b->kv->o.kv_heads : FETCH_HEADS;
	size_t shares = heads * 2 * b->rows, share = head * (size_t)2 * b->rows + step, bytes, at;
	const struct tq_kv_head *h = &b->layer->heads[0];
	const struct tq_kv_entry *e, *end;

	if (part + 1 == b->ncuts)
		return;
	bytes = h->tail_at - h->key_at;
	e = b->run->entries + b->cuts[part + 1].first;
	for (end = e + b->cuts[part + 1].n; e < end && e->page->coded; e++)
		for (at = bytes * share / shares & ~(size_t)63; at < bytes * (share + 1) / shares; at += 64)
			__builtin_prefetch(e->page->data + h->key_at + at, 0, 2);
}

void tq_kv_part_attend(const struct tq_kv_block *b, uint32_t head, size_t part)
{
	_Alignas(64) float logits[TQ_KV_ROWS * TQ_KV_SPLIT];
	const struct tq_kv_cut *cut = &b->cuts[part];
	const struct tq_kv_entry *first = b->run->entries + cut->first, *end = first + cut->n, *e;
	size_t place = (head * b->ncuts + part) * TQ_KV_ROWS, n = 0;
	float *top = b->top + place, *sum = b->sum + place, *mix = b->mix + place * b->kv->out_dim;
	bool any = false;
	uint32_t r;

	memset(sum, 0, b->rows * sizeof(*sum));
	memset(mix, 0, b->rows * (size_t)b->kv->out_dim * sizeof(*mix));
	for (e = first; e < end; n += e->count, e++) {
		if (seen(b, e)) {
			any = true;
			logits_entry(b, head, e, logits + n);
			continue;
		}
		for (r = 0; r < b->rows; r++)
			memset(logits + r * TQ_KV_SPLIT + n, 0, e->count * sizeof(*logits));
	}
	for (r = 0; r < b->rows; r++) {
		if (any)
			fetch_next(b, head, part, 2 * r);
		top[r] = any ? finish(b, head, r, cut, n, logits + r * TQ_KV_SPLIT) : -INFINITY;
		if (top[r] > -INFINITY) {
			fetch_next(b, head, part, 2 * r + 1);
			sum[r] = b->kv->base->attend.ops->weigh(logits + r * TQ_KV_SPLIT, n, top[r],
								logits + r * TQ_KV_SPLIT);
		} else {
			memset(logits + r * TQ_KV_SPLIT, 0, n * sizeof(*logits));
		}
	}
	if (b->page_sum)
		sum_pages(b, head, cut, logits);
	for (e = first, n = 0; any && e < end; n += e->count, e++)
		if (seen(b, e))
			mix_entry(b, head, e, logits + n, mix);
}
