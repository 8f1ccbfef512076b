# shellcheck shell=sh disable=SC2153,SC2154,SC2034 # a part of helper.sh: it shares its variables
# Removes what nobody needs any more: runs that ended, what crashes left over, old helpers, and mirrors of
# repositories (mirror_lock.sh) that were long not used or are too large together. It decides nothing about runs
# that go on, and nothing that a build uses is removed.

# bounded WORDS: a command, for a minute at most where there is `timeout`.
bounded() {
    if timeout 5 true 2>/dev/null; then timeout 60 "$@"; else "$@"; fi
}
# discard DIR: some builds leave folders without a right to write (Go's module cache). False when something is left.
discard() {
    bounded rm -rf "$1" 2>/dev/null || {
        bounded find "$1" -type d ! -perm -700 -exec chmod u+rwx {} \;
        bounded rm -rf "$1"
    } 2>/dev/null
}
# rm ID...: only what is done; `ID word` for each, `kept` for what cannot be moved. Moved away first, so that half of it
# is never seen as a job; what takes longer than the caller may wait goes on in the background.
op_rm() {
    cd "$ROOT" && bin=trash/rm.$$ ended='' word=removed || return 74
    for item; do
        if ! enter_job "$item"; then
            echo "$item absent"
        elif [ ! -e exit ]; then
            echo "$item running"
        else
            ended="$ended $item"
        fi
    done
    [ -n "$ended" ] || return 0
    cd "$ROOT/jobs" || return 74
    # shellcheck disable=SC2086 # ids
    { [ -d "../$bin" ] || mkdir -p "../$bin"; } 2>/dev/null && mv $ended "../$bin" 2>/dev/null
    discard "../$bin" || word=partial
    for item in $ended; do
        if [ -e "$item" ]; then echo "$item kept"; else echo "$item $word"; fi
    done
    [ "$word" = removed ] || detach_tidy 0 0 0
}
# gc DAYS: removes jobs that ended or were prepared that long ago, and what crashes left over; helpers that no
# process runs any more. Prints how many jobs and helpers.
op_gc() {
    case $1 in '' | *[!0-9]*) return 64 ;; esac
    jobs=0 helpers=0
    cd "$ROOT" && set +f || return
    # shellcheck disable=SC2044 # names without blanks, or no job and no helper
    for directory in $(find jobs/* -prune -type d -mtime "+$1" 2>/dev/null); do
        enter_job "${directory##*/}" || continue
        [ -e runner ] || op_cancel "$ID" expired >/dev/null
    done
    cd "$ROOT" && set +f || return # a look for processes switched it off
    # shellcheck disable=SC2044
    for record in $(find jobs/*/exit -prune -mtime "+$1" 2>/dev/null); do
        directory=${record%/*}
        case $(op_rm "${directory##*/}") in *' removed' | *' partial') jobs=$((jobs + 1)) ;; esac
    done
    cd "$ROOT" && set +f || return
    # shellcheck disable=SC2044
    for file in $(find lib/bb-*.sh -prune -mtime +0 2>/dev/null); do
        case $SELF in */"$file") continue ;; esac
        # shellcheck disable=SC2062 # files, not a pattern; the name comes by stdin, or grep would find itself
        echo "$file" | grep -qsF -f - /proc/[0-9]*/cmdline && continue
        rm -f "$file" && helpers=$((helpers + 1))
    done
    find lib/.*.part jobs/*/in.*.part -prune -mtime +0 -exec rm -rf {} + 2>/dev/null
    for directory in trash/*; do discard "$directory"; done
    echo "$jobs $helpers"
}

# ---- mirrors

# tidy DAYS KIB FLOOR: in the background, remove mirrors that were not used for so many days (0: none), then the
# longest unused while they take more than KIB together or fewer than FLOOR KiB are free, and let git pack the
# others while no build runs. `started`, or `busy` when that goes on already.
op_tidy() {
    case $1:$2:$3 in *[!0-9:]* | :* | *: | *::*) return 64 ;; esac
    cd "$ROOT" || return 74
    UNSOUND=' '
    if alive tidy; then
        echo busy
    else
        rm -f tidy
        detach_tidy "$1" "$2" "$3"
        child=$! WAITED=0
        until [ -e tidy ] || [ "$WAITED" -ge 500 ] || ! read_stat "$child"; do nap 01; done
        echo started
    fi
}
detach_tidy() {
    # shellcheck disable=SC2086 # BUILDBOARD_SH may be two words
    if command -v setsid >/dev/null 2>&1; then
        exec setsid $SHELL_WORDS "$SELF" tidying "$@" </dev/null >/dev/null 2>&1 &
    else
        exec nohup $SHELL_WORDS "$SELF" tidying "$@" </dev/null >/dev/null 2>&1 &
    fi
}
mode_tidying() {
    packing='' stopping=''
    # A build that wants the mirror does not wait for this: it ends it.
    trap 'stopping=1; [ -z "$packing" ] || kill -s KILL -- "-$packing" 2>/dev/null' TERM
    trap : HUP INT
    cd "$ROOT" && enroll tidy && set +f || return
    unset -v GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_CONFIG GIT_CONFIG_PARAMETERS GIT_CONFIG_COUNT GIT_OBJECT_DIRECTORY \
        GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_COMMON_DIR
    for directory in trash/*; do
        rm -rf "$directory" || discard "$directory"
    done
    if [ "$1" != 0 ] && command -v git; then
        rm -rf cache/git/*.git.bad.*
        find cache/git/*.new.* cache/git/*.lock.*.* -prune -mtime +0 -exec rm -f {} +
        tidy_all "$1" "$3"
        shrink "$2" "$3"
    fi
    rm -f tidy
} >/dev/null 2>&1
# tidy_all DAYS FLOOR
tidy_all() {
    for mirror in "$ROOT"/cache/git/*.git; do
        if [ -z "$stopping" ] && [ -d "$mirror" ]; then tidy_mirror "$mirror" "$1" "$2"; fi
    done
}
tidy_mirror() {
    [ -e "$1.used" ] || : >"$1.used"
    hold_mirror "$1" || return
    if ! is_used "$1" && [ -n "$(find "$1.used" -prune -mtime "+$2")" ]; then
        remove_mirror "$1"
    elif is_idle; then
        pack_mirror "$1" "$3"
    fi
    let_mirror "$1"
}
# hold_mirror MIRROR: takes the lock if nobody has it, and says that it is not for a build.
hold_mirror() {
    try_lock "$1" || return
    [ "$bb_holder" = free ] || clean_mirror "$1"
    echo $$ >"$1.clearing"
}
let_mirror() {
    rm -f "$1.clearing"
    release_lock
}
# is_used MIRROR: whether a build that has not ended borrows its objects. What ended ones pinned is let go.
is_used() {
    used=1 gone=
    for reference in $(git --git-dir="$1" for-each-ref --format='%(refname)' refs/buildboard); do
        if [ ! -d "$ROOT/jobs/${reference##*/}" ]; then
            gone="${gone}delete $reference$NEWLINE"
        elif [ ! -e "$ROOT/jobs/${reference##*/}/exit" ]; then
            used=0
        fi
    done
    [ -z "$gone" ] || printf %s "$gone" | git --git-dir="$1" -c core.hooksPath=/dev/null update-ref --stdin
    return $used
}
is_idle() {
    for directory in "$ROOT"/jobs/*; do
        if [ -d "$directory" ] && [ ! -e "$directory/exit" ]; then return 1; fi
    done
}
# pack_mirror MIRROR FLOOR: in a session of its own, to be ended whole; only where the disk has room for a second one.
pack_mirror() {
    size=$(du -sk "$1")
    DISKMIN=$(($2 + ${size%%[!0-9]*}))
    ! below_floor && command -v setsid || return
    # References stay files, as which builds look at them. Younger objects stay, should somebody kill only this helper.
    exec setsid git --git-dir="$1" -c core.hooksPath=/dev/null -c gc.auto=2000 -c gc.autoPackLimit=20 \
        -c gc.autoDetach=false -c gc.packRefs=false -c gc.pruneExpire=1.hour.ago gc --auto --quiet &
    packing=$!
    [ -z "$stopping" ] || kill -s KILL -- "-$packing"
    wait "$packing" || clear_packing "$1"
    packing=
}
clear_packing() {
    WAITED=0
    while kill -s 0 -- "-$packing" && [ "$WAITED" -lt 1000 ]; do nap 05; done
    clean_mirror "$1"
    rm -f "$1/gc.pid"
}
remove_mirror() {
    mkdir -p "$ROOT/trash"
    mv "$1" "$ROOT/trash/${1##*/}.$$" || return
    rm -f "$1.used" "$1.clearing" "$bb_lock"
    bb_lock=
    rm -rf "$ROOT/trash/${1##*/}.$$"
}
# shrink KIB FLOOR: the longest unused first.
shrink() {
    # shellcheck disable=SC2012 # names of hexadecimal digits
    for mirror in $(ls -1tr cache/git | sed -n 's/\.git\.used$/.git/p'); do
        size=$(du -sk cache/git)
        DISKMIN=$2
        [ -z "$stopping" ] || return
        [ "${size%%[!0-9]*}" -gt "$1" ] || below_floor || return
        mirror=$ROOT/cache/git/$mirror
        if [ -d "$mirror" ] && hold_mirror "$mirror"; then
            is_used "$mirror" || remove_mirror "$mirror"
            let_mirror "$mirror"
        fi
    done
}

serve "rm gc files file pack tidy tidying ." "$@"
