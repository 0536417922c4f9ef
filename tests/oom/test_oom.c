/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Out of memory, at every place where memory is asked for: the 1st allocation of an operation
 * fails, then the 2nd, and so on until one run meets no failure. Each run has a context of its own.
 * Where the allocation failed, the operation either says TQ_ERR_NOMEM, or it did without (an
 * explanation cut short, a plugin refused for lack of memory) and its results are right. Then the
 * same operation runs in the same context with memory, and must succeed; and when the context is
 * gone, so is every byte. Everything goes through the public allocator hook.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tq/tq.h"
#include "../scale.h"

#define DIM 40
#define ROWS 9
#define LARGE_DIM 4200 /* too large for the stack: work space is allocated */
#define RUNS_MAX 20000

/*
 * struct memory - the hook
 * @asked:   allocations so far
 * @fail_at: the one that fails, counted from 1; 0 for none
 * @failed:  it did
 * @live:    allocations not yet given back
 */
struct memory {
	size_t asked;
	size_t fail_at;
	int failed;
	size_t live;
};

/* One operation. Returns a status; checks its results itself if that is TQ_OK. */
typedef int (*operation)(struct tq_context *ctx, const char *argument);

static struct memory memory;
static float x[ROWS * LARGE_DIM];

static void *hook_alloc(void *arg, size_t size, size_t align)
{
	struct memory *m = arg;
	void *p;

	if (__atomic_add_fetch(&m->asked, 1, __ATOMIC_SEQ_CST) == m->fail_at) {
		m->failed = 1;
		return NULL;
	}
	p = aligned_alloc(align, (size + align - 1) / align * align);
	ck_assert_ptr_nonnull(p);
	memset(p, 0x5a, size);
	__atomic_add_fetch(&m->live, 1, __ATOMIC_SEQ_CST);
	return p;
}

static void hook_free(void *arg, void *ptr)
{
	struct memory *m = arg;

	if (ptr)
		__atomic_sub_fetch(&m->live, 1, __ATOMIC_SEQ_CST);
	free(ptr);
}

static int context(struct tq_context **ctx, const char *config, uint32_t threads)
{
	struct tq_allocator a = {hook_alloc, hook_free, &memory};
	struct tq_options o = {.struct_size = sizeof(o), .allocator = &a, .threads = threads};

	o.config_file = config;
	return tq_context_create(&o, ctx);
}

/* A run of @op in a context of its own. Returns whether the failure was met. */
static int run_once(operation op, const char *argument, size_t fail_at)
{
	struct tq_context *ctx;
	int ret, failed;

	memory = (struct memory){0};
	ck_assert_int_eq(context(&ctx, NULL, 1), TQ_OK);
	memory.asked = 0;
	memory.fail_at = fail_at;
	ret = op(ctx, argument);
	failed = memory.failed;
	memory.fail_at = 0;
	if (!failed)
		ck_assert_msg(ret == TQ_OK, "%s: without a failure: %s", argument, tq_error_text());
	else if (ret != TQ_OK) {
		ck_assert_msg(ret == TQ_ERR_NOMEM, "%s: allocation %zu: %s: %s", argument, fail_at,
			      tq_status_name(ret), tq_error_text());
		ck_assert_msg(strstr(tq_error_text(), "memory") != NULL,
			      "%s: allocation %zu: the text is '%s'", argument, fail_at,
			      tq_error_text());
		ck_assert_msg(op(ctx, argument) == TQ_OK, "%s: after allocation %zu failed: %s",
			      argument, fail_at, tq_error_text());
	}
	tq_context_destroy(ctx);
	ck_assert_msg(memory.live == 0, "%s: allocation %zu: %zu blocks are lost", argument,
		      fail_at, memory.live);
	return failed;
}

/*
 * Every allocation fails once. With TQ_TEST_SCALE=1/n, for sanitizers, which take long: the first and every n-th
 * of the others, from a place that differs between arguments.
 */
static void run_all(operation op, const char *argument)
{
	size_t step = (size_t)(1 / test_scale()), i;

	for (i = 1; run_once(op, argument, i); i += i == 1 ? 1 + (argument ? strlen(argument) : 0) % step : step)
		ck_assert_uint_lt(i, RUNS_MAX);
	/* an operation that asks for nothing proves nothing */
	ck_assert_msg(i > 1, "%s: no allocation", argument);
	printf("%s: %zu allocations%s\n", argument, i - 1, step > 1 ? ", or fewer" : "");
}

