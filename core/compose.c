/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stages into a codec: load -> rotate -> quantize -> sketch, and back. A fused encode or decode driver
 * replaces the whole composition.
 */

#include <stdio.h>
#include "compose.h"
#include "tq/quantizer.h"
#include "rotation.h"
#include "tile.h"

int tq_map_serve(struct tq_map *map, const struct tq_rotation *rot, const struct tq_choice *choice)
{
	int ret = TQ_OK;

	map->rot = rot;
	map->ops = choice->driver->rotation_ops;
	tq_note(NULL);
	if (map->ops->create)
		ret = map->ops->create(choice->host, rot, &map->state);
	if (ret)
		return tq_fail(ret, "%s: create failed: %s", choice->driver->driver_name,
			       tq_noted(tq_status_text(ret)));
	map->choice = *choice;
	return TQ_OK;
}

static int map_create(struct tq_context *ctx, const struct tq_rotation *rot, const char *pin,
		      unsigned *pinned, struct tq_map *map, struct tq_explain *why)
{
	struct tq_choice choice = { 0 };
	int ret;

	ret = tq_select_rotation(ctx, rot, pin, pinned, &choice, why);
	return ret ? ret : tq_map_serve(map, rot, &choice);
}

static void map_destroy(struct tq_map *map)
{
	if (map->choice.driver && map->ops->destroy)
		map->ops->destroy(map->choice.host, map->state);
}

int tq_pipeline_serve(struct tq_pipeline *pipe, enum tq_operation op,
		      const struct tq_choice *choice)
{
	struct tq_served *served = &pipe->op[op], *other;
	int ret = TQ_OK;

	served->ops = choice->driver->ops;
	for (other = pipe->op; other < served; other++) {
		if (other->choice.driver != choice->driver)
			continue;
		served->state = other->state;
		served->borrowed = 1;
		served->choice = *choice;
		return TQ_OK;
	}
	tq_note(NULL);
	if (served->ops->create)
		ret = served->ops->create(choice->host, pipe->plan, &served->state);
	if (ret)
		return tq_fail(ret, "%s: create failed: %s", choice->driver->driver_name,
			       tq_noted(tq_status_text(ret)));
	served->choice = *choice;
	return TQ_OK;
}

static void served_destroy(struct tq_served *served)
{
	if (served->choice.driver && !served->borrowed && served->ops->destroy)
		served->ops->destroy(served->choice.host, served->state);
}

static int choose_op(struct tq_pipeline *pipe, enum tq_operation op, const char *name, size_t slot,
		     const char *pin, unsigned *pinned, struct tq_explain *why)
{
	struct tq_choice choice = { 0 };
	int ret;

	ret = tq_select_op(pipe->ctx, name, slot, pipe->plan, pin, pinned, &choice, why);
	if (ret || !choice.driver)
		return ret;
	return tq_pipeline_serve(pipe, op, &choice);
}

static int choose_ops(struct tq_pipeline *pipe, const char *pin, unsigned *pinned,
		      struct tq_explain *why)
{
	const char *word = tq_rotation_word(&pipe->plan->rotation);
	const struct {
		enum tq_operation op;
		const char *verb;
		const char *rotation;
		size_t slot;
	} wanted[] = {
		{ TQ_OP_QUANTIZE, "quantize", NULL, offsetof(struct tq_quantizer_ops, quantize) },
		{ TQ_OP_DEQUANTIZE, "quantize", NULL, offsetof(struct tq_quantizer_ops, dequantize) },
		{ TQ_OP_SCORE, "score", NULL, offsetof(struct tq_quantizer_ops, score) },
		{ TQ_OP_SCORE_PAIRS, "score", NULL, offsetof(struct tq_quantizer_ops, score_pairs) },
		{ TQ_OP_ENCODE, "encode", word, offsetof(struct tq_quantizer_ops, encode) },
		{ TQ_OP_DECODE, "decode", word, offsetof(struct tq_quantizer_ops, decode) },
	};
	char name[TQ_STAGE_NAME_MAX];
	size_t i;
	int ret;

	for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		if (pipe->scales && wanted[i].rotation) /* drivers know of none */
			continue;
		tq_stage_name(pipe->plan, wanted[i].verb, wanted[i].rotation, name, sizeof(name));
		ret = choose_op(pipe, wanted[i].op, name, wanted[i].slot, pin, pinned, why);
		if (ret)
			return ret;
	}
	return TQ_OK;
}

static void find_failing(struct tq_pipeline *pipe)
{
	int i;

	pipe->may_fail = (pipe->rotation.ops && pipe->rotation.ops->failed) ||
			 (pipe->sketch.ops && pipe->sketch.ops->failed);
	for (i = 0; i < TQ_OP_COUNT; i++)
		pipe->may_fail |= pipe->op[i].ops && pipe->op[i].ops->failed;
}

