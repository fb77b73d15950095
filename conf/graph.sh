#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Draws an interface's busiest ports from the RRD files that collectd's plugins rrdtool and
# rrdcached write. See usage below. Where rrdcached is used, set RRDCACHED_ADDRESS
# (unix:/run/rrdcached.sock), as for rrdtool itself: then it shows what is not on disk yet.
#
# The series "decrypted" is in no sum: its packets were on the wire once, as ESP or AH.
#
# Names of hosts, interfaces and series are whatever a network client of collectd's chose.

set -euo pipefail
export LC_ALL=C
shopt -s nullglob

usage() {
    cat <<'END'
usage: graph.sh [--dir DIR] [--host HOST] [--interface NAME] [--from TIME] [--to TIME]
                [--top N] [--packets] [--size WIDTHxHEIGHT] [--out FILE.png]

Draws an interface's busiest ports, in above the axis and out below, and prints what each
carried in that time.

  --dir DIR            where collectd's RRD files are [/var/lib/collectd/rrd]
  --host HOST          whose [the only one there]
  --interface NAME     which interface [the only one there]
  --from, --to TIME    as rrdtool takes it: -6h, -30min (m is months), "10:00 20261103",
                       1794000000 [-1d to now]
  --top N              ports and groups with an area of their own, 1 to 10 [8]; the rest is
                       one area, and so are the ephemeral ranges and what the plugin calls other
  --packets            packets in place of bits
  --size WIDTHxHEIGHT  of the picture in pixels [960x600]
  --out FILE.png       [ports-NAME.png, in place of what has that name, a link included]

What IPsec decrypted is a dashed line and not in the sum: as ESP or AH it is there already.
END
}

# plain TEXT: without control characters, for a terminal and for a picture
plain() { printf '%s' "${1//[^[:print:]]/?}"; }

warn() { printf 'graph.sh: %s\n' "$(plain "$*")" >&2; }

die() {
    warn "$@"
    exit 1
}

# Okabe and Ito's colours but black (https://jfly.uni-koeln.de/color/), and dark ones of Paul
# Tol's "muted" (https://personal.sron.nl/~pault/): the colour-blind can tell them apart.
colours=(0072B2 E69F00 009E73 CC79A7 56B4E9 D55E00 F0E442 332288 882255 999933)

parse() {
    dir=/var/lib/collectd/rrd host='' interface='' from=-1d to=now top=8 size=960x600 out=''
    traffic=bytes standard=if_octets factor=8 unit=bit/s
    while [ "$#" -gt 0 ]; do
        case $1 in
        --packets) traffic=packets standard=if_packets factor=1 unit=packets/s ;;
        --dir | --host | --interface | --from | --to | --top | --size | --out)
            [ "$#" -ge 2 ] || die "$1 needs a value."
            printf -v "${1#--}" %s "$2"
            shift
            ;;
        -h | --help)
            usage
            exit 0
            ;;
        *) die "there is no option $1; --help names them." ;;
        esac
        shift
    done
    [[ $top =~ ^([1-9]|10)$ ]] || die "--top wants a number from 1 to 10."
    [[ $size =~ ^([1-9][0-9]{2,3})x([1-9][0-9]{2,3})$ ]] ||
        die "--size wants WIDTHxHEIGHT, each from 100 to 9999."
    width=${BASH_REMATCH[1]} height=${BASH_REMATCH[2]}
}

# ---- the files ----

# only VARIABLE NAME...: sets it to the one name there is; the same ones follow each other
only() {
    local names=() name

    for name in "${@:2}"; do
        [ "${#names[@]}" -gt 0 ] && [ "$name" = "${names[-1]}" ] || names+=("$name")
    done
    # As a shell takes it.
    [ "${#names[@]}" -eq 1 ] || die "--$1 must say which:$(printf ' %q' "${names[@]}")."
    printf -v "$1" %s "${names[0]}"
}

