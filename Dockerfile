# undrop alone: the proxy, without a server. Settings come by UNDROP_* variables.
# The same Node.js as in the packages; another image of it by `--build-arg BASE=…`.
ARG BASE=node:24.21.0-bookworm-slim
# What it builds is the same on each platform.
FROM --platform=$BUILDPLATFORM ${BASE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --no-fund --no-audit
COPY tsconfig.json tsconfig.src.json ./
COPY scripts ./scripts
COPY src ./src
COPY demo ./demo
COPY throwaway-servers ./throwaway-servers
RUN npm run build

FROM ${BASE}
LABEL org.opencontainers.image.title="undrop" \
      org.opencontainers.image.description="DROP TABLE that can be undone, for MySQL and MariaDB" \
      org.opencontainers.image.version="1.0.0" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production UNDROP_LISTEN=0.0.0.0:3307 UNDROP_ADMIN_LISTEN=0.0.0.0:9307
COPY --from=build /app/build/*.mjs /app/build/undrop.cdx.json /app/build/THIRD-PARTY-LICENSES.txt /app/
COPY --from=build /app/build/parts /app/parts
USER node
EXPOSE 3307 9307
# 9307: /healthz for a liveness probe, /readyz for a readiness probe or a load balancer, /readyz?drops for alerts.
# buildah and podman keep it with `--format docker`.
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s CMD ["node", "-e", "fetch('http://127.0.0.1:9307/readyz').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# Node as process 1 has no default action for signals; undrop has its own for SIGTERM and SIGINT.
ENTRYPOINT ["node", "/app/undrop.mjs"]
CMD ["serve"]
