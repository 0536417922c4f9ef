/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings in force. Sources are read from the weakest to the strongest, each over the ones
 * before; then what depends on several of them is checked.
 */

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "conf_value.h"

#ifndef TQ_SYSTEM_CONFIG
#define TQ_SYSTEM_CONFIG "/etc/tq/tq.conf"
#endif
#ifndef TQ_PLUGIN_DIR
#define TQ_PLUGIN_DIR ""
#endif

#define PROFILES_MAX 256

bool tq_names_have(const char *const *names, const char *name)
{
	for (; names && *names; names++)
		if (!strcmp(*names, name))
			return true;
	return false;
}

static int read_defaults(struct tq_context *ctx, struct tq_config *config)
{
	struct tq_origin at = { TQ_FROM_DEFAULT, "", 0 };
	const struct tq_setting *s;
	const char *text;
	int i, ret;

	for (i = 0; i < (int)tq_schema_count; i++) {
		s = &tq_schema[i];
		config->origin[i] = at;
		if (s->type == TQ_SETTING_PROFILES || s->type == TQ_SETTING_KV || s->type == TQ_SETTING_PLUGINS)
			continue;
		text = s->type == TQ_SETTING_PATHS ? TQ_PLUGIN_DIR : s->fallback;
		ret = tq_conf_set_text(ctx, config, i, text, &at);
		if (ret)
			return ret;
	}
	return TQ_OK;
}

static int read_environment(struct tq_context *ctx, struct tq_config *config)
{
	struct tq_origin at = { TQ_FROM_ENV, NULL, 0 };
	const char *text;
	int i, ret;

	for (i = 0; i < (int)tq_schema_count; i++) {
		at.name = tq_schema[i].env;
		text = at.name ? secure_getenv(at.name) : NULL;
		if (!text)
			continue;
		ret = tq_conf_set_text(ctx, config, i, text, &at);
		if (ret)
			return ret;
	}
	return TQ_OK;
}

/* TQ_NO_PLUGIN_SEARCH: what all other sources said about places is dropped. */
static int keep_option_plugins(struct tq_context *ctx, struct tq_config *config,
			       const struct tq_options *options)
{
	struct tq_origin at = { TQ_FROM_OPTION, "flags", 0 };

	config->plugin_path = NULL;
	return tq_conf_set_text(ctx, config, tq_schema_find("plugin_path"),
				options->plugin_path ? options->plugin_path : "", &at);
}

static int read_options(struct tq_context *ctx, struct tq_config *config,
			const struct tq_options *options)
{
	const struct {
		const char *name;
		const char *text;
	} given[] = {
		{ "plugin_path", options->plugin_path },
		{ "driver", options->driver },
		{ "calibration", options->calibration },
		{ "log", tq_schema_word(&tq_schema[tq_schema_find("log")], options->log_level) },
	};
	struct tq_value threads = { .kind = TQ_VALUE_NUMBER, .number = options->threads };
	struct tq_origin at = { TQ_FROM_OPTION, NULL, 0 };
	size_t i;
	int ret;

	for (i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
		at.name = given[i].name;
		if (!given[i].text || (!strcmp(at.name, "log") && !options->log_level))
			continue;
		ret = tq_conf_set_text(ctx, config, tq_schema_find(at.name), given[i].text, &at);
		if (ret)
			return ret;
	}
	if (options->flags & TQ_NO_PLUGIN_SEARCH) {
		ret = keep_option_plugins(ctx, config, options);
		if (ret)
			return ret;
	}
	at.name = "threads";
	if (!options->threads)
		return TQ_OK;
	if (options->threads == TQ_THREADS_AUTO)
		return tq_conf_set_text(ctx, config, tq_schema_find("threads"), "auto", &at);
	return tq_conf_set(ctx, config, tq_schema_find("threads"), &threads, &at);
}

/*
 * The system's file comes first even where TQ_CONFIG names another, since it may be locked. A user's
 * file that cannot be opened is skipped only if it does not exist.
 */
static int read_files(struct tq_context *ctx, struct tq_config **config,
		      const struct tq_options *options, const struct tq_conf_places *places)
{
	const char *named;
	int ret;

	if (options->config_file)
		return tq_conf_read_file(ctx, *config, options->config_file, true);
	if (options->flags & TQ_NO_CONFIG)
		return TQ_OK;
	if (places->system_file) {
		ret = tq_conf_read_file(ctx, *config, places->system_file, false);
		if (ret || (*config)->locked)
			return ret;
	}
	if (options->flags & TQ_NO_ENV)
		return TQ_OK;
	named = secure_getenv("TQ_CONFIG");
	if (!named || !named[0])
		return places->user_file ?
			       tq_conf_read_file(ctx, *config, places->user_file, false) :
			       TQ_OK;

	tq_config_free(ctx, *config);
	*config = tq_alloc(ctx, sizeof(**config));
	if (!*config)
		return TQ_ERR_NOMEM;
	ret = read_defaults(ctx, *config);
	return ret ? ret : tq_conf_read_file(ctx, *config, named, true);
}

