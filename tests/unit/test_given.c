/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rotations that somebody else made: the maps against float64 with the libm's sine, the checksum against
 * a second computation from FORMAT.md, every refusal, and that codes decode with their own numbers only.
 */

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "given.h"
#include "rotation.h"
#include "select.h"
#include "tq/tq.h"
#include "normal.h"

#define D 96
#define LAYERS 8
#define NPAIRS 40 /* of 48: sixteen coordinates have none */
#define ROWS 50

static struct tq_context *ctx;
static float x[ROWS * D], queries[ROWS * D], matrix[D * D], angles[LAYERS * NPAIRS], scales[D];
static uint32_t pairs[LAYERS * NPAIRS * 2];

static void draw_matrix(void)
{
	static double g[D * D];
	double dot;
	int i, j, k, pass;

	for (i = 0; i < D * D; i++)
		g[i] = normal();
	for (i = 0; i < D; i++) {
		for (pass = 0; pass < 2; pass++)
			for (j = 0; j < i; j++) {
				for (dot = 0, k = 0; k < D; k++)
					dot += g[i * D + k] * g[j * D + k];
				for (k = 0; k < D; k++)
					g[i * D + k] -= dot * g[j * D + k];
			}
		for (dot = 0, k = 0; k < D; k++)
			dot += g[i * D + k] * g[i * D + k];
		for (k = 0; k < D; k++) {
			g[i * D + k] /= sqrt(dot);
			matrix[i * D + k] = (float)g[i * D + k];
		}
	}
}

static void draw_pairs(void)
{
	uint32_t order[D], i, j, held, l;

	for (l = 0; l < LAYERS; l++) {
		for (i = 0; i < D; i++)
			order[i] = i;
		for (i = D - 1; i > 0; i--) {
			j = (uint32_t)(uniform() * (i + 1));
			held = order[i];
			order[i] = order[j];
			order[j] = held;
		}
		memcpy(pairs + l * 2 * NPAIRS, order, 2 * NPAIRS * sizeof(*order));
		for (i = 0; i < NPAIRS; i++)
			angles[l * NPAIRS + i] = (float)(7 * uniform() - 3.5);
	}
}

static void setup(void)
{
	size_t i;

	state = 7;
	for (i = 0; i < ROWS * D; i++) {
		x[i] = (float)normal();
		queries[i] = (float)normal();
	}
	draw_matrix();
	draw_pairs();
	for (i = 0; i < D; i++)
		scales[i] = (float)exp2(6 * uniform() - 3);
	ck_assert_int_eq(tq_context_create(NULL, &ctx), TQ_OK);
}

static void teardown(void)
{
	tq_context_destroy(ctx);
}

static struct tq_given given_matrix(void)
{
	return (struct tq_given){ .struct_size = sizeof(struct tq_given), .dim = D, .matrix = matrix };
}

static struct tq_given given_pairs(void)
{
	return (struct tq_given){ .struct_size = sizeof(struct tq_given), .dim = D, .layers = LAYERS, .npairs = NPAIRS,
				  .pairs = pairs, .angles = angles };
}

static struct tq_given given_word(const char *word)
{
	return (struct tq_given){ .struct_size = sizeof(struct tq_given), .dim = D, .rotation = word };
}

static int open_text(struct tq_context *c, const char *text, uint32_t dim, struct tq_quantizer **q)
{
	struct tq_spec spec;

	tq_spec_init(&spec);
	ck_assert_msg(tq_spec_parse(&spec, text) == TQ_OK, "%s", tq_error_text());
	return tq_quantizer_create(c, &spec, dim, NULL, q);
}

static struct tq_quantizer *open_given(struct tq_context *c, const struct tq_given *g, const char *rest)
{
	struct tq_quantizer *q;
	char text[160];
	uint32_t sum;

