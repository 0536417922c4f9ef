/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TQ_OPENCL_STREAM_H
#define TQ_OPENCL_STREAM_H

#include "tables.h"

/**
 * struct tqo_job - rows of host memory through a device
 * @work:      queue the kernels for @rows rows of lane->in to lane->out
 * @arg:       for @work
 * @what:      for the error's text
 * @in:        first row; with @ids, the row of each number
 * @in_row:    bytes of a row that are copied
 * @in_pitch:  bytes from row to row
 * @out:       first row
 * @out_row:   likewise
 * @out_pitch: likewise
 * @lines:     not 0: the result is so many lines of a float per row, @out_pitch bytes apart
 * @queries:   copied to dev->queries first, @query_bytes of them; may be NULL
 * @row_max:   bytes that a row takes of the largest of a lane's buffers
 */
struct tqo_job {
	cl_int (*work)(const struct tqo_job *job, struct tqo_lane *lane, size_t rows);
	const void *arg;
	const char *what;
	const uint8_t *in;
	const uint32_t *ids;
	size_t in_row, in_pitch;
	uint8_t *out;
	size_t out_row, out_pitch, lines;
	const void *queries;
	size_t query_bytes;
	size_t row_max, n;
};

/**
 * tqo_stream - do a job in chunks on two queues, so that the copies of one overlap the kernels of the other
 *
 * Return: 0; TQ_ERR_DEVICE with the reason in the host's log.
 */
int tqo_stream(const struct tq_host *host, struct tqo_device *dev, const struct tqo_job *job);

#endif
