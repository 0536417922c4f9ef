/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attention kernels as the host would do their work: tiles written and read by the words of
 * kv_tile.cuh, attention of each split over rows that scalar decodes, and over rows in 16 bits; splits put together.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../../plugins/cuda/device_plan.h"
#include "../../plugins/cuda/kv_list.h"
#include "../../plugins/cuda/kv_plan.h"
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

/* The same of a trellis code: kv_trellis.cuh */
static size_t trellis_bit(const struct side *s, uint32_t k, uint32_t i, uint32_t b)
{
	uint32_t d = TQC_KV_PADDED(s->plan->dim), bits = s->plan->index_bits, step, lane;

	if (!s->value) {
		step = i % (d / 4) / 8;
		lane = 4 * (k % 8) + i / (d / 4);
	} else {
		step = i / 64 * 2 + (i / 64 * 64 + 64 <= d ? k / 4 % 2 : 0);
		lane = 4 * (i / 8 % 8) + k % 4 + (i / 64 * 64 + 64 <= d ? 0 : k / 4 % 2 * 16);
	}
	return 8 * bits * (4 * (32 * (size_t)step + lane) + k / 8) + bits * (i % 8) + b;
}

/* The bit of a tile's codes that holds bit @b of the code of coordinate @i of token @k */
static size_t bit_of(const struct side *s, uint32_t k, uint32_t i, uint32_t b)
{
	uint32_t d = TQC_KV_PADDED(s->plan->dim), bits = s->plan->index_bits, quarter = d / 4, step, lane, r, j;
	size_t at, begin = 0;

	if (s->plan->window)
		return trellis_bit(s, k, i, b);
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
	if (bits == 8)
		return 128 * (d * (size_t)(j % 2) + at) + 32 * r + 8 * (j / 2) + b;
	if (bits >= 4 && b < 4)
		return 32 * (4 * at + r) + 4 * j + b;
	if (bits >= 4) {
		begin = 32 * 4 * (size_t)d;
		bits -= 4;
		b -= 4;
	}
	if (b < 2 && bits > 1)
		return begin + 32 * (2 * at + r / 2) + 4 * j + 2 * (r % 2) + b;
	return begin + 32 * ((bits > 1 ? 2 * (size_t)d : 0) + at) + 4 * j + r;
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

/* @sides from a->first_side on */
static void append(unsigned gx, const struct tqc_append *a, unsigned sides)
{
	size_t es = a->dtype == TQ_F32 ? 4 : 2, token, i;
	const struct tq_pipeline *pipe;
	float y[MAX_DIM];
	unsigned b, head, in_page;
	uint8_t row[600], *tile;
	const uint8_t *x;
	struct side s;

	for (b = 0; b < gx; b++) {
		head = b / sides % a->kv_heads;
		token = b / sides / a->kv_heads;
		s = side_of((int)(a->first_side + b % sides), a->value_at, a->key_scale_at, a->value_scale_at);
		x = s.value ? a->values + (token * a->value_stride + head * (size_t)s.plan->dim) * es :
			      a->keys + (token * a->key_stride + head * (size_t)(s.plan->dim + a->raw_dim)) * es;
		for (i = 0; i < s.plan->dim; i++) {
			y[i] = tq_load_element(x, a->dtype, i);
			if (a->raw_slots && a->raw_slots[token] >= 0)
				tq_store_element(a->raw.rows, (int)a->raw.type,
						 a->kv_heads * ((size_t)a->raw_slots[token] * a->raw_row + (s.value ? a->raw_row - s.plan->dim : 0)) +
							 head * (size_t)s.plan->dim + i,
						 y[i]);
			if (!s.value && a->centre)
				y[i] = y[i] - a->centre[head * s.plan->dim + i];
		}
		if (a->slots[token] < 0)
			continue;
		in_page = (unsigned)(a->slots[token] % a->page_tokens);
		tile = a->pages + (size_t)(a->slots[token] / a->page_tokens) * a->page_bytes +
		       (head * (size_t)(a->page_tokens / TILE) + in_page / TILE) * a->tile_bytes;
		pipe = s.value ? scalar_kernels.values : scalar_kernels.pipe;
		tq_pipeline_encode(pipe, y, TQ_F32, s.plan->dim, 1, row);
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

/* A row of a unit: which one it is, and what it sees: start .. end - 1; of these coded, from .. to - 1 */
struct row {
	uint32_t d, token, row, length, coded, start, end, from, to;
	size_t head, sequence;
};

static struct row row_of(const struct tqc_attend *a, size_t unit, uint32_t r)
{
	struct row w = { .d = scalar_kernels.pipe->plan->dim, .row = 4 * (uint32_t)(unit % a->passes) + r };
	uint32_t token, behind;

	w.token = w.row / a->group;
	w.head = unit / a->passes % a->kv_heads;
	w.sequence = unit / a->passes / a->kv_heads;
	w.length = a->lengths[w.sequence];
	w.coded = w.length > a->raw.recent ? w.length - a->raw.recent : 0;
	token = w.token < a->tokens ? w.token : a->tokens - 1;
	behind = a->tokens - 1 - token;
	w.end = w.length > behind ? w.length - behind : 0;
	w.start = a->window && w.end > a->window ? w.end - a->window : 0;
	w.from = w.start > a->raw.sinks ? w.start : a->raw.sinks;
	w.to = w.end < w.coded ? w.end : w.coded;
	return w;
}

/* 2^logit of a row's query and a key; relative to 2^0, the tests' logits are small */
static double weight(const struct tqc_attend *a, const struct row *w, const float *key, const float *centre)
{
	uint32_t width = w->d + a->raw_dim, i;
	double z = 0.0;

	for (i = 0; i < width; i++)
		z += (double)(key[i] + (centre && i < w->d ? centre[i] : 0.0f)) *
		     (double)tq_load_element(a->query, a->dtype,
					     (w->sequence * a->tokens + w->token) * a->query_stride +
						     (w->head * a->group + w->row % a->group) * width + i);
	z *= (double)a->scale;
	return exp2(a->cap > 0.0f ? (double)a->cap * tanh(z / (double)a->cap) : z);
}

/* One row of a unit over its split's tiles; @together units have theirs in common */
static void attend_row(const struct tqc_attend *a, size_t unit, uint32_t split, uint32_t r, uint32_t together)
{
	struct side keys = side_of(0, 0, a->key_scale_at, 0), values = side_of(1, 4 * TQC_KV_PADDED(keys.plan->dim) * keys.plan->index_bits, 0,
									       a->value_scale_at);
	struct row row = row_of(a, unit, r), first = row_of(a, unit - unit % a->passes % together, 0),
		   last = row_of(a, unit - unit % a->passes % together + together - 1, 3);
	uint32_t kd = row.d, d = a->dim, begin = first.from / TILE, tiles = (last.to + TILE - 1) / TILE, k, i;
	size_t place = unit * a->splits + split;
	float x[MAX_DIM + 64], *sums = a->sums + (4 * place + r) * TQC_KV_PADDED(d), *tops = a->tops + 2 * (4 * place + r), *mass = NULL;
	double total = 0.0, w, out[MAX_DIM] = { 0 };

	tops[0] = -1e30f;
	tops[1] = 0.0f;
	memset(sums, 0, d * sizeof(*sums));
	if (row.token >= a->tokens)
		return;
	/* the unit's tiles: from the start of its first row to the end of its last */
	tiles = tiles > begin ? tiles - begin : 0;
	for (k = TILE * (begin + tiles * split / a->splits); k < TILE * (begin + tiles * (split + 1) / a->splits); k++) {
		if (a->page_mass && k % TILE == 0) {
			mass = a->tile_mass + 2 * ((unit * a->mass_tiles + k / TILE) * 4 + r);
			mass[0] = mass[1] = 0.0f;
		}
		if (k < row.from || k >= row.to)
			continue;
		decode(a, &keys, row.sequence, (unsigned)row.head, k, x, x + kd);
		w = weight(a, &row, x, a->centre ? a->centre + row.head * kd : NULL);
		if (together == 1)
			decode(a, &values, row.sequence, (unsigned)row.head, k, x, NULL);
		for (i = 0; i < d; i++)
			out[i] += w * (double)x[i];
		total += w;
		if (mass)
			mass[1] += (float)w;
	}
	if (total > 0.0)
		tops[0] = 0.0f;
	tops[1] = (float)total;
	for (i = 0; i < d; i++)
		sums[i] = (float)out[i];
}

/* One row of a unit over its chunk of tokens in 16 bits */
static void raw_row(const struct tqc_attend *a, size_t unit, uint32_t chunk, uint32_t r)
{
	struct row row = row_of(a, unit, r);
	size_t part = 4 * (unit * a->raw_chunks + chunk) + r, at;
	uint32_t kd = row.d, d = a->dim, sinks = a->raw.sinks, k, i, p;
	float key[MAX_DIM], *sums = a->raw_sums + part * d, *weights = a->raw_weights + part * TQC_RAW_CHUNK;
	double total = 0.0, w, out[MAX_DIM] = { 0 };

	for (k = 0; k < TQC_RAW_CHUNK; k++) {
		i = chunk * TQC_RAW_CHUNK + k;
		p = i < sinks ? i : (row.coded > sinks ? row.coded : sinks) + i - sinks;
		w = 0.0;
		if (row.token < a->tokens && i < sinks + a->raw.recent && p < row.end &&
		    (p >= row.start || (a->keep_sinks && p < sinks))) {
			at = a->areas[row.sequence] * (size_t)(sinks + a->raw.ring) + (p < sinks ? p : sinks + (p - sinks) % a->raw.ring);
			at *= a->kv_heads * (size_t)(kd + d);
			for (i = 0; i < kd; i++)
				key[i] = tq_load_element(a->raw.rows, (int)a->raw.type, at + row.head * kd + i);
			w = weight(a, &row, key, NULL);
			for (i = 0; i < d; i++)
				out[i] += w * (double)tq_load_element(a->raw.rows, (int)a->raw.type,
								      at + a->kv_heads * (size_t)kd + row.head * d + i);
		}
		total += w;
		if (a->page_mass)
			weights[k] = (float)w;
	}
	a->raw_tops[2 * part] = total > 0.0 ? 0.0f : -1e30f;
	a->raw_tops[2 * part + 1] = (float)total;
	for (i = 0; i < d; i++)
		sums[i] = (float)out[i];
}

static void attend_raw(unsigned gx, const struct tqc_attend *a)
{
	unsigned b;

	for (b = 0; b < 4 * gx; b++)
		raw_row(a, b / 4 / a->raw_chunks, b / 4 % a->raw_chunks, b % 4);
}

static void attend(unsigned gx, const struct tqc_attend *a, unsigned together)
{
	unsigned b, r, gangs = a->passes / together;

	for (b = 0; b < gx; b++)
		for (r = 0; r < 4 * together; r++)
			attend_row(a, (size_t)(b / gangs / a->splits) * a->passes + together * (b % gangs) + r / 4,
				   b / gangs % a->splits, r % 4, together);
}

/* Partial result @s of a row: its (top, sum), and its values if @values is given; those in 16 bits come last */
static const float *partial(const struct tqc_attend *a, size_t unit, uint32_t r, uint32_t s, const float **values)
{
	size_t place = s < a->splits ? 4 * (unit * a->splits + s) + r : 4 * (unit * a->raw_chunks + s - a->splits) + r;
	size_t d = scalar_kernels.values->plan->dim;

	if (values)
		*values = s < a->splits ? a->sums + place * TQC_KV_PADDED(d) : a->raw_sums + place * d;
	return (s < a->splits ? a->tops : a->raw_tops) + 2 * place;
}

static void combine(unsigned gx, const struct tqc_attend *a)
{
	uint32_t d = scalar_kernels.values->plan->dim, heads = a->kv_heads * a->group, head, row, s, i;
	const float *tops, *values;
	double top, total, more, v, keys;
	size_t query, unit;
	unsigned b;

	for (b = 0; b < gx; b++) {
		head = b % heads;
		query = b / heads;
		row = (uint32_t)(query % a->tokens) * a->group + head % a->group;
		unit = (query / a->tokens * a->kv_heads + head / a->group) * a->passes + row / 4;
		for (top = -1e30, s = 0; s < a->splits + a->raw_chunks; s++)
			top = fmax(top, (double)partial(a, unit, row % 4, s, NULL)[0]);
		for (total = 0.0, s = 0; s < a->splits + a->raw_chunks; s++) {
			tops = partial(a, unit, row % 4, s, NULL);
			total += (double)tops[1] * exp2((double)tops[0] - top);
		}
		if (a->page_mass) {
			a->totals[2 * b] = (float)top;
			a->totals[2 * b + 1] = (float)total;
		}
		more = a->sink_logits ? 1.4426950408889634 * (double)a->sink_logits[head] : -HUGE_VAL;
		keys = total;
		/* no key: the sink alone */
		if (!(total > 0.0) && more > -HUGE_VAL)
			top = more;
		total += exp2(more - top);
		for (i = 0; i < d; i++) {
			for (v = 0.0, s = 0; s < a->splits + a->raw_chunks; s++) {
				tops = partial(a, unit, row % 4, s, &values);
				v += (double)values[i] * exp2((double)tops[0] - top);
			}
			/* keys that are values too have their centre taken off */
			if (a->raw_dim && a->centre)
				v += keys * (double)a->centre[head / a->group * (size_t)d + i];
			tq_store_element(a->out, a->dtype, query * a->out_stride + head * (size_t)d + i,
					 total > 0.0 ? (float)(v / total) : 0.0f);
		}
		if (a->lse)
			a->lse[b] = total > 0.0 ? (float)((top + log2(total)) * 0.6931471805599453) : -INFINITY;
	}
}

/* The mass of position @k in a row: of its token in 16 bits, or a tile's where it is the first of it */
static double mass_at(const struct tqc_attend *a, size_t unit, uint32_t r, uint32_t k)
{
	struct row row = row_of(a, unit, r), first = row_of(a, unit, 0), last = row_of(a, unit, 3);
	uint32_t recent = row.coded > a->raw.sinks ? row.coded : a->raw.sinks, i;
	double mass = 0.0;
	size_t part;

	if (k % TILE == 0 && k / TILE >= first.from / TILE && k < last.to)
		mass = (double)a->tile_mass[2 * ((unit * a->mass_tiles + k / TILE) * 4 + r) + 1];
	if (a->raw_chunks && k < row.length && (k < a->raw.sinks || k >= recent)) {
		i = k < a->raw.sinks ? k : a->raw.sinks + k - recent;
		part = 4 * (unit * a->raw_chunks + i / TQC_RAW_CHUNK) + r;
		mass += (double)a->raw_weights[part * TQC_RAW_CHUNK + i % TQC_RAW_CHUNK];
	}
	return mass;
}

static void mass(unsigned gx, const struct tqc_attend *a)
{
	uint32_t heads = a->kv_heads * a->group, page, r, k;
	size_t unit, units = (size_t)a->passes * a->kv_heads, query;
	const float *total;
	struct row row;
	double sum;
	unsigned b;

	for (b = 0; b < gx; b++) {
		page = b % a->mass_pages;
		for (sum = 0.0, unit = b / a->mass_pages * units; unit < (b / a->mass_pages + 1) * units; unit++) {
			for (r = 0; r < 4; r++) {
				row = row_of(a, unit, r);
				query = row.sequence * a->tokens + row.token;
				total = a->totals + 2 * (query * heads + row.head * a->group + row.row % a->group);
				if (row.token >= a->tokens || !(total[1] > 0.0f))
					continue;
				for (k = page * a->page_tokens; k < (page + 1) * a->page_tokens; k++)
					sum += mass_at(a, unit, r, k) / (double)total[1];
			}
		}
		a->page_mass[b / a->mass_pages * a->table_stride + page] = (float)sum;
	}
}

void scalar_kv_kernel(const char *name, unsigned gx, void **params)
{
	const struct tqc_attend *a;
	unsigned units;

	if (!strcmp(name, "tqc_kv_append")) {
		append(gx, params[2], ((const struct tqc_append *)params[2])->sides);
	} else if (!strncmp(name, "tqc_kv_append_tcq", 17)) {
		append(gx, params[1], 1);
	} else if (!strcmp(name, "tqc_kv_query")) {
		a = params[1];
		units = a->sequences * a->kv_heads * a->passes;
		attend_raw(gx - 4 * units, a);
		memset(a->queries, 0x5b,
		       units * (8 * (size_t)TQC_KV_PADDED(scalar_kernels.pipe->plan->dim) + 64 + (a->raw_dim ? 16 * a->raw_dim + 16 : 0)));
	} else if (!strcmp(name, "tqc_kv_combine")) {
		combine(gx, params[1]);
	} else if (!strcmp(name, "tqc_kv_mass")) {
		mass(gx, params[0]);
	} else {
		attend(gx, params[0], strncmp(name, "tqc_kv_mla", 10) ? 1 : 4);
	}
}

void scalar_kv_spoil(const char *name, void **params)
{
	const struct tqc_append *append;
	const struct tqc_attend *a;

	if (!strncmp(name, "tqc_kv_append", 13)) {
		append = params[strcmp(name, "tqc_kv_append") ? 1 : 2];
		memset(append->pages, 0, 7 * append->page_bytes);
		return;
	}
	a = params[!strcmp(name, "tqc_kv_combine") || !strcmp(name, "tqc_kv_query")];
	if (a->out && !strcmp(name, "tqc_kv_combine")) {
		*(float *)a->out += 1.0f;
	} else if (!strcmp(name, "tqc_kv_query")) {
		if (a->raw_chunks) /* without tokens in 16 bits there is no room for sums of them */
			a->raw_sums[0] += 1000.0f;
	} else if (!strcmp(name, "tqc_kv_mass")) {
		a->page_mass[0] += 1.0f;
	} else {
		a->sums[0] += 1000.0f;
	}
}