	ck_assert_msg(tq_given_add(c, g, &sum) == TQ_OK, "%s", tq_error_text());
	snprintf(text, sizeof(text), "rotation=given:%u %s", sum, rest);
	ck_assert_msg(open_text(c, text, D, &q) == TQ_OK, "%s", tq_error_text());
	return q;
}

/* ---- the maps ---- */

static void apply(const struct tq_given *g, const double *in, double *out)
{
	double u, v, c, s;
	uint32_t l, t, i, j;

	if (g->matrix) {
		for (i = 0; i < D; i++)
			for (out[i] = 0, j = 0; j < D; j++)
				out[i] += (double)g->matrix[i * D + j] * in[j];
		return;
	}
	memcpy(out, in, D * sizeof(*out));
	for (l = 0; l < g->layers; l++)
		for (t = 0; t < g->npairs; t++) {
			i = g->pairs[(l * g->npairs + t) * 2];
			j = g->pairs[(l * g->npairs + t) * 2 + 1];
			c = cos(g->angles[l * g->npairs + t]);
			s = sin(g->angles[l * g->npairs + t]);
			u = out[i];
			v = out[j];
			out[i] = c * u - s * v;
			out[j] = s * u + c * v;
		}
}

/* Forward against float64, back to where it came from. */
static void check_map(const struct tq_given *g)
{
	float *y = aligned_alloc(64, sizeof(x)), *back = aligned_alloc(64, sizeof(x)), scratch[D];
	const struct tq_rotation_ops *ops;
	struct tq_choice choice;
	struct tq_rotation rot;
	void *own = NULL;
	double in[D], want[D];
	uint32_t sum;
	int i, k;

	ck_assert_int_eq(tq_given_add(ctx, g, &sum), TQ_OK);
	ck_assert_int_eq(tq_rotation_create(ctx, "given", sum, D, 1, &rot), TQ_OK);
	ck_assert_int_eq(tq_select_rotation(ctx, &rot, NULL, NULL, &choice, NULL), TQ_OK);
	ops = choice.driver->rotation_ops;
	if (ops->create)
		ck_assert_int_eq(ops->create(choice.host, &rot, &own), TQ_OK);
	ops->rotate(&rot, own, x, y, ROWS, scratch);
	ops->unrotate(&rot, own, y, back, ROWS, scratch);
	for (i = 0; i < ROWS; i++) {
		for (k = 0; k < D; k++)
			in[k] = x[i * D + k];
		apply(g, in, want);
		for (k = 0; k < D; k++) {
			ck_assert_msg(fabs(y[i * D + k] - want[k]) < 5e-6, "row %d coordinate %d: %g, not %g", i, k,
				      (double)y[i * D + k], want[k]);
			ck_assert_msg(fabs((double)back[i * D + k] - in[k]) < 5e-6, "row %d coordinate %d back: %g, not %g",
				      i, k, (double)back[i * D + k], in[k]);
		}
	}
	if (ops->destroy)
		ops->destroy(choice.host, own);
	tq_rotation_destroy(ctx, &rot);
	free(y);
	free(back);
}

START_TEST(maps_are_those_given)
{
	struct tq_given g = given_matrix();

	check_map(&g);
	g = given_pairs();
	check_map(&g);
}
END_TEST

START_TEST(turns_are_sine_and_cosine)
{
	float c, s, a;
	int i;

	for (i = 0; i < 200000; i++) {
		a = (float)((uniform() - 0.5) * (i % 2 ? 2 * TQ_GIVEN_ANGLE_MAX : 8));
		tq_given_turn(a, &c, &s);
		ck_assert_msg(fabs(c - cos(a)) <= 3.1e-8 && fabs(s - sin(a)) <= 3.1e-8, "%.9g: %.9g %.9g", (double)a,
			      (double)c, (double)s);
	}
}
END_TEST

/* ---- the codec ---- */

static void encode(const struct tq_quantizer *q, uint8_t *codes)
{
	ck_assert_int_eq(tq_encode(q, x, D, ROWS, codes), TQ_OK);
}

