/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One value against the schema: type, range, words, names. Every refusal starts with the place that
 * the value came from.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "conf_value.h"
#include "tq/spec.h"

#define FAIL_TEXT_MAX 400
#define NAME_MAX_LENGTH 63
#define WORDS_MAX 16

/* Blocks of a configuration are a list, so that one call releases them all. */
struct block {
	struct block *next;
};

void *tq_conf_alloc(struct tq_context *ctx, struct tq_config *config, size_t size)
{
	struct block *b = tq_alloc(ctx, sizeof(*b) + size);

	if (!b)
		return NULL;
	b->next = config->blocks;
	config->blocks = b;
	return b + 1;
}

char *tq_conf_strdup(struct tq_context *ctx, struct tq_config *config, const char *text, size_t n)
{
	char *copy = tq_conf_alloc(ctx, config, n + 1);

	return copy ? memcpy(copy, text, n) : NULL;
}

int tq_conf_fail(const struct tq_origin *origin, const char *fmt, ...)
{
	char text[FAIL_TEXT_MAX], *c;
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	/* a value may have any byte, the text is one line */
	for (c = text; *c; c++)
		if ((unsigned char)*c < ' ')
			*c = ' ';
	switch (origin->kind) {
	case TQ_FROM_FILE:
		return tq_fail(TQ_ERR_CONFIG, "%s:%u: %s", origin->name, origin->line, text);
	case TQ_FROM_ENV:
		return tq_fail(TQ_ERR_CONFIG, "environment variable %s: %s", origin->name, text);
	case TQ_FROM_OPTION:
		return tq_fail(TQ_ERR_ARG, "options.%s: %s", origin->name, text);
	default:
		return tq_fail(TQ_ERR_INTERNAL, "default of %s: %s", origin->name, text);
	}
}

/* "x", "y" or a number: what a setting with words takes, for error texts. */
static void list_words(const struct tq_setting *s, char *buf, size_t size)
{
	const struct tq_setting_word *w;
	size_t used = 0;

	buf[0] = '\0';
	for (w = s->words; w && w->word && used < size; w++)
		used += (size_t)snprintf(buf + used, size - used, "%s\"%s\"",
					 w == s->words ? "" : w[1].word ? ", " : " or ", w->word);
}

static int fail_type(const struct tq_setting *s, const struct tq_origin *origin)
{
	char words[256];

	list_words(s, words, sizeof(words));
	switch (s->type) {
	case TQ_SETTING_PATHS:
	case TQ_SETTING_NAMES:
		return tq_conf_fail(origin, "%s must be a list of strings, such as [\"a\", \"b\"]",
				    s->name);
	case TQ_SETTING_NAME:
		return tq_conf_fail(origin, "%s must be a string", s->name);
	case TQ_SETTING_CHOICE:
		return tq_conf_fail(origin, "%s must be %s", s->name, words);
	case TQ_SETTING_PATH:
		return tq_conf_fail(origin, "%s must be an absolute path, %s", s->name, words);
	case TQ_SETTING_COUNT:
		return tq_conf_fail(origin, "%s must be a whole number or %s", s->name, words);
	case TQ_SETTING_BYTES:
		return tq_conf_fail(origin, "%s must be a number of bytes such as \"512M\", or %s",
				    s->name, words);
	case TQ_SETTING_FLAG:
		return tq_conf_fail(origin, "%s must be true or false", s->name);
	default:
		return tq_conf_fail(origin, "%s must be a group", s->name);
	}
}

/* Finds @text among the words; if it is none of them, *found is false. */
static int64_t find_word(const struct tq_setting *s, const char *text, bool *found)
{
	const struct tq_setting_word *w;

	for (w = s->words; w && w->word; w++) {
		if (!strcmp(w->word, text)) {
			*found = true;
			return w->value;
		}
	}
	*found = false;
	return 0;
}

