/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calibration profile: a faster driver of lower priority serves, but only where neither a pin
 * nor the order decides, and only from a profile that was made by this library on this machine.
 * What is stale or malformed is ignored with a reason; nothing is ever written unless asked for.
 */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "calibration.h"
#include "tq/tq.h"

#define GOOD ZOO_DIR "/tq-good.so"
#define TEXT_MAX 16384

static char dir[64], profile[128], conf[128], logged[4096];

static void setup(void)
{
	strcpy(dir, "/tmp/tq-calibration-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(profile, sizeof(profile), "%s/profile.conf", dir);
	snprintf(conf, sizeof(conf), "%s/tq.conf", dir);
	logged[0] = '\0';
	unsetenv("TQ_CALIBRATION");
}

static void teardown(void)
{
	char path[400];
	struct dirent *d;
	DIR *list = opendir(dir);

	while (list && (d = readdir(list))) {
		snprintf(path, sizeof(path), "%s/%s", dir, d->d_name);
		if (d->d_name[0] != '.')
			ck_assert(!unlink(path) || !rmdir(path));
	}
	closedir(list);
	rmdir(dir);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void note_line(void *arg, int level, const char *line)
{
	size_t used = strlen(logged);

	if (level <= TQ_LOG_WARN && strstr(line, "calibration"))
		snprintf(logged + used, sizeof(logged) - used, "%s\n", line);
}

static struct tq_context *open_context(const char *settings, const char *plugin,
				       const char *calibration)
{
	struct tq_options o = {.struct_size = sizeof(o), .log = note_line};
	struct tq_context *ctx = NULL;

	write_file(conf, settings);
	o.log_level = TQ_LOG_WARN;
	o.config_file = conf;
	o.flags = TQ_NO_PLUGIN_SEARCH;
	o.plugin_path = plugin;
	o.calibration = calibration;
	ck_assert_msg(tq_context_create(&o, &ctx) == TQ_OK, "%s", tq_error_text());
	return ctx;
}

/* ---- making profiles ---- */

/* In this profile scalar rotates five times faster than good, at small dimensions. */
static const char timings[] =
	"timings = (\n"
	"  { stage = \"rotate(rht)\"; dim = 128; bits = 0; driver = \"rht-good\"; ps = 5000; },\n"
	"  { stage = \"rotate(rht)\"; dim = 128; bits = 0; driver = \"rht-scalar\"; ps = 1000; }\n"
	");\n";

static char *profile_text(void)
{
	struct tq_driver_info info = {.struct_size = sizeof(info)};
	struct tq_context *ctx = open_context("", GOOD, "off");
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	ck_assert_int_eq(tq_context_driver(ctx, 0, &info), TQ_OK);
	tq_calibration_head(ctx, f);
	fputs(timings, f);
	fclose(f);
	tq_context_destroy(ctx);
	return text;
}

/* The profile with the first @from after @at replaced by @to. */
static void write_changed(const char *at, const char *from, const char *to)
{
	char *text = profile_text(), *place, changed[TEXT_MAX];

	place = strstr(text, at);
	ck_assert_ptr_nonnull(place);
	place = strstr(place, from);
	ck_assert_ptr_nonnull(place);
	snprintf(changed, sizeof(changed), "%.*s%s%s", (int)(place - text), text, to,
		 place + strlen(from));
	write_file(profile, changed);
	free(text);
}

static void write_profile(void)
{
	char *text = profile_text();

	write_file(profile, text);
	free(text);
}

/* ---- asking ---- */

static char explained[TEXT_MAX];

static void rotated_in(struct tq_context *ctx, const char *pin, uint32_t dim, const char *driver)
{
	struct tq_quantizer_options o = {.struct_size = sizeof(o), .driver = pin};
	struct tq_quantizer *q;
	struct tq_spec spec;
	FILE *f = fmemopen(explained, sizeof(explained), "w");

	tq_spec_init(&spec);
	ck_assert_msg(tq_quantizer_create(ctx, &spec, dim, &o, &q) == TQ_OK, "%s", tq_error_text());
	tq_quantizer_explain(q, f);
	fclose(f);
	ck_assert_msg(!strcmp(tq_quantizer_driver(q, TQ_STAGE_ROTATE), driver), "%s, not %s:\n%s",
		      tq_quantizer_driver(q, TQ_STAGE_ROTATE), driver, explained);
	tq_quantizer_destroy(q);
}

static void rotated_by(const char *settings, const char *calibration, const char *pin, uint32_t dim,
		       const char *driver)
{
	struct tq_context *ctx = open_context(settings, GOOD, calibration);

	rotated_in(ctx, pin, dim, driver);
	tq_context_destroy(ctx);
}

static void explains(const char *text)
{
	ck_assert_msg(strstr(explained, text) != NULL, "no \"%s\" in:\n%s", text, explained);
}

START_TEST(the_faster_driver_serves_and_explains_itself)
{
	write_profile();
	rotated_by("", profile, NULL, 64, "rht-scalar");
	explains("is in force");
	explains("rht-scalar: chosen: calibrated 5.00x faster than rht-good (1.00 against 5.00 ns "
		 "a row at "
		 "d=128; by priority it would be rht-good)");
	explains("rht-good: not needed (calibrated: 5.00 ns a row)");
	ck_assert_str_eq(logged, "");
	/* nothing was measured for large dimensions */
	rotated_by("", profile, NULL, 700, "rht-good");
	explains("rht-good: chosen: priority 900");
}
END_TEST

START_TEST(order_and_pin_come_first)
{
	write_profile();
	rotated_by("order = [ \"good\" ];", profile, NULL, 64, "rht-good");
	rotated_by("order = [ \"scalar\" ];", profile, NULL, 64, "rht-scalar");
	explains("first in the configured order");
	rotated_by("", profile, "good", 64, "rht-good");
	rotated_by("driver = \"rht-good\";", profile, NULL, 64, "rht-good");
	rotated_by("deny = [ \"rht-good\" ];", profile, NULL, 64, "rht-scalar");
}
END_TEST

/* What must be the same, and what is said where it is not. */
static const struct {
	const char *at, *from, *to, *reason;
} staleness[] = {
	{"version", "\"", "\"9.", "made by version 9."},
	{"build", "\"", "\"f", "another build"},
	{"cpu =", "\"", "\"Imaginary ", "made on \"Imaginary"},
	{"features", "\"", "\"x", "made with the CPU groups \"x"},
	{"format", "1", "2", "another format"},
	{"timings", "ps = 1000", "ps = 0", "no time"},
	{"timings", "ps = 1000", "ps = -4", "out of range"},
	{"timings", "ps = 1000", "ps = 1e3", "whole number"},
	{"timings", "ps = 1000", "ps = 10000000000", "digits"},
	{"timings", "ps = 1000", "qs = 1000", "missing"},
	{"timings", "dim = 128", "dim = \"128\"", "whole number"},
	{"timings", "bits = 0", "bits = 9", "out of range"},
	{"timings", "\"rht-good\"", "3", "string"},
	{"timings", "\"rht-good\"",
	 "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"", "too long"},
	{"timings", "timings = (", "timings = 4; x = (", "list"},
	{"timings", "{", "1, {", "takes groups"},
	{"timings", "{", "= {", "syntax error"},
	{"plugins", "plugins", "plugs", "belong here"},
	{"#", "#", "@include \"/etc/passwd\"\n#", "include"},
};

START_TEST(what_is_stale_or_malformed_is_ignored_with_its_reason)
{
	write_changed(staleness[_i].at, staleness[_i].from, staleness[_i].to);
	rotated_by("", profile, NULL, 64, "rht-good");
	explains("is ignored: ");
	explains(staleness[_i].reason);
	ck_assert_msg(strstr(logged, staleness[_i].reason) != NULL, "logged: %s", logged);
}
END_TEST

START_TEST(a_plugin_that_changed_was_not_measured)
{
	write_changed("name = \"good\"", "version = \"", "version = \"7");
	rotated_by("", profile, NULL, 64, "rht-good");
	write_changed("name = \"good\"", "build = \"", "build = \"7");
	rotated_by("", profile, NULL, 64, "rht-good");
	explains("is in force");
	write_changed("name = \"good\"", "good", "gold");
	rotated_by("", profile, NULL, 64, "rht-good");
}
END_TEST

START_TEST(a_profile_cut_anywhere_does_no_harm)
{
	char *text = profile_text();
	size_t i, n = strlen(text), valid = 0;
	struct tq_calibration cal;
	struct tq_context *ctx = open_context("", NULL, "off");

	for (i = 0; i <= n; i++) {
		char c = text[i];

		memset(&cal, 0, sizeof(cal));
		text[i] = '\0';
		valid += tq_calibration_parse(ctx, "cut", text, i, &cal) == TQ_OK;
		text[i] = c;
		ck_assert(cal.ntimings == 0 || cal.ntimings == 2);
		tq_calibration_free(ctx, &cal);
	}
	/* whole, without the last line feed, without the last semicolon */
	ck_assert_uint_eq(valid, 3);
	tq_context_destroy(ctx);
	free(text);
}
END_TEST

/* ---- places ---- */

START_TEST(option_over_environment_over_file_over_the_cache_directory)
{
	char setting[200], cache[128], place[192], other[128];

	write_profile();
	snprintf(setting, sizeof(setting), "calibration = \"%s\";", profile);
	snprintf(other, sizeof(other), "%s/missing.conf", dir);
	rotated_by(setting, NULL, NULL, 64, "rht-scalar");
	setenv("TQ_CALIBRATION", other, 1);
	rotated_by(setting, NULL, NULL, 64, "rht-good");
	explains("No such file");
	setenv("TQ_CALIBRATION", "off", 1);
	rotated_by(setting, NULL, NULL, 64, "rht-good");
	rotated_by(setting, profile, NULL, 64, "rht-scalar");
	unsetenv("TQ_CALIBRATION");
	rotated_by(setting, "off", NULL, 64, "rht-good");

	logged[0] = '\0';
	snprintf(cache, sizeof(cache), "%s/tq", dir);
	snprintf(place, sizeof(place), "%s/calibration.conf", cache);
	setenv("XDG_CACHE_HOME", dir, 1);
	rotated_by("", NULL, NULL, 64, "rht-good");
	ck_assert_str_eq(logged, "");
	ck_assert_int_eq(mkdir(cache, 0700), 0);
	ck_assert_int_eq(rename(profile, place), 0);
	rotated_by("", NULL, NULL, 64, "rht-scalar");
	rotated_by("locked = true;", NULL, NULL, 64, "rht-good");
	unlink(place);
	setenv("XDG_CACHE_HOME", "/nonexistent", 1);
}
END_TEST

START_TEST(a_relative_path_is_refused)
{
	struct tq_options o = {.struct_size = sizeof(o), .calibration = "here.conf"};
	struct tq_context *ctx;

	ck_assert_int_eq(tq_context_create(&o, &ctx), TQ_ERR_ARG);
	ck_assert_ptr_nonnull(strstr(tq_error_text(), "absolute path"));
}
END_TEST

/* ---- measuring ---- */

static unsigned files_in(const char *path)
{
	DIR *list = opendir(path);
	unsigned n = 0;

	ck_assert_ptr_nonnull(list);
	while (readdir(list))
		n++;
	closedir(list);
	return n - 2;
}

START_TEST(calibration_times_what_passed_the_gate_and_is_in_force_at_once)
{
	struct tq_context *ctx = open_context("", GOOD ":" ZOO_DIR "/tq-wrong.so", profile);
	const struct tq_timing *t, *end;
	struct tq_calibration *cal;
	unsigned good = 0, scalar = 0;
	double mine = 0, theirs = 0;

	rotated_in(ctx, NULL, 64, "rht-good");
	ck_assert_uint_eq(files_in(dir), 1); /* tq.conf */
	ck_assert_msg(tq_context_calibrate(ctx, NULL, NULL) == TQ_OK, "%s", tq_error_text());
	ck_assert_uint_eq(files_in(dir), 2);
	tq_context_destroy(ctx);

	ctx = open_context("", GOOD, profile);
	rotated_in(ctx, "scalar", 64, "rht-scalar");
	explains("is in force");
	cal = ctx->registry->calibration;
	end = cal->timings + cal->ntimings;
	for (t = cal->timings; t < end; t++) {
		ck_assert(strcmp(t->driver, "rht-wrong"));
		good += !strcmp(t->driver, "rht-good");
		if (t->dim == tq_calibration_dim(64) && !strcmp(t->driver, "rht-good"))
			mine = (double)t->ps;
		if (t->dim == tq_calibration_dim(64) && !strcmp(t->driver, "rht-scalar"))
			theirs = (double)t->ps;
		scalar += !strcmp(t->driver, "quantize-scalar") &&
			  !strcmp(t->stage, "dequantize(grid)");
	}
	/* whichever was faster on this machine, by one in twenty if it has the lower priority */
	ck_assert(mine > 0 && theirs > 0);
	rotated_in(ctx, NULL, 64, theirs * 1.05 < mine ? "rht-scalar" : "rht-good");
	ck_assert_uint_eq(good, 2);
	ck_assert_uint_eq(scalar, 10);
	tq_context_destroy(ctx);
}
END_TEST

START_TEST(a_profile_that_cannot_be_written_leaves_nothing)
{
	struct tq_context *ctx = open_context("", NULL, "off");
	char nowhere[160];

	snprintf(nowhere, sizeof(nowhere), "%s/no/where.conf", dir);
	ck_assert_int_eq(tq_context_calibrate(ctx, nowhere, NULL), TQ_ERR_IO);
	ck_assert_ptr_nonnull(strstr(tq_error_text(), nowhere));
	ck_assert_int_eq(tq_context_calibrate(ctx, NULL, NULL), TQ_ERR_ARG);
	ck_assert_int_eq(tq_context_calibrate(NULL, nowhere, NULL), TQ_ERR_ARG);
	ck_assert_uint_eq(files_in(dir), 1);
	tq_context_destroy(ctx);
}
END_TEST

int main(void)
{
	SRunner *runner;
	TCase *tc = tcase_create("calibration");
	Suite *suite = suite_create("calibration");
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, the_faster_driver_serves_and_explains_itself);
	tcase_add_test(tc, order_and_pin_come_first);
	tcase_add_loop_test(tc, what_is_stale_or_malformed_is_ignored_with_its_reason, 0,
			    sizeof(staleness) / sizeof(staleness[0]));
	tcase_add_test(tc, a_plugin_that_changed_was_not_measured);
	tcase_add_test(tc, a_profile_cut_anywhere_does_no_harm);
	tcase_add_test(tc, option_over_environment_over_file_over_the_cache_directory);
	tcase_add_test(tc, a_relative_path_is_refused);
	tcase_add_test(tc, calibration_times_what_passed_the_gate_and_is_in_force_at_once);
	tcase_add_test(tc, a_profile_that_cannot_be_written_leaves_nothing);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