/* The library's own matrix, given back to it: the same bytes. Its Hadamard rotation by name likewise. */
START_TEST(own_rotations_given_back_make_the_same_bytes)
{
	static uint8_t own[ROWS * 400], again[ROWS * 400];
	struct tq_given g = given_matrix();
	struct tq_quantizer *q, *p;
	struct tq_rotation haar;

	ck_assert_int_eq(tq_rotation_create(ctx, "haar", 0, D, 5, &haar), TQ_OK);
	g.matrix = haar.rows;
	ck_assert_int_eq(open_text(ctx, "rotation=haar bits=4 seed=5", D, &q), TQ_OK);
	p = open_given(ctx, &g, "bits=4");
	encode(q, own);
	encode(p, again);
	ck_assert_mem_eq(own, again, ROWS * tq_code_size(q));
	tq_quantizer_destroy(p);
	tq_quantizer_destroy(q);
	tq_rotation_destroy(ctx, &haar);
	g = given_word("rht:2");
	ck_assert_int_eq(open_text(ctx, "rotation=rht:2 bits=3 seed=9", D, &q), TQ_OK);
	p = open_given(ctx, &g, "bits=3 seed=9");
	encode(q, own);
	encode(p, again);
	ck_assert_mem_eq(own, again, ROWS * tq_code_size(q));
	tq_quantizer_destroy(p);
	tq_quantizer_destroy(q);
}
END_TEST

/* Scores and decoded rows of 8 bits against float64; error relative to the norms */
static void check_codec(const struct tq_given *g, double most)
{
	struct tq_quantizer *q = open_given(ctx, g, "bits=8 correction=ls");
	uint8_t *codes = malloc(ROWS * tq_code_size(q));
	void *prepared = aligned_alloc(64, ROWS * tq_query_size(q));
	static float scores[ROWS * ROWS], z[ROWS * D];
	double dot, error = 0, norm = 0;
	int i, j, k;

	encode(q, codes);
	ck_assert_int_eq(tq_query_prepare(q, queries, D, ROWS, prepared), TQ_OK);
	ck_assert_int_eq(tq_score(q, prepared, ROWS, codes, ROWS, scores, ROWS), TQ_OK);
	ck_assert_int_eq(tq_decode(q, codes, ROWS, z, D), TQ_OK);
	for (i = 0; i < ROWS; i++)
		for (j = 0; j < ROWS; j++) {
			for (dot = 0, k = 0; k < D; k++)
				dot += (double)queries[i * D + k] * x[j * D + k];
			ck_assert_msg(fabs(dot - (double)scores[i * ROWS + j]) < .5, "query %d row %d: %g, not %g", i, j,
				      (double)scores[i * ROWS + j], dot);
		}
	for (i = 0; i < ROWS * D; i++) {
		error += ((double)x[i] - z[i]) * ((double)x[i] - z[i]);
		norm += (double)x[i] * x[i];
	}
	ck_assert_msg(error / norm < most, "%g", error / norm);
	free(prepared);
	free(codes);
	tq_quantizer_destroy(q);
}

START_TEST(scores_and_rows_come_back)
{
	struct tq_given g = given_matrix();

	check_codec(&g, 6e-5);
	g = given_pairs();
	check_codec(&g, 6e-5);
	g = given_word("rht:2");
	check_codec(&g, 6e-5);
}
END_TEST

