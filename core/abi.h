/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_ABI_H
#define TQ_ABI_H

#include <stddef.h>
#include "tq/plugin.h"

/**
 * tq_abi_check - is this symbol a plugin that this core understands
 * @plugin: what the symbol points to; at least the first 16 bytes are readable
 * @why:    receives the reason if not
 *
 * Reads data only; no code of the plugin runs. Return: 1 if all of it is well formed.
 */
int tq_abi_check(const struct tq_plugin *plugin, char *why, size_t size);

/** tq_abi_driver - driver number @i of a checked plugin */
const struct tq_driver *tq_abi_driver(const struct tq_plugin *plugin, size_t i);

#endif
