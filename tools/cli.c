/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"
#include "tq/status.h"

const char *cli_program = "tq";

int cli_fail(int code, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	for (char *c = text; *c; c++)
		if (*c == '\n' || *c == '\r')
			*c = ' ';
	fprintf(stderr, "%s: %s\n", cli_program, text);
	return code;
}

int cli_exit_of(int status)
{
	switch (status) {
	case TQ_OK:
		return 0;
	case TQ_ERR_ARG:
	case TQ_ERR_NONFINITE:
	case TQ_ERR_RANGE:
	case TQ_ERR_SPEC:
	case TQ_ERR_CONFIG:
	case TQ_ERR_IO:
	case TQ_ERR_FORMAT:
	case TQ_ERR_CHECKSUM:
	case TQ_ERR_VERSION:
		return CLI_USAGE;
	default:
		return CLI_UNMET;
	}
}

int cli_fail_status(int status, const char *where)
{
	const char *text = tq_error_text();

	if (!*text)
		text = tq_status_text(status);
	if (!where || strstr(text, where))
		return cli_fail(cli_exit_of(status), "%s", text);
	return cli_fail(cli_exit_of(status), "%s: %s", where, text);
}

int cli_number(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || *value < min || *value > max)
		return cli_fail(CLI_USAGE, "%s: '%s' is not a number from %" PRIu64 " to %" PRIu64,
				option, text, min, max);
	return 0;
}

int cli_flush(void)
{
	if (fflush(stdout) || ferror(stdout))
		return cli_fail(CLI_UNMET, "standard output: %s", strerror(errno));
	return 0;
}
