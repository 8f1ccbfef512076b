# shellcheck shell=sh disable=SC2153,SC2154,SC2034 # a part of helper.sh: it shares its variables
# The processes of a build: who they are, whether any is left, and how all of them are ended. It writes no record.

# find_members: MEMBERS, every living process of this attempt but the helper's own: in the build's session while
# that is surely ours, marked in its environment, working in the work tree or writing to the output. And
# MEMBER_GROUPS, their process groups, but those that the helper is in itself.
# A daemon that shed all of these (environment, session, work tree, output) escapes, and so does another account's.
# Who is gone when it is looked at may have left a child that was not there when the list was made: so nobody is found
# only by two looks. A chain of processes each of which lives shorter than a look takes (milliseconds) escapes both.
find_members() {
    look_for_members
    [ -n "$MEMBERS" ] || look_for_members
}
look_for_members() {
    read_stat $$
    spared=" $$ " kept=" -$GROUP -0 -1 " leader='' found='' output=$JOB/log
    [ -p out ] && output=$JOB/out # then the one that writes the log is the logger's
    for record in runner watch logger; do
        if alive $record; then spared="$spared$PID " kept="$kept-$GROUP "; fi
    done
    alive build && leader=$PID
    set +f
    # shellcheck disable=SC2010 # the links' targets are what is looked at, not names of files
    for process in $(grep -lsF "BUILDBOARD_ATTEMPT=$ID" /proc/[0-9]*/environ 2>/dev/null) \
        $(ls -ldn /proc/[0-9]*/cwd /proc/[0-9]*/fd/[12] 2>/dev/null | grep -F -e "-> $JOB/ws" -e "-> $output" |
            sed 's|^[^/]*\(/proc/[0-9]*/\).*|\1|'); do
        process=${process#/proc/}
        found="$found ${process%%/*}"
    done
    if [ -n "$leader" ]; then
        # All that are in it and some that are not: a shell would read each record byte by byte.
        # shellcheck disable=SC2013 # names without blanks
        for process in $(grep -lsF " $leader " /proc/[0-9]*/stat); do
            process=${process#/proc/} process=${process%/stat}
            read_stat "$process" || continue
            if [ "$GROUP" = "$leader" ] || [ "$SESSION" = "$leader" ]; then found="$found $process"; fi
        done
    fi
    set -f
    MEMBERS='' MEMBER_GROUPS=''
    for process in $found; do
        case "$spared$MEMBERS " in *" $process "*) continue ;; esac
        read_stat "$process" || continue
        MEMBERS="$MEMBERS $process"
        case "$kept$MEMBER_GROUPS " in *" -$GROUP "*) ;; *) MEMBER_GROUPS="$MEMBER_GROUPS -$GROUP" ;; esac
    done
}
# is_alone: whether surely nothing is left of the build whose wrapper asks this, by a look at the younger processes alone.
# These have higher numbers, when nowhere near as many processes were made since as there are numbers. False when
# something may be left, or when only find_members can tell.
is_alone() {
    (:) &
    newest=$!
    wait "$newest"
    spared=' ' output=$JOB/log
    [ ! -p out ] || output=$JOB/out
    for record in runner watch logger; do
        if alive $record; then spared="$spared$PID "; fi
    done
    list_younger
    are_strangers || return 1
    # As for find_members, but here it is known who is gone.
    ! has_lost_one || ! list_younger || are_strangers
}
# list_younger: LISTED, the processes that were not listed before, and where to look at them; false when there are none.
list_younger() {
    LISTED='' links='' marks=''
    set +f
    for process in /proc/[0-9]*; do
        process=${process#/proc/}
        { [ "$process" -gt $$ ] && [ "$process" -lt $((newest + 1000)) ]; } || continue
        case $spared in *" $process "*) continue ;; esac
        LISTED="$LISTED $process" spared="$spared$process "
        links="$links /proc/$process/cwd /proc/$process/fd/1 /proc/$process/fd/2"
        marks="$marks /proc/$process/environ /proc/$process/stat"
    done
    set -f
    [ -n "$LISTED" ]
}
# has_lost_one: whether somebody who is LISTED may be gone. A zombie has no folder to work in any more.
has_lost_one() {
    for process in $LISTED; do
        [ -e "/proc/$process/cwd" ] || return 0
    done
    return 1
}
# are_strangers: whether surely none of those LISTED is of the build.
are_strangers() {
    [ "${#links}" -lt 100000 ] || return 1 # more than a command may be asked about
    # All that is said must be the two numbers, or one of the processes is the build's: that an environment, which is no
    # text, has the mark, some say as an error.
    # shellcheck disable=SC2046,SC2086 # lists of names without blanks; must be split
    set -- $(count_forks -e "BUILDBOARD_ATTEMPT=$ID" -e ") . [0-9]* $$ " -e ") . [0-9]* [0-9]* $$ " $marks 2>&1) "$made_before"
    [ $# = 4 ] || return 1
    case $2:$3:$4 in :* | *::* | *: | *[!0-9:]*) return 1 ;; esac
    made=$(($2 - $4))
    # Half: numbers that are in use are passed over, so they come round before as many were made as there are.
    { [ "$made" -gt 0 ] && [ "$made" -lt $(($3 / 2)) ]; } || return 1
    { [ "$newest" -gt $$ ] && [ $((newest + 1000)) -lt "$3" ]; } || return 1
    # shellcheck disable=SC2012,SC2086 # the links' targets are what is looked at
    [ -z "$links" ] || case $(ls -ldn $links 2>/dev/null) in *"-> $JOB/ws"* | *"-> $output"*) return 1 ;; esac
}
# count_forks WORD...: how many processes and threads were made since the boot, how many numbers there are for them, and
# what else grep finds. The builtin would read of the second only its first digit.
count_forks() { grep -hs -e '^processes ' -e '^[0-9][0-9]*$' "$@" /proc/stat /proc/sys/kernel/pid_max; }
# ask_to_end: TERM, once for each; and CONT, since a stopped process would not see it.
# shellcheck disable=SC2086 # lists of pids
ask_to_end() {
    measure
    find_members
    [ -z "$MEMBERS" ] || { kill -s TERM $MEMBERS; kill -s CONT $MEMBERS; } 2>/dev/null
}
# stop_tree: ends all of it; false when something is left. What forks faster than a scan takes is stopped first,
# and by whole groups, which the kernel does at once.
# shellcheck disable=SC2086 # lists of pids
stop_tree() {
    ask_to_end
    now
    deadline=$((NOW + GRACE))
    while [ -n "$MEMBERS" ] && [ "$NOW" -le "$deadline" ]; do nap 10 && find_members && now; done
    # The wrapper cannot catch up with what forks in its own group; its code is safe, so it goes with them.
    if [ -n "$MEMBERS" ] && read_stat $$ && [ "$GROUP" = "$leader" ]; then kill -s KILL 0; fi
    round=0
    while [ -n "$MEMBERS" ] && [ "$round" -lt 20 ]; do
        round=$((round + 1)) scans=0 before=
        while [ "$before" != "$MEMBERS" ] && [ "$scans" -lt 10 ]; do
            scans=$((scans + 1)) before=$MEMBERS
            kill -s STOP -- $MEMBER_GROUPS $MEMBERS 2>/dev/null
            find_members
        done
        [ -z "$MEMBERS" ] || kill -s KILL -- $MEMBER_GROUPS $MEMBERS 2>/dev/null
        nap 05
        find_members
    done
    [ -z "$MEMBERS" ]
}
