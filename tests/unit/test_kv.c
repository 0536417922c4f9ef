/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KV cache against a model (kv_model.c), step by step; forks and restored files answer bit for bit alike.
 * Random operations: test_kv_random.c.
 */

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "kv_model.h"

START_TEST(tokens_are_what_was_appended_and_attention_is_what_float64_says)
{
	const struct tq_kv_options *o = &shapes[_i].o;
	static const uint32_t steps[] = { 1, 3, 30, 31, 100, 1, 64, 70, 200 };
	struct model m, fork, back;
	struct tq_kv *kv;
	size_t i;

	ck_assert_msg(tq_kv_create(kv_ctx, o, &kv) == TQ_OK, "%s: %s", shapes[_i].name, tq_error_text());
	model_open(&m, kv, o);
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		ck_assert_msg(append(&m, o, steps[i]) == TQ_OK, "%s", tq_error_text());
		if (i % 3 == 2)
			check_sequence(&m, o, NULL);
	}
	memset(&fork, 0, sizeof(fork));
	memset(&back, 0, sizeof(back));
	ck_assert_int_eq(tq_kv_seq_fork(m.seq, &fork.seq), TQ_OK);
	model_copy(&m, &fork, o);
	save_and_restore(&m, kv, o, &back);
	ck_assert_int_eq(append(&m, o, 20), TQ_OK);
	check_sequence(&fork, o, &back);
	check_sequence(&m, o, NULL);
	model_close(&m);
	check_sequence(&back, o, &fork);
	model_close(&fork);
	model_close(&back);
	ck_assert_uint_eq(tq_kv_used(kv), 0);
	tq_kv_destroy(kv);
}
END_TEST

/* Head sizes from 16 to 1024, keys and values of 1 to 8 bits, and MLA; 90 tokens, the last 26 of them in 16 bits */
static const struct tq_kv_options sizes[] = {
	{ BASE(1, 1, 3, 16, 0, 16), .key_spec = "bits=1", .value_spec = "bits=8" },
	{ BASE(1, 1, 2, 40, 0, 24), .key_spec = "bits=8", .value_spec = "bits=1" },
	{ BASE(1, 2, 8, 64, 0, 64), .key_spec = "bits=2", .value_spec = "bits=7" },
	{ BASE(1, 1, 5, 96, 0, 100), .key_spec = "bits=7", .value_spec = "bits=2" },
	{ BASE(1, 2, 8, 128, 0, 128), .key_spec = "bits=4", .value_spec = "bits=4" },
	{ BASE(1, 1, 1, 256, 0, 192), .key_spec = "bits=3", .value_spec = "bits=6" },
	{ BASE(1, 1, 4, 512, 0, 384), .key_spec = "bits=6", .value_spec = "bits=3" },
	{ BASE(1, 1, 2, 1024, 0, 1024), .key_spec = "bits=5", .value_spec = "bits=5" },
	{ BASE(1, 1, 18, 512, 64, 0), .key_spec = "bits=4" },
	{ BASE(1, 2, 4, 128, 0, 72), .key_spec = "code=polar", .value_spec = "code=polar:4" },
	{ BASE(1, 2, 4, 128, 0, 75), .key_spec = "bits=3.5", .value_spec = "bits=2.33" },
	{ BASE(1, 2, 8, 128, 0, 128), .key_spec = "split=0-15,40,44,48,52,56-67 bits=3 / bits=2",
	  .value_spec = "split=96-127 bits=4 / bits=3" },
	{ BASE(1, 1, 3, 81, 0, 0), .key_spec = "split=0-16 bits=5 / bits=2" },
	{ BASE(1, 1, 3, 160, 0, 96), .key_spec = "split=1-64 code=tcq bits=3 / correction=qjl:rht bits=3" },
};

enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