static int fail_word(const struct tq_setting *s, const char *text, const struct tq_origin *origin)
{
	const char *known[WORDS_MAX + 1], *close;
	char words[256];
	unsigned n = 0;

	for (; n < WORDS_MAX && s->words && s->words[n].word; n++)
		known[n] = s->words[n].word;
	known[n] = NULL;
	close = tq_suggest(text, known);
	list_words(s, words, sizeof(words));
	if (close)
		return tq_conf_fail(origin, "%s: \"%s\" is unknown; did you mean \"%s\"?", s->name,
				    text, close);
	return tq_conf_fail(origin, "%s: \"%s\" is unknown; it takes %s%s", s->name, text,
			    s->type == TQ_SETTING_CHOICE ? "" :
			    s->type == TQ_SETTING_PATH	 ? "an absolute path, " :
							   "a number or ",
			    words);
}

static int check_name(const struct tq_setting *s, const char *name, const struct tq_origin *origin)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.");

	if (n == 0 || name[n] || n > NAME_MAX_LENGTH)
		return tq_conf_fail(origin, "%s: \"%.80s\" is not a name (letters, digits, _ - .)",
				    s->name, name);
	return TQ_OK;
}

/*
 * Sources of the path list add up: what is read later is wanted more, so it goes in front. Values that
 * are already there are dropped.
 */
static int set_paths(struct tq_context *ctx, struct tq_config *config, const struct tq_setting *s,
		     const struct tq_value *v, const struct tq_origin *origin)
{
	const char **old = config->plugin_path, **list;
	struct tq_origin *origins;
	size_t nold = 0, n = 0, i;

	while (old && old[nold])
		nold++;
	list = tq_conf_alloc(ctx, config, (v->n + nold + 1) * sizeof(*list));
	origins = tq_conf_alloc(ctx, config, (v->n + nold + 1) * sizeof(*origins));
	if (!list || !origins)
		return TQ_ERR_NOMEM;
	for (i = 0; i < v->n; i++) {
		if (v->texts[i][0] != '/')
			return tq_conf_fail(origin, "%s: \"%s\" is not an absolute path", s->name,
					    v->texts[i]);
		if (tq_names_have(list, v->texts[i]))
			continue;
		origins[n] = *origin;
		list[n] = tq_conf_strdup(ctx, config, v->texts[i], strlen(v->texts[i]));
		if (!list[n++])
			return TQ_ERR_NOMEM;
	}
	for (i = 0; i < nold; i++) {
		if (tq_names_have(list, old[i]))
			continue;
		origins[n] = config->path_origin[i];
		list[n++] = old[i];
	}
	config->plugin_path = list;
	config->path_origin = origins;
	return TQ_OK;
}

static int set_names(struct tq_context *ctx, struct tq_config *config, const struct tq_setting *s,
		     const struct tq_value *v, const struct tq_origin *origin)
{
	const char **list;
	size_t i, n = 0;
	int ret;

	list = tq_conf_alloc(ctx, config, (v->n + 1) * sizeof(*list));
	if (!list)
		return TQ_ERR_NOMEM;
	for (i = 0; i < v->n; i++) {
		ret = check_name(s, v->texts[i], origin);
		if (ret)
			return ret;
		if (tq_names_have(list, v->texts[i]))
			continue;
		list[n] = tq_conf_strdup(ctx, config, v->texts[i], strlen(v->texts[i]));
		if (!list[n++])
			return TQ_ERR_NOMEM;
	}
	*(const char ***)((char *)config + s->offset) = list;
	return TQ_OK;
}

static int set_name(struct tq_context *ctx, struct tq_config *config, const struct tq_setting *s,
		    const struct tq_value *v, const struct tq_origin *origin)
{
	const char **member = (const char **)((char *)config + s->offset);
	int ret;

	if (v->kind != TQ_VALUE_TEXT)
		return fail_type(s, origin);
	if (!v->text[0]) {
		*member = NULL;
		return TQ_OK;
	}
	ret = check_name(s, v->text, origin);
	if (ret)
		return ret;
	*member = tq_conf_strdup(ctx, config, v->text, strlen(v->text));
	return *member ? TQ_OK : TQ_ERR_NOMEM;
}

