#!/bin/sh
# Part of the build script (build.sh says how it is put together): brings the commit into ws/src.
# It owns the mirrors under cache/git and their locks. It decides nothing about how the tree is built.
#
# One bare mirror a repository URL, with full history: `clone --shared` ignores a shallow mirror and copies all
# of it, and abbreviated ids and `git describe` need the history. References in it:
#   refs/buildboard/ATTEMPT  what an attempt uses; goes at a later fetch when the attempt's folder has gone
#   refs/kept/KEY            the last commit built of a branch: without it every fetch would begin from nothing
# Nothing else may write to a mirror without take_lock, and nothing may prune what refs/buildboard holds.

# What runs before a build's own command is paid by every build, and nearly all of that is starting processes: so
# nothing here starts one that the shell can do without.

# note WORDS: a section line of the log, one line whatever the words hold.
note() {
    case "$*" in
    *[[:cntrl:]]*)
        printf -- '--- %s\n' "$(printf '%s' "$*" | LC_ALL=C tr '\n' ' ' | LC_ALL=C tr -d '\000-\037\177')"
        ;;
    *) printf -- '--- %s\n' "$*" ;;
    esac
}
# fail STATUS SENTENCE: 66 it cannot be built as it was submitted, 69 this server or the network failed.
fail() {
    bb_status=$1
    shift
    note "failed: $*"
    exit "$bb_status"
}

# Nobody's hooks, templates, monitors or background maintenance; no prompt; only the protocols that are allowed.
board_git() {
    # Files: they are read and written here without a process of git's.
    LC_ALL=C GIT_TERMINAL_PROMPT=0 GIT_ALLOW_PROTOCOL="$BB_PROTOCOLS" GIT_DEFAULT_REF_FORMAT=files git \
        -c core.hooksPath=/dev/null -c core.fsmonitor= -c gc.auto=0 -c maintenance.auto=false \
        -c protocol.ext.allow=never -c fetch.recurseSubmodules=false -c submodule.recurse=false \
        -c log.showSignature=false -c advice.detachedHead=false "$@"
}

# ---- the lock of a mirror
# Records MIRROR.lock.NUMBER with `pid start boot`, or `free`. The highest number is the lock. It is never
# removed, and a lower one only by the holder of a higher one: so no number is handed out twice, and two that
# find the same dead holder cannot both follow it.

