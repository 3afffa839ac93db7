#!/bin/sh
# With the Node.js of the package, whatever else is installed.
exec /usr/lib/undrop/node /usr/lib/undrop/undrop.mjs "$@"
