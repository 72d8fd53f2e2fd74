# Needs BuildKit: the default since Docker 23, before that with DOCKER_BUILDKIT=1.
#
# Node 26 is itself a package in package-lock.json, so what runs in the image is, to the octet, what the
# tests ran on. The Node of the build stage is needed for npm alone and does not get into the image;
# both stages are the same Debian, so that the C library fits.

FROM node:24-bookworm-slim AS build
WORKDIR /opt/hearth
COPY package.json package-lock.json ./
# No package needs a script of its own: native code comes prebuilt. "npm install" keeps to the lock file
# as "npm ci" does, but does not mind that it leaves out the packages for other systems than Linux.
# Not every npm links the binary of an optional package, hence the link.
RUN npm install --no-save --omit=dev --ignore-scripts --no-audit --no-fund \
  && cd node_modules/.bin && ln -sf ../node-linux-*/bin/node node
COPY . .
RUN mv deploy/hearth.yaml hearth.yaml && mv deploy/demo /opt/demo && rmdir deploy \
  && chmod -R a+rX /opt/hearth /opt/demo


FROM debian:bookworm-slim AS runtime
RUN useradd --system --user-group --uid 8444 --home-dir /var/lib/hearth --shell /usr/sbin/nologin hearth \
  && install -d -o hearth -g hearth -m 700 /var/lib/hearth /etc/hearth

# Ports below 1024 without root: on the host's network the sysctl for unprivileged ports is the host's,
# and Docker gives a non-root user no ambient capabilities. What remains is the file capability on the
# node binary, with cap_add NET_BIND_SERVICE as its upper limit. Builders differ in whether COPY keeps
# file capabilities, and a RUN of its own would store the binary twice; hence copy and setcap in one RUN.
# Programs with the setuid bit lose it: nobody in here becomes another user.
RUN --mount=type=bind,from=build,source=/opt/hearth,target=/mnt/hearth \
  apt-get update \
  && apt-get install -y --no-install-recommends libatomic1 libstdc++6 libcap2-bin \
  && cp -a /mnt/hearth /opt/hearth \
  && setcap cap_net_bind_service=+ep "$(readlink -f /opt/hearth/node_modules/.bin/node)" \
  && apt-get purge -y --auto-remove libcap2-bin \
  && rm -rf /var/lib/apt/lists/* \
  && find / -xdev -perm /6000 -type f -exec chmod a-s {} +

# The key that opens the CA's keys goes to /etc/hearth, everything else to /var/lib/hearth: two volumes,
# so that a copy of the state alone opens nothing. An /etc/hearth/hearth.yaml is used instead of the
# packaged one, which lies in the working directory.
ENV XDG_CONFIG_HOME=/etc PATH=/opt/hearth/bin:/opt/hearth/node_modules/.bin:$PATH
WORKDIR /opt/hearth
USER hearth
RUN hearth config check hearth.yaml


# The demo device: nginx, with its certificate from the gateway.
FROM runtime AS demo
USER root
RUN apt-get update \
  && apt-get install -y --no-install-recommends nginx-light \
  && rm -rf /var/lib/apt/lists/* \
  && install -d -o hearth -g hearth -m 700 /var/lib/demo
COPY --from=build /opt/demo /opt/demo
USER hearth
EXPOSE 443
CMD ["/opt/demo/entrypoint.sh"]


FROM runtime AS gateway
VOLUME ["/var/lib/hearth", "/etc/hearth"]
EXPOSE 53/udp 53/tcp 853/tcp 80/tcp 443/tcp 8444/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["hearth", "status"]
CMD ["hearth", "serve"]
