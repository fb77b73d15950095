#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Code, man page, README and example configuration know the same options with the same
# defaults, the man page quotes messages that there are, and links and commands lead somewhere;
# the packages have the version of configure.ac; Grafana's dashboards are what dashboards.py
# writes. TAP. PB_SOURCE, PB_BUILD: as tests/prepare.sh writes them.
set -uo pipefail
self=$(readlink -f "${BASH_SOURCE[0]}")
top=${self%/tests/*} # .github is not copied to PB_SOURCE
# shellcheck source=tests/lib/tap.sh
. "$top/tests/lib/tap.sh"
cd "$PB_SOURCE" || exit 1
written=$(mktemp -d)
trap 'rm -rf "$written"' EXIT

# same NAME A B: the same text, or the difference
same() {
    local status=1
    [ "$2" = "$3" ] && [ -n "$2" ] && status=0
    ok $status "$1"
    [ $status -eq 0 ] || diff <(echo "$2") <(echo "$3") | sed 's/^/# /'
}

# First words only: the rest of a default is prose.
defaults=$("$PB_BUILD/tests/tools/defaults" | sort)
same "every option of the code has its default printed" \
    "$(grep -o '{"[A-Za-z]*", *on_' plugin/config.c | cut -d'"' -f2 | sort)" \
    "$(cut -d' ' -f1 <<<"$defaults")"
same "the README's table agrees" "$defaults" \
    "$(sed -n 's/^| `\([A-Z][A-Za-z]*\)` | `*\([^ `|]*\).*/\1 \2/p' README.md | sort)"
same "the man page agrees" "$defaults" \
    "$(awk '/^\.B[IR] [A-Z]/ { option = $2 }
        /^\.I Default: / { sub(/[.:]$/, "", $3); print option, $3 }' conf/man/collectd-tc_portbytes.5 | sort)"
# Interface, Port and Group have no value that stands for their default: only their names count.
same "the example agrees" \
    "$(sed 's/^\(Interface\|Port\|Group\) .*/\1/' <<<"$defaults" | sort -u)" \
    "$(sed -n 's/^#\t<\{0,1\}\([A-Z][A-Za-z]*\) "\{0,1\}\([a-z0-9]*\)"\{0,1\}.*/\1 \2/p;s/^#\t\(Interface\|Port\) .*/\1/p' \
        conf/tc_portbytes.conf | sed 's/^\(Interface\|Port\|Group\) .*/\1/' | sort -u)"

# ---- the man pages ----

same "the man page's DIAGNOSTICS quotes messages of the code" "none: " \
    "none: $(python3 tests/check/messages.py conf/man/collectd-tc_portbytes.5 plugin/*.c)"
# check_pages NAME PACKAGE COMMAND...: quiet about both pages; the package is installed if the
# command is not there
check_pages() {
    local name=$1 package=$2
    shift 2
    if command -v "$1" >/dev/null || { command -v apt-get >/dev/null &&
        DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$package" \
            >/dev/null 2>&1 </dev/null; }; then
        same "$name" "said: " "said: $("$@" conf/man/* 2>&1)"
    else
        skip "$1 is not here and $package can't be installed" "$name"
    fi
}
check_pages "groff formats the man pages without a warning" groff-base groff -man -ww -z
check_pages "mandoc formats them without a warning" mandoc mandoc -Tlint -W warning

# ---- the other documents ----

same "README.md has at most 250 lines" "$(head -n 250 README.md)" "$(cat README.md)"
same "tests/README.md has the layers of tests/run.sh" \
    "$(sed -n 's/^\(all\|named\)+\{0,1\}="\(.*\)"$/\2/p' tests/run.sh | tr ' ' '\n' | grep . | sort)" \
    "$(sed -n '/^## Layers$/,/^## /s/^| `\([a-z]*\)` |.*/\1/p' tests/README.md | sort)"
same "plugin/README.md has every module" "missing: " "missing: $(
    for file in plugin/*.h; do
        module=$(basename "${file%.h}")
        grep -qF "\`${module%_private}\`" plugin/README.md || echo "$module"
    done)"

# conf/stacks/README.md: a link to a file beside it, then a block that shows what the tests use,
# but for comments and empty lines.
plain() { sed 's/^[ \t]*//;/^#/d;/^$/d' "$@"; }
in_stacks() { find conf/stacks -type f ! -name README.md -printf '%f\n' | sort; }
too_long="prometheus-rules.yml|threshold.conf" # to be shown
while read -r file; do
    same "conf/stacks/README.md shows $file as it is tested" "$(plain "conf/stacks/$file")" "$(
        awk -v link="]($file)" '
            index($0, link) { on = 1; next }
            on && /^    / { print; shown = 1 }
            shown && /^[^ ]/ { exit }' conf/stacks/README.md | plain)"
done < <(in_stacks | grep -vxE "$too_long")
same "what is in conf/stacks and conf/grafana is installed" \
    "$(find conf/stacks conf/grafana -type f ! -name '*.py' | sort)" \
    "$(sed -n '/^nobase_dist_doc_DATA/,/[^\\]$/p' Makefile.am | tr -s ' ' '\n' |
        grep -E '^conf/(stacks|grafana)/' | sort)"

# targets FILE: what its links lead to here, without http and the like, from the top
targets() {
    grep -oE '\]\([^)]*\)' "$1" | sed 's/^](//;s/)$//' | grep -v ':' | while IFS='#' read -r path anchor; do
        case $path in
        '') path=$1 ;;
        *) path=$(realpath -ms --relative-to=. "$(dirname "$1")/$path") ;;
        esac
        echo "$path${anchor:+#$anchor}"
    done
}
# anchors FILE: of its headings, as GitHub makes them
anchors() {
    sed -n 's/^##* //p' "$1" | tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9 _-]//g;s/ /-/g'
}
# broken FILE: the links that lead nowhere
broken() {
    targets "$1" | while IFS='#' read -r path anchor; do
        if [ ! -e "$path" ]; then
            echo "$path"
        elif [ -n "$anchor" ] && ! anchors "$path" | grep -qxF -- "$anchor"; then
            echo "$path#$anchor"
        fi
    done
}
# paths FILE: of ours that it names as code, from the top or from tests/; none with a placeholder
# (NAME.sh) or a pattern
paths() {
    grep -oE '`[A-Za-z0-9_./-]+`' "$1" | tr -d '`' | sort -u |
        grep -E '^(bpf|conf|plugin|tests|bench|fuzz|kernels|packages|packets|service|stacks|system|unit)/.' |
        grep -v "[A-Z]\.\(c\|sh\)\$"
}
# absent FILE: those that are not there; a unit test may be named without its .c
absent() {
    paths "$1" | while read -r path; do
        [ -e "$path" ] || [ -e "tests/$path" ] || [ -e "$path.c" ] || [ -e "$(dirname "$1")/$path" ] ||
            echo "$path"
    done
}
# unknown FILE: layers and sections of the benchmark that it has commands for, and that do not exist
unknown() {
    grep -oE 'tests/run\.sh( [a-z]+)+' "$1" | cut -d' ' -f2- | tr ' ' '\n' | grep . | sort -u |
        while read -r layer; do
            grep -q "^layer_$layer()" tests/run.sh || echo "run.sh $layer"
        done
    grep -oE 'BENCH=[a-z]+' "$1" | cut -d= -f2 | sort -u | while read -r section; do
        grep -q "^#   $section " tests/bench/run.sh || echo "BENCH=$section"
    done
}
(
    cd "$top" || exit 1
    find . -name '*.md' ! -path './.git/*' -printf '%P\n' | sort
) >"$written/documents"
while read -r file; do
    same "$file: every link, path and command leads somewhere" "$file:" \
        "$file:$(cd "$top" && { broken "$file"; absent "$file"; unknown "$file"; })"
    same "$file: wrapped at 80 columns, but for tables, code and pictures" "lines: " \
        "lines: $(sed '/^```/,/^```/d' "$top/$file" | grep -E '^.{81}' | grep -vE '^(    |\||!\[)')"
