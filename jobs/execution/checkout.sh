#!/bin/sh
# Part of the build script (build.sh says how it is put together): brings the commit into ws/src.
# It owns the mirrors under cache/git; their lock is mirror_lock.sh's, which stands before it. It decides nothing about
# how the tree is built.
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

# ---- the lock of a mirror (mirror_lock.sh)

# take_lock MIRROR: waits until the lock is this process's; what a killed git left in it is removed then. Who only
# clears up there is ended rather than waited for.
take_lock() {
    bb_turns=0
    while :; do
        try_lock "$1"
        case $? in
        0) break ;;
        2) fail 69 "The folder ${1%/*} on this server cannot be written to." ;;
        3) note "no lock: this file system has no hard links" && return ;;
        esac
        bb_cleaner=
        ! { read -r bb_cleaner <"$1.clearing"; } 2>/dev/null || [ "$bb_cleaner" != "$bb_holder" ] ||
            kill -s TERM "$bb_cleaner" 2>/dev/null
        [ $((bb_turns % 150)) != 0 ] || [ "$bb_holder" = another ] ||
            note "waiting: process $bb_holder fetches the same repository"
        bb_turns=$((bb_turns + 1))
        sleep 0.2 2>/dev/null || sleep 1
    done
    [ "$bb_holder" = free ] || clean_mirror "$1"
    [ ! -e "$1.clearing" ] || rm -f "$1.clearing" # whoever that was has gone
}
# abandon_lock: at an end in the middle, when git may have been killed.
# shellcheck disable=SC2317 # called by the trap
abandon_lock() {
    [ -n "$bb_lock" ] || return 0
    clean_mirror "$bb_mirror"
    release_lock
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
# mirror_git WORDS: git on the mirror and on nothing else, whatever lies in the folders above it.
mirror_git() { board_git --git-dir="$bb_mirror" "$@"; }
make_mirror() { board_git init --quiet --bare --template= "$@" "$bb_mirror"; }
# fetch SOURCE: an id or a reference of the repository into bb_ref; what git said is in run/fetch.
fetch() {
    fetch_once "$1" && return
    if grep -q 'mismatched algorithms' run/fetch; then
        [ -z "$(mirror_git for-each-ref --count=1)" ] || return
        note "the ids of this repository are SHA-256"
        rm -rf "$bb_mirror"
        make_mirror --object-format=sha256 && fetch_once "$1"
    else
        is_damage run/fetch && renew_mirror && fetch "$1"
    fi
}
# is_damage FILE: whether git's words mean that the mirror itself is broken, after a loss of power perhaps; once a run.
is_damage() {
    [ -z "$bb_renewed" ] && grep -v '^remote: ' "$1" | grep -q -i -E -e 'not a git repository|bad config|bad object|is corrupt' \
        -e 'object file .* is empty|corrupt loose object|does not match index|did not send all necessary' \
        -e 'unexpected line in|wrong index|unable to read|(bad|invalid|not a valid) (tree|object|sha1|ref|pack)' \
        -e '(unpack-objects|index-pack) failed|unresolved deltas|(missing|broken) (blob|tree|commit|ref|link)'
}
# renew_mirror: a new one in the place of one that is broken, which is set aside until the cache is cleared.
renew_mirror() {
    note "the cache of $BB_REPOSITORY on this server is damaged: it is made anew"
    bb_renewed=1
    mv -f "$bb_mirror" "$bb_mirror.bad.$$" && make_mirror
}
fetch_once() {
    {
        mirror_git fetch --progress --no-prune -- "$BB_REPOSITORY" "+$1:$bb_ref" 2>&1
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

# resolve_commit: fetches, sets bb_sha and bb_subject.
resolve_commit() {
    : >run/name
    find_commit && return
    if is_damage run/name; then renew_mirror && find_commit && return; fi
    fail 66 "$bb_sentence"
}
# find_commit: the id first, which may be here with all that belongs to it, and which most servers hand out; then the
# branch. bb_sentence says why there is none.
find_commit() {
    if [ "$BB_COMMIT" = HEAD ]; then
        fetch_branch
        bb_sentence="$BB_BRANCH of $BB_REPOSITORY is not a branch, nor a tag of a commit."
        name_commit "$bb_ref"
        return
    fi
    if [ ${#BB_COMMIT} = 40 ] || [ ${#BB_COMMIT} = 64 ]; then
        is_whole_here "$BB_COMMIT" && name_commit "$BB_COMMIT" && note "nothing to fetch: the commit is here" && return
        fetch "$BB_COMMIT" && name_commit "$bb_ref" && return
        note "the id alone could not be fetched: looking for it in $BB_BRANCH"
    fi
    fetch_branch
    find_in_branch
}
# is_whole_here ID: whether a reference of the mirror leads to this commit. Its object alone may be what a killed fetch
# left: a reference is only written when everything behind it is there.
is_whole_here() { [ -n "$(mirror_git for-each-ref --count=1 --contains "$1" 2>/dev/null)" ]; }
# name_commit NAME: bb_sha and bb_subject of the commit that it names; false when it names none.
name_commit() {
    bb_line=$(mirror_git log -1 --no-color --format='%H %s' "$1^{commit}" -- 2>>run/name) || return
    bb_sha=${bb_line%% *} bb_subject=${bb_line#* }
}
# find_in_branch: the one commit of the branch whose id begins as asked.
find_in_branch() {
    bb_count=0 bb_list=
    for bb_id in $(mirror_git rev-parse --disambiguate="$BB_COMMIT" 2>>run/name); do
        [ "$(mirror_git cat-file -t "$bb_id" 2>>run/name)" = commit ] || continue
        mirror_git merge-base --is-ancestor "$bb_id" "$bb_ref" 2>>run/name || continue
        bb_count=$((bb_count + 1)) bb_list="$bb_list $bb_id"
    done
    bb_sentence="Commit $BB_COMMIT was not found in branch $BB_BRANCH of $BB_REPOSITORY."
    case $bb_count in
    0) return 1 ;;
    1) name_commit "${bb_list# }" ;;
    *) fail 66 "Commit $BB_COMMIT is ambiguous in branch $BB_BRANCH of $BB_REPOSITORY: it may be$bb_list." ;;
    esac
}
# read_ref NAME: bb_value, where a reference of the mirror points to that is a file of its own; else nothing.
read_ref() { { read -r bb_value <"$bb_mirror/$1"; } 2>/dev/null || bb_value=; }
# keep_refs: pins the commit for this attempt and the branch, and lets go what attempts pinned that have gone; many
# at a time, or when there is something to write anyway: it takes a process.
keep_refs() {
    set --
    for bb_name in "$bb_ref" "refs/kept/$BB_BRANCH_KEY"; do
        read_ref "$bb_name"
        [ "$bb_value" = "$bb_sha" ] || set -- "$@" "update $bb_name $bb_sha"
    done
    bb_least=$(($# ? 1 : 20))
    for bb_name in "$bb_mirror"/refs/buildboard/*; do
        case $bb_name in *'*' | *.lock) continue ;; esac
        bb_name=${bb_name##*/}
        [ -d "${BUILDBOARD_JOB_DIR%/*}/$bb_name" ] || set -- "$@" "delete refs/buildboard/$bb_name"
    done
    [ $# -lt "$bb_least" ] || printf '%s\n' "$@" | mirror_git update-ref --stdin ||
        fail 69 "The cache of $BB_REPOSITORY on this server cannot be written to."
}

# begin_tree: ws/src as `git clone --shared --no-checkout` would make it of the mirror, whose branches are none of
# it; that one talks to itself through two more processes, and `init` and `remote add` would be two.
begin_tree() {
    { [ -d src/.git/refs/tags ] || make_folders; } &&
        printf '%s\n' "$bb_mirror/objects" >src/.git/objects/info/alternates &&
        echo 'ref: refs/heads/main' >src/.git/HEAD && write_config >src/.git/config || return
    case $BB_REPOSITORY in
    *[!A-Za-z0-9/:@._~+%=,?\&-]*) board_git -C src remote add -- origin "$BB_REPOSITORY" || return ;;
    esac
    set -- "$bb_mirror"/refs/tags/*
    [ -e "$1" ] || [ -e "$bb_mirror/packed-refs" ] || return 0
    mirror_git for-each-ref --format='%(objectname) %(refname)' refs/tags >src/.git/packed-refs
}
# make_folders: of ws, and of ws/src/.git.
make_folders() { mkdir -p run src/.git/objects/info src/.git/objects/pack src/.git/refs/heads src/.git/refs/tags; }
# write_config: of ws/src. A URL that would have to be quoted there is left to git.
write_config() {
    if [ ${#bb_sha} = 40 ]; then set -- 0 ''; else set -- 1 '[extensions]
	objectFormat = sha256
'; fi
    printf '[core]\n\trepositoryFormatVersion = %s\n\tfileMode = true\n\tbare = false\n\tlogAllRefUpdates = true\n%s' "$@"
    case $BB_REPOSITORY in
    *[!A-Za-z0-9/:@._~+%=,?\&-]*) ;;
    *) printf '[remote "origin"]\n\turl = %s\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n' "$BB_REPOSITORY" ;;
    esac
}
# make_tree: ws/src, which borrows the objects of the mirror.
make_tree() {
    begin_tree 2>run/clone && board_git -C src checkout --quiet --force --detach "$bb_sha" -- && return
    # Once more, to hear why: what git says otherwise goes to the log at once.
    board_git -C src checkout --quiet --force --detach "$bb_sha" -- 2>>run/clone && return
    if is_damage run/clone; then
        take_lock "$bb_mirror"
        BB_COMMIT=$bb_sha # the branch may have moved on meanwhile
        renew_mirror || fail 69 "The folder $bb_mirror cannot be made on this server."
        resolve_commit
        keep_refs
        release_lock
        rm -rf src
        begin_tree 2>run/clone && board_git -C src checkout --quiet --force --detach "$bb_sha" -- && return
    fi
    cat run/clone
    fail 69 "The files of commit $bb_sha could not be written on this server."
}
get_submodules() {
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
    bb_mirror=$bb_cache/$BB_MIRROR_KEY.git bb_ref=refs/buildboard/$BUILDBOARD_ATTEMPT bb_lock='' bb_renewed=''
    [ -d "$bb_cache" ] || (umask 077 && mkdir -p "$bb_cache") || fail 69 "The folder $bb_cache cannot be made on this server."
    trap abandon_lock EXIT
    take_lock "$bb_mirror"
    : >"$bb_mirror.used"
    # `objects/info` is the last that git makes of one.
    { [ "$bb_holder" = free ] && [ -d "$bb_mirror/objects/info" ]; } || make_mirror || renew_mirror ||
        fail 69 "The folder $bb_mirror cannot be made on this server."
    resolve_commit
    keep_refs
    release_lock
    printf '%s\n' "$bb_sha" >"$BUILDBOARD_JOB_DIR/commit" ||
        fail 69 "The commit could not be recorded on this server."
    make_tree
    note "commit: $bb_sha $bb_subject"
    [ -z "$BB_SUBMODULES" ] || get_submodules
}
