/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_LOADER_H
#define TQ_LOADER_H

#include "registry.h"

/**
 * tq_loader_find - look for plugin files in every configured place, check them, open none
 *
 * Each file becomes a module in state FILE_OK or refused with its reason.
 * Return: TQ_OK; TQ_ERR_NOMEM.
 */
int tq_loader_find(struct tq_context *ctx);

/** tq_loader_open - dlopen a file in state FILE_OK and register what it holds */
int tq_loader_open(struct tq_module *m);

/** tq_loader_denied - why the configuration forbids the plugin @name, or NULL */
const char *tq_loader_denied(struct tq_context *ctx, const char *name);

#endif
