# shellcheck shell=sh disable=SC2153,SC2154,SC2034 # the second part of helper.sh: it shares its variables
# The records of an attempt: written once or taken over, and read so that nothing which a build puts in their
# place, at whatever moment, can hold up the reader. What they mean is said at the top of helper.sh.

# once NAME CONTENT: 0 written, 1 another was first, 2 could not be written.
once() {
    [ ! -e "$1" ] || return 1
    if ! { printf '%s\n' "$2" >"$1.tmp.$$"; } 2>/dev/null ||
        ! { IFS= read -r written <"$1.tmp.$$"; } 2>/dev/null || [ "$written" != "$2" ]; then
        rm -f "$1.tmp.$$"
        return 2
    fi
    if ln "$1.tmp.$$" "$1" 2>/dev/null; then
        # Of these somebody waits for, so no process is spent on removing the second name: finalize does with the first
        # three, and that of `exit` goes with the folder.
        case $1 in runner | build | rc | exit) ;; *) rm -f "$1.tmp.$$" ;; esac
        return 0
    fi
    # Either another was first, or this file system has no hard links.
    if [ ! -e "$1" ] && mkdir "$1.lock" 2>/dev/null; then mv "$1.tmp.$$" "$1" && return 0; fi
    rm -f "$1.tmp.$$"
    [ -e "$1" ] || return 2
    return 1
}
# keep NAME CONTENT: as once, and gives up the ballast rather than fail on a full disk.
keep() {
    once "$1" "$2"
    [ $? = 2 ] || return 0
    rm -f ballast
    once "$1" "$2"
    [ $? != 2 ]
}
# enroll NAME: this process, which may be a part of a shell that was forked, takes over a replaceable record.
enroll() {
    read -r PID _ </proc/self/stat
    read_stat "$PID"
    { echo "$PID $START $BOOT" >"$1.tmp.$PID" && mv -f "$1.tmp.$PID" "$1"; } 2>/dev/null
}

# measure: SIZE of the log, and UNSOUND, the records that are too large to be ours.
measure() {
    SIZE=0 UNSOUND=' '
    while read -r mode _ _ _ bytes _ _ _ name _; do
        case $mode:$bytes:$name in
        -*:log) [ ! -r log ] || SIZE=$bytes ;;
        -*:?????*:*) UNSOUND="$UNSOUND$name " ;;
        esac
    done <<END
$(ls -dln log runner build watch logger cancel rc exit phase commit 2>/dev/null)
END
}
# from RECORD COMMAND...: the command, with the record as its input; false when there is none that can be read.
# Opened for both, a pipe waits for nobody; and what is open cannot be exchanged any more, so only then its kind
# is looked at. A file that grows under the reader is left to `survey`.
from() {
    [ -f "$1" ] && [ ! -h "$1" ] || return 1
    case $UNSOUND in *" $1 "*) return 1 ;; esac
    taken=$1 opened=
    shift
    if { { opened=1 && [ -f /proc/self/fd/0 ] && "$@"; } 0<>"$taken"; } 2>/dev/null; then return 0; fi
    [ -z "$opened" ] || return 1
    # On a disk that fell back to reading only, nobody exchanges anything.
    case $({ { true; } 0<>"$taken"; } 2>&1) in
    *[Rr]ead-only*) { "$@" <"$taken"; } 2>/dev/null ;;
    *) return 1 ;;
    esac
}

