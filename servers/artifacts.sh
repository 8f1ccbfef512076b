# shellcheck shell=sh disable=SC2153,SC2154,SC2034 # a part of helper.sh: it shares its variables
# What the controller asks about the files that a build left; installed as one file with helper.sh. Only of builds
# that ended: whatever works in the tree of one that runs is taken for a part of it. It decides nothing about
# which files are wanted, and it trusts no name: what is asked for is looked at once more before it is read.

NEWLINE='
'

enter_tree() {
    enter_job "$1" || refuse absent 66 || return
    [ -e exit ] || refuse running 75 || return
    if [ -h ws ] || ! cd ws 2>/dev/null; then refuse missing 66; fi
}
# is_inside PATH: whether it stays in the tree and no symbolic link is on its way. The folder of the last one that
# did is remembered, since lists are sorted.
is_inside() {
    case /$1/ in // | //* | */../*) return 1 ;; esac
    [ ! -h "./$1" ] || return 1
    case $1 in */*) ;; *) return 0 ;; esac
    [ "${1%/*}" != "$inside" ] || return 0
    rest=${1%/*}/ at=.
    while [ -n "$rest" ]; do
        at=$at/${rest%%/*} rest=${rest#*/}
        [ ! -h "$at" ] || return 1
    done
    inside=${1%/*}
}
# files ID LIMIT <lines `DEPTH PATH` -> `SIZE PATH` for each regular file below these paths, at most so deep; `!` for
# one whose name holds a control character or is too long, `+` in the end when there are more than LIMIT. Without
# input: the whole tree. A tree has no bound for the length of its paths: the reply has.
op_files() {
    starts=$(cat)
    enter_tree "$1" || return
    inside=
    IFS=$NEWLINE
    for start in ${starts:-100 .}; do
        path=${start#* } depth=${start%% *}
        case $depth in '' | *[!0-9]* | ????*) continue ;; esac
        if [ "$path" = . ]; then
            find_files . "$depth"
        elif is_inside "$path"; then
            find_files "./$path" "$depth"
        fi
    done | awk -v limit="$2" '
        length($0) > 4200 { $0 = "!" }
        { bytes += length($0) + 1 }
        NR > limit || bytes > 33554432 { print "+"; exit }
        { print }'
    unset IFS
}
find_files() {
    if find . -prune -printf '' 2>/dev/null; then
        find "$1" -maxdepth "$2" -type f \( -path '*[[:cntrl:]]*' -printf '!\n' -o -printf '%s %p\n' \) 2>/dev/null
    else # busybox
        find "$1" -maxdepth "$2" -type f ! -path '*[[:cntrl:]]*' -exec stat -c '%s %n' {} + 2>/dev/null
        find "$1" -maxdepth "$2" -type f -path '*[[:cntrl:]]*' -exec echo ! \; 2>/dev/null
    fi
}
# file ID OFFSET <path -> `file OFFSET COUNT SIZE` and the bytes. No symbolic link is followed.
op_file() {
    IFS= read -r path
    cat >/dev/null
    inside=
    enter_tree "$1" || return
    is_inside "$path" || refuse refused 65 || return
    [ -f "./$path" ] || refuse missing 66 || return
    file_size "./$path"
    range "$2" "$SIZE" "$SIZE"
    echo "file $2 $COUNT $SIZE"
    send <"./$path"
}
# pack ID <paths, a line each -> `sum HASH  PATH` for each, `tar`, and an archive of those that are regular files and
# can be read, in any order. The sums come first, and from another look: bytes that fit them are those of the file.
# `notar`: this server has not all that it takes; ask for one file after the other.
op_pack() {
    paths=$(cat)
    enter_tree "$1" || return
    choose_tar || refuse notar 69 || return
    unset TAR_OPTIONS TAPE
    # Nothing here may wait for ever: a pipe may have been put in the place of a file a moment ago.
    plain_paths | xargs -0 -r timeout 3600 sha256sum -- 2>/dev/null | sed 's/^/sum /'
    echo tar
    # shellcheck disable=SC2086 # options, to be split
    plain_paths | timeout 7200 tar $TAR_OPTIONS_CHOSEN --null -T - 2>/dev/null
    return 0
}
# choose_tar: TAR_OPTIONS_CHOSEN, for one that takes a list of any names and writes the oldest form that holds them.
choose_tar() {
    command -v timeout && command -v sha256sum && command -v xargs || return
    case $(tar --version 2>/dev/null) in
    *'GNU tar'*)
        TAR_OPTIONS_CHOSEN='-c -f - --format=gnu --no-recursion --numeric-owner --hard-dereference --ignore-failed-read'
        ;;
    *bsdtar*) TAR_OPTIONS_CHOSEN='-c -f - --format=gnutar --no-recursion --numeric-owner' ;;
    *) return 1 ;;
    esac
} >/dev/null 2>&1
# plain_paths: those of `paths` that may be read now, each with a NUL behind it.
plain_paths() (
    inside=
    IFS=$NEWLINE
    for path in $paths; do
        if is_inside "$path" && [ -f "./$path" ] && [ -r "./$path" ]; then printf './%s\0' "$path"; fi
    done
)