/* Scales of powers of two are exact: codes, scores and rows of x / s, the query times s, to the bit. */
START_TEST(scales_are_taken_off_rows_and_put_on_queries)
{
	static const char *const rest[] = { "bits=4 query=f32", "bits=3 correction=unbiased", "bits=6 effort=1", "bits=3 correction=qjl:rht" };
	static uint8_t plain[ROWS * 400], scaled[ROWS * 400];
	static float z[ROWS * D], w[ROWS * D], s[ROWS], t[ROWS];
	struct tq_given g = given_pairs(), h = given_pairs();
	struct tq_quantizer *p, *q;
	void *prepared;
	int i, k;

	for (i = 0; i < D; i++)
		scales[i] = (float)exp2(floor(9 * uniform()) - 4);
	h.scales = scales;
	p = open_given(ctx, &g, rest[_i]);
	q = open_given(ctx, &h, rest[_i]);
	prepared = aligned_alloc(64, tq_query_size(q));
	encode(q, scaled);
	ck_assert_int_eq(tq_query_prepare(q, queries, D, 1, prepared), TQ_OK);
	ck_assert_int_eq(tq_score(q, prepared, 1, scaled, ROWS, s, ROWS), TQ_OK);
	ck_assert_int_eq(tq_decode(q, scaled, ROWS, w, D), TQ_OK);
	for (i = 0; i < ROWS; i++)
		for (k = 0; k < D; k++)
			x[i * D + k] /= scales[k];
	for (k = 0; k < D; k++)
		queries[k] *= scales[k];
	encode(p, plain);
	ck_assert_int_eq(tq_query_prepare(p, queries, D, 1, prepared), TQ_OK);
	ck_assert_int_eq(tq_score(p, prepared, 1, plain, ROWS, t, ROWS), TQ_OK);
	ck_assert_int_eq(tq_decode(p, plain, ROWS, z, D), TQ_OK);
	ck_assert_mem_eq(plain, scaled, ROWS * tq_code_size(p));
	ck_assert_mem_eq(s, t, sizeof(s));
	for (i = 0; i < ROWS; i++)
		for (k = 0; k < D; k++)
			ck_assert_float_eq(z[i * D + k] * scales[k], w[i * D + k]);
	ck_assert_int_eq(tq_score_pairs(p, plain, 1, plain, 1, s, 1), TQ_OK);
	ck_assert_int_eq(tq_score_pairs(q, plain, 1, plain, 1, s, 1), TQ_ERR_UNSUPPORTED);
	free(prepared);
	tq_quantizer_destroy(q);
	tq_quantizer_destroy(p);
}
END_TEST

/* Rows with channels as large as their scales */
START_TEST(scaled_scores_and_rows_come_back)
{
	struct tq_given g = given_word("rht:2");
	int i;

	for (i = 0; i < ROWS * D; i++)
		x[i] *= scales[i % D] / 2;
	g.scales = scales;
	check_codec(&g, 6e-5);
	g = given_matrix();
	g.scales = scales;
	check_codec(&g, 6e-5);
}
END_TEST

/* Two channels 30 times the others: the square root of their size as scales halves the noise and more. */
START_TEST(scales_help_keys_with_large_channels)
{
	struct tq_given g = given_word("rht:2");
	double error[2] = { 0, 0 }, dot;
	struct tq_quantizer *q;
	uint8_t codes[ROWS * 64];
	float scores[ROWS];
	void *prepared;
	int run, i, j, k;

	for (i = 0; i < ROWS; i++)
		x[i * D + 3] *= 30, x[i * D + 40] *= 30;
	for (k = 0; k < D; k++)
		scales[k] = k == 3 || k == 40 ? sqrtf(30) : 1;
	for (run = 0; run < 2; run++) {
		g.scales = run ? scales : NULL;
		q = open_given(ctx, &g, "bits=3 correction=ls");
		prepared = aligned_alloc(64, tq_query_size(q));
		encode(q, codes);
		for (i = 0; i < ROWS; i++) {
			ck_assert_int_eq(tq_query_prepare(q, queries + i * D, D, 1, prepared), TQ_OK);
			ck_assert_int_eq(tq_score(q, prepared, 1, codes, ROWS, scores, ROWS), TQ_OK);
			for (j = 0; j < ROWS; j++) {
				for (dot = 0, k = 0; k < D; k++)
					dot += (double)queries[i * D + k] * x[j * D + k];
				error[run] += (dot - (double)scores[j]) * (dot - (double)scores[j]);
			}
		}
		free(prepared);
		tq_quantizer_destroy(q);
	}
	/* (sum k^2)(sum q^2) against (sum |k||q|)^2: (94 + 1800) * 96 / (94 + 60)^2 = 7.7 */
	printf("large channels: error of scores %.1f times less with scales\n", error[0] / error[1]);
	ck_assert_msg(error[0] / error[1] > 6 && error[0] / error[1] < 9.5, "%g", error[0] / error[1]);
}
END_TEST

