/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calibration profile in force: where it is, whether it fits this library and this machine, and
 * what it says of a driver.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "calibration.h"
#include "conf_value.h"
#include "cpu.h"

uint32_t tq_calibration_dim(uint32_t dim)
{
	return dim <= 320 ? 128 : 768;
}

uint32_t tq_calibration_bits(uint32_t bits)
{
	return bits == 0 ? 1 : bits <= 4 ? bits : 8;
}

/* $XDG_CACHE_HOME/tq/calibration.conf, else $HOME/.cache/tq/calibration.conf. */
static char *default_place(void)
{
	const char *dir = secure_getenv("XDG_CACHE_HOME"), *below = "";
	char *path;

	if (!dir || dir[0] != '/') {
		dir = secure_getenv("HOME");
		below = "/.cache";
	}
	if (!dir || dir[0] != '/' || asprintf(&path, "%s%s/tq/calibration.conf", dir, below) < 0)
		return NULL;
	return path;
}

char *tq_calibration_place(struct tq_context *ctx)
{
	const char *set = ctx->config->calibration;

	if (set && strcmp(set, "auto"))
		return strcmp(set, "off") ? strdup(set) : NULL;
	if (ctx->flags & (TQ_NO_ENV | TQ_NO_CONFIG) || ctx->config->locked)
		return NULL;
	return default_place();
}

/* ---- the key ---- */

void tq_calibration_here(struct tq_context *ctx, struct tq_calibration_key *key)
{
	memset(key, 0, sizeof(*key));
	snprintf(key->version, sizeof(key->version), "%s", tq_version());
	tq_build_id(tq_schema, key->build, sizeof(key->build));
	tq_cpu_model(key->cpu, sizeof(key->cpu));
	tq_cpu_print(ctx->registry->cpu, key->features, sizeof(key->features));
}

void tq_calibration_plugin_here(const struct tq_module *m, struct tq_calibrated_plugin *p)
{
	memset(p, 0, sizeof(*p));
	snprintf(p->name, sizeof(p->name), "%s", m->name);
	snprintf(p->version, sizeof(p->version), "%s", m->plugin ? m->plugin->version : "");
	tq_build_id(m->plugin, p->build, sizeof(p->build));
}

static const char *why_stale(struct tq_context *ctx, const struct tq_calibration_key *key)
{
	struct tq_calibration_key here;

	tq_calibration_here(ctx, &here);
	if (strcmp(key->version, here.version))
		return tq_registry_note(ctx, "made by version %s, this is %s", key->version,
					here.version);
	if (strcmp(key->build, here.build))
		return "made by another build of the library";
	if (strcmp(key->cpu, here.cpu))
		return tq_registry_note(ctx, "made on \"%s\", this is \"%s\"", key->cpu, here.cpu);
	if (strcmp(key->features, here.features))
		return tq_registry_note(ctx, "made with the CPU groups \"%s\", usable are \"%s\"",
					key->features, here.features);
	return "";
}

/* ---- loading ---- */

static void load(struct tq_context *ctx, struct tq_calibration *cal, const char *path)
{
	char *text = NULL;
	size_t size = 0;
	bool missing = false;
	int err;

	cal->path = tq_registry_note(ctx, "%s", path);
	err = tq_conf_slurp(ctx, path, &text, &size, &missing);
	if (missing && !tq_config_is_set(ctx->config, "calibration")) {
		cal->path = "";
		return;
	}
	if (!err)
		err = tq_calibration_parse(ctx, path, text, size, cal);
	tq_free(ctx, text);
	cal->reason =
		err ? tq_registry_note(ctx, "%s", tq_error_text()) : why_stale(ctx, &cal->key);
	cal->valid = !*cal->reason;
	if (cal->valid)
		tq_log(ctx, TQ_LOG_INFO, "calibration %s: in force, %zu timings", path,
		       cal->ntimings);
	else
		tq_log(ctx, TQ_LOG_WARN, "calibration %s is ignored: %s", path, cal->reason);
}

int tq_calibration_load(struct tq_context *ctx)
{
	struct tq_calibration *cal;
	char *path;

	if (ctx->registry->calibration)
		return TQ_OK;
	cal = tq_alloc(ctx, sizeof(*cal));
	if (!cal)
		return TQ_ERR_NOMEM;
	cal->path = cal->reason = "";
	ctx->registry->calibration = cal;
	path = tq_calibration_place(ctx);
	if (path)
		load(ctx, cal, path);
	free(path);
	return TQ_OK;
}

void tq_calibration_free(struct tq_context *ctx, struct tq_calibration *cal)
{
	tq_free(ctx, cal->plugins);
	tq_free(ctx, cal->timings);
	cal->plugins = NULL;
	cal->timings = NULL;
	cal->nplugins = cal->ntimings = 0;
}

/* ---- asking ---- */

/* A plugin that changed since, or that was not there, was not measured. */
static bool was_measured(const struct tq_calibration *cal, const struct tq_module *m)
{
	struct tq_calibrated_plugin here;
	size_t i;

	tq_calibration_plugin_here(m, &here);
	for (i = 0; i < cal->nplugins; i++)
		if (!strcmp(cal->plugins[i].name, here.name))
			return !strcmp(cal->plugins[i].version, here.version) &&
			       !strcmp(cal->plugins[i].build, here.build);
	return false;
}

const struct tq_timing *tq_calibration_find(struct tq_context *ctx, const struct tq_entry *e,
					    const char *stage, uint32_t dim, uint32_t bits)
{
	const struct tq_calibration *cal = ctx->registry->calibration;
	const struct tq_timing *t;
	size_t i;

	if (!cal || !cal->valid)
		return NULL;
	for (i = 0; i < cal->ntimings; i++) {
		t = &cal->timings[i];
		if (t->dim == dim && t->bits == bits && !strcmp(t->stage, stage) &&
		    !strcmp(t->driver, e->driver->driver_name))
			return was_measured(cal, e->module) ? t : NULL;
	}
	return NULL;
}
