# The image of askd. How to build, run and change it: docs/install/docker.md.
#
#   docker build --tag askd .                                     with the CLI, which the build fetches from npm
#   docker build --tag askd:without-cli --target without-cli .    without; you give it one

ARG DEBIAN=trixie
ARG RUST=1.95
ARG NODE=22


FROM rust:${RUST}-${DEBIAN} AS builder
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package askd --bin askd && \
    install -D --mode=0755 target/release/askd /out/usr/local/bin/askd && \
    install -D --mode=0644 --target-directory=/out/usr/share/doc/askd \
        LICENSE-APACHE LICENSE-MIT deploy/image/NOTICE && \
    deploy/image/third-party-licences > /out/usr/share/doc/askd/THIRD-PARTY-LICENCES && \
    rm -rf target


FROM node:${NODE}-${DEBIAN}-slim AS cli
ARG CLAUDE_CODE_VERSION=2.1.330
WORKDIR /src
COPY scripts/install-cli scripts/cli-version scripts/cli-sha256 scripts/
# As every checkout does it: the package for this platform alone, checked by npm, without its scripts.
RUN scripts/install-cli "${CLAUDE_CODE_VERSION}" && \
    mv "target/cli/${CLAUDE_CODE_VERSION}" /opt/claude


FROM debian:${DEBIAN}-slim AS without-cli
# Further packages of Debian for the agents, e.g. "nodejs npm python3 openssh-client".
ARG EXTRA_PACKAGES=
# `git` and `rg` are what the CLI's tools use, `bwrap` is a layer of isolation, `socat` belongs to the CLI's own
# sandbox. No program gives rights to who starts it, and the user owns nothing but the three folders for volumes.
# hadolint ignore=DL3008
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        bubblewrap ca-certificates git ripgrep socat tzdata ${EXTRA_PACKAGES} && \
    rm -rf /var/lib/apt/lists/* && \
    find /var/cache /var/log -type f -delete && \
    find / -xdev -type f -perm /6000 -exec chmod a-s {} + && \
    chmod 0755 /var/tmp /run/lock && \
    groupadd --gid 1000 askd && \
    useradd --no-log-init --uid 1000 --gid 1000 --home-dir /home/node --no-create-home --shell /bin/bash askd && \
    rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- && \
    install --directory --mode=0755 /home/node /opt/claude && \
    install --directory --owner=1000 --group=1000 --mode=0755 /home/node/.claude /workspace && \
    install --directory --owner=1000 --group=1000 --mode=0700 /var/lib/askd
COPY --from=builder /out/ /

# The folders are those of the Node image, whose volumes can be mounted unchanged, and askd's own.
ENV HOME=/home/node \
    LANG=C.UTF-8 \
    ASKD_LISTEN=0.0.0.0:3000 \
    ASKD_DATA_DIR=/var/lib/askd \
    ASKD_CLAUDE_BIN=/opt/claude/claude \
    CONFIG_DIR=/home/node/.claude \
    WORKSPACE_DIR=/workspace
WORKDIR /workspace
USER 1000:1000
EXPOSE 3000
STOPSIGNAL SIGTERM
# Whether it lives, not whether it is ready: some restart what is not healthy, and with it every run.
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=3 CMD ["askd", "healthcheck", "--live"]
# It reaps what its runs leave behind: no other process 1 is needed.
ENTRYPOINT ["askd"]
CMD ["serve"]

ARG ASKD_VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="askd" \
      org.opencontainers.image.description="An HTTP server that runs Claude Code" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${ASKD_VERSION}" \
      org.opencontainers.image.revision="${REVISION}"


# The last one: what is built if nothing else is asked for.
FROM without-cli AS askd
ARG CLAUDE_CODE_VERSION=2.1.330
COPY --from=cli /opt/claude /opt/claude
# Part of this image is Anthropic's: /opt/claude, under its own licence.
LABEL org.opencontainers.image.licenses="(MIT OR Apache-2.0) AND LicenseRef-Anthropic-Claude-Code" \
      askd.cli.version="${CLAUDE_CODE_VERSION}"
