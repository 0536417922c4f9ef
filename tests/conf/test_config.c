// SPDX-License-Identifier: Apache-2.0
/*
 * The configuration: who wins over whom, what is refused and where the refusal points.
 * Each test writes its files into a directory of its own.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "conf_value.h"
#include "context.h"

static char dir[64], system_file[128], user_file[128], named_file[128];
static struct tq_context ctx;
static struct tq_config *config;
static const struct tq_conf_places places = { system_file, user_file };

static void setup(void)
{
	unsigned i;

	strcpy(dir, "/tmp/tq-config-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(system_file, sizeof(system_file), "%s/system.conf", dir);
	snprintf(user_file, sizeof(user_file), "%s/user.conf", dir);
	snprintf(named_file, sizeof(named_file), "%s/named.conf", dir);
	for (i = 0; i < tq_schema_count; i++)
		if (tq_schema[i].env)
			unsetenv(tq_schema[i].env);
	unsetenv("TQ_CONFIG");
	ctx = (struct tq_context){ .allocator = tq_default_allocator };
	config = NULL;
}

static void teardown(void)
{
	tq_config_free(&ctx, config);
	unlink(system_file);
	unlink(user_file);
	unlink(named_file);
	rmdir(dir);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static int load(const struct tq_options *options)
{
	tq_config_free(&ctx, config);
	return tq_conf_load_from(&ctx, options, &places, &config);
}

static void load_well(const struct tq_options *options)
{
	ck_assert_msg(load(options) == TQ_OK, "%s", tq_error_text());
}

static const struct tq_origin *origin(const char *name)
{
	return &config->origin[tq_schema_find(name)];
}

static void check_origin(const char *name, int kind, const char *from, unsigned line)
{
	ck_assert_int_eq(origin(name)->kind, kind);
	ck_assert_str_eq(origin(name)->name, from);
	ck_assert_uint_eq(origin(name)->line, line);
}

/* ---- values ---- */

START_TEST(nothing_configured_means_the_documented_defaults)
{
	load_well(NULL);
	ck_assert_ptr_null(config->allow[0]);
	ck_assert_ptr_null(config->deny[0]);
	ck_assert_ptr_null(config->order[0]);
	ck_assert_ptr_null(config->driver);
	ck_assert_ptr_null(config->profile);
	ck_assert_ptr_null(config->profiles);
	ck_assert_uint_eq(config->cpu_mask, UINT64_MAX);
	ck_assert_int_eq(config->log_level, TQ_LOG_ERROR);
	ck_assert_int_eq(config->threads, 1);
	ck_assert_uint_eq(config->memory_limit, UINT64_MAX);
	ck_assert(!config->locked);
	check_origin("threads", TQ_FROM_DEFAULT, "", 0);
}
END_TEST

START_TEST(every_type_of_value_is_read)
{
	write_file(system_file, "plugin_path = [\"/a\", \"/b\"];\n"
				"allow = (\"avx2\", \"cuda\");\n"
				"driver = \"rht-avx2\"\n"
				"cpu = \"x86-64-v2\";\n"
				"threads = \"auto\";\n"
				"memory_limit = \"3M\";\n"
				"plugins = { cuda = { device = 3; name = \"x\"; on = true; f = 0.5; }; };\n");
	load_well(NULL);
	ck_assert_str_eq(config->plugin_path[0], "/a");
	ck_assert_str_eq(config->plugin_path[1], "/b");
	ck_assert_str_eq(config->allow[1], "cuda");
	ck_assert_ptr_null(config->allow[2]);
	ck_assert_str_eq(config->driver, "rht-avx2");
	ck_assert(config->cpu_mask & TQ_CPU_X86_64_V2);
	ck_assert(config->cpu_mask & TQ_CPU_NEON);
	ck_assert(!(config->cpu_mask & TQ_CPU_X86_64_V3));
	ck_assert_int_eq(config->threads, TQ_CONF_THREADS_AUTO);
	ck_assert_uint_eq(config->memory_limit, 3u << 20);
	ck_assert_str_eq(tq_config_plugin_value(config, "cuda", "device"), "3");
	ck_assert_str_eq(tq_config_plugin_value(config, "cuda", "name"), "x");
	ck_assert_str_eq(tq_config_plugin_value(config, "cuda", "on"), "true");
	ck_assert_str_eq(tq_config_plugin_value(config, "cuda", "f"), "0.5");
	ck_assert_ptr_null(tq_config_plugin_value(config, "cuda", "g"));
	ck_assert_ptr_null(tq_config_plugin_value(config, "avx2", "device"));
	check_origin("memory_limit", TQ_FROM_FILE, system_file, 6);
}
END_TEST

