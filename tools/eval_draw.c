/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The picture of an evaluation: distortion against bits per coordinate, with Shannon's bound for a
 * Gaussian source, 4^-b. Dots are measured, lines are theory, where there is one. Specs that differ only in bits are
 * one series.
 */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"
#include "eval.h"
#include "svg.h"
#include "vectors.h"

#define WIDTH 900
#define HEIGHT 600
#define LEFT 80
#define RIGHT 640
#define TOP 60
#define BOTTOM 540
#define BITS_MAX 9.0
#define DECADES 5.5

static const char *const colours[] = {"#1b6ca8", "#d1495b", "#2e8b57", "#8e5ea2",
				      "#c77f0a", "#4d4d4d", "#00838f", "#a0522d"};
#define NCOLOURS (sizeof(colours) / sizeof(colours[0]))

static double at_x(double bits)
{
	return LEFT + (RIGHT - LEFT) * fmin(bits, BITS_MAX) / BITS_MAX;
}

static double at_y(double distortion)
{
	double decades = -log10(fmax(distortion, 1e-9));

	return TOP + (BOTTOM - TOP) * fmin(fmax(decades + 0.5, 0), DECADES) / DECADES;
}

/** series_name - the spec without its bits */
static void series_name(const char *given, char *buf, size_t size)
{
	size_t used = 0;

	while (*given) {
		size_t n = strcspn(given, " ,");

		if (n && strncmp(given, "bits=", 5) && used + n + 2 < size)
			used += (size_t)sprintf(buf + used, "%s%.*s", used ? " " : "", (int)n,
						given);
		given += n + strspn(given + n, " ,");
	}
	if (!used)
		snprintf(buf, size, "defaults");
	else
		buf[used] = 0;
}

static int draw_axes(struct output *out, const char *title)
{
	char text[600];
	int ret;

	svg_escape(title, text, sizeof(text));
	ret = svg_put(out,
		  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
		  "font-family=\"sans-serif\" font-size=\"13\">\n"
		  "<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n",
		  WIDTH, HEIGHT, WIDTH, HEIGHT);
	if (!ret)
		ret = svg_put(out, "<text x=\"%d\" y=\"28\" font-size=\"17\">Distortion of %s</text>\n",
			  LEFT, text);
	if (!ret)
		ret = svg_put(out,
			  "<text x=\"%d\" y=\"46\" fill=\"#555\">dots: measured; lines: theory; "
			  "the scale is counted in the bits</text>\n",
			  LEFT);
	for (int bits = 0; bits <= (int)BITS_MAX && !ret; bits++)
		ret = svg_put(out,
			  "<path d=\"M%.1f %d V%d\" stroke=\"#e4e4e4\"/>"
			  "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%d</text>\n",
			  at_x(bits), TOP, BOTTOM, at_x(bits), BOTTOM + 18, bits);
	for (int decade = 0; decade <= (int)DECADES && !ret; decade++)
		ret = svg_put(out,
			  "<path d=\"M%d %.1f H%d\" stroke=\"#e4e4e4\"/>"
			  "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s%.0e</text>\n",
			  LEFT, at_y(pow(10, -decade)), RIGHT, LEFT - 8, at_y(pow(10, -decade)) + 4,
			  "", pow(10, -decade));
	if (!ret)
		ret = svg_put(
			out,
			"<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">stored bits per coordinate"
			"</text>\n<text transform=\"translate(22 %d) rotate(-90)\" "
			"text-anchor=\"middle\">mean of |error|² / |vector|²</text>\n",
			(LEFT + RIGHT) / 2, BOTTOM + 42, (TOP + BOTTOM) / 2);
	if (!ret)
		ret = svg_put(out,
			  "<path d=\"M%.1f %.1f L%.1f %.1f\" stroke=\"black\" stroke-width=\"2\" "
			  "stroke-dasharray=\"7 5\"/>\n<path d=\"M%d %d h24\" stroke=\"black\" "
			  "stroke-width=\"2\" stroke-dasharray=\"7 5\"/>"
			  "<text x=\"%d\" y=\"%d\">Shannon's bound, 4⁻ᵇ</text>\n",
			  at_x(0), at_y(1), at_x(8), at_y(pow(4, -8)), RIGHT + 16, TOP + 6,
			  RIGHT + 46, TOP + 10);
	return ret;
}

/** draw_series - all results whose series is that of result @first; by ascending bits if given so
 */
static int draw_series(struct output *out, const struct eval_result *results, size_t n,
		       size_t first, unsigned number)
{
	const char *colour = colours[number % NCOLOURS];
	int y = TOP + 34 + 24 * (int)number, ret;
	char name[300], other[300], text[600];
	bool started = false;

	series_name(results[first].given, name, sizeof(name));
	svg_escape(name, text, sizeof(text));
	ret = svg_put(out,
		  "<circle cx=\"%d\" cy=\"%d\" r=\"4.5\" fill=\"%s\"/>"
		  "<text x=\"%d\" y=\"%d\" font-size=\"11\">%s</text>\n<path d=\"",
		  RIGHT + 28, y, colour, RIGHT + 46, y + 4, text);
	for (size_t i = first; i < n && !ret; i++) {
		series_name(results[i].given, other, sizeof(other));
		if (strcmp(name, other) || isnan(results[i].theory.vnmse))
			continue;
		ret = svg_put(out, "%c%.1f %.1f ", started ? 'L' : 'M', at_x(results[i].bits),
			  at_y(results[i].theory.vnmse));
		started = true;
	}
	if (!ret)
		ret = svg_put(out, "\" fill=\"none\" stroke=\"%s\"/>\n", colour);
	for (size_t i = first; i < n && !ret; i++) {
		series_name(results[i].given, other, sizeof(other));
		if (strcmp(name, other))
			continue;
		svg_escape(results[i].given, text, sizeof(text));
		ret = svg_put(out,
			  "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\" fill=\"%s\"><title>%s: "
			  "%.3f bits, measured %.4g",
			  at_x(results[i].bits), at_y(results[i].measured.vnmse), colour, text,
			  results[i].bits, results[i].measured.vnmse);
		if (!ret && !isnan(results[i].theory.vnmse))
			ret = svg_put(out, ", theory %.4g", results[i].theory.vnmse);
		if (!ret)
			ret = svg_put(out, "</title></circle>\n");
	}
	return ret;
}

int eval_draw(const char *path, const char *title, const struct eval_result *results, size_t n)
{
	const char *slash = strrchr(title, '/');
	char name[300], other[300];
	struct output out;
	unsigned number = 0;
	int ret = output_open(&out, path);

	if (!ret)
		ret = draw_axes(&out, slash ? slash + 1 : title);
	for (size_t i = 0; i < n && !ret; i++) {
		bool drawn = false;

		series_name(results[i].given, name, sizeof(name));
		for (size_t before = 0; before < i && !drawn; before++) {
			series_name(results[before].given, other, sizeof(other));
			drawn = !strcmp(name, other);
		}
		if (!drawn)
			ret = draw_series(&out, results, n, i, number++);
	}
	if (!ret)
		ret = svg_put(&out, "</svg>\n");
	if (!ret)
		ret = output_commit(&out);
	output_abort(&out);
	return ret;
}
