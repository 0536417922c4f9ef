/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_SVG_H
#define TOOLS_SVG_H

/* Text of pictures. */

#include <stddef.h>

struct output;

/** svg_put - formatted text, cut off at 1023 characters; 0, or CLI_UNMET with a line */
int svg_put(struct output *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** svg_escape - text for XML */
void svg_escape(const char *text, char *buf, size_t size);

#endif
