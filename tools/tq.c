/* SPDX-License-Identifier: Apache-2.0 */

/* tq: encode, decode, inspect and evaluate files of vectors. */

#include <stdio.h>
#include <string.h>
#include "cli.h"
#include "commands.h"
#include "ranks.h"

static const char usage[] =
	"usage: tq COMMAND [OPTIONS] ARGUMENTS\n"
	"\n"
	"  tq encode IN OUT.tq [--spec S] [--centre FILE] [--split N | --split-channels F]\n"
	"                                                    quantize vectors\n"
	"  tq decode IN.tq OUT [--type f32|f16]              reconstruct them\n"
	"  tq info FILE                                      say what is in a file\n"
	"  tq eval IN [--spec S]... [--queries F] [--rows N] [--nq N] [--svg FILE]\n"
	"             [--split N | --split-channels F]\n"
	"                                                    measure specs beside the theory\n"
	"  tq kv size [--layers N] [--kv-heads N] [--head-dim D] [--value-dim D] [--raw-dim D]\n"
	"             [--tokens N] [--sequences N] [--sinks N] [--window N] [--page N] [--spec S]...\n"
	"             [--profile P]...\n"
	"                                                    bytes of a KV cache\n"
	"  tq kv eval K.npy V.npy Q.npy [--spec S]... [--profile P]... [--sinks N] [--window N]\n"
	"             [--page N] [--center-tokens N] [--svg FILE]\n"
	"                                                    what specs do to a model's attention\n"
	"  tq kv plan K.npy V.npy Q.npy... --budget BYTES --output FILE [--name NAME] [--spec S]...\n"
	"             [--sinks N] [--window N] [--page N] [--center-tokens N]\n"
	"                                                    specs for each head under a budget: a profile\n"
	"  tq index build BASE OUT.tq [--spec S] [--refine S] [--metric ip|cos|l2] [--ivf N] [--ids F]\n"
	"                                                    an index to search\n"
	"  tq index add INDEX.tq IN [--ids F] [--log]        add vectors to it\n"
	"  tq index search INDEX.tq QUERIES [-k K] [--nprobe P] [--rerank N] [--exactness E]\n"
	"             [--device N] [--out IDS] [--scores F]\n"
	"                                                    the nearest of each query\n"
	"  tq index info INDEX.tq                            what it holds\n"
	"  tq index eval BASE QUERIES [-k K] [--spec S]... [--metric ip|cos|l2] [--ivf N]\n"
	"             [--nprobe P]... [--refine S] [--rerank N] [--exactness E] [--gt F] [--rows N]\n"
	"             [--nq N] [--svg FILE]\n"
	"                                                    recall and queries per second\n"
	"\n"
	"IN and OUT are .npy (f32 or f16, two dimensions), .fvecs, .bvecs, .f32/.bin (bare f32, with --dim D),\n"
	"or .hdf5 as ann-benchmarks has them: datasets train, test, neighbors; FILE.hdf5:NAME is another one.\n"
	"A spec may be partial, for example 'bits=3 correction=unbiased' or 'preset=drive'. What "
	"it leaves\n"
	"out are the defaults: rotation=rht:2 code=lm bits=4 correction=ls. Specs with center=data "
	"or\n"
	"center=both take the mean of IN unless --centre gives a file of one row.\n"
	"\n"
	"  --json         print JSON\n"
	"  --driver NAME  use this driver or plugin, or fail\n"
	"  --threads N    threads of the library, or auto: one per core; the results are the same\n"
	"                 for any number\n"
	"  --given DIR    the rotation in DIR: matrix.npy, or pairs.npy and angles.npy; scales.npy. Specs say\n"
	"                 rotation=given\n"
	"  --help, --version\n"
	"\n"
	"Exit codes: 0 fine; 1 the request could not be met as configured; 2 usage or input "
	"error.\n";

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{"encode", command_encode},
	{"decode", command_decode},
	{"info", command_info},
	{"eval", command_eval},
	{"kv", command_kv},
	{"index", command_index},
};

static int run(int argc, char **argv)
{
	if (argc < 2)
		return cli_fail(CLI_USAGE, "no command; 'tq --help' lists them");
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h") || !strcmp(argv[1], "help")) {
			fputs(usage, stdout);
			return cli_flush();
		}
	if (!strcmp(argv[1], "--version")) {
		printf("tq %s\n", tq_version());
		return cli_flush();
	}
	if (ranks_size() > 1 && strcmp(argv[1], "index"))
		return cli_fail(CLI_USAGE, "tq %s does not run on several ranks; tq index build and search do", argv[1]);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name)) {
			argv[1] = argv[0];
			return commands[i].run(argc - 1, argv + 1);
		}
	return cli_fail(CLI_USAGE, "'%s' is no command; 'tq --help' lists them", argv[1]);
}

int main(int argc, char **argv)
{
	int ret = ranks_begin(&argc, &argv);

	if (ret)
		return ret;
	ret = run(argc, argv);
	ranks_end();
	return ret;
}