START_TEST(cpu_levels_only_take_away_and_only_from_their_own_architecture)
{
	static const struct {
		const char *level;
		uint64_t kept, gone;
	} cases[] = {
		{ "baseline", 0, UINT64_MAX },
		{ "x86-64-v2", TQ_CPU_X86_64_V2 | TQ_CPU_SVE, TQ_CPU_X86_64_V3 },
		{ "x86-64-v3", TQ_CPU_X86_64_V3 | TQ_CPU_SVE, TQ_CPU_AVX_VNNI | TQ_CPU_AVX512 },
		{ "avx-vnni", TQ_CPU_X86_64_V3 | TQ_CPU_AVX_VNNI, TQ_CPU_AVX512 },
		{ "x86-64-v4", TQ_CPU_AVX512 | TQ_CPU_AVX_VNNI,
		  TQ_CPU_AVX512_VNNI | TQ_CPU_AMX_INT8 },
		{ "neon", TQ_CPU_NEON | TQ_CPU_AVX512, TQ_CPU_DOTPROD | TQ_CPU_I8MM | TQ_CPU_SVE },
		{ "dotprod", TQ_CPU_DOTPROD | TQ_CPU_AVX512, TQ_CPU_I8MM | TQ_CPU_SVE },
		{ "i8mm", TQ_CPU_I8MM | TQ_CPU_DOTPROD, TQ_CPU_SVE },
		{ "auto", UINT64_MAX, 0 },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		setenv("TQ_CPU", cases[i].level, 1);
		load_well(NULL);
		ck_assert_msg((config->cpu_mask & cases[i].kept) == cases[i].kept, "%s",
			      cases[i].level);
		ck_assert_msg(!(config->cpu_mask & cases[i].gone), "%s", cases[i].level);
	}
}
END_TEST

/* ---- precedence ---- */

START_TEST(options_beat_environment_beats_user_beats_system)
{
	struct tq_options options = { .struct_size = sizeof(options), .threads = 5 };

	load_well(NULL);
	ck_assert_int_eq(config->threads, 1);
	write_file(system_file, "threads = 2;\ndriver = \"avx2\";\n");
	load_well(NULL);
	ck_assert_int_eq(config->threads, 2);
	check_origin("threads", TQ_FROM_FILE, system_file, 1);
	write_file(user_file, "\n\nthreads = 3;\n");
	load_well(NULL);
	ck_assert_int_eq(config->threads, 3);
	check_origin("threads", TQ_FROM_FILE, user_file, 3);
	ck_assert_str_eq(config->driver, "avx2");
	setenv("TQ_THREADS", "4", 1);
	load_well(NULL);
	ck_assert_int_eq(config->threads, 4);
	check_origin("threads", TQ_FROM_ENV, "TQ_THREADS", 0);
	load_well(&options);
	ck_assert_int_eq(config->threads, 5);
	check_origin("threads", TQ_FROM_OPTION, "threads", 0);
}
END_TEST

START_TEST(an_empty_environment_variable_takes_a_pin_back)
{
	write_file(system_file, "driver = \"avx2\"; deny = [\"cuda\"];\n");
	setenv("TQ_DRIVER", "", 1);
	setenv("TQ_DENY", "", 1);
	load_well(NULL);
	ck_assert_ptr_null(config->driver);
	ck_assert_ptr_null(config->deny[0]);
}
END_TEST

