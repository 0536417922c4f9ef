/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CONF_H
#define TQ_CONF_H

/*
 * The settings in force: options of the embedder over the environment over the user's file over the
 * system's file over defaults. core/schema.c is the one table of what can be set; this struct is
 * where the values land. A configuration can order, pin, forbid, size and log; it cannot skip the
 * CPU check, and it cannot take scalar away.
 */

#include <stdbool.h>
#include "core.h"
#include "tq/kv.h"

/** Where a value came from. */
enum tq_origin_kind {
	TQ_FROM_DEFAULT = 0,
	TQ_FROM_FILE,
	TQ_FROM_ENV,
	TQ_FROM_OPTION,
};

/**
 * struct tq_origin - where one value came from
 * @kind: enum tq_origin_kind
 * @name: the file's path, the environment variable or the member of struct tq_options; "" for default
 * @line: in the file, else 0
 */
struct tq_origin {
	int kind;
	const char *name;
	unsigned line;
};

/** One named spec of the profiles group. */
struct tq_profile {
	struct tq_profile *next;
	const char *name;
	const char *spec; /* checked by tq_spec_parse() */
	struct tq_origin origin;
};

/**
 * struct tq_kv_profile - one profile of the group "kv": what tq_kv_options_profile() copies
 * @key, @value: a spec checked by tq_kv_spec(), "raw", or NULL for preset=cache
 * @raw_type:    TQ_F16 or TQ_BF16
 * @center:      enum tq_kv_center, but for GIVEN
 */
struct tq_kv_profile {
	struct tq_kv_profile *next;
	const char *name;
	const char *key;
	const char *value;
	struct tq_kv_override *overrides;
	size_t noverrides;
	uint32_t raw_type;
	uint32_t sinks;
	uint32_t window;
	uint32_t page_tokens;
	uint32_t center;
	uint32_t center_tokens;
	struct tq_origin origin;
};

/** One value of a plugin's own section, as text. */
struct tq_plugin_value {
	struct tq_plugin_value *next;
	const char *plugin;
	const char *key;
	const char *value;
	struct tq_origin origin;
};

/** The word auto of the setting "threads". */
#define TQ_CONF_THREADS_AUTO (-1)

#define TQ_MAX_SETTINGS 16

/**
 * struct tq_config - every setting; lists are NULL-terminated and never NULL
 * @plugin_path:     places to look for plugins, in order: absolute directories or files. Complete:
 *                   the option's, the environment's, the files' and, last, the installed directory
 * @path_origin:     of each of @plugin_path
 * @allow:           if not empty, the plugins that may be opened; scalar is always allowed
 * @deny:            plugins and drivers that are never used; scalar is never among them
 * @order:           plugins and drivers preferred over priority, the most wanted first
 * @driver:          pin: a driver or a plugin; NULL for none
 * @cpu_level:       the highest CPU level that may be used, a value of the schema's words
 * @cpu_mask:        what @cpu_level leaves of TQ_CPU_*: and it with what the CPU has
 * @log_level:       enum tq_log_level
 * @threads:         0 or 1: the caller's thread; n: a pool of n; TQ_CONF_THREADS_AUTO
 * @memory_limit:    most bytes that the tables of one quantizer may take, UINT64_MAX for no limit
 * @profile:         name of the profile that stands for "none given"; NULL for none
 * @calibration:     "auto", "off" or the absolute path of a profile
 * @locked:          the environment and the user's file were not read
 * @profiles:        named specs
 * @kv:              profiles of KV caches
 * @plugin_values:   the plugins' own sections
 * @origin:          per setting, in the order of the schema
 * @blocks:          memory of all of the above
 */
struct tq_config {
	const char **plugin_path;
	struct tq_origin *path_origin;
	const char **allow;
	const char **deny;
	const char **order;
	const char *driver;
	int cpu_level;
	uint64_t cpu_mask;
	int log_level;
	int threads;
	uint64_t memory_limit;
	const char *profile;
	const char *calibration;
	bool locked;
	struct tq_profile *profiles;
	struct tq_kv_profile *kv;
	struct tq_plugin_value *plugin_values;
	struct tq_origin origin[TQ_MAX_SETTINGS];
	void *blocks;
};

/**
 * tq_config_load - read everything that configures a context
 * @ctx:     memory; its allocator must be in place
 * @options: the embedder's options, NULL for none
 * @config:  receives the settings; release with tq_config_free()
 *
 * Return: TQ_OK; TQ_ERR_CONFIG with "path:line: text"; TQ_ERR_IO if a file named explicitly cannot be
 * read; TQ_ERR_UNSUPPORTED if one is named and the library is built without libconfig; TQ_ERR_NOMEM.
 */
int tq_config_load(struct tq_context *ctx, const struct tq_options *options,
		   struct tq_config **config);

/** tq_config_free - NULL is allowed */
void tq_config_free(struct tq_context *ctx, struct tq_config *config);

/** tq_config_is_set - did anybody give the setting @name; false where it has its default */
bool tq_config_is_set(const struct tq_config *config, const char *name);

/** tq_config_show - one line per setting: name = value, and where it came from */
void tq_config_show(const struct tq_config *config, FILE *out);

/**
 * tq_config_profile - the spec string of a named profile
 * @name: NULL for the setting "profile"
 *
 * Return: the spec, or NULL with tq_fail(TQ_ERR_CONFIG): no such profile (and the nearest name), or
 * no name given and none set.
 */
const char *tq_config_profile(const struct tq_config *config, const char *name);

/** tq_config_plugin_value - @key in the section of @plugin as text ("true", "12"), or NULL */
const char *tq_config_plugin_value(const struct tq_config *config, const char *plugin,
				   const char *key);

/** tq_names_have - is @name one of the NULL-terminated @names */
bool tq_names_have(const char *const *names, const char *name);

#endif
