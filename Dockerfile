# undrop alone: the proxy, without a server. Settings come by UNDROP_* variables.
FROM node:20-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --no-fund --no-audit
COPY tsconfig.json ./
COPY src ./src
RUN npx tsc -p tsconfig.json && npm prune --omit=dev

FROM node:20-bookworm-slim
ENV NODE_ENV=production UNDROP_LISTEN=0.0.0.0:3307
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/build/src ./build/src
USER node
EXPOSE 3307
# Node as process 1 has no default action for signals; undrop has its own for SIGTERM and SIGINT.
ENTRYPOINT ["node", "build/src/cli/main.js"]
CMD ["serve"]