START_TEST(plugin_places_add_up_the_strongest_first)
{
	static const char *const expected[] = { "/option", "/env1", "/env2", "/user", "/system" };
	struct tq_options options = { .struct_size = sizeof(options), .plugin_path = "/option" };
	size_t i;

	write_file(system_file, "plugin_path = [\"/system\", \"/env2\"];\n");
	write_file(user_file, "plugin_path = [\"/user\"];\n");
	setenv("TQ_PLUGIN_PATH", "/env1:/env2::", 1);
	load_well(&options);
	for (i = 0; i < 5; i++)
		ck_assert_str_eq(config->plugin_path[i], expected[i]);
	ck_assert_int_eq(config->path_origin[0].kind, TQ_FROM_OPTION);
	ck_assert_str_eq(config->path_origin[1].name, "TQ_PLUGIN_PATH");
	ck_assert_str_eq(config->path_origin[3].name, user_file);
	ck_assert_str_eq(config->path_origin[4].name, system_file);
	ck_assert_int_eq(config->path_origin[5].kind, TQ_FROM_DEFAULT);
	ck_assert_ptr_null(config->plugin_path[6]);

	options.flags = TQ_NO_PLUGIN_SEARCH;
	load_well(&options);
	ck_assert_str_eq(config->plugin_path[0], "/option");
	ck_assert_ptr_null(config->plugin_path[1]);
}
END_TEST

START_TEST(flags_switch_sources_off)
{
	struct tq_options options = { .struct_size = sizeof(options), .flags = TQ_NO_ENV };

	write_file(system_file, "threads = 2;\n");
	setenv("TQ_THREADS", "4", 1);
	load_well(&options);
	ck_assert_int_eq(config->threads, 2);
	options.flags = TQ_NO_CONFIG;
	load_well(&options);
	ck_assert_int_eq(config->threads, 4);
	options.flags = TQ_NO_CONFIG | TQ_NO_ENV;
	load_well(&options);
	ck_assert_int_eq(config->threads, 1);
	write_file(named_file, "threads = 7;\n");
	options.config_file = named_file;
	load_well(&options);
	ck_assert_int_eq(config->threads, 7);
}
END_TEST

START_TEST(a_named_file_replaces_the_others)
{
	write_file(system_file, "threads = 2; driver = \"avx2\";\n");
	write_file(user_file, "log = \"debug\";\n");
	write_file(named_file, "threads = 7;\n");
	setenv("TQ_CONFIG", named_file, 1);
	load_well(NULL);
	ck_assert_int_eq(config->threads, 7);
	ck_assert_ptr_null(config->driver);
	ck_assert_int_eq(config->log_level, TQ_LOG_ERROR);
}
END_TEST

START_TEST(a_locked_file_silences_environment_and_user)
{
	struct tq_options options = { .struct_size = sizeof(options), .threads = 5 };

	write_file(system_file, "locked = true; allow = [\"scalar\"]; threads = 2;\n");
	write_file(user_file, "allow = []; this is not even syntax");
	write_file(named_file, "allow = [];\n");
	setenv("TQ_CONFIG", named_file, 1);
	setenv("TQ_THREADS", "4", 1);
	setenv("TQ_PLUGIN_PATH", "/evil", 1);
	load_well(NULL);
	ck_assert_int_eq(config->threads, 2);
	ck_assert_str_eq(config->allow[0], "scalar");
	ck_assert(!tq_names_have(config->plugin_path, "/evil"));
	load_well(&options);
	ck_assert_int_eq(config->threads, 5);
}
END_TEST

/* ---- profiles ---- */

