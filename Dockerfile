# The server and its command line, in an image without a shell. Build: docker build -t runwire .
# Run on the loopback of the host, without authentication:
#   docker run --rm --network host runwire serve
# Elsewhere the server wants tokens or certificates before it listens; see docs/configuration.md.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs ./
COPY proto proto
COPY src src
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin runwire \
    && install -D target/release/runwire /image/bin/runwire \
    && install -d /image/data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /image/bin/runwire /usr/local/bin/runwire
COPY --from=build --chown=65532:65532 /image/data /var/lib/runwire
USER 65532:65532
ENV RUNWIRE__STORE__DATA_DIR=/var/lib/runwire
VOLUME /var/lib/runwire
EXPOSE 50051
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["runwire", "health"]
ENTRYPOINT ["runwire"]
CMD ["serve"]
