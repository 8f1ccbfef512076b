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
# serve OPERATIONS OPERATION WORD...: does what is called for and exits, if it is one of OPERATIONS; else what comes next in
# this file may know it, unless OPERATIONS end with a dot.
serve() {
    case " $1 " in
    *" $operation "*) shift 2 ;;
    *" . "*) exit 64 ;;
    *) return 0 ;;
    esac
    case $operation in
    phase | commit) serve_build "$@" ;;
    tidying) mode_tidying "$@" ;;
    *) serve_framed "$@" ;;
    esac
    exit
}
# serve_build ID WORD: what a build's own script calls.
serve_build() {
    enter_job "$1" || return
    "op_$operation" "$2"
}
# serve_framed NONCE WORD...: what the controller calls.
serve_framed() {
    nonce=$1
    shift
    echo "BB1 $nonce"
    "op_$operation" "$@"
    set -- $?
    echo "BBEND $nonce $1"
    return "$1"
}
