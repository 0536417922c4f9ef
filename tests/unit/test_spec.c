/* SPDX-License-Identifier: Apache-2.0 */

/* Spec strings: what is printed parses to the same spec; what is wrong is named, with the nearest
 * word. */

#include <check.h>
#include <stdio.h>
#include <string.h>
#include "tq/tq.h"

static struct tq_spec parsed(const char *text)
{
	struct tq_spec spec;

	tq_spec_init(&spec);
	ck_assert_msg(tq_spec_parse(&spec, text) == TQ_OK, "%s: %s", text, tq_error_text());
	return spec;
}

static const char *printed(const struct tq_spec *spec)
{
	static char text[TQ_SPEC_STRING_MAX];

	ck_assert_int_eq(tq_spec_print(spec, text, sizeof(text)), TQ_OK);
	return text;
}

START_TEST(every_spec_round_trips)
{
	static const char *const rotations[] = {"rht:1",     "rht:3", "haar",	"givens:1",
						"givens:64", "none",  "mine:7", "own_one-2"};
	struct tq_spec spec, again;
	uint32_t n, i;
	char word[64];

	for (n = 0; n < 8 * 5 * 8 * 7 * 3; n++) {
		i = n;
		snprintf(word, sizeof(word), "rotation=%s", rotations[i % 8]);
		spec = parsed(word);
		i /= 8;
		spec.code = i % 5;
		i /= 5;
		spec.bits = spec.code == TQ_CODE_SIGN ? 1 : 1 + i % 8;
		i /= 8;
		spec.correction = i % 7;
		i /= 7;
		spec.effort = i % 3;
		if (spec.code >= TQ_CODE_TCQ8) {
			spec.bits = 1 + spec.bits % 4;
			spec.correction %= 4;
			spec.effort = 0;
		}
		spec.center = n % 3;
		spec.scale = n / 3 % 3;
		spec.query = n / 9 % 4;
		spec.seed = n * 0x9e3779b97f4a7c15u;
		again = parsed(printed(&spec));
		ck_assert_msg(!memcmp(&again, &spec, sizeof(spec)), "%s", printed(&spec));
	}
}
END_TEST

START_TEST(defaults_are_the_documented_line)
{
	struct tq_spec spec;

	tq_spec_init(&spec);
	ck_assert_str_eq(printed(&spec),
			 "rotation=rht:2 code=lm bits=4 correction=ls effort=0 seed=1 center=off "
			 "scale=f32 query=auto");
	ck_assert_uint_eq(parsed("rotation=rht").rotation_arg, 2);
	ck_assert_uint_eq(parsed("rotation=givens").rotation_arg, 16);
	ck_assert_uint_eq(parsed("code=sign").bits, 1);
	ck_assert_uint_eq(parsed("code=tcq").code, TQ_CODE_TCQ9);
	ck_assert_uint_eq(parsed("code=tcq").rotation_arg, 3);
	ck_assert_uint_eq(parsed("bits=3 code=tcq:8").rotation_arg, 3);
	ck_assert_uint_eq(parsed("code=tcq rotation=rht").rotation_arg, 2);
	ck_assert_str_eq(parsed("rotation=haar code=tcq").rotation, "haar");
	ck_assert_str_eq(parsed("preset=turboquant_mse code=tcq").rotation, "haar");
	ck_assert_uint_eq(parsed("preset=cache code=tcq").rotation_arg, 3);
	ck_assert_uint_eq(parsed("preset=search code=tcq").effort, 0);
	ck_assert_uint_eq(parsed("code=polar").code, TQ_CODE_POLAR);
	ck_assert_uint_eq(parsed("code=polar:6 rotation=haar").code, TQ_CODE_POLAR6);
	ck_assert_uint_eq(parsed("preset=search code=polar:4").effort, 0);
	ck_assert_uint_eq(parsed("preset=drive code=polar").bits, 4);
	ck_assert_uint_eq(parsed("bits=3.5").code, TQ_CODE_LM3_5);
	ck_assert_uint_eq(parsed("bits=3.5").bits, 4);
	ck_assert_uint_eq(parsed("bits=2.333 code=lm").code, TQ_CODE_LM2_33);
	ck_assert_uint_eq(parsed("code=lm:1.6 effort=2").bits, 2);
	ck_assert_uint_eq(parsed("preset=search bits=4.5").code, TQ_CODE_LM4_5);
	ck_assert_uint_eq(parsed("code=lm:2.5 bits=2.5 correction=none").bits, 3);
	ck_assert_uint_eq(parsed(" ,\t bits=3,,effort=2\n").effort, 2);
	ck_assert(parsed("seed=18446744073709551615").seed == UINT64_MAX);
	ck_assert(parsed("seed=0xffffffffffffffff").seed == UINT64_MAX);
}
END_TEST

