/* SPDX-License-Identifier: Apache-2.0 */

/* Keys, values and queries of a model from .npy files, and what a cache returns of them. */

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"
#include "kv.h"
#include "vectors.h"

#define TOKENS_MAX (1u << 20)

/* The last four dimensions; what is missing in front is 1 */
static void shape_of(const struct vectors *v, uint64_t shape[4])
{
	for (unsigned i = 0; i < 4; i++)
		shape[i] = i + v->dims < 4 ? 1 : v->shape[i + v->dims - 4];
}

static int load(const char *path, uint64_t shape[4], float **rows)
{
	struct vectors v;
	int ret = vectors_open_array(&v, path);

	if (ret)
		return ret;
	shape_of(&v, shape);
	*rows = malloc(v.count * v.dim * sizeof(**rows) + 1);
	ret = *rows ? vectors_read_f32(&v, 0, v.count, *rows) : cli_fail(CLI_UNMET, "out of memory");
	for (uint64_t i = 0; !ret && i < v.count * v.dim; i++)
		if (!isfinite((*rows)[i]))
			ret = vectors_nonfinite(path, i / v.dim);
	vectors_close(&v);
	return ret;
}

static int check_shapes(const char *const path[3], uint64_t shape[3][4])
{
	static const uint64_t most[4] = {1024, 1024, TOKENS_MAX, TQ_KV_MAX_DIM};
	static const char *const what[4] = {"layers", "heads", "tokens", "coordinates"};

	for (unsigned f = 0; f < 3; f++)
		for (unsigned i = 0; i < 4; i++)
			if (!shape[f][i] || shape[f][i] > most[i])
				return cli_fail(CLI_USAGE, "%s: %" PRIu64 " %s; 1 to %" PRIu64 " are possible",
						path[f], shape[f][i], what[i], most[i]);
	for (unsigned i = 0; i < 3; i++)
		if (shape[1][i] != shape[0][i])
			return cli_fail(CLI_USAGE, "%s: %" PRIu64 " %s, but the keys have %" PRIu64, path[1],
					shape[1][i], what[i], shape[0][i]);
	if (shape[2][0] != shape[0][0] || shape[2][3] != shape[0][3])
		return cli_fail(CLI_USAGE, "%s: %" PRIu64 " layers of %" PRIu64 " coordinates, but the keys have %" PRIu64
				" of %" PRIu64, path[2], shape[2][0], shape[2][3], shape[0][0], shape[0][3]);
	if (shape[2][1] % shape[0][1])
		return cli_fail(CLI_USAGE, "%s: %" PRIu64 " query heads are no multiple of %" PRIu64 " KV heads", path[2],
				shape[2][1], shape[0][1]);
	if (shape[2][2] > shape[0][2])
		return cli_fail(CLI_USAGE, "%s: queries of %" PRIu64 " tokens, but there are %" PRIu64, path[2],
				shape[2][2], shape[0][2]);
	return 0;
}

int kv_dump_load(struct kv_dump *d, const char *keys, const char *values, const char *queries)
{
	const char *const path[3] = {keys, values, queries};
	uint64_t shape[3][4] = {{0}};
	int ret;

	*d = (struct kv_dump){0};
	ret = load(keys, shape[0], &d->keys);
	if (!ret)
		ret = load(values, shape[1], &d->values);
	if (!ret)
		ret = load(queries, shape[2], &d->query);
	if (!ret)
		ret = check_shapes(path, shape);
	d->layers = (uint32_t)shape[0][0];
	d->kv_heads = (uint32_t)shape[0][1];
	d->tokens = (uint32_t)shape[0][2];
	d->key_dim = (uint32_t)shape[0][3];
	d->value_dim = (uint32_t)shape[1][3];
	d->query_heads = (uint32_t)shape[2][1];
	d->queries = (uint32_t)shape[2][2];
	if (ret)
		kv_dump_unload(d);
	return ret;
}

void kv_dump_unload(struct kv_dump *d)
{
	free(d->keys);
	free(d->values);
	free(d->query);
	*d = (struct kv_dump){0};
}

void kv_dump_options(const struct kv_dump *d, struct tq_kv_options *o)
{
	o->layers = d->layers;
	o->kv_heads = d->kv_heads;
	o->query_heads = d->query_heads;
	o->key_dim = d->key_dim;
	o->value_dim = d->value_dim;
}

