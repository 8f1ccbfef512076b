#!/bin/sh
# Part of the build script (build.sh says how it is put together): brings the commit into ws/src.
# It owns the mirrors under cache/git and their locks. It decides nothing about how the tree is built.
#
# One bare mirror a repository URL, with full history: `clone --shared` ignores a shallow mirror and copies all
# of it, and abbreviated ids and `git describe` need the history. References in it:
#   refs/buildboard/ATTEMPT  what an attempt uses; goes at a later fetch when the attempt's folder has gone
#   refs/kept/KEY            the last commit built of a branch: without it every fetch would begin from nothing
# Nothing else may write to a mirror without take_lock, and nothing may prune what refs/buildboard holds.

# note WORDS: a section line of the log, one line whatever the words hold.
note() { printf -- '--- %s\n' "$(printf '%s' "$*" | LC_ALL=C tr '\n' ' ' | LC_ALL=C tr -d '\000-\037\177')"; }
# fail STATUS SENTENCE: 66 it cannot be built as it was submitted, 69 this server or the network failed.
fail() {
    bb_status=$1
    shift
    note "failed: $*"
    exit "$bb_status"
}

# Nobody's hooks, templates, monitors or background maintenance; no prompt; only the protocols that are allowed.
board_git() {
    LC_ALL=C GIT_TERMINAL_PROMPT=0 GIT_ALLOW_PROTOCOL="$BB_PROTOCOLS" git \
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
# take_lock MIRROR: waits until the lock is this process's, sets bb_lock, removes what a killed git left there.
take_lock() {
    bb_turns=0
    boot_id
    if ! process_start $$ || ! printf '%s\n' "$$ $bb_start $bb_boot" >"$1.new.$$"; then
        fail 69 "The folder ${1%/*} on this server cannot be written to."
    fi
    while :; do
        highest_lock "$1"
        bb_next=$1.lock.$((bb_highest + 1))
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
    rm -f "$1.new.$$"
    for bb_record in "$1".lock.*; do [ "$bb_record" = "$bb_lock" ] || rm -f "$bb_record"; done
    if [ -d "$1" ]; then
        find "$1" -type f \( -name '*.lock' -o -name 'tmp_pack_*' -o -name 'tmp_idx_*' -o -name 'tmp_obj_*' \) \
            -exec rm -f {} +
    fi
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
    LC_ALL=C tr '\r' '\n' | tee run/fetch | LC_ALL=C awk '
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

# resolve_commit: fetches, sets bb_sha. The id first, since most servers hand out any; then the branch.
resolve_commit() {
    case $BB_COMMIT in
    HEAD) fetch_branch ;;
    *)
        if [ ${#BB_COMMIT} = 40 ] || [ ${#BB_COMMIT} = 64 ]; then
            fetch "$BB_COMMIT" && name_commit && return
            note "the id alone could not be fetched: looking for it in $BB_BRANCH"
        fi
        fetch_branch
        find_in_branch
        return
        ;;
    esac
    name_commit || fail 66 "$BB_BRANCH of $BB_REPOSITORY is not a branch, nor a tag of a commit."
}
name_commit() { bb_sha=$(board_git -C "$bb_mirror" rev-parse --quiet --verify "$bb_ref^{commit}"); }
# find_in_branch: the one commit of the branch whose id begins as asked.
find_in_branch() {
    bb_count=0 bb_list=
    for bb_id in $(board_git -C "$bb_mirror" rev-parse --disambiguate="$BB_COMMIT"); do
        [ "$(board_git -C "$bb_mirror" cat-file -t "$bb_id")" = commit ] || continue
        board_git -C "$bb_mirror" merge-base --is-ancestor "$bb_id" "$bb_ref" || continue
        bb_count=$((bb_count + 1)) bb_sha=$bb_id bb_list="$bb_list $bb_id"
    done
    case $bb_count in
    1) ;;
    0) fail 66 "Commit $BB_COMMIT was not found in branch $BB_BRANCH of $BB_REPOSITORY." ;;
    *) fail 66 "Commit $BB_COMMIT is ambiguous in branch $BB_BRANCH of $BB_REPOSITORY: it may be$bb_list." ;;
    esac
}
# keep_refs: pins the commit for this attempt and the branch, and lets go what attempts pinned that have gone.
keep_refs() {
    {
        printf 'update %s %s\n' "$bb_ref" "$bb_sha" "refs/kept/$BB_BRANCH_KEY" "$bb_sha"
        board_git -C "$bb_mirror" for-each-ref --format='%(refname)' refs/buildboard | while read -r bb_name; do
            [ -d "${BUILDBOARD_JOB_DIR%/*}/${bb_name##*/}" ] || printf 'delete %s\n' "$bb_name"
        done
    } | board_git -C "$bb_mirror" update-ref --stdin ||
        fail 69 "The cache of $BB_REPOSITORY on this server cannot be written to."
}

# make_tree: ws/src, which borrows the objects of the mirror.
make_tree() {
    # The mirror is a file, whatever the repository may be.
    if ! (BB_PROTOCOLS="file" && board_git clone --quiet --shared --no-checkout --template= -- "$bb_mirror" src) \
        2>run/clone ||
        ! board_git -C src config remote.origin.url "$BB_REPOSITORY" ||
        ! board_git -C src checkout --quiet --force --detach "$bb_sha" --; then
        cat run/clone
        fail 69 "The files of commit $bb_sha could not be written on this server."
    fi
    note "commit: $bb_sha $(board_git -C src log -1 --no-color --format=%s)"
    [ -n "$BB_SUBMODULES" ] || return 0
    note "submodules"
    board_git -C src submodule update --init --recursive ||
        fail 66 "The submodules of commit $bb_sha could not be checked out."
}
checkout() {
    note "checkout: $BB_REPOSITORY, branch $BB_BRANCH, commit $BB_COMMIT"
    command -v git >/dev/null 2>&1 || fail 69 "git is not installed on this server."
    # shellcheck disable=SC2046 # a list of names: a repository that the account has set is not ours
    unset $(git rev-parse --local-env-vars)
    git check-ref-format "refs/heads/$BB_BRANCH" || fail 66 "$BB_BRANCH cannot be the name of a branch or tag."
    bb_cache=${BUILDBOARD_HOME:-$HOME/.buildboard}/cache/git
    bb_mirror=$bb_cache/$BB_MIRROR_KEY.git bb_ref=refs/buildboard/$BUILDBOARD_ATTEMPT bb_lock=
    (umask 077 && mkdir -p "$bb_cache") || fail 69 "The folder $bb_cache cannot be made on this server."
    trap release_lock EXIT
    take_lock "$bb_mirror"
    make_mirror || fail 69 "The folder $bb_mirror cannot be made on this server."
    resolve_commit
    keep_refs
    release_lock
    sh "$BUILDBOARD_HELPER" commit "$BUILDBOARD_ATTEMPT" "$bb_sha" >/dev/null ||
        fail 69 "The commit could not be recorded on this server."
    make_tree
}