static const struct {
	const char *text;
	int status;
	const char *says;
} wrong[] = {
	{"bitz=4", TQ_ERR_SPEC, "did you mean 'bits'"},
	{"corection=ls", TQ_ERR_SPEC, "did you mean 'correction'"},
	{"correction=unbiasd", TQ_ERR_SPEC, "did you mean 'unbiased'"},
	{"correction=qjl", TQ_ERR_SPEC, "correction"},
	{"code=ml", TQ_ERR_SPEC, "code: 'ml' is not known"},
	{"preset=edn_biased", TQ_ERR_SPEC, "did you mean 'eden_biased'"},
	{"xyzzy=1", TQ_ERR_SPEC, "'xyzzy' is not known"},
	{"bits=0", TQ_ERR_SPEC, "bits: '0' is not a number in 1..8"},
	{"bits=9", TQ_ERR_SPEC, "1..8"},
	{"bits=4x", TQ_ERR_SPEC, "'4x'"},
	{"bits=", TQ_ERR_SPEC, "bits"},
	{"bits", TQ_ERR_SPEC, "'bits' is not key=value"},
	{"bits=4 bits=4", TQ_ERR_SPEC, "bits is given twice"},
	{"bits=4 preset=drive", TQ_ERR_SPEC, "preset must be the first word"},
	{"effort=3", TQ_ERR_SPEC, "effort"},
	{"seed=18446744073709551616", TQ_ERR_SPEC, "seed"},
	{"seed=-1", TQ_ERR_SPEC, "seed"},
	{"rotation=rht:4", TQ_ERR_SPEC, "1..3 rounds"},
	{"rotation=rht:0", TQ_ERR_SPEC, "1..3 rounds"},
	{"rotation=givens:65", TQ_ERR_SPEC, "1..64 layers"},
	{"rotation=haar:2", TQ_ERR_SPEC, "haar takes no argument"},
	{"rotation=none:1", TQ_ERR_SPEC, "none takes no argument"},
	{"rotation=Haar", TQ_ERR_SPEC, "not a name"},
	{"rotation=dense", TQ_ERR_SPEC, "did you mean 'haar'"},
	{"rotation=a234567890123456789012345678901x", TQ_ERR_SPEC, "not a name"},
	{"code=sign bits=2", TQ_ERR_SPEC, "code=sign has one bit"},
	{"code=tcq:7", TQ_ERR_SPEC, "code: 'tcq:7' is not known"},
	{"code=tcq bits=5", TQ_ERR_SPEC, "code=tcq:9 has 1..4 bits, not 5"},
	{"code=tcq:8 correction=qjl:rht", TQ_ERR_SPEC, "code=tcq:8 has none of qjl:*"},
	{"code=tcq effort=1", TQ_ERR_SPEC, "effort: code=tcq:9"},
	{"code=polar:3", TQ_ERR_SPEC, "code: 'polar:3' is not known"},
	{"code=polar bits=3", TQ_ERR_SPEC, "bits: code=polar has 4"},
	{"code=polar:5 effort=2", TQ_ERR_SPEC, "effort: code=polar:5"},
	{"bits=3.6", TQ_ERR_SPEC, "bits: '3.6' is not a number in 1..8 and none of 1.6 2.33 2.5 3.5 4.5"},
	{"bits=3.5 code=uniform", TQ_ERR_SPEC, "bits: code=uniform has no 3.5"},
	{"code=lm:2.5 bits=3.5", TQ_ERR_SPEC, "bits: code=lm:2.5 has no 3.5"},
	{"code=lm:3.5 bits=3", TQ_ERR_SPEC, "bits: code=lm:3.5 has 4, rounded up, not 3"},
	{"bits=2.5 correction=qjl:rht", TQ_ERR_SPEC, "code=lm:2.5 has none of qjl:*"},
	{"code=lm:9", TQ_ERR_SPEC, "code: 'lm:9' is not known"},
	{"code=polar correction=qjl:ortho", TQ_ERR_SPEC, "code=polar has none of qjl:*"},
	{"bits=44444444444444444444444444444444444444444444444444444444444444444444", TQ_ERR_SPEC,
	 "too long"},
};