static int set_path(struct tq_context *ctx, struct tq_config *config, const struct tq_setting *s,
		    const struct tq_value *v, const struct tq_origin *origin)
{
	const char **member = (const char **)((char *)config + s->offset);
	bool word;

	if (v->kind != TQ_VALUE_TEXT)
		return fail_type(s, origin);
	find_word(s, v->text, &word);
	if (!word && v->text[0] != '/')
		return fail_word(s, v->text, origin);
	*member = tq_conf_strdup(ctx, config, v->text, strlen(v->text));
	return *member ? TQ_OK : TQ_ERR_NOMEM;
}

/* "12", "12K", "12M", "12G", "12T"; *ok tells. Beyond 64 bits it stays at the largest number. */
static int64_t read_bytes(const char *text, bool *ok)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;
	long long n;
	int shift = 0;

	errno = 0;
	n = strtoll(text, &end, 10);
	*ok = end != text && text[0] >= '0' && text[0] <= '9' && n >= 0;
	unit = *end ? strchr(units, *end) : NULL;
	if (unit) {
		shift = 10 * (int)(unit - units + 1);
		end++;
	}
	if (*end)
		*ok = false;
	if (!*ok)
		return 0;
	return n > (INT64_MAX >> shift) ? INT64_MAX : n << shift;
}

static int set_number(struct tq_config *config, const struct tq_setting *s,
		      const struct tq_value *v, const struct tq_origin *origin)
{
	void *member = (char *)config + s->offset;
	int64_t n = v->number;
	bool word = false, ok;

	if (v->kind == TQ_VALUE_TEXT) {
		n = find_word(s, v->text, &word);
		if (!word && s->type == TQ_SETTING_BYTES)
			n = read_bytes(v->text, &ok);
		else
			ok = word;
		if (!word && !ok)
			return fail_word(s, v->text, origin);
	} else if (v->kind != TQ_VALUE_NUMBER || s->type == TQ_SETTING_CHOICE) {
		return fail_type(s, origin);
	}
	if (!word && (n < s->min || n > s->max))
		return tq_conf_fail(origin, "%s: %" PRId64 " is out of range %" PRId64 "..%" PRId64,
				    s->name, n, s->min, s->max);
	if (s->type == TQ_SETTING_BYTES)
		*(uint64_t *)member = (uint64_t)n;
	else
		*(int *)member = (int)n;
	return TQ_OK;
}

int tq_conf_set(struct tq_context *ctx, struct tq_config *config, int index,
		const struct tq_value *value, const struct tq_origin *origin)
{
	const struct tq_setting *s = &tq_schema[index];
	int ret = TQ_OK;

	switch (s->type) {
	case TQ_SETTING_PATHS:
	case TQ_SETTING_NAMES:
		if (value->kind != TQ_VALUE_TEXTS)
			return fail_type(s, origin);
		ret = s->type == TQ_SETTING_PATHS ? set_paths(ctx, config, s, value, origin) :
						    set_names(ctx, config, s, value, origin);
		break;
	case TQ_SETTING_NAME:
		ret = set_name(ctx, config, s, value, origin);
		break;
	case TQ_SETTING_PATH:
		ret = set_path(ctx, config, s, value, origin);
		break;
	case TQ_SETTING_FLAG:
		if (value->kind != TQ_VALUE_FLAG)
			return fail_type(s, origin);
		*(bool *)((char *)config + s->offset) = value->number != 0;
		break;
	case TQ_SETTING_PROFILES:
	case TQ_SETTING_KV:
	case TQ_SETTING_PLUGINS:
		return fail_type(s, origin);
	default:
		ret = set_number(config, s, value, origin);
	}
	if (!ret)
		config->origin[index] = *origin;
	return ret;
}