# instance_of PATH: sets instance. False: it is none that the plugin makes, see series_name.h.
instance_of() {
    local transport='(tcp|udp|sctp)-([0-9]{1,5}|other|ephemeral)'

    instance=${1##*/} instance=${instance%.rrd}
    instance=${instance#port_traffic-} instance=${instance#"$standard"-}
    [[ $instance =~ ^($transport|ip-[a-z0-9-]+|nonip|decrypted|group-[A-Za-z0-9._-]{1,32})$ ]]
}

# Sets host, interface and files.
find_files() {
    local names=("$dir"/*/tc_portbytes-*) where file instance others=0

    [ "${#names[@]}" -gt 0 ] || die "$dir holds no files of tc_portbytes."
    names=("${names[@]%/*}")
    [ -n "$host" ] || only host "${names[@]##*/}"
    names=("$dir/$host"/tc_portbytes-*)
    [ "${#names[@]}" -gt 0 ] || die "$dir holds no files of tc_portbytes for host $host."
    [ -n "$interface" ] || only interface "${names[@]##*/tc_portbytes-}"
    where=$dir/$host/tc_portbytes-$interface
    files=()
    for file in "$where"/port_traffic-*.rrd "$where/$standard"-*.rrd; do
        if instance_of "$file"; then files+=("$file"); else others=$((others + 1)); fi
    done
    [ "${#files[@]}" -gt 0 ] || die "$where holds no files of ports."
    [ "$others" -eq 0 ] ||
        warn "left out $others files in $where: they have no names of the plugin's series."
    case $out in
    '') picture=$work/picture.png out=ports-${interface//[^A-Za-z0-9._@+=,~-]/_}.png ;;
    -*) picture=./$out ;;
    *) picture=$out ;;
    esac
}

