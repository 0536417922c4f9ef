/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine looks like, as far as it helps to read a benchmark or to size a thread pool.
 * hwloc is asked for processors, caches and memory alone: its input/output components would start
 * drivers of GPUs, so they are kept out.
 */
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "topo.h"
#ifdef TQ_HAVE_HWLOC
#include <hwloc.h>
#endif

/* The kernel refuses a set with less room than it has processors. */
uint32_t tq_topo_units(void)
{
	int room, err, units = 0;
	cpu_set_t *set;
	size_t size;

	for (room = CPU_SETSIZE; room <= 1 << 20; room *= 2) {
		set = CPU_ALLOC(room);
		if (!set)
			break;
		size = CPU_ALLOC_SIZE(room);
		err = sched_getaffinity(0, size, set) ? errno : 0;
		units = err ? 0 : CPU_COUNT_S(size, set);
		CPU_FREE(set);
		if (err != EINVAL)
			break;
	}
	return units > 0 ? (uint32_t)units : 1;
}

#ifdef TQ_HAVE_HWLOC

/*
 * Is there anything that hwloc can read? Where sysfs is missing (a bare chroot) it would print a
 * complaint of its own, and a library prints nothing.
 */
static bool topology_readable(void)
{
	return access("/sys/devices/system/cpu", R_OK) == 0 || getenv("HWLOC_XMLFILE") ||
	       getenv("HWLOC_SYNTHETIC");
}

static bool topology_load(hwloc_topology_t *t)
{
	static const char *const unwanted[] = {"cuda",	    "nvml", "opencl", "rsmi",
					       "levelzero", "gl",   "pci",    "linuxio"};
	size_t i;

	if (!topology_readable() || hwloc_topology_init(t))
		return false;
	for (i = 0; i < sizeof(unwanted) / sizeof(unwanted[0]); i++)
		hwloc_topology_set_components(*t, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST,
					      unwanted[i]);
	hwloc_topology_set_io_types_filter(*t, HWLOC_TYPE_FILTER_KEEP_NONE);
	if (hwloc_topology_load(*t) == 0)
		return true;
	hwloc_topology_destroy(*t);
	return false;
}

static void read_topology(hwloc_topology_t t, struct tq_topo *topo)
{
	static const hwloc_obj_type_t caches[] = {HWLOC_OBJ_L1CACHE, HWLOC_OBJ_L2CACHE,
						  HWLOC_OBJ_L3CACHE};
	hwloc_obj_t o;
	int i;

	strcpy(topo->source, "hwloc");
	topo->packages = (uint32_t)hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_PACKAGE);
	topo->cores = (uint32_t)hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_CORE);
	topo->units = (uint32_t)hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_PU);
	topo->numa = (uint32_t)hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_NUMANODE);
	i = hwloc_cpukinds_get_nr(t, 0);
	topo->kinds = i > 0 ? (uint32_t)i : 0;
	topo->memory = hwloc_get_root_obj(t)->total_memory;
	for (i = 0; i < 3; i++) {
		o = hwloc_get_obj_by_type(t, caches[i], 0);
		topo->cache[i] = o ? o->attr->cache.size : 0;
		topo->ncache[i] = (uint32_t)hwloc_get_nbobjs_by_type(t, caches[i]);
	}
	o = hwloc_get_obj_by_type(t, HWLOC_OBJ_PACKAGE, 0);
	if (o && hwloc_obj_get_info_by_name(o, "CPUModel"))
		snprintf(topo->model, sizeof(topo->model), "%s",
			 hwloc_obj_get_info_by_name(o, "CPUModel"));
}

/* The topology without what this process is not bound to. */
static bool bound_topology_load(hwloc_topology_t *t)
{
	hwloc_bitmap_t set;

	if (!topology_load(t))
		return false;
	set = hwloc_bitmap_alloc();
	if (set && hwloc_get_cpubind(*t, set, HWLOC_CPUBIND_PROCESS) == 0)
		hwloc_topology_restrict(*t, set, 0);
	hwloc_bitmap_free(set);
	return true;
}

uint32_t tq_topo_cores(void)
{
	hwloc_topology_t t;
	int n;

	if (!bound_topology_load(&t))
		return tq_topo_units();
	n = hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_CORE);
	hwloc_topology_destroy(t);
	return n > 0 ? (uint32_t)n : tq_topo_units();
}

/* Cores are numbered in the order of their nearness: equal steps spread over everything there is.
 */
uint32_t tq_topo_places(struct tq_place *places, uint32_t n)
{
	hwloc_topology_t t;
	hwloc_obj_t core;
	int cores, here;
	uint32_t i;

	if (!bound_topology_load(&t))
		return 0;
	cores = hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_CORE);
	here = hwloc_topology_is_thissystem(t);
	if (cores < 1 || n > (uint32_t)cores)
		here = n = 0;
	for (i = 0; i < n; i++) {
		core = hwloc_get_obj_by_type(t, HWLOC_OBJ_CORE,
					     (unsigned)((uint64_t)i * (unsigned)cores / n));
		places[i].cpu = hwloc_bitmap_first(core->cpuset);
		places[i].node = hwloc_bitmap_first(core->nodeset);
	}
	hwloc_topology_destroy(t);
	return here ? n : 0;
}

#else

uint32_t tq_topo_cores(void)
{
	return tq_topo_units();
}

uint32_t tq_topo_places(struct tq_place *places, uint32_t n)
{
	return 0;
}

#endif

void tq_topo_read(struct tq_topo *topo)
{
	memset(topo, 0, sizeof(*topo));
	topo->usable = tq_topo_units();
	strcpy(topo->source, "the C library");
#ifdef TQ_HAVE_HWLOC
	hwloc_topology_t t;

	if (!topology_load(&t))
		return;
	read_topology(t, topo);
	hwloc_topology_destroy(t);
#endif
}
