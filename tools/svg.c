/* SPDX-License-Identifier: Apache-2.0 */

#include <stdarg.h>
#include <stdio.h>
#include "svg.h"
#include "vectors.h"

int svg_put(struct output *out, const char *fmt, ...)
{
	char text[1024];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return output_write(out, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

void svg_escape(const char *text, char *buf, size_t size)
{
	size_t used = 0;

	for (; *text && used + 8 < size; text++) {
		const char *entity = *text == '&'   ? "&amp;"
				     : *text == '<' ? "&lt;"
				     : *text == '>' ? "&gt;"
				     : *text == '"' ? "&quot;"
						    : NULL;

		if (entity)
			used += (size_t)sprintf(buf + used, "%s", entity);
		else
			buf[used++] = (unsigned char)*text < 0x20 ? '?' : *text;
	}
	buf[used] = 0;
}