/* Attention over a cache against float64 over what its codecs decode */
START_TEST(caches_take_scales)
{
	struct tq_given g = given_word("rht:2");
	struct tq_quantizer *q;
	struct tq_kv_rows rows = { .struct_size = sizeof(rows), .tokens = ROWS, .dtype = TQ_F32, .keys = queries,
				   .key_stride = D, .values = x, .value_stride = D };
	static float keys[ROWS * D], values[ROWS * D], out[D];
	double weight[ROWS], total = 0, want, norm = 0, error = 0;
	struct tq_kv_call call = { .struct_size = sizeof(call), .tokens = 1, .dtype = TQ_F32, .query = queries + 5 * D,
				   .query_stride = D, .out = out, .out_stride = D, .causal = 1, .position = ROWS - 1 };
	uint8_t codes[ROWS * 64];
	struct tq_kv_options o;
	struct tq_kv_seq *seq;
	struct tq_kv *kv;
	char text[64];
	int i, k;

	g.scales = scales;
	q = open_given(ctx, &g, "bits=4");
	snprintf(text, sizeof(text), "rotation=given:%u bits=4", tq_quantizer_spec(q)->rotation_arg);
	tq_kv_options_init(&o);
	o.layers = o.kv_heads = o.query_heads = 1;
	o.key_dim = o.value_dim = D;
	o.sinks = o.window = 0;
	o.page_tokens = 16;
	o.key_spec = o.value_spec = text;
	ck_assert_msg(tq_kv_create(ctx, &o, &kv) == TQ_OK, "%s", tq_error_text());
	ck_assert_int_eq(tq_kv_seq_create(kv, &seq), TQ_OK);
	ck_assert_int_eq(tq_kv_append(seq, 0, &rows), TQ_OK);
	call.scratch_bytes = tq_kv_attend_scratch(seq, 0);
	call.scratch = aligned_alloc(64, call.scratch_bytes);
	ck_assert_msg(tq_kv_attend(seq, 0, &call) == TQ_OK, "%s", tq_error_text());
	free(call.scratch);
	encode(q, codes);
	ck_assert_int_eq(tq_decode(q, codes, ROWS, values, D), TQ_OK);
	ck_assert_int_eq(tq_encode(q, queries, D, ROWS, codes), TQ_OK);
	ck_assert_int_eq(tq_decode(q, codes, ROWS, keys, D), TQ_OK);
	/* a last page that is not full stays in 16 bits */
	memcpy(keys + ROWS / 16 * 16 * D, queries + ROWS / 16 * 16 * D, ROWS % 16 * D * sizeof(*keys));
	memcpy(values + ROWS / 16 * 16 * D, x + ROWS / 16 * 16 * D, ROWS % 16 * D * sizeof(*values));
	for (i = 0; i < ROWS; i++) {
		for (weight[i] = 0, k = 0; k < D; k++)
			weight[i] += (double)keys[i * D + k] * queries[5 * D + k] / sqrt(D);
		weight[i] = exp(weight[i]);
		total += weight[i];
	}
	for (k = 0; k < D; k++) {
		for (want = 0, i = 0; i < ROWS; i++)
			want += weight[i] / total * values[i * D + k];
		error += (want - out[k]) * (want - out[k]);
		norm += want * want;
	}
	ck_assert_msg(sqrt(error / norm) < 2e-3, "%g", sqrt(error / norm));
	tq_kv_seq_drop(seq);
	tq_kv_destroy(kv);
	tq_quantizer_destroy(q);
}
END_TEST