# Of one file: i0 and o0, in and out, bytes or packets a second. StandardTypes has other names. A
# backslash in front of a colon, and no other, is not part of the path.
define() {
    local path=${files[$1]//:/\\:} suffix=_$traffic

    [[ ${files[$1]##*/} == port_traffic-* ]] || suffix=
    definitions+=("DEF:i$1=$path:rx$suffix:AVERAGE" "DEF:o$1=$path:tx$suffix:AVERAGE")
}

# Sets the variable to a number that rrdtool printed, or 0: what is not known carried nothing.
number() {
    if [[ $2 =~ ^-?[0-9]{1,18}$ ]]; then printf -v "$1" %s "$2"; else printf -v "$1" 0; fi
}

# Sets definitions, and received and sent of every instance, with the numbers of its files in
# members: two where the types were changed. In steps of 1, that is as fine as the files are:
# coarser ones would round.
measure() {
    local k instance prints=() printed in out

    definitions=()
    for k in "${!files[@]}"; do
        define "$k"
        prints+=("VDEF:I$k=i$k,TOTAL" "VDEF:O$k=o$k,TOTAL" "PRINT:I$k:%.0lf" "PRINT:O$k:%.0lf")
    done
    printed=$(run_rrdtool graph /dev/null --step 1 "${definitions[@]}" "${prints[@]}")
    # Its first line is the size of no picture.
    mapfile -t printed < <(sed 1d <<<"$printed")
    for k in "${!files[@]}"; do
        instance_of "${files[k]}"
        number in "${printed[2 * k]}"
        number out "${printed[2 * k + 1]}"
        members[$instance]+=" $k"
        received[$instance]=$((${received[$instance]:-0} + in))
        sent[$instance]=$((${sent[$instance]:-0} + out))
    done
}

# run_rrdtool COMMAND FILE ARGUMENT...: its complaint is ours, in one line
run_rrdtool() {
    rrdtool "$1" "$2" --start "$from" --end "$to" "${@:3}" 2>"$complaint" ||
        die "rrdtool: $(head -n 1 "$complaint")"
}

# ---- what has an area of its own ----

# Sets shown, busiest first: ports and groups, then what is summed up.
choose() {
    local instance ranked=()

    while read -r _ instance; do
        [ "$instance" != decrypted ] || continue
        add_to all "$instance"
        case $instance in # not group-other
        tcp-ephemeral | udp-ephemeral | sctp-ephemeral) add_to ephemeral "$instance" ;;
        tcp-other | udp-other | sctp-other) add_to other "$instance" ;;
        *)
            if [ "${#ranked[@]}" -lt "$top" ]; then
                ranked+=("$instance")
            else
                add_to rest "$instance"
            fi
            ;;
        esac
    done < <(for instance in "${!members[@]}"; do
        echo "$((${received[$instance]} + ${sent[$instance]})) $instance"
    done | sort -k 1,1nr -k 2)
    shown=(${ranked[@]+"${ranked[@]}"})
    for instance in rest ephemeral other; do
        [ -z "${members[$instance]:-}" ] || shown+=("$instance")
    done
    [ "${#shown[@]}" -gt 0 ] || die "$interface has no series but decrypted."
}

# add_to SUM INSTANCE
add_to() {
    members[$1]+=${members[$2]}
    received[$1]=$((${received[$1]:-0} + ${received[$2]}))
    sent[$1]=$((${sent[$1]:-0} + ${sent[$2]}))
}

# A port has the same colour in every picture, unless another one there has it; so has a group.
choose_colours() {
    local instance slot taken=' '

    colour=([rest]=C8C8C8 [ephemeral]=9A9A9A [other]=707070 [decrypted]=000000)
    while read -r instance; do
        [ -z "${colour[$instance]:-}" ] || continue
        slot=$(($(cksum <<<"$instance" | cut -d ' ' -f 1) % ${#colours[@]}))
        while [[ $taken == *" $slot "* ]]; do slot=$(((slot + 1) % ${#colours[@]})); done
        taken+="$slot "
        colour[$instance]=${colours[slot]}
    done < <(printf '%s\n' "${shown[@]}" | sort)
}

# "tcp 443 https", "group rtp"
label() {
    local name=${1/-/ } service=

    case $1 in
    rest) name="other than the busiest" ;;
    ephemeral) name="ephemeral ports" ;;
    other) name="other, little used" ;;
    nonip) name="not IP" ;;
    ip-*) name="IP ${1#ip-}" ;;
    decrypted) name="decrypted, not in sum" ;;
    group-*) ;;
    *) service=$(getent services "${1#*-}/${1%%-*}" | cut -d ' ' -f 1) || true ;;
    esac
    echo "$name${service:+ $service}"
}

# ---- the picture ----

# total_of LETTER INSTANCE: the sum of its files, i or o, in rrdtool's notation
total_of() {
    local direction=$1 k text=

    for k in ${members[$2]}; do
        text+=${text:+,}$direction$k${text:+,ADDNAN}
    done
    echo "$text"
}