START_TEST(profiles_of_several_files_are_one_set)
{
	write_file(system_file, "profiles = { a = \"bits=2\"; b = \"bits=3\"; };\nprofile = \"b\";\n");
	write_file(user_file, "profiles = {\n b = \"bits=5\";\n c = \"bits=6\"; };\n");
	load_well(NULL);
	ck_assert_str_eq(tq_config_profile(config, "a"), "bits=2");
	ck_assert_str_eq(tq_config_profile(config, "b"), "bits=5");
	ck_assert_str_eq(tq_config_profile(config, "c"), "bits=6");
	ck_assert_str_eq(tq_config_profile(config, NULL), "bits=5");
	ck_assert_ptr_null(tq_config_profile(config, "d"));
	ck_assert_ptr_nonnull(strstr(tq_error_text(), "no profile \"d\""));
}
END_TEST

START_TEST(profiles_of_caches_are_read_whole)
{
	struct tq_kv_options o;
	const struct tq_kv_override *v;
	unsigned i;

	write_file(system_file, "kv = { a = { key = \"bits=2\"; }; s = { key = \"split=9,0-3 bits=3 / bits=2\"; };\n"
				" kv3 = { value = \"raw\"; }; };\n");
	write_file(user_file, "kv = { b = { key = \"bits=4\"; value = \"bits=3 scale=bf16\"; sinks = 4;\n"
			      " window = 70; page = 48; raw = \"bf16\"; center = \"learn\"; center_tokens = 99;\n"
			      " overrides = ( { layers = [0, -2]; key = \"raw\"; },\n"
			      "  { layers = -1; heads = [1, 2]; value = \"bits=8\"; } ); };\n"
			      " a = { key = \"bits=5\"; }; };\n");
	load_well(NULL);
	ctx.config = config;
	tq_kv_options_init(&o);
	o.layers = 7;
	ck_assert_int_eq(tq_kv_options_profile(&ctx, "b", &o), TQ_OK);
	ck_assert_uint_eq(o.layers, 7);
	ck_assert_str_eq(o.key_spec, "bits=4");
	ck_assert_str_eq(o.value_spec, "bits=3 scale=bf16");
	ck_assert(o.sinks == 4 && o.window == 70 && o.page_tokens == 48 && o.raw_type == TQ_BF16);
	ck_assert(o.center == TQ_KV_CENTER_LEARN && o.center_tokens == 99);
	ck_assert_uint_eq(o.noverrides, 2);
	v = o.overrides;
	ck_assert(v[0].first_layer == 0 && v[0].last_layer == TQ_KV_LAST(2) && v[0].first_head == 0 &&
		  v[0].last_head == TQ_KV_LAST(1) && !v[0].value_spec && !strcmp(v[0].key_spec, "raw"));
	ck_assert(v[1].first_layer == TQ_KV_LAST(1) && v[1].last_layer == TQ_KV_LAST(1) && v[1].first_head == 1 &&
		  v[1].last_head == 2 && !v[1].key_spec && !strcmp(v[1].value_spec, "bits=8"));

	ck_assert_int_eq(tq_kv_options_profile(&ctx, "a", &o), TQ_OK);
	ck_assert_str_eq(o.key_spec, "bits=5");
	ck_assert(!o.value_spec && !o.noverrides && !o.center && o.page_tokens == 128);
	ck_assert_int_eq(tq_kv_options_profile(&ctx, "s", &o), TQ_OK);
	ck_assert_str_eq(o.key_spec, "split=9,0-3 bits=3 / bits=2");
	ck_assert_int_eq(tq_kv_options_profile(&ctx, "kv3", &o), TQ_OK);
	ck_assert(!o.key_spec && !strcmp(o.value_spec, "raw"));
	ck_assert_int_eq(tq_kv_options_profile(&ctx, "kv4", &o), TQ_OK);
	ck_assert(strstr(o.key_spec, "bits=4") && o.center == TQ_KV_CENTER_LEARN);
	ck_assert_int_eq(tq_kv_options_profile(&ctx, "kv5", &o), TQ_ERR_CONFIG);
	ck_assert_str_eq(tq_error_text(), "no KV profile \"kv5\"; did you mean \"kv3\"?");
	for (i = 0; tq_kv_profile_name(&ctx, i); i++)
		ck_assert_int_eq(tq_kv_options_profile(&ctx, tq_kv_profile_name(&ctx, i), &o), TQ_OK);
	ck_assert_uint_eq(i, 10);
}
END_TEST

