#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Whatever builds or keeps something as root refuses a directory that another user planted or
# could change: in one line, before anything is written. What nobody else can change is taken.
# TAP. In a mount namespace of its own, with a /var/tmp and a /var/cache that end with it; they
# are mounted noexec, which ends what was taken before it builds.
export TMPDIR=/tmp # /var/tmp will be another one
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"

if [ "$(id -u)" -ne 0 ]; then
    echo "1..0 # SKIP only root can be somebody else"
    exit 0
fi
if [ "${1:-}" != apart ]; then
    cleanup
    exec unshare --mount --net -- "$BASH" "$0" apart
fi
umask 022
top=/mnt # the checkout, which may be below /var/tmp
mount --bind "${0%/*}/../.." $top && mount -o remount,bind,ro $top &&
    mount -t tmpfs -o mode=1777,noexec tmpfs /var/tmp &&
    mount -t tmpfs -o mode=755,noexec tmpfs /var/cache || exit 1
cd / || exit 1

as_stranger() { setpriv "${unprivileged[@]}" "$@"; }

# ---- what is there ----

# Root's directory, into which an attacker would like root to write.
mkdir -p /var/tmp/root/sub
echo "not to be touched" >/var/tmp/root/canary
as_stranger ln -s root /var/tmp/link
as_stranger ln -s root/absent /var/tmp/dangling
as_stranger ln -s /var/tmp/root /var/tmp/tc_portbytes
as_stranger ln -s /var/tmp/root /var/tmp/tc_portbytes-bench
as_stranger mkdir /var/tmp/theirs
mkdir /var/tmp/theirs/root # by root, who was careless
as_stranger mkdir -m 777 /var/tmp/theirs-open
ln -s /var/tmp/root /var/tmp/root/link
mkdir /var/tmp/group /var/tmp/group/sub /var/tmp/open /var/tmp/open/sub /var/tmp/sticky
chmod 775 /var/tmp/group
chmod 777 /var/tmp/open
chmod 1777 /var/tmp/sticky
touch /var/tmp/file

# What is refused: a path, the component that is wrong, and what is said of it.
bad="/var/tmp/link /var/tmp/link is a symbolic link
/var/tmp/link/sub /var/tmp/link is a symbolic link
/var/tmp/link/new /var/tmp/link is a symbolic link
/var/tmp/dangling /var/tmp/dangling is a symbolic link
/var/tmp/dangling/new /var/tmp/dangling is a symbolic link
/var/tmp/root/link/sub /var/tmp/root/link is a symbolic link
/var/tmp/theirs /var/tmp/theirs belongs to another user
/var/tmp/theirs/root /var/tmp/theirs belongs to another user
/var/tmp/theirs/new /var/tmp/theirs belongs to another user
/var/tmp/theirs-open/new /var/tmp/theirs-open belongs to another user
/var/tmp/group /var/tmp/group is writable by its group
/var/tmp/group/sub /var/tmp/group is writable by its group
/var/tmp/open /var/tmp/open is writable by everybody
/var/tmp/open/new /var/tmp/open is writable by everybody
/var/tmp/sticky /var/tmp/sticky is writable by everybody
/var/tmp/file /var/tmp/file is not a directory"

# ---- what is run ----

function_() {
    bash -c '. "$1/tests/lib/directory.sh"
        provide_directory "$2" || { status=$?; echo "$refusal"; exit $status; }
        echo "$directory"' - $top "$1"
}
prepare() { $top/tests/prepare.sh "$1"; }
try() { $top/conf/try.sh --demo --dir "$1"; }
run() { $top/tests/run.sh --dir "$1" unit; }
bench() { $top/tests/bench/run.sh --dir "$1" memory; }
run_cache() { PB_CACHE=$1 $top/tests/run.sh unit; }
bench_cache() { PB_CACHE=$1 $top/tests/bench/run.sh memory; }
fetch() { PB_CACHE=$1 $top/tests/kernels/fetch.sh 0.0; }
boot() { PB_CACHE=$1 $top/tests/kernels/boot.sh 0.0 "" true; }
kernels() { PB_CACHE=$1 PB_LOGS='' PB_KERNELS=0.0 $top/tests/kernels/run.sh; }
corpus() { PB_CACHE=$1 $top/tests/packets/corpus.sh; }
servers() {
    PB_CACHE=$1 bash -c '. "$1/tests/stacks/lib.sh"; unpack name package && echo "$root"' - $top
}
packages() {
    PB_CACHE=$1 bash -c '. "$1/tests/packages/lib.sh"
        make_base() { echo "$cache"; exit 0; }
        PB_BUILD=/nowhere on_release release true' - $top
}
compile() { PB_CACHE=$1 $top/tests/kernels/compile.sh /var/tmp/root release 0; }
compile_to() { $top/tests/kernels/compile.sh "$1" release 0; }
repository() { $top/conf/packaging/repository.sh /var/tmp/tarball "$1"; }
systems() { $top/conf/packaging/repository.sh --systems "$1" /var/tmp/tarball /var/tmp/root; }
kernels_logs() { PB_LOGS=$1 PB_KERNELS=0.0 $top/tests/kernels/run.sh; }
packets_logs() { PB_LOGS=$1 $top/tests/packets/differential.sh; }
fuzz_logs() { PB_LOGS=$1 PB_SOURCE=$top $top/tests/fuzz/run.sh 1 config; }
sanitize_logs() { PB_LOGS=$1 PB_PLUGIN=/nowhere $top/tests/sanitize/collectd.sh; }

