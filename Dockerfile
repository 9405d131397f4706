# The bundle of `npm run build` on a plain Node image. Build with: npm run build && docker build -t holdfast .
FROM node:26-bookworm-slim

WORKDIR /app
COPY dist/ /app/

# A number, because no user of that name needs to exist; a volume takes the folder's owner when it is first mounted.
# /run/holdfast: for a token that several containers share.
RUN install -d -o 10001 -g 10001 /data /run/holdfast
USER 10001:10001

ENV NODE_ENV=production \
    HOLDFAST_DATA_DIR=/data \
    HOLDFAST_HTTP=0.0.0.0:7480 \
    HOLDFAST_RESP=0.0.0.0:7379 \
    HOLDFAST_LOG_FORMAT=json

VOLUME /data
# Of a node: peers, HTTP API, Redis protocol, mDNS. Of a hub: sites, HTTP API.
EXPOSE 7400 7480 7379 5353/udp 7500 7580

HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:7480/healthz').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]

STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "/app/holdfast.mjs"]
CMD ["start"]
