/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spec strings: one table of keys drives parsing and printing.
 */

#include <stddef.h>
#include <stdio.h>
#include "plan.h"

#define BLANKS " \t\r\n,"
#define VALUE_MAX 64
#define RHT_DEFAULT 2
#define RHT_MAX 3
#define GIVENS_DEFAULT 16
#define GIVENS_MAX 64
#define TCQ_BITS_MAX 4
#define TCQ_DEFAULT "tcq:9"
#define TCQ_ROTATION_ROUNDS 3
#define POLAR_BITS 4

static const char *const code_words[] = { "lm", "uniform", "sign", "tcq:8", "tcq:9",
					  "polar", "polar:4", "polar:5", "polar:6",
					  "lm:1.6", "lm:2.33", "lm:2.5", "lm:3.5", "lm:4.5", NULL };
static const char *const correction_words[] = { "none",	     "norm",	  "ls",	     "unbiased",
						"qjl:gauss", "qjl:ortho", "qjl:rht", NULL };
static const char *const center_words[] = { "off", "data", "both", NULL };
static const char *const scale_words[] = { "f32", "f16", "bf16", NULL };
static const char *const query_words[] = { "auto", "s8", "s16", "f32", NULL };

/* bits=TEXT names a code and its whole bits. */
static const struct fraction {
	const char *text;
	uint32_t code, bits;
} fractions[] = {
	{ "1.6", TQ_CODE_LM1_6, 2 },  { "2.33", TQ_CODE_LM2_33, 3 }, { "2.5", TQ_CODE_LM2_5, 3 },
	{ "3.5", TQ_CODE_LM3_5, 4 },  { "4.5", TQ_CODE_LM4_5, 5 },   { "2.333", TQ_CODE_LM2_33, 3 },
};

#define NFRACTIONS (sizeof(fractions) / sizeof(fractions[0]))
/* In the bits of what was seen: bits= was the fraction of this number, from 1 on */
#define SEEN_FRACTION 24

enum { KEY_PRESET, KEY_ROTATION, KEY_SEED, KEY_WORD, KEY_NUMBER };

/*
 * struct key - one key of a spec
 * @kind:  how its value is read
 * @at:    offset of its uint32_t in struct tq_spec
 * @words: KEY_WORD: the value's names, in the order of the enum
 * @min, @max: range of the number
 */
static const struct key {
	const char *name;
	int kind;
	size_t at;
	const char *const *words;
	uint32_t min, max;
} keys[] = {
	{ "preset", KEY_PRESET, 0, NULL, 0, 0 },
	{ "rotation", KEY_ROTATION, 0, NULL, 0, 0 },
	{ "code", KEY_WORD, offsetof(struct tq_spec, code), code_words, 0, TQ_CODE_LM4_5 },
	{ "bits", KEY_NUMBER, offsetof(struct tq_spec, bits), NULL, 1, 8 },
	{ "correction", KEY_WORD, offsetof(struct tq_spec, correction), correction_words, 0, 6 },
	{ "effort", KEY_NUMBER, offsetof(struct tq_spec, effort), NULL, 0, 2 },
	{ "seed", KEY_SEED, 0, NULL, 0, 0 },
	{ "center", KEY_WORD, offsetof(struct tq_spec, center), center_words, 0, 2 },
	{ "scale", KEY_WORD, offsetof(struct tq_spec, scale), scale_words, 0, 2 },
	{ "query", KEY_WORD, offsetof(struct tq_spec, query), query_words, 0, 3 },
};

#define NKEYS (sizeof(keys) / sizeof(keys[0]))

static const struct preset {
	const char *name;
	const char *text;
	const char *source;
} presets[] = {
	{ "turboquant_mse", "rotation=haar code=lm bits=4 correction=none",
	  "TurboQuant, arXiv 2504.19874, algorithm 1" },
	{ "turboquant_prod", "rotation=haar code=lm bits=4 correction=qjl:gauss",
	  "TurboQuant, arXiv 2504.19874, algorithm 2" },
	{ "polarquant", "rotation=haar code=polar bits=4 correction=none",
	  "PolarQuant, arXiv 2502.02617" },
	{ "qjl", "rotation=none code=lm bits=1 correction=qjl:gauss", "QJL, arXiv 2406.03482" },
	{ "drive", "rotation=rht:2 code=sign bits=1 correction=unbiased",
	  "DRIVE, NeurIPS 2021, arXiv 2105.08339; two rounds for its one" },
	{ "eden_biased", "rotation=rht:2 code=lm bits=4 correction=ls",
	  "EDEN, ICML 2022, arXiv 2108.08842, least squares scale" },
	{ "eden_unbiased", "rotation=rht:2 code=lm bits=4 correction=unbiased",
	  "EDEN, ICML 2022, arXiv 2108.08842, unbiased scale" },
	{ "rabitq", "rotation=haar code=sign bits=1 correction=unbiased center=both",
	  "RaBitQ, SIGMOD 2024, arXiv 2405.12497" },
	{ "cache", "rotation=rht:2 code=lm bits=4 correction=ls", "libtq, for attention" },
	{ "search", "rotation=rht:2 code=lm bits=4 correction=unbiased effort=1 center=both",
	  "libtq, for nearest neighbours" },
};

