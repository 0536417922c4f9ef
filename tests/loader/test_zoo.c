/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plugins that are each wrong in one way: every one is refused with its own reason, nothing crashes,
 * and scalar serves. Then the trust rules of files and directories, the allow-list, and fork.
 */
#include <check.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tq/tq.h"

#define DIM 100
#define ROWS 5

struct animal {
	const char *name;
	int state;
	const char *reason;
};

static const struct animal zoo[] = {
	{ "nosymbol", TQ_STATE_REJECTED, "no symbol tq_plugin_v1" },
	{ "magic", TQ_STATE_REJECTED, "magic 0x0badf00d, expected" },
	{ "major", TQ_STATE_REJECTED, "made for plugin ABI 2.3, this library has 1.3" },
	{ "minor", TQ_STATE_REJECTED, "made for plugin ABI 1.4, this library has 1.3" },
	{ "structsize", TQ_STATE_REJECTED, "struct tq_plugin of " },
	{ "driversize", TQ_STATE_REJECTED, "struct tq_driver of " },
	{ "driverstruct", TQ_STATE_REJECTED, "driver 0: struct of " },
	{ "nullname", TQ_STATE_REJECTED, "the plugin's name is missing" },
	{ "nodrivers", TQ_STATE_REJECTED, "a table of 0 drivers" },
	{ "nodrivername", TQ_STATE_REJECTED, "driver_name is missing" },
	{ "generic", TQ_STATE_REJECTED, "unknown generic name \"rotate rht\"" },
	{ "twice", TQ_STATE_REJECTED, "driver name rht-twice appears twice" },
	{ "dupdriver", TQ_STATE_REJECTED, "driver name rht-scalar is taken by plugin scalar" },
	{ "scalar", TQ_STATE_REJECTED, "plugin name scalar is taken by (built in)" },
	{ "misnamed", TQ_STATE_REJECTED, "holds a plugin called other" },
	{ "cpu", TQ_STATE_NOT_PRESENT, "needs CPU features 0x8000000000000000" },
	{ "arch", TQ_STATE_NOT_PRESENT, "needs an unknown architecture" },
	{ "constructor", TQ_STATE_REJECTED, "runs code at load time: it has a constructor" },
	{ "destructor", TQ_STATE_REJECTED, "runs code at exit: it has a destructor" },
	{ "ifunc", TQ_STATE_REJECTED, "runs code at load time: an IFUNC resolver" },
	{ "startfiles", TQ_STATE_REJECTED, "link with -nostartfiles" },
	{ "undefined", TQ_STATE_REJECTED, "undefined symbol: symbol_that_nobody_has" },
	{ "initfails", TQ_STATE_REJECTED, "init failed: device error" },
	{ "notpresent", TQ_STATE_NOT_PRESENT, "no such device on the bus" },
	{ "halfslots", TQ_STATE_REJECTED, "1 of the 4 slots query_size" },
	{ "nounrotate", TQ_STATE_REJECTED, "rotate and unrotate must both be there" },
	{ "noflags", TQ_STATE_REJECTED, "not concurrent" },
	{ "createfails", TQ_STATE_FAILED_TEST, "create failed: device error" },
	{ "wrong", TQ_STATE_FAILED_TEST, "golden vectors: wrong codes" },
	{ "tailrow", TQ_STATE_FAILED_TEST, "rotate gives wrong results: row 16 of 17" },
	{ "tailcoordinate", TQ_STATE_FAILED_TEST, "rotate gives wrong results: row 36 of 37" },
	{ "pastend", TQ_STATE_FAILED_TEST, "rotate writes past the end of its output" },
	{ "beforestart", TQ_STATE_FAILED_TEST, "rotate writes before the start" },
	{ "notdeterministic", TQ_STATE_FAILED_TEST, "not deterministic: two runs" },
};

#define ANIMALS ((int)(sizeof(zoo) / sizeof(zoo[0])))

static char folder[64];
static unsigned warnings;

static void count_warnings(void *arg, int level, const char *line)
{
	warnings += level <= TQ_LOG_WARN;
}

static struct tq_context *open_context(const char *path, uint32_t flags)
{
	struct tq_options o = { .struct_size = sizeof(o), .plugin_path = path };
	struct tq_context *ctx;

	o.flags = TQ_NO_ENV | TQ_NO_CONFIG | flags;
	o.log = count_warnings;
	o.log_level = TQ_LOG_WARN;
	ck_assert_msg(tq_context_create(&o, &ctx) == TQ_OK, "%s", tq_error_text());
	return ctx;
}