int tq_pipeline_measure(struct tq_pipeline *pipe)
{
	const struct tq_served *score = &pipe->op[TQ_OP_SCORE];

	find_failing(pipe);
	pipe->query_bytes = score->ops->query_size(pipe->plan, score->state);
	if (pipe->query_bytes == 0 || pipe->query_bytes % 64)
		return tq_fail(TQ_ERR_PLUGIN, "%s: a query of %zu bytes, not a multiple of 64",
			       score->choice.driver->driver_name, pipe->query_bytes);
	pipe->block_bytes = score->ops->score_blocks ? tq_block_bytes(pipe->plan) : 0;
	return TQ_OK;
}

/* A device is given whole batches; what is not bit-exact may depend on the batch. */
static bool splits(const struct tq_choice *choice)
{
	return !choice->driver || (choice->driver->memory == TQ_MEM_HOST &&
				   choice->driver->flags & TQ_DRV_BITEXACT);
}

static void find_splits(struct tq_pipeline *pipe)
{
	bool maps = splits(&pipe->rotation.choice) && splits(&pipe->sketch.choice);
	bool op[TQ_OP_COUNT];
	int i;

	for (i = 0; i < TQ_OP_COUNT; i++)
		op[i] = splits(&pipe->op[i].choice);
	pipe->split_encode = pipe->op[TQ_OP_ENCODE].ops ? op[TQ_OP_ENCODE] :
							  maps && op[TQ_OP_QUANTIZE];
	pipe->split_decode = pipe->op[TQ_OP_DECODE].ops ? op[TQ_OP_DECODE] :
							  maps && op[TQ_OP_DEQUANTIZE];
	pipe->split_prepare = maps && op[TQ_OP_SCORE];
	pipe->split_score = op[TQ_OP_SCORE];
	pipe->split_pairs = op[TQ_OP_SCORE_PAIRS];
}

static int ask(int (*failed)(const void *), const void *state, const struct tq_choice *choice)
{
	int ret = failed ? failed(state) : TQ_OK;

	return ret ? tq_fail(ret, "%.60s: %.300s", choice->driver->driver_name, tq_noted("failed before")) :
		     TQ_OK;
}

int tq_pipeline_failed(const struct tq_pipeline *pipe)
{
	const struct tq_map *maps[] = { &pipe->rotation, &pipe->sketch };
	int ret = TQ_OK, i;

	if (!pipe->may_fail)
		return TQ_OK;
	for (i = 0; i < 2 && !ret; i++)
		if (maps[i]->ops)
			ret = ask(maps[i]->ops->failed, maps[i]->state, &maps[i]->choice);
	for (i = 0; i < TQ_OP_COUNT && !ret; i++)
		if (pipe->op[i].ops)
			ret = ask(pipe->op[i].ops->failed, pipe->op[i].state, &pipe->op[i].choice);
	return ret;
}

static float sketch_coef(const struct tq_plan *plan)
{
	if (plan->correction == TQ_CORR_QJL_GAUSS)
		return (float)(1.2533141373155003 / plan->dim);
	return (float)((double)plan->codebook.kappa / sqrt((double)plan->dim));
}

void tq_pipeline_start(struct tq_pipeline *pipe, struct tq_context *ctx, const struct tq_plan *plan)
{
	memset(pipe, 0, sizeof(*pipe));
	pipe->ctx = ctx;
	pipe->plan = plan;
	pipe->coef = sketch_coef(plan);
}

int tq_pipeline_create(struct tq_context *ctx, const struct tq_plan *plan, const float *scales,
		       const char *pin, struct tq_pipeline *pipe, struct tq_explain *why)
{
	unsigned pinned = 0;
	int ret;

	tq_pipeline_start(pipe, ctx, plan);
	pipe->scales = scales;
	pin = tq_effective_pin(ctx, pin);
	ret = map_create(ctx, &plan->rotation, pin, &pinned, &pipe->rotation, why);
	if (!ret && plan->sketch.kind != TQ_ROT_NONE)
		ret = map_create(ctx, &plan->sketch, pin, &pinned, &pipe->sketch, why);
	if (!ret)
		ret = choose_ops(pipe, pin, &pinned, why);
	if (!ret)
		ret = tq_pipeline_measure(pipe);
	if (!ret && pin && !pinned)
		ret = tq_pin_unserved(ctx, pin);
	if (ret)
		tq_pipeline_destroy(pipe);
	else
		find_splits(pipe);
	return ret;
}

void tq_pipeline_destroy(struct tq_pipeline *pipe)
{
	int i;

	for (i = 0; i < TQ_OP_COUNT; i++)
		served_destroy(&pipe->op[i]);
	map_destroy(&pipe->sketch);
	map_destroy(&pipe->rotation);
	memset(pipe, 0, sizeof(*pipe));
}