#define NPRESETS (sizeof(presets) / sizeof(presets[0]))

static uint32_t *field(struct tq_spec *spec, const struct key *key)
{
	return (uint32_t *)(void *)((char *)spec + key->at);
}

static uint32_t value_of(const struct tq_spec *spec, const struct key *key)
{
	uint32_t value;

	memcpy(&value, (const char *)spec + key->at, sizeof(value));
	return value;
}

/* "KEY: VALUE is not known" with the nearest word, if one is near. */
static int unknown(const char *what, const char *word, const char *const *words)
{
	const char *near = tq_suggest(word, words);

	if (near)
		return tq_fail(TQ_ERR_SPEC, "%s: '%.40s' is not known, did you mean '%s'?", what, word,
			       near);
	return tq_fail(TQ_ERR_SPEC, "%s: '%.40s' is not known", what, word);
}

static int is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Decimal, or 0x and hexadecimal; nothing else around it. */
static int read_u64(const char *text, uint64_t *value)
{
	unsigned base = 10, digit;
	uint64_t v = 0;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		base = 16;
		text += 2;
	}
	if (!*text)
		return -1;
	for (; *text; text++) {
		if (is_digit(*text))
			digit = (unsigned)(*text - '0');
		else if ((*text | 32) >= 'a' && (*text | 32) <= 'f')
			digit = (unsigned)((*text | 32) - 'a') + 10;
		else
			return -1;
		if (digit >= base || v > (UINT64_MAX - digit) / base)
			return -1;
		v = v * base + digit;
	}
	*value = v;
	return 0;
}

static int is_rotation_name(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-");

	return n > 0 && n < TQ_ROTATION_NAME_MAX && name[n] == '\0';
}

static int has_argument(const char *rotation)
{
	return strcmp(rotation, "haar") && strcmp(rotation, "none");
}

static int parse_rotation(struct tq_spec *spec, char *value)
{
	char *colon = strchr(value, ':');
	uint64_t arg = 0;

	if (colon)
		*colon = '\0';
	if (!is_rotation_name(value))
		return tq_fail(TQ_ERR_SPEC, "rotation: '%s' is not a name of a-z 0-9 _ -", value);
	if (!strcmp(value, "rht"))
		arg = RHT_DEFAULT;
	if (!strcmp(value, "givens"))
		arg = GIVENS_DEFAULT;
	if (colon && !has_argument(value))
		return tq_fail(TQ_ERR_SPEC, "rotation: %s takes no argument", value);
	if (colon && (read_u64(colon + 1, &arg) || arg > UINT32_MAX))
		return tq_fail(TQ_ERR_SPEC, "rotation: '%s' is not a number", colon + 1);
	memset(spec->rotation, 0, sizeof(spec->rotation));
	memcpy(spec->rotation, value, strlen(value));
	spec->rotation_arg = (uint32_t)arg;
	return TQ_OK;
}

static int parse_value(struct tq_spec *spec, const struct key *key, const char *value, unsigned *seen)
{
	uint64_t number;
	uint32_t i;

	switch (key->kind) {
	case KEY_SEED:
		if (read_u64(value, &spec->seed))
			return tq_fail(TQ_ERR_SPEC, "seed: '%s' is not a 64-bit number", value);
		return TQ_OK;
	case KEY_NUMBER:
		for (i = 0; key->at == offsetof(struct tq_spec, bits) && i < NFRACTIONS; i++)
			if (!strcmp(value, fractions[i].text)) {
				*seen |= (i + 1) << SEEN_FRACTION;
				return TQ_OK;
			}
		if (read_u64(value, &number) || number < key->min || number > key->max)
			return tq_fail(TQ_ERR_SPEC, "%s: '%s' is not a number in %u..%u%s", key->name,
				       value, key->min, key->max,
				       key->at == offsetof(struct tq_spec, bits) ?
					       " and none of 1.6 2.33 2.5 3.5 4.5" :
					       "");
		*field(spec, key) = (uint32_t)number;
		return TQ_OK;
	default:
		if (key->words == code_words && !strcmp(value, "tcq"))
			value = TCQ_DEFAULT;
		for (i = 0; key->words[i]; i++) {
			if (!strcmp(key->words[i], value)) {
				*field(spec, key) = i;
				return TQ_OK;
			}
		}
		return unknown(key->name, value, key->words);
	}
}

