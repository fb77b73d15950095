#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The RPM, on Debian 12: what is in it, and that it is enabled, counts and is removed as the
# README says. Untested is what only Fedora has: the packages it names, its collectd, SELinux.
# By clsact, as on EL 9.
export PB_HOOK=clsact
# shellcheck source=tests/packages/lib.sh
. "${0%/*}/lib.sh"

name="collectd-tc_portbytes"

# What rpmlint calls errors: nobody has signed this one, and Fedora wants neither of the others.
lint_filters='addFilter("no-signature")
addFilter("no-packager-tag")
addFilter("no-group-tag")'

# query WHAT...: of the package
query() { inside "$build" rpm -qp "$@" "${rpm#"$build"}"; }

# The files in the package; here another rpm than Fedora's chooses the directory of libraries,
# whether pages are compressed, and links to build ids.
files() {
    query -l | LC_ALL=C sed -E '/build-id/d;s|^/usr/lib[^/]*/(.*\.so)$|LIB/\1|;s|(/man/.*)\.gz$|\1|'
}

expected_files() {
    local docs=/usr/share/doc/$name
    printf '%s\n' /etc/collectd "$example" /usr/bin/tc_portbytes-top LIB/collectd/tc_portbytes.so \
        /usr/libexec/tc_portbytes-remove \
        /usr/share/licenses/"$name"{,/LICENSE} "$docs" \
        "$docs"/{NEWS.md,README.md,graph.sh,systemd.conf,tc_portbytes.db} \
        /usr/share/man/man{1/tc_portbytes-top.1,5/collectd-tc_portbytes.5}
    (cd "$PB_SOURCE/conf" && find grafana stacks -printf "$docs/%p\n")
}

build_rpm() {
    local at=$build/build/$tree
    open_source &&
        change_build "apt installs rpm's tools" apt "$build" install rpm rpmlint || return
    # --nodeps: what the spec asks for has Fedora's names.
    build_package "rpm RPMBUILD='rpmbuild --nodeps'" || return
    rpm=$(find "$at" -maxdepth 1 -name '*rpm*')
    is "${rpm%.*.rpm}" "$at/$name-$version-1" "it leaves a package of this version, and only that"
    echo "$lint_filters" >"$build/build/rpmlintrc"
    step "rpmlint: no error" inside "$build" rpmlint -r /build/rpmlintrc "${rpm#"$build"}"
    is "$(files | sort)" "$(expected_files | sort)" "these files are in it and no others"
    is "$(query -c)" "$example" "its configuration is known as such"
    is "$(query --requires | sed 's/(.*//;/^\(config\|ld-.*\|r.*\)$/d' | sort -u | paste -sd' ')" \
        "/bin/sh collectd libbpf.so.1 libc.so.6 libm.so.6 libmnl.so.0" \
        "it requires collectd, the libraries and no more"
    is "$(query --scripts --triggers | grep -E '^[a-z]+ (scriptlet|program)|trigger')" \
        "preuninstall scriptlet (using /bin/sh):"$'\n'"postuninstall scriptlet (using /bin/sh):" "installing it runs nothing of its own"
}

install_rpm() {
    open_clean || return
    cp "$rpm" "$clean/root"
    # --nodeps: rpm doesn't know what apt installs.
    step "apt installs collectd, the libraries and rpm" \
        apt "$clean" install collectd libbpf1 libmnl0 rpm &&
        step "rpm installs it" inside "$clean" rpm -i --nodeps "/root/${rpm##*/}"
}

test_rpm() {
    build_rpm && install_rpm && configure_collectd || return
    # As Fedora's collectd.conf does, all of the directory.
    mkdir "$clean/etc/collectd.d"
    cat >>"$clean/etc/collectd/collectd.conf.d/0test.conf" <<-CONF
		PluginDir "$(query -l | sed -n 's|/tc_portbytes\.so$||p')"
		Include "/etc/collectd.d"
	CONF
    count ../collectd/tc_portbytes.conf /etc/collectd.d/
    step "rpm installs it again" inside "$clean" rpm -U --force --nodeps "/root/${rpm##*/}"
    is "$(inside "$clean" readlink -m /etc/collectd.d/tc_portbytes.conf)" "$example" \
        "and it is still enabled"
    again=(inside "$clean" rpm -U --force --nodeps "/root/${rpm##*/}")
    remove "$example.rpmsave" inside "$clean" rpm -e "$name"
    is "$(find "$clean/etc/collectd.d" -mindepth 1)" "" "the link is removed too"
}

on_release bookworm test_rpm
