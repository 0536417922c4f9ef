/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration files: libconfig reads the syntax, the schema says what may be in it.
 * libconfig's own memory is malloc's, and is gone when the call returns.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "conf_value.h"

#define FILE_SIZE_MAX (1 << 20)

/* The whole of @fd as zero-terminated text. */
static int read_whole(struct tq_context *ctx, int fd, const char *path, char **text, size_t *size)
{
	struct stat st;
	ssize_t got;
	size_t used = 0;

	if (fstat(fd, &st) < 0)
		return tq_fail(TQ_ERR_IO, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return tq_fail(TQ_ERR_IO, "%s: not a regular file", path);
	if (st.st_size > FILE_SIZE_MAX)
		return tq_fail(TQ_ERR_CONFIG, "%s:1: larger than %d bytes", path, FILE_SIZE_MAX);
	*text = tq_alloc(ctx, (size_t)st.st_size + 1);
	if (!*text)
		return TQ_ERR_NOMEM;
	while (used < (size_t)st.st_size) {
		got = read(fd, *text + used, (size_t)st.st_size - used);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			tq_fail(TQ_ERR_IO, "%s: %s", path, strerror(errno));
			tq_free(ctx, *text);
			*text = NULL;
			return TQ_ERR_IO;
		}
		if (got == 0)
			break;
		used += (size_t)got;
	}
	(*text)[used] = '\0';
	*size = used;
	return TQ_OK;
}

int tq_conf_slurp(struct tq_context *ctx, const char *path, char **text, size_t *size, bool *missing)
{
	int fd, ret;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		*missing = errno == ENOENT || errno == ENOTDIR;
		return tq_fail(TQ_ERR_IO, "%s: %s", path, strerror(errno));
	}
	ret = read_whole(ctx, fd, path, text, size);
	close(fd);
	return ret;
}

#ifdef TQ_HAVE_LIBCONFIG
#include "conf_kv.h"

static bool is_list(const config_setting_t *s)
{
	return config_setting_is_array(s) || config_setting_is_list(s);
}

/* @value's strings belong to libconfig; its list to @config. */
static int to_value(struct tq_context *ctx, struct tq_config *config, const config_setting_t *s,
		    struct tq_value *value)
{
	const char *text;
	int i, n;

	memset(value, 0, sizeof(*value));
	value->kind = TQ_VALUE_OTHER;
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		value->kind = TQ_VALUE_NUMBER;
		value->number = config_setting_get_int64(s);
		return TQ_OK;
	case CONFIG_TYPE_BOOL:
		value->kind = TQ_VALUE_FLAG;
		value->number = config_setting_get_bool(s);
		return TQ_OK;
	case CONFIG_TYPE_STRING:
		value->kind = TQ_VALUE_TEXT;
		value->text = config_setting_get_string(s);
		return TQ_OK;
	default:
		if (!is_list(s))
			return TQ_OK;
	}
	n = config_setting_length(s);
	value->texts = tq_conf_alloc(ctx, config, ((size_t)n + 1) * sizeof(*value->texts));
	if (!value->texts)
		return TQ_ERR_NOMEM;
	for (i = 0; i < n; i++) {
		text = config_setting_get_string_elem(s, i);
		if (!text)
			return TQ_OK;
		value->texts[value->n++] = text;
	}
	value->kind = TQ_VALUE_TEXTS;
	return TQ_OK;
}

static int read_profiles(struct tq_context *ctx, struct tq_config *config,
			 const config_setting_t *group, const char *path)
{
	config_setting_t *s;
	struct tq_origin at;
	int i, ret = TQ_OK;

	for (i = 0; !ret && i < config_setting_length(group); i++) {
		s = config_setting_get_elem(group, (unsigned)i);
		at = tq_conf_origin(s, path);
		if (config_setting_type(s) != CONFIG_TYPE_STRING)
			return tq_conf_fail(&at, "profile %s must be a spec string",
					    config_setting_name(s));
		ret = tq_conf_set_profile(ctx, config, config_setting_name(s),
					  config_setting_get_string(s), &at);
	}
	return ret;
}

static int read_plugin(struct tq_context *ctx, struct tq_config *config,
		       const config_setting_t *group, const char *path)
{
	config_setting_t *s;
	struct tq_origin at;
	char number[64];
	const char *text;
	int i, ret = TQ_OK;

	for (i = 0; !ret && i < config_setting_length(group); i++) {
		s = config_setting_get_elem(group, (unsigned)i);
		at = tq_conf_origin(s, path);
		text = number;
		switch (config_setting_type(s)) {
		case CONFIG_TYPE_INT:
		case CONFIG_TYPE_INT64:
			snprintf(number, sizeof(number), "%lld", config_setting_get_int64(s));
			break;
		case CONFIG_TYPE_FLOAT:
			snprintf(number, sizeof(number), "%.17g", config_setting_get_float(s));
			break;
		case CONFIG_TYPE_BOOL:
			text = config_setting_get_bool(s) ? "true" : "false";
			break;
		case CONFIG_TYPE_STRING:
			text = config_setting_get_string(s);
			break;
		default:
			return tq_conf_fail(&at, "plugins.%s.%s must be a number, a string or a flag",
					    config_setting_name(group), config_setting_name(s));
		}
		ret = tq_conf_set_plugin_value(ctx, config, config_setting_name(group),
					       config_setting_name(s), text, &at);
	}
	return ret;
}