static struct tq_quantizer *open_quantizer(struct tq_context *ctx)
{
	struct tq_quantizer *q;
	struct tq_spec spec;

	tq_spec_init(&spec);
	ck_assert_msg(tq_quantizer_create(ctx, &spec, DIM, NULL, &q) == TQ_OK, "%s", tq_error_text());
	return q;
}

/* The codes of some fixed rows */
static void encode_rows(struct tq_quantizer *q, uint8_t *codes)
{
	float x[ROWS * DIM];
	int i;

	for (i = 0; i < ROWS * DIM; i++)
		x[i] = (float)((i * 7919) % 1009) - 504.0f;
	ck_assert_int_eq(tq_encode(q, x, DIM, ROWS, codes), TQ_OK);
}

static void scalar_serves(struct tq_context *ctx)
{
	struct tq_context *alone = open_context(NULL, TQ_NO_PLUGINS);
	struct tq_quantizer *q = open_quantizer(ctx), *ref = open_quantizer(alone);
	uint8_t codes[4096], want[4096];

	ck_assert_str_eq(tq_quantizer_driver(q, TQ_STAGE_ROTATE), "rht-scalar");
	encode_rows(q, codes);
	encode_rows(ref, want);
	ck_assert_mem_eq(codes, want, ROWS * tq_code_size(ref));
	tq_quantizer_destroy(q);
	tq_quantizer_destroy(ref);
	tq_context_destroy(alone);
}

static int find(struct tq_context *ctx, const char *path, struct tq_driver_info *info)
{
	size_t i;

	info->struct_size = sizeof(*info);
	for (i = 0; tq_context_driver(ctx, i, info) == TQ_OK; i++)
		if (!strcmp(info->path, path))
			return 1;
	return 0;
}

static void refused(struct tq_context *ctx, const char *path, int state, const char *reason)
{
	struct tq_driver_info info;

	ck_assert_msg(find(ctx, path, &info), "%s is not listed", path);
	ck_assert_msg(info.state == state && strstr(info.reason, reason), "%s is %s: %s", path,
		      tq_driver_state_name(info.state), info.reason);
}

START_TEST(each_is_refused_with_its_own_reason)
{
	struct tq_context *ctx;
	char path[512];

	snprintf(path, sizeof(path), ZOO_DIR "/tq-%s.so", zoo[_i].name);
	ctx = open_context(path, 0);
	scalar_serves(ctx);
	refused(ctx, path, zoo[_i].state, zoo[_i].reason);
	if (zoo[_i].state == TQ_STATE_FAILED_TEST)
		ck_assert_uint_gt(warnings, 0);
	tq_context_destroy(ctx);
}
END_TEST

START_TEST(each_pinned_is_an_error_with_the_reason)
{
	struct tq_quantizer_options o = { .struct_size = sizeof(o), .driver = zoo[_i].name };
	struct tq_quantizer *q;
	struct tq_context *ctx;
	struct tq_spec spec;
	char path[512];
	int err;

	if (!strcmp(zoo[_i].name, "scalar"))
		return;
	snprintf(path, sizeof(path), ZOO_DIR "/tq-%s.so", zoo[_i].name);
	ctx = open_context(path, 0);
	tq_spec_init(&spec);
	err = tq_quantizer_create(ctx, &spec, DIM, &o, &q);
	ck_assert_msg(err == TQ_ERR_NO_DRIVER && (strstr(tq_error_text(), zoo[_i].reason) ||
						  !strcmp(zoo[_i].name, "misnamed")),
		      "%d: %s", err, tq_error_text());
	tq_context_destroy(ctx);
}
END_TEST

START_TEST(the_good_one_is_chosen_and_gives_the_same_bytes)
{
	struct tq_context *ctx = open_context(ZOO_DIR "/tq-good.so", 0);
	struct tq_context *alone = open_context(NULL, TQ_NO_PLUGINS);
	struct tq_quantizer *q = open_quantizer(ctx), *ref = open_quantizer(alone);
	uint8_t codes[4096], want[4096];
	struct tq_driver_info info;

	ck_assert_str_eq(tq_quantizer_driver(q, TQ_STAGE_ROTATE), "rht-good");
	encode_rows(q, codes);
	encode_rows(ref, want);
	ck_assert_mem_eq(codes, want, ROWS * tq_code_size(ref));
	ck_assert(find(ctx, ZOO_DIR "/tq-good.so", &info));
	ck_assert_int_eq(info.state, TQ_STATE_SELECTABLE);
	ck_assert_str_eq(info.selftest, "passed");
	tq_quantizer_destroy(q);
	tq_quantizer_destroy(ref);
	tq_context_destroy(ctx);
	tq_context_destroy(alone);
}
END_TEST