/* Scalar's drivers are called NAME-scalar. */
static const char *denied_scalar(const struct tq_config *config)
{
	static const char tail[] = "-scalar";
	const char *const *name;
	size_t n;

	for (name = config->deny; *name; name++) {
		n = strlen(*name);
		if (!strcmp(*name, "scalar") ||
		    (n > strlen(tail) && !strcmp(*name + n - strlen(tail), tail)))
			return *name;
	}
	return NULL;
}

/* What one value alone cannot tell. */
static int check_together(const struct tq_config *config)
{
	const struct tq_origin *pin = &config->origin[tq_schema_find("driver")];

	if (denied_scalar(config))
		return tq_conf_fail(&config->origin[tq_schema_find("deny")],
				    "deny: \"%s\": scalar cannot be denied", denied_scalar(config));
	if (config->driver && tq_names_have(config->deny, config->driver))
		return tq_conf_fail(pin, "driver: \"%s\" is pinned and denied", config->driver);
	if (config->profile && !tq_config_profile(config, NULL))
		return tq_conf_fail(&config->origin[tq_schema_find("profile")], "%s",
				    tq_error_text());
	return TQ_OK;
}

int tq_conf_load_from(struct tq_context *ctx, const struct tq_options *options,
		      const struct tq_conf_places *places, struct tq_config **config)
{
	static const struct tq_options none;
	struct tq_config *c;
	int ret;

	if (!options)
		options = &none;
	*config = NULL;
	c = tq_alloc(ctx, sizeof(*c));
	if (!c)
		return TQ_ERR_NOMEM;
	ret = read_defaults(ctx, c);
	if (!ret)
		ret = read_files(ctx, &c, options, places);
	if (!ret && !c->locked && !(options->flags & TQ_NO_ENV))
		ret = read_environment(ctx, c);
	if (!ret)
		ret = read_options(ctx, c, options);
	if (!ret)
		ret = check_together(c);
	if (ret) {
		tq_config_free(ctx, c);
		return ret;
	}
	c->cpu_mask = tq_schema_cpu_mask(c->cpu_level);
	*config = c;
	return TQ_OK;
}

/* $XDG_CONFIG_HOME/tq/tq.conf, else $HOME/.config/tq/tq.conf; relative directories do not count. */
static bool find_user_file(char *path, size_t size)
{
	const char *dir = secure_getenv("XDG_CONFIG_HOME"), *below = "";
	int n;

	if (!dir || dir[0] != '/') {
		dir = secure_getenv("HOME");
		below = "/.config";
	}
	if (!dir || dir[0] != '/')
		return false;
	n = snprintf(path, size, "%s%s/tq/tq.conf", dir, below);
	return n > 0 && (size_t)n < size;
}

int tq_config_load(struct tq_context *ctx, const struct tq_options *options,
		   struct tq_config **config)
{
	struct tq_conf_places places = { TQ_SYSTEM_CONFIG, NULL };
	char user[PATH_MAX];

	if (!(options && (options->flags & TQ_NO_ENV)) && find_user_file(user, sizeof(user)))
		places.user_file = user;
	return tq_conf_load_from(ctx, options, &places, config);
}

void tq_config_free(struct tq_context *ctx, struct tq_config *config)
{
	void **block, *next;

	if (!config)
		return;
	for (block = config->blocks; block; block = next) {
		next = *block;
		tq_free(ctx, block);
	}
	tq_free(ctx, config);
}

bool tq_config_is_set(const struct tq_config *config, const char *name)
{
	return config->origin[tq_schema_find(name)].kind != TQ_FROM_DEFAULT;
}

const char *tq_config_profile(const struct tq_config *config, const char *name)
{
	const char *known[PROFILES_MAX + 1], *close;
	const struct tq_profile *p;
	size_t n = 0;

	if (!name)
		name = config->profile;
	if (!name) {
		tq_fail(TQ_ERR_CONFIG, "no profile is named and the setting \"profile\" is empty");
		return NULL;
	}
	for (p = config->profiles; p; p = p->next) {
		if (!strcmp(p->name, name))
			return p->spec;
		if (n < PROFILES_MAX)
			known[n++] = p->name;
	}
	known[n] = NULL;
	close = tq_suggest(name, known);
	if (close)
		tq_fail(TQ_ERR_CONFIG, "no profile \"%s\"; did you mean \"%s\"?", name, close);
	else
		tq_fail(TQ_ERR_CONFIG, "no profile \"%s\"", name);
	return NULL;
}

const char *tq_config_plugin_value(const struct tq_config *config, const char *plugin,
				   const char *key)
{
	const struct tq_plugin_value *p;

	for (p = config->plugin_values; p; p = p->next)
		if (!strcmp(p->plugin, plugin) && !strcmp(p->key, key))
			return p->value;
	return NULL;
}
