#!/bin/sh
# After an installation, and after an upgrade, which comes into force without ending a session.
set -e
# The files of settings may hold passwords. The administrator may have removed one.
chgrp undrop /etc/undrop /etc/undrop/*.conf || true
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	# Does nothing for what doesn't run.
	systemctl --no-block try-reload-or-restart 'undrop.service' 'undrop@*.service' || true
fi