/* ---- refusals: the place, the setting and, where close, the word that was meant ---- */

static const struct {
	const char *text;
	unsigned line;
	const char *says;
} refusals[] = {
	{ "thread = 1;", 1, "unknown setting \"thread\"; did you mean \"threads\"?" },
	{ "# a comment\n\nplugin-path = [];", 3, "did you mean \"plugin_path\"?" },
	{ "log = \"info\";\nzzzzzzzz = 1;", 2, "unknown setting \"zzzzzzzz\"" },
	{ "threads = \"many\";", 1, "threads: \"many\" is unknown" },
	{ "threads = 1.5;", 1, "threads must be a whole number or \"auto\"" },
	{ "threads = true;", 1, "threads must be a whole number or \"auto\"" },
	{ "threads = [1];", 1, "threads must be a whole number or \"auto\"" },
	{ "threads = 4097;", 1, "4097 is out of range 0..4096" },
	{ "threads = -1;", 1, "-1 is out of range 0..4096" },
	{ "threads = 4294967297;", 1, "4294967297 has more than 9 digits" },
	{ "threads = \"auot\";", 1, "did you mean \"auto\"?" },
	{ "memory_limit = 65535;", 1, "65535 is out of range" },
	{ "memory_limit = \"12x\";", 1, "memory_limit: \"12x\" is unknown" },
	{ "memory_limit = \"-5M\";", 1, "memory_limit: \"-5M\" is unknown" },
	{ "memory_limit = \"99999999999999999999T\";", 1, "is out of range" },
	{ "cpu = \"x86-64-v9\";", 1, "did you mean \"x86-64-v2\"?" },
	{ "cpu = 3;", 1, "cpu must be \"auto\"" },
	{ "log = \"loud\";", 1, "log: \"loud\" is unknown; it takes \"error\"" },
	{ "driver = 1;", 1, "driver must be a string" },
	{ "driver = \"a b\";", 1, "driver: \"a b\" is not a name" },
	{ "allow = \"avx2\";", 1, "allow must be a list of strings" },
	{ "allow = [1, 2];", 1, "allow must be a list of strings" },
	{ "allow = (\"avx2\", 2);", 1, "allow must be a list of strings" },
	{ "order = [\"\"];", 1, "order: \"\" is not a name" },
	{ "\ndeny = [\"avx2\", \"scalar\"];", 2, "scalar cannot be denied" },
	{ "deny = [\"rht-scalar\"];", 1, "scalar cannot be denied" },
	{ "deny = [\"avx2\"];\ndriver = \"avx2\";", 2, "\"avx2\" is pinned and denied" },
	{ "plugin_path = [\"plugins\"];", 1, "\"plugins\" is not an absolute path" },
	{ "plugin_path = [\"/ok\", \"./tq\"];", 1, "\"./tq\" is not an absolute path" },
	{ "locked = 1;", 1, "locked must be true or false" },
	{ "profiles = { kv4 = \"bits=4\"; };\nprofile = \"kv5\";", 2,
	  "no profile \"kv5\"; did you mean \"kv4\"?" },
	{ "profile = \"kv4\";", 1, "no profile \"kv4\"" },
	{ "profiles = {\n kv4 = \"bits=4\";\n kv9 = \"bits=9\"; };", 3, "profile kv9: " },
	{ "profiles = {\n kv4 = \"bist=4\"; };", 2, "profile kv4: " },
	{ "profiles = { kv4 = 4; };", 1, "profile kv4 must be a spec string" },
	{ "profiles = [];", 1, "profiles must be a group" },
	{ "plugins = \"cuda\";", 1, "plugins must be a group" },
	{ "plugins = { cuda = 1; };", 1, "plugins.cuda must be a group" },
	{ "plugins = { cuda = {\n devices = [1, 2]; }; };", 2, "plugins.cuda.devices must be" },
	{ "kv = [];", 1, "kv must be a group" },
	{ "kv = { a = \"bits=4\"; };", 1, "kv.a: must be a group" },
	{ "kv = { a = {\n keys = \"bits=4\"; }; };", 2, "kv.a: unknown member \"keys\"; did you mean \"key\"?" },
	{ "kv = { a = {\n key = \"bist=4\"; }; };", 2, "kv.a: key: " },
	{ "kv = { a = { key = 4; }; };", 1, "kv.a: key must be a spec string" },
	{ "kv = { a = { key = \"center=data\"; }; };", 1, "center must be off" },
	{ "kv = { a = { value = \"correction=qjl:rht\"; }; };", 1, "kv.a: value: qjl" },
	{ "kv = { a = {\n key = \"split=1,1 bits=3 / bits=2\"; }; };", 2, "kv.a: key: split=: channel 1 is there twice" },
	{ "kv = { a = { value = \"split=1024 bits=3 / bits=2\"; }; };", 1, "channel 1024, where there are 1024" },
	{ "kv = { a = { overrides = ( { value = \"split=1-9 bits=3\"; } ); }; };", 1, "not \"split=CHANNELS SPEC / SPEC\"" },
	{ "kv = { a = { sinks = -1; }; };", 1, "sinks must be a number from 0" },
	{ "kv = { a = { page = 100; }; };", 1, "page must be a number from 16 to 512, a multiple of 16" },
	{ "kv = { a = { raw = \"f32\"; }; };", 1, "raw must be \"f16\" or \"bf16\"" },
	{ "kv = { a = { center = \"learn\"; }; };", 1, "needs center_tokens" },
	{ "kv = { a = { overrides = { }; }; };", 1, "overrides must be a list of groups" },
	{ "kv = { a = { overrides = ( 3 ); }; };", 1, "kv.a: must be a group" },
	{ "kv = { a = { overrides = (\n { layers = [1]; } ); }; };", 2, "layers must be a number or [first, last]" },
	{ "kv = { a = { overrides = ( { heads = 1024; } ); }; };", 1, "heads must be a number or" },
	{ "kv = { a = { overrides = ( { layer = 1; } ); }; };", 1, "did you mean \"layers\"?" },
	{ "threads = 1;\nthreads = 2;", 2, "duplicate setting name" },
	{ "threads = \n\n}", 3, "syntax error" },
	{ "\ndriver = \"avx2", 2, "the string that starts here is not closed" },
	{ "\n\n/* threads = 2;\n", 3, "the comment that starts here is not closed" },
	{ "@include \"other.conf\"\n", 1, "@include is not supported" },
};