static int parse_preset(struct tq_spec *spec, const char *name)
{
	const char *names[NPRESETS + 1] = { 0 }, *text = tq_preset_text(name, NULL);
	size_t i;

	if (!text) {
		for (i = 0; i < NPRESETS; i++)
			names[i] = presets[i].name;
		return unknown("preset", name, names);
	}
	tq_spec_init(spec);
	return tq_spec_parse(spec, text);
}

static const struct key *find_key(const char *name)
{
	const char *names[NKEYS + 1] = { 0 };
	size_t i;

	for (i = 0; i < NKEYS; i++) {
		if (!strcmp(keys[i].name, name))
			return &keys[i];
		names[i] = keys[i].name;
	}
	unknown("spec key", name, names);
	return NULL;
}

/* One key=value word of n characters. @seen has a bit per key. */
static int parse_word(struct tq_spec *spec, const char *text, size_t n, unsigned *seen)
{
	const struct key *key;
	char word[VALUE_MAX], *value;
	unsigned bit;

	if (n >= sizeof(word))
		return tq_fail(TQ_ERR_SPEC, "'%.40s...' is too long for a word of a spec", text);
	memcpy(word, text, n);
	word[n] = '\0';
	value = strchr(word, '=');
	if (!value)
		return tq_fail(TQ_ERR_SPEC, "'%s' is not key=value", word);
	*value++ = '\0';
	if (!strcmp(word, "split"))
		return tq_fail(TQ_ERR_SPEC, "split: not here: only keys and values of KV caches take it (tq/kv.h), "
					    "for rows there is tq/split.h");
	key = find_key(word);
	if (!key)
		return TQ_ERR_SPEC;
	bit = 1u << (key - keys);
	if (*seen & bit)
		return tq_fail(TQ_ERR_SPEC, "%s is given twice", key->name);
	if (key->kind == KEY_PRESET && *seen)
		return tq_fail(TQ_ERR_SPEC, "preset must be the first word");
	*seen |= bit;
	if (key->kind == KEY_PRESET)
		return parse_preset(spec, value);
	return key->kind == KEY_ROTATION ? parse_rotation(spec, value) :
					   parse_value(spec, key, value, seen);
}

void tq_spec_init(struct tq_spec *spec)
{
	if (!spec)
		return;
	memset(spec, 0, sizeof(*spec));
	spec->struct_size = sizeof(*spec);
	memcpy(spec->rotation, "rht", sizeof("rht"));
	spec->rotation_arg = RHT_DEFAULT;
	spec->code = TQ_CODE_LM;
	spec->bits = 4;
	spec->correction = TQ_CORR_LS;
	spec->seed = 1;
}

static int is_trellis(const struct tq_spec *spec)
{
	return spec->code == TQ_CODE_TCQ8 || spec->code == TQ_CODE_TCQ9;
}

static int is_polar(const struct tq_spec *spec)
{
	return tq_polar_radius_bits(spec->code) != 0;
}

static unsigned bit_of(const char *name)
{
	return 1u << (find_key(name) - keys);
}

static int is_radix(const struct tq_spec *spec)
{
	return tq_radix_width(spec->code) != 0;
}

static const struct fraction *fraction_of(const struct tq_spec *spec)
{
	return &fractions[spec->code - TQ_CODE_LM1_6];
}

/* Fractions are codes of their own: bits= may name one, and a whole number leaves it again. */
static int settle_fraction(struct tq_spec *spec, unsigned seen)
{
	const struct fraction *f = seen >> SEEN_FRACTION ? &fractions[(seen >> SEEN_FRACTION) - 1] : NULL;

	if (f && (seen & bit_of("code")) && spec->code != TQ_CODE_LM && spec->code != f->code)
		return tq_fail(TQ_ERR_SPEC, "bits: code=%s has no %s", code_words[spec->code], f->text);
	if (f) {
		spec->code = f->code;
		spec->bits = f->bits;
	} else if (is_radix(spec) && !(seen & bit_of("code")) && (seen & bit_of("bits"))) {
		spec->code = TQ_CODE_LM;
	} else if (is_radix(spec) && !(seen & bit_of("bits"))) {
		spec->bits = fraction_of(spec)->bits;
	}
	return TQ_OK;
}