done <"$written/documents"

# Packages and pages have a version of their own, because tools read it there, before anything is
# built: this is how it is held.
version=$(sed -n 's/^AC_INIT(\[tc_portbytes\], \[\([^]]*\)\].*/\1/p' configure.ac)
same "the Debian package has its version" "$version" \
    "$(sed -n '1s/.*(\(.*\)).*/\1/p' conf/packaging/debian/changelog)"
same "the RPM has its version, in its changelog too" "$version $version-1" \
    "$(sed -n 's/^Version: *//p;/^\*/{s/.* //p;q}' conf/packaging/rpm/tc_portbytes.spec | paste -sd' ')"
same "conf/NEWS.md begins with it" "$version" \
    "$(sed -n '/^## /{s/^## \([^ ]*\).*/\1/p;q}' conf/NEWS.md)"
for file in conf/man/*; do
    same "$file has it" "tc_portbytes $version" \
        "$(sed -n 's/^\.TH [^"]*"[^"]*" "\([^"]*\)".*/\1/p' "$file")"
done

# Generated in a directory of their own, and compared.
python3 conf/grafana/dashboards.py "$written"
for file in conf/grafana/*.json; do
    same "$file is what dashboards.py writes" "$(cat "$written/${file##*/}")" "$(cat "$file")"
done
same "conf/grafana has no other dashboard" "$(cd "$written" && ls -- *.json)" "$(cd conf/grafana && ls -- *.json)"
finish
