/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as the kv section of a file, of version 2 for a cache with splits. What is accepted is read, attended over,
 * and appended to.
 */

#include <stdlib.h>
#include <string.h>
#include "../../core/kv.h" /* not that of the tools */
#include "kv_file.h"

#define DIM 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct tq_kv_options shape = {
	.struct_size = sizeof(shape), .layers = 2, .kv_heads = 1, .query_heads = 2, .key_dim = DIM,
	.key_raw_dim = 2, .value_dim = DIM, .key_spec = "bits=4 correction=qjl:rht", .value_spec = "bits=3",
	.raw_type = TQ_F16, .sinks = 2, .window = 4, .page_tokens = 16, .center = TQ_KV_CENTER_LEARN,
	.center_tokens = 8,
};

static const char *const split[] = { "split=1-3,9 bits=4 correction=qjl:rht / bits=2", "split=0 bits=8 / bits=3" };

static void attend(const struct tq_kv_seq *seq, uint32_t layer)
{
	float query[2 * (DIM + 2)], out[2 * DIM];
	struct tq_kv_call call = { .struct_size = sizeof(call), .tokens = 1, .dtype = TQ_F32, .query = query,
				     .query_stride = 2 * (DIM + 2), .out = out, .out_stride = 2 * DIM,
				     .causal = 1, .position = tq_kv_seq_tokens(seq, layer) };
	size_t i;

	for (i = 0; i < sizeof(query) / sizeof(query[0]); i++)
		query[i] = (float)i - 7.0f;
	call.scratch_bytes = tq_kv_attend_scratch(seq, 0);
	call.scratch = aligned_alloc(64, (call.scratch_bytes + 63) / 64 * 64);
	if (!call.scratch || tq_kv_attend(seq, layer, &call))
		abort();
	free(call.scratch);
}

static void use(struct tq_kv_seq *seq)
{
	float keys[3 * (DIM + 2)] = { 1.0f }, values[3 * DIM] = { 2.0f }, key[DIM + 2], value[DIM];
	struct tq_kv_rows rows = { .struct_size = sizeof(rows), .tokens = 3, .dtype = TQ_F32, .keys = keys,
				   .key_stride = DIM + 2, .values = values, .value_stride = DIM };
	uint32_t layer;

	for (layer = 0; layer < shape.layers; layer++) {
		if (tq_kv_append(seq, layer, &rows))
			abort();
		tq_kv_seq_read(seq, layer, 0, tq_kv_seq_tokens(seq, layer) / 2, key, value, NULL);
		attend(seq, layer);
	}
	tq_kv_seq_trim(seq, 5);
	tq_kv_seq_rewind(seq, 7);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tq_options options = { .struct_size = sizeof(options),
				      .flags = TQ_NO_ENV | TQ_NO_CONFIG | TQ_NO_PLUGINS };
	struct tq_kv_options o = shape;
	static struct tq_context *ctx;
	struct tq_kv_seq *seq;
	struct tq_kv *kv;

	if (size && data[0] == 2) {
		o.key_spec = split[0];
		o.value_spec = split[1];
	}
	if ((!ctx && tq_context_create(&options, &ctx)) || tq_kv_create(ctx, &o, &kv))
		abort();
	if (tq_kv_section_read(kv, "input", data, size, &seq) == TQ_OK)
		use(seq);
	else
		seq = NULL;
	tq_kv_seq_drop(seq);
	if (tq_kv_used(kv))
		abort();
	tq_kv_destroy(kv);
	return 0;
}
