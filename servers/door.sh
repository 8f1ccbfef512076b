# shellcheck shell=sh disable=SC2153,SC2154,SC2034 # a part of helper.sh: it shares its variables
# The door of the helper: what it was called for is done once all that this takes is read. To read on would take a shell
# as long as to do most of what is asked. It knows no operation itself.

cd -P "$ROOT" 2>/dev/null || { mkdir -p "$ROOT" && cd -P "$ROOT"; } || exit 74
ROOT=$PWD
operation=$1
case $operation in
run | inner | logger | watch)
    enter_job "$2" || exit
    # Only here, where a pipe in its place holds up nobody else.
    if [ ! -p err ] && { true >>err; } 2>/dev/null; then exec 2>>err; fi
    "mode_$operation"
    exit
    ;;
'' | *[!a-z]*) exit 64 ;;
esac
# serve OPERATIONS WORD...: the end, if the words are a call of one of these, in a frame; but for what a build's own
# script calls. A dot says that there are no more.
serve() {
    case " $1 " in
    *" $operation "*) ;;
    *" . "*) exit 64 ;;
    *) return 0 ;;
    esac
    nonce=$3
    case $operation in
    tidying)
        shift 2
        mode_tidying "$@"
        exit
        ;;
    phase | commit)
        enter_job "$3" || exit
        "op_$operation" "$4"
        exit
        ;;
    esac
    shift 3
    echo "BB1 $nonce"
    "op_$operation" "$@"
    status=$?
    echo "BBEND $nonce $status"
    exit $status
}
