# shellcheck shell=sh disable=SC2153,SC2154,SC2034 # a part of helper.sh: it shares its variables
# What the controller asks of the helper about a run, an op_ function each; installed as one file with helper.sh, which
# owns the run itself. Each prints its reply and returns its status; what has input reads it to the end, since
# an input that is left over would end the whole SSH connection.

# ---- starting

op_prepare() {
    name_job "$1" || return
    mkdir -p "$JOB/ws" 2>/dev/null || refuse full 74 || return
    if [ -e "$JOB/runner" ]; then echo exists; else echo ok; fi
}
# refuse WORD STATUS
refuse() {
    echo "$1"
    return "$2"
}
# receive FILE SIZE: all of stdin. A cut connection looks like an end: the size keeps half a script from running.
receive() {
    if ! { cat >"$1"; } 2>/dev/null; then
        cat >/dev/null
        refuse full 74 || return
    fi
    file_size "$1"
    [ "$SIZE" = "$2" ] || refuse short 65
}
# put ID NAME SIZE <bytes
op_put() {
    enter_job "$1" || return
    case $2 in script | env | spec) ;; *) return 64 ;; esac
    receive "in.$$.part" "$3" && mv -f "in.$$.part" "$2" && echo ok && return
    set -- $?
    rm -f "in.$$.part"
    return "$1"
}
# submit ID SPEC ENV SCRIPT <all three, their sizes as arguments: prepare, put and launch in one round trip.
op_submit() {
    if ! name_job "$1" || ! { [ -e "$JOB/runner" ] || mkdir -p "$JOB/ws" "$JOB/in.$$.part" 2>/dev/null; } || ! cd "$JOB"; then
        cat >/dev/null
        refuse full 74 || return
    elif [ -e runner ]; then
        cat >/dev/null
        op_launch "$1"
    else
        take_parts "$2" "$3" "$4" && op_launch "$1"
    fi
    status=$?
    set -- "in.$$.part"
    if [ -e build ]; then set -- "$@" env; fi # put a second time, after the first was taken
    rm -rf "$@"
    return "$status"
}
take_parts() {
    receive "in.$$.part/all" $(($1 + $2 + $3)) || return
    {
        # Of a file dd takes exactly its block, and `read` its line: what is behind is left to the next.
        {
            take_lines "$1" >"in.$$.part/spec" && dd bs="$2" count=1 >"in.$$.part/env" && cat >"in.$$.part/script"
        } <"in.$$.part/all" && mv -f "in.$$.part/spec" "in.$$.part/env" "in.$$.part/script" .
    } 2>/dev/null || refuse full 74
}
# take_lines SIZE: so many bytes of whole lines.
take_lines() {
    left=$1
    while [ "$left" -gt 0 ] && IFS= read -r line; do
        left=$((left - ${#line} - 1))
        printf '%s\n' "$line" || return
    done
    [ "$left" = 0 ]
}
# launch ID: prints `launched` or `already`, and the runner record. However many call it, one start.
op_launch() {
    enter_job "$1" || return
    child=
    if [ ! -e runner ]; then
        check_start || return
        detach run
        child=$!
        WAITED=0
        until [ -e runner ]; do
            if [ "$WAITED" -ge 500 ] || ! read_stat "$child"; then
                [ -e runner ] || refuse "notstarted $(tail -n 1 err 2>/dev/null | tr -c ' -~' ' ' | cut -c 1-200)" 75 || return
            fi
            nap 01
        done
    fi
    pid='' record=''
    from runner read -r pid record
    if [ "$pid" = "$child" ]; then echo "launched $pid $record"; else echo "already $pid $record"; fi
}
# shows_own: whether /proc tells of this process under its own number. In a pid namespace without a /proc of its own, the
# numbers there are another's: every look for a process would find strangers, or nobody.
shows_own() {
    PID=
    { read -r PID _ </proc/self/stat; } 2>/dev/null
    [ "$PID" = $$ ] && read_stat $$
}
# check_start: everything that the last records need has its room before anything runs.
check_start() {
    [ -e script ] || refuse noscript 65 || return
    shows_own || refuse noproc 69 || return
    read_limits
    # Random bytes: zeros would take no room on a file system that compresses.
    {
        printf '' >>log && printf '' >>starts &&
            dd if=/dev/urandom of=ballast bs=8192 count=8 && dd if=/dev/urandom of=reserve bs=8192 count=2
    } 2>/dev/null &
    { count_forks >forks; mkfifo out; } 2>/dev/null
    if below_floor; then wait "$!"; refuse diskfull 74 || return; fi
    wait "$!" || refuse full 74
}

# ---- following and ending

# poll MAX ID:OFFSET ... -> for each `@ ID state offset count size phase commit [exit]` and the bytes. Up to ten times a
# second: only a child, ls and, with news, dd are processes here.
op_poll() {
    max=$1
    shift
    [ $# = 0 ] || survey poll_one "$@"
}
poll_one() {
    offset=${1#*:} COUNT=0 MARK=-
    name_job "${1%%:*}" || return
    if ! cd "$JOB" 2>/dev/null; then
        begin_answer
        echo "@ $ID absent $offset 0 0 - -"
        return 0
    fi
    judge
    range "$offset" "$SIZE" "$max"
    read_marks
    begin_answer
    echo "@ $ID $STATE $offset $COUNT $SIZE $PHASE $COMMIT $EXIT"
    [ "$COUNT" = 0 ] || from log send_whole || head -c "$COUNT" /dev/zero
}
poll_one_damaged() {
    echo "@ ${1%%:*} damaged ${1#*:} 0 0 - -"
}
# send_whole: the bytes that range chose, as many as were promised, though the build cuts its log meanwhile.
send_whole() {
    send
    [ $((2147483647 + 1)) -gt 0 ] || return 0 # mksh: too small for the sum
    { read -r _ at 5<&0 </proc/self/fdinfo/5; } 2>/dev/null || return 0
    [ "$at" -ge "$offset" ] || at=$offset
    [ "$at" -ge $((offset + COUNT)) ] || head -c $((offset + COUNT - at)) /dev/zero
    return 0
}
# cancel ID REASON [claim]: one that never started is claimed, so that a late launch cannot run it; with the word
# claim also one that is not here (yet). Otherwise TERM now; the watchdog does the rest.
op_cancel() {
    name_job "$1" || return
    case $2 in '' | *[!a-z]*) return 64 ;; esac
    if [ "$3" = claim ]; then mkdir -p "$JOB/ws" 2>/dev/null || refuse full 74 || return; fi
    cd "$JOB" 2>/dev/null || { echo absent && return; }
    answer=requested
    if [ -e exit ]; then
        answer='done'
    else
        keep runner "0 0 $BOOT" && keep cancel "$2 $(date +%s)" || refuse full 74 || return
        read_limits
    fi
    measure
    pid=
    from runner read -r pid _
    if [ "$pid" = 0 ]; then
        finalize
        answer=neverstarted
    elif [ "$answer" = requested ]; then
        survey end_tree "$ID" >/dev/null
    fi
    echo "$answer"
}
end_tree() {
    MARK=watch
    measure
    ! alive watch || MARK=-
    mark
    ask_to_end
}
end_tree_damaged() {
    detach watch
}
# phase NAME and commit SHA are called by the build's own script, without a frame.
op_phase() {
    case $1 in '' | *[!a-z]*) return 64 ;; esac
    file_size log
    echo "$1 $(date +%s) $SIZE" >>phase
}
op_commit() {
    case $1 in '' | *[!0-9a-f]*) return 64 ;; esac
    keep commit "$1"
}

# ---- all of the server

# list: `ID state [exit]` for every job.
op_list() {
    cd "$ROOT/jobs" 2>/dev/null || return 0
    set +f
    set -- *
    set -f
    survey list_one "$@"
}
list_one() {
    MARK=-
    if ! enter_job "$1"; then
        begin_answer
        return 0
    fi
    judge
    begin_answer
    echo "$ID $STATE $EXIT"
}
list_one_damaged() {
    echo "$1 damaged"
}
# probe WORD <script: runs what the controller sends (probe.sh), which could run anything here anyway.
op_probe() {
    script=$ROOT/lib/.probe.$$.part
    cat >"$script" || return 74
    # shellcheck disable=SC2086 # BUILDBOARD_SH may be two words
    $SHELL_WORDS "$script" "$ROOT" "$1" </dev/null
    rm -f "$script"
}

serve "prepare put submit launch poll cancel phase commit list probe" "$@"
