/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and values of KV caches in two groups of channels: what is refused and how, bytes, pages of any size, and files.
 * What the rows are, and what attention over them gives, test_kv.c and test_kv_random.c compare with a model.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "kv_model.h"

/* A refusal of a spec: where and why */
static const struct {
	const char *spec;
	int status;
	const char *text;
} refusals[] = {
	{ "split=0,64 bits=3 / bits=2", TQ_ERR_SPEC, "split=: channel 64, where there are 64" },
	{ "split=60-70 bits=3 / bits=2", TQ_ERR_SPEC, "split=: channel 70, where there are 64" },
	{ "split=3,0-5 bits=3 / bits=2", TQ_ERR_SPEC, "split=: channel 3 is there twice" },
	{ "split=5,5 bits=3 / bits=2", TQ_ERR_SPEC, "split=: channel 5 is there twice" },
	{ "split=9-7 bits=3 / bits=2", TQ_ERR_SPEC, "split=: channels 9-7 run backwards" },
	{ "split=0-63 bits=3 / bits=2", TQ_ERR_SPEC, "split=: all 64 channels are in one group" },
	{ "split= bits=3 / bits=2", TQ_ERR_SPEC, "split=: not a list of channels" },
	{ "split=1,,2 bits=3 / bits=2", TQ_ERR_SPEC, "split=1,,2: not a list of channels" },
	{ "split=1- bits=3 / bits=2", TQ_ERR_SPEC, "split=1-: not a list of channels" },
	{ "split=-1 bits=3 / bits=2", TQ_ERR_SPEC, "split=-1: not a list of channels" },
	{ "split=1;2 bits=3 / bits=2", TQ_ERR_SPEC, "split=1;2: not a list of channels" },
	{ "split=99999999999999999999 bits=3 / bits=2", TQ_ERR_SPEC, "split=99999999999999999999: not a list" },
	{ "split=0-3", TQ_ERR_SPEC, "split=0-3: not a list of channels" },
	{ "split=0-3 bits=3", TQ_ERR_SPEC, "not \"split=CHANNELS SPEC / SPEC\"" },
	{ "split=0-3 bits=3 / bits=2 / bits=1", TQ_ERR_SPEC, "'/' is not key=value" },
	{ "split=0-3 bots=3 / bits=2", TQ_ERR_SPEC, "bits" },
	{ "split=0-3 bits=3 / split=4 bits=3 / bits=2", TQ_ERR_SPEC, "split: not here" },
	{ "bits=3 split=0-3", TQ_ERR_SPEC, "split: not here" },
	{ "split=0-3 raw / bits=2", TQ_ERR_SPEC, "'raw' is not key=value" },
	{ "split=0-3 center=data bits=3 / bits=2", TQ_ERR_SPEC, "center must be off" },
	{ "split=0-3 bits=3 / code=tcq bits=9", TQ_ERR_SPEC, "bits" },
};

static void refused(struct tq_kv_options *o, const char *what, int status, const char *text)
{
	struct tq_kv *kv;

	ck_assert_msg(tq_kv_create(kv_ctx, o, &kv) == status && !kv, "%s: %s", what, tq_error_text());
	ck_assert_msg(!strncmp(tq_error_text(), what, strlen(what)) && strstr(tq_error_text(), text), "%s: %s: %s", what,
		      text, tq_error_text());
}

START_TEST(wrong_splits_are_refused_with_the_argument_named)
{
	struct tq_kv_options o = { BASE(1, 2, 2, 64, 0, 64) };
	struct tq_kv_override v = { .last_head = TQ_KV_LAST(1) };
	size_t i;

	for (i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		o.key_spec = refusals[i].spec;
		refused(&o, "options.key_spec: ", refusals[i].status, refusals[i].text);
		o.key_spec = NULL;
		o.value_spec = refusals[i].spec;
		refused(&o, "options.value_spec: ", refusals[i].status, refusals[i].text);
		o.value_spec = NULL;
		v.value_spec = refusals[i].spec;
		o.overrides = &v;
		o.noverrides = 1;
		refused(&o, "options.overrides[0].value_spec: ", refusals[i].status, refusals[i].text);
		o.noverrides = 0;
	}
	o.value_spec = "split=0-3 bits=3 / correction=qjl:rht";
	refused(&o, "options.value_spec: ", TQ_ERR_UNSUPPORTED, "qjl");
	o.value_spec = NULL;
	o.key_spec = "split=0-3 bits=3 / correction=qjl:rht";
	o.value_dim = 0;
	refused(&o, "options.key_spec: ", TQ_ERR_UNSUPPORTED, "qjl");
}
END_TEST

/* Neither a row codec nor, made from those, a device's cache takes the text: the error says what does */
START_TEST(a_row_codec_says_where_splits_are)
{
	struct tq_spec spec;

	tq_spec_init(&spec);
	ck_assert_int_eq(tq_spec_parse(&spec, "split=0-3 bits=3 / bits=2"), TQ_ERR_SPEC);
	ck_assert(strstr(tq_error_text(), "tq/kv.h") && strstr(tq_error_text(), "tq/split.h"));
}
END_TEST

