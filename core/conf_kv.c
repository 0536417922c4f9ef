/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The group "kv" of configuration files: profiles of KV caches. One table of members drives each of the two
 * kinds of groups, profiles and overrides.
 */

#include "conf_kv.h"
#include "kv.h"

#define OVERRIDES_MAX 65536

enum kind { KEY_SPEC, VALUE_SPEC, NUMBER, WORD, SPAN, OVERRIDES };

/*
 * struct member - one member of a group
 * @at:       offset of a const char *, a uint32_t, or two of those (SPAN)
 * @min, @max: of numbers
 * @words:    of WORD
 */
struct member {
	const char *name;
	int kind;
	size_t at;
	int64_t min, max;
	const struct tq_setting_word *words;
};

static const struct tq_setting_word raw_words[] = { { "f16", TQ_F16 }, { "bf16", TQ_BF16 }, { NULL, 0 } };
static const struct tq_setting_word center_words[] = {
	{ "off", TQ_KV_CENTER_OFF },
	{ "learn", TQ_KV_CENTER_LEARN },
	{ NULL, 0 },
};

#define IN_PROFILE(m) offsetof(struct tq_kv_profile, m)
#define IN_OVERRIDE(m) offsetof(struct tq_kv_override, m)

static const struct member profile_members[] = {
	{ "key", KEY_SPEC, IN_PROFILE(key), 0, 0, NULL },
	{ "value", VALUE_SPEC, IN_PROFILE(value), 0, 0, NULL },
	{ "sinks", NUMBER, IN_PROFILE(sinks), 0, 1 << 24, NULL },
	{ "window", NUMBER, IN_PROFILE(window), 0, 1 << 24, NULL },
	{ "page", NUMBER, IN_PROFILE(page_tokens), 16, TQ_KV_SPLIT, NULL },
	{ "raw", WORD, IN_PROFILE(raw_type), 0, 0, raw_words },
	{ "center", WORD, IN_PROFILE(center), 0, 0, center_words },
	{ "center_tokens", NUMBER, IN_PROFILE(center_tokens), 1, 1 << 24, NULL },
	{ "overrides", OVERRIDES, 0, 0, 0, NULL },
	{ NULL, 0, 0, 0, 0, NULL },
};

static const struct member override_members[] = {
	{ "layers", SPAN, IN_OVERRIDE(first_layer), -1024, 1023, NULL },
	{ "heads", SPAN, IN_OVERRIDE(first_head), -1024, 1023, NULL },
	{ "key", KEY_SPEC, IN_OVERRIDE(key_spec), 0, 0, NULL },
	{ "value", VALUE_SPEC, IN_OVERRIDE(value_spec), 0, 0, NULL },
	{ NULL, 0, 0, 0, 0, NULL },
};

/* Where a group is read to, and from */
struct reader {
	struct tq_context *ctx;
	struct tq_config *config;
	const char *path;
	const char *profile;
	struct tq_kv_profile *to;
};

static int fail(const struct reader *r, const config_setting_t *s, const char *what)
{
	struct tq_origin at = tq_conf_origin(s, r->path);

	return tq_conf_fail(&at, "kv.%s: %s", r->profile, what);
}

static int fail_member(const struct reader *r, const config_setting_t *s, const struct member *m)
{
	char text[160];

	switch (m->kind) {
	case NUMBER:
		snprintf(text, sizeof(text), "%s must be a number from %lld to %lld%s", m->name, (long long)m->min,
			 (long long)m->max, m->at == IN_PROFILE(page_tokens) ? ", a multiple of 16" : "");
		break;
	case SPAN:
		snprintf(text, sizeof(text), "%s must be a number or [first, last], from %lld to %lld", m->name,
			 (long long)m->min, (long long)m->max);
		break;
	case WORD:
		snprintf(text, sizeof(text), "%s must be \"%s\" or \"%s\"", m->name, m->words[0].word,
			 m->words[1].word);
		break;
	case OVERRIDES:
		snprintf(text, sizeof(text), "%s must be a list of groups, at most %d", m->name, OVERRIDES_MAX);
		break;
	default:
		snprintf(text, sizeof(text), "%s must be a spec string", m->name);
	}
	return fail(r, s, text);
}

static bool is_number(const config_setting_t *s)
{
	return s && (config_setting_type(s) == CONFIG_TYPE_INT || config_setting_type(s) == CONFIG_TYPE_INT64);
}

static bool read_number(const config_setting_t *s, const struct member *m, uint32_t *to)
{
	long long n = is_number(s) ? config_setting_get_int64(s) : m->min - 1;

	*to = (uint32_t)n;
	return n >= m->min && n <= m->max && (m->at != IN_PROFILE(page_tokens) || m->kind != NUMBER || n % 16 == 0);
}

static bool read_span(const config_setting_t *s, const struct member *m, uint32_t to[2])
{
	if (config_setting_is_array(s) || config_setting_is_list(s))
		return config_setting_length(s) == 2 && read_number(config_setting_get_elem(s, 0), m, &to[0]) &&
		       read_number(config_setting_get_elem(s, 1), m, &to[1]);
	if (!read_number(s, m, &to[0]))
		return false;
	to[1] = to[0];
	return true;
}