/* Distances in an index are those of the rows as they are; with signs it has no bounds, and scans in full. */
START_TEST(indexes_take_scales)
{
	struct tq_index_options o = { .struct_size = sizeof(o), .metric = TQ_METRIC_L2, .flags = TQ_INDEX_STAGED };
	struct tq_given g = given_pairs();
	struct tq_index *ix;
	struct tq_spec spec;
	int64_t id[ROWS];
	float score[ROWS];
	uint32_t sum;
	char text[96];
	int i;

	g.scales = scales;
	ck_assert_int_eq(tq_given_add(ctx, &g, &sum), TQ_OK);
	snprintf(text, sizeof(text), "preset=search bits=8 rotation=given:%u", sum);
	tq_spec_init(&spec);
	ck_assert_int_eq(tq_spec_parse(&spec, text), TQ_OK);
	ck_assert_msg(tq_index_create(ctx, &spec, D, &o, &ix) == TQ_OK, "%s", tq_error_text());
	ck_assert_int_eq(tq_index_train(ix, x, D, ROWS), TQ_OK);
	ck_assert_int_eq(tq_index_add(ix, x, D, ROWS, NULL), TQ_OK);
	ck_assert_int_eq(tq_index_search(ix, x, D, ROWS, 1, NULL, id, score), TQ_OK);
	for (i = 0; i < ROWS; i++) {
		ck_assert_int_eq(id[i], i);
		ck_assert_msg(fabs(score[i]) < 3, "%g", (double)score[i]);
	}
	tq_index_destroy(ix);
}
END_TEST

/* A description names the numbers: it opens where they are known, and nowhere else. */
START_TEST(codes_decode_with_their_own_numbers_only)
{
	struct tq_given g = given_pairs();
	struct tq_quantizer *q = open_given(ctx, &g, "bits=4"), *p;
	struct tq_context *other;
	size_t size = 1024;
	uint8_t text[1024];
	uint32_t sum, last;

	ck_assert_int_eq(tq_describe(q, text, &size), TQ_OK);
	ck_assert_int_eq(tq_quantizer_from_description(ctx, text, size, NULL, &p), TQ_OK);
	tq_quantizer_destroy(p);
	ck_assert_int_eq(tq_context_create(NULL, &other), TQ_OK);
	ck_assert_int_eq(tq_quantizer_from_description(other, text, size, NULL, &p), TQ_ERR_SPEC);
	ck_assert_msg(strstr(tq_error_text(), "no such numbers"), "%s", tq_error_text());
	ck_assert_int_eq(tq_given_add(other, &g, &sum), TQ_OK);
	angles[LAYERS * NPAIRS - 1] = nextafterf(angles[LAYERS * NPAIRS - 1], 9.0f);
	ck_assert_int_eq(tq_given_add(other, &g, &last), TQ_OK);
	ck_assert_uint_ne(sum, last);
	ck_assert_int_eq(tq_quantizer_from_description(other, text, size, NULL, &p), TQ_OK);
	ck_assert_uint_eq(tq_quantizer_spec(p)->rotation_arg, sum);
	tq_quantizer_destroy(p);
	tq_context_destroy(other);
	tq_quantizer_destroy(q);
}
END_TEST

static uint32_t crc(uint32_t have, const void *data, size_t size)
{
	const uint8_t *at = data;
	int bit;

	for (have = ~have; size; size--)
		for (have ^= *at++, bit = 0; bit < 8; bit++)
			have = have >> 1 ^ (have & 1 ? 0x82f63b78u : 0);
	return ~have;
}