static int read_plugins(struct tq_context *ctx, struct tq_config *config,
			const config_setting_t *group, const char *path)
{
	config_setting_t *s;
	struct tq_origin at;
	int i, ret = TQ_OK;

	for (i = 0; !ret && i < config_setting_length(group); i++) {
		s = config_setting_get_elem(group, (unsigned)i);
		at = tq_conf_origin(s, path);
		if (!config_setting_is_group(s))
			return tq_conf_fail(&at, "plugins.%s must be a group", config_setting_name(s));
		ret = read_plugin(ctx, config, s, path);
	}
	return ret;
}

static int read_setting(struct tq_context *ctx, struct tq_config *config,
			const config_setting_t *s, const char *path)
{
	struct tq_origin at = tq_conf_origin(s, path);
	const char *name = config_setting_name(s), *close;
	int index = tq_schema_find(name), ret;
	struct tq_value value;

	if (index < 0) {
		close = tq_schema_suggest(name);
		return close ? tq_conf_fail(&at, "unknown setting \"%.80s\"; did you mean \"%s\"?", name,
					    close) :
			       tq_conf_fail(&at, "unknown setting \"%.80s\"", name);
	}
	if (config_setting_is_group(s) && tq_schema[index].type == TQ_SETTING_PROFILES) {
		config->origin[index] = at;
		return read_profiles(ctx, config, s, path);
	}
	if (config_setting_is_group(s) && tq_schema[index].type == TQ_SETTING_KV) {
		config->origin[index] = at;
		return tq_conf_read_kv(ctx, config, s, path);
	}
	if (config_setting_is_group(s) && tq_schema[index].type == TQ_SETTING_PLUGINS) {
		config->origin[index] = at;
		return read_plugins(ctx, config, s, path);
	}
	ret = to_value(ctx, config, s, &value);
	return ret ? ret : tq_conf_set(ctx, config, index, &value, &at);
}

int tq_conf_read_text(struct tq_context *ctx, struct tq_config *config, const char *path,
		      const char *text, size_t size)
{
	struct tq_origin at = { TQ_FROM_FILE, path, 0 };
	config_setting_t *root;
	config_t parsed;
	int i, ret;

	path = tq_conf_strdup(ctx, config, path, strlen(path));
	if (!path)
		return TQ_ERR_NOMEM;
	ret = tq_conf_scan(path, text, size);
	if (ret)
		return ret;

	config_init(&parsed);
	if (!config_read_string(&parsed, text)) {
		at.line = (unsigned)config_error_line(&parsed);
		ret = tq_conf_fail(&at, "%s", config_error_text(&parsed));
		goto err_destroy;
	}
	root = config_root_setting(&parsed);
	for (i = 0; !ret && i < config_setting_length(root); i++)
		ret = read_setting(ctx, config, config_setting_get_elem(root, (unsigned)i), path);
err_destroy:
	config_destroy(&parsed);
	return ret;
}

int tq_conf_read_file(struct tq_context *ctx, struct tq_config *config, const char *path,
		      bool required)
{
	char *text = NULL;
	size_t size = 0;
	bool missing = false;
	int ret;

	ret = tq_conf_slurp(ctx, path, &text, &size, &missing);
	if (ret)
		return missing && !required ? TQ_OK : ret;
	tq_log(ctx, TQ_LOG_INFO, "configuration: reading %s", path);
	ret = tq_conf_read_text(ctx, config, path, text, size);
	tq_free(ctx, text);
	return ret;
}

#else

int tq_conf_read_text(struct tq_context *ctx, struct tq_config *config, const char *path,
		      const char *text, size_t size)
{
	return tq_fail(TQ_ERR_UNSUPPORTED, "%s: built without configuration files", path);
}

int tq_conf_read_file(struct tq_context *ctx, struct tq_config *config, const char *path,
		      bool required)
{
	if (required)
		return tq_conf_read_text(ctx, config, path, "", 0);
	if (!access(path, F_OK))
		tq_log(ctx, TQ_LOG_WARN, "%s is ignored: built without configuration files", path);
	return TQ_OK;
}

#endif
