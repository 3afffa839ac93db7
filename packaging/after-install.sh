#!/bin/sh
# After an installation, and after an upgrade, which comes into force without ending a session.
set -e
if ! getent passwd undrop >/dev/null; then
	useradd --system --user-group --no-create-home --home-dir /nonexistent \
		--shell /usr/sbin/nologin --comment 'undrop' undrop
fi
# The files of settings may hold passwords. The administrator may have removed one.
chgrp undrop /etc/undrop /etc/undrop/*.conf || true
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	# Does nothing for what doesn't run.
	systemctl --no-block try-reload-or-restart 'undrop.service' 'undrop@*.service' || true
fi
