/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine looks like, as far as it helps to read a benchmark or to size a thread pool. hwloc
 * is asked for processors, caches and memory alone: its input/output components would start drivers of
 * GPUs, so they are kept out.
 */
#include <sched.h>
#include <string.h>
#include "topo.h"
#ifdef TQ_HAVE_HWLOC
#include <hwloc.h>
#endif

uint32_t tq_topo_cores(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	if (sched_getaffinity(0, sizeof(set), &set) || CPU_COUNT(&set) < 1)
		return 1;
	return (uint32_t)CPU_COUNT(&set);
}

void tq_topo_read(struct tq_topo *topo)
{
	memset(topo, 0, sizeof(*topo));
	topo->usable = tq_topo_cores();
	strcpy(topo->source, "the C library");
#ifdef TQ_HAVE_HWLOC
	static const char *const unwanted[] = { "cuda", "nvml", "opencl", "rsmi", "levelzero", "gl",
						"pci",	"linuxio" };
	static const hwloc_obj_type_t caches[] = { HWLOC_OBJ_L1CACHE, HWLOC_OBJ_L2CACHE,
						   HWLOC_OBJ_L3CACHE };
	hwloc_topology_t t;
	hwloc_obj_t o;
	unsigned i;

	if (hwloc_topology_init(&t))
		return;
	for (i = 0; i < sizeof(unwanted) / sizeof(unwanted[0]); i++)
		hwloc_topology_set_components(t, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST,
					      unwanted[i]);
	hwloc_topology_set_io_types_filter(t, HWLOC_TYPE_FILTER_KEEP_NONE);
	if (hwloc_topology_load(t) == 0) {
		strcpy(topo->source, "hwloc");
		topo->packages = (uint32_t)hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_PACKAGE);
		topo->cores = (uint32_t)hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_CORE);
		topo->units = (uint32_t)hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_PU);
		topo->numa = (uint32_t)hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_NUMANODE);
		i = (unsigned)hwloc_cpukinds_get_nr(t, 0);
		topo->kinds = (int)i > 0 ? i : 0;
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
	hwloc_topology_destroy(t);
#endif
}
