#!/bin/sh
# Before a removal, not before an upgrade: sessions are drained, and held tables stay on the server.
set -e
if [ -d /run/systemd/system ]; then
	# Only `stop` takes a pattern.
	units=$(systemctl list-units --all --plain --no-legend 'undrop@*.service' | cut -d ' ' -f 1)
	systemctl stop undrop.service $units || true
	systemctl disable undrop.service $units || true
fi
