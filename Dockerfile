# docker build -t authenticator .
# Without a container engine, and the same bit by bit each time: make image
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS TARGETARCH VERSION=unknown COMMIT=unknown
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY internal internal
COPY pkg pkg
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
      -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT" -o /out/ ./cmd/...

# Static binaries and the certificate authorities that STS is checked against.
FROM scratch
ARG VERSION=unknown COMMIT=unknown CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="authenticator" \
      org.opencontainers.image.description="AWS IAM authentication for Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/iam-authenticator/authenticator" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT" \
      org.opencontainers.image.created="$CREATED"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/ /
EXPOSE 21362 21363
USER 65532:65532
ENTRYPOINT ["/authenticator"]
CMD ["server"]
