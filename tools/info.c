/* SPDX-License-Identifier: Apache-2.0 */

/* tq info: what a file holds, after everything in it was checked. */

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "cli.h"
#include "coder.h"
#include "json.h"
#include "commands.h"
#include "vectors.h"

static const char *dtype_name(int dtype)
{
	return dtype == TQ_F16 ? "f16" : "f32";
}

static int print_vectors(const struct settings *s, const char *path)
{
	struct vectors v;
	struct json j;
	int ret = vectors_open(&v, path, s->dim, VECTORS_TRAIN);

	if (ret)
		return ret;
	if (s->json) {
		json_begin(&j, stdout);
		json_object(&j, NULL);
		json_string(&j, "file", path);
		json_string(&j, "kind", "vectors");
		json_string(&j, "type", dtype_name(v.dtype));
		json_unsigned(&j, "rows", v.count);
		json_unsigned(&j, "dim", v.dim);
		json_object_end(&j);
	} else {
		printf("%s: %" PRIu64 " rows of %u %s\n", path, v.count, v.dim,
		       dtype_name(v.dtype));
	}
	vectors_close(&v);
	return 0;
}

static void print_codes_json(const char *path, const struct tq_file *f, const struct tq_split *split, const char *spec)
{
	struct tq_file_section section = {.struct_size = sizeof(section)};
	struct json j;

	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_string(&j, "file", path);
	json_string(&j, "kind", "codes");
	json_unsigned(&j, "rows", tq_file_count(f));
	json_unsigned(&j, "dim", tq_file_dim(f));
	json_unsigned(&j, "bytes_per_row", tq_file_code_size(f));
	json_number(&j, "bits_per_coordinate",
		    bits_per_coordinate(tq_file_code_size(f), tq_file_dim(f)));
	json_string(&j, "spec", spec);
	if (split) {
		json_array(&j, "channels");
		for (uint32_t i = 0; i < tq_dim(tq_split_group(split, 0)); i++)
			json_unsigned(&j, NULL, tq_split_channels(split, 0)[i]);
		json_array_end(&j);
	}
	json_unsigned(&j, "codebook_hash", tq_file_codebook_hash(f));
	json_array(&j, "sections");
	for (size_t i = 0; tq_file_section_at(f, i, &section) == TQ_OK; i++) {
		json_object(&j, NULL);
		json_unsigned(&j, "type", section.type);
		json_string(&j, "name", tq_section_type_name(section.type));
		json_boolean(&j, "ignorable", section.flags & TQ_SECTION_IGNORABLE);
		json_unsigned(&j, "at", section.at);
		json_unsigned(&j, "bytes", section.bytes);
		json_unsigned(&j, "crc32c", section.crc);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_object_end(&j);
}

static void print_codes_text(const char *path, const struct tq_file *f, const struct tq_split *split, const char *spec)
{
	struct tq_file_section section = {.struct_size = sizeof(section)};

	printf("%s: %" PRIu64 " rows of %u, %zu bytes each (%.3f bits per coordinate)\n", path,
	       tq_file_count(f), tq_file_dim(f), tq_file_code_size(f),
	       bits_per_coordinate(tq_file_code_size(f), tq_file_dim(f)));
	printf("spec %s\ncodebook %08x\n", spec, tq_file_codebook_hash(f));
	if (split) {
		printf("channels");
		for (uint32_t i = 0; i < tq_dim(tq_split_group(split, 0)); i++)
			printf(" %u", tq_split_channels(split, 0)[i]);
		printf(" / the others\n");
	}
	for (size_t i = 0; tq_file_section_at(f, i, &section) == TQ_OK; i++)
		printf("section %-8s at %-10" PRIu64 " %12" PRIu64 " bytes  crc32c %08x%s\n",
		       tq_section_type_name(section.type), section.at, section.bytes, section.crc,
		       section.flags & TQ_SECTION_IGNORABLE ? "  ignorable" : "");
}

static int print_codes(const struct settings *s, const char *path)
{
	char spec[CODER_TEXT] = "";
	struct coder c = {0};
	struct tq_context *ctx;
	struct tq_file *f;
	int status, ret = settings_context(s, &ctx);

	if (ret)
		return ret;
	status = tq_file_open(ctx, path, 0, &f);
	if (status != TQ_OK) {
		ret = cli_fail_status(status, path);
		goto err_destroy;
	}
	if (tq_file_split_spec(f, 0))
		ret = coder_of_file(f, path, &c);
	if (c.split)
		coder_spec(&c, spec, sizeof(spec));
	else
		tq_spec_print(tq_file_spec(f), spec, sizeof(spec));
	if (!ret && s->json)
		print_codes_json(path, f, c.split, spec);
	else if (!ret)
		print_codes_text(path, f, c.split, spec);
	coder_close(&c);
	tq_file_close(f);
err_destroy:
	tq_context_destroy(ctx);
	return ret;
}

int command_info(int argc, char **argv)
{
	static const struct option options[] = {SETTINGS_OPTIONS, {0}};
	struct settings s = {0};
	int letter, ret = 0;

	while (!ret && (letter = getopt_long(argc, argv, "", options, NULL)) != -1)
		ret = settings_take(&s, letter, optarg);
	if (!ret)
		ret = settings_operands(argc - optind, argv + optind, 1, "tq info FILE [--json]");
	if (ret)
		return ret;
	ret = vectors_kind_of(argv[optind]) < 0 ? print_codes(&s, argv[optind])
						: print_vectors(&s, argv[optind]);
	return ret ? ret : cli_flush();
}
