/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One plugin and its drivers: the services it gets, its entry into the registry, its start, and the
 * states on the way.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "abi.h"
#include "conf.h"
#include "cpu.h"
#include "registry.h"
#include "rng.h"

bool tq_entry_refused(const struct tq_entry *e)
{
	return e->state == TQ_STATE_DENIED || e->state == TQ_STATE_NOT_PRESENT ||
	       e->state == TQ_STATE_REJECTED || e->state == TQ_STATE_FAILED_TEST;
}

bool tq_entry_fits(const struct tq_entry *e, uint32_t dim, const struct tq_plan *plan, char *why,
		   size_t size)
{
	const struct tq_driver *d = e->driver;

	if (dim < d->dim_min || (d->dim_max && dim > d->dim_max))
		snprintf(why, size, "serves dimensions %u to %u, not %u",
			 d->dim_min ? d->dim_min : 1, d->dim_max ? d->dim_max : TQ_MAX_DIM, dim);
	else if (plan && d->bits && !(d->bits & 1u << plan->index_bits))
		snprintf(why, size, "does not serve %u index bits", plan->index_bits);
	else if (plan && d->corrections && !(d->corrections & 1u << plan->correction))
		snprintf(why, size, "does not serve this correction");
	else if (plan && plan->effort > d->effort_max)
		snprintf(why, size, "serves effort up to %u, not %u", d->effort_max, plan->effort);
	else
		return true;
	return false;
}

static int move_level(int state)
{
	if (state == TQ_STATE_FAILED_TEST || state == TQ_STATE_REJECTED)
		return TQ_LOG_WARN;
	return state >= TQ_STATE_DENIED ? TQ_LOG_INFO : TQ_LOG_DEBUG;
}

void tq_module_move(struct tq_module *m, int state, const char *reason)
{
	m->state = state;
	m->reason = reason;
	tq_log(m->ctx, move_level(state), "plugin %s (%s): %s%s%s", m->name, m->path,
	       tq_driver_state_name(state), *reason ? ": " : "", reason);
}

void tq_entry_move(struct tq_entry *e, int state, const char *reason)
{
	e->state = state;
	e->reason = reason;
	tq_log(e->module->ctx, move_level(state), "driver %s of plugin %s: %s%s%s",
	       e->driver->driver_name, e->module->name, tq_driver_state_name(state),
	       *reason ? ": " : "", reason);
}

/* ---- the services of struct tq_host ---- */

static struct tq_context *host_ctx(const struct tq_host *host)
{
	return ((const struct tq_module *)host->ctx)->ctx;
}

static void *host_alloc(const struct tq_host *host, size_t size)
{
	return tq_alloc(host_ctx(host), size);
}

static void host_free(const struct tq_host *host, void *ptr)
{
	tq_free(host_ctx(host), ptr);
}

static void host_log(const struct tq_host *host, int level, const char *line)
{
	const struct tq_module *m = host->ctx;

	if (level == TQ_LOG_ERROR)
		tq_note(line);
	tq_log(m->ctx, level, "plugin %s: %s", m->name, line);
}

static const char *host_config(const struct tq_host *host, const char *key)
{
	const struct tq_module *m = host->ctx;

	return m->ctx->config ? tq_config_plugin_value(m->ctx->config, m->name, key) : NULL;
}

static const struct tq_host host_services = {
	.struct_size = sizeof(struct tq_host),
	.alloc = host_alloc,
	.free = host_free,
	.log = host_log,
	.words = tq_rng_words,
	.normals = tq_rng_normals,
	.config = host_config,
};

/* ---- modules ---- */

struct tq_module *tq_registry_add(struct tq_context *ctx, const char *name, const char *path)
{
	struct tq_registry *reg = ctx->registry;
	struct tq_module *m = tq_alloc(ctx, sizeof(*m));

	if (!m)
		return NULL;
	m->ctx = ctx;
	m->host = host_services;
	m->host.ctx = m;
	m->host.cpu = reg->cpu;
	m->name = tq_registry_keep(ctx, name);
	m->path = tq_registry_keep(ctx, path);
	if (!m->name || !m->path) {
		tq_free(ctx, m);
		return NULL;
	}
	m->device = "cpu";
	m->reason = "";
	*reg->last = m;
	reg->last = &m->next;
	return m;
}

static const struct tq_module *module_of_name(const struct tq_module *self, const char *name)
{
	const struct tq_module *m;

	for (m = self->ctx->registry->first; m; m = m->next)
		if (m != self && m->plugin && m->nentries && !strcmp(m->name, name))
			return m;
	return NULL;
}

static const struct tq_module *driver_of_name(const struct tq_module *self, const char *name)
{
	const struct tq_module *m;
	size_t i;

	for (m = self->ctx->registry->first; m; m = m->next)
		for (i = 0; m != self && i < m->nentries; i++)
			if (!strcmp(m->entries[i].driver->driver_name, name))
				return m;
	return NULL;
}