START_TEST(all_together_scalar_and_the_good_one_serve)
{
	struct tq_context *ctx = open_context(ZOO_DIR, 0);
	struct tq_quantizer *q = open_quantizer(ctx);
	unsigned failed = 0;

	ck_assert_str_eq(tq_quantizer_driver(q, TQ_STAGE_ROTATE), "rht-good");
	ck_assert_int_eq(tq_context_selftest(ctx, &failed), TQ_OK);
	ck_assert_uint_ge(failed, 7);
	tq_quantizer_destroy(q);
	tq_context_destroy(ctx);
}
END_TEST

/* ---- what the gate finds behind the rotation ---- */

static const struct {
	const char *name, *driver, *reason;
} spoiled[] = {
	{ "minus_zero", "quantize-spoiled", "quantize gives wrong results" },
	{ "codes_past_end", "quantize-spoiled", "quantize writes past the end" },
	{ "exponent", "quantize-spoiled", "golden vectors: wrong decoded rows" },
	{ "score_tail", "score-spoiled", "score gives wrong results: row 32 of 33" },
	{ "score_gap", "score-spoiled", "score writes into the gap between rows of scores" },
	{ "score_past_end", "score-spoiled", "score writes past the end" },
	{ "score_runs", "score-spoiled", "golden vectors: wrong scores" },
	{ "list", "score-spoiled", "score_list gives wrong results: row 1 of " },
	{ "blocks", "score-spoiled", "score_blocks gives wrong results: row 17 of " },
	{ "pairs", "score-spoiled", "score_pairs gives wrong results" },
	{ "encode_type", "encode-spoiled", "encode gives wrong results" },
	{ "decode_gap", "decode-spoiled", "decode writes into the gap between rows" },
};

#define SPOILED ((int)(sizeof(spoiled) / sizeof(spoiled[0])))

/* One driver of the plugin fails, with its reason; the other three serve */
START_TEST(the_gate_finds_the_one_spoiled_operation)
{
	struct tq_context *alone = open_context(NULL, TQ_NO_PLUGINS), *ctx;
	struct tq_quantizer *q, *ref = open_quantizer(alone);
	struct tq_driver_info info = { .struct_size = sizeof(info) };
	uint8_t codes[4096], want[4096];
	char path[512];
	int bad = 0, good = 0;
	size_t i;

	snprintf(path, sizeof(path), ZOO_DIR "/tq-%s.so", spoiled[_i].name);
	ctx = open_context(path, 0);
	q = open_quantizer(ctx);
	for (i = 0; tq_context_driver(ctx, i, &info) == TQ_OK; i++) {
		if (strcmp(info.path, path))
			continue;
		good += info.state == TQ_STATE_SELECTABLE;
		if (info.state != TQ_STATE_FAILED_TEST)
			continue;
		bad++;
		ck_assert_str_eq(info.driver_name, spoiled[_i].driver);
		ck_assert_msg(strstr(info.reason, spoiled[_i].reason) != NULL, "%s", info.reason);
	}
	ck_assert_int_eq(bad, 1);
	ck_assert_int_eq(good, 3);
	encode_rows(q, codes);
	encode_rows(ref, want);
	ck_assert_mem_eq(codes, want, ROWS * tq_code_size(ref));
	tq_quantizer_destroy(q);
	tq_quantizer_destroy(ref);
	tq_context_destroy(ctx);
	tq_context_destroy(alone);
}
END_TEST

START_TEST(the_unspoiled_one_serves_every_stage)
{
	struct tq_context *ctx = open_context(ZOO_DIR "/tq-nothing.so", 0);
	struct tq_quantizer *q = open_quantizer(ctx);
	unsigned failed = 1;

	ck_assert_str_eq(tq_quantizer_driver(q, TQ_STAGE_QUANTIZE), "quantize-spoiled");
	ck_assert_str_eq(tq_quantizer_driver(q, TQ_STAGE_SCORE), "score-spoiled");
	ck_assert_str_eq(tq_quantizer_driver(q, TQ_STAGE_ENCODE), "encode-spoiled");
	ck_assert_str_eq(tq_quantizer_driver(q, TQ_STAGE_DECODE), "decode-spoiled");
	ck_assert_int_eq(tq_context_selftest(ctx, &failed), TQ_OK);
	ck_assert_uint_eq(failed, 0);
	tq_quantizer_destroy(q);
	tq_context_destroy(ctx);
}
END_TEST

