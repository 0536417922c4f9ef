/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which driver serves: the configuration's order over priority, the pin over both, deny and the CPU
 * limit as refusals with a reason, and scalar whatever the configuration says.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cpu.h"
#include "tq/tq.h"

static char conf[64];

static void make_conf(void)
{
	strcpy(conf, "/tmp/tq-select-XXXXXX");
	close(mkstemp(conf));
}

static void remove_conf(void)
{
	unlink(conf);
}

static struct tq_context *open_plugin(const char *settings, const char *path)
{
	struct tq_options o = { .struct_size = sizeof(o), .flags = TQ_NO_ENV };
	struct tq_context *ctx = NULL;
	FILE *f = fopen(conf, "w");

	fputs(settings, f);
	fclose(f);
	o.config_file = conf;
	o.plugin_path = path;
	ck_assert_msg(tq_context_create(&o, &ctx) == TQ_OK, "%s", tq_error_text());
	return ctx;
}

static struct tq_context *open_context(const char *settings)
{
	return open_plugin(settings, ZOO_DIR "/tq-good.so");
}

static void rotated_by(const char *settings, const char *pin, const char *driver)
{
	struct tq_quantizer_options o = { .struct_size = sizeof(o), .driver = pin };
	struct tq_context *ctx = open_context(settings);
	struct tq_quantizer *q;
	struct tq_spec spec;

	tq_spec_init(&spec);
	ck_assert_msg(tq_quantizer_create(ctx, &spec, 64, &o, &q) == TQ_OK, "%s", tq_error_text());
	ck_assert_str_eq(tq_quantizer_driver(q, TQ_STAGE_ROTATE), driver);
	tq_quantizer_destroy(q);
	tq_context_destroy(ctx);
}

START_TEST(priority_decides_where_nothing_else_does)
{
	rotated_by("", NULL, "rht-good");
}
END_TEST

START_TEST(the_configured_order_beats_priority)
{
	rotated_by("order = [ \"scalar\" ];", NULL, "rht-scalar");
	rotated_by("order = [ \"rht-good\", \"scalar\" ];", NULL, "rht-good");
}
END_TEST

START_TEST(a_pin_beats_the_order)
{
	rotated_by("order = [ \"scalar\" ];", "good", "rht-good");
	rotated_by("order = [ \"good\" ];", "rht-scalar", "rht-scalar");
	rotated_by("driver = \"scalar\";", NULL, "rht-scalar");
	rotated_by("driver = \"scalar\";", "rht-good", "rht-good");
}
END_TEST

START_TEST(a_pinned_plugin_serves_with_the_drivers_that_this_cpu_can_run)
{
	struct tq_quantizer_options o = { .struct_size = sizeof(o), .driver = "wide" };
	struct tq_context *ctx = open_plugin("", ZOO_DIR "/tq-wide.so");
	struct tq_quantizer *q;
	struct tq_spec spec;

	tq_spec_init(&spec);
	ck_assert_msg(tq_quantizer_create(ctx, &spec, 64, &o, &q) == TQ_OK, "%s", tq_error_text());
	ck_assert_str_eq(tq_quantizer_driver(q, TQ_STAGE_ROTATE), "rht-narrow");
	tq_quantizer_destroy(q);
	o.driver = "rht-wide";
	ck_assert_int_eq(tq_quantizer_create(ctx, &spec, 64, &o, &q), TQ_ERR_NO_DRIVER);
	tq_context_destroy(ctx);
}
END_TEST

START_TEST(deny_refuses_a_plugin_or_a_driver_with_its_reason)
{
	struct tq_driver_info info = { .struct_size = sizeof(info) };
	struct tq_context *ctx;
	size_t i, seen = 0;

	rotated_by("deny = [ \"good\" ];", NULL, "rht-scalar");
	rotated_by("deny = [ \"rht-good\" ];", NULL, "rht-scalar");
	ctx = open_context("deny = [ \"rht-good\" ];");
	for (i = 0; tq_context_driver(ctx, i, &info) == TQ_OK; i++)
		if (!strcmp(info.driver_name, "rht-good")) {
			ck_assert_int_eq(info.state, TQ_STATE_DENIED);
			ck_assert_ptr_nonnull(strstr(info.reason, "deny list"));
			seen++;
		}
	ck_assert_uint_eq(seen, 1);
	tq_context_destroy(ctx);
}
END_TEST