static int make(struct tq_context *ctx, const char *text, uint32_t dim, struct tq_quantizer **q)
{
	struct tq_quantizer_options o = {.struct_size = sizeof(o)};
	struct tq_spec spec;
	int ret;

	tq_spec_init(&spec);
	ck_assert_msg(tq_spec_parse(&spec, text) == TQ_OK, "%s", tq_error_text());
	if (spec.center)
		o.centre = x;
	*q = (struct tq_quantizer *)&o;
	ret = tq_quantizer_create(ctx, &spec, dim, &o, q);
	ck_assert_msg(ret == TQ_OK || *q == NULL, "a quantizer is left behind");
	return ret;
}

/* The same with all the memory there is: what is tested comes behind. */
static void make_safely(struct tq_context *ctx, const char *text, uint32_t dim,
			struct tq_quantizer **q)
{
	size_t fail_at = memory.fail_at;

	memory.fail_at = 0;
	ck_assert_msg(make(ctx, text, dim, q) == TQ_OK, "%s", tq_error_text());
	memory.asked = 0;
	memory.fail_at = fail_at;
}

/* What rows, scores and a quantizer's driver give must not depend on what memory there was. */
static void check_codes(const struct tq_quantizer *q, const unsigned char *codes)
{
	struct tq_options o = {.struct_size = sizeof(o), .driver = "scalar"};
	struct tq_quantizer_options qo = {.struct_size = sizeof(qo)};
	static unsigned char want[ROWS * LARGE_DIM * 2];
	struct tq_context *ctx;
	struct tq_quantizer *scalar;

	qo.centre = tq_quantizer_centre(q);
	ck_assert_int_eq(tq_context_create(&o, &ctx), TQ_OK);
	ck_assert_int_eq(tq_quantizer_create(ctx, tq_quantizer_spec(q), tq_dim(q), &qo, &scalar),
			 TQ_OK);
	ck_assert_int_eq(tq_encode(scalar, x, tq_dim(q), ROWS, want), TQ_OK);
	ck_assert_mem_eq(codes, want, ROWS * tq_code_size(q));
	tq_quantizer_destroy(scalar);
	tq_context_destroy(ctx);
}

/* What is said of a context and a quantizer takes no memory, and no string of it is missing. */
static void explain(struct tq_context *ctx, const struct tq_quantizer *q)
{
	struct tq_driver_info info = {.struct_size = sizeof(info)};
	char text[1 << 14];
	FILE *out;
	size_t i;

	out = fmemopen(text, sizeof(text), "w");
	tq_quantizer_explain(q, out);
	tq_context_config(ctx, out);
	fclose(out);
	for (i = 0; tq_context_driver(ctx, i, &info) == TQ_OK; i++)
		ck_assert_ptr_nonnull(info.reason);
}

static int create_and_encode(struct tq_context *ctx, const char *spec)
{
	unsigned char codes[ROWS * DIM * 3];
	struct tq_quantizer *q;
	int ret = make(ctx, spec, DIM, &q);

	if (ret)
		return ret;
	ck_assert_int_eq(tq_encode(q, x, DIM, ROWS, codes), TQ_OK);
	if (memory.failed && !strstr(spec, "given"))
		check_codes(q, codes);
	explain(ctx, q);
	tq_quantizer_destroy(q);
	return TQ_OK;
}

/* A rotation of the embedder's own: its tables, and those of a quantizer that names it. */
static int give_and_create(struct tq_context *ctx, const char *kind)
{
	static const uint32_t pairs[] = { 3, 1, 0, 2, 7, 4, 5, 9 };
	static const float angles[] = { 0.5f, -1, 2, 3 };
	struct tq_given g = {.struct_size = sizeof(g), .dim = DIM};
	static float unit[DIM * DIM], scales[DIM];
	char spec[64];
	uint32_t sum, i;
	int ret;

	for (i = 0; i < DIM; i++) {
		unit[i * DIM + (i + 1) % DIM] = 1;
		scales[i] = (float)(i + 1);
	}
	if (strcmp(kind, "given pairs")) {
		g.matrix = unit;
	} else {
		g.layers = g.npairs = 2;
		g.pairs = pairs;
		g.angles = angles;
		g.scales = scales;
	}
	ret = tq_given_add(ctx, &g, &sum);
	ck_assert(ret == TQ_OK || sum == 0);
	if (ret)
		return ret;
	snprintf(spec, sizeof(spec), "bits=4 rotation=given:%u", sum);
	return create_and_encode(ctx, spec);
}

