/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_SCHEMA_H
#define TQ_SCHEMA_H

/*
 * The one table of what can be configured. Reading of files and environment, the shipped conf/tq.conf,
 * tq-probe --show-config and the documentation are all made from it.
 */

#include "conf.h"

enum tq_setting_type {
	TQ_SETTING_PATHS,    /* list of absolute paths; sources add up instead of replacing */
	TQ_SETTING_NAMES,    /* list of plugin or driver names */
	TQ_SETTING_NAME,     /* one name, "" for none */
	TQ_SETTING_PATH,     /* one absolute path, or one of the words */
	TQ_SETTING_CHOICE,   /* one of the words; stores its value as int */
	TQ_SETTING_COUNT,    /* min..max, or one of the words; stores int */
	TQ_SETTING_BYTES,    /* min..max, number or text with K, M, G, T, or one of the words; uint64_t */
	TQ_SETTING_FLAG,     /* true or false; stores bool */
	TQ_SETTING_PROFILES, /* group: name = "spec" */
	TQ_SETTING_KV,       /* group of groups: name = { key = "spec"; ... } */
	TQ_SETTING_PLUGINS,  /* group of groups: plugin = { key = value; } */
};

struct tq_setting_word {
	const char *word;
	int64_t value;
};

/**
 * struct tq_setting - one row of the schema
 * @name:     key in the file
 * @env:      environment variable, NULL for none
 * @type:     enum tq_setting_type
 * @offset:   of the member of struct tq_config
 * @fallback: the default, as the environment would give it
 * @min:      smallest number
 * @max:      largest number
 * @words:    ends with a NULL word
 * @doc:      what it does, lines separated by \n
 * @example:  further lines of the commented file, or NULL
 */
struct tq_setting {
	const char *name;
	const char *env;
	int type;
	size_t offset;
	const char *fallback;
	int64_t min;
	int64_t max;
	const struct tq_setting_word *words;
	const char *doc;
	const char *example;
};

extern const struct tq_setting tq_schema[];
extern const unsigned tq_schema_count;

/** tq_schema_find - index of the setting called @name, or -1 */
int tq_schema_find(const char *name);

/** tq_schema_suggest - the setting's name closest to @name, or NULL */
const char *tq_schema_suggest(const char *name);

/** tq_schema_cpu_mask - what the word of the setting "cpu" with value @level leaves of TQ_CPU_* */
uint64_t tq_schema_cpu_mask(int level);

/** tq_schema_word - the word of @setting that stands for @value, or NULL */
const char *tq_schema_word(const struct tq_setting *setting, int64_t value);

#endif
