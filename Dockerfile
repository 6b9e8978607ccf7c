# The image that users build; the local cluster builds its own without docker (hack/build-image).
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked && cp target/release/headworks /headworks

# glibc and nothing else: no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /headworks /usr/local/bin/headworks
USER 65532:65532
EXPOSE 9443 8080
ENTRYPOINT ["/usr/local/bin/headworks"]
CMD ["run"]
