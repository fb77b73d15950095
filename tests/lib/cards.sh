# SPDX-License-Identifier: MIT
# The cards of the guests (tests/kernels/boot.sh), on top of test.sh and links.sh: 0 and 1
# are connected, and so are 2 and 3, and 4 and 5, which is the standby of a virtio failover pair.
# A card that is moved into a namespace of the tests remains one (IFLA_PARENT_DEV_NAME), and
# comes back when the namespace goes.
# test.sh sets work.
# shellcheck shell=bash disable=SC2154

# have_cards: only where a machine is the tests' own may they take its cards
have_cards() {
    [ -n "${PB_GUEST:-}" ] && modprobe -aq virtio_pci virtio_net &&
        wait_for 60 card_name 3 >/dev/null
}

# card_name NUMBER: of a card that is in no namespace of the tests
card_name() {
    ip -o link | sed -n "s,^[0-9]*: \([^:]*\): .*link/ether 52:54:00:00:00:0$1 .*,\1,p" | grep .
}

# card NUMBER NAMESPACE NAME
card() {
    local name
    wait_for 60 card_name "$1" >"$work/card" && name=$(tail -n 1 "$work/card") &&
        ip link set "$name" down && ip link set "$name" netns "$2" name "$3"
}