/* What a code brings along where the text says nothing of it. */
static void code_defaults(struct tq_spec *spec, unsigned seen)
{
	if (spec->code == TQ_CODE_SIGN && !(seen & bit_of("bits")))
		spec->bits = 1;
	if (is_polar(spec) && !(seen & bit_of("bits")))
		spec->bits = POLAR_BITS;
	if (is_polar(spec) && (seen & bit_of("code")) && !(seen & bit_of("effort")))
		spec->effort = 0;
	if (!is_trellis(spec) || !(seen & bit_of("code")))
		return;
	if (!(seen & bit_of("rotation")) && !strcmp(spec->rotation, "rht") &&
	    spec->rotation_arg == RHT_DEFAULT)
		spec->rotation_arg = TCQ_ROTATION_ROUNDS;
	if (!(seen & bit_of("effort")))
		spec->effort = 0;
}

int tq_spec_parse(struct tq_spec *spec, const char *text)
{
	struct tq_spec next;
	unsigned seen = 0;
	size_t n;
	int ret;

	if (!spec || !text)
		return tq_fail(TQ_ERR_ARG, "%s is NULL", spec ? "text" : "spec");
	next = *spec;
	for (text += strspn(text, BLANKS); *text; text += strspn(text, BLANKS)) {
		n = strcspn(text, BLANKS);
		ret = parse_word(&next, text, n, &seen);
		if (ret)
			return ret;
		text += n;
	}
	ret = settle_fraction(&next, seen);
	if (ret)
		return ret;
	code_defaults(&next, seen);
	ret = tq_spec_check(&next, 0);
	if (ret)
		return ret;
	*spec = next;
	return TQ_OK;
}

static int check_rotation(const struct tq_spec *spec)
{
	uint32_t arg = spec->rotation_arg;

	if (!memchr(spec->rotation, '\0', sizeof(spec->rotation)) ||
	    !is_rotation_name(spec->rotation))
		return tq_fail(TQ_ERR_SPEC, "rotation: not a name of a-z 0-9 _ -");
	if (!strcmp(spec->rotation, "dense"))
		return tq_fail(TQ_ERR_SPEC, "rotation: 'dense' is how drivers call it, "
					    "did you mean 'haar'?");
	if (!strcmp(spec->rotation, "rht") && (arg < 1 || arg > RHT_MAX))
		return tq_fail(TQ_ERR_SPEC, "rotation: rht has 1..%d rounds, not %u", RHT_MAX, arg);
	if (!strcmp(spec->rotation, "givens") && (arg < 1 || arg > GIVENS_MAX))
		return tq_fail(TQ_ERR_SPEC, "rotation: givens has 1..%d layers, not %u", GIVENS_MAX,
			       arg);
	if (!strcmp(spec->rotation, "given") && !arg)
		return tq_fail(TQ_ERR_SPEC, "rotation: given:SUM, the checksum that tq_given_add() tells");
	if (!has_argument(spec->rotation) && arg)
		return tq_fail(TQ_ERR_SPEC, "rotation: %s takes no argument", spec->rotation);
	return TQ_OK;
}

static int check_trellis(const struct tq_spec *spec, uint32_t dim)
{
	uint32_t window = spec->code == TQ_CODE_TCQ8 ? 8 : 9;
	const char *word = code_words[spec->code];

	if (spec->bits > TCQ_BITS_MAX)
		return tq_fail(TQ_ERR_SPEC, "bits: code=%s has 1..%d bits, not %u", word, TCQ_BITS_MAX,
			       spec->bits);
	if (spec->correction >= TQ_CORR_QJL_GAUSS)
		return tq_fail(TQ_ERR_SPEC, "correction: code=%s has none of qjl:*", word);
	if (spec->effort)
		return tq_fail(TQ_ERR_SPEC, "effort: code=%s searches all it can at 0; not %u", word,
			       spec->effort);
	if (dim && dim * spec->bits < window)
		return tq_fail(TQ_ERR_UNSUPPORTED, "dim: code=%s needs %u bits in a row, not %u x %u",
			       word, window, dim, spec->bits);
	return TQ_OK;
}

static int check_polar(const struct tq_spec *spec)
{
	const char *word = code_words[spec->code];

	if (spec->bits != POLAR_BITS)
		return tq_fail(TQ_ERR_SPEC, "bits: code=%s has %d in its first level of angles, not %u", word,
			       POLAR_BITS, spec->bits);
	if (spec->correction >= TQ_CORR_QJL_GAUSS)
		return tq_fail(TQ_ERR_SPEC, "correction: code=%s has none of qjl:*", word);
	if (spec->effort)
		return tq_fail(TQ_ERR_SPEC, "effort: code=%s has no search; 0, not %u", word, spec->effort);
	return TQ_OK;
}