/* Rows of a dimension whose work space does not fit on the stack. */
static int encode_decode_score(struct tq_context *ctx, const char *spec)
{
	static unsigned char codes[ROWS * LARGE_DIM * 2];
	static float decoded[ROWS * LARGE_DIM], scores[ROWS * ROWS];
	struct tq_quantizer *q;
	void *prepared;
	int ret;

	make_safely(ctx, spec, LARGE_DIM, &q);
	prepared = aligned_alloc(64, tq_query_size(q));
	ret = tq_encode(q, x, LARGE_DIM, ROWS, codes);
	if (!ret)
		ret = tq_decode(q, codes, ROWS, decoded, LARGE_DIM);
	if (!ret)
		ret = tq_query_prepare(q, x, LARGE_DIM, 1, prepared);
	if (!ret)
		ret = tq_score(q, prepared, 1, codes, ROWS, scores, ROWS);
	if (!ret)
		ret = tq_score_pairs(q, codes, ROWS, codes, ROWS, scores, ROWS);
	memory.fail_at = 0;
	if (!ret)
		check_codes(q, codes);
	free(prepared);
	tq_quantizer_destroy(q);
	return ret;
}

/* Channels are chosen, a split of them is made; its calls ask for nothing, but those of large groups. */
static int make_split(struct tq_context *ctx, uint32_t dim, struct tq_split **s)
{
	struct tq_quantizer_options o = {.struct_size = sizeof(o), .driver = "scalar", .centre = x};
	static uint32_t channels[LARGE_DIM];
	struct tq_spec spec[2];
	int ret;

	tq_spec_init(&spec[0]);
	tq_spec_init(&spec[1]);
	ck_assert_int_eq(tq_spec_parse(&spec[0], "bits=3 rotation=none center=data"), TQ_OK);
	ck_assert_int_eq(tq_spec_parse(&spec[1], "bits=2 rotation=none"), TQ_OK);
	*s = NULL;
	ret = tq_split_choose(ctx, x, dim, ROWS, dim, x, DIM / 4, channels);
	if (ret)
		return ret;
	*s = (struct tq_split *)&o;
	ret = tq_split_create(ctx, spec, dim, channels, DIM / 4, &o, s);
	ck_assert_msg(ret == TQ_OK || *s == NULL, "a split is left behind");
	return ret;
}

static int choose_and_split(struct tq_context *ctx, const char *text)
{
	static unsigned char codes[ROWS * LARGE_DIM];
	static float back[ROWS * LARGE_DIM];
	uint32_t dim = strstr(text, "large") ? LARGE_DIM : DIM;
	size_t fail_at = memory.fail_at, asked;
	struct tq_split *s;
	void *scratch;
	int ret;

	/* the drivers are tested with all the memory there is */
	memory.fail_at = 0;
	ck_assert_int_eq(make_split(ctx, dim, &s), TQ_OK);
	tq_split_destroy(s);
	memory.asked = 0;
	memory.fail_at = fail_at;
	ret = make_split(ctx, dim, &s);
	if (ret)
		return ret;
	scratch = aligned_alloc(64, (tq_split_scratch_size(s) + 63) / 64 * 64);
	asked = memory.asked;
	ret = tq_split_encode(s, x, TQ_F32, dim, ROWS, codes, scratch);
	if (!ret)
		ret = tq_split_decode(s, codes, ROWS, back, TQ_F32, dim, scratch);
	ck_assert(dim > DIM || (ret == TQ_OK && memory.asked == asked));
	free(scratch);
	tq_split_destroy(s);
	return ret;
}

static int exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* A file of a split is complete or not there, and so is the split made from it. */
static int write_split(struct tq_context *ctx, const char *text)
{
	struct tq_quantizer_options o = {.struct_size = sizeof(o), .driver = "scalar"};
	size_t fail_at = memory.fail_at;
	struct tq_file_writer *w;
	struct tq_file *file;
	struct tq_split *s;
	char path[64];
	int ret;

	snprintf(path, sizeof(path), "oom-split-%d.tq", (int)getpid());
	memory.fail_at = 0;
	ck_assert_int_eq(make_split(ctx, DIM, &s), TQ_OK);
	memory.asked = 0;
	memory.fail_at = fail_at;
	ret = tq_split_file_create(ctx, path, s, &w);
	if (!ret)
		ret = tq_file_commit(w);
	tq_split_destroy(s);
	ck_assert((ret == TQ_OK) == exists(path));
	if (!ret)
		ret = tq_file_open(ctx, path, 0, &file);
	unlink(path);
	if (ret)
		return ret;
	ret = tq_file_split(file, &o, &s);
	tq_file_close(file);
	ck_assert((ret == TQ_OK) == (s != NULL));
	tq_split_destroy(s);
	return ret;
}

