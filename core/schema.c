/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be configured: the table, and the commented file that is made from it.
 */

#include <string.h>
#include "schema.h"

#define X86_ALL ((1ull << 32) - 1)
#define ARM_ALL (~X86_ALL)
#define V2 TQ_CPU_X86_64_V2
#define V3 (V2 | TQ_CPU_X86_64_V3)
#define V4 (V3 | TQ_CPU_AVX512)

enum { CPU_AUTO, CPU_BASELINE, CPU_V2, CPU_V3, CPU_AVX_VNNI, CPU_V4, CPU_NEON, CPU_DOTPROD, CPU_I8MM };

/* Each level limits the instruction sets of its own architecture alone. */
static const uint64_t cpu_masks[] = {
	[CPU_AUTO] = ~0ull,
	[CPU_BASELINE] = 0,
	[CPU_V2] = ARM_ALL | V2,
	[CPU_V3] = ARM_ALL | V3,
	[CPU_AVX_VNNI] = ARM_ALL | V3 | TQ_CPU_AVX_VNNI,
	[CPU_V4] = ARM_ALL | V4 | TQ_CPU_AVX_VNNI,
	[CPU_NEON] = X86_ALL | TQ_CPU_NEON,
	[CPU_DOTPROD] = X86_ALL | TQ_CPU_NEON | TQ_CPU_DOTPROD,
	[CPU_I8MM] = X86_ALL | TQ_CPU_NEON | TQ_CPU_DOTPROD | TQ_CPU_I8MM,
};

static const struct tq_setting_word cpu_words[] = {
	{ "auto", CPU_AUTO },	  { "baseline", CPU_BASELINE }, { "x86-64-v2", CPU_V2 },
	{ "x86-64-v3", CPU_V3 },  { "avx-vnni", CPU_AVX_VNNI }, { "x86-64-v4", CPU_V4 },
	{ "neon", CPU_NEON },	  { "dotprod", CPU_DOTPROD },	{ "i8mm", CPU_I8MM },
	{ NULL, 0 },
};

static const struct tq_setting_word log_words[] = {
	{ "error", TQ_LOG_ERROR }, { "warn", TQ_LOG_WARN }, { "info", TQ_LOG_INFO },
	{ "debug", TQ_LOG_DEBUG }, { NULL, 0 },
};

static const struct tq_setting_word thread_words[] = {
	{ "auto", TQ_CONF_THREADS_AUTO },
	{ NULL, 0 },
};

static const struct tq_setting_word limit_words[] = {
	{ "none", -1 },
	{ NULL, 0 },
};

static const struct tq_setting_word place_words[] = {
	{ "auto", 0 },
	{ "off", 1 },
	{ NULL, 0 },
};

#define AT(member) offsetof(struct tq_config, member)