static int check_radix(const struct tq_spec *spec)
{
	const char *word = code_words[spec->code];

	if (spec->bits != fraction_of(spec)->bits)
		return tq_fail(TQ_ERR_SPEC, "bits: code=%s has %u, rounded up, not %u", word,
			       fraction_of(spec)->bits, spec->bits);
	if (spec->correction >= TQ_CORR_QJL_GAUSS)
		return tq_fail(TQ_ERR_SPEC, "correction: code=%s has none of qjl:*", word);
	return TQ_OK;
}

static int check_dim(const struct tq_spec *spec, uint32_t dim)
{
	if (dim > TQ_MAX_DIM)
		return tq_fail(TQ_ERR_UNSUPPORTED, "dim: %u is above %d", dim, TQ_MAX_DIM);
	if (dim <= TQ_MAX_DENSE_DIM)
		return TQ_OK;
	if (!strcmp(spec->rotation, "haar"))
		return tq_fail(TQ_ERR_UNSUPPORTED, "rotation: haar is limited to %d dimensions, not %u",
			       TQ_MAX_DENSE_DIM, dim);
	if (spec->correction == TQ_CORR_QJL_GAUSS || spec->correction == TQ_CORR_QJL_ORTHO)
		return tq_fail(TQ_ERR_UNSUPPORTED, "correction: %s is limited to %d dimensions, not %u",
			       correction_words[spec->correction], TQ_MAX_DENSE_DIM, dim);
	return TQ_OK;
}

int tq_spec_check(const struct tq_spec *spec, uint32_t dim)
{
	uint32_t value;
	size_t i;
	int ret;

	if (!spec)
		return tq_fail(TQ_ERR_ARG, "spec is NULL");
	if (spec->struct_size < sizeof(*spec))
		return tq_fail(TQ_ERR_SPEC, "spec: struct_size is %u, not %zu: tq_spec_init() sets it",
			       spec->struct_size, sizeof(*spec));
	ret = check_rotation(spec);
	if (ret)
		return ret;
	for (i = 0; i < NKEYS; i++) {
		if (keys[i].kind != KEY_WORD && keys[i].kind != KEY_NUMBER)
			continue;
		value = value_of(spec, &keys[i]);
		if (value < keys[i].min || value > keys[i].max)
			return tq_fail(TQ_ERR_SPEC, "%s: %u is not in %u..%u", keys[i].name, value,
				       keys[i].min, keys[i].max);
	}
	if (spec->code == TQ_CODE_SIGN && spec->bits != 1)
		return tq_fail(TQ_ERR_SPEC, "bits: code=sign has one bit, not %u", spec->bits);
	ret = is_trellis(spec) ? check_trellis(spec, dim) : is_polar(spec) ? check_polar(spec) :
	      is_radix(spec) ? check_radix(spec) : TQ_OK;
	return ret ? ret : check_dim(spec, dim);
}

int tq_spec_print(const struct tq_spec *spec, char *buf, size_t size)
{
	char rotation[TQ_ROTATION_NAME_MAX + 12], text[TQ_SPEC_STRING_MAX];
	int ret, n;

	if (!buf)
		return tq_fail(TQ_ERR_ARG, "buf is NULL");
	ret = tq_spec_check(spec, 0);
	if (ret)
		return ret;
	if (spec->rotation_arg)
		snprintf(rotation, sizeof(rotation), "%s:%u", spec->rotation, spec->rotation_arg);
	else
		snprintf(rotation, sizeof(rotation), "%s", spec->rotation);
	n = snprintf(text, sizeof(text),
		     "rotation=%s code=%s bits=%u correction=%s effort=%u seed=%llu center=%s "
		     "scale=%s query=%s",
		     rotation, code_words[spec->code], spec->bits,
		     correction_words[spec->correction], spec->effort,
		     (unsigned long long)spec->seed, center_words[spec->center],
		     scale_words[spec->scale], query_words[spec->query]);
	if ((size_t)n >= size)
		return tq_fail(TQ_ERR_RANGE, "size: the spec needs %d bytes, not %zu", n + 1, size);
	memcpy(buf, text, (size_t)n + 1);
	return TQ_OK;
}

const char *tq_preset_name(unsigned index)
{
	return index < NPRESETS ? presets[index].name : NULL;
}

const char *tq_preset_text(const char *name, const char **source)
{
	size_t i;

	for (i = 0; name && i < NPRESETS; i++) {
		if (strcmp(presets[i].name, name))
			continue;
		if (source)
			*source = presets[i].source;
		return presets[i].text;
	}
	return NULL;
}