# read_stat PID: STATE, GROUP, SESSION, START of a process that lives; a zombie does not. The name in the
# second field may hold anything, so what counts is after the last ")".
read_stat() {
    stat=
    case $1 in '' | *[!0-9]*) return 1 ;; esac # from a record, so it may be anything
    { while IFS= read -r line; do stat=$stat$line; done <"/proc/$1/stat"; } 2>/dev/null || return 1
    # shellcheck disable=SC2086 # must be split
    set -- ${stat##*) }
    [ $# -ge 20 ] && [ "$1" != Z ] && [ "$1" != X ] || return 1
    GROUP=$3 SESSION=$4 START=${20}
}
# alive RECORD: whether the process it names, PID, lives. A pid alone is no identity.
alive() {
    born='' boot=''
    from "$1" read -r PID born boot && [ "$boot" = "$BOOT" ] && read_stat "$PID" && [ "$START" = "$born" ]
}
read_limits() {
    WALL=0 IDLE=0 GRACE=5 DISKMIN=0
    from spec each_limit
}
each_limit() {
    while IFS='=' read -r key value; do
        case $value in '' | *[!0-9]*) continue ;; esac
        case $key in WALL) WALL=$value ;; IDLE) IDLE=$value ;; GRACE) GRACE=$value ;; DISKMIN) DISKMIN=$value ;; esac
    done
}
# save_code CODE: how the script ended. A cancel that is not there yet came too late to be the reason.
save_code() {
    reason=exited ended=$1
    [ "$ended" -le 255 ] || ended=$((128 + ended % 128)) # some shells tell signals apart from codes
    if [ -e cancel ] && measure; then from cancel read -r reason _; fi
    KNOWN_END="$ended $reason"
    keep rc "$KNOWN_END"
}

# judge: STATE; once done SIZE and EXIT. It only looks; MARK is `watch` when a watchdog is to be started: no wrapper
# lives, or it died, or it was killed before it came. What a build may have done to its records must not break the reply.
judge() {
    EXIT='' MARK=-
    measure
    if [ -e exit ]; then
        STATE='done'
        from exit read -r EXIT
        # shellcheck disable=SC2086 # must be split
        set -- $EXIT
        case ${3:-x}${4:-x}:$EXIT in
        *[!0-9]*:* | *:*[!a-z0-9=' '-]*) EXIT="damaged -1 $SIZE 0 left=1" ;; # no `\n` either, which some echo
        *)
            [ "$SIZE" = "$3" ] || measure # it may have ended since
            [ "$SIZE" = "$3" ] || [ "$SIZE" -lt "$3" ] || SIZE=$3
            ;;
        esac
    elif [ ! -e runner ]; then
        STATE=prepared
    else
        if alive runner; then STATE=running; else STATE=orphan; fi
        now # in seconds, and START of the runner is in hundredths; the watchdog comes after one second
        if [ "$STATE" = orphan ] || [ -e watch ] || [ $((NOW - START / 100)) -gt 5 ]; then
            alive watch || MARK=watch
        fi
    fi
}
# read_marks: PHASE and COMMIT, "-" when there is none or it is not one.
read_marks() {
    PHASE=- COMMIT=-
    from phase last_phase
    from commit read -r COMMIT
    case $PHASE in *[!a-z0-9:]*) PHASE=- ;; esac
    case $COMMIT in '' | *[!0-9a-f]*) COMMIT=- ;; esac
}
last_phase() {
    count=0
    while [ "$count" -lt 64 ] && read -r name epoch at _; do
        PHASE=$name:$epoch:$at count=$((count + 1))
    done
}

# survey ACT ITEM...: ACT for each item, in a child that has a second of the processor's time: one whose record
# grows without end is answered by ACT_damaged, and the next child goes on behind it. ACT calls `mark` once,
# before its answer begins; watchdogs start here, outside, since they would inherit the limit.
survey() {
    act=$1
    shift
    while :; do
        { marks=$(each_item "$@" 3>&1 >&4 4>&-); } 4>&1
        status=$?
        for mark in $marks; do
            [ "$mark" != watch ] || { enter_job "${1%%:*}" && detach watch; }
            shift
        done
        [ $# -gt 0 ] || return "$status"
        if [ "$status" -gt 128 ]; then
            "${act}_damaged" "$1"
            shift
        elif [ "$status" != 0 ]; then
            return "$status"
        fi
    done
}
# each_item ITEM...: some of them, at least one; a child that may have used much of its second leaves the rest to the next.
each_item() {
    now
    began=$NOW
    for item; do
        # shellcheck disable=SC3045 # every shell that is tested has it; without it only the bound is lost
        ulimit -S -t 1 2>/dev/null
        "$act" "$item" || return
        now
        [ "$NOW" = "$began" ] || return 0
    done
}
mark() {
    echo "$MARK" >&3
}
# begin_answer: as mark, when all is read that a build may have made: half an answer would spoil those of the others.
begin_answer() {
    # shellcheck disable=SC3045
    ulimit -S -t 60 2>/dev/null
    mark
}
