/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_TOPO_H
#define TQ_TOPO_H

#include <stdint.h>

/**
 * struct tq_topo - the machine; 0 and "" where it is not known
 * @source:   who said so: "hwloc" or "the C library"
 * @model:    of the first package
 * @packages: sockets
 * @cores:    physical cores
 * @units:    hardware threads
 * @usable:   hardware threads that this process may run on
 * @kinds:    kinds of cores (2 on a big.LITTLE); 0 if unknown
 * @numa:     memory nodes
 * @memory:   bytes of all nodes
 * @cache:    bytes of one level-1 data, level-2, level-3 cache
 * @ncache:   how many there are of each
 */
struct tq_topo {
	char source[16];
	char model[96];
	uint32_t packages;
	uint32_t cores;
	uint32_t units;
	uint32_t usable;
	uint32_t kinds;
	uint32_t numa;
	uint64_t memory;
	uint64_t cache[3];
	uint32_t ncache[3];
};

/** tq_topo_cores - hardware threads that this process may run on; at least 1 */
uint32_t tq_topo_cores(void);

/** tq_topo_read - look at the machine; takes milliseconds, keeps nothing */
void tq_topo_read(struct tq_topo *topo);

#endif
