/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All modules of a context: linked-in plugins, then files; the list that tq-probe prints.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "calibration.h"
#include "conf.h"
#include "cpu.h"
#include "loader.h"
#include "registry.h"
#include "selftest.h"

extern const struct tq_plugin tq_plugin_scalar;
#define X(id) extern const struct tq_plugin tq_plugin_##id;
#ifdef TQ_BUILTIN_PLUGINS
TQ_BUILTIN_PLUGINS
#endif
#undef X

static const struct tq_plugin *const builtin[] = {
	&tq_plugin_scalar,
#define X(id) &tq_plugin_##id,
#ifdef TQ_BUILTIN_PLUGINS
	TQ_BUILTIN_PLUGINS
#endif
#undef X
};

struct note {
	struct note *next;
	char text[];
};

static const char *const state_names[] = {
	[TQ_STATE_FOUND] = "found",
	[TQ_STATE_FILE_OK] = "file ok",
	[TQ_STATE_OPENED] = "opened",
	[TQ_STATE_ABI_OK] = "abi ok",
	[TQ_STATE_CAPABLE] = "capable",
	[TQ_STATE_PROBED] = "probed",
	[TQ_STATE_TESTED] = "tested",
	[TQ_STATE_SELECTABLE] = "selectable",
	[TQ_STATE_DENIED] = "denied",
	[TQ_STATE_NOT_PRESENT] = "not present",
	[TQ_STATE_DEFERRED] = "deferred",
	[TQ_STATE_REJECTED] = "rejected",
	[TQ_STATE_FAILED_TEST] = "failed test",
};

const char *tq_driver_state_name(int state)
{
	if (state < 0 || (size_t)state >= sizeof(state_names) / sizeof(state_names[0]))
		return "unknown";
	return state_names[state];
}

const char *tq_registry_keep(struct tq_context *ctx, const char *text)
{
	struct note *note = tq_alloc(ctx, sizeof(*note) + strlen(text) + 1);

	if (!note)
		return NULL;
	strcpy(note->text, text);
	note->next = ctx->registry->notes;
	ctx->registry->notes = note;
	return note->text;
}

const char *tq_registry_note(struct tq_context *ctx, const char *fmt, ...)
{
	char text[TQ_REASON_MAX + 4096];
	const char *kept;
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	kept = text[0] ? tq_registry_keep(ctx, text) : "";
	return kept ? kept : "out of memory";
}

int tq_registry_create(struct tq_context *ctx)
{
	struct tq_registry *reg = tq_alloc(ctx, sizeof(*reg));
	struct tq_module *m;
	size_t i;
	int err = TQ_OK;

	if (!reg)
		return TQ_ERR_NOMEM;
	pthread_mutex_init(&reg->lock, NULL);
	reg->last = &reg->first;
	reg->cpu = tq_cpu_detect() & ctx->config->cpu_mask;
	ctx->registry = reg;
	for (i = 0; !err && i < sizeof(builtin) / sizeof(builtin[0]); i++) {
		m = tq_registry_add(ctx, builtin[i]->name, "(built in)");
		if (!m)
			err = TQ_ERR_NOMEM;
		else if (i && tq_loader_denied(ctx, builtin[i]->name))
			tq_module_move(m, TQ_STATE_DENIED, tq_loader_denied(ctx, builtin[i]->name));
		else
			err = tq_module_register(m, builtin[i]);
	}
	if (!err && !(ctx->flags & TQ_NO_PLUGINS))
		err = tq_loader_find(ctx);
	if (err)
		tq_registry_destroy(ctx);
	return err;
}

void tq_registry_destroy(struct tq_context *ctx)
{
	struct tq_registry *reg = ctx->registry;
	struct note *note, *next_note;
	struct tq_module *m, *next;
	size_t i;

	if (!reg)
		return;
	for (m = reg->first; m; m = m->next)
		for (i = 0; i < m->nentries; i++)
			tq_gate_forget(&m->entries[i]);
	tq_gate_free(ctx);
	if (reg->calibration)
		tq_calibration_free(ctx, reg->calibration);
	tq_free(ctx, reg->calibration);
	for (m = reg->first; m; m = next) {
		next = m->next;
		if (m->started && m->plugin->fini && (m->pid == getpid() || !tq_module_has_device(m)))
			m->plugin->fini(&m->host);
		tq_free(ctx, m->entries);
		tq_free(ctx, m);
	}
	for (note = reg->notes; note; note = next_note) {
		next_note = note->next;
		tq_free(ctx, note);
	}
	pthread_mutex_destroy(&reg->lock);
	tq_free(ctx, reg);
	ctx->registry = NULL;
}

int tq_registry_open(struct tq_context *ctx)
{
	struct tq_module *m;
	int err = TQ_OK;

	if (ctx->registry->open)
		return TQ_OK;
	for (m = ctx->registry->first; m && !err; m = m->next)
		if (m->state == TQ_STATE_FILE_OK)
			err = tq_loader_open(m);
	ctx->registry->open = !err;
	return err;
}

static const char *memory_name(uint32_t memory)
{
	return memory == TQ_MEM_CUDA ? "cuda" : memory == TQ_MEM_OPENCL ? "opencl" : "host";
}

static void describe(const struct tq_module *m, const struct tq_entry *e,
		     struct tq_driver_info *info)
{
	struct tq_driver_info all = { .struct_size = info->struct_size };

	all.plugin = m->name;
	all.path = m->path;
	all.name = e ? e->driver->name : "";
	all.driver_name = e ? e->driver->driver_name : "";
	all.memory = e ? memory_name(e->driver->memory) : "";
	all.device = m->device;
	all.priority = e ? e->driver->priority : 0;
	all.state = e ? e->state : m->state;
	all.selftest = !e				? "not run" :
		       e->state == TQ_STATE_FAILED_TEST ? "failed" :
		       e->passed			? "passed" :
							  "not run";
	all.reason = e ? e->reason : m->reason;
	all.version = m->plugin ? m->plugin->version : "";
	all.licence = m->plugin ? m->plugin->licence : "";
	all.needs = e ? e->needs : "";
	memcpy(info, &all, info->struct_size < sizeof(all) ? info->struct_size : sizeof(all));
}

int tq_context_driver(struct tq_context *ctx, size_t index, struct tq_driver_info *info)
{
	const struct tq_module *m;
	int err = TQ_ERR_RANGE;
	size_t n;

	if (!ctx || !info || info->struct_size < offsetof(struct tq_driver_info, name))
		return tq_fail(TQ_ERR_ARG, "%s", !ctx  ? "ctx is NULL" :
						 !info ? "info is NULL" :
							 "info->struct_size is not set");
	pthread_mutex_lock(&ctx->registry->lock);
	if (tq_registry_open(ctx)) {
		pthread_mutex_unlock(&ctx->registry->lock);
		return TQ_ERR_NOMEM;
	}
	for (m = ctx->registry->first; m && err; m = m->next) {
		n = m->nentries ? m->nentries : 1;
		if (index < n) {
			describe(m, m->nentries ? &m->entries[index] : NULL, info);
			err = TQ_OK;
		}
		index -= n;
	}
	pthread_mutex_unlock(&ctx->registry->lock);
	return err ? tq_fail(err, "driver index past the last") : TQ_OK;
}
