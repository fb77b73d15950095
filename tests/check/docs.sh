#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Code, man page, README and example configuration know the same options with the same
# defaults; the packages have the version of configure.ac; Grafana's dashboards are what
# dashboards.py writes. TAP. PB_SOURCE, PB_BUILD: as tests/prepare.sh writes them.
set -uo pipefail
cd "$PB_SOURCE" || exit 1
number=0
failures=0

# same NAME A B: the same text, or the difference
same() {
    number=$((number + 1))
    if [ "$2" = "$3" ] && [ -n "$2" ]; then
        echo "ok $number - $1"
    else
        echo "not ok $number - $1"
        diff <(echo "$2") <(echo "$3") | sed 's/^/# /'
        failures=$((failures + 1))
    fi
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
while read -r file; do
    same "$file: every link leads somewhere" "$file:" "$file:$(broken "$file")"
done < <(find . -name '*.md' ! -path './.*' -printf '%P\n' | sort)

version=$(sed -n 's/^AC_INIT(\[tc_portbytes\], \[\([^]]*\)\].*/\1/p' configure.ac)
same "the Debian package has its version" "$version" \
    "$(sed -n '1s/.*(\(.*\)).*/\1/p' conf/packaging/debian/changelog)"
same "the RPM has its version" "$version" \
    "$(sed -n 's/^Version: *//p' conf/packaging/rpm/tc_portbytes.spec)"

# Generated in a directory of their own, and compared.
written=$(mktemp -d)
trap 'rm -rf "$written"' EXIT
python3 conf/grafana/dashboards.py "$written"
for file in conf/grafana/*.json; do
    same "$file is what dashboards.py writes" "$(cat "$written/${file##*/}")" "$(cat "$file")"
done
same "conf/grafana has no other dashboard" "$(cd "$written" && ls)" "$(cd conf/grafana && ls -- *.json)"
echo "1..$number"
exit $((failures > 0))
