# shellcheck shell=sh
# What a server is and has, as `key TAB value` lines; run by the helper's probe operation.
# $1 is the helper's root, $2 is `light` (some 60 ms) or `tools`. It changes nothing and decides nothing.
# Not JSON: escaping in sh is where the bugs live. A value is printable and short, whatever a tool says.

root=$1
tell() { printf '%s\t%s\n' "$1" "$(printf '%s' "$2" | tr -c ' -~' ' ' | cut -c "1-${3:-160}")"; }
first_line() {
    value=
    { read -r value <"$1"; } 2>/dev/null
}
tell_file() {
    first_line "$2"
    [ -z "$value" ] || tell "$1" "$value"
}

tell depth "$2"
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
tell_file psi.cpu /proc/pressure/cpu # its first line: some tasks waited; the kernel may have none of it
tell_file psi.memory /proc/pressure/memory
tell_file psi.io /proc/pressure/io
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
tell disk.used_kb "$4"
tell disk.available_kb "$5"
tell disk.mount "$7"
# shellcheck disable=SC2046 # must be split
set -- "$1" $(df -Pi "$root" 2>/dev/null | tail -n 1)
tell disk.inodes_total "$3"
tell disk.inodes_free "$5"
tell work_dir "$root"
tell path "$PATH"
# shellcheck disable=SC1091 # the system's own
tell distribution "$(. /etc/os-release 2>/dev/null && printf '%s' "$PRETTY_NAME")"
tell libc "$(getconf GNU_LIBC_VERSION 2>/dev/null || ldd --version 2>&1 | head -n 1)"
for name in setsid flock timeout mkfifo tar gzip zstd sha256sum rsync unshare systemd-run nohup stat git; do
    if command -v "$name" >/dev/null 2>&1; then tell "util.$name" 1; fi
done
git_version=$(git --version 2>/dev/null </dev/null | head -n 1)
[ -z "$git_version" ] || tell git "$git_version"
[ "$1" = tools ] || exit 0

# A hanging tool is given five seconds, with all that it started.
limit='' escape=$(printf '\033')
if timeout -k 1 5 true 2>/dev/null; then limit='timeout -k 1 5'; elif timeout 5 true 2>/dev/null; then limit='timeout 5'; fi
ask() {
    # shellcheck disable=SC2086 # some words or none
    $limit "$@" 2>&1 </dev/null | sed "s/$escape\[[0-9;]*[A-Za-z]//g"
}
# tool KEY PROGRAM ARGUMENT...: where it is and the first line of its version.
tool() {
    key=$1
    shift
    path=$(command -v "$1" 2>/dev/null) || return 0
    tell "$key" "$path|$(ask "$@" | head -n 1)"
}
# At once, but not too many: version managers' shims take up to a quarter of a second each. Short lines do not mix.
running=0
enough() {
    running=$((running + 1))
    if [ $running -ge 16 ]; then
        wait
        running=0
    fi
}
for name in gcc g++ clang cc make cmake ninja meson cargo rustc go node npm python3 java mvn gradle docker podman git ccache \
    sccache ruby php dotnet pkg-config autoconf bazel; do
    case $name in
    go) tool "tool.$name" go version & ;;
    java) tool "tool.$name" java -version & ;;
    *) tool "tool.$name" "$name" --version & ;;
    esac
    enough
done
# The same compilers in further versions (gcc-12), and cross compilers by their prefix (aarch64-linux-gnu-gcc).
further() {
    IFS=:
    for folder in $PATH; do
        for path in "$folder"/gcc-[0-9]* "$folder"/g++-[0-9]* "$folder"/clang-[0-9]* "$folder"/clang++-[0-9]* \
            "$folder"/*-linux-*-gcc "$folder"/*-linux-*-g++ "$folder"/*-linux-*-gcc-[0-9]* "$folder"/*-linux-*-g++-[0-9]*; do
            name=${path##*/}
            case $name in *[!A-Za-z0-9_.+-]*) continue ;; esac
            if [ -x "$path" ] && [ "$(command -v "$name")" = "$path" ]; then echo "$name"; fi
        done
    done
}
for name in $(further | head -n 60); do
    case $name in
    *-linux-*) tool "cross.$name" "$name" --version & ;;
    *) tool "tool.$name" "$name" --version & ;;
    esac
    enough
done
wait
if command -v clang >/dev/null 2>&1; then
    tell targets.clang "$(ask clang --print-targets | sed -n 's/^ \{1,\}\([a-z0-9_-]*\) .*/\1/p' | tr '\n' ' ')" 600
fi
if command -v rustup >/dev/null 2>&1; then
    tell targets.rustc "$(ask rustup target list --installed | tr '\n' ' ')" 600
fi
