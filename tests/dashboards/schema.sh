#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Grafana's dashboards against the types of @grafana/schema, and what an import relies on besides.
# Each kind of fault is seen to be found: in a copy that has it. TAP; without root.
# PB_CACHE (/var/cache/tc_portbytes): where the packages from npm are kept for the next run.
set -uo pipefail
here=$(cd "${0%/*}" && pwd)
grafana=$here/../../conf/grafana
# shellcheck source=tests/lib/directory.sh
. "$here/../lib/directory.sh"
work=$(mktemp -d "${TMPDIR:-/tmp}/tc_portbytes-test.XXXXXX")
new='' # packages that are being installed
trap 'rm -rf "$work" "$new"' EXIT
tests=0
failures=0

# Exactly these: a later one may refuse what this one takes. schema-10 has the last types of
# Prometheus' queries.
packages='"@grafana/schema": "13.2.3", "schema-10": "npm:@grafana/schema@10.4.2"'
packages+=', "typescript": "5.9.3"'

# is GOT EXPECTED NAME
is() {
    tests=$((tests + 1))
    if [ "$1" = "$2" ]; then
        echo "ok $tests - $3"
    else
        echo "not ok $tests - $3"
        echo "$1" | head -n 40 | sed 's/^/# /'
        failures=$((failures + 1))
    fi
}

# provide_modules: $modules has the packages; fails where they can't be had
provide_modules() {
    local cache
    if ! provide_directory "${PB_CACHE:-/var/cache/tc_portbytes}/npm"; then
        echo "# $refusal"
        provide_directory "$work/npm" || return
    fi
    cache=$directory
    modules=$cache/schema-$(cksum <<<"$packages" | cut -d' ' -f1)/node_modules
    [ -d "$modules" ] && return
    new=$(mktemp -d "$cache/new.XXXXXX") || return
    echo "{ \"private\": true, \"dependencies\": { $packages } }" >"$new/package.json"
    if (cd "$new" && npm_config_cache=$new/cache timeout 300 npm install --ignore-scripts \
        --no-package-lock --no-audit --no-fund --no-update-notifier) \
        >"$work/npm.log" 2>&1 </dev/null; then
        rm -rf "$new/cache"
        chmod 755 "$new"
        mv -T "$new" "${modules%/*}" 2>/dev/null # or another run was first
    else
        sed 's/^/# /' "$work/npm.log" | tail -n 5
    fi
    rm -rf "$new"
    [ -d "$modules" ]
}

# typescript STORE [SED_COMMAND]: the dashboard as a literal of its type; lines keep their numbers
typescript() {
    sed "${2:-};1s/.*/import type { $1 as Type } from \".\/types\"; export const board: Type = {/" \
        "$grafana/$1.json"
}

# A line each: STORE SED_COMMAND, which makes a fault in it.
faults() {
    cat <<-'END_OF_FAULTS'
		prometheus s/"schemaVersion"/"schemaVersoin"/
		prometheus s/"graphTooltip": 1/"graphTooltip": 7/
		prometheus s/"refresh": 2/"refresh": "2"/
		prometheus s/"includeAll"/"includeAny"/
		prometheus s/"type": "custom"/"type": "choice"/
		prometheus s/"type": "row"/"type": "rows"/
		prometheus s/"type": "timeseries"/"type": "graph"/
		prometheus s/"collapsed": true/"collapsed": "true"/
		prometheus s/"h": 11/"height": 11/
		prometheus s/"unit": "bps"/"units": "bps"/
		prometheus s/"drawStyle": "line"/"drawStyle": "lines"/
		prometheus s/"fillOpacity"/"fillOpacty"/
		prometheus s/"mode": "percent"/"mode": "share"/
		prometheus s/"custom.transform"/"custom.transfrom"/
		prometheus s/"negative-Y"/"negativeY"/
		prometheus s/"fill": "dash"/"fill": "dashed"/
		prometheus s/"byFrameRefID"/"byRefId"/
		prometheus s/__dashboard.uid/__dashboard.id/
		prometheus s/"sortDesc"/"sortDescending"/
		prometheus s/"showHeader"/"showHeaders"/
		prometheus s/"transformations"/"transformation"/
		prometheus s/"legendFormat"/"legendFromat"/
		prometheus s/"format": "table"/"format": "tabular"/
		prometheus s/"instant": true/"instant": 1/
		prometheus s/"iconColor"/"iconColour"/
		prometheus s/"titleFormat"/"titelFormat"/
		prometheus s/DS_PROMETHEUS}/DS_PROM}/
		influxdb s/"rawQuery": true/"rawQuery": "true"/
		influxdb s/"resultFormat": "table"/"resultFormat": "tables"/
		graphite s/"target": "alias/"targets": "alias/
		graphite s/"fromAnnotations"/"fromAnnotation"/
	END_OF_FAULTS
}

# What the types don't tell.
basic_faults() {
    cat <<-'END_OF_FAULTS'
		prometheus s/"uid": "tc-portbytes-prom"/"uid": "tc-portbytes-prom-of-more-than-forty-characters"/
		prometheus s/"id": null/"id": 7/
		prometheus s/"schemaVersion": 36/"schemaVersion": 3/
		prometheus s/"id": 3,/"id": 2,/
		prometheus s/"x": 12/"x": 11/
		prometheus s/"x": 12/"x": 13/
		prometheus s/"collapsed": true/"collapsed": false/
		prometheus s/"name": "DS_PROMETHEUS"/"name": "DS_PROM"/
		prometheus s/instance=\\"$host\\"/instance=\\"$hots\\"/
		prometheus s/"options": "B"/"options": "Z"/
		influxdb s/"name": "top"/"name": "topmost"/
	END_OF_FAULTS
}

is "$(python3 "$here/basics.py" "$grafana"/*.json)" "" "numbers, places, variables and data sources"
number=0
while read -r store fault; do
    number=$((number + 1))
    sed "$fault" "$grafana/$store.json" >"$work/$number.json"
    [ -n "$(python3 "$here/basics.py" "$work/$number.json")" ] || echo "$store: $fault"
done < <(basic_faults) >"$work/missed"
is "$(cat "$work/missed")" "" "a fault in these is found"

if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
    missing="there is no npm"
elif ! provide_modules; then
    missing="npm can't install the packages"
fi
if [ -n "${missing:-}" ]; then
    echo "ok $((tests + 1)) - @grafana/schema's types # SKIP $missing"
    echo "1..$((tests + 1))"
    exit $((failures > 0))
fi

ln -s "$modules" "$work/node_modules"
cp "$here/types.ts" "$work"
for store in graphite influxdb prometheus; do
    typescript $store >"$work/$store.ts"
done
number=0
while read -r store fault; do
    number=$((number + 1))
    typescript "$store" "$fault" >"$work/fault$number.ts"
done < <(faults)
(cd "$work" && node node_modules/typescript/bin/tsc --noEmit --strict --target es2020 \
    --module esnext --moduleResolution bundler ./*.ts >found 2>&1)
# tsc's file name tells what a message is about; what names none of the copies is about ours.
is "$(grep -v '^fault\|^ ' "$work/found")" "" "@grafana/schema's types: nothing to say"
number=0
while read -r store fault; do
    number=$((number + 1))
    grep -q "^fault$number\.ts" "$work/found" || echo "$store: $fault"
done < <(faults) >"$work/missed"
is "$(cat "$work/missed")" "" \
    "a misspelt field and a value of another type are found, each of $number"
echo "1..$tests"
exit $((failures > 0))