static void entry_place(struct tq_entry *e)
{
	struct tq_context *ctx = e->module->ctx;
	const struct tq_driver *d = e->driver;
	const struct tq_module *other = driver_of_name(e->module, d->driver_name);
	char why[TQ_REASON_MAX];

	e->state = TQ_STATE_ABI_OK;
	e->reason = "";
	tq_cpu_print(d->need.cpu, why, sizeof(why));
	e->needs = tq_registry_note(ctx, "%s", why);
	if (other)
		tq_entry_move(e, TQ_STATE_REJECTED,
			      tq_registry_note(ctx, "driver name %s is taken by plugin %s",
					       d->driver_name, other->name));
	else if (tq_names_have(ctx->config->deny, d->driver_name))
		tq_entry_move(e, TQ_STATE_DENIED, "on the configuration's deny list");
	else if (!tq_cpu_missing(&d->need, ctx->registry->cpu, why, sizeof(why)))
		tq_entry_move(e, TQ_STATE_NOT_PRESENT, tq_registry_note(ctx, "%s", why));
	else if (d->memory != TQ_MEM_HOST)
		tq_entry_move(e, TQ_STATE_DEFERRED, "the device is probed at first use");
	else
		tq_entry_move(e, TQ_STATE_CAPABLE, "tested at first use");
}

int tq_module_register(struct tq_module *m, const struct tq_plugin *plugin)
{
	const struct tq_module *other;
	char why[TQ_REASON_MAX];
	size_t i;

	if (!tq_abi_check(plugin, why, sizeof(why))) {
		tq_module_move(m, TQ_STATE_REJECTED, tq_registry_note(m->ctx, "%s", why));
		return TQ_OK;
	}
	if (strcmp(m->name, plugin->name)) {
		tq_module_move(m, TQ_STATE_REJECTED,
			       tq_registry_note(m->ctx, "holds a plugin called %s: name the file "
						"tq-%s.so", plugin->name, plugin->name));
		return TQ_OK;
	}
	other = module_of_name(m, plugin->name);
	if (other) {
		tq_module_move(m, TQ_STATE_REJECTED,
			       tq_registry_note(m->ctx, "plugin name %s is taken by %s",
						plugin->name, other->path));
		return TQ_OK;
	}
	m->entries = tq_alloc(m->ctx, plugin->ndrivers * sizeof(*m->entries));
	if (!m->entries)
		return TQ_ERR_NOMEM;
	m->plugin = plugin;
	m->name = plugin->name;
	tq_module_move(m, TQ_STATE_ABI_OK, "");
	for (i = 0; i < plugin->ndrivers; i++) {
		m->entries[i].module = m;
		m->entries[i].driver = tq_abi_driver(plugin, i);
	}
	m->nentries = plugin->ndrivers;
	for (i = 0; i < m->nentries; i++)
		entry_place(&m->entries[i]);
	return TQ_OK;
}

/* Every driver of the module that could still have been used goes the way of the module. */
static bool module_stop(struct tq_module *m, int state, const char *reason)
{
	size_t i;

	m->ready = -1;
	for (i = 0; i < m->nentries; i++)
		if (!tq_entry_refused(&m->entries[i]))
			tq_entry_move(&m->entries[i], state, reason);
	return false;
}

bool tq_module_has_device(const struct tq_module *m)
{
	size_t i;

	for (i = 0; i < m->nentries; i++)
		if (m->entries[i].driver->memory != TQ_MEM_HOST)
			return true;
	return false;
}

bool tq_module_probe(struct tq_module *m)
{
	char device[128] = "", why[TQ_REASON_MAX] = "";
	const char *verb = "init";
	int err = 0;
	size_t i;

	if (m->ready > 0 && m->pid != getpid() && tq_module_has_device(m))
		return module_stop(m, TQ_STATE_NOT_PRESENT,
				   tq_registry_note(m->ctx, "probed in process %d: a device does not "
						    "survive fork, make a context after it",
						    (int)m->pid));
	if (m->ready)
		return m->ready > 0;
	m->pid = getpid();
	if (m->plugin->init && !m->started)
		err = m->plugin->init(&m->host);
	m->started = m->started || !err;
	if (!err && m->plugin->probe) {
		verb = "probe";
		err = m->plugin->probe(&m->host, device, sizeof(device), why, sizeof(why));
	}
	device[sizeof(device) - 1] = why[sizeof(why) - 1] = '\0';
	if (err)
		return module_stop(m,
				   err == TQ_ERR_NOT_PRESENT ? TQ_STATE_NOT_PRESENT :
							       TQ_STATE_REJECTED,
				   *why ? tq_registry_note(m->ctx, "%s", why) :
					  tq_registry_note(m->ctx, "%s failed: %s", verb,
							   tq_status_text(err)));
	if (device[0])
		m->device = tq_registry_note(m->ctx, "%s", device);
	m->ready = 1;
	for (i = 0; i < m->nentries; i++)
		if (!tq_entry_refused(&m->entries[i]))
			tq_entry_move(&m->entries[i], TQ_STATE_PROBED, "tested at first use");
	return true;
}
