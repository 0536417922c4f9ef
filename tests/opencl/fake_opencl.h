/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_TEST_FAKE_OPENCL_H
#define TQ_TEST_FAKE_OPENCL_H

/** fake_fail_at - call number @call from now on fails, 0 for none; counts calls from 0 again */
void fake_fail_at(unsigned long call);
unsigned long fake_calls(void);

/** fake_held - objects made and not released */
long fake_held(void);

#endif
