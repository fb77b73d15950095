# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# lib.sh: what fetch.sh, boot.sh and run.sh share. To be sourced.

say() { printf '%s\n' "${0##*/}: $*" >&2; }
die() { say "$*"; exit 2; }

# architecture SERIES: Debian's name of the one it is of; foreign: another than this machine's
architecture() {
    case $1 in
    *-arm64 | *-armhf | *-s390x | *-riscv64 | *-ppc64el) echo "${1##*-}" ;;
    *) echo amd64 ;;
    esac
}
foreign() { [[ $(architecture "$1") != amd64 ]]; }

# release SERIES: of another architecture: the Debian release that it is taken from
release() {
    case $1 in
    6.1-*) echo bookworm ;;
    7.*) echo sid ;;
    *) echo trixie ;;
    esac
}

# use_cache: sets kernels_cache, where fetched kernels and what guests are made of are kept.
# That others could change it is the end; that it can't be made, status 2, is a reason to
# skip, in refusal.
use_cache() {
    local status=0
    # shellcheck source=tests/lib/directory.sh
    . "${BASH_SOURCE[0]%/*}/../lib/directory.sh"
    { provide_directory "${PB_CACHE:-/var/cache/tc_portbytes}" &&
        provide_directory "$directory/kernels"; } || status=$?
    ((status != 1)) || die "PB_CACHE: $refusal"
    # shellcheck disable=SC2034  # read by those who source this
    kernels_cache=$directory
    return $status
}

# need PROGRAM:PACKAGE...: install the packages of missing programs, or of missing files if the
# first is a path; nothing else.
# On failure the reason is in $need_reason; a layer that lacks its tools is
# skipped with that reason, it never passes.
need() {
    local pair missing=() log
    need_reason=
    # sbin is not in everybody's PATH
    case :$PATH: in *:/usr/sbin:*) ;; *) PATH=$PATH:/usr/sbin:/sbin ;; esac
    for pair; do
        is_there "${pair%%:*}" || missing+=("${pair#*:}")
    done
    ((${#missing[@]})) || return 0
    if ! command -v apt-get >/dev/null; then
        need_reason="missing and no apt-get to install it: ${missing[*]}"
        return 1
    fi
    if ((EUID != 0)); then
        need_reason="missing and not root to install it: ${missing[*]}"
        return 1
    fi
    say "installing ${missing[*]}"
    log=$(mktemp)
    # A container's package lists are often absent: update only when that is why.
    if ! DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}" >"$log" 2>&1 </dev/null &&
        ! { apt-get -q update && DEBIAN_FRONTEND=noninteractive \
            apt-get install -qy --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
        need_reason="cannot install ${missing[*]}: $(grep -m1 '^E:' "$log" || tail -n1 "$log")"
    fi
    rm -f "$log"
    hash -r
    for pair; do
        is_there "${pair%%:*}" && continue
        need_reason=${need_reason:-"${pair%%:*} is not there although ${pair#*:} was installed"}
    done
    [[ -z $need_reason ]]
}

# is_there PROGRAM, or a path
is_there() { [[ $1 == /* ]] && [[ -e $1 ]] || command -v "$1" >/dev/null; }

# copy_to ROOT FILE...: each FILE at its own place below ROOT, symlinked
# directories resolved, so that /lib/x never becomes a directory beside usr/lib.
copy_to() {
    local root=$1 file dir
    shift
    for file; do
        dir=$(realpath -e -- "$(dirname -- "$file")") || return
        mkdir -p "$root$dir" && cp -Lp --remove-destination -- "$file" "$root$dir/" || return
    done
}

# libs_to ROOT FILE...: every library the loader would take for these programs
# and modules, under the LD_LIBRARY_PATH of the caller.
libs_to() {
    local root=$1 file libs lost elf=()
    shift
    for file; do
        # ldd of a script or a static program is an error, of no interest here
        is_elf "$file" && elf+=("$file")
    done
    ((${#elf[@]})) || return 0
    libs=$(ldd "${elf[@]}" 2>/dev/null || :)
    lost=$(awk '/=> not found/ { print $1 }' <<<"$libs" | sort -u | xargs)
    if [[ -n $lost ]]; then
        say "libraries not found: $lost (LD_LIBRARY_PATH=${LD_LIBRARY_PATH-})"
        return 1
    fi
    mapfile -t elf < <(awk '$2 == "=>" && $3 ~ /^\// { print $3; next }
                            $1 ~ /^\// && $2 ~ /^\(0x/ { print $1 }' <<<"$libs" | sort -u)
    ((${#elf[@]} == 0)) || copy_to "$root" "${elf[@]}"
}

copy_with_libs() { copy_to "$@" && libs_to "$@"; }

is_elf() {
    local magic=
    [[ -f $1 && -r $1 ]] || return 1
    IFS= read -r -n4 magic <"$1" 2>/dev/null || :
    [[ $magic == $'\x7fELF' ]]
}
