# SPDX-License-Identifier: Apache-2.0
#
# Two stages: the build, and an image that holds the binary, the CA roots and nothing else. docs/how-to/container.md shows
# how to run it; scripts/image.sh builds and tries it without a container engine.

FROM golang:1.26 AS build
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN mkdir -p /out/etc/ssl/certs /out/usr/bin /out/var/lib/agentd \
    && cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ \
    && GOOS="$TARGETOS" GOARCH="$TARGETARCH" VERSION="$VERSION" scripts/build.sh /out/usr/bin/agentd

FROM scratch
COPY --from=build --chown=0:0 /out/etc /etc
COPY --from=build --chown=0:0 /out/usr /usr
COPY --from=build --chown=65532:65532 /out/var/lib/agentd /var/lib/agentd
# One writable place: state and socket live in the volume, so that the root can be read-only.
ENV STATE_DIRECTORY=/var/lib/agentd \
    AGENTD_ADMIN_SOCKET=/var/lib/agentd/agentd.sock
VOLUME /var/lib/agentd
USER 65532:65532
EXPOSE 9470
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["/usr/bin/agentd", "healthcheck"]
ENTRYPOINT ["/usr/bin/agentd"]
CMD ["run", "--config", "/etc/agentd/agentd.yaml"]