START_TEST(what_is_wrong_is_named)
{
	struct tq_spec spec, before;

	tq_spec_init(&spec);
	spec.seed = 77;
	before = spec;
	ck_assert_int_eq(tq_spec_parse(&spec, wrong[_i].text), wrong[_i].status);
	ck_assert_msg(strstr(tq_error_text(), wrong[_i].says), "%s: '%s' does not say '%s'",
		      wrong[_i].text, tq_error_text(), wrong[_i].says);
	ck_assert_msg(!memcmp(&spec, &before, sizeof(spec)), "a failure changed the spec");
}
END_TEST

START_TEST(arguments_are_checked)
{
	struct tq_spec spec;
	char small[20];

	ck_assert_int_eq(tq_spec_parse(NULL, ""), TQ_ERR_ARG);
	tq_spec_init(&spec);
	ck_assert_int_eq(tq_spec_parse(&spec, NULL), TQ_ERR_ARG);
	ck_assert_int_eq(tq_spec_print(&spec, NULL, 100), TQ_ERR_ARG);
	ck_assert_int_eq(tq_spec_print(&spec, small, sizeof(small)), TQ_ERR_RANGE);
	ck_assert_int_eq(tq_spec_check(NULL, 8), TQ_ERR_ARG);
	ck_assert_int_eq(tq_spec_check(&spec, TQ_MAX_DIM), TQ_OK);
	ck_assert_int_eq(tq_spec_check(&spec, TQ_MAX_DIM + 1), TQ_ERR_UNSUPPORTED);
	spec = parsed("rotation=haar");
	ck_assert_int_eq(tq_spec_check(&spec, TQ_MAX_DENSE_DIM), TQ_OK);
	ck_assert_int_eq(tq_spec_check(&spec, TQ_MAX_DENSE_DIM + 1), TQ_ERR_UNSUPPORTED);
	spec = parsed("code=tcq bits=3");
	ck_assert_int_eq(tq_spec_check(&spec, 3), TQ_OK);
	ck_assert_int_eq(tq_spec_check(&spec, 2), TQ_ERR_UNSUPPORTED);
	spec.struct_size = 4;
	ck_assert_int_eq(tq_spec_check(&spec, 8), TQ_ERR_SPEC);
	memset(&spec, 0xff, sizeof(spec));
	spec.struct_size = sizeof(spec);
	ck_assert_int_eq(tq_spec_check(&spec, 8), TQ_ERR_SPEC);
}
END_TEST