/* e = y - levels * r, what the levels leave over: FORMAT.md section 4, step 9. */
static void residual(const struct tq_plan *plan, const float *y, float r, const uint8_t *row,
		     float *e)
{
	float t = r * plan->codebook.half_step;
	uint8_t index[256];
	size_t at, n, i;

	if (!plan->index_bits) {
		memcpy(e, y, plan->dim * sizeof(*e));
		return;
	}
	for (at = 0; at < plan->dim; at += n) {
		n = plan->dim - at < sizeof(index) ? plan->dim - at : sizeof(index);
		tq_unpack_indices(plan, row, at, n, index);
		for (i = 0; i < n; i++)
			e[at + i] = y[at + i] - (float)plan->codebook.odd[index[i]] * t;
	}
}

static void pack_signs(const float *z, size_t n, uint8_t *bits)
{
	size_t i;

	memset(bits, 0, (n + 7) / 8);
	for (i = 0; i < n; i++)
		if (z[i] >= 0.0f)
			bits[i / 8] = (uint8_t)(bits[i / 8] | 1u << i % 8);
}

static void unpack_signs(const uint8_t *bits, size_t n, float *b)
{
	size_t i;

	for (i = 0; i < n; i++)
		b[i] = bits[i / 8] >> i % 8 & 1 ? 1.0f : -1.0f;
}

/* The residual's norm and sketch bits of the rows in tile->y, which are overwritten. */
static void sketch_rows(const struct tq_pipeline *pipe, struct tq_tile *tile,
			const struct tq_row_stat *stat, size_t n, uint8_t *codes)
{
	const struct tq_layout *layout = &pipe->plan->layout;
	const struct tq_map *sketch = &pipe->sketch;
	size_t d = pipe->plan->dim, i;
	uint8_t *row = codes;
	float *e, r, rnorm;

	for (i = 0; i < n; i++, row += layout->row_bytes) {
		e = tile->x + i * d;
		r = sqrtf(stat[i].norm2 / (float)pipe->plan->dim);
		residual(pipe->plan, tile->y + i * d, r, row, e);
		rnorm = tq_scale_up(sqrtf(tq_dot16(e, e, d)), stat[i].exponent);
		tq_store_scale(pipe->plan, row + layout->rnorm_at, rnorm);
	}
	sketch->ops->rotate(sketch->rot, sketch->state, tile->x, tile->z, n, tile->scratch);
	for (i = 0; i < n; i++)
		pack_signs(tile->z + i * d, d, codes + i * layout->row_bytes + layout->sketch_at);
}

/* Rows over the scales of their channels, settled again: FORMAT.md section 4, step 3. */
static void smooth_rows(const struct tq_pipeline *pipe, float *x, struct tq_row_stat *stat, size_t n)
{
	size_t d = pipe->plan->dim, i, j;

	for (i = 0; i < n; i++, x += d) {
		for (j = 0; j < d; j++)
			x[j] = x[j] / pipe->scales[j];
		stat[i].exponent += tq_settle(x, d);
		stat[i].norm2 = tq_dot16(x, x, d);
	}
}

static void encode_rows(const struct tq_pipeline *pipe, struct tq_tile *tile, const void *x,
			int dtype, size_t stride, size_t n, uint8_t *codes)
{
	const struct tq_served *quantize = &pipe->op[TQ_OP_QUANTIZE];
	const struct tq_map *rotation = &pipe->rotation;
	size_t d = pipe->plan->dim, row_bytes = stride * tq_dtype_size(dtype), i;
	struct tq_row_stat stat[TQ_TILE_ROWS];

	for (i = 0; i < n; i++)
		tq_row_load(pipe->plan, (const char *)x + i * row_bytes, dtype, tile->x + i * d,
			    &stat[i]);
	if (pipe->scales)
		smooth_rows(pipe, tile->x, stat, n);
	rotation->ops->rotate(rotation->rot, rotation->state, tile->x, tile->y, n, tile->scratch);
	quantize->ops->quantize(pipe->plan, quantize->state, tile->y, stat, n, codes);
	if (pipe->sketch.ops)
		sketch_rows(pipe, tile, stat, n, codes);
}

/* A fused driver fails with a reason in the log: make it the text. */
static int fused_result(const struct tq_served *fused, int ret)
{
	return ret ? tq_fail(ret, "%.60s: %.300s", fused->choice.driver->driver_name, tq_noted(tq_status_text(ret))) :
		     TQ_OK;
}

