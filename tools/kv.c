/* SPDX-License-Identifier: Apache-2.0 */

/* tq kv: which of its commands. */

#include <string.h>
#include "cli.h"
#include "commands.h"
#include "kv.h"

int command_kv(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} commands[] = {{"size", kv_size}, {"eval", kv_eval}, {"plan", kv_plan}};

	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name)) {
			argv[1] = argv[0];
			return commands[i].run(argc - 1, argv + 1);
		}
	return cli_fail(CLI_USAGE, "usage: tq kv size | eval | plan [OPTIONS]");
}
