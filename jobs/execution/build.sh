#!/bin/sh
# The build script of an attempt. servers/helper.sh runs it in the attempt's ws/, as one durable run; script.py
# puts it together from checkout.sh, toml.sh, kinds.sh and this file, and makes the environment that it reads. POSIX sh.
# It owns the steps of a build on the server; what they mean for the job is the controller's business.
#
# In:  BUILDBOARD_ATTEMPT, BUILDBOARD_HELPER, BUILDBOARD_JOB_DIR, BUILDBOARD_HOME from the helper; BB_* from
#      script.py. The user's environment comes as BB_ENV_1=NAME=value ..., so that git never sees it.
# Out: the log; the helper's records `phase` and `commit`; ws/src, the tree; ws/run, this script's own notes.
# Ends in phase `checkout` with 66 or 69 (see fail) and a last line `--- failed: SENTENCE`, in phase `building`
# with what the command ended with. Own variables begin with bb_, since an exported one would reach the build.

# record_phase NAME: what the helper's `phase` would do, which is a large program to start for one line.
record_phase() {
    # By the clock of the start, if the helper has written that by now, and the seconds since.
    if { read -r bb_epoch bb_start _ <"$BUILDBOARD_JOB_DIR/starts" && read -r bb_now _ </proc/uptime; } 2>/dev/null; then
        bb_epoch=$((bb_epoch + ${bb_now%%.*} - bb_start))
    else
        bb_epoch=$(LC_ALL=C date +%s)
    fi
    echo "$1 $bb_epoch 0" >>"$BUILDBOARD_JOB_DIR/phase" ||
        fail 69 "The phase $1 could not be recorded on this server."
}
# count_jobs: how many processes a build may use at a time.
count_jobs() {
    bb_jobs=${BB_JOBS:-$(nproc 2>/dev/null)}
    [ -n "$bb_jobs" ] || bb_jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
}
# unset_names: what git and this script read from the environment is nothing of the build's.
# All that looks like such a name is one, even within a value: there are none that must stay.
unset_names() {
    bb_exported=$(export -p) bb_names=
    for bb_prefix in BB_ GIT_; do
        bb_rest=$bb_exported
        while :; do
            case $bb_rest in *" $bb_prefix"*) bb_rest=${bb_rest#*" $bb_prefix"} ;; *) break ;; esac
            bb_names="$bb_names $bb_prefix${bb_rest%%[!A-Za-z0-9_]*}"
        done
    done
    # shellcheck disable=SC2086 # a list of names
    unset -v $bb_names bb_exported bb_rest
}
# show_command: its first lines, for the log.
show_command() {
    if { IFS= read -r bb_line && ! IFS= read -r bb_rest; } <run/command; then
        printf '    %s\n' "$bb_line"
    else
        LC_ALL=C sed -e '51s/.*/.../' -e 's/^/    /' -e 51q run/command
    fi
}
# run_build: the command, in a shell of its own. Its environment belongs to the user, whose variables may have
# any name: so what is still needed is kept in positional parameters, and the board's own names come last.
run_build() (
    set --
    bb_number=0
    while [ "$bb_number" -lt "$BB_ENV_COUNT" ]; do
        bb_number=$((bb_number + 1))
        eval "set -- \"\$@\" \"\$BB_ENV_$bb_number\""
    done
    set -- "$@" -- "BUILDBOARD_ATTEMPT=$BUILDBOARD_ATTEMPT" "BUILDBOARD_JOB_ID=$BB_JOB_ID" BUILDBOARD=true \
        "BUILDBOARD_COMMIT=$bb_sha" "BUILDBOARD_BRANCH=$BB_BRANCH" "BUILDBOARD_ARCHITECTURE=$BB_ARCHITECTURE" --
    # A script that names its interpreter gets it; any other text is for the shell, stopping at an error.
    IFS= read -r bb_line <run/command
    case $bb_line in
    '#!'*) chmod 700 run/command && set -- "$@" ../run/command ;;
    *) set -- "$@" sh -e ../run/command ;;
    esac
    bb_number=0
    while [ "$bb_number" -lt "$BB_MAKE_ARGS_COUNT" ]; do
        bb_number=$((bb_number + 1))
        eval "set -- \"\$@\" \"\$BB_MAKE_ARGS_$bb_number\""
    done
    export CI=true BUILD_JOBS="$bb_jobs"
    unset_names
    unset -v BUILDBOARD_HELPER BUILDBOARD_JOB_DIR
    cd src || exit 69
    until [ "$1" = -- ]; do
        # Some names belong to the shell, such as UID in bash: setting one would end it.
        # shellcheck disable=SC2163 # NAME=value
        if (export "$1") 2>/dev/null; then export "$1"; else note "this server's shell cannot set ${1%%=*}"; fi
        shift
    done
    shift
    until [ "$1" = -- ]; do
        # shellcheck disable=SC2163 # NAME=value
        export "$1"
        shift
    done
    shift
    exec "$@"
)

record_phase checkout
if ! make_folders || ! unpack BB_COMMAND command || ! unpack BB_RECIPE_COMMAND recipe; then
    fail 69 "The folder of this attempt cannot be written to on this server."
fi
checkout
count_jobs
find_build
note "build: $bb_found"
show_command
record_phase building
run_build
bb_status=$?
note "finished: exit code $bb_status"
exit "$bb_status"