int tq_pipeline_encode(const struct tq_pipeline *pipe, const void *x, int dtype, size_t stride,
		       size_t n, uint8_t *codes)
{
	const struct tq_served *fused = &pipe->op[TQ_OP_ENCODE];
	size_t element = tq_dtype_size(dtype), i, m;
	struct tq_tile_stack stack;
	struct tq_tile tile;
	int ret;

	if (fused->ops) {
		tq_note(NULL);
		return fused_result(fused, fused->ops->encode(pipe->plan, fused->state, x, dtype, stride, n,
							      codes));
	}
	ret = tq_tile_open(pipe->ctx, pipe->plan->dim, &stack, &tile);
	if (ret)
		return ret;
	for (i = 0; i < n; i += m) {
		m = n - i < tile.rows ? n - i : tile.rows;
		encode_rows(pipe, &tile, (const char *)x + i * stride * element, dtype, stride, m,
			    codes + i * pipe->plan->layout.row_bytes);
	}
	tq_tile_close(pipe->ctx, &tile);
	return tq_pipeline_failed(pipe);
}

/* Add what the sketch bits say of the residual to the rows in tile->y: FORMAT.md section 5. */
static void unsketch_rows(const struct tq_pipeline *pipe, struct tq_tile *tile,
			  const int32_t *exponent, size_t n, const uint8_t *codes)
{
	const struct tq_layout *layout = &pipe->plan->layout;
	const struct tq_map *sketch = &pipe->sketch;
	size_t d = pipe->plan->dim, i, j;
	const uint8_t *row;
	float g, *y, *u;

	for (i = 0; i < n; i++)
		unpack_signs(codes + i * layout->row_bytes + layout->sketch_at, d, tile->x + i * d);
	sketch->ops->unrotate(sketch->rot, sketch->state, tile->x, tile->z, n, tile->scratch);
	for (i = 0; i < n; i++) {
		row = codes + i * layout->row_bytes;
		g = pipe->coef *
		    tq_scale_up(tq_load_scale(pipe->plan, row + layout->rnorm_at), -exponent[i]);
		y = tile->y + i * d;
		u = tile->z + i * d;
		for (j = 0; j < d; j++)
			y[j] = y[j] + g * u[j];
	}
}

/* One unrotated row to the caller's: times its power of two, and the centre added */
static void store_row(const struct tq_pipeline *pipe, float *row, float power, void *x, int dtype, size_t at)
{
	const float *centre = pipe->plan->centre;
	size_t d = pipe->plan->dim, j;

	for (j = 0; pipe->scales && j < d; j++)
		row[j] = row[j] * pipe->scales[j];
	for (j = 0; j < d; j++)
		row[j] = row[j] * power;
	for (j = 0; centre && j < d; j++)
		row[j] = row[j] + centre[j];
	if (dtype == TQ_F32) {
		memcpy((char *)x + at * sizeof(*row), row, d * sizeof(*row));
		return;
	}
	for (j = 0; j < d; j++)
		tq_store_element(x, dtype, at + j, row[j]);
}

static void decode_rows(const struct tq_pipeline *pipe, struct tq_tile *tile, const uint8_t *codes,
			size_t n, void *x, int dtype, size_t stride)
{
	const struct tq_served *dequantize = &pipe->op[TQ_OP_DEQUANTIZE];
	const struct tq_map *rotation = &pipe->rotation;
	size_t d = pipe->plan->dim, i;
	int32_t exponent[TQ_TILE_ROWS];

	dequantize->ops->dequantize(pipe->plan, dequantize->state, codes, n, tile->y, exponent);
	if (pipe->sketch.ops)
		unsketch_rows(pipe, tile, exponent, n, codes);
	rotation->ops->unrotate(rotation->rot, rotation->state, tile->y, tile->x, n, tile->scratch);
	for (i = 0; i < n; i++)
		store_row(pipe, tile->x + i * d, tq_pow2(exponent[i]), x, dtype, i * stride);
}

int tq_pipeline_decode(const struct tq_pipeline *pipe, const uint8_t *codes, size_t n, void *x,
		       int dtype, size_t stride)
{
	const struct tq_served *fused = &pipe->op[TQ_OP_DECODE];
	size_t element = tq_dtype_size(dtype), i, m;
	struct tq_tile_stack stack;
	struct tq_tile tile;
	int ret;

	if (fused->ops) {
		tq_note(NULL);
		return fused_result(fused, fused->ops->decode(pipe->plan, fused->state, codes, n, x, dtype,
							      stride));
	}
	ret = tq_tile_open(pipe->ctx, pipe->plan->dim, &stack, &tile);
	if (ret)
		return ret;
	for (i = 0; i < n; i += m) {
		m = n - i < tile.rows ? n - i : tile.rows;
		decode_rows(pipe, &tile, codes + i * pipe->plan->layout.row_bytes, m,
			    (char *)x + i * stride * element, dtype, stride);
	}
	tq_tile_close(pipe->ctx, &tile);
	return tq_pipeline_failed(pipe);
}