# A good one, for those that need one beside the bad one.
export PB_CACHE=/var/tmp/cache
unset PB_LOGS
mkdir -p $PB_CACHE/kernels

# Every file, and when it was last changed: also a file that came and went leaves a trace.
everything() { find /var/tmp /var/cache -printf '%p %y %l %U %m %i %T@ %C@\n' | sort; }

# refused NAME COMPONENT WORDS COMMAND...
refused() {
    local name=$1 component=$2 words=$3 before status wrong=
    shift 3
    before=$(everything)
    timeout -k 5 60 bash -c '"$@"' - "$@" >"$work/said" 2>&1 </dev/null
    status=$?
    [ $status -ne 0 ] && [ $status -lt 124 ] || wrong+=" status $status;"
    [ "$(wc -l <"$work/said")" -eq 1 ] || wrong+=" more or less than one line;"
    grep -qF -- "$component $words" "$work/said" || wrong+=" the component is not named;"
    grep -qF "; name another directory." "$work/said" || wrong+=" no advice;"
    [ "$(everything)" = "$before" ] || wrong+=" something was written;"
    is "$wrong" "" "$name"
    [ -z "$wrong" ] || {
        head -n 5 "$work/said"
        diff <(echo "$before") <(everything)
    } | sed 's/^/# /'
}

commands=(function_ prepare try run bench run_cache bench_cache fetch boot kernels corpus servers
    packages compile compile_to repository systems kernels_logs packets_logs fuzz_logs
    sanitize_logs)
export top
for command in "${commands[@]}"; do
    export -f "${command?}"
    while read -r path component words; do
        refused "$command: $path is refused, $component $words" "$component" "$words" \
            "$command" "$path"
    done <<<"$bad"
done

# ---- what nobody named ----

try_default() { $top/conf/try.sh --demo; }
bench_default() { $top/tests/bench/run.sh memory; }
run_default() { env -u PB_CACHE $top/tests/run.sh --dir /var/tmp/root unit; }
export -f try_default bench_default run_default
refused "try.sh: its default is refused" /var/tmp/tc_portbytes "is a symbolic link" try_default
refused "bench/run.sh: its default is refused" /var/tmp/tc_portbytes-bench "is a symbolic link" \
    bench_default
ln -s /var/tmp/root /var/cache/tc_portbytes
refused "run.sh: the default of PB_CACHE is refused" /var/cache/tc_portbytes \
    "is a symbolic link" run_default

# ---- odd names ----

refused "no name at all is refused" "''" "is no name for a directory" function_ ""
refused "a line break is refused in one line" "\$'/var/tmp/a\\nb'" "is no name" \
    function_ $'/var/tmp/a\nb'

# ---- a race ----

# faster COMMAND...: asks for /var/tmp/raced, and somebody else's command comes just before mkdir
faster() {
    rm -rf /var/tmp/raced
    bash -c '. "$1/tests/lib/directory.sh"
        first=("${@:2}")
        mkdir() { "${first[@]}"; command mkdir "$@"; }
        provide_directory /var/tmp/raced || { echo "$refusal"; exit 1; }
        echo "$directory"' - $top "$@" >"$work/said" 2>&1
}
faster setpriv "${unprivileged[@]}" ln -s root/raced /var/tmp/raced
is "$?$(cat "$work/said")" "1/var/tmp/raced is a symbolic link; name another directory." \
    "somebody plants a link just before mkdir: refused"