/* The paper's: 32 of 128 channels at 3 bits, 96 at 2, a scale each: 14 + 26 bytes are 2.5 bits a channel */
START_TEST(bytes_are_both_groups_bytes)
{
	struct tq_kv_options o = { BASE(2, 3, 6, 128, 0, 128), .sinks = 7, .window = 50 };
	struct tq_kv_bytes bytes;
	struct model m;
	struct tq_kv *kv;

	o.page_tokens = 128;
	o.key_spec = "split=96-127 bits=3 scale=bf16 / bits=2 scale=bf16";
	o.value_spec = "split=0-29,64,65 bits=4 scale=bf16 / bits=3 scale=bf16";
	ck_assert_int_eq(tq_kv_size(kv_ctx, &o, 700, 1, &bytes), TQ_OK);
	ck_assert_uint_eq(bytes.token, 2 * 3 * (14 + 26 + 18 + 38));
	ck_assert_int_eq(tq_kv_create(kv_ctx, &o, &kv), TQ_OK);
	model_open(&m, kv, &o);
	ck_assert_int_eq(append(&m, &o, 600), TQ_OK);
	ck_assert_int_eq(tq_kv_size(kv_ctx, &o, 600, 1, &bytes), TQ_OK);
	ck_assert_uint_eq(tq_kv_used(kv), bytes.total);
	check_sequence(&m, &o, NULL);
	model_close(&m);
	ck_assert_uint_eq(tq_kv_used(kv), 0);
	tq_kv_destroy(kv);
}
END_TEST

/* Rows are those of tq/split.h, which is another piece of code */
START_TEST(rows_are_those_of_a_split)
{
	enum { DIM = 48, TOKENS = 80, LISTED = 12 };
	struct tq_kv_options o = { BASE(1, 1, 1, DIM, 0, DIM), .key_spec = "split=40-43,2-9 bits=5 / bits=2",
				   .value_spec = "raw" };
	uint32_t channels[LISTED] = { 40, 41, 42, 43, 2, 3, 4, 5, 6, 7, 8, 9 }, t, i;
	unsigned char code[256];
	float x[DIM], y[DIM], key[DIM], value[DIM];
	struct tq_split *split;
	struct tq_spec spec[2];
	struct model m;
	struct tq_kv *kv;
	bool coded;
	void *scratch;

	for (i = 0; i < 2; i++) {
		tq_spec_init(&spec[i]);
		ck_assert_int_eq(tq_spec_parse(&spec[i], i ? "preset=cache bits=2" : "preset=cache bits=5"), TQ_OK);
	}
	ck_assert_int_eq(tq_split_create(kv_ctx, spec, DIM, channels, LISTED, NULL, &split), TQ_OK);
	ck_assert_uint_le(tq_split_code_size(split), sizeof(code));
	scratch = room((tq_split_scratch_size(split) + 63) / 64 * 64);
	ck_assert_int_eq(tq_kv_create(kv_ctx, &o, &kv), TQ_OK);
	model_open(&m, kv, &o);
	ck_assert_int_eq(append(&m, &o, TOKENS), TQ_OK);
	for (t = 0; t < TOKENS; t++) {
		memcpy(x, m.keys + (size_t)t * DIM, sizeof(x));
		ck_assert_int_eq(tq_split_encode(split, x, TQ_F32, DIM, 1, code, scratch), TQ_OK);
		ck_assert_int_eq(tq_split_decode(split, code, 1, y, TQ_F32, DIM, scratch), TQ_OK);
		ck_assert_int_eq(tq_kv_seq_read(m.seq, 0, 0, t, key, value, &coded), TQ_OK);
		ck_assert(coded == (t < TOKENS / 32 * 32));
		ck_assert_msg(!memcmp(key, coded ? y : x, sizeof(key)), "token %u", t);
	}
	model_close(&m);
	tq_kv_destroy(kv);
	tq_split_destroy(split);
	free(scratch);
}
END_TEST

static void restored(const struct tq_kv_options *o, int status, const char *text)
{
	struct tq_kv_seq *seq;
	struct tq_kv *kv;

	ck_assert_msg(tq_kv_create(kv_ctx, o, &kv) == TQ_OK, "%s", tq_error_text());
	ck_assert_msg(tq_kv_seq_restore(kv, temp_path(), &seq) == status, "%s: %s", text, tq_error_text());
	ck_assert_msg(!status == (seq != NULL) && (!status || strstr(tq_error_text(), text)), "%s: %s", text,
		      tq_error_text());
	tq_kv_seq_drop(seq);
	ck_assert_uint_eq(tq_kv_used(kv), 0);
	tq_kv_destroy(kv);
}