/* Numbers in memory are little-endian on the machines that this test runs on. */
START_TEST(checksums_are_those_of_the_format)
{
	struct tq_given g = given_pairs();
	uint32_t head[5] = { 1, D, TQ_ROT_GIVENS, LAYERS, NPAIRS }, sum, again, want, rounds = 2;

	want = crc(crc(crc(0, head, sizeof(head)), pairs, sizeof(pairs)), angles, sizeof(angles));
	ck_assert_int_eq(tq_given_add(ctx, &g, &sum), TQ_OK);
	ck_assert_uint_eq(sum, want);
	ck_assert_int_eq(tq_given_add(ctx, &g, &again), TQ_OK);
	ck_assert_uint_eq(again, sum);
	g = given_matrix();
	memcpy(head, (uint32_t[]){ 1, D, TQ_ROT_DENSE, 0, 0 }, sizeof(head));
	ck_assert_int_eq(tq_given_add(ctx, &g, &sum), TQ_OK);
	ck_assert_uint_eq(sum, crc(crc(0, head, sizeof(head)), matrix, sizeof(matrix)));
	g.scales = scales;
	head[2] += 16;
	ck_assert_int_eq(tq_given_add(ctx, &g, &sum), TQ_OK);
	ck_assert_uint_eq(sum, crc(crc(crc(0, head, sizeof(head)), scales, sizeof(scales)), matrix, sizeof(matrix)));
	g = given_word("rht");
	head[2] = 0;
	ck_assert_int_eq(tq_given_add(ctx, &g, &sum), TQ_OK);
	ck_assert_uint_eq(sum, crc(crc(crc(0, head, sizeof(head)), "rht", 3), &rounds, 4));
}
END_TEST

/* ---- refusals ---- */

static void refuse(const struct tq_given *g, int code, const char *text)
{
	uint32_t sum = 77;

	ck_assert_msg(tq_given_add(ctx, g, &sum) == code, "%s: not %d", text, code);
	ck_assert_msg(strstr(tq_error_text(), text), "'%s' has no '%s'", tq_error_text(), text);
	ck_assert_uint_eq(sum, 0);
}

START_TEST(bad_matrices_are_refused)
{
	struct tq_given g = given_matrix();

	matrix[5 * D + 3] += 0.001f;
	refuse(&g, TQ_ERR_ARG, "not orthogonal: |R R^T - I| is ");
	matrix[5 * D + 3] = NAN;
	refuse(&g, TQ_ERR_NONFINITE, "row 5 column 3");
	g.layers = 1;
	refuse(&g, TQ_ERR_ARG, "one of them");
	g = given_matrix();
	g.dim = 0;
	refuse(&g, TQ_ERR_ARG, "dim: 0");
	g.dim = TQ_MAX_DENSE_DIM + 1;
	refuse(&g, TQ_ERR_UNSUPPORTED, "limited to 8192");
	g.struct_size = 8;
	refuse(&g, TQ_ERR_ARG, "struct_size");
}
END_TEST

START_TEST(bad_pairs_are_refused)
{
	struct tq_given g = given_pairs();
	uint32_t held = pairs[2 * NPAIRS + 5];

	pairs[2 * NPAIRS + 5] = pairs[2 * NPAIRS + 2];
	refuse(&g, TQ_ERR_ARG, "layer 1 pair 2: coordinate");
	pairs[2 * NPAIRS + 5] = D;
	refuse(&g, TQ_ERR_ARG, "coordinate 96 of 96");
	pairs[2 * NPAIRS + 5] = held;
	angles[NPAIRS + 1] = INFINITY;
	refuse(&g, TQ_ERR_NONFINITE, "layer 1 pair 1");
	angles[NPAIRS + 1] = -1025.0f;
	refuse(&g, TQ_ERR_RANGE, "beyond");
	g.npairs = D / 2 + 1;
	refuse(&g, TQ_ERR_ARG, "npairs: 49");
	g.npairs = 0;
	refuse(&g, TQ_ERR_ARG, "npairs: 0");
	g = given_pairs();
	g.layers = TQ_GIVEN_LAYERS_MAX + 1;
	refuse(&g, TQ_ERR_ARG, "layers: 65");
	g.layers = 1;
	g.angles = NULL;
	refuse(&g, TQ_ERR_ARG, "angles is NULL");
}
END_TEST