/* Splits a copy of @text in place; paths at ':', names at ':', ',' and blanks. */
static int set_split(struct tq_context *ctx, struct tq_config *config, int index, const char *text,
		     const struct tq_origin *origin)
{
	const char *marks = tq_schema[index].type == TQ_SETTING_PATHS ? ":" : ":, \t";
	struct tq_value v = { .kind = TQ_VALUE_TEXTS };
	size_t size = strlen(text) + 1;
	char *copy, *word, *rest;

	copy = tq_conf_strdup(ctx, config, text, size - 1);
	v.texts = tq_conf_alloc(ctx, config, (size / 2 + 1) * sizeof(*v.texts));
	if (!copy || !v.texts)
		return TQ_ERR_NOMEM;
	for (word = strtok_r(copy, marks, &rest); word; word = strtok_r(NULL, marks, &rest))
		v.texts[v.n++] = word;
	return tq_conf_set(ctx, config, index, &v, origin);
}

int tq_conf_set_text(struct tq_context *ctx, struct tq_config *config, int index, const char *text,
		     const struct tq_origin *origin)
{
	struct tq_value v = { .kind = TQ_VALUE_TEXT, .text = text };
	char *end;

	switch (tq_schema[index].type) {
	case TQ_SETTING_PATHS:
	case TQ_SETTING_NAMES:
		return set_split(ctx, config, index, text, origin);
	case TQ_SETTING_COUNT:
		errno = 0;
		v.number = strtoll(text, &end, 10);
		if (end != text && !*end)
			v.kind = TQ_VALUE_NUMBER;
		break;
	case TQ_SETTING_FLAG:
		v.number = !strcmp(text, "true");
		if (v.number || !strcmp(text, "false"))
			v.kind = TQ_VALUE_FLAG;
		break;
	default:
		break;
	}
	return tq_conf_set(ctx, config, index, &v, origin);
}

int tq_conf_set_profile(struct tq_context *ctx, struct tq_config *config, const char *name,
			const char *spec, const struct tq_origin *origin)
{
	struct tq_profile *p, **at;
	struct tq_spec parsed;
	int ret;

	tq_spec_init(&parsed);
	ret = tq_spec_parse(&parsed, spec);
	if (!ret)
		ret = tq_spec_check(&parsed, 0);
	if (ret == TQ_ERR_NOMEM)
		return ret;
	if (ret)
		return tq_conf_fail(origin, "profile %s: %s", name, tq_error_text());

	for (at = &config->profiles; *at && strcmp((*at)->name, name); at = &(*at)->next)
		;
	p = *at;
	if (!p) {
		p = tq_conf_alloc(ctx, config, sizeof(*p));
		if (!p)
			return TQ_ERR_NOMEM;
		p->name = tq_conf_strdup(ctx, config, name, strlen(name));
	}
	p->spec = tq_conf_strdup(ctx, config, spec, strlen(spec));
	if (!p->name || !p->spec)
		return TQ_ERR_NOMEM;
	p->origin = *origin;
	*at = p;
	return TQ_OK;
}

int tq_conf_set_plugin_value(struct tq_context *ctx, struct tq_config *config, const char *plugin,
			     const char *key, const char *value, const struct tq_origin *origin)
{
	struct tq_plugin_value *p, **at;

	for (at = &config->plugin_values; *at; at = &(*at)->next)
		if (!strcmp((*at)->plugin, plugin) && !strcmp((*at)->key, key))
			break;
	p = *at;
	if (!p) {
		p = tq_conf_alloc(ctx, config, sizeof(*p));
		if (!p)
			return TQ_ERR_NOMEM;
		p->plugin = tq_conf_strdup(ctx, config, plugin, strlen(plugin));
		p->key = tq_conf_strdup(ctx, config, key, strlen(key));
	}
	p->value = tq_conf_strdup(ctx, config, value, strlen(value));
	if (!p->plugin || !p->key || !p->value)
		return TQ_ERR_NOMEM;
	p->origin = *origin;
	*at = p;
	return TQ_OK;
}
