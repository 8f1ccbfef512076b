# shellcheck shell=sh
# What a server is and has, as `key TAB value` lines; run by the helper's probe operation.
# $1 is the helper's root, $2 is `light` or `tools`. It changes nothing and decides nothing.
# Not JSON: escaping in sh is where the bugs live. A value is printable and short, whatever a tool says.

root=$1
tell() { printf '%s\t%s\n' "$1" "$(printf '%s' "$2" | tr -c ' -~' ' ' | cut -c 1-160)"; }
first_line() {
    value=
    { read -r value <"$1"; } 2>/dev/null
}
tell_file() {
    first_line "$2"
    [ -z "$value" ] || tell "$1" "$value"
}

tell os "$(uname -s)"
tell kernel "$(uname -r)"
tell arch "$(uname -m)"
tell host "$(uname -n)"
tell user "$(id -un)"
tell uid "$(id -u)"
tell time "$(date +%s)"
tell cores "$(getconf _NPROCESSORS_ONLN 2>/dev/null || nproc 2>/dev/null || grep -c ^processor /proc/cpuinfo)"
tell_file load /proc/loadavg
tell_file boot_id /proc/sys/kernel/random/boot_id
tell_file uptime /proc/uptime
tell_file cpu_ticks /proc/stat # two probes give the share of the CPU in between
tell_file cgroup.memory_max /sys/fs/cgroup/memory.max
tell_file cgroup.cpu_max /sys/fs/cgroup/cpu.max
if [ -r /proc/meminfo ]; then
    while read -r key value _; do
        case $key in MemTotal: | MemAvailable: | SwapTotal: | SwapFree:) tell "mem.${key%:}_kb" "$value" ;; esac
    done </proc/meminfo
fi
# shellcheck disable=SC2046 # must be split
set -- "$2" $(df -Pk "$root" 2>/dev/null | tail -n 1)
tell disk.total_kb "$3"
tell disk.available_kb "$5"
tell disk.mount "$7"
# shellcheck disable=SC2046 # must be split
set -- "$1" $(df -Pi "$root" 2>/dev/null | tail -n 1)
tell disk.inodes_free "$5"
# shellcheck disable=SC1091 # the system's own
tell distribution "$(. /etc/os-release 2>/dev/null && printf '%s' "$PRETTY_NAME")"
tell libc "$(getconf GNU_LIBC_VERSION 2>/dev/null || ldd --version 2>&1 | head -n 1)"
for name in setsid flock timeout mkfifo tar gzip zstd sha256sum rsync unshare systemd-run nohup stat git; do
    if command -v "$name" >/dev/null 2>&1; then tell "util.$name" 1; fi
done
[ "$1" = tools ] || exit 0

# tool NAME ARGUMENT: where it is and the first line of its version. A hanging one is given five seconds.
limit='' escape=$(printf '\033')
if command -v timeout >/dev/null 2>&1; then limit='timeout 5'; fi
tool() {
    path=$(command -v "$1" 2>/dev/null) || return 0
    # shellcheck disable=SC2086 # two words or none
    tell "tool.$1" "$path|$($limit "$@" 2>&1 </dev/null | sed "s/$escape\[[0-9;]*m//g" | head -n 1)"
}
# At once: version managers' shims take up to a quarter of a second each. Short lines do not mix.
for name in gcc g++ clang cc make cmake ninja meson cargo rustc go node npm python3 java mvn gradle docker podman git ccache \
    sccache ruby php dotnet pkg-config autoconf bazel aarch64-linux-gnu-gcc arm-linux-gnueabi-gcc arm-linux-gnueabihf-gcc \
    i686-linux-gnu-gcc x86_64-linux-gnu-gcc riscv64-linux-gnu-gcc powerpc64le-linux-gnu-gcc s390x-linux-gnu-gcc \
    mips64el-linux-gnuabi64-gcc; do
    case $name in go) tool go version & ;; java) tool java -version & ;; *) tool "$name" --version & ;; esac
done
wait
