/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_KV_H
#define TOOLS_KV_H

/* The commands of tq kv. Each takes the arguments behind its own name and returns an exit code. */

int kv_size(int argc, char **argv);

#endif