/* ---- files ---- */

static void make_folder(void)
{
	strcpy(folder, "/tmp/tq-zoo-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	ck_assert_int_eq(system(command), 0);
}

/* The first @keep bytes of the good plugin as folder/@name, all of them if 0 */
static const char *plant(const char *name, size_t keep, mode_t mode)
{
	static char path[256];
	char bytes[65536];
	size_t n;
	FILE *f;

	f = fopen(ZOO_DIR "/tq-good.so", "rb");
	ck_assert_ptr_nonnull(f);
	n = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	if (strstr(name, "foreign"))
		bytes[offsetof(Elf64_Ehdr, e_machine)] = EM_S390;
	if (strstr(name, "text"))
		n = (size_t)sprintf(bytes, "#!/bin/sh\necho not a plugin\n");
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "wb");
	ck_assert_ptr_nonnull(f);
	fwrite(bytes, 1, keep && keep < n ? keep : n, f);
	fclose(f);
	chmod(path, mode);
	return path;
}

static void planted_is_refused(const char *path, const char *reason)
{
	struct tq_context *ctx = open_context(path, 0);

	scalar_serves(ctx);
	refused(ctx, path, TQ_STATE_REJECTED, reason);
	tq_context_destroy(ctx);
}

START_TEST(a_file_that_others_may_write_is_refused)
{
	planted_is_refused(plant("tq-good.so", 0, 0666), "the file is writable by everyone");
	planted_is_refused(plant("tq-good.so", 0, 0664), "the file is writable by its group");
}
END_TEST

START_TEST(a_file_of_another_user_is_refused)
{
	const char *path = plant("tq-good.so", 0, 0644);

	if (geteuid() != 0 || chown(path, 12345, 12345))
		return;
	planted_is_refused(path, "the file belongs to user 12345");
}
END_TEST

START_TEST(a_symbolic_link_is_refused)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/tq-good.so", folder);
	ck_assert_int_eq(symlink(ZOO_DIR "/tq-good.so", path), 0);
	planted_is_refused(path, "the file is a symbolic link");
}
END_TEST

START_TEST(what_is_no_shared_object_of_this_machine_is_refused)
{
	char path[256];

	planted_is_refused(plant("tq-text.so", 0, 0644), "not a shared object: no ELF magic");
	planted_is_refused(plant("tq-foreign.so", 0, 0644), "made for another architecture");
	planted_is_refused(plant("tq-good.so", 40, 0644), "truncated: 40 bytes");
	snprintf(path, sizeof(path), "%s/tq-fifo.so", folder);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	planted_is_refused(path, "not a regular file");
}
END_TEST

/* However much of it is missing, it is refused before dlopen() could fault on it */
START_TEST(a_truncated_file_is_refused_at_every_length)
{
	struct tq_context *ctx;
	size_t keep;

	for (keep = 64; keep < 12000; keep += 397) {
		ctx = open_context(plant("tq-good.so", keep, 0644), 0);
		refused(ctx, plant("tq-good.so", keep, 0644), TQ_STATE_REJECTED, "truncated");
		tq_context_destroy(ctx);
	}
}
END_TEST

START_TEST(a_directory_that_others_may_write_is_refused)
{
	char path[256];

	strcpy(path, plant("tq-good.so", 0, 0644));
	chmod(folder, 0777);
	planted_is_refused(folder, "the directory is writable by everyone");
	planted_is_refused(path, "the directory is writable by everyone");
	chmod(folder, 0700);
}
END_TEST

START_TEST(a_file_is_known_by_its_name)
{
	char path[256];

	strcpy(path, plant("libgood.so", 0, 0644));
	planted_is_refused(path, "plugin files are called tq-NAME.so");
}
END_TEST

START_TEST(an_empty_or_missing_directory_is_a_normal_state)
{
	struct tq_context *ctx = open_context(folder, 0);
	char path[256];

	scalar_serves(ctx);
	tq_context_destroy(ctx);
	snprintf(path, sizeof(path), "%s/nothing", folder);
	planted_is_refused(path, "No such file or directory");
}
END_TEST

