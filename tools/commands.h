/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_COMMANDS_H
#define TOOLS_COMMANDS_H

/*
 * The commands of tq. Each takes the arguments behind its own name (argv[0] is the name) and
 * returns an exit code; whatever failed has printed one line.
 */

#include <stdbool.h>
#include <stdint.h>
#include "tq/tq.h"

int command_encode(int argc, char **argv);
int command_decode(int argc, char **argv);
int command_info(int argc, char **argv);
int command_eval(int argc, char **argv);
int command_kv(int argc, char **argv);
int command_index(int argc, char **argv);

/**
 * struct settings - the options that all commands have
 * @json:    print JSON
 * @driver:  pin, or NULL
 * @threads: for the context, 0 if not given
 * @dim:     of raw files, 0 if not given
 * @given:   directory of a given rotation, or NULL
 */
struct settings {
	bool json;
	const char *driver;
	uint32_t threads;
	uint32_t dim;
	const char *given;
};

/** Letters that stand for the long options every command has, and their entries for getopt_long().
 */
enum settings_letter {
	SETTINGS_JSON = 'J',
	SETTINGS_DRIVER = 'D',
	SETTINGS_THREADS = 'T',
	SETTINGS_DIM = 'd',
	SETTINGS_GIVEN = 'G',
};
#define SETTINGS_OPTIONS                                                                           \
	{"json", no_argument, NULL, SETTINGS_JSON},                                                \
		{"driver", required_argument, NULL, SETTINGS_DRIVER},                              \
		{"threads", required_argument, NULL, SETTINGS_THREADS},                            \
		{"given", required_argument, NULL, SETTINGS_GIVEN},                                \
	{                                                                                          \
		"dim", required_argument, NULL, SETTINGS_DIM                                       \
	}

/** settings_take - use what getopt_long() returned; 0, or CLI_USAGE with a line printed */
int settings_take(struct settings *s, int letter, const char *argument);

/** settings_operands - exactly @n arguments left after the options; 0, or CLI_USAGE with a line */
int settings_operands(int argc, char **argv, int n, const char *usage);

/** settings_context - create the context, and tell it of the given rotation; 0 or an exit code with a line printed */
int settings_context(const struct settings *s, struct tq_context **ctx);

/** settings_parse - tq_spec_parse(); "rotation=given" is --given's, once the context is there */
int settings_parse(struct tq_spec *spec, const char *text);

/** settings_spec - the spec @text, or the configured profile if it is NULL, else the defaults */
int settings_spec(struct tq_context *ctx, const char *text, struct tq_spec *spec);

/** driver_names - "rht-avx2 grid-avx2": the drivers that serve @q, each once */
void driver_names(const struct tq_quantizer *q, char *buf, size_t size);

/** bits_per_coordinate - of stored rows, everything in them included */
double bits_per_coordinate(size_t row_bytes, uint32_t dim);

/** catch_interrupt - from now on SIGINT, SIGTERM and SIGHUP only set a mark: outputs are cleaned up
 */
void catch_interrupt(void);

/** interrupted - 0, or CLI_UNMET with a line printed, once one of them came */
int interrupted(void);

/** progress - one line on stderr if that is a terminal; @done = @total ends the line */
void progress(const char *what, uint64_t done, uint64_t total);

/**
 * load_centre - the centre that a spec asks for
 * @center: enum tq_center
 * @file:   one row of vectors, or NULL for the mean of @in
 * @centre: receives dim floats to free(), or NULL if there is none
 */
struct vectors;
int load_centre(uint32_t center, const char *file, const struct vectors *in, float **centre);

#endif