/* Scalar's answers are what float64 says; every other backend that is here gives the same bits */
START_TEST(every_backend_answers_alike_at_every_size)
{
	static const char *const backends[] = { "scalar", "avx2", "avx512", "neon" };
	struct tq_kv_options o = sizes[_i];
	struct model m, twin;
	struct tq_kv *kv[4];
	size_t i;
	int ret;

	for (i = 0; i < 4; i++) {
		o.driver = backends[i];
		ret = tq_kv_create(kv_ctx, &o, &kv[i]);
		if (i && ret) {
			ck_assert_msg((ret == TQ_ERR_NO_DRIVER || ret == TQ_ERR_NOT_PRESENT) &&
					      !strstr(tq_error_text(), "failed"),
				      "%s: %s", backends[i], tq_error_text());
			continue;
		}
		ck_assert_msg(!ret, "%s", tq_error_text());
		if (!i) {
			model_open(&m, kv[0], &o);
			ck_assert_int_eq(append(&m, &o, 90), TQ_OK);
			check_sequence(&m, &o, NULL);
			continue;
		}
		memset(&twin, 0, sizeof(twin));
		save_and_restore(&m, kv[i], &o, &twin);
		check_sequence(&m, &o, &twin);
		model_close(&twin);
		tq_kv_destroy(kv[i]);
	}
	model_close(&m);
	tq_kv_destroy(kv[0]);
}
END_TEST

/* The same tokens and queries in a context with threads: the same bits */
START_TEST(threads_change_nothing)
{
	const struct tq_kv_options *o = &shapes[_i].o;
	struct tq_options options = { .struct_size = sizeof(options), .threads = 3 };
	struct tq_context *many;
	struct model m, twin;
	struct tq_kv *kv, *other;

	ck_assert_int_eq(tq_context_create(&options, &many), TQ_OK);
	ck_assert_int_eq(tq_kv_create(kv_ctx, o, &kv), TQ_OK);
	ck_assert_int_eq(tq_kv_create(many, o, &other), TQ_OK);
	model_open(&m, kv, o);
	ck_assert_int_eq(append(&m, o, 300), TQ_OK);
	memset(&twin, 0, sizeof(twin));
	save_and_restore(&m, other, o, &twin);
	check_sequence(&m, o, &twin);
	model_close(&m);
	model_close(&twin);
	tq_kv_destroy(kv);
	tq_kv_destroy(other);
	tq_context_destroy(many);
}
END_TEST

START_TEST(a_full_pool_leaves_the_cache_usable)
{
	struct tq_kv_options o = { BASE(1, 2, 2, 64, 0, 64) };
	struct tq_kv_bytes bytes;
	struct model m, other;
	uint32_t n = 0;
	struct tq_kv *kv;
	int ret;

	ck_assert_int_eq(tq_kv_size(kv_ctx, &o, 200, 1, &bytes), TQ_OK);
	o.byte_limit = bytes.total;
	ck_assert_int_eq(tq_kv_create(kv_ctx, &o, &kv), TQ_OK);
	model_open(&m, kv, &o);
	model_open(&other, kv, &o);
	while ((ret = append(&m, &o, 10)) == TQ_OK)
		n += 10;
	ck_assert_int_eq(ret, TQ_ERR_FULL);
	ck_assert_uint_ge(n, 190);
	ck_assert(strstr(tq_error_text(), "byte_limit"));
	check_sequence(&m, &o, NULL);
	ck_assert_int_eq(append(&other, &o, 1), TQ_ERR_FULL);
	ck_assert_uint_le(tq_kv_used(kv), o.byte_limit);
	ck_assert_int_eq(tq_kv_seq_rewind(m.seq, 100), TQ_OK);
	m.tokens = 100;
	ck_assert_int_eq(append(&other, &o, 1), TQ_OK);
	check_sequence(&m, &o, NULL);
	check_sequence(&other, &o, NULL);
	model_close(&m);
	model_close(&other);
	tq_kv_destroy(kv);
}
END_TEST

/* Beyond 2 MiB pages share slabs: those that were given back are taken again, the others stay as they are */
START_TEST(pages_of_a_large_cache_are_given_out_once)
{
	struct tq_kv_options o = { BASE(8, 2, 2, 256, 0, 256), .key_spec = "bits=8", .value_spec = "bits=8" };
	struct model m[8];
	struct tq_kv *kv;
	size_t i, turn;

	ck_assert_msg(tq_kv_create(kv_ctx, &o, &kv) == TQ_OK, "%s", tq_error_text());
	for (i = 0; i < 8; i++) {
		model_open(&m[i], kv, &o);
		ck_assert_int_eq(append(&m[i], &o, 128), TQ_OK);
	}
	ck_assert_uint_gt(tq_kv_used(kv), 6 << 20);
	for (turn = 0; turn < 2; turn++) {
		for (i = turn; i < 8; i += 2)
			model_close(&m[i]);
		for (i = turn; i < 8; i += 2) {
			model_open(&m[i], kv, &o);
			ck_assert_int_eq(append(&m[i], &o, 96), TQ_OK);
		}
		for (i = 0; i < 8; i++)
			check_sequence(&m[i], &o, NULL);
	}
	for (i = 0; i < 8; i++)
		model_close(&m[i]);
	ck_assert_uint_eq(tq_kv_used(kv), 0);
	tq_kv_destroy(kv);
}
END_TEST