START_TEST(a_relative_path_is_an_error)
{
	struct tq_options o = { .struct_size = sizeof(o), .flags = TQ_NO_ENV | TQ_NO_CONFIG };
	struct tq_context *ctx;

	o.plugin_path = "./plugins";
	ck_assert_int_eq(tq_context_create(&o, &ctx), TQ_ERR_ARG);
	ck_assert_msg(strstr(tq_error_text(), "not an absolute path") != NULL, "%s", tq_error_text());
}
END_TEST

START_TEST(the_allow_list_keeps_all_others_closed)
{
	struct tq_options o = { .struct_size = sizeof(o), .flags = TQ_NO_ENV };
	struct tq_context *ctx;
	char conf[256];
	FILE *f;

	snprintf(conf, sizeof(conf), "%s/tq.conf", folder);
	f = fopen(conf, "w");
	fprintf(f, "allow = [ \"wrong\" ];\n");
	fclose(f);
	o.plugin_path = ZOO_DIR "/tq-good.so";
	o.config_file = conf;
	if (tq_context_create(&o, &ctx) == TQ_ERR_UNSUPPORTED)
		return;
	ck_assert_msg(ctx != NULL, "%s", tq_error_text());
	scalar_serves(ctx);
	refused(ctx, ZOO_DIR "/tq-good.so", TQ_STATE_DENIED, "not on the configuration's allow list");
	tq_context_destroy(ctx);
}
END_TEST

START_TEST(an_unknown_pin_is_an_error_with_a_suggestion)
{
	struct tq_context *ctx = open_context(ZOO_DIR "/tq-good.so", 0);
	struct tq_quantizer_options o = { .struct_size = sizeof(o), .driver = "rht-scalr" };
	struct tq_quantizer *q;
	struct tq_spec spec;

	tq_spec_init(&spec);
	ck_assert_int_eq(tq_quantizer_create(ctx, &spec, DIM, &o, &q), TQ_ERR_NO_DRIVER);
	ck_assert_msg(strstr(tq_error_text(), "rht-scalar") != NULL, "%s", tq_error_text());
	tq_context_destroy(ctx);
}
END_TEST

START_TEST(a_context_works_on_both_sides_of_fork)
{
	struct tq_context *ctx = open_context(ZOO_DIR "/tq-good.so", 0);
	struct tq_quantizer *q = open_quantizer(ctx);
	uint8_t codes[4096], want[4096];
	int status;
	pid_t pid;

	encode_rows(q, want);
	pid = fork();
	if (pid == 0) {
		struct tq_quantizer *child = open_quantizer(ctx);

		encode_rows(child, codes);
		_exit(memcmp(codes, want, ROWS * tq_code_size(child)) != 0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	tq_quantizer_destroy(q);
	tq_context_destroy(ctx);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("loader zoo");
	TCase *animals = tcase_create("animals"), *files = tcase_create("files");
	SRunner *sr;
	int failed;

	tcase_set_timeout(animals, 60);
	tcase_add_loop_test(animals, each_is_refused_with_its_own_reason, 0, ANIMALS);
	tcase_add_loop_test(animals, each_pinned_is_an_error_with_the_reason, 0, ANIMALS);
	tcase_add_test(animals, the_good_one_is_chosen_and_gives_the_same_bytes);
	tcase_add_test(animals, all_together_scalar_and_the_good_one_serve);
	tcase_add_loop_test(animals, the_gate_finds_the_one_spoiled_operation, 0, SPOILED);
	tcase_add_test(animals, the_unspoiled_one_serves_every_stage);
	suite_add_tcase(s, animals);
	tcase_set_timeout(files, 60);
	tcase_add_checked_fixture(files, make_folder, remove_folder);
	tcase_add_test(files, a_file_that_others_may_write_is_refused);
	tcase_add_test(files, a_file_of_another_user_is_refused);
	tcase_add_test(files, a_symbolic_link_is_refused);
	tcase_add_test(files, what_is_no_shared_object_of_this_machine_is_refused);
	tcase_add_test(files, a_truncated_file_is_refused_at_every_length);
	tcase_add_test(files, a_directory_that_others_may_write_is_refused);
	tcase_add_test(files, a_file_is_known_by_its_name);
	tcase_add_test(files, an_empty_or_missing_directory_is_a_normal_state);
	tcase_add_test(files, a_relative_path_is_an_error);
	tcase_add_test(files, the_allow_list_keeps_all_others_closed);
	tcase_add_test(files, an_unknown_pin_is_an_error_with_a_suggestion);
	tcase_add_test(files, a_context_works_on_both_sides_of_fork);
	suite_add_tcase(s, files);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