static int write_and_read(struct tq_context *ctx, const char *spec)
{
	unsigned char codes[ROWS * DIM * 3], ids[ROWS * 8] = {0};
	struct tq_file_writer *writer;
	struct tq_quantizer *q, *again;
	struct tq_file *file;
	char path[64];
	int ret;

	snprintf(path, sizeof(path), "oom-%d.tq", (int)getpid());
	unlink(path);
	make_safely(ctx, spec, DIM, &q);
	ck_assert_int_eq(tq_encode(q, x, DIM, ROWS, codes), TQ_OK);
	ret = tq_file_create(ctx, path, q, &writer);
	if (!ret) {
		ret = tq_file_append(writer, codes, ROWS);
		if (!ret)
			ret = tq_file_section_begin(writer, TQ_SECTION_IDS, 0);
		if (!ret)
			ret = tq_file_section_write(writer, ids, sizeof(ids));
		if (ret)
			tq_file_abort(writer);
		else
			ret = tq_file_commit(writer);
	}
	tq_quantizer_destroy(q);
	ck_assert_msg((ret == TQ_OK) == exists(path), "a file is %s",
		      ret ? "left behind" : "missing");
	if (!ret)
		ret = tq_file_open(ctx, path, 0, &file);
	unlink(path);
	if (ret)
		return ret;
	ck_assert_mem_eq(tq_file_codes(file), codes, tq_file_count(file) * tq_file_code_size(file));
	ret = tq_file_quantizer(file, NULL, &again);
	tq_file_close(file);
	if (!ret)
		tq_quantizer_destroy(again);
	return ret;
}

static int describe_and_create(struct tq_context *ctx, const char *spec)
{
	unsigned char text[2048];
	size_t size = sizeof(text);
	struct tq_quantizer *q;
	int ret;

	make_safely(ctx, spec, DIM, &q);
	ret = tq_describe(q, text, &size);
	tq_quantizer_destroy(q);
	if (!ret)
		ret = tq_quantizer_from_description(ctx, text, size, NULL, &q);
	if (!ret)
		tq_quantizer_destroy(q);
	return ret;
}

static int keep_row(void *arg, int64_t id)
{
	return id >= 0;
}

static int give_row(void *arg, const int64_t *ids, size_t n, float *rows)
{
	size_t i;

	for (i = 0; i < n; i++)
		memcpy(rows + i * DIM, x + ids[i] * DIM, DIM * sizeof(float));
	return 0;
}

/* A failed change of an index leaves what was there. */
static int change_index(struct tq_index *ix, struct tq_index *part)
{
	struct tq_index_info info = {.struct_size = sizeof(info)};
	int64_t ids[4] = {100, 7, 101, 8};
	size_t expected = 0;
	int ret;

	ret = tq_index_add(ix, x, DIM, ROWS, NULL);
	expected = ret ? 0 : ROWS;
	if (!ret)
		ret = tq_index_add(ix, x, DIM, 1, ids);
	expected += !ret;
	if (!ret)
		ret = tq_index_update(ix, x, DIM, 2, ids);
	if (!ret) {
		ret = tq_index_remove(ix, ids + 3, 1);
		expected -= !ret;
	}
	tq_index_describe(ix, &info);
	ck_assert_uint_eq(info.count, expected);
	if (!ret)
		ret = tq_index_create_like(ix, &part);
	if (!ret) {
		ret = tq_index_add(part, x, DIM, 1, ids + 2);
		if (!ret)
			ret = tq_index_reserve(part, 300);
		if (!ret)
			ret = tq_index_merge(part, ix);
		tq_index_destroy(part);
	}
	if (!ret)
		ret = tq_index_reconstruct(ix, ids, 1, (float[DIM]){0}, DIM);
	if (!ret)
		ret = tq_index_search(ix, x, DIM, ROWS, 3, NULL, (int64_t[ROWS * 3]){0}, NULL);
	return ret;
}

