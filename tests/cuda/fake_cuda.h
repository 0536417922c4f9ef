/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_TEST_FAKE_CUDA_H
#define TQ_TEST_FAKE_CUDA_H

/*
 * A libcuda.so.1 without a GPU: memory is the host's, work is done at once, kernels are what the
 * test's hook makes of them. Any call can be made to fail, and what was not given back is counted.
 */

#include <stddef.h>

/** What the fake says of itself; change before the first call. */
struct fake_machine {
	int init_error;	  /* what cuInit returns */
	int version;	  /* cuDriverGetVersion, 12040 */
	int devices;	  /* 2 */
	int major, minor; /* compute capability, 9.0 */
};
extern struct fake_machine fake_machine;

/** Call number @n from now (0 is the next) fails, once or with all after it; -1: none. */
void fake_fail_at(long n, int sticky);

/** Calls made, failures given, and what is still held: memory, contexts, modules, streams. */
long fake_calls(void);
long fake_failures(void);
long fake_held(void);

/** Did a push fail since this was asked: what was to be given back in that context then stays. */
int fake_push_failed(void);

/** Contexts pushed and not popped. */
long fake_depth(void);

/** Allocations and waits so far: hot calls make none. */
long fake_allocations(void);
long fake_waits(void);

/** Launches that may begin before the stream's last kernel has ended. */
long fake_early(void);

/** What a launch does: name of the kernel, grid, parameters; NULL: nothing. */
extern void (*fake_kernel)(const char *name, unsigned gx, unsigned gy, void **params);

#endif
