/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CONF_VALUE_H
#define TQ_CONF_VALUE_H

/*
 * Inside the configuration: how one value, from wherever it came, is checked against the schema and
 * lands in struct tq_config. Shared by core/conf.c (environment, options) and core/conf_file.c.
 */

#include "schema.h"

enum tq_value_kind {
	TQ_VALUE_TEXT,
	TQ_VALUE_NUMBER,
	TQ_VALUE_FLAG,
	TQ_VALUE_TEXTS,
	TQ_VALUE_OTHER, /* a float, a group: nothing that a plain setting takes */
};

/**
 * struct tq_value - a value before it is checked
 * @kind:   enum tq_value_kind
 * @text:   TEXT
 * @number: NUMBER, FLAG
 * @texts:  TEXTS: @n strings
 * @n:      how many
 */
struct tq_value {
	int kind;
	const char *text;
	int64_t number;
	const char **texts;
	size_t n;
};

/** tq_conf_alloc - zeroed memory that lives as long as @config */
void *tq_conf_alloc(struct tq_context *ctx, struct tq_config *config, size_t size);

/** tq_conf_strdup - the first @n bytes of @text, kept as long as @config */
char *tq_conf_strdup(struct tq_context *ctx, struct tq_config *config, const char *text, size_t n);

/** tq_conf_fail - tq_fail() with the origin in front; TQ_ERR_ARG for an option, else TQ_ERR_CONFIG */
int tq_conf_fail(const struct tq_origin *origin, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/** tq_conf_set - check @value against setting number @index and store it; strings are copied */
int tq_conf_set(struct tq_context *ctx, struct tq_config *config, int index,
		const struct tq_value *value, const struct tq_origin *origin);

/** tq_conf_set_text - tq_conf_set() from text as in the environment: lists are split, numbers read */
int tq_conf_set_text(struct tq_context *ctx, struct tq_config *config, int index, const char *text,
		     const struct tq_origin *origin);

/** tq_conf_set_profile - add the profile @name, replacing an older one */
int tq_conf_set_profile(struct tq_context *ctx, struct tq_config *config, const char *name,
			const char *spec, const struct tq_origin *origin);

/** tq_conf_set_plugin_value - add a value of a plugin's section, replacing an older one */
int tq_conf_set_plugin_value(struct tq_context *ctx, struct tq_config *config, const char *plugin,
			     const char *key, const char *value, const struct tq_origin *origin);

/**
 * tq_conf_read_file - read one file over @config
 * @path:     the file
 * @required: a file that does not exist is an error
 *
 * Return: TQ_OK, also if the file does not exist and need not; TQ_ERR_IO; TQ_ERR_CONFIG;
 * TQ_ERR_UNSUPPORTED (required, but built without libconfig); TQ_ERR_NOMEM.
 */
int tq_conf_read_file(struct tq_context *ctx, struct tq_config *config, const char *path,
		      bool required);

/**
 * tq_conf_read_text - read the text of a file over @config
 * @path: for error texts; copied
 * @text: zero-terminated, @size bytes without the zero
 */
int tq_conf_read_text(struct tq_context *ctx, struct tq_config *config, const char *path,
		      const char *text, size_t size);

/**
 * tq_conf_slurp - the whole of a regular file of at most 1 MiB as zero-terminated text
 * @text:    receives memory to tq_free()
 * @missing: set if there is no such file; the call fails all the same
 */
int tq_conf_slurp(struct tq_context *ctx, const char *path, char **text, size_t *size, bool *missing);

/** tq_conf_print_quoted - @text as a string of the configuration's syntax */
void tq_conf_print_quoted(FILE *out, const char *text);

/** tq_conf_scan - refuse what libconfig would misread, with its line */
int tq_conf_scan(const char *path, const char *text, size_t size);

/** The files that are read where nothing names another. NULL: none. */
struct tq_conf_places {
	const char *system_file;
	const char *user_file;
};

/** tq_conf_load_from - tq_config_load() with the places given */
int tq_conf_load_from(struct tq_context *ctx, const struct tq_options *options,
		      const struct tq_conf_places *places, struct tq_config **config);

#endif
