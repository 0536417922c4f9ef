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

/** Where one thread goes: the system's number of a hardware thread and of the memory node beside it. */
struct tq_place {
	int cpu;
	int node;
};

/** tq_topo_units - hardware threads that this process may run on; at least 1 */
uint32_t tq_topo_units(void);

/**
 * tq_topo_cores - cores that this process may run on; at least 1
 *
 * tq_topo_units() where hwloc is not there or knows no cores.
 */
uint32_t tq_topo_cores(void);

/**
 * tq_topo_places - a core for each of @n threads, spread over sockets, memory nodes and caches
 * @places: room for @n
 *
 * Return: @n; 0 if there are fewer cores than that, if nothing is known of them, or if the topology
 * is not this machine's (HWLOC_SYNTHETIC, HWLOC_XMLFILE): then @places is filled all the same where it
 * could be, and nobody is to be pinned.
 */
uint32_t tq_topo_places(struct tq_place *places, uint32_t n);

/** tq_topo_read - look at the machine; takes milliseconds, keeps nothing */
void tq_topo_read(struct tq_topo *topo);

#endif
