# The plugin's rootfs: the static binary, the client programs that it runs, and their libraries.
#   make build docker-build
# The binary is built before, so that no builder image is needed; a full Debian would be four times the size, and
# `docker plugin create` copies all of it.
ARG BASE=debian:bookworm-slim
FROM ${BASE} AS collect
COPY plugin-rootfs/collect.sh /usr/local/bin/collect.sh
RUN for program in ovn-nbctl ovs-vsctl ip ping ethtool xtables-nft-multi conntrack; do command -v $program || break; done | grep -q conntrack || { \
      apt-get update -q && \
      DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends ovn-common openvswitch-switch iproute2 iputils-ping ethtool iptables conntrack; }; \
    /usr/local/bin/collect.sh /rootfs

FROM scratch
COPY --from=collect /rootfs/ /
COPY build/ovs-container-network /usr/bin/ovs-container-network
LABEL ovs-container-network.image=1
ENTRYPOINT ["/usr/bin/ovs-container-network", "serve"]
