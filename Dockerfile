# syntax=docker/dockerfile:1
# docker build -t patina .
# docker run -it --rm -v patina:/data patina                  the terminal
# docker run --rm -v patina:/data patina status               any other command
# docker run --rm -i -v patina:/data patina put - --name NAME < FILE

# trixie has the same glibc in both stages.
FROM rust:1.95-trixie AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin patina \
    && install -D target/release/patina /out/patina

FROM debian:trixie-slim
# A fixed id, so that a bind mount can be given to it with chown.
RUN groupadd --system --gid 10001 patina \
    && useradd --system --uid 10001 --gid patina --home-dir /data --no-create-home --shell /usr/sbin/nologin patina \
    && install -d -o patina -g patina -m 0750 /data
COPY --from=build /out/patina /usr/local/bin/patina
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/patina/
ENV PATINA_DIR=/data
USER patina
WORKDIR /data
VOLUME ["/data"]
ENTRYPOINT ["/usr/local/bin/patina"]