START_TEST(a_wrong_file_is_one_error_with_its_place)
{
	char place[200];
	int ret;

	write_file(system_file, refusals[_i].text);
	ret = load(NULL);
	snprintf(place, sizeof(place), "%s:%u: ", system_file, refusals[_i].line);
	ck_assert_msg(ret == TQ_ERR_CONFIG, "%s: %s", refusals[_i].text, tq_status_name(ret));
	ck_assert_msg(!strncmp(tq_error_text(), place, strlen(place)), "%s: %s", refusals[_i].text,
		      tq_error_text());
	ck_assert_msg(strstr(tq_error_text(), refusals[_i].says), "%s: %s", refusals[_i].text,
		      tq_error_text());
	ck_assert_ptr_null(strchr(tq_error_text(), '\n'));
	ck_assert_ptr_null(config);
}
END_TEST

START_TEST(a_wrong_environment_names_its_variable)
{
	static const char *const cases[][3] = {
		{ "TQ_THREADS", "9x", "environment variable TQ_THREADS: threads: \"9x\"" },
		{ "TQ_THREADS", "99999999999999999999", "TQ_THREADS: threads: " },
		{ "TQ_CPU", "avx3", "environment variable TQ_CPU: cpu: \"avx3\"" },
		{ "TQ_DENY", "scalar", "environment variable TQ_DENY: deny: \"scalar\"" },
		{ "TQ_PLUGIN_PATH", "/a:b", "environment variable TQ_PLUGIN_PATH: plugin_path: \"b\"" },
		{ "TQ_PROFILE", "x", "environment variable TQ_PROFILE: no profile \"x\"" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		setenv(cases[i][0], cases[i][1], 1);
		ck_assert_int_eq(load(NULL), TQ_ERR_CONFIG);
		ck_assert_msg(strstr(tq_error_text(), cases[i][2]), "%s", tq_error_text());
		unsetenv(cases[i][0]);
	}
}
END_TEST

START_TEST(a_wrong_option_is_an_argument_error)
{
	struct tq_options options = { .struct_size = sizeof(options), .plugin_path = "here" };

	ck_assert_int_eq(load(&options), TQ_ERR_ARG);
	ck_assert_ptr_nonnull(strstr(tq_error_text(), "options.plugin_path: "));
	options.plugin_path = NULL;
	options.threads = 5000;
	ck_assert_int_eq(load(&options), TQ_ERR_ARG);
	ck_assert_ptr_nonnull(strstr(tq_error_text(), "options.threads: "));
}
END_TEST

START_TEST(a_named_file_must_exist_and_be_a_file)
{
	struct tq_options options = { .struct_size = sizeof(options), .config_file = named_file };

	ck_assert_int_eq(load(&options), TQ_ERR_IO);
	ck_assert_ptr_nonnull(strstr(tq_error_text(), named_file));
	options.config_file = dir;
	ck_assert_int_eq(load(&options), TQ_ERR_IO);
	ck_assert_ptr_nonnull(strstr(tq_error_text(), "not a regular file"));
	options.config_file = "/dev/zero";
	ck_assert_int_eq(load(&options), TQ_ERR_IO);
}
END_TEST

START_TEST(a_zero_byte_or_a_huge_file_is_refused)
{
	/* between words, within a word, a string, each kind of comment */
	static const char *const lines[] = { "@driver = 1;", "log = \"debug\"; threads@;wrong = 1;",
					     "driver = \"a@vx2\";", "# x@y", "/* x@y */", "log@" };
	char text[64], *zero;
	size_t i, n;
	FILE *f;

	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		n = (size_t)snprintf(text, sizeof(text), "threads = 2;\n%s\n", lines[i]);
		zero = strchr(text, '@');
		*zero = '\0';
		f = fopen(system_file, "w");
		fwrite(text, 1, n, f);
		fclose(f);
		ck_assert_msg(load(NULL) == TQ_ERR_CONFIG, "%s is taken", lines[i]);
		ck_assert_msg(strstr(tq_error_text(), ":2: zero byte") != NULL, "%s", tq_error_text());
	}
	ck_assert_int_eq(truncate(system_file, 2 << 20), 0);
	ck_assert_int_eq(load(NULL), TQ_ERR_CONFIG);
	ck_assert_ptr_nonnull(strstr(tq_error_text(), "larger than"));
}
END_TEST