static bool read_word(const config_setting_t *s, const struct member *m, uint32_t *to)
{
	const char *text = config_setting_get_string(s);
	const struct tq_setting_word *w;

	for (w = m->words; text && w->word; w++) {
		if (strcmp(w->word, text))
			continue;
		*to = (uint32_t)w->value;
		return true;
	}
	return false;
}

static int read_spec(const struct reader *r, const config_setting_t *s, const struct member *m, const char **to)
{
	const char *text = config_setting_get_string(s);
	struct tq_kv_code code;
	int ret;

	if (!text)
		return fail_member(r, s, m);
	ret = tq_kv_spec(text, m->name, m->kind == VALUE_SPEC, &code);
	if (ret)
		return ret == TQ_ERR_NOMEM ? ret : fail(r, s, tq_error_text());
	*to = tq_conf_strdup(r->ctx, r->config, text, strlen(text));
	return *to ? TQ_OK : TQ_ERR_NOMEM;
}

static int read_group(const struct reader *r, const config_setting_t *group, const struct member *members,
		      void *to);

static int read_overrides(const struct reader *r, const config_setting_t *list, const struct member *m)
{
	int n = config_setting_length(list), i, ret = TQ_OK;
	struct tq_kv_override *v;

	if (!config_setting_is_list(list) || n > OVERRIDES_MAX)
		return fail_member(r, list, m);
	r->to->overrides = v = tq_conf_alloc(r->ctx, r->config, ((size_t)n + 1) * sizeof(*v));
	if (!v)
		return TQ_ERR_NOMEM;
	for (i = 0; !ret && i < n; i++, v++) {
		v->last_layer = v->last_head = TQ_KV_LAST(1);
		ret = read_group(r, config_setting_get_elem(list, (unsigned)i), override_members, v);
	}
	r->to->noverrides = (size_t)n;
	return ret;
}

static int fail_unknown(const struct reader *r, const config_setting_t *s, const struct member *members)
{
	const char *names[16], *close;
	char text[160];
	size_t n;

	for (n = 0; members[n].name; n++)
		names[n] = members[n].name;
	names[n] = NULL;
	close = tq_suggest(config_setting_name(s), names);
	snprintf(text, sizeof(text), "unknown member \"%.40s\"%s%s%s", config_setting_name(s),
		 close ? "; did you mean \"" : "", close ? close : "", close ? "\"?" : "");
	return fail(r, s, text);
}

static int read_member(const struct reader *r, const config_setting_t *s, const struct member *m, void *to)
{
	void *at = (char *)to + m->at;
	bool ok = true;

	switch (m->kind) {
	case OVERRIDES:
		return read_overrides(r, s, m);
	case NUMBER:
		ok = read_number(s, m, at);
		break;
	case WORD:
		ok = read_word(s, m, at);
		break;
	case SPAN:
		ok = read_span(s, m, at);
		break;
	default:
		return read_spec(r, s, m, at);
	}
	return ok ? TQ_OK : fail_member(r, s, m);
}

static int read_group(const struct reader *r, const config_setting_t *group, const struct member *members,
		      void *to)
{
	const struct member *m;
	config_setting_t *s;
	int i, ret = TQ_OK;

	if (!config_setting_is_group(group))
		return fail(r, group, "must be a group");
	for (i = 0; !ret && i < config_setting_length(group); i++) {
		s = config_setting_get_elem(group, (unsigned)i);
		for (m = members; m->name && strcmp(m->name, config_setting_name(s)); m++)
			;
		ret = m->name ? read_member(r, s, m, to) : fail_unknown(r, s, members);
	}
	return ret;
}

static int read_profile(struct reader *r, const config_setting_t *s)
{
	struct tq_kv_profile *p, **at;
	int ret;

	r->profile = config_setting_name(s);
	p = tq_conf_alloc(r->ctx, r->config, sizeof(*p));
	if (!p)
		return TQ_ERR_NOMEM;
	p->page_tokens = 128;
	p->raw_type = TQ_F16;
	p->origin = tq_conf_origin(s, r->path);
	p->name = tq_conf_strdup(r->ctx, r->config, r->profile, strlen(r->profile));
	if (!p->name)
		return TQ_ERR_NOMEM;
	r->to = p;
	ret = read_group(r, s, profile_members, p);
	if (ret)
		return ret;
	if (p->center && !p->center_tokens)
		return fail(r, s, "center = \"learn\" needs center_tokens");
	for (at = &r->config->kv; *at && strcmp((*at)->name, p->name); at = &(*at)->next)
		;
	p->next = *at ? (*at)->next : NULL;
	*at = p;
	return TQ_OK;
}

int tq_conf_read_kv(struct tq_context *ctx, struct tq_config *config, const config_setting_t *group,
		    const char *path)
{
	struct reader r = { .ctx = ctx, .config = config, .path = path };
	int i, ret = TQ_OK;

	for (i = 0; !ret && i < config_setting_length(group); i++)
		ret = read_profile(&r, config_setting_get_elem(group, (unsigned)i));
	return ret;
}
