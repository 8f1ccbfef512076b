# shellcheck shell=sh disable=SC2034 # a part of helper.sh and of the build script: both share its variables
# The lock of a mirror of a repository, which a build's checkout and the clearing of the cache both take. It owns the
# records of it and what a killed git leaves; it knows nothing of what is done under it. Names begin with bb_.
#
# Records MIRROR.lock.NUMBER with `pid start boot`, or `free`. The highest number is the lock. A lower one is removed
# only by the holder of a higher one, the highest only together with its mirror; who then still follows it sees that
# it has gone. So no two that find the same dead holder both follow it.

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
# try_lock MIRROR: 0: it is this process's, as bb_lock says, and bb_holder tells who had it before: `free` when it was
# given back, so that the mirror is whole. 1: bb_holder has it. 2: the folder cannot be written to. 3: this file system
# has no hard links, so there is no lock.
try_lock() {
    boot_id
    highest_lock "$1"
    bb_next=$1.lock.$((bb_highest + 1)) bb_holder=nobody
    if [ "$bb_highest" != 0 ] && is_held "$1.lock.$bb_highest"; then return 1; fi
    if ! process_start $$ || ! { printf '%s\n' "$$ $bb_start $bb_boot" >"$1.new.$$"; } 2>/dev/null; then return 2; fi
    if ln "$1.new.$$" "$bb_next" 2>/dev/null; then
        bb_before=$bb_highest
        highest_lock "$1"
        if [ "$bb_next" != "$1.lock.$bb_highest" ] || { [ "$bb_before" != 0 ] && [ ! -e "$1.lock.$bb_before" ]; }; then
            rm -f "$bb_next" "$1.new.$$" # a number from long ago, or of a mirror that was removed meanwhile
            bb_holder=another
            return 1
        fi
        bb_lock=$bb_next
        drop_locks "$1"
        return 0
    fi
    rm -f "$1.new.$$"
    bb_holder=another
    [ ! -e "$bb_next" ] || return 1
    highest_lock "$1"
    [ "$bb_next" != "$1.lock.$((bb_highest + 1))" ] || return 3
    return 1
}
# drop_locks MIRROR: all records but the lock, and what it was made of.
drop_locks() {
    set -- "$@" "$1.new.$$"
    for bb_record in "$1".lock.*; do
        if [ "$bb_record" != "$bb_lock" ] && [ -e "$bb_record" ]; then set -- "$@" "$bb_record"; fi
    done
    shift
    [ $# = 0 ] || rm -f "$@"
}
release_lock() {
    [ -n "$bb_lock" ] || return 0
    echo free >"$bb_lock.$$" && mv -f "$bb_lock.$$" "$bb_lock"
    bb_lock=
}
