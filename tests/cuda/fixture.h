/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_TEST_CUDA_FIXTURE_H
#define TQ_TEST_CUDA_FIXTURE_H

#include <check.h>
#include "../open_quantizer.h"
#include "codec.h"

/** open_context - a context whose only plugin is the CUDA one */
int open_context(struct tq_context **ctx);

/** open_context_with - the same, with memory from there */
int open_context_with(const struct tq_allocator *allocator, struct tq_context **ctx);

/** use_plan - launches do the work of this plan until forget_plan() */
void use_plan(struct tq_context *ctx, const struct tq_plan *plan);
void forget_plan(void);

/** use_value_plan - attention: the plan of use_plan() is that of keys, this one that of values */
void use_value_plan(struct tq_context *ctx, const struct tq_plan *plan);

/** device - memory of the fake device, aligned to 256; free() it */
void *device(size_t size);

/** noise - a number of about 1, by rand() */
float noise(void);

/** run_suite - each test in a process of its own, under sanitizers too: the fake driver has a state; exit status */
int run_suite(Suite *suite);

/* The call is refused for a wrong argument whose name its text begins with */
#define REFUSED(text, call)                                                                        \
	do {                                                                                       \
		ck_assert_int_eq(call, TQ_ERR_ARG);                                                \
		ck_assert_msg(strstr(tq_error_text(), text) == tq_error_text(), "%s",              \
			      tq_error_text());                                                    \
	} while (0)

#endif
