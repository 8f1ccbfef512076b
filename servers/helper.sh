#!/bin/sh
# Buildboard's helper on a build server: runs a build that outlives whoever started it, and tells about it.
# It owns the folder of an attempt (jobs/ID) and every process of it; it decides nothing about jobs, retries
# or results: the controller reads the records below. POSIX sh; Linux, since it needs /proc.
#
# Records: "once" ones appear whole or not at all, and the first writer wins.
#   runner  pid start boot     once: the claim; an attempt that has it was started and never starts again
#   build   pid start boot     once: the wrapper `inner`, session and group of the build
#   watch, logger  same        replaced when one of these died and another took over
#   cancel  reason epoch       once: cancelled, timeout, idle, diskfull
#   rc      code reason        once: how the script ended, and whether it was told to
#   exit    reason code log_bytes epoch left=0|1    once, last: nothing runs any more, the log ends there
#   phase   name epoch log_offset, appended; commit: once, the resolved commit
#   swept   empty: the wrapper saw that nothing else of its build runs any more
# Files: script env spec (input), log, out (pipe to it), ws (work tree), ballast and reserve (room for the last
# records on a full disk: the log may take what the first leaves, and the second goes when nothing writes any
# more), starts (a line a real start), forks (how many processes the kernel had made before it), hb (its mtime is
# the heartbeat), err (the helper's own errors).
#
# Replies: `BB1 NONCE` LF body `BBEND NONCE STATUS` LF; login shells print noise before it.
# Status: 64 usage, 65 bad input, 66 no such job, 69 not supported here, 74 no room, 75 not now.
set -f # no record and no argument is ever a pattern; the few globs are switched on where they stand
umask 077
unset CDPATH UNSOUND EPOCH_OF_START LOGGER
: "${BUILDBOARD_LOCALE=${LC_ALL-unset}}" # the build gets back the account's own locale
LC_ALL=C
export LC_ALL BUILDBOARD_LOCALE
[ "$1" = inner ] || unset BUILDBOARD_ATTEMPT # it marks the processes of a build, which the helper is not
ROOT=${BUILDBOARD_HOME:-$HOME/.buildboard}
SHELL_WORDS=${BUILDBOARD_SH:-sh}
case $0 in /*) SELF=$0 ;; *) SELF=$PWD/$0 ;; esac
{ read -r BOOT </proc/sys/kernel/random/boot_id; } 2>/dev/null || BOOT=noboot

# ---- small tools: time, sizes, records, processes

# nap NN: sleeps so many hundredths of a second, a whole one where sleep takes no fractions; adds to WAITED.
nap() {
    if sleep "0.$1" 2>/dev/null; then WAITED=$((WAITED + ${1#0})); else sleep 1 && WAITED=$((WAITED + 100)); fi
}
# Seconds that no change of the clock moves.
now() {
    { read -r NOW _ </proc/uptime; } 2>/dev/null || NOW=$(date +%s)
    NOW=${NOW%%.*}
}
# clock: EPOCH, the time of day; without a process where this one asked for it before.
clock() {
    now
    if [ -n "$EPOCH_OF_START" ]; then
        EPOCH=$((EPOCH_OF_START + NOW - START_OF_RUN))
    else
        EPOCH=$(date +%s)
    fi
}
# wc -c would read the whole file under busybox.
file_size() {
    SIZE=0
    # shellcheck disable=SC2012,SC2046 # only field 5 is read, whatever the name; it must be split
    set -- $(ls -ln "$1" 2>/dev/null)
    [ $# -ge 5 ] && SIZE=$5
}
# range OFFSET SIZE MAX: COUNT bytes to send, which lie in BLOCKS after SKIP blocks of 65536, REST into the first.
range() {
    if [ $((2147483647 + 1)) -gt 0 ]; then
        COUNT=$(($2 - $1)) SKIP=$(($1 / 65536)) REST=$(($1 % 65536))
        [ "$COUNT" -le "$3" ] || COUNT=$3
        [ "$COUNT" -ge 0 ] || COUNT=0
        BLOCKS=$(((REST + COUNT + 65535) / 65536))
    else # mksh counts in 32 bits
        read -r COUNT SKIP REST BLOCKS <<END
$(awk -v o="$1" -v s="$2" -v m="$3" 'BEGIN { c = s - o; if (c > m) c = m; if (c < 0) c = 0
            k = int(o / 65536); r = o - k * 65536; printf "%.0f %.0f %d %.0f", c, k, r, int((r + c + 65535) / 65536) }')
END
    fi
}
# send <file: the bytes that range chose. dd seeks where busybox tail would read everything before.
send() {
    [ "$COUNT" != 0 ] || return 0
    if [ "$REST" = 0 ] && [ "$COUNT" = $((BLOCKS * 65536)) ]; then
        dd bs=65536 skip="$SKIP" count="$BLOCKS" 2>/dev/null # whole blocks, as much of a long log is: a third of the work
    elif [ "$SKIP$REST" = 00 ]; then
        head -c "$COUNT" 2>/dev/null
    elif [ "$REST" = 0 ]; then
        dd bs=65536 skip="$SKIP" count="$BLOCKS" 2>/dev/null | head -c "$COUNT"
    else
        dd bs=65536 skip="$SKIP" count="$BLOCKS" 2>/dev/null | tail -c +$((REST + 1)) | head -c "$COUNT"
    fi
}
# detach MODE: this helper once more, in a session of its own where there is setsid. A descriptor that stays
# open would hold the caller's channel; without exec some shells would leave one of theirs in between.
detach() {
    become "$1" </dev/null >/dev/null 2>&1 3>&- &
}
become() {
    # shellcheck disable=SC2086 # BUILDBOARD_SH may be two words
    if [ -z "$BUILDBOARD_NOSETSID" ] && command -v setsid >/dev/null 2>&1; then
        exec setsid $SHELL_WORDS "$SELF" "$1" "$ID"
    else
        exec nohup $SHELL_WORDS "$SELF" "$1" "$ID"
    fi
}
# name_job ID: an id is a lower case UUID, so none is the beginning of another.
name_job() {
    case $1 in
    *[!0-9a-f-]*) return 64 ;;
    ????????-????-????-????-????????????) ID=$1 JOB=$ROOT/jobs/$1 ;;
    *) return 64 ;;
    esac
}
enter_job() {
    name_job "$1" || return 64
    cd "$JOB" 2>/dev/null || return 66
}
# below_floor: fewer than DISKMIN KiB are free. Ten digits are always enough, and too many for mksh.
below_floor() {
    [ "$DISKMIN" -gt 0 ] || return 1
    set -- "$(df -Pk . 2>/dev/null)"
    # shellcheck disable=SC2086 # must be split: the free blocks are the last word but one before the "%"
    set -- - - ${1%%%*}
    shift $(($# - 2))
    case $1 in *[!0-9]* | ??????????*) return 1 ;; esac
    [ "$1" -lt "$DISKMIN" ]
}

# ---- the end of an attempt

# finalize: writes the exit record when nothing runs any more. Runner, watchdog and cancel may all call it.
finalize() {
    [ ! -e exit ] || return 0
    keep build "0 0 $BOOT" # an inner that has not begun by now never will
    left=0 reason=lost code=-1 boot=
    # A build that makes this file itself could as well hide what it leaves.
    if [ -e swept ]; then measure; else stop_tree || left=1; fi
    WAITED=0 tries=0
    while logs && [ "$WAITED" -lt 500 ]; do nap 01; done
    # Only one that ends well has seen the end; on a full disk each takes what it can, and fails.
    until [ -z "$LOGGER" ] || logs || wait "$LOGGER" || [ "$tries" -ge 3 ]; do
        tries=$((tries + 1))
        start_logger
        while logs && [ "$WAITED" -lt 500 ]; do nap 01; done
    done
    if logs; then left=1; fi # someone who could not be found still holds the output
    measure
    if from rc read -r code reason; then
        : # how the script ended
    elif [ -n "$KNOWN_END" ]; then
        code=${KNOWN_END% *} reason=${KNOWN_END#* }
    elif from cancel read -r reason _; then
        : # nothing of it ever ran, or its end is not known
    elif from runner read -r _ _ boot && [ "$boot" != "$BOOT" ]; then
        reason=rebooted
    fi
    set +f
    rm -rf ballast reserve forks env env.run in.*.part runner.tmp.* build.tmp.* rc.tmp.*
    set -f
    clock
    tries=0
    until once exit "$reason $code $SIZE $EPOCH left=$left" || [ -e exit ] || [ ! -d "$JOB" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 600 ] || return 74
        sleep 1
    done
}

# logs: whether a logger lives, ours before it signed too.
logs() {
    alive logger || { [ -n "$LOGGER" ] && read_stat "$LOGGER"; }
}

# ---- the processes of an attempt: runner, then inner (which runs the script), logger and watchdog

mode_run() {
    read_stat $$ && once runner "$$ $START $BOOT" || exit 0
    leads=$GROUP
    trap : HUP INT TERM # children get the defaults back
    read_limits
    now
    if [ -e env ]; then mv -f env env.run; fi
    # The output goes through a pipe: `> /dev/stderr` in a build would empty a file. This end keeps it open.
    if [ -p out ]; then exec 3<>out; fi
    export BUILDBOARD_ATTEMPT="$ID"
    detach inner # first: it is what somebody waits for
    inner=$!
    unset BUILDBOARD_ATTEMPT
    # By `exec`, since some shells would keep copies of what they only redirect for a while: an end of the pipe.
    if [ -p out ]; then start_logger; fi
    START_OF_RUN=$NOW EPOCH_OF_START=$(date +%s)
    echo "$EPOCH_OF_START $NOW $ID" >>starts
    (exec </dev/null >/dev/null 2>&1 3>&- && watch_later) &
    later=$!
    while :; do # a trapped signal ends wait too early
        wait "$inner"
        code=$?
        kill -s 0 "$inner" 2>/dev/null || break
    done
    save_code "$code"
    WAITED=0
    if [ -p out ]; then
        until [ -e logger ] || [ "$WAITED" -ge 500 ]; do nap 01; done
        exec 4<out # so that what is in the pipe outlasts a logger that is killed now
    fi
    exec 3>&-
    finalize
    # The one to come, with the sleep that it waits for: the logger has gone, and this process does not mind.
    if [ "$leads" = $$ ]; then kill -s TERM 0; else kill -s TERM "$later"; fi 2>/dev/null
    # The watchdog sleeps in a child: its whole group, where it has one of its own.
    if alive watch; then kill -s TERM -- "-$PID" 2>/dev/null || kill -s TERM "$PID" 2>/dev/null; fi
    exit 0
}
# start_logger: one that this process can ask how it ended. It is of the same process group, since a session of its own
# would cost a shell that reads all of this anew: who kills that group has the next watchdog, or inner, start another.
start_logger() {
    (exec </dev/null >/dev/null 2>&1 3>&- && mode_logger) &
    LOGGER=$!
}
# watch_later: most short builds are over before they need a watchdog. Who wants one sooner, such as a cancel, starts one.
watch_later() {
    sleep 1
    if [ ! -d "$JOB" ]; then stop_tree; elif [ ! -e exit ] && ! alive watch; then become watch; fi
}
mode_inner() {
    output=log
    # Opened for both it waits for nobody, and the build lives on when a logger dies and is replaced.
    if [ -p out ]; then output=out && exec 3<>out; fi
    trap : HUP INT TERM
    read_limits
    # Now, while nothing of the build can exchange it.
    # shellcheck disable=SC2034 # for is_alone
    { read -r _ made_before <forks; } 2>/dev/null || made_before=''
    owner=
    read_stat $$ && keep build "$$ $START $BOOT" && from build read -r owner _ && [ "$owner" = $$ ] || exit 74
    { echo 300 >/proc/self/oom_score_adj; } 2>/dev/null # the build dies before sshd does
    code=143
    if [ ! -e cancel ]; then
        run_script
        code=$?
    fi
    save_code "$code" # here, so that a dead runner loses nothing
    # While this process lives its session is surely ours.
    if is_alone || stop_tree; then true >swept; fi
    # With the last who holds the pipe goes what is in it: should nobody be left who reads it, somebody begins first.
    if [ -p out ] && ! alive runner && ! alive logger; then
        WAITED=0
        detach logger
        until alive logger || [ "$WAITED" -ge 500 ]; do nap 01; done
    fi
    exit "$code"
}
# A subshell, and after the environment is read only positional parameters: a build may name its variables as it likes.
run_script() (
    exec >>"$output" 2>&1 3>&- # only here: what the shell outside says of a killed child is no output of the build
    umask 022
    set -- "$ID" "$SELF" "$ROOT" "$JOB" "$(command -v rm)"
    # A background job of a shell ignores these two for ever, and a build's own tests may not like that.
    if env --default-signal=INT,QUIT >/dev/null 2>&1; then set -- "$@" env --default-signal=INT,QUIT; fi
    IFS= read -r line <script
    # shellcheck disable=SC2086 # BUILDBOARD_SH may be two words
    case $line in '#!'*) chmod 700 script && set -- "$@" ../script ;; *) set -- "$@" $SHELL_WORDS ../script ;; esac
    if [ "$BUILDBOARD_LOCALE" = unset ]; then unset LC_ALL; else LC_ALL=$BUILDBOARD_LOCALE; fi
    unset BUILDBOARD_LOCALE OLDPWD
    # shellcheck disable=SC1091 # written by the controller: quoted strings only
    if [ -e env.run ]; then
        . ./env.run 2>>err || { echo 'This shell cannot read the environment of the build.' && exit 78; }
        "$5" -f env.run
    fi
    export BUILDBOARD_ATTEMPT="$1" BUILDBOARD_HELPER="$2" BUILDBOARD_HOME="$3" BUILDBOARD_JOB_DIR="$4"
    shift 5
    cd ws && exec "$@"
)
mode_logger() {
    trap '' HUP INT TERM
    ! alive logger || return 0 # it was on its way when this one was called
    if [ -e logger ]; then left_reading=1; else left_reading=; fi
    # shellcheck disable=SC2094 # a pipe; opened for reading alone it would wait for a writer
    exec 3<>out <out 3>&-
    enroll logger
    [ -z "$left_reading" ] || outlast_readers
    until cat >>log || [ ! -d "$JOB" ]; do nap 01; done # fails on a full disk: the log is cut, the build goes on
}
# outlast_readers: a logger that was killed leaves its `cat`, which reads on. Two at once would mix up the log.
outlast_readers() {
    set +f
    # shellcheck disable=SC2010 # the links' targets are what is looked at, not names of files
    for process in $(ls -ldn /proc/[0-9]*/fd/1 2>/dev/null | grep -F -e "-> $JOB/log" |
        sed 's|^[^/]*/proc/\([0-9]*\)/.*|\1|'); do
        if read_stat "$process"; then began=$START; fi
        while read_stat "$process" && [ "$START" = "$began" ]; do nap 10; done
    done
    set -f
}
mode_watch() {
    trap : HUP INT
    enroll watch
    read_limits
    now
    started=$NOW grown=$NOW size=
    from starts read -r _ started _
    while [ ! -e exit ]; do
        if [ ! -d "$JOB" ]; then # removed by hand: nobody could ever end this build
            stop_tree
            return
        fi
        measure
        alive watch && [ "$PID" != $$ ] && return
        [ -p hb ] || true >hb
        now
        if [ "$IDLE" -gt 0 ]; then
            if [ "$SIZE" != "$size" ]; then size=$SIZE grown=$NOW; fi
            [ $((NOW - grown)) -lt "$IDLE" ] || keep cancel "idle $(date +%s)"
        fi
        if [ "$WALL" -gt 0 ] && [ $((NOW - started)) -ge "$WALL" ]; then keep cancel "timeout $(date +%s)"; fi
        if below_floor; then keep cancel "diskfull $(date +%s)"; fi
        if [ -e cancel ]; then
            stop_tree
            [ -e rc ] || save_code 137
            finalize
        elif alive build; then
            # The first one may still be on its way; two would mix up the output.
            if [ -p out ] && ! alive logger && { [ -e logger ] || [ $((NOW - started)) -ge 10 ]; }; then
                detach logger
            fi
        elif ! alive runner; then
            finalize
        fi
        [ -e exit ] || sleep 1
    done
}