static int use_index(struct tq_context *ctx, const char *spec)
{
	struct tq_index_options o = {.struct_size = sizeof(o), .metric = TQ_METRIC_COS};
	struct tq_index_search_options so = {.struct_size = sizeof(so), .nprobe = 3, .allow = keep_row,
					     .rerank = 5, .fetch = give_row};
	struct tq_index *ix;
	struct tq_spec s, refine;
	int64_t ids[3];
	float scores[3];
	size_t n, fail_at;
	int ret;

	o.nlist = strstr(spec, "bits=2") ? 3 : 0;
	tq_spec_init(&s);
	tq_spec_init(&refine);
	if (o.nlist) {
		o.refine = &refine;
		so.fetch = NULL;
	}
	ck_assert_int_eq(tq_spec_parse(&s, spec), TQ_OK);
	fail_at = memory.fail_at;
	/* ten rounds of k-means ask for memory some thousand times */
	if (o.nlist)
		memory.fail_at = 0;
	ret = tq_index_create(ctx, &s, DIM, &o, &ix);
	if (ret)
		return ret;
	ret = tq_index_train(ix, x, DIM, ROWS);
	if (o.nlist) {
		memory.asked = 0;
		memory.fail_at = fail_at;
	}
	if (!ret)
		ret = change_index(ix, NULL);
	if (!ret) {
		n = 100;
		ck_assert_int_eq(tq_index_remove(ix, (int64_t[]){100}, 1), TQ_OK);
		ret = tq_index_search(ix, x, DIM, 1, 3, &so, ids, scores);
		so.rerank = 0;
		if (!ret)
			ret = tq_index_range(ix, x, -2.0f, &so, 3, ids, scores, &n);
		ck_assert(ret || n == ROWS - 1);
	}
	tq_index_destroy(ix);
	return ret;
}

/* Saved, opened with a log, changed, opened again: what failed has changed nothing. */
static int save_and_open_index(struct tq_context *ctx, const char *spec)
{
	struct tq_index_info info = {.struct_size = sizeof(info)};
	size_t fail_at = memory.fail_at, expected;
	char path[64], log[80];
	struct tq_index *ix;
	struct tq_spec s, refine;
	struct tq_index_options o = {.struct_size = sizeof(o), .refine = &refine};
	int ret, changed;

	snprintf(path, sizeof(path), "oom-index-%d.tq", (int)getpid());
	snprintf(log, sizeof(log), "%s.log", path);
	unlink(path);
	unlink(log);
	memory.fail_at = 0;
	tq_spec_init(&s);
	ck_assert_int_eq(tq_spec_parse(&s, spec), TQ_OK);
	tq_spec_init(&refine);
	ck_assert_int_eq(tq_index_create(ctx, &s, DIM, &o, &ix), TQ_OK);
	ck_assert_int_eq(tq_index_add(ix, x, DIM, ROWS, NULL), TQ_OK);
	memory.asked = 0;
	memory.fail_at = fail_at;
	ret = tq_index_save(ix, path);
	ck_assert_msg((ret == TQ_OK) == exists(path), "a file is %s", ret ? "left behind" : "missing");
	tq_index_destroy(ix);
	if (ret)
		return ret;
	ret = tq_index_open(ctx, path, TQ_INDEX_LOG | TQ_INDEX_MAP, NULL, &ix);
	if (ret)
		goto out_unlink;
	changed = tq_index_add(ix, x, DIM, 2, NULL);
	expected = ROWS + (changed ? 0 : 2);
	ret = changed ? changed : tq_index_save(ix, path);
	tq_index_destroy(ix);
	if (!ret)
		ret = tq_index_open(ctx, path, 0, NULL, &ix);
	if (!ret) {
		tq_index_describe(ix, &info);
		ck_assert_uint_eq(info.count, expected);
		tq_index_destroy(ix);
	}
out_unlink:
	unlink(path);
	unlink(log);
	return ret;
}

START_TEST(saved_indexes_survive)
{
	run_all(save_and_open_index, "preset=search bits=2");
}
END_TEST

START_TEST(indexes_survive)
{
	run_all(use_index, _i ? "preset=search bits=2" : "preset=search bits=4");
}
END_TEST