START_TEST(the_best_of_a_crowd_serves_and_those_left_out_are_named)
{
	struct tq_quantizer_options o = { .struct_size = sizeof(o) };
	struct tq_context *ctx = open_plugin("", ZOO_DIR "/tq-crowd.so");
	struct tq_quantizer *q;
	struct tq_spec spec;
	char *text = NULL;
	size_t size;
	FILE *f;

	tq_spec_init(&spec);
	ck_assert_msg(tq_quantizer_create(ctx, &spec, 64, &o, &q) == TQ_OK, "%s", tq_error_text());
	ck_assert_str_eq(tq_quantizer_driver(q, TQ_STAGE_ROTATE), "rht-crowd");
	f = open_memstream(&text, &size);
	tq_quantizer_explain(q, f);
	fclose(f);
	/* scalar, those of the crowd, and rht-crowd are 72: 8 of the last found are left out */
	ck_assert_ptr_nonnull(strstr(text, "rht-crowd-69: comes after 64 others"));
	ck_assert_ptr_null(strstr(text, "rht-crowd-00: comes after"));
	free(text);
	tq_quantizer_destroy(q);
	tq_context_destroy(ctx);
}
END_TEST

START_TEST(a_missing_group_is_named_and_the_limit_told_from_the_cpu)
{
	struct tq_cpu_need v3 = { TQ_ARCH_X86_64, 0, TQ_CPU_X86_64_V3 };
	char why[256];

	if (tq_cpu_arch() != TQ_ARCH_X86_64)
		return;
	ck_assert_int_eq(tq_cpu_missing(&v3, TQ_CPU_X86_64_V2, why, sizeof(why)), 0);
	ck_assert_ptr_nonnull(strstr(why, "needs x86-64-v3"));
	ck_assert_ptr_nonnull(strstr(why, tq_cpu_detect() & TQ_CPU_X86_64_V3 ? "cpu limit" : "the "));
	ck_assert_int_eq(tq_cpu_missing(&v3, TQ_CPU_X86_64_V2 | TQ_CPU_X86_64_V3, why, sizeof(why)), 1);
	ck_assert_str_eq(why, "");
}
END_TEST

START_TEST(an_unknown_rotation_has_no_driver_and_the_error_names_it)
{
	struct tq_context *ctx = open_context("");
	struct tq_quantizer *q;
	struct tq_spec spec;

	tq_spec_init(&spec);
	ck_assert_int_eq(tq_spec_parse(&spec, "rotation=householder:3"), TQ_OK);
	ck_assert_int_eq(tq_quantizer_create(ctx, &spec, 64, NULL, &q), TQ_ERR_NO_DRIVER);
	ck_assert_msg(strstr(tq_error_text(), "rotate(householder)") != NULL, "%s", tq_error_text());
	tq_context_destroy(ctx);
}
END_TEST

/* How the error reads where @pin is asked for and cannot serve. */
static void pinned_fails(const char *path, const char *pin, const char *text, const char *reason)
{
	struct tq_quantizer_options o = { .struct_size = sizeof(o), .driver = pin };
	struct tq_context *ctx = open_plugin("", path);
	struct tq_quantizer *q;
	struct tq_spec spec;

	tq_spec_init(&spec);
	ck_assert_int_eq(tq_spec_parse(&spec, text), TQ_OK);
	ck_assert_int_eq(tq_spec_parse(&spec, "bits=9"), TQ_ERR_SPEC); /* leaves a text behind */
	ck_assert_int_eq(tq_quantizer_create(ctx, &spec, 64, &o, &q), TQ_ERR_NO_DRIVER);
	ck_assert_msg(strstr(tq_error_text(), reason) != NULL, "%s", tq_error_text());
	tq_context_destroy(ctx);
}

START_TEST(with_a_pin_the_error_names_the_unknown_rotation_too)
{
	pinned_fails(ZOO_DIR "/tq-good.so", "good", "rotation=householder:3",
		     "rotate(householder): no usable driver has this rotation");
	pinned_fails(ZOO_DIR "/tq-good.so", "scalar", "rotation=givns:3", "did you mean rotation=givens?");
}
END_TEST

START_TEST(a_pin_whose_fused_driver_fails_the_gate_is_an_error)
{
	pinned_fails(ZOO_DIR "/tq-encode_type.so", "encode_type", "", "encode gives wrong results");
	pinned_fails(ZOO_DIR "/tq-encode_type.so", "encode-spoiled", "", "encode gives wrong results");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("driver selection");
	TCase *tc = tcase_create("select");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, make_conf, remove_conf);
	tcase_add_test(tc, priority_decides_where_nothing_else_does);
	tcase_add_test(tc, the_configured_order_beats_priority);
	tcase_add_test(tc, a_pin_beats_the_order);
	tcase_add_test(tc, a_pinned_plugin_serves_with_the_drivers_that_this_cpu_can_run);
	tcase_add_test(tc, deny_refuses_a_plugin_or_a_driver_with_its_reason);
	tcase_add_test(tc, the_best_of_a_crowd_serves_and_those_left_out_are_named);
	tcase_add_test(tc, a_missing_group_is_named_and_the_limit_told_from_the_cpu);
	tcase_add_test(tc, an_unknown_rotation_has_no_driver_and_the_error_names_it);
	tcase_add_test(tc, with_a_pin_the_error_names_the_unknown_rotation_too);
	tcase_add_test(tc, a_pin_whose_fused_driver_fails_the_gate_is_an_error);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
