# SPDX-License-Identifier: MIT
#
# A directory to build in, or to keep things in, that no other user can change. To be sourced.
#
# Root runs and removes what is in there. So no other user may be able to write in it, or to put
# a link or a directory of their own in its place or in the place of one above it: each, from /
# on, is a directory and no link, belongs to root or to the calling user, and is not writable by
# group or others. Only one above it may be if it is sticky (/tmp, /var/tmp): there an entry is
# renamed and removed by its owner, the directory's owner and root alone (EPERM in rename(2)).
# A directory is checked after the one above it, so nobody can change what was checked before.
# shellcheck shell=bash

# What is made in there is not for others to write either.
umask go-w

# provide_directory PATH: makes the directory if it is missing (mode 755, and so for those above
# it), and sets directory, its absolute path without links. That is the path to use from now on:
# PATH may lead elsewhere by then. Otherwise refusal is set, one line that says why, and nothing
# was made in what is not ours; status 1: others could change it, 2: it can't be made.
# shellcheck disable=SC2034 # directory and refusal are the caller's
provide_directory() {
    local path=$1 part parts components=('') number last at error found type mode uid user wrong

    directory='' refusal=''
    [[ $path == /* ]] || path=$(pwd -P)/$path
    if [[ -z $1 || $path == *[[:cntrl:]]* ]]; then
        refusal="${1@Q} is no name for a directory; name another directory."
        return 1
    fi
    # .. by name, which is as good: what is used is what is checked.
    IFS=/ read -ra parts <<<"$path"
    for part in "${parts[@]}"; do
        case $part in
        '' | .) ;;
        ..) [ "${#components[@]}" -eq 1 ] || unset 'components[-1]' ;;
        *) components+=("$part") ;;
        esac
    done
    last=$((${#components[@]} - 1)) at=
    for number in "${!components[@]}"; do
        at=${at%/}/${components[number]}
        # An entry that somebody made since then mkdir neither follows nor takes (EEXIST), and
        # it is checked like one that was there before.
        if ! found=$(stat -c '%f %u %U' -- "$at" 2>/dev/null); then
            error=$(LC_ALL=C mkdir -m 755 -- "$at" 2>&1) || true
            found=$(stat -c '%f %u %U' -- "$at" 2>/dev/null) || {
                refusal="$at can't be made (${error##*: }); name another directory."
                return 2
            }
        fi
        read -r mode uid user <<<"$found"
        type=$((16#$mode & 8#170000)) mode=$((16#$mode & 8#7777)) wrong= # inode(7)
        if [ $type -eq $((8#120000)) ]; then
            wrong="is a symbolic link"
        elif [ $type -ne $((8#040000)) ]; then
            wrong="is not a directory"
        elif [ "$uid" -ne 0 ] && [ "$uid" -ne "$EUID" ]; then
            wrong="belongs to another user, $user ($uid)"
        elif [ "$number" -eq $last ] || [ $((mode & 8#1000)) -eq 0 ]; then
            [ $((mode & 8#020)) -eq 0 ] || wrong="is writable by its group"
            [ $((mode & 8#002)) -eq 0 ] || wrong="is writable by everybody"
        fi
        if [ -n "$wrong" ]; then
            refusal="$at $wrong; name another directory."
            return 1
        fi
    done
    directory=$at
}

# need_directory SETTING PATH: the same; what is refused is the end, with a line on standard error
# that names the setting
need_directory() {
    provide_directory "$2" || {
        printf '%s: %s: %s\n' "${0##*/}" "$1" "$refusal" >&2
        exit 1
    }
}
