/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CONF_KV_H
#define TQ_CONF_KV_H

/* Inside the reading of files: what needs libconfig's types. */

#include <libconfig.h>
#include "conf_value.h"

static inline struct tq_origin tq_conf_origin(const config_setting_t *s, const char *path)
{
	struct tq_origin at = { TQ_FROM_FILE, path, config_setting_source_line(s) };

	return at;
}

/** tq_conf_read_kv - the group "kv": profiles of caches, each over an older one of its name */
int tq_conf_read_kv(struct tq_context *ctx, struct tq_config *config, const config_setting_t *group,
		    const char *path);

#endif