/* ---- texts made from the schema ---- */

static char *dump(void)
{
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	tq_config_dump(f);
	fclose(f);
	return text;
}

/* Keeps the lines that start with @lead, without it. */
static char *uncomment(const char *text, const char *lead)
{
	char *out = calloc(1, strlen(text) + 1), *at = out;
	size_t n;

	for (; *text; text += n) {
		n = strcspn(text, "\n") + 1;
		if (strncmp(text, lead, strlen(lead)) || (lead[1] == '\0' && text[1] == ' '))
			continue;
		memcpy(at, text + strlen(lead), n - strlen(lead));
		at += n - strlen(lead);
	}
	return out;
}

static char *show(void)
{
	char *text, *at, *end;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	tq_config_show(config, f);
	fclose(f);
	for (at = text; (at = strstr(at, "  # ")); ) {
		end = strchr(at, '\n');
		memmove(at, end, strlen(end) + 1);
	}
	return text;
}

START_TEST(the_dumped_file_documents_every_setting_and_says_the_defaults)
{
	char *text = dump(), *bare = uncomment(text, "#"), *before, *after, line[80];
	unsigned i;

	for (i = 0; i < tq_schema_count; i++) {
		snprintf(line, sizeof(line), "\n#%s = ", tq_schema[i].name);
		ck_assert_msg(strstr(text, line), "%s", tq_schema[i].name);
		if (tq_schema[i].env)
			ck_assert_msg(strstr(text, tq_schema[i].env), "%s", tq_schema[i].env);
	}
	write_file(system_file, text);
	load_well(NULL);
	check_origin("threads", TQ_FROM_DEFAULT, "", 0);
	before = show();
	write_file(system_file, bare);
	load_well(NULL);
	ck_assert_int_eq(origin("threads")->kind, TQ_FROM_FILE);
	after = show();
	ck_assert_str_eq(before, after);
	free(text);
	free(bare);
	free(before);
	free(after);
}
END_TEST