static void save(const struct tq_kv_options *o)
{
	struct model m;
	struct tq_kv *kv;

	ck_assert_msg(tq_kv_create(kv_ctx, o, &kv) == TQ_OK, "%s", tq_error_text());
	model_open(&m, kv, o);
	ck_assert_int_eq(append(&m, o, 70), TQ_OK);
	ck_assert_int_eq(tq_kv_seq_save(m.seq, temp_path()), TQ_OK);
	model_close(&m);
	tq_kv_destroy(kv);
}

/* A channel more, less or another; other codecs; groups swapped */
START_TEST(files_of_other_splits_are_refused)
{
	static const char *const foreign[] = {
		"split=0-7,32 bits=3 / bits=2", "split=0-7,16,20 bits=3 / bits=2", "split=0-7 bits=3 / bits=2",
		"split=0-7,16 bits=2 / bits=2", "split=0-7,16 bits=3 / bits=3",	   "split=0-7,16 bits=2 / bits=3",
		"split=8-15,17-63 bits=2 / bits=3", "bits=3", "raw",
	};
	struct tq_kv_options o = { BASE(2, 2, 2, 64, 0, 64) }, other;
	size_t i;

	o.key_spec = "split=0-7,16 bits=3 / bits=2";
	o.value_spec = "split=1,3 bits=3 / bits=2";
	save(&o);
	for (i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		other = o, other.key_spec = foreign[i];
		restored(&other, TQ_ERR_UNSUPPORTED, "layer 0, head 0: another key spec");
		other = o, other.value_spec = foreign[i];
		restored(&other, TQ_ERR_UNSUPPORTED, "layer 0, head 0: another value spec");
	}
	other = o;
	other.key_spec = "split=16,4-7,0-3 correction=unbiased effort=1 bits=3 / effort=2 bits=2";
	restored(&other, TQ_OK, "the same channels and codes");
	unlink(temp_path());
}
END_TEST

/* Files of version 1 are of caches without splits, and the other way round */
START_TEST(files_with_and_without_splits_do_not_mix)
{
	struct tq_kv_options plain = { BASE(1, 2, 2, 64, 0, 64), .key_spec = "bits=3" }, o = plain;

	o.value_spec = "split=1,3 bits=3 / bits=2";
	save(&plain);
	restored(&plain, TQ_OK, "itself");
	restored(&o, TQ_ERR_UNSUPPORTED, "no head is split, the cache has some");
	save(&o);
	restored(&o, TQ_OK, "itself");
	restored(&plain, TQ_ERR_UNSUPPORTED, "some heads are split, the cache has none");
	unlink(temp_path());
}
END_TEST

/* One head split, the others whole or in 16 bits; keys that are values too; as odd as can be */
START_TEST(splits_stand_beside_other_heads)
{
	static const struct tq_kv_override some[] = {
		{ .first_layer = 1, .last_layer = 1, .first_head = 1, .last_head = 1,
		  .key_spec = "split=1-16,18 bits=3 / code=polar", .value_spec = "split=32 bits=8 / bits=1 code=sign" },
		{ .first_layer = 1, .last_layer = 1, .first_head = 2, .last_head = 2, .key_spec = "raw",
		  .value_spec = "split=0-8 bits=2 / bits=3" },
	};
	const struct tq_kv_options caches[] = {
		{ BASE(2, 3, 6, 33, 0, 33), .overrides = some, .noverrides = 2, .sinks = 5 },
		{ BASE(1, 1, 5, 64, 16, 0), .center = TQ_KV_CENTER_LEARN, .center_tokens = 30,
		  .key_spec = "split=0-15 bits=5 / bits=3" },
		{ BASE(1, 1, 2, 2, 0, 2), .key_spec = "split=1 bits=8 / bits=8", .value_spec = "split=0 bits=8 / bits=8" },
	};
	struct tq_kv_options o = caches[_i];
	struct model m, twin;
	struct tq_kv *kv;

	o.page_tokens = _i == 1 ? 512 : 48;
	ck_assert_msg(tq_kv_create(kv_ctx, &o, &kv) == TQ_OK, "%s", tq_error_text());
	model_open(&m, kv, &o);
	ck_assert_int_eq(append(&m, &o, 590), TQ_OK);
	memset(&twin, 0, sizeof(twin));
	save_and_restore(&m, kv, &o, &twin);
	check_sequence(&m, &o, &twin);
	model_close(&twin);
	model_close(&m);
	ck_assert_uint_eq(tq_kv_used(kv), 0);
	tq_kv_destroy(kv);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("split");

	tcase_set_timeout(tc, 900);
	tcase_add_test(tc, wrong_splits_are_refused_with_the_argument_named);
	tcase_add_test(tc, a_row_codec_says_where_splits_are);
	tcase_add_test(tc, bytes_are_both_groups_bytes);
	tcase_add_test(tc, rows_are_those_of_a_split);
	tcase_add_test(tc, files_of_other_splits_are_refused);
	tcase_add_test(tc, files_with_and_without_splits_do_not_mix);
	tcase_add_loop_test(tc, splits_stand_beside_other_heads, 0, 3);
	return run_cases("kv split", tc);
}
