/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_REGISTRY_H
#define TQ_REGISTRY_H

/*
 * What a context knows of plugins (modules) and their drivers (entries): how far each got and why it
 * stopped. Linked-in plugins and plugin files come in through the same door. Every function below is
 * called with the registry's lock held, unless it says otherwise.
 */

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>
#include "context.h"

#define TQ_REASON_MAX 256

struct tq_module;
struct tq_gate_record;

/**
 * struct tq_entry - one driver
 * @state:   enum tq_driver_state
 * @reason:  why it is not selectable, or ""; lives as long as the context
 * @needs:   CPU groups that it needs, as words
 * @passed:  the gate passed for some family
 * @golden:  golden sums were checked: 0 none, 1 a few, 2 all
 * @records: families that passed the gate
 */
struct tq_entry {
	struct tq_module *module;
	const struct tq_driver *driver;
	int state;
	const char *reason;
	const char *needs;
	bool passed;
	int golden;
	struct tq_gate_record *records;
};

/**
 * struct tq_module - one plugin, or a file that failed to be one
 * @host:    the services it gets; host.ctx points to the module
 * @plugin:  NULL until the file is opened, and for good if it was refused before
 * @name:    the plugin's; the file's where it has none
 * @path:    the file, or "(built in)"
 * @state:   enum tq_driver_state, up to TQ_STATE_ABI_OK or a refusal of the whole plugin
 * @started: init succeeded
 * @ready:   0: init and probe still to come; 1: both said yes; -1: not
 * @pid:     the process in which @ready was decided
 * @device:  what probe reported
 */
struct tq_module {
	struct tq_module *next;
	struct tq_context *ctx;
	struct tq_host host;
	const struct tq_plugin *plugin;
	const char *name;
	const char *path;
	int state;
	const char *reason;
	bool started;
	int ready;
	pid_t pid;
	const char *device;
	struct tq_entry *entries;
	size_t nentries;
};

/**
 * struct tq_registry - all modules in the order of their finding
 * @lock:  guards everything here
 * @cpu:   TQ_CPU_* that drivers may use
 * @open:  the files were opened
 * @thorough: the gate checks every golden sum, not the first few
 * @notes: memory of names and reasons
 * @gate:  what the gate keeps between tests
 * @calibration: NULL until it was looked for
 */
struct tq_registry {
	pthread_mutex_t lock;
	uint64_t cpu;
	bool open;
	bool thorough;
	struct tq_module *first;
	struct tq_module **last;
	void *notes;
	struct tq_gate *gate;
	struct tq_calibration *calibration;
};

/**
 * tq_registry_create - register linked-in plugins and find plugin files; opens none
 * @ctx: configuration and allocator in place; ctx->registry is set
 *
 * Takes no lock. Return: TQ_OK; TQ_ERR_NOMEM.
 */
int tq_registry_create(struct tq_context *ctx);

/** tq_registry_destroy - fini of every started plugin, then the memory; files stay mapped */
void tq_registry_destroy(struct tq_context *ctx);

/** tq_registry_add - a module in state FOUND; NULL if out of memory */
struct tq_module *tq_registry_add(struct tq_context *ctx, const char *name, const char *path);

/** tq_registry_open - open every file that passed its checks, once */
int tq_registry_open(struct tq_context *ctx);

/** tq_registry_keep - a copy of @text that lives as long as the context; NULL if out of memory */
const char *tq_registry_keep(struct tq_context *ctx, const char *text);

/** tq_registry_note - a string that lives as long as the context; "out of memory" if none */
const char *tq_registry_note(struct tq_context *ctx, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/** tq_module_move - a module's new state and reason, with one log line */
void tq_module_move(struct tq_module *m, int state, const char *reason);

/** tq_entry_move - likewise for a driver */
void tq_entry_move(struct tq_entry *e, int state, const char *reason);

/** tq_module_register - check the plugin's tables and make its entries; refuses by state */
int tq_module_register(struct tq_module *m, const struct tq_plugin *plugin);

/**
 * tq_module_probe - init and probe, once per process for devices
 *
 * Return: true if the module's drivers may be tested; else its capable entries got their reason.
 */
bool tq_module_probe(struct tq_module *m);

/** tq_module_has_device - does any driver of it run elsewhere than on the CPU */
bool tq_module_has_device(const struct tq_module *m);

/** tq_entry_refused - is the state final */
bool tq_entry_refused(const struct tq_entry *e);

/**
 * tq_entry_fits - do the driver's dimensions and masks allow it; runs no code of the plugin
 * @plan: NULL for rotations
 * @why:  receives the reason if not
 */
bool tq_entry_fits(const struct tq_entry *e, uint32_t dim, const struct tq_plan *plan, char *why,
		   size_t size);

#endif
