"""The image, built and started with Debian's buildah; `make image-check` as root, not part of the tests."""
