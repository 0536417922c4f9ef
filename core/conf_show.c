/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings in force as text: in the syntax of the file, with where each value came from behind it.
 */

#include <inttypes.h>
#include "conf_value.h"

static void print_origin(FILE *out, const struct tq_origin *at)
{
	switch (at->kind) {
	case TQ_FROM_FILE:
		fprintf(out, "  # %s:%u\n", at->name, at->line);
		break;
	case TQ_FROM_ENV:
		fprintf(out, "  # environment variable %s\n", at->name);
		break;
	case TQ_FROM_OPTION:
		fprintf(out, "  # option %s\n", at->name);
		break;
	default:
		fprintf(out, "  # default\n");
	}
}

void tq_conf_print_quoted(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		if (*text == '\n')
			fputs("\\n", out);
		else
			fputc(*text, out);
	}
	fputc('"', out);
}

static void print_list(FILE *out, const char *const *texts)
{
	const char *const *t;

	fputc('[', out);
	for (t = texts; *t; t++) {
		fputs(t == texts ? "" : ", ", out);
		tq_conf_print_quoted(out, *t);
	}
	fputc(']', out);
}

static void print_number(FILE *out, const struct tq_setting *s, int64_t n)
{
	const char *word = tq_schema_word(s, n);

	if (word)
		tq_conf_print_quoted(out, word);
	else if (s->type == TQ_SETTING_BYTES)
		fprintf(out, "\"%" PRId64 "\"", n);
	else
		fprintf(out, "%" PRId64, n);
}

/* Each path has its own origin. */
static void print_paths(FILE *out, const struct tq_config *config, const char *name)
{
	size_t i;

	fprintf(out, "%s = [\n", name);
	for (i = 0; config->plugin_path[i]; i++) {
		fputs("  ", out);
		tq_conf_print_quoted(out, config->plugin_path[i]);
		fputs(config->plugin_path[i + 1] ? "," : "", out);
		print_origin(out, &config->path_origin[i]);
	}
	fprintf(out, "];\n");
}

/* So has each member of a group. */
static void print_profiles(FILE *out, const struct tq_config *config, const char *name)
{
	const struct tq_profile *p;

	fprintf(out, "%s = {\n", name);
	for (p = config->profiles; p; p = p->next) {
		fprintf(out, "  %s = ", p->name);
		tq_conf_print_quoted(out, p->spec);
		fputc(';', out);
		print_origin(out, &p->origin);
	}
	fprintf(out, "};\n");
}

static void print_number_of(FILE *out, const char *name, uint32_t n)
{
	fprintf(out, "    %s = %u;\n", name, n);
}

static void print_spec_of(FILE *out, const char *lead, const char *name, const char *spec)
{
	if (!spec)
		return;
	fprintf(out, "%s%s = ", lead, name);
	tq_conf_print_quoted(out, spec);
	fputs(lead[0] == ' ' && lead[1] == ' ' ? ";\n" : ";", out);
}

/* -1 is the last of all, as in the file */
static void print_span(FILE *out, const char *name, uint32_t first, uint32_t last)
{
	fprintf(out, " %s = [%d, %d];", name, (int)first, (int)last);
}

static void print_kv_profile(FILE *out, const struct tq_kv_profile *p)
{
	const struct tq_kv_override *v;

	fprintf(out, "  %s = {", p->name);
	print_origin(out, &p->origin);
	print_spec_of(out, "    ", "key", p->key);
	print_spec_of(out, "    ", "value", p->value);
	print_number_of(out, "sinks", p->sinks);
	print_number_of(out, "window", p->window);
	print_number_of(out, "page", p->page_tokens);
	fprintf(out, "    raw = \"%s\";\n", p->raw_type == TQ_BF16 ? "bf16" : "f16");
	fprintf(out, "    center = \"%s\";\n", p->center == TQ_KV_CENTER_LEARN ? "learn" : "off");
	if (p->center)
		print_number_of(out, "center_tokens", p->center_tokens);
	if (p->noverrides)
		fprintf(out, "    overrides = (\n");
	for (v = p->overrides; v < p->overrides + p->noverrides; v++) {
		fprintf(out, "      {");
		print_span(out, "layers", v->first_layer, v->last_layer);
		print_span(out, "heads", v->first_head, v->last_head);
		print_spec_of(out, " ", "key", v->key_spec);
		print_spec_of(out, " ", "value", v->value_spec);
		fprintf(out, " }%s\n", v + 1 < p->overrides + p->noverrides ? "," : "\n    );");
	}
	fprintf(out, "  };\n");
}

static void print_kv(FILE *out, const struct tq_config *config, const char *name)
{
	const struct tq_kv_profile *p;

	fprintf(out, "%s = {\n", name);
	for (p = config->kv; p; p = p->next)
		print_kv_profile(out, p);
	fprintf(out, "};\n");
}

/* Values of one plugin need not be neighbours: each plugin is printed where it first occurs. */
static void print_plugins(FILE *out, const struct tq_config *config, const char *name)
{
	const struct tq_plugin_value *p, *q;

	fprintf(out, "%s = {\n", name);
	for (p = config->plugin_values; p; p = p->next) {
		for (q = config->plugin_values; strcmp(q->plugin, p->plugin); q = q->next)
			;
		if (q != p)
			continue;
		fprintf(out, "  %s = {\n", p->plugin);
		for (q = p; q; q = q->next) {
			if (strcmp(q->plugin, p->plugin))
				continue;
			fprintf(out, "    %s = ", q->key);
			tq_conf_print_quoted(out, q->value);
			fputc(';', out);
			print_origin(out, &q->origin);
		}
		fprintf(out, "  };\n");
	}
	fprintf(out, "};\n");
}

void tq_config_show(const struct tq_config *config, FILE *out)
{
	const struct tq_setting *s;
	const char *member, *text;
	unsigned i;

	for (i = 0; i < tq_schema_count; i++) {
		s = &tq_schema[i];
		member = (const char *)config + s->offset;
		if (s->type == TQ_SETTING_PATHS) {
			print_paths(out, config, s->name);
			continue;
		}
		if (s->type == TQ_SETTING_PROFILES) {
			print_profiles(out, config, s->name);
			continue;
		}
		if (s->type == TQ_SETTING_KV) {
			print_kv(out, config, s->name);
			continue;
		}
		if (s->type == TQ_SETTING_PLUGINS) {
			print_plugins(out, config, s->name);
			continue;
		}
		fprintf(out, "%s = ", s->name);
		switch (s->type) {
		case TQ_SETTING_NAMES:
			print_list(out, *(const char *const *const *)member);
			break;
		case TQ_SETTING_NAME:
		case TQ_SETTING_PATH:
			text = *(const char *const *)member;
			tq_conf_print_quoted(out, text ? text : "");
			break;
		case TQ_SETTING_FLAG:
			fputs(*(const bool *)member ? "true" : "false", out);
			break;
		case TQ_SETTING_BYTES:
			print_number(out, s, (int64_t) * (const uint64_t *)member);
			break;
		default:
			print_number(out, s, *(const int *)member);
		}
		fputc(';', out);
		print_origin(out, &config->origin[i]);
	}
}