START_TEST(bad_scales_are_refused)
{
	struct tq_given g = given_word("rht:2");
	uint8_t codes[400];
	struct tq_quantizer *q;
	void *prepared;

	g.scales = scales;
	scales[7] = 0;
	refuse(&g, TQ_ERR_RANGE, "scales: element 7 is 0");
	scales[7] = -1;
	refuse(&g, TQ_ERR_RANGE, "element 7 is -1");
	scales[7] = NAN;
	refuse(&g, TQ_ERR_NONFINITE, "element 7 is not finite");
	scales[7] = 0x1p-30f;
	scales[8] = 0x1p30f;
	q = open_given(ctx, &g, "bits=4");
	prepared = aligned_alloc(64, tq_query_size(q));
	x[7] = 1e38f;
	ck_assert_int_eq(tq_encode(q, x, D, 1, codes), TQ_ERR_RANGE);
	ck_assert_msg(strstr(tq_error_text(), "row 0 over the scales"), "%s", tq_error_text());
	queries[D + 8] = 1e38f;
	ck_assert_int_eq(tq_query_prepare(q, queries + D, D, 1, prepared), TQ_ERR_RANGE);
	ck_assert_msg(strstr(tq_error_text(), "query 0 times the scales"), "%s", tq_error_text());
	free(prepared);
	tq_quantizer_destroy(q);
}
END_TEST

START_TEST(bad_words_and_specs_are_refused)
{
	struct tq_given g = given_word("rht:9");
	struct tq_quantizer *q;
	struct tq_spec spec;
	char text[64];
	uint32_t sum;

	refuse(&g, TQ_ERR_SPEC, "1..3 rounds");
	g.rotation = "given:5";
	refuse(&g, TQ_ERR_SPEC, "none of rht");
	g.rotation = "rht:2 bits=3";
	refuse(&g, TQ_ERR_SPEC, "is no rotation");
	ck_assert_int_eq(tq_given_add(ctx, NULL, &sum), TQ_ERR_ARG);
	tq_spec_init(&spec);
	ck_assert_int_eq(tq_spec_parse(&spec, "rotation=given"), TQ_ERR_SPEC);
	ck_assert_int_eq(open_text(ctx, "rotation=given:1", D, &q), TQ_ERR_SPEC);
	ck_assert_msg(strstr(tq_error_text(), "given:1: this context has no such numbers"), "%s", tq_error_text());
	g = given_matrix();
	ck_assert_int_eq(tq_given_add(ctx, &g, &sum), TQ_OK);
	snprintf(text, sizeof(text), "rotation=given:%u", sum);
	ck_assert_int_eq(open_text(ctx, text, D + 1, &q), TQ_ERR_SPEC);
	ck_assert_msg(strstr(tq_error_text(), "has 96 dimensions, not 97"), "%s", tq_error_text());
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("given");
	TCase *tc = tcase_create("given");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, maps_are_those_given);
	tcase_add_test(tc, turns_are_sine_and_cosine);
	tcase_add_test(tc, own_rotations_given_back_make_the_same_bytes);
	tcase_add_test(tc, scores_and_rows_come_back);
	tcase_add_loop_test(tc, scales_are_taken_off_rows_and_put_on_queries, 0, 4);
	tcase_add_test(tc, scaled_scores_and_rows_come_back);
	tcase_add_test(tc, scales_help_keys_with_large_channels);
	tcase_add_test(tc, caches_take_scales);
	tcase_add_test(tc, indexes_take_scales);
	tcase_add_test(tc, bad_scales_are_refused);
	tcase_add_test(tc, codes_decode_with_their_own_numbers_only);
	tcase_add_test(tc, checksums_are_those_of_the_format);
	tcase_add_test(tc, bad_matrices_are_refused);
	tcase_add_test(tc, bad_pairs_are_refused);
	tcase_add_test(tc, bad_words_and_specs_are_refused);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
