// SPDX-License-Identifier: Apache-2.0
/*
 * What the machine looks like.
 */
#include <sched.h>
#include "topo.h"

uint32_t tq_topo_cores(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	if (sched_getaffinity(0, sizeof(set), &set) || CPU_COUNT(&set) < 1)
		return 1;
	return (uint32_t)CPU_COUNT(&set);
}

void tq_topo_print(FILE *out, int json)
{
	fprintf(out, json ? "{\"cores\": %u}\n" : "cores: %u\n", tq_topo_cores());
}