# process_start PID: sets bb_start, the identity of a pid; false for one that is dead. What counts in the record
# is after the last ")", since the name of a program may hold anything.
process_start() {
    bb_stat=
    { while IFS= read -r bb_line; do bb_stat=$bb_stat$bb_line; done <"/proc/$1/stat"; } 2>/dev/null || return 1
    # shellcheck disable=SC2086 # must be split
    set -- ${bb_stat##*) }
    [ $# -ge 20 ] && [ "$1" != Z ] && [ "$1" != X ] || return 1
    bb_start=${20}
}
boot_id() { { read -r bb_boot </proc/sys/kernel/random/boot_id; } 2>/dev/null || bb_boot=noboot; }
# is_held RECORD: whether the process that it names, bb_holder, lives. One that has just gone counts as held.
is_held() {
    bb_holder=another
    { read -r bb_holder bb_held_start bb_held_boot <"$1"; } 2>/dev/null || return 0
    [ "$bb_holder" != free ] && [ "$bb_held_boot" = "$bb_boot" ] &&
        process_start "$bb_holder" && [ "$bb_start" = "$bb_held_start" ]
}
# highest_lock MIRROR: sets bb_highest, 0 when there is none.
highest_lock() {
    bb_highest=0
    for bb_record in "$1".lock.*; do
        case ${bb_record##*.} in '' | *[!0-9]*) continue ;; esac
        if [ "${bb_record##*.}" -gt "$bb_highest" ]; then bb_highest=${bb_record##*.}; fi
    done
}
# clean_mirror MIRROR: removes what a killed git left there, which would stop every later one.
clean_mirror() {
    [ ! -d "$1" ] || find "$1" -type f \( -name '*.lock' -o -name 'tmp_pack_*' -o -name 'tmp_idx_*' -o -name 'tmp_obj_*' \) \
        -exec rm -f {} +
}
# take_lock MIRROR: waits until the lock is this process's and sets bb_lock. bb_holder tells who had it before:
# `free` when it was given back, so that the mirror is whole. Else what a killed git left is removed.
take_lock() {
    bb_turns=0
    boot_id
    if ! process_start $$ || ! printf '%s\n' "$$ $bb_start $bb_boot" >"$1.new.$$"; then
        fail 69 "The folder ${1%/*} on this server cannot be written to."
    fi
    while :; do
        highest_lock "$1"
        bb_next=$1.lock.$((bb_highest + 1)) bb_holder=nobody
        if [ "$bb_highest" = 0 ] || ! is_held "$1.lock.$bb_highest"; then
            if ln "$1.new.$$" "$bb_next" 2>/dev/null; then
                highest_lock "$1"
                [ "$bb_next" = "$1.lock.$bb_highest" ] && break
                rm -f "$bb_next" # a number from long ago
            elif [ ! -e "$bb_next" ]; then
                note "no lock: this file system has no hard links"
                rm -f "$1.new.$$"
                return
            fi
        else
            [ $((bb_turns % 150)) != 0 ] || note "waiting: process $bb_holder fetches the same repository"
            bb_turns=$((bb_turns + 1))
            sleep 0.2 2>/dev/null || sleep 1
        fi
    done
    bb_lock=$bb_next
    [ "$bb_holder" = free ] || clean_mirror "$1"
    for bb_record in "$1".lock.*; do [ "$bb_record" = "$bb_lock" ] || set -- "$@" "$bb_record"; done
    bb_record=$1.new.$$
    shift
    rm -f "$bb_record" "$@"
}
# abandon_lock: at an end in the middle, when git may have been killed.
# shellcheck disable=SC2317 # called by the trap
abandon_lock() {
    [ -n "$bb_lock" ] || return 0
    clean_mirror "$bb_mirror"
    release_lock
}
release_lock() {
    [ -n "$bb_lock" ] || return 0
    echo free >"$bb_lock.$$" && mv -f "$bb_lock.$$" "$bb_lock"
    bb_lock=
}

# ---- fetching

# show_progress: all of it to run/fetch; to the log only the ends, and for what is large every tenth part: a sign of
# life, not a page of it. A branch that is not there may be a tag.
show_progress() {
    LC_ALL=C tr '\r' '\n' | LC_ALL=C awk '
        BEGIN { printf "" >"run/fetch" }
        { print >"run/fetch" }
        /couldn.t find remote ref/ { next }
        /[0-9]%/ && !/done\.?[ ]*$/ {
            split($0, parts, /[%\/)]/); percent = parts[1]; sub(/.*[^0-9]/, "", percent)
            label = $0; sub(/:[^:]*$/, "", label)
            if (parts[3] + 0 < 2000 || percent % 10 || percent == 100 || label percent == last) next
            last = label percent
        }
        /[^ ]/ { sub(/ +$/, ""); print; fflush() }'
}
make_mirror() { board_git init --quiet --bare --template= "$@" "$bb_mirror"; }
# fetch SOURCE: an id or a reference of the repository into bb_ref; what git said is in run/fetch.
fetch() {
    fetch_once "$1" && return
    grep -q 'mismatched algorithms' run/fetch || return
    [ -z "$(board_git -C "$bb_mirror" for-each-ref --count=1)" ] || return
    note "the ids of this repository are SHA-256"
    rm -rf "$bb_mirror"
    make_mirror --object-format=sha256 && fetch_once "$1"
}
fetch_once() {
    {
        board_git -C "$bb_mirror" fetch --progress --no-prune -- "$BB_REPOSITORY" "+$1:$bb_ref" 2>&1
        echo $? >run/status
    } | show_progress
    read -r bb_status <run/status && [ "$bb_status" = 0 ]
}
# fetch_branch: the branch, or else the tag, of that name.
fetch_branch() {
    case $BB_BRANCH in
    refs/*) fetch "$BB_BRANCH" && return ;;
    *)
        fetch "refs/heads/$BB_BRANCH" && return
        if grep -q "couldn't find remote ref" run/fetch; then fetch "refs/tags/$BB_BRANCH" && return; fi
        ;;
    esac
    grep -q "couldn't find remote ref" run/fetch && fail_missing_branch
    fail_fetch
}
fail_missing_branch() {
    board_git ls-remote -- "$BB_REPOSITORY" 2>/dev/null >run/refs
    [ -s run/refs ] || fail 66 "The repository $BB_REPOSITORY is empty: it has no branch to build."
    bb_list=$(sed -n 's|.*refs/heads/|, |p' run/refs | head -n 10 | tr -d '\n')
    fail 66 "No branch or tag $BB_BRANCH was found in $BB_REPOSITORY. Its branches: ${bb_list#, }."
}
# fail_fetch: says what git said first. What may be otherwise in a minute is the network's fault, not the job's.
fail_fetch() {
    bb_said=$(grep -E '^(fatal|error|ssh|ERROR)[: ]|Permission denied|Host key' run/fetch | head -n 1)
    bb_fault=66
    if grep -q -i -E -e 'could not resolve|name resolution|connection (refused|reset|closed)|timed out' \
        -e 'no route to host|network is unreachable|failed to connect|could.?n.t connect|early eof' \
        -e 'hung up|rpc failed|returned error: (429|5)|no space left|unable to write' run/fetch; then
        bb_fault=69
    fi
    fail "$bb_fault" "The repository $BB_REPOSITORY could not be read: ${bb_said:-git fetch failed}"
}

# ---- from what was asked for to a commit

# resolve_commit: fetches, sets bb_sha and bb_subject. The id first, since most servers hand out any; then the branch.
resolve_commit() {
    case $BB_COMMIT in
    HEAD) fetch_branch ;;
    *)
        if [ ${#BB_COMMIT} = 40 ] || [ ${#BB_COMMIT} = 64 ]; then
            fetch "$BB_COMMIT" && name_commit "$bb_ref" && return
            note "the id alone could not be fetched: looking for it in $BB_BRANCH"
        fi
        fetch_branch
        find_in_branch
        return
        ;;
    esac
    name_commit "$bb_ref" || fail 66 "$BB_BRANCH of $BB_REPOSITORY is not a branch, nor a tag of a commit."
}
# name_commit NAME: bb_sha and bb_subject of the commit that it names; false when it names none.
name_commit() {
    bb_line=$(board_git -C "$bb_mirror" log -1 --no-color --format='%H %s' "$1^{commit}" -- 2>/dev/null) || return
    bb_sha=${bb_line%% *} bb_subject=${bb_line#* }
}
# find_in_branch: the one commit of the branch whose id begins as asked.
find_in_branch() {
    bb_count=0 bb_list=
    for bb_id in $(board_git -C "$bb_mirror" rev-parse --disambiguate="$BB_COMMIT"); do
        [ "$(board_git -C "$bb_mirror" cat-file -t "$bb_id")" = commit ] || continue
        board_git -C "$bb_mirror" merge-base --is-ancestor "$bb_id" "$bb_ref" || continue
        bb_count=$((bb_count + 1)) bb_list="$bb_list $bb_id"
    done
    case $bb_count in
    1) name_commit "${bb_list# }" || fail_fetch ;;
    0) fail 66 "Commit $BB_COMMIT was not found in branch $BB_BRANCH of $BB_REPOSITORY." ;;
    *) fail 66 "Commit $BB_COMMIT is ambiguous in branch $BB_BRANCH of $BB_REPOSITORY: it may be$bb_list." ;;
    esac
}
# read_ref NAME: bb_value, where a reference of the mirror points to that is a file of its own; else nothing.
read_ref() { { read -r bb_value <"$bb_mirror/$1"; } 2>/dev/null || bb_value=; }
# keep_refs: pins the commit for this attempt and the branch, and lets go what attempts pinned that have gone.
keep_refs() {
    set --
    for bb_name in "$bb_ref" "refs/kept/$BB_BRANCH_KEY"; do
        read_ref "$bb_name"
        [ "$bb_value" = "$bb_sha" ] || set -- "$@" "update $bb_name $bb_sha"
    done
    for bb_name in "$bb_mirror"/refs/buildboard/*; do
        case $bb_name in *'*' | *.lock) continue ;; esac
        bb_name=${bb_name##*/}
        [ -d "${BUILDBOARD_JOB_DIR%/*}/$bb_name" ] || set -- "$@" "delete refs/buildboard/$bb_name"
    done
    [ $# = 0 ] || printf '%s\n' "$@" | board_git -C "$bb_mirror" update-ref --stdin ||
        fail 69 "The cache of $BB_REPOSITORY on this server cannot be written to."
}

# begin_tree: ws/src as `git clone --shared --no-checkout` would make it of the mirror, whose branches are none of
# it; that one talks to itself through two more processes.
begin_tree() {
    set --
    [ ${#bb_sha} = 40 ] || set -- --object-format=sha256
    board_git init --quiet --template= "$@" src &&
        printf '%s\n' "$bb_mirror/objects" >src/.git/objects/info/alternates &&
        board_git -C src remote add -- origin "$BB_REPOSITORY" || return
    set -- "$bb_mirror"/refs/tags/*
    [ -e "$1" ] || [ -e "$bb_mirror/packed-refs" ] || return 0
    board_git -C "$bb_mirror" for-each-ref --format='%(objectname) %(refname)' refs/tags >src/.git/packed-refs
}
# make_tree: ws/src, which borrows the objects of the mirror.
make_tree() {
    if ! begin_tree 2>run/clone || ! board_git -C src checkout --quiet --force --detach "$bb_sha" --; then
        cat run/clone
        fail 69 "The files of commit $bb_sha could not be written on this server."
    fi
    note "commit: $bb_sha $bb_subject"
    [ -n "$BB_SUBMODULES" ] || return 0
    note "submodules"
    board_git -C src submodule update --init --recursive ||
        fail 66 "The submodules of commit $bb_sha could not be checked out."
}
# check_name: whether git allows the branch. Only one that looks odd is worth a process.
check_name() {
    case $BB_BRANCH/ in
    *[!A-Za-z0-9/._-]* | /* | *//* | .* | */.* | *..* | *./* | *.lock/*)
        git check-ref-format "refs/heads/$BB_BRANCH" || fail 66 "$BB_BRANCH cannot be the name of a branch or tag."
        ;;
    esac
}
checkout() {
    note "checkout: $BB_REPOSITORY, branch $BB_BRANCH, commit $BB_COMMIT"
    command -v git >/dev/null 2>&1 || fail 69 "git is not installed on this server."
    # A repository that the account has set is not ours: what `git rev-parse --local-env-vars` names.
    unset -v GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_CONFIG GIT_CONFIG_PARAMETERS GIT_CONFIG_COUNT GIT_OBJECT_DIRECTORY \
        GIT_DIR GIT_WORK_TREE GIT_IMPLICIT_WORK_TREE GIT_GRAFT_FILE GIT_INDEX_FILE GIT_NO_REPLACE_OBJECTS \
        GIT_REPLACE_REF_BASE GIT_PREFIX GIT_SHALLOW_FILE GIT_COMMON_DIR GIT_INTERNAL_SUPER_PREFIX
    check_name
    bb_cache=${BUILDBOARD_HOME:-$HOME/.buildboard}/cache/git
    bb_mirror=$bb_cache/$BB_MIRROR_KEY.git bb_ref=refs/buildboard/$BUILDBOARD_ATTEMPT bb_lock=
    [ -d "$bb_cache" ] || (umask 077 && mkdir -p "$bb_cache") || fail 69 "The folder $bb_cache cannot be made on this server."
    trap abandon_lock EXIT
    take_lock "$bb_mirror"
    # `objects/info` is the last that git makes of one.
    { [ "$bb_holder" = free ] && [ -d "$bb_mirror/objects/info" ]; } || make_mirror ||
        fail 69 "The folder $bb_mirror cannot be made on this server."
    resolve_commit
    keep_refs
    release_lock
    sh "$BUILDBOARD_HELPER" commit "$BUILDBOARD_ATTEMPT" "$bb_sha" >/dev/null ||
        fail 69 "The commit could not be recorded on this server."
    make_tree
}