START_TEST(quantizers_survive)
{
	static const char *const specs[] = {
		"bits=4",
		"bits=3 rotation=haar correction=qjl:ortho",
		"bits=1 rotation=givens:3 correction=qjl:gauss",
		"bits=5 rotation=none code=uniform correction=unbiased effort=2",
		"bits=2 correction=qjl:rht center=both",
		"bits=1 code=sign correction=unbiased center=data scale=bf16",
		"code=polar:5 correction=unbiased center=both",
		"bits=2.5 correction=unbiased center=both",
	};

	run_all(create_and_encode, specs[_i]);
}
END_TEST

START_TEST(given_rotations_survive)
{
	run_all(give_and_create, _i ? "given pairs" : "given matrix");
}
END_TEST

/* Tokens into a cache, attention over them, through a file and back */
static int use_cache(struct tq_kv *kv, void *scratch, size_t room)
{
	struct tq_kv_rows rows = {.struct_size = sizeof(rows), .tokens = 40, .dtype = TQ_F32, .keys = x, .key_stride = DIM,
				  .values = x + 3, .value_stride = DIM};
	float out[DIM];
	struct tq_kv_call call = {.struct_size = sizeof(call), .tokens = 1, .dtype = TQ_F32, .query = x, .query_stride = DIM,
				  .out = out, .out_stride = DIM, .scratch = scratch, .scratch_bytes = room};
	struct tq_kv_seq *seq, *back = NULL;
	size_t asked;
	char path[64];
	int ret;

	snprintf(path, sizeof(path), "oom-kv-%d.tq", (int)getpid());
	ret = tq_kv_seq_create(kv, &seq);
	if (ret)
		return ret;
	ret = tq_kv_append(seq, 0, &rows);
	ck_assert_uint_eq(tq_kv_seq_tokens(seq, 0), ret ? 0 : 40);
	if (!ret) {
		ck_assert_uint_le(tq_kv_attend_scratch(seq, 0), room);
		asked = memory.asked;
		ck_assert_int_eq(tq_kv_attend(seq, 0, &call), TQ_OK);
		ck_assert_uint_eq(memory.asked, asked);
		ret = tq_kv_seq_save(seq, path);
	}
	if (!ret)
		ret = tq_kv_seq_restore(kv, path, &back);
	unlink(path);
	ck_assert((ret == TQ_OK) == (back != NULL));
	tq_kv_seq_drop(back);
	tq_kv_seq_drop(seq);
	ck_assert_uint_eq(tq_kv_used(kv), 0);
	return ret;
}

static int create_cache(struct tq_context *ctx, const char *spec)
{
	struct tq_kv_options o = {.struct_size = sizeof(o), .layers = 1, .kv_heads = 1, .query_heads = 1, .key_dim = DIM,
				  .value_dim = DIM, .key_spec = spec, .value_spec = spec, .raw_type = TQ_F16, .page_tokens = 16,
				  .center = TQ_KV_CENTER_LEARN, .center_tokens = 16, .driver = "scalar"};
	size_t fail_at = memory.fail_at, room = 1 << 17;
	void *scratch = aligned_alloc(64, room);
	struct tq_kv *kv;
	int ret;

	/* the drivers are tested with all the memory there is */
	memory.fail_at = 0;
	ck_assert_msg(tq_kv_create(ctx, &o, &kv) == TQ_OK, "%s", tq_error_text());
	tq_kv_destroy(kv);
	memory.asked = 0;
	memory.fail_at = fail_at;
	kv = (struct tq_kv *)&o;
	ret = tq_kv_create(ctx, &o, &kv);
	ck_assert_msg((ret == TQ_OK) == (kv != NULL), "a cache is left behind");
	if (!ret)
		ret = use_cache(kv, scratch, room);
	tq_kv_destroy(kv);
	free(scratch);
	return ret;
}

START_TEST(caches_survive)
{
	static const char *const specs[] = {"bits=4", "split=3,8-15 bits=3 / bits=2"};

	run_all(create_cache, specs[_i]);
}
END_TEST

START_TEST(splits_survive)
{
	if (_i < 2)
		run_all(choose_and_split, _i ? "split, large" : "split");
	else
		run_all(write_split, "split, file");
}
END_TEST

START_TEST(large_rows_survive)
{
	run_all(encode_decode_score, _i ? "bits=3 correction=unbiased rotation=none"
					: "bits=4 correction=ls scale=bf16");
}
END_TEST