# row NUMBER INSTANCE: its curves, its area and its line of the legend. Where nothing at all is
# known there is a gap; where only this series is not, it carried nothing.
row() {
    local n=$1 stack=:STACK

    [ "$n" -gt 0 ] || stack=
    definitions+=(
        "CDEF:ri$n=$(total_of i "$2")" "CDEF:in$n=alli,UN,UNKN,ri$n,UN,0,ri$n,IF,IF,$factor,*"
        "CDEF:ro$n=$(total_of o "$2")" "CDEF:out$n=allo,UN,UNKN,ro$n,UN,0,ro$n,IF,IF,$factor,*"
        "CDEF:down$n=0,out$n,-")
    upwards+=("AREA:in$n#${colour[$2]}:$(pad "${labels[$2]//:/\\:}")$stack")
    legend "in$n" "out$n" "${received[$2]}" "${sent[$2]}"
    downwards+=("AREA:down$n#${colour[$2]}:$stack")
}

# The line of what is decrypted.
decrypted_row() {
    definitions+=("CDEF:ind=$(total_of i decrypted),$factor,*"
        "CDEF:outd=$(total_of o decrypted),$factor,*" "CDEF:downd=0,outd,-")
    upwards+=("LINE2:ind#${colour[decrypted]}:$(pad "${labels[decrypted]}"):dashes")
    legend ind outd "${received[decrypted]}" "${sent[decrypted]}"
    downwards+=("LINE2:downd#${colour[decrypted]}::dashes")
}

# pad NAME: to the width of the longest label
pad() { printf '%-*s' "$columns" "$1"; }

# legend IN OUT RECEIVED SENT: of a line in the legend what is behind the name
legend() {
    upwards+=("GPRINT:$1:AVERAGE:%6.1lf %s" "GPRINT:$1:MAX:%6.1lf %s" "COMMENT:$(si "$3")"
        "GPRINT:$2:AVERAGE:    %6.1lf %s" "GPRINT:$2:MAX:%6.1lf %s" "COMMENT:$(si "$4")\l")
}

si() {
    awk -v x="$1" 'BEGIN {
        while (x >= 999.95 && n < 6) { x /= 1000; n++ }
        printf "%6.1f %s", x, substr(" kMGTPE", n + 1, 1)
    }'
}

draw() {
    local n upwards=() downwards=() columns=24
    local -A labels=()

    for n in "${shown[@]}" ${members[decrypted]:+decrypted}; do
        labels[$n]=$(label "$n")
        [ "${#labels[$n]}" -le "$columns" ] || columns=${#labels[$n]}
    done
    definitions+=("CDEF:alli=$(total_of i all)" "CDEF:allo=$(total_of o all)"
        "CDEF:in=alli,$factor,*" "CDEF:out=allo,$factor,*" "CDEF:down=0,out,-")
    upwards=("COMMENT:$(pad "$unit")  " "COMMENT: in mean" "COMMENT:     max"
        "COMMENT:$(printf %8s "$traffic")" "COMMENT:    out mean" "COMMENT:     max"
        "COMMENT:$(printf %8s "$traffic")\l")
    for n in "${!shown[@]}"; do row "$n" "${shown[n]}"; done
    upwards+=("LINE1:in#000000:$(pad sum)")
    legend in out "${received[all]}" "${sent[all]}"
    [ -z "${members[decrypted]:-}" ] || decrypted_row
    run_rrdtool graph "$picture" --title "$(plain "$host, $interface"): $unit by port" \
        --vertical-label "out      $unit      in" --imgformat PNG --full-size-mode \
        --width "$width" --height "$height" --border 0 --slope-mode --disable-rrdtool-tag \
        --color BACK#FFFFFF --color ARROW#FFFFFF --color FRAME#FFFFFF --color GRID#00000018 \
        --color MGRID#00000030 \
        --font DEFAULT:9:'DejaVu Sans Mono' --font TITLE:12:'DejaVu Sans' \
        --font AXIS:8:'DejaVu Sans' --font UNIT:9:'DejaVu Sans' \
        "${definitions[@]}" "${upwards[@]}" "${downwards[@]}" LINE1:down#000000 \
        HRULE:0#000000 >/dev/null
    # A link that somebody else made in the working directory is not followed.
    [ "$picture" != "$work/picture.png" ] || mv -fT -- "$picture" "$out" 2>"$complaint" ||
        die "$(head -n 1 "$complaint")"
}

print_totals() {
    local instance names=("${shown[@]}" all ${members[decrypted]:+decrypted}) columns=20

    for instance in "${names[@]}"; do
        [ "${#instance}" -le "$columns" ] || columns=${#instance}
    done
    printf '%s %20s %20s\n' "$(pad "$(plain "$interface")")" "$traffic in" "$traffic out"
    for instance in "${names[@]}"; do
        printf '%s %20s %20s\n' "$(pad "$instance")" "${received[$instance]}" "${sent[$instance]}"
    done
}

main() {
    local -A members=() received=() sent=() colour=()

    parse "$@"
    command -v rrdtool >/dev/null || die "rrdtool is missing: apt install rrdtool."
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    complaint=$work/complaint
    find_files
    measure
    choose
    choose_colours
    draw
    print_totals
}

main "$@"
