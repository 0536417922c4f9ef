/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of a calibration profile, in the syntax of the configuration. Nothing in it is trusted:
 * every key and value is checked, and one that is wrong refuses the whole.
 */
#include <string.h>
#include "calibration.h"
#include "conf_value.h"

#ifdef TQ_HAVE_LIBCONFIG
#include <libconfig.h>

#define FORMAT 1
#define PLUGINS_MAX 64
#define TIMINGS_MAX 8192
#define PS_MAX 999999999

struct reader {
	struct tq_context *ctx;
	const char *path;
	struct tq_calibration *cal;
};

/* A member of a group that must be text (@text, @size) or a number (@number, 0..@max). */
struct member {
	const char *name;
	char *text;
	size_t size;
	uint32_t *number;
	int64_t max;
};

static int refuse(const struct reader *r, const config_setting_t *s, const char *what)
{
	struct tq_origin at = {TQ_FROM_FILE, r->path, config_setting_source_line(s)};
	const char *name = config_setting_name(s);

	return tq_conf_fail(&at, "%.40s: %s", name ? name : "entry", what);
}

static int take(const struct reader *r, const config_setting_t *s, const struct member *m)
{
	int type = config_setting_type(s);
	const char *text;
	int64_t n;

	if (m->text) {
		text = type == CONFIG_TYPE_STRING ? config_setting_get_string(s) : NULL;
		if (!text)
			return refuse(r, s, "must be a string");
		if (strlen(text) >= m->size)
			return refuse(r, s, "is too long");
		strcpy(m->text, text);
		return TQ_OK;
	}
	if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64)
		return refuse(r, s, "must be a whole number");
	n = config_setting_get_int64(s);
	if (n < 0 || n > m->max)
		return refuse(r, s, "is out of range");
	*m->number = (uint32_t)n;
	return TQ_OK;
}

/* @group has all of the @n members. */
static int take_all(const struct reader *r, const config_setting_t *group, const struct member *m,
		    size_t n)
{
	const config_setting_t *s;
	int ret = TQ_OK;
	size_t i;

	for (i = 0; !ret && i < n; i++) {
		s = config_setting_get_member(group, m[i].name);
		ret = s ? take(r, s, &m[i]) : refuse(r, group, "a member is missing");
	}
	return ret;
}

static int take_plugin(const struct reader *r, const config_setting_t *s, size_t i)
{
	struct tq_calibrated_plugin *p = &r->cal->plugins[i];
	const struct member members[] = {
		{"name", p->name, sizeof(p->name), NULL, 0},
		{"version", p->version, sizeof(p->version), NULL, 0},
		{"build", p->build, sizeof(p->build), NULL, 0},
	};

	return take_all(r, s, members, sizeof(members) / sizeof(members[0]));
}

static int take_timing(const struct reader *r, const config_setting_t *s, size_t i)
{
	struct tq_timing *t = &r->cal->timings[i];
	const struct member members[] = {
		{"stage", t->stage, sizeof(t->stage), NULL, 0},
		{"driver", t->driver, sizeof(t->driver), NULL, 0},
		{"dim", NULL, 0, &t->dim, TQ_MAX_DIM},
		{"bits", NULL, 0, &t->bits, 8},
		{"ps", NULL, 0, &t->ps, PS_MAX},
	};
	int ret = take_all(r, s, members, sizeof(members) / sizeof(members[0]));

	return ret || t->ps ? ret : refuse(r, s, "ps: nothing takes no time");
}

/* The list @name of groups: memory of @each bytes per group into @array, then @one for each. */
static int take_list(const struct reader *r, const config_setting_t *root, const char *name,
		     int max, size_t each, void **array, size_t *count,
		     int (*one)(const struct reader *r, const config_setting_t *s, size_t i))
{
	const config_setting_t *list = config_setting_get_member(root, name), *s;
	int n, i, ret = TQ_OK;

	if (!list || config_setting_type(list) != CONFIG_TYPE_LIST)
		return refuse(r, list ? list : root,
			      "a list of plugins and one of timings belong here");
	n = config_setting_length(list);
	if (n > max)
		return refuse(r, list, "is too long");
	*array = tq_alloc(r->ctx, (size_t)n * each);
	if (!*array)
		return TQ_ERR_NOMEM;
	for (i = 0; !ret && i < n; i++) {
		s = config_setting_get_elem(list, (unsigned)i);
		ret = config_setting_is_group(s) ? one(r, s, (size_t)i)
						 : refuse(r, list, "takes groups");
	}
	*count = (size_t)n;
	return ret;
}

static int take_root(const struct reader *r, const config_setting_t *root)
{
	struct tq_calibration_key *key = &r->cal->key;
	uint32_t format = 0;
	const struct member members[] = {
		{"format", NULL, 0, &format, 1000},
		{"version", key->version, sizeof(key->version), NULL, 0},
		{"build", key->build, sizeof(key->build), NULL, 0},
		{"cpu", key->cpu, sizeof(key->cpu), NULL, 0},
		{"features", key->features, sizeof(key->features), NULL, 0},
	};
	int ret;

	ret = take_all(r, root, members, sizeof(members) / sizeof(members[0]));
	if (!ret && format != FORMAT)
		ret = refuse(r, root, "another format of profile");
	if (!ret)
		ret = take_list(r, root, "plugins", PLUGINS_MAX, sizeof(*r->cal->plugins),
				(void **)&r->cal->plugins, &r->cal->nplugins, take_plugin);
	if (!ret)
		ret = take_list(r, root, "timings", TIMINGS_MAX, sizeof(*r->cal->timings),
				(void **)&r->cal->timings, &r->cal->ntimings, take_timing);
	return ret;
}

int tq_calibration_parse(struct tq_context *ctx, const char *path, const char *text, size_t size,
			 struct tq_calibration *cal)
{
	struct reader r = {ctx, path, cal};
	struct tq_origin at = {TQ_FROM_FILE, path, 0};
	config_t parsed;
	int ret;

	ret = tq_conf_scan(path, text, size);
	if (ret)
		return ret;
	config_init(&parsed);
	if (config_read_string(&parsed, text)) {
		ret = take_root(&r, config_root_setting(&parsed));
	} else {
		at.line = (unsigned)config_error_line(&parsed);
		ret = tq_conf_fail(&at, "%s", config_error_text(&parsed));
	}
	config_destroy(&parsed);
	if (ret)
		tq_calibration_free(ctx, cal);
	return ret;
}

#else

int tq_calibration_parse(struct tq_context *ctx, const char *path, const char *text, size_t size,
			 struct tq_calibration *cal)
{
	return tq_fail(TQ_ERR_UNSUPPORTED, "%s: built without configuration files", path);
}

#endif
