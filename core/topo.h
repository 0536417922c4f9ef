/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_TOPO_H
#define TQ_TOPO_H

#include <stdint.h>
#include <stdio.h>

/** tq_topo_cores - processing units that this process may run on; at least 1 */
uint32_t tq_topo_cores(void);

/**
 * tq_topo_print - a summary of the machine in "key: value" lines
 * @json: one JSON object instead
 *
 * Loads the topology, which takes milliseconds, and forgets it: nothing is kept. Without hwloc, only
 * what the C library knows.
 */
void tq_topo_print(FILE *out, int json);

#endif