START_TEST(the_dumped_examples_load)
{
	char *text = dump(), *examples = uncomment(text, "#   ");

	write_file(system_file, examples);
	load_well(NULL);
	ck_assert_int_eq(config->threads, TQ_CONF_THREADS_AUTO);
	ck_assert_str_eq(config->profile, "search4");
	ck_assert_ptr_nonnull(config->profiles);
	ck_assert_ptr_nonnull(config->kv);
	ck_assert_uint_eq(config->kv->noverrides, 2);
	ck_assert_ptr_nonnull(config->plugin_values);
	free(text);
	free(examples);
}
END_TEST

START_TEST(what_show_prints_loads_to_the_same)
{
	char *first, *second;

	write_file(system_file, "plugin_path = [\"/a b\", \"/c\\\"d\"]; cpu = \"neon\";\n"
				"memory_limit = \"5G\"; threads = 12; order = [\"x\", \"y\"];\n"
				"kv = { k = { key = \"bits=2\"; sinks = 3; center = \"learn\"; center_tokens = 5;"
				" overrides = ( { layers = [1, -1]; value = \"raw\"; }, { heads = 0; key = \"bits=8\"; } );"
				" }; l = { }; };\n"
				"profiles = { a = \"bits=2\"; }; plugins = { b = { c = \"\\\\\"; }; d = { }; };\n");
	load_well(NULL);
	first = show();
	write_file(system_file, first);
	load_well(NULL);
	second = show();
	ck_assert_str_eq(first, second);
	ck_assert_ptr_nonnull(strstr(first, "memory_limit = \"5368709120\";"));
	free(first);
	free(second);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config");
	TCase *tc = tcase_create("config");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, nothing_configured_means_the_documented_defaults);
	tcase_add_test(tc, every_type_of_value_is_read);
	tcase_add_test(tc, cpu_levels_only_take_away_and_only_from_their_own_architecture);
	tcase_add_test(tc, options_beat_environment_beats_user_beats_system);
	tcase_add_test(tc, an_empty_environment_variable_takes_a_pin_back);
	tcase_add_test(tc, plugin_places_add_up_the_strongest_first);
	tcase_add_test(tc, flags_switch_sources_off);
	tcase_add_test(tc, a_named_file_replaces_the_others);
	tcase_add_test(tc, a_locked_file_silences_environment_and_user);
	tcase_add_test(tc, profiles_of_caches_are_read_whole);
	tcase_add_test(tc, profiles_of_several_files_are_one_set);
	tcase_add_loop_test(tc, a_wrong_file_is_one_error_with_its_place, 0,
			    sizeof(refusals) / sizeof(refusals[0]));
	tcase_add_test(tc, a_wrong_environment_names_its_variable);
	tcase_add_test(tc, a_wrong_option_is_an_argument_error);
	tcase_add_test(tc, a_named_file_must_exist_and_be_a_file);
	tcase_add_test(tc, a_zero_byte_or_a_huge_file_is_refused);
	tcase_add_test(tc, the_dumped_file_documents_every_setting_and_says_the_defaults);
	tcase_add_test(tc, the_dumped_examples_load);
	tcase_add_test(tc, what_show_prints_loads_to_the_same);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