const struct tq_setting tq_schema[] = {
	{ .name = "plugin_path",
	  .env = "TQ_PLUGIN_PATH",
	  .type = TQ_SETTING_PATHS,
	  .offset = AT(plugin_path),
	  .fallback = "",
	  .doc = "Where to look for plugins: absolute directories, searched for tq-*.so, or files. Places\n"
		 "add up: the program's own, TQ_PLUGIN_PATH (separated by ':'), the user's file, the\n"
		 "system's file, and last the directory that the library was installed with. The first\n"
		 "plugin of a name wins.",
	  .example = "plugin_path = [ \"/opt/vendor/tq\" ];" },
	{ .name = "allow",
	  .type = TQ_SETTING_NAMES,
	  .offset = AT(allow),
	  .fallback = "",
	  .doc = "If not empty: the only plugins that may be opened. scalar is always allowed. There is\n"
		 "no environment variable for it.",
	  .example = "allow = [ \"avx2\", \"avx512\" ];" },
	{ .name = "deny",
	  .env = "TQ_DENY",
	  .type = TQ_SETTING_NAMES,
	  .offset = AT(deny),
	  .fallback = "",
	  .doc = "Plugins and drivers that are never used. scalar cannot be denied.",
	  .example = "deny = [ \"opencl\", \"rht-avx2\" ];" },
	{ .name = "order",
	  .env = "TQ_ORDER",
	  .type = TQ_SETTING_NAMES,
	  .offset = AT(order),
	  .fallback = "",
	  .doc = "Plugins and drivers preferred over the drivers' own priorities, the most wanted first.",
	  .example = "order = [ \"avx2\", \"avx512\" ];" },
	{ .name = "driver",
	  .env = "TQ_DRIVER",
	  .type = TQ_SETTING_NAME,
	  .offset = AT(driver),
	  .fallback = "",
	  .doc = "Pin: this driver or plugin, with scalar for what it does not do, or an error. Empty for\n"
		 "free choice.",
	  .example = "driver = \"avx2\";" },
	{ .name = "cpu",
	  .env = "TQ_CPU",
	  .type = TQ_SETTING_CHOICE,
	  .offset = AT(cpu_level),
	  .fallback = "auto",
	  .words = cpu_words,
	  .doc = "The highest instruction set that may be used. It can only take away from what the CPU\n"
		 "has. A level limits its own architecture alone; baseline limits both.",
	  .example = "cpu = \"x86-64-v3\";" },
	{ .name = "log",
	  .env = "TQ_LOG",
	  .type = TQ_SETTING_CHOICE,
	  .offset = AT(log_level),
	  .fallback = "error",
	  .words = log_words,
	  .doc = "What goes to the program's log hook, if it has one.",
	  .example = "log = \"info\";" },
	{ .name = "threads",
	  .env = "TQ_THREADS",
	  .type = TQ_SETTING_COUNT,
	  .offset = AT(threads),
	  .fallback = "1",
	  .min = 0,
	  .max = 4096,
	  .words = thread_words,
	  .doc = "0 or 1: the caller's thread alone. n: a pool of n, the caller's among them. auto: one per\n"
		 "core. Results are the same for any number.",
	  .example = "threads = \"auto\";" },
	{ .name = "memory_limit",
	  .env = "TQ_MEMORY_LIMIT",
	  .type = TQ_SETTING_BYTES,
	  .offset = AT(memory_limit),
	  .fallback = "none",
	  .min = 1 << 16,
	  .max = 1ll << 50,
	  .words = limit_words,
	  .doc = "The most memory that the tables of one quantizer may take, in bytes or with K, M, G, T\n"
		 "(powers of 1024). Dense rotations (haar, qjl:gauss, qjl:ortho) take 8 bytes times the\n"
		 "square of the dimension.",
	  .example = "memory_limit = \"256M\";" },
	{ .name = "profile",
	  .env = "TQ_PROFILE",
	  .type = TQ_SETTING_NAME,
	  .offset = AT(profile),
	  .fallback = "",
	  .doc = "The profile that stands where a program or tool names no spec.",
	  .example = "profile = \"search4\";" },
	{ .name = "calibration",
	  .env = "TQ_CALIBRATION",
	  .type = TQ_SETTING_PATH,
	  .offset = AT(calibration),
	  .fallback = "auto",
	  .words = place_words,
	  .doc = "The profile that tq-probe --calibrate wrote: it says which of the drivers that pass their\n"
		 "tests is the fastest here. Counts after driver and order, before priority, and only while\n"
		 "library, plugins and CPU are the same. auto: $XDG_CACHE_HOME/tq/calibration.conf, else\n"
		 "~/.cache/tq/calibration.conf.",
	  .example = "calibration = \"/var/lib/tq/calibration.conf\";" },
	{ .name = "locked",
	  .type = TQ_SETTING_FLAG,
	  .offset = AT(locked),
	  .fallback = "false",
	  .doc = "true: neither the environment nor the user's file is read. Options of the program still\n"
		 "count.",
	  .example = "locked = true;" },
	{ .name = "profiles",
	  .type = TQ_SETTING_PROFILES,
	  .offset = AT(profiles),
	  .fallback = "",
	  .doc = "Named specs: rotation, code, bits, correction, effort, seed, center, scale, query, preset.\n"
		 "A name given in several files keeps the user's.",
	  .example = "profiles = {\n"
		     "  kv4     = \"bits=4 correction=ls scale=f16\";\n"
		     "  search4 = \"bits=4 correction=unbiased effort=1 center=both\";\n"
		     "};" },
	{ .name = "kv",
	  .type = TQ_SETTING_KV,
	  .offset = AT(kv),
	  .fallback = "",
	  .doc = "Profiles of KV caches. key, value: a spec over preset=cache, \"raw\" for 16 bits, or two specs and\n"
		 "the channels of the first, \"split=0-7,16 bits=3 / bits=2\"; sinks and window: first and last\n"
		 "tokens kept in 16 bits; page: tokens per page, a multiple of 16 up to 512; raw: \"f16\" or\n"
		 "\"bf16\"; center: \"off\", or \"learn\" from the first center_tokens keys.\n"
		 "overrides: other specs for some layers and heads, a number or [first, last] each, -1 being\n"
		 "the last of all; later ones win. kv2, kv3, kv4, kv8, kv2-fine, kv3-fine and kv4-fine are there\n"
		 "without being written. A name given in several files keeps the user's.",
	  .example = "kv = {\n"
		     "  ends8 = {\n"
		     "    key = \"bits=4 scale=bf16\";\n"
		     "    value = \"bits=3 scale=bf16\";\n"
		     "    sinks = 4;\n"
		     "    window = 64;\n"
		     "    center = \"learn\";\n"
		     "    center_tokens = 128;\n"
		     "    overrides = (\n"
		     "      { layers = [0, 1]; key = \"bits=8 scale=bf16\"; },\n"
		     "      { layers = -1; heads = 0; key = \"raw\"; value = \"raw\"; }\n"
		     "    );\n"
		     "  };\n"
		     "};" },
	{ .name = "plugins",
	  .type = TQ_SETTING_PLUGINS,
	  .offset = AT(plugin_values),
	  .fallback = "",
	  .doc = "What a plugin reads for itself; see its own documentation.",
	  .example = "plugins = {\n"
		     "  cuda = { device = 0; };\n"
		     "};" },
};

