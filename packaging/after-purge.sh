#!/bin/sh
# After a removal with its settings.
set -e
rm -rf /etc/undrop /var/log/undrop
if getent passwd undrop >/dev/null; then userdel undrop; fi