[ ! -e /var/tmp/root/raced ]
ok $? "and its target is not made"
faster setpriv "${unprivileged[@]}" mkdir /var/tmp/raced
is "$?$(cat "$work/said")" "1/var/tmp/raced belongs to another user, UNKNOWN ($stranger); name another directory." \
    "somebody makes the directory just before mkdir: refused"
faster env mkdir /var/tmp/raced
is "$?$(cat "$work/said")" "0/var/tmp/raced" "another one of ours makes it just before mkdir: taken"

# ---- what is taken ----

# taken PATH RESOLVED [DIRECTORY]: from the directory (/var/tmp); it is there then, and only root's
taken() {
    is "$(cd "${3:-/var/tmp}" && function_ "$1" 2>&1)" "$2" "$1 is taken: $2"
    is "$(stat -c '%F %U %a' "$2" 2>&1)" "directory root 755" "$2 is root's, of mode 755"
}
taken /var/tmp/fresh /var/tmp/fresh
taken /var/tmp/fresh /var/tmp/fresh
taken /var/tmp/a/b/c /var/tmp/a/b/c
taken /var/tmp/root/sub /var/tmp/root/sub
taken /var/tmp/sticky/ours /var/tmp/sticky/ours
taken relative /var/tmp/relative
taken ./x//../a/./new/ /var/tmp/a/new
taken ../../../../var/tmp/up /var/tmp/up
taken from-a-link /var/tmp/root/from-a-link /var/tmp/link
taken "with a space/and 'quotes\"" "/var/tmp/with a space/and 'quotes\""
taken '*' '/var/tmp/*'
for mask in 000 077; do
    umask $mask
    taken "mask-$mask/new" "/var/tmp/mask-$mask/new"
    umask 022
done
is "$(bash -c 'umask 000; . "$1/tests/lib/directory.sh"; umask' - $top)" 0022 \
    "what is made below is not for others to write"

# Those that build say where, and end since they can't run anything there.
for command in prepare try run bench; do
    (cd /var/tmp && "$command" "./new/../$command") >"$work/said" 2>&1
    ok $(($? == 0)) "$command: noexec ends it"
    at=/var/tmp/$command
    case $command in run | bench) at+=/work ;; esac
    is "$(grep -cxF -e "prepare: building in $at" \
        -e "prepare: $at is on a file system mounted noexec; name a directory elsewhere." \
        "$work/said")" 2 "$command: it would build in $at"
done
rm /var/tmp/tc_portbytes
mkdir /var/tmp/tc_portbytes
try_default >"$work/said" 2>&1
is "$(grep -cxF "prepare: building in /var/tmp/tc_portbytes" "$work/said")" 1 \
    "try.sh: its default is taken"
(cd /var/tmp && run_cache new-cache) >"$work/said" 2>&1
is "$(stat -c '%U %a' /var/tmp/new-cache)" "root 755" "run.sh: PB_CACHE is made"
is "$(find /var/tmp -name 'tc_portbytes-tests.*')" "" "run.sh: its own directory is removed"

# Of what is in the cache they say where.
mkdir -p /var/tmp/full/kernels/0.0/lib/modules/0.0 /var/tmp/full/captures
for file in version vmlinuz note; do echo $file >/var/tmp/full/kernels/0.0/$file; done
touch /var/tmp/full/captures/complete
is "$(cd /var/tmp && fetch full)" \
    $'0.0\tversion\t/var/tmp/full/kernels/0.0/vmlinuz\t/var/tmp/full/kernels/0.0/lib/modules/0.0\tnote' \
    "fetch.sh: PB_CACHE is taken"
is "$(cd /var/tmp && corpus full)" /var/tmp/full/captures "corpus.sh: PB_CACHE is taken"
is "$(cd /var/tmp && packages full 2>/dev/null)" /var/tmp/full/packages/release "packages: PB_CACHE is taken"
is "$(stat -c '%U %a' /var/tmp/full/packages/release)" "root 700" "packages: only root can enter"

# ---- without privileges ----

# The checkout may be where only root can go.
functions=$(cat $top/tests/lib/directory.sh)
is "$(as_stranger bash -c "$functions"'
    provide_directory /var/tmp/strangers/own && echo "$directory"')" \
    /var/tmp/strangers/own "another user may have a directory of their own"
is "$(as_stranger bash -c "$functions"'
    provide_directory /var/cache/new || echo "$? $refusal"')" \
    "2 /var/cache/new can't be made (Permission denied); name another directory." \
    "what can't be made is told from what is not safe"
is "$(cat /var/tmp/root/canary)" "not to be touched" "root's directory is as it was"
finish
