// SPDX-License-Identifier: Apache-2.0
/*
 * A KV cache in an engine, against the installed library alone: append, attend, fork, save, restore.
 * docs/INTEGRATION.md shows this file. Exit status 0 if the answers are as they must be.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tq/tq.h>

enum { LAYERS = 2, KV_HEADS = 2, HEADS = 8, DIM = 64, TOKENS = 700 };

static float keys[TOKENS][KV_HEADS * DIM], values[TOKENS][KV_HEADS * DIM];
static float query[HEADS * DIM], out[HEADS * DIM], again[HEADS * DIM];

static void check(int status, const char *what)
{
	if (!status)
		return;
	fprintf(stderr, "%s: %s\n", what, tq_error_text());
	exit(1);
}

static void attend(struct tq_kv_seq *seq, uint32_t layer, float *to)
{
	size_t bytes = tq_kv_attend_scratch(seq, 0);
	void *scratch = aligned_alloc(64, bytes); /* an engine keeps this */
	struct tq_kv_call call = {
		.struct_size = sizeof(call), .tokens = 1, .dtype = TQ_F32,
		.query = query, .query_stride = HEADS * DIM, .out = to, .out_stride = HEADS * DIM,
		.causal = 1, .position = tq_kv_seq_tokens(seq, layer) - 1,
		.scratch = scratch, .scratch_bytes = bytes,
	};

	check(tq_kv_attend(seq, layer, &call), "attend");
	free(scratch);
}

int main(void)
{
	struct tq_kv_options o;
	struct tq_kv_rows rows = { .struct_size = sizeof(rows), .tokens = TOKENS, .dtype = TQ_F32,
				   .keys = keys, .key_stride = KV_HEADS * DIM,
				   .values = values, .value_stride = KV_HEADS * DIM };
	struct tq_kv_seq *seq, *fork, *back;
	struct tq_context *ctx;
	struct tq_kv *kv;
	uint32_t lcg = 1;

	for (size_t i = 0; i < sizeof(keys) / sizeof(float); i++) {
		lcg = lcg * 1664525u + 1013904223u;
		(&keys[0][0])[i] = (float)(int32_t)lcg * 0x1p-30f;
		(&values[0][0])[i] = (float)(int32_t)(lcg * 2654435761u) * 0x1p-31f;
	}
	for (int i = 0; i < HEADS * DIM; i++)
		query[i] = keys[500][i % (KV_HEADS * DIM)];

	check(tq_context_create(NULL, &ctx), "context");
	tq_kv_options_init(&o);
	o.layers = LAYERS;
	o.kv_heads = KV_HEADS;
	o.query_heads = HEADS;
	o.key_dim = o.value_dim = DIM;
	o.key_spec = o.value_spec = "bits=4";
	o.sinks = 4;
	o.window = 64;
	check(tq_kv_create(ctx, &o, &kv), "cache");
	check(tq_kv_seq_create(kv, &seq), "sequence");
	for (uint32_t layer = 0; layer < LAYERS; layer++)
		check(tq_kv_append(seq, layer, &rows), "append");
	attend(seq, 1, out);

	check(tq_kv_seq_fork(seq, &fork), "fork"); /* shares every page */
	rows.tokens = 1;
	check(tq_kv_append(fork, 1, &rows), "append to the fork");
	check(tq_kv_seq_save(seq, "kv.tq"), "save");
	tq_kv_seq_drop(seq);
	check(tq_kv_seq_restore(kv, "kv.tq", &back), "restore");
	attend(back, 1, again);
	if (memcmp(out, again, sizeof(out)))
		return fprintf(stderr, "the restored sequence answers otherwise\n"), 1;
	attend(fork, 1, again);
	for (int i = 0; i < HEADS * DIM; i++)
		if (!(fabsf(out[i] - again[i]) < 1.0f))
			return fprintf(stderr, "output %d: %g and %g\n", i, out[i], again[i]), 1;
	printf("%llu bytes for %d tokens of %d layers\n", (unsigned long long)tq_kv_used(kv), TOKENS, LAYERS);
	tq_kv_seq_drop(fork);
	tq_kv_seq_drop(back);
	tq_kv_destroy(kv);
	tq_context_destroy(ctx);
	return 0;
}