/* The slash that ends a spec of keys: a split has one of its own first */
static char *end_of_spec(char *text)
{
	char *slash = strstr(text, " / ");

	return slash && !strncmp(text, "split=", 6) ? strstr(slash + 3, " / ") : slash;
}

int kv_take_specs(const char *text, char *room, struct tq_kv_options *o)
{
	char *slash, *end;

	if (strlen(text) >= KV_SPECS_MAX)
		return cli_fail(CLI_USAGE, "--spec: longer than %d characters", KV_SPECS_MAX - 1);
	strcpy(room, text);
	slash = end_of_spec(room);
	o->key_spec = o->value_spec = room;
	if (slash) {
		o->value_spec = slash + 3;
		for (end = slash; end > room && end[-1] == ' ';)
			end--;
		*end = '\0';
	}
	return 0;
}

/* ---- through a cache ---- */

/* Heads of a token side by side, as tq_kv_append() takes them */
static void gather(const float *from, uint32_t heads, uint32_t tokens, uint32_t dim, float *to)
{
	for (uint32_t h = 0; h < heads; h++)
		for (uint32_t t = 0; t < tokens; t++)
			memcpy(to + ((size_t)t * heads + h) * dim, from + ((size_t)h * tokens + t) * dim,
			       dim * sizeof(*to));
}

static int append_layer(struct tq_kv_seq *seq, const struct kv_dump *d, uint32_t layer, float *keys, float *values)
{
	size_t head = (size_t)layer * d->kv_heads * d->tokens;
	struct tq_kv_rows rows = {.struct_size = sizeof(rows),
				  .tokens = d->tokens,
				  .dtype = TQ_F32,
				  .keys = keys,
				  .key_stride = (size_t)d->kv_heads * d->key_dim,
				  .values = values,
				  .value_stride = (size_t)d->kv_heads * d->value_dim};

	gather(d->keys + head * d->key_dim, d->kv_heads, d->tokens, d->key_dim, keys);
	gather(d->values + head * d->value_dim, d->kv_heads, d->tokens, d->value_dim, values);
	return tq_kv_append(seq, layer, &rows);
}

static int read_layer(const struct tq_kv_seq *seq, const struct kv_dump *d, uint32_t layer, float *keys, float *values)
{
	int status = TQ_OK;

	for (uint32_t h = 0; h < d->kv_heads; h++)
		for (uint32_t t = 0; status == TQ_OK && t < d->tokens; t++) {
			size_t row = ((size_t)layer * d->kv_heads + h) * d->tokens + t;

			status = tq_kv_seq_read(seq, layer, h, t, keys + row * d->key_dim, values + row * d->value_dim,
						NULL);
		}
	return status;
}

int kv_decode(struct tq_context *ctx, const struct tq_kv_options *o, const struct kv_dump *d, float *keys,
	      float *values, uint64_t *token_bytes)
{
	float *key_rows = malloc((size_t)d->tokens * d->kv_heads * d->key_dim * sizeof(float));
	float *value_rows = malloc((size_t)d->tokens * d->kv_heads * d->value_dim * sizeof(float));
	struct tq_kv_seq *seq = NULL;
	struct tq_kv *kv = NULL;
	struct tq_kv_bytes bytes;
	int status = key_rows && value_rows ? TQ_OK : TQ_ERR_NOMEM;

	if (status == TQ_OK)
		status = tq_kv_size(ctx, o, d->tokens, 1, &bytes);
	if (status == TQ_OK)
		status = tq_kv_create(ctx, o, &kv);
	if (status == TQ_OK)
		status = tq_kv_seq_create(kv, &seq);
	for (uint32_t layer = 0; status == TQ_OK && layer < d->layers; layer++) {
		status = append_layer(seq, d, layer, key_rows, value_rows);
		if (status == TQ_OK)
			status = read_layer(seq, d, layer, keys, values);
	}
	if (status == TQ_OK)
		*token_bytes = bytes.token;
	tq_kv_seq_drop(seq);
	tq_kv_destroy(kv);
	free(key_rows);
	free(value_rows);
	return status == TQ_OK ? 0 : cli_fail_status(status, NULL);
}
