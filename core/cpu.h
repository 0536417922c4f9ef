/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_CPU_H
#define TQ_CPU_H

#include <stddef.h>
#include <stdint.h>
#include "tq/plugin.h"

/** tq_cpu_arch - the architecture this library was built for, enum tq_arch */
uint32_t tq_cpu_arch(void);

/** tq_cpu_detect - TQ_CPU_* groups that the CPU has and the operating system saves */
uint64_t tq_cpu_detect(void);

/**
 * tq_cpu_missing - why a need is not met
 * @need: of a driver
 * @cpu:  what may be used
 * @why:  receives "needs AVX2: ..." ; "" if the need is met
 *
 * Return: 1 if the need is met.
 */
int tq_cpu_missing(const struct tq_cpu_need *need, uint64_t cpu, char *why, size_t size);

/** tq_cpu_model - the maker's name for the CPU, or on Arm its identification register; "" if unknown */
void tq_cpu_model(char *buf, size_t size);

/** tq_cpu_print - the names of the groups in @cpu, separated by blanks */
void tq_cpu_print(uint64_t cpu, char *buf, size_t size);

#endif
