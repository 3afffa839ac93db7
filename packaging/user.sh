#!/bin/sh
# The account of the service.
set -e
if ! getent passwd undrop >/dev/null; then
	useradd --system --user-group --no-create-home --home-dir /nonexistent \
		--shell /usr/sbin/nologin --comment 'undrop' undrop
fi