START_TEST(sizes_are_told_before)
{
	struct tq_kv_options mla = { BASE(1, 1, 128, 512, 64, 0) }, o = { BASE(2, 4, 4, 128, 0, 128) };
	struct tq_kv_bytes bytes;
	struct model m;
	struct tq_kv *kv;

	mla.key_spec = "bits=4 scale=bf16";
	ck_assert_int_eq(tq_kv_size(kv_ctx, &mla, 1024, 1, &bytes), TQ_OK);
	ck_assert_uint_eq(bytes.token, 386);
	ck_assert_uint_eq(bytes.raw, 1152);
	o.sinks = 7;
	o.window = 50;
	ck_assert_int_eq(tq_kv_size(kv_ctx, &o, 500, 1, &bytes), TQ_OK);
	ck_assert_int_eq(tq_kv_create(kv_ctx, &o, &kv), TQ_OK);
	model_open(&m, kv, &o);
	ck_assert_int_eq(append(&m, &o, 500), TQ_OK);
	ck_assert_uint_eq(tq_kv_used(kv), bytes.total);
	model_close(&m);
	tq_kv_destroy(kv);
}
END_TEST

START_TEST(wrong_calls_are_refused_and_change_nothing)
{
	struct tq_kv_options o = { BASE(1, 2, 2, 32, 0, 32) }, bad;
	struct tq_kv_rows rows = { .struct_size = sizeof(rows), .tokens = 20, .dtype = TQ_F32 };
	struct tq_kv_call call = { .struct_size = sizeof(call), .tokens = 1, .dtype = TQ_F32 };
	float *x = calloc(20 * 64, sizeof(*x)), *out = calloc(64, sizeof(*out));
	void *scratch = room(1 << 20);
	struct model m;
	struct tq_kv *kv;

	bad = o, bad.query_heads = 3;
	ck_assert_int_eq(tq_kv_create(kv_ctx, &bad, &kv), TQ_ERR_ARG);
	ck_assert(strstr(tq_error_text(), "query_heads"));
	bad = o, bad.key_dim = 0;
	ck_assert_int_eq(tq_kv_create(kv_ctx, &bad, &kv), TQ_ERR_ARG);
	bad = o, bad.page_tokens = 33;
	ck_assert_int_eq(tq_kv_create(kv_ctx, &bad, &kv), TQ_ERR_ARG);
	bad = o, bad.value_spec = "correction=qjl:rht";
	ck_assert_int_eq(tq_kv_create(kv_ctx, &bad, &kv), TQ_ERR_UNSUPPORTED);
	bad = o, bad.key_spec = "center=data";
	ck_assert_int_eq(tq_kv_create(kv_ctx, &bad, &kv), TQ_ERR_SPEC);
	bad = o, bad.key_spec = "bots=4";
	ck_assert_int_eq(tq_kv_create(kv_ctx, &bad, &kv), TQ_ERR_SPEC);
	ck_assert(strstr(tq_error_text(), "key_spec") && strstr(tq_error_text(), "bits"));

	ck_assert_int_eq(tq_kv_create(kv_ctx, &o, &kv), TQ_OK);
	model_open(&m, kv, &o);
	ck_assert_int_eq(append(&m, &o, 40), TQ_OK);
	rows.keys = rows.values = x;
	rows.key_stride = rows.value_stride = 64;
	x[17 * 64 + 3] = NAN;
	ck_assert_int_eq(tq_kv_append(m.seq, 0, &rows), TQ_ERR_NONFINITE);
	ck_assert_uint_eq(tq_error_row(), 17);
	x[17 * 64 + 3] = 70000.0f;
	ck_assert_int_eq(tq_kv_append(m.seq, 0, &rows), TQ_ERR_RANGE);
	ck_assert_uint_eq(tq_error_row(), 17);
	x[17 * 64 + 3] = 0;
	ck_assert_int_eq(tq_kv_append(m.seq, 1, &rows), TQ_ERR_ARG);
	rows.dtype = 9;
	ck_assert_int_eq(tq_kv_append(m.seq, 0, &rows), TQ_ERR_ARG);
	rows.dtype = TQ_F32;
	rows.key_stride = 63;
	ck_assert_int_eq(tq_kv_append(m.seq, 0, &rows), TQ_ERR_ARG);
	rows.key_stride = 64;
	rows.values = NULL;
	ck_assert_int_eq(tq_kv_append(m.seq, 0, &rows), TQ_ERR_ARG);
	ck_assert_uint_eq(tq_kv_seq_tokens(m.seq, 0), 40);

	call.query = x;
	call.out = out;
	call.query_stride = call.out_stride = 64;
	call.scratch = scratch;
	call.scratch_bytes = 64;
	ck_assert_int_eq(tq_kv_attend(m.seq, 0, &call), TQ_ERR_RANGE);
	call.scratch_bytes = 1 << 20;
	call.scratch = (char *)scratch + 1;
	ck_assert_int_eq(tq_kv_attend(m.seq, 0, &call), TQ_ERR_ARG);
	call.scratch = scratch;
	x[5] = INFINITY;
	ck_assert_int_eq(tq_kv_attend(m.seq, 0, &call), TQ_ERR_NONFINITE);
	x[5] = 1;
	ck_assert_int_eq(tq_kv_attend(m.seq, 0, &call), TQ_OK);
	ck_assert_int_eq(tq_kv_seq_trim(m.seq, 41), TQ_ERR_RANGE);
	check_sequence(&m, &o, NULL);
	model_close(&m);
	tq_kv_destroy(kv);
	free(scratch);
	free(out);
	free(x);
}
END_TEST

