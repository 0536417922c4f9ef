/* SPDX-License-Identifier: Apache-2.0 */

/* The picture of tq index eval: queries per second (logarithmic) against recall, a line for each spec. */

#include <math.h>
#include <string.h>
#include "index_eval.h"
#include "svg.h"
#include "vectors.h"

#define LEFT 80
#define RIGHT 640
#define TOP 60
#define BOTTOM 540

static const char *const colours[] = {"#1b6ca8", "#d1495b", "#2e8b57", "#8e5ea2", "#c77f0a", "#4d4d4d"};
#define NCOLOURS (sizeof(colours) / sizeof(colours[0]))

/** struct axes - decades of queries per second */
struct axes {
	int low, high;
};

static double at_x(double recall)
{
	return LEFT + (RIGHT - LEFT) * recall;
}

static double at_y(const struct axes *a, double qps)
{
	return BOTTOM - (BOTTOM - TOP) * (log10(fmax(qps, 1e-3)) - a->low) / (a->high - a->low);
}

static int draw_axes(struct output *out, const struct axes *a, const char *title)
{
	char text[600];
	int ret;

	svg_escape(title, text, sizeof(text));
	ret = svg_put(out,
		      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 900 600\" "
		      "font-family=\"sans-serif\" font-size=\"13\">\n"
		      "<rect width=\"900\" height=\"600\" fill=\"white\"/>\n"
		      "<text x=\"%d\" y=\"28\" font-size=\"17\">Search of %s</text>\n"
		      "<text x=\"%d\" y=\"580\" text-anchor=\"middle\">recall, k at k</text>\n"
		      "<text transform=\"translate(22 %d) rotate(-90)\" text-anchor=\"middle\">queries per "
		      "second, one at a time</text>\n",
		      LEFT, text, (LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2);
	for (int i = 0; i <= 10 && !ret; i++)
		ret = svg_put(out,
			      "<path d=\"M%.1f %d V%d\" stroke=\"#e4e4e4\"/>"
			      "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.1f</text>\n",
			      at_x(i / 10.0), TOP, BOTTOM, at_x(i / 10.0), BOTTOM + 18, i / 10.0);
	for (int i = a->low; i <= a->high && !ret; i++)
		ret = svg_put(out,
			      "<path d=\"M%d %.1f H%d\" stroke=\"#e4e4e4\"/>"
			      "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.0f</text>\n",
			      LEFT, at_y(a, pow(10, i)), RIGHT, LEFT - 8, at_y(a, pow(10, i)) + 4,
			      pow(10, i));
	return ret;
}

/** draw_series - the results from @first on that have its spec */
static int draw_series(struct output *out, const struct axes *a, const struct index_result *r, size_t n,
		       size_t first, size_t number)
{
	const char *colour = colours[number % NCOLOURS];
	int y = TOP + 10 + 24 * (int)number, ret;
	char text[600];

	svg_escape(r[first].given, text, sizeof(text));
	ret = svg_put(out,
		      "<circle cx=\"%d\" cy=\"%d\" r=\"4.5\" fill=\"%s\"/>"
		      "<text x=\"%d\" y=\"%d\" font-size=\"11\">%s</text>\n<path d=\"",
		      RIGHT + 28, y, colour, RIGHT + 46, y + 4, text);
	for (size_t i = first; i < n && !ret && !strcmp(r[i].given, r[first].given); i++)
		ret = svg_put(out, "%c%.1f %.1f ", i == first ? 'M' : 'L', at_x(r[i].recall_k),
			      at_y(a, r[i].qps));
	if (!ret)
		ret = svg_put(out, "\" fill=\"none\" stroke=\"%s\"/>\n", colour);
	for (size_t i = first; i < n && !ret && !strcmp(r[i].given, r[first].given); i++)
		ret = svg_put(out,
			      "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\" fill=\"%s\"><title>%s: nprobe %u, "
			      "recall %.4f, %.0f queries per second, %llu bytes</title></circle>\n",
			      at_x(r[i].recall_k), at_y(a, r[i].qps), colour, text, r[i].nprobe,
			      r[i].recall_k, r[i].qps, (unsigned long long)r[i].bytes);
	return ret;
}

int index_draw(const char *path, const char *title, const struct index_result *results, size_t n)
{
	const char *slash = strrchr(title, '/');
	struct axes a = {.low = 9, .high = -3};
	struct output out = {0};
	size_t series = 0;
	int ret;

	for (size_t i = 0; i < n; i++) {
		double decade = log10(fmax(results[i].qps, 1e-3));

		a.low = (int)floor(decade) < a.low ? (int)floor(decade) : a.low;
		a.high = (int)floor(decade) + 1 > a.high ? (int)floor(decade) + 1 : a.high;
	}
	ret = output_open(&out, path);
	if (!ret)
		ret = draw_axes(&out, &a, slash ? slash + 1 : title);
	for (size_t i = 0; i < n && !ret; i++)
		if (!i || strcmp(results[i].given, results[i - 1].given))
			ret = draw_series(&out, &a, results, n, i, series++);
	if (!ret)
		ret = svg_put(&out, "</svg>\n");
	if (!ret)
		ret = output_commit(&out);
	output_abort(&out);
	return ret;
}
