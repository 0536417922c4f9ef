/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_CLI_H
#define TOOLS_CLI_H

/*
 * What tq and tq-probe have in common: exit codes, error lines, numbers on the command line.
 * Options are read with getopt_long().
 */

#include <stdint.h>

/** 0 is success. */
enum cli_exit {
	CLI_UNMET = 1, /* the request could not be met as configured */
	CLI_USAGE = 2, /* usage or input error */
};

/** cli_program - the name in front of every error line; set once by main() */
extern const char *cli_program;

/** cli_fail - one line on stderr, "PROGRAM: text"; returns @code. Line breaks in the text become
 * blanks */
int cli_fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/**
 * cli_fail_status - cli_fail() with the library's text of its last failure
 * @status: what the library returned; decides between CLI_UNMET and CLI_USAGE
 * @where:  "FILE", put in front if the library's text does not name it; NULL for none
 */
int cli_fail_status(int status, const char *where);

/** cli_exit_of - CLI_USAGE for what the user got wrong, CLI_UNMET for what the machine cannot do */
int cli_exit_of(int status);

/** cli_number - a decimal number in @min..@max; 0, or CLI_USAGE with a line naming @option */
int cli_number(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *value);

/** cli_flush - flush stdout; 0, or CLI_UNMET with a line: an output that was cut short is an error
 */
int cli_flush(void);

#endif