/* As after an append that the pool had no room for in the last layer */
START_TEST(what_follows_a_trim_to_the_end_can_be_rewound)
{
	struct tq_kv_options o = { BASE(2, 1, 2, 32, 0, 32) };
	struct tq_kv *kv;
	struct model m;

	ck_assert_int_eq(tq_kv_create(kv_ctx, &o, &kv), TQ_OK);
	model_open(&m, kv, &o);
	ck_assert_int_eq(append(&m, &o, 100), TQ_OK);
	ck_assert_int_eq(tq_kv_seq_trim(m.seq, 100), TQ_OK);
	m.trimmed = 100;
	ck_assert_int_eq(append(&m, &o, 10), TQ_OK);
	ck_assert_int_eq(tq_kv_seq_rewind(m.seq, 99), TQ_ERR_RANGE);
	ck_assert_int_eq(tq_kv_seq_rewind(m.seq, 100), TQ_OK);
	m.tokens = 100;
	ck_assert_int_eq(append(&m, &o, 70), TQ_OK);
	check_sequence(&m, &o, NULL);
	model_close(&m);
	tq_kv_destroy(kv);
}
END_TEST

START_TEST(damaged_and_foreign_files_are_refused)
{
	static const char *const foreign[] = { "bits=3", "code=uniform", "rotation=rht:1", "seed=2",
					       "scale=bf16", "correction=qjl:rht" };
	struct tq_kv_options o = { BASE(2, 1, 2, 32, 0, 32) }, other;
	struct tq_kv *kv, *strange;
	struct tq_kv_seq *seq;
	unsigned char *bytes;
	struct model m;
	size_t size, i;
	FILE *f;

	ck_assert_int_eq(tq_kv_create(kv_ctx, &o, &kv), TQ_OK);
	model_open(&m, kv, &o);
	ck_assert_int_eq(append(&m, &o, 70), TQ_OK);
	ck_assert_int_eq(tq_kv_seq_save(m.seq, temp_path()), TQ_OK);
	for (i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		other = o, other.key_spec = foreign[i];
		ck_assert_int_eq(tq_kv_create(kv_ctx, &other, &strange), TQ_OK);
		ck_assert_int_eq(tq_kv_seq_restore(strange, temp_path(), &seq), TQ_ERR_UNSUPPORTED);
		ck_assert(!seq && strstr(tq_error_text(), "layer 0, head 0: another key spec"));
		ck_assert_uint_eq(tq_kv_used(strange), 0);
		tq_kv_destroy(strange);
	}
	f = fopen(temp_path(), "rb");
	fseek(f, 0, SEEK_END);
	size = (size_t)ftell(f);
	rewind(f);
	bytes = malloc(size);
	ck_assert_uint_eq(fread(bytes, 1, size, f), size);
	fclose(f);
	for (i = 0; i < size; i += 1 + size / 150) {
		bytes[i] ^= (unsigned char)(1u << i % 8);
		f = fopen(temp_path(), "wb");
		fwrite(bytes, 1, size, f);
		fclose(f);
		ck_assert_msg(tq_kv_seq_restore(kv, temp_path(), &seq) != TQ_OK, "byte %zu", i);
		bytes[i] ^= (unsigned char)(1u << i % 8);
	}
	unlink(temp_path());
	free(bytes);
	model_close(&m);
	ck_assert_uint_eq(tq_kv_used(kv), 0);
	tq_kv_destroy(kv);
}
END_TEST