START_TEST(files_survive)
{
	run_all(write_and_read, "bits=4 center=both");
}
END_TEST

START_TEST(descriptions_survive)
{
	run_all(describe_and_create, "bits=2 correction=norm");
}
END_TEST

/* Creation of the context itself: options, a file of settings, plugins, threads. */
START_TEST(contexts_survive)
{
	const char text[] =
		"order = [\"avx2\", \"scalar\"]; deny = [\"opencl\"]; profile = \"p\";\n"
		"profiles = { p = \"bits=2\"; q = \"bits=3\"; };\n"
		"kv = { k = { key = \"bits=2\"; value = \"raw\"; overrides = ( { layers = 0; key = \"bits=3\"; } ); }; };\n"
		"plugins = { avx2 = { a = 1; b = \"x\"; }; };\n";
	char path[] = "oom-XXXXXX";
	int fd = mkstemp(path), ret, failed = 1;
	struct tq_context *ctx;
	size_t i;

	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	for (i = 1; failed; i++) {
		memory = (struct memory){.fail_at = i};
		ctx = (struct tq_context *)&memory;
		ret = context(&ctx, path, 3);
		failed = memory.failed;
		if (ret) {
			ck_assert_msg(failed && ret == TQ_ERR_NOMEM, "allocation %zu: %s: %s", i,
				      tq_status_name(ret), tq_error_text());
			ck_assert_ptr_null(ctx);
		} else {
			memory.fail_at = 0;
			ck_assert_int_eq(create_and_encode(ctx, "bits=4"), TQ_OK);
			tq_context_destroy(ctx);
		}
		ck_assert_msg(memory.live == 0, "allocation %zu: %zu blocks are lost", i,
			      memory.live);
	}
	unlink(path);
	printf("context: %zu allocations\n", i - 2);
	ck_assert_uint_gt(i, 10);
}
END_TEST

/*
 * The self-test asks for memory some ten thousand times; each run takes a step further at every
 * failure: with the one that failed met again, a driver is tested from its beginning.
 */
START_TEST(selftest_survives)
{
	struct tq_context *ctx;
	unsigned failed;
	size_t i, step, met = 0;
	int ret;

	memory = (struct memory){0};
	ck_assert_int_eq(context(&ctx, NULL, 1), TQ_OK);
	for (i = 1, step = 1; i < 100000; i += step, step += step / 8 + 1) {
		memory.asked = 0;
		memory.failed = 0;
		memory.fail_at = i;
		ret = tq_context_selftest(ctx, &failed);
		memory.fail_at = 0;
		ck_assert_msg(ret == TQ_OK || (memory.failed && ret == TQ_ERR_NOMEM),
			      "allocation %zu: %s: %s", i, tq_status_name(ret), tq_error_text());
		ck_assert_msg(failed == 0, "allocation %zu: %u drivers are said to be wrong", i,
			      failed);
		if (!memory.failed)
			break;
		met++;
	}
	ck_assert_uint_gt(met, 5);
	ck_assert_int_eq(tq_context_selftest(ctx, &failed), TQ_OK);
	ck_assert_uint_eq(failed, 0);
	tq_context_destroy(ctx);
	ck_assert_uint_eq(memory.live, 0);
	printf("selftest: %zu failures met\n", met);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("oom");
	TCase *tc = tcase_create("every allocation");
	SRunner *runner;
	int failed, i;

	for (i = 0; i < ROWS * LARGE_DIM; i++)
		x[i] = (float)(i * 7919 % 2003 - 1001) / 300.0f;
	tcase_set_timeout(tc, 300);
	tcase_add_test(tc, contexts_survive);
	tcase_add_loop_test(tc, quantizers_survive, 0, 8);
	tcase_add_loop_test(tc, given_rotations_survive, 0, 2);
	tcase_add_loop_test(tc, large_rows_survive, 0, 2);
	tcase_add_test(tc, files_survive);
	tcase_add_test(tc, descriptions_survive);

	tcase_add_test(tc, selftest_survives);
	suite_add_tcase(suite, tc);
	tc = tcase_create("index");
	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, indexes_survive, 0, 2);
	tcase_add_test(tc, saved_indexes_survive);
	suite_add_tcase(suite, tc);
	tc = tcase_create("kv");
	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, caches_survive, 0, 2);
	suite_add_tcase(suite, tc);
	tc = tcase_create("split");
	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, splits_survive, 0, 3);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
