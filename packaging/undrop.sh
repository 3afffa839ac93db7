#!/bin/sh
# With the Node.js of the package, whatever else is installed, and by default with the settings of
# undrop.service, once they name a server.
settings=/etc/undrop/undrop.conf
if [ -z "${UNDROP_CONFIG+set}" ] && [ -z "${UNDROP_UPSTREAM+set}" ] &&
	grep -qs '^[[:space:]]*"upstream"' "$settings"; then
	export UNDROP_CONFIG="$settings"
fi
exec /usr/lib/undrop/node /usr/lib/undrop/undrop.mjs "$@"