const unsigned tq_schema_count = sizeof(tq_schema) / sizeof(tq_schema[0]);

_Static_assert(sizeof(tq_schema) / sizeof(tq_schema[0]) <= TQ_MAX_SETTINGS, "raise TQ_MAX_SETTINGS");

int tq_schema_find(const char *name)
{
	unsigned i;

	for (i = 0; i < tq_schema_count; i++)
		if (!strcmp(tq_schema[i].name, name))
			return (int)i;
	return -1;
}

const char *tq_schema_suggest(const char *name)
{
	const char *names[TQ_MAX_SETTINGS + 1];
	unsigned i;

	for (i = 0; i < tq_schema_count; i++)
		names[i] = tq_schema[i].name;
	names[i] = NULL;
	return tq_suggest(name, names);
}

uint64_t tq_schema_cpu_mask(int level)
{
	return cpu_masks[level];
}

const char *tq_schema_word(const struct tq_setting *setting, int64_t value)
{
	const struct tq_setting_word *w;

	for (w = setting->words; w && w->word; w++)
		if (w->value == value)
			return w->word;
	return NULL;
}

/* Each line of @text after @lead. */
static void print_lines(FILE *out, const char *lead, const char *text)
{
	size_t n;

	for (; *text; text += n + (text[n] == '\n')) {
		n = strcspn(text, "\n");
		fprintf(out, "%s%.*s\n", lead, (int)n, text);
	}
}

static void print_range(FILE *out, const struct tq_setting *s)
{
	const struct tq_setting_word *w;
	const char *comma = "";

	fprintf(out, "# Value: ");
	switch (s->type) {
	case TQ_SETTING_PATHS:
		fprintf(out, "list of absolute paths");
		break;
	case TQ_SETTING_NAMES:
		fprintf(out, "list of names");
		break;
	case TQ_SETTING_NAME:
		fprintf(out, "a name");
		break;
	case TQ_SETTING_PATH:
		fprintf(out, "an absolute path");
		comma = ", ";
		break;
	case TQ_SETTING_COUNT:
		fprintf(out, "%lld..%lld", (long long)s->min, (long long)s->max);
		comma = ", ";
		break;
	case TQ_SETTING_BYTES:
		fprintf(out, "bytes, at least %lld", (long long)s->min);
		comma = ", ";
		break;
	case TQ_SETTING_FLAG:
		fprintf(out, "true, false");
		break;
	case TQ_SETTING_PROFILES:
		fprintf(out, "group of name = \"spec\"");
		break;
	case TQ_SETTING_KV:
		fprintf(out, "group of name = { key = \"spec\"; ... }");
		break;
	case TQ_SETTING_PLUGINS:
		fprintf(out, "group of plugin = { key = value; }");
		break;
	default:
		break;
	}
	for (w = s->words; w && w->word; w++) {
		fprintf(out, "%s\"%s\"", comma, w->word);
		comma = ", ";
	}
	fprintf(out, ".");
	if (s->env)
		fprintf(out, " Environment: %s.", s->env);
	fprintf(out, "\n");
}

static void print_default(FILE *out, const struct tq_setting *s)
{
	switch (s->type) {
	case TQ_SETTING_PATHS:
	case TQ_SETTING_NAMES:
		fprintf(out, "[]");
		break;
	case TQ_SETTING_NAME:
	case TQ_SETTING_PATH:
	case TQ_SETTING_CHOICE:
	case TQ_SETTING_BYTES:
		fprintf(out, "\"%s\"", s->fallback);
		break;
	case TQ_SETTING_PROFILES:
	case TQ_SETTING_KV:
	case TQ_SETTING_PLUGINS:
		fprintf(out, "{}");
		break;
	default:
		fprintf(out, "%s", s->fallback);
	}
}

void tq_config_dump(FILE *out)
{
	const struct tq_setting *s;

	fprintf(out, "# Configuration of libtq. Every line is commented out and shows the default; an example\n"
		     "# follows. This text is printed by tq-probe --dump-config; tq-probe --show-config shows\n"
		     "# what is in force and where each value came from.\n"
		     "#\n"
		     "# Read are, each over the one before: the system's file (/etc/tq/tq.conf), the user's file\n"
		     "# ($XDG_CONFIG_HOME/tq/tq.conf, else ~/.config/tq/tq.conf), the environment, the options of\n"
		     "# the program. TQ_CONFIG names a file to read instead of the two. The syntax is libconfig's,\n"
		     "# without @include. An unknown key or a wrong value is an error, never ignored.\n");
	for (s = tq_schema; s < tq_schema + tq_schema_count; s++) {
		fprintf(out, "\n");
		print_lines(out, "# ", s->doc);
		print_range(out, s);
		fprintf(out, "#%s = ", s->name);
		print_default(out, s);
		fprintf(out, ";\n");
		if (s->example) {
			fprintf(out, "# Example:\n");
			print_lines(out, "#   ", s->example);
		}
	}
}