/* The systems that are points in this space, word by word. */
/* Over a spec that has a fraction: a whole number leaves it, other words keep it */
START_TEST(fractions_are_kept_and_left)
{
	static const char *const fraction[] = {"bits=1.6", "bits=2.33", "bits=2.5", "bits=3.5", "bits=4.5"};
	struct tq_spec spec, again;
	int i;

	for (i = 0; i < 5; i++) {
		spec = parsed(fraction[i]);
		ck_assert_uint_eq(spec.code, TQ_CODE_LM1_6 + (unsigned)i);
		again = parsed(printed(&spec));
		ck_assert_msg(!memcmp(&again, &spec, sizeof(spec)), "%s", printed(&spec));
	}
	tq_spec_init(&spec);
	ck_assert_int_eq(tq_spec_parse(&spec, "bits=3.5"), TQ_OK);
	ck_assert_int_eq(tq_spec_parse(&spec, "effort=1"), TQ_OK);
	ck_assert_uint_eq(spec.code, TQ_CODE_LM3_5);
	ck_assert_int_eq(tq_spec_parse(&spec, "bits=3"), TQ_OK);
	ck_assert_uint_eq(spec.code, TQ_CODE_LM);
	ck_assert_uint_eq(spec.bits, 3);
}
END_TEST

START_TEST(presets_are_the_documented_specs)
{
	static const struct {
		const char *name, *spec;
	} presets[] = {
		{"turboquant_mse", "rotation=haar code=lm bits=4 correction=none effort=0 seed=1 "
				   "center=off scale=f32 query=auto"},
		{"turboquant_prod", "rotation=haar code=lm bits=4 correction=qjl:gauss effort=0 "
				    "seed=1 center=off scale=f32 query=auto"},
		{"polarquant", "rotation=haar code=polar bits=4 correction=none effort=0 seed=1 center=off "
			       "scale=f32 query=auto"},
		{"qjl", "rotation=none code=lm bits=1 correction=qjl:gauss effort=0 seed=1 "
			"center=off scale=f32 query=auto"},
		{"drive", "rotation=rht:2 code=sign bits=1 correction=unbiased effort=0 seed=1 "
			  "center=off scale=f32 query=auto"},
		{"eden_biased", "rotation=rht:2 code=lm bits=4 correction=ls effort=0 seed=1 "
				"center=off scale=f32 query=auto"},
		{"eden_unbiased", "rotation=rht:2 code=lm bits=4 correction=unbiased effort=0 "
				  "seed=1 center=off scale=f32 query=auto"},
		{"rabitq", "rotation=haar code=sign bits=1 correction=unbiased effort=0 seed=1 "
			   "center=both scale=f32 query=auto"},
	};
	const char *source = NULL;
	struct tq_spec spec;
	char word[64];
	unsigned i;

	for (i = 0; i < sizeof(presets) / sizeof(presets[0]); i++) {
		snprintf(word, sizeof(word), "preset=%s", presets[i].name);
		spec = parsed(word);
		ck_assert_str_eq(printed(&spec), presets[i].spec);
	}
	for (i = 0; tq_preset_name(i); i++) {
		ck_assert_ptr_nonnull(tq_preset_text(tq_preset_name(i), &source));
		ck_assert_uint_gt(strlen(source), 5);
		parsed(tq_preset_text(tq_preset_name(i), NULL));
	}
	ck_assert_uint_ge(i, 7);
	ck_assert_ptr_null(tq_preset_text("none_such", NULL));
	ck_assert_ptr_null(tq_preset_text(NULL, NULL));
	spec = parsed("preset=eden_unbiased bits=2 seed=9");
	ck_assert_uint_eq(spec.bits, 2);
	ck_assert_uint_eq(spec.correction, TQ_CORR_UNBIASED);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("spec");
	TCase *tc = tcase_create("spec");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, fractions_are_kept_and_left);
	tcase_add_test(tc, every_spec_round_trips);
	tcase_add_test(tc, defaults_are_the_documented_line);
	tcase_add_loop_test(tc, what_is_wrong_is_named, 0, sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_test(tc, arguments_are_checked);
	tcase_add_test(tc, presets_are_the_documented_specs);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