/*
 * Effort and corrections are how codes are found, not what they mean: files from when the profiles had none open in
 * them. Where a profile had other bits, a cache that has the old specs opens its files.
 */
START_TEST(files_of_older_profiles_open)
{
	static const char *const before[][2] = { { "kv8", "bits=8 scale=bf16" }, { "kv4", "bits=4 scale=bf16" },
						 { "kv3", "bits=3 scale=bf16" }, { "kv2", "bits=2 scale=bf16" } };
	struct tq_kv_options o = { BASE(1, 1, 2, 32, 0, 32) }, now;
	struct model m, twin;
	struct tq_kv *kv, *other;

	ck_assert_int_eq(tq_kv_options_profile(kv_ctx, before[_i][0], &o), TQ_OK);
	now = o;
	o.key_spec = o.value_spec = before[_i][1];
	ck_assert_int_eq(tq_kv_create(kv_ctx, &o, &kv), TQ_OK);
	model_open(&m, kv, &o);
	ck_assert_int_eq(append(&m, &o, 400), TQ_OK);
	ck_assert_int_eq(tq_kv_seq_save(m.seq, temp_path()), TQ_OK);
	ck_assert_int_eq(tq_kv_create(kv_ctx, &now, &other), TQ_OK);
	if (!strcmp(before[_i][0], "kv3")) {
		ck_assert_int_eq(tq_kv_seq_restore(other, temp_path(), &twin.seq), TQ_ERR_UNSUPPORTED);
		ck_assert(strstr(tq_error_text(), "another key spec"));
		tq_kv_destroy(other);
		now.key_spec = "bits=3 scale=bf16 effort=2";
		now.value_spec = "bits=3 scale=bf16 correction=unbiased";
		ck_assert_int_eq(tq_kv_create(kv_ctx, &now, &other), TQ_OK);
	}
	memset(&twin, 0, sizeof(twin));
	save_and_restore(&m, other, &o, &twin);
	check_sequence(&m, &o, &twin);
	ck_assert_int_eq(append(&twin, &now, 150), TQ_OK);
	/* and back again: what came since has the other effort */
	ck_assert_int_eq(tq_kv_seq_save(twin.seq, temp_path()), TQ_OK);
	tq_kv_seq_drop(m.seq);
	ck_assert_int_eq(tq_kv_seq_restore(kv, temp_path(), &m.seq), TQ_OK);
	unlink(temp_path());
	ck_assert_uint_eq(tq_kv_seq_tokens(m.seq, 0), 550);
	model_close(&twin);
	model_close(&m);
	ck_assert_uint_eq(tq_kv_used(other), 0);
	tq_kv_destroy(other);
	tq_kv_destroy(kv);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("cache");

	tcase_set_timeout(tc, 900);
	tcase_add_loop_test(tc, tokens_are_what_was_appended_and_attention_is_what_float64_says, 0, SHAPES);
	tcase_add_loop_test(tc, every_backend_answers_alike_at_every_size, 0, SIZES);
	tcase_add_loop_test(tc, threads_change_nothing, 0, SHAPES);
	tcase_add_test(tc, a_full_pool_leaves_the_cache_usable);
	tcase_add_test(tc, pages_of_a_large_cache_are_given_out_once);
	tcase_add_test(tc, sizes_are_told_before);
	tcase_add_test(tc, wrong_calls_are_refused_and_change_nothing);
	tcase_add_test(tc, what_follows_a_trim_to_the_end_can_be_rewound);
	tcase_add_test(tc, damaged_and_foreign_files_are_refused);
	tcase_add_loop_test(tc, files_of_older_profiles_open, 0, 4);
	return run_cases("kv", tc);
}
